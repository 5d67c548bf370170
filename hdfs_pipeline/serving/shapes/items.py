"""Groups of items, and people's words."""

from typing import Literal

from pydantic import Field

from hdfs_pipeline.serving.shapes.base import Shape


class Group(Shape):
    """Like anomalies together."""

    kind: str
    severity: str
    items: int
    flagged: int
    first_time: str
    last_time: str
    entities: dict[str, int]
    sentence: str
    hint: str
    example: str
    words: dict[str, int]


class Groups(Shape):
    """The groups most worth knowing, and how many there are."""

    total: int
    groups: list[Group]


class Feedback(Shape):
    """A person's word on an item, on a group, or on a stretch of time: exactly one of these is named."""

    domain: str = Field("", description="By default the first of the domains that the API lists.")
    verdict: Literal["real", "false", "expected", "maintenance"]
    item: str | None = Field(None, max_length=500)
    group: str | None = Field(None, max_length=500)
    from_ts: str | None = Field(None, description="Beginning of a stretch, ISO 8601 with its zone.")
    to_ts: str | None = Field(None, description="End of a stretch, ISO 8601 with its zone.")
    entity: str = Field("", max_length=500)
    note: str = Field("", max_length=2000)
    by: str = Field("", max_length=200)


class Kept(Shape):
    """How far a word reaches: items, or incidents that a stretch of time meets."""

    verdict: str
    items: int
    incidents: int
