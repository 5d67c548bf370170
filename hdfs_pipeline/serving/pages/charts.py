"""Long series as pictures: what the browser draws, and beside it the sentence and the table that say the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isnan
from typing import Any, Final

ROWS: Final = 24
"""Rows of a table at most: each stands for a stretch of the picture."""

Values = Sequence[float | None]


@dataclass(frozen=True)
class Chart:
    """A picture over time, under an `id` of its own on the page.

    `data` is what `charts.js` takes: `x` in Unix seconds, `lines` (label, values, and as what each is drawn), and
    what else it says there. `heads` and `rows` are the table, `summary` the sentence.
    """

    id: str
    title: str
    summary: str
    data: Mapping[str, Any]
    heads: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = field(default_factory=list)


def line(label: str, values: Values, kind: str = "actual") -> dict[str, Any]:
    """A line of a picture; its `kind` says how it is drawn: actual, low (the lower edge of a band), expected, held."""
    return {"label": label, "values": [*values], "kind": kind}


def table_rows(times: Sequence[float], columns: Sequence[tuple[Values, Values]], most: int = ROWS) -> list[list[str]]:
    """Series of lows and highs at `times` as rows of a table: the time, and of each series what lies in the stretch."""
    every = -(-len(times) // most) or 1
    rows = []
    for begin in range(0, len(times), every):
        part = slice(begin, begin + every)
        cells = [spread(low[part], high[part]) for low, high in columns]
        rows.append([f"{datetime.fromtimestamp(times[begin], UTC):%Y-%m-%d %H:%M:%S}", *cells])
    return rows


def spread(low: Values, high: Values) -> str:
    """From the least to the greatest of values, as people read it; – where there is none."""
    known = [value for value in low if value is not None and not isnan(value)]
    if not known:
        return "–"
    least, most = min(known), max(value for value in high if value is not None)
    return number(least) if number(least) == number(most) else f"{number(least)} to {number(most)}"


def number(value: float | None) -> str:
    """A number of three digits or more: 0.52, 10.1, 4,070; – for none."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def seconds(text: str) -> float:
    """An ISO time as Unix seconds."""
    return round(datetime.fromisoformat(text).timestamp(), 3)
