"""Training, judgement, retraining, the choice between detectors, tracking in MLflow, held-out data."""
