"""What is particular to each source of logs or metrics."""
