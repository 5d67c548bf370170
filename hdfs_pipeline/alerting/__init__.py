"""Incidents on their way out: to Alertmanager, to a webhook, and to Kafka."""
