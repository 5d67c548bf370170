"""Levels of messages: one name for each, and their order."""

from typing import Final

import numpy as np
import pyarrow as pa

LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
"""From the least to the gravest; the code of a level is its place from 1 on, 0 of one that is none of these."""
ERROR: Final = LEVELS.index("ERROR") + 1
FATAL: Final = LEVELS.index("FATAL") + 1
_OTHERS: Final = {
    "VERBOSE": "TRACE",
    "FINEST": "TRACE",
    "FINER": "DEBUG",
    "FINE": "DEBUG",
    "INFORMATION": "INFO",
    "INFORMATIONAL": "INFO",
    "NOTICE": "INFO",
    "CONFIG": "INFO",
    "WARNING": "WARN",
    "ERR": "ERROR",
    "SEVERE": "ERROR",
    "CRITICAL": "FATAL",
    "CRIT": "FATAL",
    "ALERT": "FATAL",
    "EMERGENCY": "FATAL",
    "EMERG": "FATAL",
    "PANIC": "FATAL",
}
_NUMBERED: Final = 4  # numbers of OpenTelemetry that each level has, from 1 on


class _Names(dict[str, str]):
    """The name of a level by how it was written; what is written is kept, since few ways are."""

    def __missing__(self, written: str) -> str:
        upper = written.strip().upper()[:16]
        name = _OTHERS.get(upper, upper)
        if len(self) < 1_000:
            self[written] = name
        return name


level_named: Final = _Names().__getitem__
"""The name of a level as it was written: one of `LEVELS`, or what was written, in capitals."""


def level_numbered(number: int) -> str:
    """The level of a number of OpenTelemetry (1 to 24: four for each of `LEVELS`); '' for any other."""
    return LEVELS[(number - 1) // _NUMBERED] if 0 < number <= _NUMBERED * len(LEVELS) else ""


def level_codes(levels: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """The code (n,) float32 of each level of `LEVELS`; 0 of any other."""
    import pyarrow.compute as pc

    places = pc.fill_null(pc.index_in(levels, pa.array(LEVELS, pa.string())), -1)
    return np.asarray(places.to_numpy(), np.float32) + 1
