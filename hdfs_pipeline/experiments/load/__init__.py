"""Experiments on load: how throughput, latency and lag change with producers, consumers and partitions."""
