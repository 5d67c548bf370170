"""Jobs: work that goes on after its request was answered."""

from typing import Any, Literal

from pydantic import Field

from hdfs_pipeline.serving.shapes.base import Shape


class JobState(Shape):
    """A job: what it does, how far it is, and in the end its result or what went wrong."""

    id: str
    kind: str
    url: str = Field(description="Where to ask again.")
    state: Literal["running", "done", "failed"]
    step: str
    share: float | None = Field(description="What is done of it, 0 to 1; null where that is not known.")
    started_at: str
    ended_at: str | None
    result: dict[str, Any] | None
    error: str
