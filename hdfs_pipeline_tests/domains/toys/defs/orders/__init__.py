"""Orders in Dagster."""
