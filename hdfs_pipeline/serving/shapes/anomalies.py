"""Anomalous items of any domain."""

from hdfs_pipeline.serving.shapes.base import Shape


class Anomaly(Shape):
    """A detector's verdict on an item that it calls anomalous."""

    domain: str
    item: str
    entity: str
    detector: str
    version: int
    score: float | None
    threshold: float | None
    kind: str | None
    reason: str | None
    first_time: str | None
    last_time: str | None
    records: int | None
    origin: str
    status: str


class Anomalies(Shape):
    """A page of anomalies: `total` of them fit the question, and `next` is the address of the next page."""

    total: int
    limit: int
    offset: int
    next: str | None
    anomalies: list[Anomaly]
