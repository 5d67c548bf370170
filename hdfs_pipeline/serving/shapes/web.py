"""Web traffic: windows of services and endpoint groups, and the requests that they count."""

from typing import Literal

from pydantic import Field

from hdfs_pipeline.serving.shapes.base import Shape
from hdfs_pipeline.serving.shapes.marks import Marked
from hdfs_pipeline.serving.shapes.window import Time

Numbers = list[float | None]
_SERVICE = Field("", max_length=300, description="A service as windows write it, `-` for none; by default all.")
_ENDPOINT = Field("", max_length=300, description="An endpoint group of it; by default all.")


class AskedWindow(Shape):
    """A span of time; by default the day before the end of the latest window."""

    from_ts: Time | None = None
    to_ts: Time | None = None


class AskedTraffic(AskedWindow):
    """A span of time, a service and an endpoint group."""

    service: str = _SERVICE
    endpoint: str = _ENDPOINT


class AskedLines(AskedTraffic):
    """Beside them how many steps of time are told."""

    points: int = Field(720, ge=2, le=5000, description="Steps of time at most; more windows are put together.")


class AskedTop(AskedTraffic):
    """Beside them how many rows are told."""

    limit: int = Field(40, ge=1, le=1000)


class AskedEndpoints(AskedWindow):
    """A span of time and a service, and how many of its endpoint groups are told."""

    service: str = _SERVICE
    limit: int = Field(40, ge=1, le=1000)


class AskedRequests(AskedTop):
    """Which requests are asked for, and which page of them."""

    offset: int = Field(0, ge=0, le=1_000_000)
    show: Literal["all", "anomalous"] = Field("all", description="Of the anomalous ones the latest 1,000.")


class Span(Shape):
    """The span of time that an answer is about; null where the home has no windows."""

    begin: str | None
    end: str | None


class WebService(Shape):
    """What a service was asked in a span of time: `errors` have a status of 500 and above, `client_errors` of 4xx."""

    service: str
    requests: int
    errors: int
    client_errors: int
    first_time: str
    last_time: str


class WebServices(Span):
    """The services, the busiest first."""

    services: list[WebService]


class WindowLines(Shape):
    """Measures by minute: of each step the greatest of its minutes; null where there is no window."""

    least_requests: Numbers = Field(description="The least of the step's minutes.")
    requests: Numbers
    usual_requests: Numbers = Field(description="What was usual in the hour before, on average.")
    errors: Numbers
    client_errors: Numbers
    p50_ms: Numbers = Field(description="Of several services that of the slowest, as the two below.")
    p95_ms: Numbers
    p99_ms: Numbers


class WindowTotal(Shape):
    """Requests of a span of time; `late` are those that came after their window had closed."""

    requests: int
    errors: int
    late: int


class WebWindows(Span):
    """How a service answered over time, and which of its windows are anomalous."""

    service: str
    endpoint: str
    times: list[str]
    step_s: float
    lines: WindowLines
    total: WindowTotal
    anomalies: list[Marked]


class WebEndpoint(Shape):
    """How an endpoint group answered in a span of time; null without response times."""

    service: str
    endpoint: str
    requests: int
    errors: int
    client_errors: int
    error_rate: float = Field(description="From 0 to 1.")
    bytes: int
    mean_ms: float | None
    p95_ms: float | None = Field(description="Of a usual minute.")
    worst_p99_ms: float | None = Field(description="Of its worst minute.")


class WebEndpoints(Span):
    """Endpoint groups, those with the most errors first."""

    endpoints: list[WebEndpoint]


class Latency(Shape):
    """How many requests were answered within a range of time."""

    from_ms: float
    to_ms: float
    requests: int


class Latencies(Span):
    """Response times, in ranges of half an octave."""

    latencies: list[Latency]


class WebClient(Shape):
    """What a client asked for in a span of time."""

    client: str
    network: str
    requests: int
    misses: int
    errors: int
    endpoints: int
    bytes: int
    first_time: str
    last_time: str


class WebClients(Span):
    """Clients, those with the most requests first."""

    clients: list[WebClient]


class Answered(Shape):
    """How many requests were answered with a status; 0 is an unknown one."""

    status: int
    requests: int


class Statuses(Span):
    """Requests by the status of their answers."""

    statuses: list[Answered]


class WebRequest(Shape):
    """A request, and why it is anomalous; null where it is not."""

    item: str
    time: str
    service: str
    client: str
    account: str
    method: str
    path: str
    query: str
    status: int
    bytes: int | None
    response_ms: float | None
    referer: str
    agent: str
    endpoint: str
    anomaly: Marked | None


class WebRequests(Span):
    """A page of requests, the newest first: `total` of them fit, and `next` is the address of the next page."""

    total: int
    limit: int
    offset: int
    next: str | None
    requests: list[WebRequest]
