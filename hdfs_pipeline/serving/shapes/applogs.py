"""Messages of applications: by service over time, by template, and one by one."""

from typing import Literal

from pydantic import Field

from hdfs_pipeline.serving.shapes.base import Shape
from hdfs_pipeline.serving.shapes.marks import Marked
from hdfs_pipeline.serving.shapes.web import AskedWindow, Span


class AskedMessages(AskedWindow):
    """A span of time, by default the day before the latest message, and whose messages of which levels."""

    service: list[str] = Field([], max_length=50, description="One or several; by default all.")
    level: list[str] = Field([], max_length=20, description="One or several: TRACE, DEBUG, INFO, WARN, ERROR, FATAL.")


class AskedCounts(AskedMessages):
    """Beside them how many steps of time are told."""

    points: int = Field(720, ge=2, le=5000, description="Steps of time at most; more minutes are put together.")


class AskedTemplates(AskedMessages):
    """Beside them how many templates are told."""

    limit: int = Field(40, ge=1, le=1000)


class AskedNewest(AskedMessages):
    """Which messages are asked for, and which page of them."""

    limit: int = Field(40, ge=1, le=1000)
    offset: int = Field(0, ge=0, le=1_000_000)
    show: Literal["all", "anomalous"] = Field("all", description="Of the anomalous ones the latest 1,000.")


class AppService(Shape):
    """What a service wrote in a span of time; `errors` are messages of level ERROR and FATAL."""

    service: str
    messages: int
    errors: int
    first_time: str
    last_time: str


class AppServices(Span):
    """The services, the busiest first."""

    services: list[AppService]


class ServiceLine(Shape):
    """Messages and errors a minute of a service, the mean of each step."""

    service: str = Field(description="`all others` where there are more than six.")
    messages: list[float]
    errors: list[float]


class Written(Shape):
    """Messages and errors of a span of time."""

    messages: int
    errors: int


class AppCounts(Span):
    """Messages and errors over time, by service."""

    times: list[str]
    step_s: float
    services: list[ServiceLine]
    total: Written


class AppTemplate(Shape):
    """How often messages matched a template, step by step."""

    template: str = Field(description="Empty for messages that match none.")
    name: str
    messages: int
    errors: int
    counts: list[int]
    services: list[str]
    example: str
    last_time: str


class AppTemplates(Span):
    """Templates, those with the most errors first, then the most frequent ones."""

    templates: list[AppTemplate]


class AppMessage(Shape):
    """A message, and why it is anomalous; null where it is not."""

    item: str
    time: str
    service: str
    level: str
    host: str
    logger: str
    message: str
    more: str
    template: str
    anomaly: Marked | None


class AppMessages(Span):
    """A page of messages, the newest first: `total` of them fit, and `next` is the address of the next page."""

    total: int
    limit: int
    offset: int
    next: str | None
    messages: list[AppMessage]
