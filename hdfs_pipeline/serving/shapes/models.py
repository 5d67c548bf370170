"""Detectors, the versions of their models, and how well they do."""

from typing import Any, Literal

from pydantic import Field

from hdfs_pipeline.serving.shapes.base import Shape


class DetectorFacts(Shape):
    """A detector of a domain. `version` is the one that serves: 0 where it needs no training, null without a model."""

    detector: str
    about: str
    family: str = Field(description="The features that it reads.")
    learns_from: str = Field(description="labels, normals, all, or nothing.")
    needs_labels: bool
    needs_training: bool
    standard: bool = Field(description="Trained where none is named.")
    ready: bool = Field(description="It can judge: it has a model, or needs none.")
    serves: bool = Field(description="Its verdicts lead.")
    version: int | None
    threshold: float | None
    rule: str = Field(description="How the threshold is fixed.")
    trained_by: str = Field(description="The command that trains it.")


class Detectors(Shape):
    """The detectors of a domain."""

    domain: str
    detectors: list[DetectorFacts]


class ModelVersion(Shape):
    """A version of a detector's model: its card, and whether it serves (of its detector)."""

    domain: str
    detector: str
    version: int
    serves: bool
    created_at: str
    family: str
    columns: list[str]
    source: str
    source_fingerprint: str
    threshold: float
    rule: str
    seed: int
    params: dict[str, Any]
    items: int
    anomalies: int | None
    fingerprint: str
    libraries: dict[str, str]
    metrics: dict[str, Any] = Field(description="Figures by split, with intervals.")
    judgement: dict[str, Any] = Field(description="How it was held against the champion of its time.")
    feedback: dict[str, Any]
    facts: dict[str, Any]
    weak: dict[str, Any]
    after: int | None
    files: dict[str, str]
    runs: dict[str, str] = Field(description="Where it was trained: ids and addresses in MLflow and Dagster.")


class Began(Shape):
    """A version that began to serve."""

    detector: str
    version: int
    at: str
    back: bool
    by: str
    note: str


class Models(Shape):
    """The versions of a domain's models, which detector leads and by which policy, and what has served."""

    domain: str
    serving: str
    named: str
    policy: str
    choice: dict[str, Any] | None
    models: list[ModelVersion]
    served: list[Began]


class Figures(Shape):
    """Figures on labelled items, with 95 % intervals where they were resampled."""

    items: int
    anomalies: int
    precision: float
    recall: float
    f1: float
    pr_auc: float | None
    roc_auc: float | None
    false_alarms_per_10k: float
    intervals: dict[str, list[float]]


class Point(Shape):
    """What a threshold would flag; figures are null without labels. `false_share` is that of the normal items."""

    threshold: float
    flagged: int
    precision: float | None
    recall: float | None
    f1: float | None
    false_share: float | None
    false_alarms_per_10k: float | None


class Histogram(Shape):
    """How many items score from each edge to the next, by what is known of them."""

    scale: Literal["linear", "logarithmic"]
    edges: list[float]
    anomaly: list[int]
    normal: list[int]
    unknown: list[int]


class Heeded(Shape):
    """How many items of a word there are, and how many of them are flagged."""

    items: int
    flagged: int


class Beside(Shape):
    """How many items a detector of rules flags as well, and which of the two flags alone."""

    detector: str
    both: int
    this_alone: int
    other_alone: int


class Asked(Shape):
    """What another threshold would flag."""

    threshold: float
    flagged: int
    figures: Figures | None


class DetectorEvaluation(Shape):
    """A detector on the scores that the store holds. `figures` count all items, also those that it learned from.

    `splits` are the figures on items that it had not learned. Both are missing where no labels are known.
    """

    detector: str
    version: int = Field(description="The version whose scores these are.")
    serving_version: int | None
    threshold: float
    items: int
    flagged: int
    known: dict[str, int]
    figures: Figures | None
    splits: dict[str, Figures | None]
    curve: list[Point] = Field(description="At most 200 thresholds: precision over recall, ROC, and what each flags.")
    histogram: Histogram
    words: dict[str, Heeded] = Field(description="People's words on items: real, false.")
    beside: Beside | None
    asked: Asked | None


class Evaluations(Shape):
    """How well the detectors of a domain do on what the home holds."""

    domain: str
    detectors: list[DetectorEvaluation]


class Moved(Shape):
    """How far one figure has moved, and how far it may."""

    name: str
    value: float
    limit: float
    noise: float
    usual: float
    before: float
    after: float
    drifted: bool
    bins: list[tuple[str, float, float]]


class DriftReport(Shape):
    """What has moved since a model was trained."""

    detector: str
    version: int
    status: Literal["steady", "drifted", "too few"]
    verdict: str
    reference: int
    current: int
    least: int
    began: str | None
    ended: str | None
    scores: Moved | None
    unknown: Moved | None
    unseen: Moved | None
    columns: list[Moved]


class Promotion(Shape):
    """Which version is to serve, who wants it and why."""

    domain: str = Field("", description="By default the first of the domains.")
    version: int = Field(ge=1, le=1_000_000)
    by: str = Field("", max_length=200)
    note: str = Field("", max_length=2000)


class RollBack(Shape):
    """That the version that served before is to serve again, who wants it and why."""

    domain: str = Field("", description="By default the first of the domains.")
    by: str = Field("", max_length=200)
    note: str = Field("", max_length=2000)


class Serves(Shape):
    """The version that served before, the one that serves now, and whether MLflow knows the latter."""

    detector: str
    before: int | None
    now: int
    alias_moved: bool
