"""Incidents, and what people say of them."""

from typing import Any, Literal

from pydantic import Field

from hdfs_pipeline.serving.shapes.base import Shape

Status = Literal["open", "acknowledged", "resolved", "expired", "suppressed"]


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


class Trend(Shape):
    """How the anomalies of an incident came over its time."""

    counts: list[int] = Field(description="Anomalies in each twelfth of its time.")
    word: str = Field(description="growing, steady or fading of one that goes on, else over.")


class ListedIncident(Incident):
    """An incident in a list."""

    trend: Trend | None = Field(description="Null where the store has none of its anomalies.")


class Incidents(Shape):
    """A page of incidents: `total` of them fit the question, and `next` is the address of the next page."""

    total: int
    limit: int
    offset: int
    next: str | None
    incidents: list[ListedIncident]


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
