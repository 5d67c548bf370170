"""NameNode metrics in Dagster: polls, models, scores, incidents."""
