"""What is to be judged, and the verdicts."""

from typing import Annotated

from pydantic import Field

from hdfs_pipeline.serving.shapes.base import Shape

Count = Annotated[int, Field(ge=0, lt=2**31)]


class CountVector(Shape):
    """How often each event happened to an item."""

    id: str = Field("", max_length=500, description="Is given back as it is.")
    counts: dict[str, Count] = Field(description="By event; `alarms` is the number of alarming records.")


class ToScore(Shape):
    """What is to be judged: exactly one of lines, vectors, and rows with their columns."""

    domain: str = Field("", description="By default the first of the domains that the API lists.")
    catalogue: str = Field("", description="What the events belong to; by default the model's.")
    lines: list[str] | None = Field(None, description="Raw records, each with its continuation lines.")
    vectors: list[CountVector] | None = None
    columns: list[str] | None = Field(None, max_length=10_000, description="Events, as those of vectors.")
    rows: list[list[int]] | None = Field(None, description="Counts of each item, one for each column.")
    ids: list[str] | None = Field(None, description="Of the rows; are given back as they are.")


class CalledAnomalous(Shape):
    """An item that a detector calls anomalous, and why."""

    item: str
    score: float
    kind: str
    reason: str


class VoiceOnItems(Shape):
    """What a detector says of items: `scores` in their order; anomalous are those of `threshold` and more."""

    detector: str
    version: int
    threshold: float
    scores: list[float | None]
    anomalies: list[CalledAnomalous]


class Unread(Shape):
    """A line, by its number from 0, that is no record."""

    line: int
    reason: str


class Verdicts(Shape):
    """What each detector says of the items, the serving one first. Nothing of it is kept."""

    domain: str
    source: str
    items: list[str]
    voices: list[VoiceOnItems]
    unread: list[Unread]
