"""What is the same for every domain: contracts, features, thresholds, evaluation, explanation, models."""
