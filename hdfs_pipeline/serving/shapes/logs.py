"""Raw records that a search has found, and the patterns that they follow."""

from typing import Literal

from pydantic import Field

from hdfs_pipeline.serving.shapes.base import Shape


class ItemOf(Shape):
    """An item that a record belongs to."""

    domain: str
    item: str


class LogRecord(Shape):
    """A raw record as it was written."""

    time: str
    host: str = Field(description="Host or server that wrote it; empty where nobody knows.")
    daemon: str
    level: str
    logger: str
    template: str = Field(description="The template that it matches, as `DOMAIN/ID`; empty where none does.")
    name: str = Field(description="What the template is called.")
    items: list[ItemOf]
    line: str
    marks: list[list[int]] = Field(description="Where in the line what was sought begins and ends, in characters.")


class Logs(Shape):
    """Records that were found, the latest first, and how far the search went."""

    begin: str | None = Field(description="From when on records are searched; null where there are none.")
    end: str | None
    ended: Literal["whole", "limit", "seconds", "stopped"] = Field(
        description="Why the search ended: nothing was left, there were enough records, or the time was over."
    )
    searched_from: str | None = Field(description="All records from this time on were searched.")
    after: str = Field(description="Where to go on, as `after` of the next question; empty where nothing is left.")
    next: str | None
    records: list[LogRecord]


class TellingOf(Shape):
    """A kind of anomalies that a template tells of."""

    kind: str | None
    items: int
    item: str


class LogPattern(Shape):
    """How often records of a window matched a template."""

    template: str = Field(description="As `DOMAIN/ID`.")
    name: str
    text: str
    severity: str
    records: int
    counts: list[int] = Field(description="One number a step.")
    before: int = Field(description="Records of the window of the same length before.")
    change: float | None = Field(description="By which share there are more than before; null where nobody can say.")
    total: int = Field(description="All records up to the end of the window.")
    first_time: str
    last_time: str
    new: bool = Field(description="Whether the very first one came in the window.")
    rare: bool = Field(description="Whether fewer than 1 in 10,000 records up to the end of the window matched it.")
    stopped: bool = Field(description="Whether there were some before, and none in the window.")
    telling: list[TellingOf]


class LogPatterns(Shape):
    """The patterns of a window; without a past nothing in it can be new, without a window before nothing compared."""

    domain: str
    begin: str | None
    end: str | None
    step_s: float
    has_past: bool
    has_before: bool
    records: int
    total: int
    patterns: list[LogPattern]
