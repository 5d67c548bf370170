"""Experiments on load: what was run, and what it tells side by side."""

from typing import Any, Literal

from pydantic import Field

from hdfs_pipeline.serving.shapes.base import Shape


class AskedLoad(Shape):
    """What an experiment was asked to do. `rate` is of each producer, 0 as fast as it goes."""

    name: str
    producers: int
    consumers: int
    partitions: int
    duration_s: float
    rate: float
    payload: str
    detector: str


class Experiment(Shape):
    """An experiment, and what came of it."""

    experiment: str = Field(description="Its name and when it was started.")
    load: AskedLoad
    status: Literal["running", "completed", "failed"]
    reason: str = Field(description="Why it failed; else empty.")
    host: dict[str, Any] = Field(description="The machine that it ran on, and its broker.")
    started_at: str
    ended_at: str | None


class Experiments(Shape):
    """A page of experiments: `total` of them fit the question, and `next` is the address of the next page."""

    total: int
    limit: int
    offset: int
    next: str | None
    experiments: list[Experiment]


class ComparedLoad(Shape):
    """The trials of one load: means, with the 95 % interval of what was read, which takes two trials."""

    name: str
    load: AskedLoad
    trials: list[str]
    sent_per_s: float
    read_per_s: float
    low: float | None
    high: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    unread: float
    verdicts_per_s: float
    cores: dict[str, float] = Field(description="By kind of process.")
    sampling_share: float
    limit: str = Field(description="What limited it.")
    why: str
    efficiency: float | None = Field(description="What a consumer reads, beside the like load with the fewest of them.")


class Knee(Shape):
    """The Universal Scalability Law over consumers, each value with its standard error; null where it is not known."""

    rate: list[float | None]
    contention: list[float | None]
    coherency: list[float | None]
    peak: float | None = Field(description="Consumers beyond which more of them read less.")


class ExperimentReport(Shape):
    """Completed experiments side by side, and what to do."""

    experiments: list[ComparedLoad]
    knee: Knee | None = Field(description="Null with less than three numbers of consumers.")
    recommendation: list[str]
