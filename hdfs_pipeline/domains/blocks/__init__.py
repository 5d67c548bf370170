"""Block logs of NameNode and DataNodes: records, events by template, counts per block."""
