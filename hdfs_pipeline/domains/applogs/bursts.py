"""How many messages and errors of a service there have been in its minute so far, in the order of their source.

The batch counts them by SQL, a stream by a fold that remembers a few minutes, and both say exactly the same. A message
that comes more than `HORIZON` minutes later than a later one of its service counts by itself. The fold knows at most
`MOST` services: of more it forgets those whose minute has not changed for longest.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Final

import numpy as np

from hdfs_pipeline.domains.applogs.levels import LEVELS
from hdfs_pipeline.store.quoting import quoted_list

HORIZON: Final = 10
"""Minutes of event time that the fold remembers of each service."""
MOST: Final = 20_000
"""Services, by source, that the fold remembers."""
GRAVE: Final = LEVELS[-2:]
"""The levels of what counts as an error."""
_MINUTE_US: Final = 60_000_000


def counted_sql(relation: str) -> str:
    """SELECT of a relation of messages with `messages` and `errors` of the service in the minute so far, INTEGER."""
    return f"""SELECT * EXCLUDE (minute_now, error_now, late_now),
            if(late_now, 1, count(*) OVER so_far)::INTEGER AS messages,
            if(late_now, error_now, sum(error_now) OVER so_far)::INTEGER AS errors
        FROM (SELECT *, epoch_us(time) // {_MINUTE_US} AS minute_now,
            (level IN ({quoted_list(GRAVE)}))::INTEGER AS error_now,
            minute_now < max(minute_now) OVER (PARTITION BY source_id, service ORDER BY position
                ROWS UNBOUNDED PRECEDING) - {HORIZON} AS late_now
            FROM {relation})
        WINDOW so_far AS (PARTITION BY source_id, service, minute_now, late_now ORDER BY position
            ROWS UNBOUNDED PRECEDING)"""


class Bursts:
    """The fold: what it is given in pieces it counts as if it came at once."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, str], tuple[int, dict[int, tuple[int, int]]]] = {}

    def count(
        self, sources: Sequence[int], services: Sequence[str], time: np.ndarray, levels: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Messages and errors (n,) int32 of each message's service in its minute so far, with itself.

        `sources` (n,) are numbers of sources, `time` (n,) int64 microseconds; the messages of a source come in order.
        """
        messages, errors = np.empty(len(time), np.int32), np.empty(len(time), np.int32)
        rows = zip(sources, services, (time // _MINUTE_US).tolist(), levels, strict=True)
        for at, (source, service, minute, level) in enumerate(rows):
            grave = level in GRAVE
            latest, counts = self._seen.get((source, service), (minute, None))
            if minute < latest - HORIZON:
                messages[at], errors[at] = 1, grave
                continue
            if counts is None or minute > latest:
                latest = minute
                counts = {m: c for m, c in (counts or {}).items() if m >= latest - HORIZON}
                self._seen.pop((source, service), None)  # the latest stands last
                self._seen[source, service] = latest, counts
                if len(self._seen) > MOST:
                    for key in [*islice(self._seen, MOST // 2)]:
                        del self._seen[key]
            before = counts.get(minute, (0, 0))
            counts[minute] = now = (before[0] + 1, before[1] + grave)
            messages[at], errors[at] = now
        return messages, errors

    def forget(self, sources: Sequence[int]) -> None:
        """Forget sources that were given up."""
        for key in [key for key in self._seen if key[0] in sources]:
            del self._seen[key]
