"""The stream: Kafka brokers and topics, what sends records, and the workers that score items as they happen."""
