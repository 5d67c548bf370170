"""Times that a request names."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, Field

from hdfs_pipeline.errors import UsageError

Time = Annotated[AwareDatetime, Field(ge=datetime(1970, 1, 1, tzinfo=UTC), lt=datetime(2200, 1, 1, tzinfo=UTC))]
"""A time with its zone, from 1970 to 2199."""


def in_order(start: datetime | None, end: datetime | None) -> tuple[datetime | None, datetime | None]:
    """The edges of a window, as they are. Raises: UsageError where it ends before it begins."""
    if start is not None and end is not None and not start < end:
        raise UsageError(f"the window ends ({end.isoformat()}) before it begins ({start.isoformat()})")
    return start, end
