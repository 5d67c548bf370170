"""Times that a request names."""

from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, Field

from hdfs_pipeline.errors import UsageError
from hdfs_pipeline.verdicts.status import EARLIEST, TOO_LATE

Time = Annotated[AwareDatetime, Field(ge=EARLIEST, lt=TOO_LATE)]
"""A time with its zone, from 1970 to 2199."""


def in_order(start: datetime | None, end: datetime | None) -> tuple[datetime | None, datetime | None]:
    """The edges of a window, as they are. Raises: UsageError where it ends before it begins."""
    if start is not None and end is not None and not start < end:
        raise UsageError(f"the window ends ({end.isoformat()}) before it begins ({start.isoformat()})")
    return start, end
