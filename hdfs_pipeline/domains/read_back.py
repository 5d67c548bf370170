"""Reading back the end of a topic that a stage has written: what its predecessor knew."""

from collections.abc import Iterator
from typing import Any

from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.ranges import RangeReader, Watermarks


def read_back(settings: Settings, marks: Watermarks, starts: dict[int, int], least: int) -> Iterator[Any]:
    """The messages of partitions of a topic up to `marks`: from `starts` (-1: not known), at least `least` each."""
    ranges = {}
    for part, start in starts.items():
        high = marks.high[part]
        first = high - least if start < 0 else min(start, high - least)
        ranges[part] = (max(first, marks.low[part]), high)
    for batch in RangeReader(settings, marks.topic, ranges).batches():
        yield from batch.messages
