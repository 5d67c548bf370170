"""The stream: Kafka brokers and topics, what sends records, and the workers that score blocks as they happen."""
