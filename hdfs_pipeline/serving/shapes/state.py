"""The state of a home and of its parts."""

from typing import Literal

from hdfs_pipeline.serving.shapes.base import Shape
from hdfs_pipeline.serving.shapes.incidents import Incident


class Lack(Shape):
    """What the watcher itself lacks, and the command that helps."""

    kind: str
    text: str
    command: str


class HomeStatus(Shape):
    """What is wrong in a home, what changed since a time, and what the watcher lacks."""

    home: str
    now: str
    since: str
    until: str | None
    finished: bool
    severities: dict[str, int]
    changed: dict[str, int]
    open: list[Incident]
    ended: list[Incident]
    number_open: int
    number_ended: int
    lacks: list[Lack]
    commands: list[str]


class HealthPart(Shape):
    """A part of a home: well, ill, or off where it is not in use."""

    name: str
    state: Literal["well", "ill", "off"]
    text: str


class PartitionLag(Shape):
    """Messages of a partition that the store has not taken yet."""

    topic: str
    partition: int
    messages: int


class HomeHealth(Shape):
    """Whether the parts of a home work."""

    state: Literal["well", "ill"]
    parts: list[HealthPart]
    lag: list[PartitionLag]
    dead_letters: int
