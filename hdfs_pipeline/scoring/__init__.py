"""What every domain shares: contracts, features, thresholds, evaluation, explanation, models."""
