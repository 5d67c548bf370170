"""A NameNode: its models, baselines and reports, its metrics over time, and the state of HDFS."""

from typing import Annotated, Any

from pydantic import Field

from hdfs_pipeline.serving.shapes.base import Shape
from hdfs_pipeline.serving.shapes.window import Time

NameNodeName = Annotated[
    str, Field(max_length=300, description="host:port; needed where several are polled and not just one is active.")
]
Points = Annotated[int, Field(ge=2, le=5000, description="Steps of time at most; more polls are put together.")]
Numbers = list[float | None]


class Finding(Shape):
    """What is odd about a baseline; where it is `serious`, what is learned from it may be wrong."""

    kind: str
    message: str
    serious: bool


class Stretch(Shape):
    """A stretch of time from which nothing is learned, and why."""

    start: str = Field(alias="from")
    end: str = Field(alias="to")
    why: str


class DetectorInUse(Shape):
    """A detector's model that serves. `facts` are what it remembers of its training, such as `losses` by epoch."""

    about: str
    opens_incidents: bool
    version: int
    threshold: float
    rule: str
    facts: dict[str, Any]
    seconds: float
    seed: int


class ModelStatus(Shape):
    """The models that serve; `detector` is the one whose verdict counts, and the rest is of its training."""

    trained: bool
    detector: str
    serving: int | None
    versions: list[int]
    detectors: dict[str, DetectorInUse]
    rules: dict[str, float]
    namenode: str | None = None
    role: str | None = None
    trained_from: str | None = None
    trained_to: str | None = None
    steps: int | None = None
    left_out: list[Stretch] | None = None
    findings: list[Finding] | None = None
    created_at: str | None = None
    params: dict[str, Any] | None = None


class AskedBaseline(Shape):
    """A window to learn from; by default the last `namenode_baseline_hours`."""

    from_ts: Time | None = None
    to_ts: Time | None = None
    namenode: NameNodeName = ""
    with_incidents: bool = Field(False, description="Look at the steps of incidents too.")


class Baseline(Shape):
    """Whether a window can be learned from. `why_not` is empty where it can."""

    namenode: str
    role: str
    start: str | None = Field(alias="from")
    end: str | None = Field(alias="to")
    samples: int
    steps: int = Field(description="That are left to learn from.")
    step_s: float
    gaps: int
    longest_gap_s: float
    left_out: list[Stretch]
    findings: list[Finding]
    why_not: str


class ToTrain(Shape):
    """What is to be learned from: the polls of a NameNode in a window."""

    from_ts: Time
    to_ts: Time
    namenode: NameNodeName = ""
    with_incidents: bool = Field(False, description="Learn from incidents too, for instance after a lasting change.")


class ToReport(Shape):
    """The window to judge, and what to show of it."""

    from_ts: Time
    to_ts: Time
    namenode: NameNodeName = ""
    threshold_override: float | None = Field(
        None,
        gt=0,
        le=1e12,
        allow_inf_nan=False,
        description="In place of the threshold of the detector that serves; the other learned ones move in proportion.",
    )
    metrics: list[str] = Field([], max_length=12, description="Metrics whose series are wanted.")
    points: Points = 600


class DetectorInWindow(Shape):
    """What a detector says of a window."""

    version: int
    threshold: float
    threshold_rule: str
    steps_over: int
    highest: float


class MetricPart(Shape):
    """A metric's part in an incident, at its worst step; `rate` is in calls a second."""

    metric: str
    share: float
    actual: float | None
    expected: float | None
    direction: str
    spreads: float | None
    rate: float | None
    usual_rate: float | None


class User(Shape):
    """A user's calls of an operation a minute: the most, and the mean in the baseline."""

    user: str
    operation: str
    calls: float
    usual: float


class LikelyCause(Shape):
    """What may be behind an incident, and what that rests on."""

    name: str
    evidence: str | None


class FoundBy(Shape):
    """A detector that saw an incident."""

    score: float
    threshold: float
    version: int
    opened: bool


class IncidentInWindow(Shape):
    """An incident of a window, with its likely cause, its metrics and who called."""

    start: str
    end: str
    peak: str
    opened: str
    duration_s: float
    status: str
    severity: str
    cause: LikelyCause
    detectors: dict[str, FoundBy]
    metrics: list[MetricPart]
    users: list[User]


class RankedCause(LikelyCause):
    """A likely cause of one or several incidents, with what the gravest of them shows."""

    incidents: int
    duration_s: float
    severity: str
    metrics: list[MetricPart]


class ActualAndExpected(Shape):
    """A metric over the steps of time: least and greatest value of each, and what was expected."""

    unit: str
    low: Numbers
    high: Numbers
    expected: Numbers


class Series(Shape):
    """Metrics over time; `step_s` is 0 where a step is one poll. A null is a gap, or what nobody called."""

    step_s: float
    times: list[str]
    metrics: dict[str, ActualAndExpected]


class Report(Shape):
    """What the models say of a window; nothing of it is kept. The serving detector comes first in `detectors`."""

    namenode: str
    start: str | None = Field(alias="from")
    end: str | None = Field(alias="to")
    steps: int
    step_s: float
    note: str
    detectors: dict[str, DetectorInWindow]
    incidents: list[IncidentInWindow] = Field(description="The gravest first.")
    causes: list[RankedCause] = Field(description="The gravest first.")
    users: list[User] = Field(description="Who called most beyond the usual.")
    times: list[str]
    scores: dict[str, Numbers] = Field(description="Of each detector, one a step; the error of reconstruction.")
    series: Series


class AskedMetrics(Shape):
    """Which metrics are asked for, and of which window; by default all of the time."""

    metric: list[str] = Field(..., min_length=1, max_length=12, description="One or several.")
    from_ts: Time | None = None
    to_ts: Time | None = None
    namenode: NameNodeName = ""
    points: Points = 600


class LowAndHigh(Shape):
    """A metric over the steps of time: least and greatest value of each."""

    unit: str
    low: Numbers
    high: Numbers


class Metrics(Shape):
    """Metrics over time, as they were measured; `step_s` is 0 where a step is one poll. A null is a gap."""

    namenode: str
    polls: int
    step_s: float
    times: list[str]
    metrics: dict[str, LowAndHigh]


class HdfsState(Shape):
    """The state of HDFS at the last poll; `unseen` is what cannot be seen from there."""

    namenode: str
    polled_at: str | None
    role: str
    safe_mode: str | None
    note: str | None
    state: dict[str, dict[str, Any]]
    absent: list[dict[str, str]]
    troubles: list[dict[str, Any]]
    datanodes: list[dict[str, Any]]
    replicas_verified: int | None
    unseen: list[str]


class AskedState(Shape):
    """Which window is asked for; by default the last day."""

    from_ts: Time | None = None
    to_ts: Time | None = None
    namenode: NameNodeName = ""


class HdfsSeries(Shape):
    """Figures of the state of HDFS over time: the worst of each step."""

    namenode: str
    step_s: float
    times: list[str]
    values: dict[str, Numbers]
