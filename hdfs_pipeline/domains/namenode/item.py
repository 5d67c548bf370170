"""The item of this domain: a window of a NameNode's metrics. Its id is made from the NameNode and its last step."""

from datetime import UTC, datetime
from typing import Final

import numpy as np

from hdfs_pipeline.domains.contract import Item
from hdfs_pipeline.errors import UsageError


def window_ids(namenode: str, times: np.ndarray) -> np.ndarray:
    """The ids of the windows that end at `times` (n,), Unix seconds: `host:port 2026-11-21T18:00:00.000Z`."""
    instants = np.round(times * 1e6).astype("datetime64[us]").astype("datetime64[ms]")
    return np.char.add(f"{namenode} " if namenode else "", np.char.add(np.datetime_as_string(instants), "Z"))


def parse_window_id(text: str) -> str:
    """The id of a window, as tables write it. Raises: DataError."""
    namenode, _, when = text.strip().rpartition(" ")
    at: datetime | None
    try:
        at = datetime.fromisoformat(when)
        at = at.astimezone(UTC) if at.tzinfo else None
    except (ValueError, OverflowError):
        at = None
    if at is None or ":" not in namenode:
        raise UsageError(f"{text!r} is no id of a window; one looks like {_EXAMPLE}")
    return f"{namenode} {at.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def namenode_and_time(window: str) -> tuple[str, float]:
    """The NameNode of a window, and the time of its last step, Unix seconds to the millisecond."""
    namenode, _, when = window.rpartition(" ")
    return namenode, datetime.fromisoformat(when).timestamp()


_EXAMPLE: Final = "nn1:9870 2026-11-21T18:00:00.000Z"
WINDOW: Final = Item("window", "windows", "window", _EXAMPLE, parse_window_id, str, "the same metrics", counted=False)
