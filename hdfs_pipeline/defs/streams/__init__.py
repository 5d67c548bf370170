"""Kafka topics in Dagster: ranges of offsets into the store, and what the stream workers report."""
