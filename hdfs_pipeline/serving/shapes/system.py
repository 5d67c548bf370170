"""The system behind the verdicts: who is polled, topics, dead letters, store, schedules, settings, tokens."""

from typing import Any, Literal

from pydantic import Field

from hdfs_pipeline.serving.shapes.base import Shape
from hdfs_pipeline.serving.tokens import Scope

LetterState = Literal["waiting", "requeued"]


class Collected(Shape):
    """A server that is polled. `error` says why the last poll gave nothing, `note` what was odd."""

    server: str
    kind: str
    role: str
    polled_at: str | None
    answered_at: str | None
    error: str
    note: str


class Collectors(Shape):
    """The servers that are polled."""

    collectors: list[Collected]


class TopicPartition(Shape):
    """A partition: the first offset that is there, the one after the last, and messages that were not taken yet."""

    partition: int
    first: int
    end: int
    sink_lag: int | None = Field(description="By the store; null where it takes none.")
    groups: dict[str, int | None] = Field(description="By each consumer group of workers; null where it has not begun.")


class TopicState(Shape):
    """A topic, with the sums over its partitions."""

    name: str
    about: str
    messages: int
    sink_lag: int | None
    groups: dict[str, int | None]
    partitions: list[TopicPartition]


class Topics(Shape):
    """The topics that the brokers have. `why` says why nothing is known of them, and what helps."""

    broker: str
    topics: list[TopicState]
    why: str


class Letter(Shape):
    """What could not be used: where it came from, why, how it begins, and what became of it where it was put back."""

    id: str
    source: str
    topic: str
    partition: int | None
    position: int = Field(description="Offset of the message, or the number of the line in its file, from 1.")
    reason: str
    text: str
    seen_at: str | None
    state: LetterState
    requeued_by: str
    requeued_at: str | None
    became: str


class Letters(Shape):
    """A page of dead letters: `total` of them fit the question, and `next` is the address of the next page."""

    total: int
    limit: int
    offset: int
    next: str | None
    letters: list[Letter]
    reasons: dict[str, int] = Field(description="Why letters wait, the most frequent reasons, with their number.")


class OriginalBytes(Shape):
    """What a letter's message was, as text without signs that act, and its first bytes as numbers if it is no text."""

    came_from: str = Field(alias="from", description="Kafka, or the store where that has it no longer.")
    bytes: int
    shown: int
    text: str
    hex: str
    key: str
    note: str


class WholeLetter(Letter):
    """A dead letter with its original."""

    original: OriginalBytes


class Requeue(Shape):
    """Who puts a letter back; of whoever shows a token, its name counts."""

    by: str = Field("", max_length=200)


class Requeued(Shape):
    """What became of a letter that was put back."""

    id: str
    became: str


class TableSize(Shape):
    """A table of the store; small tables may share a block."""

    name: str
    about: str
    rows: int
    bytes: int


class TableRetention(Shape):
    """For how many days a table's rows are kept, by a setting, and how many of them the next pruning takes."""

    table: str
    setting: str
    days: float
    rows: int


class StoreFacts(Shape):
    """The store's file, its tables, the largest first, and what is free on its disk; sizes in bytes."""

    path: str
    bytes: int
    free: int | None
    schema_version: int | None
    tables: list[TableSize]
    retention: list[TableRetention]


class Tick(Shape):
    """What a schedule or sensor did at a time: `runs` that it began, and why none, or what went wrong."""

    at: str | None
    status: str
    runs: int
    text: str


class Scheduled(Shape):
    """A schedule or a sensor of Dagster, with its last ticks, the latest first."""

    name: str
    about: str
    running: bool
    when: str
    next_at: str | None
    ticks: list[Tick]


class Schedules(Shape):
    """Dagster's schedules and sensors; `page` is the address of its web page.

    `why` says why nothing is known of them, and what helps.
    """

    page: str
    schedules: list[Scheduled]
    sensors: list[Scheduled]
    why: str


class Setting(Shape):
    """A setting in force, without secrets. `origin` is a variable, a file, `default`, or `given` to the command."""

    name: str
    value: Any
    about: str
    origin: str


class SettingsInForce(Shape):
    """Every setting."""

    settings: list[Setting]


class KnownToken(Shape):
    """What the home knows of a token; the token itself is kept nowhere."""

    name: str
    scope: Scope
    made_at: str
    until: str | None


class KnownTokens(Shape):
    """Every token, by name. `needed` says whether who asks needs one."""

    needed: bool
    tokens: list[KnownToken]


class NewToken(Shape):
    """A token to be made; without `days` it does not end."""

    name: str = Field(max_length=64)
    scope: Scope
    days: float | None = Field(None, ge=0, le=36_500)


class MadeToken(Shape):
    """A token that was made. `token` is told this once."""

    name: str
    scope: Scope
    token: str
