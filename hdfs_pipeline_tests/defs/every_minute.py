"""The definitions with a clock that ticks every minute instead of every five, for tests that wait for it."""

from hdfs_pipeline.defs.common import automation

automation.EVERY_FIVE_MINUTES = "* * * * *"

from hdfs_pipeline.definitions import defs  # noqa: E402, F401 - made after the clock was set
