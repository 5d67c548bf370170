"""The NameNode's own metrics: `/jmx` documents become samples, windows, scores and incidents."""
