"""Factories of the assets that every domain has: models, champion, scores, anomalies, drift checks, backtests."""
