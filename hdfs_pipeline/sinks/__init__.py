"""Kafka topics into the store: ranges, messages and dead letters, each once."""
