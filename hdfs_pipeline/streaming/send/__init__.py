"""What sends to Kafka: a producer that counts, its pace, log files, rows of CSV files."""
