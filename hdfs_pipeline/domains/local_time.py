"""Times as a program wrote them, without saying in which zone, into UTC."""

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from hdfs_pipeline.errors import SetupError

_QUARTER: Final = 900_000_000  # microseconds in a quarter of an hour: zones change their offset at such times only
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - local times as written


def checked_zone(name: str) -> str:
    """The name of a time zone. Raises: SetupError where there is none of the name."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise SetupError(f"setting log_timezone: no time zone {name!r}; write it like Europe/Berlin or UTC") from None
    return name


def utc(written: np.ndarray, shift: np.ndarray, zone: str, no_zone: int) -> np.ndarray:
    """UTC of times as they were written: (n,) int64 microseconds, `shift` (n,) minutes east, `no_zone` without.

    Those without count as written in `zone`. Of the hour that comes twice at the end of summer time, the later one is
    meant; times of the hour that is skipped count from the offset before it.
    """
    zoned = shift != no_zone
    if not zoned.any():
        return written - offsets(written, zone)
    return written - np.where(zoned, shift * 60_000_000, 0 if zoned.all() else offsets(written, zone))


def offsets(written: np.ndarray, zone: str) -> np.ndarray | int:
    """Microseconds east of UTC of local times (n,) int64 microseconds of a zone."""
    if zone == "UTC":
        return 0
    quarters, inverse = np.unique(written // _QUARTER, return_inverse=True)
    info = ZoneInfo(zone)
    return np.array([_offset(int(quarter), info) for quarter in quarters], np.int64)[inverse]


def _offset(quarter: int, zone: ZoneInfo) -> int:
    """Microseconds east of UTC of a quarter of an hour of local time."""
    local = (_EPOCH + timedelta(microseconds=quarter * _QUARTER)).replace(tzinfo=zone)
    both = (offset for fold in (0, 1) if (offset := local.replace(fold=fold).utcoffset()) is not None)
    return min(both) // timedelta(microseconds=1)
