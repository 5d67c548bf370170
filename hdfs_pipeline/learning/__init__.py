"""Training, judgement, retraining, the choice between detectors, tracking in MLflow, and held-out data."""
