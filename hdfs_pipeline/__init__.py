"""Watches Hadoop HDFS: logs become scored, explained, grouped anomalies."""
