"""Patterns: how often records matched each template within a window of time, step by step, and before it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hdfs_pipeline.scoring.catalogue import UNKNOWN, Catalogue

Span = tuple[datetime, datetime]
"""A span of time [from, to)."""

STEP: Final = """CASE WHEN time >= $begin::TIMESTAMPTZ
    THEN least((epoch_us(time) - epoch_us($begin::TIMESTAMPTZ)) // $step, $steps - 1)
    WHEN time >= $earlier::TIMESTAMPTZ THEN -1 ELSE -2 END::INTEGER"""
"""SQL of the step of a window that `time` lies in, from 0; -1 within the window before it, -2 earlier still."""


@dataclass(frozen=True)
class Pattern:
    """How often records matched a template within a window of time; `counts` has a number for each step of it.

    `before` counts those of the window of the same length before it, and `total` all up to its end. `first_time` is
    the time of the very first of all, `last_time` that of the last one.
    """

    template: str
    name: str
    text: str
    severity: str
    counts: tuple[int, ...]
    before: int
    total: int
    first_time: datetime
    last_time: datetime

    @property
    def records(self) -> int:
        """How many there were in the window."""
        return sum(self.counts)


def window(span: Span, steps: int) -> dict[str, Any]:
    """The parameters of `STEP`, and `end`, for so many equal steps of a span."""
    begin, end = span
    try:
        earlier = begin - (end - begin)
    except OverflowError:
        earlier = datetime.min.replace(tzinfo=UTC)
    step = max((end - begin) // timedelta(microseconds=1) // steps, 1)
    return {"begin": begin, "end": end, "earlier": earlier, "step": step, "steps": steps}


def patterns_of(rows: Iterable[Mapping[str, Any]], catalogue: Catalogue, steps: int) -> list[Pattern]:
    """The patterns of counts by `event_id` and `step` (see `STEP`): `records`, `first_time` and `last_time` of each."""
    counts: dict[str, list[int]] = {}
    before: dict[str, int] = {}
    times: dict[str, list[datetime]] = {}
    total: dict[str, int] = {}
    for row in rows:
        event, step, records = row["event_id"], row["step"], int(row["records"])
        mine = counts.setdefault(event, [0] * steps)
        if step >= 0:
            mine[step] += records
        elif step == -1:
            before[event] = before.get(event, 0) + records
        total[event] = total.get(event, 0) + records
        times.setdefault(event, []).extend((row["first_time"], row["last_time"]))
    texts = {UNKNOWN: ""} | {template.event_id: template.text for template in catalogue.templates}
    return [
        Pattern(
            event,
            catalogue.describe(event),
            texts.get(event, ""),
            catalogue.severity(event),
            tuple(mine),
            before.get(event, 0),
            total[event],
            min(times[event]),
            max(times[event]),
        )
        for event, mine in counts.items()
    ]
