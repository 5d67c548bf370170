"""What a home says of its items: scores, explanations, anomalies, feedback; plain data for every front door."""
