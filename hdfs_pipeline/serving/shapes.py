"""The JSON of the API, as its OpenAPI document describes it. Times are ISO 8601, UTC, with their zone."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0, lt=2**31)]
Status = Literal["open", "acknowledged", "resolved", "expired", "suppressed"]


class Shape(BaseModel):
    """Base of all: an unknown field in a request is an error, not a silent nothing."""

    model_config = ConfigDict(extra="forbid")


class Incident(Shape):
    """Anomalies that belong together: what, where, since when, how grave, and what to look at next."""

    id: str
    domain: str
    entity: str = Field(description="What went wrong, such as a server as host:port; empty where nothing stands out.")
    kind: str
    title: str
    status: str
    severity: str
    started_at: str | None
    ended_at: str | None
    peak_at: str | None
    opened_at: str | None
    changed_at: str | None
    duration_s: float | None
    items: int
    evidence: str | None
    kinds: dict[str, Any]
    detectors: dict[str, Any]
    details: dict[str, Any]
    next_steps: list[str]
    related: list[str]


class Incidents(Shape):
    """A page of incidents: `total` of them fit the question, and `next` is the address of the next page."""

    total: int
    limit: int
    offset: int
    next: str | None
    incidents: list[Incident]


class Word(Shape):
    """What a person did with an incident."""

    action: str
    note: str
    given_by: str
    given_at: str


class Near(Shape):
    """An incident that may have the same cause."""

    id: str
    title: str
    status: str
    started_at: str | None


class Example(Shape):
    """An item of an incident."""

    item: str
    kind: str | None
    score: float | None
    reason: str | None


class Timeline(Shape):
    """How many anomalies came in each step of time around an incident."""

    begin: str
    end: str
    step_s: float
    own: list[int] = Field(description="Anomalies of the incident, one number a step.")
    others: list[int] = Field(description="Other anomalies of its domain.")


class Peer(Shape):
    """A server, and how many of an incident's anomalies blame it; shares are from 0 to 1."""

    name: str
    items: int
    share: float
    usual: float | None


class WholeIncident(Incident):
    """An incident with what belongs to it."""

    related: list[Near]  # type: ignore[assignment] # in full here, by id in lists
    words: list[Word]
    examples: list[Example]
    timeline: Timeline
    peers: list[Peer]


class Action(Shape):
    """Why, and who says so; of whoever shows a token, its name counts."""

    note: str = Field("", max_length=2000)
    by: str = Field("", max_length=200)


class Said(Shape):
    """What became of an incident."""

    id: str
    kind: str
    entity: str
    before: str
    status: str
    items: int = Field(0, description="Anomalies that got the word `false`, of a false alarm.")


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
