"""Visits of simulated clients: sessions that walk from page to page, with the files that pages bring along."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hdfs_pipeline.domains.simulation import Floats, load
from hdfs_pipeline.domains.weblogs.simulated_site import (
    AUDIENCES,
    PROBE_QUERIES,
    PROBES,
    SERVICES,
    VARIABLES,
    WORDS,
    Endpoint,
)

SERVICE_NAMES: Final = tuple(SERVICES)
NO_REFERER: Final = -1
SEARCH_ENGINE: Final = -2
CLIENTS: Final = 1 << 40
"""Clients of an audience are numbered from its row times this; scanners come after all audiences."""
SCANNERS_FROM: Final = len(AUDIENCES) * CLIENTS
MOST_SCANNERS: Final = 4
"""Scanners of one scan."""
_WALK: Final = 0.6  # how often users follow a page's own links
_MOST_VIEWS: Final = 6  # times the mean
Rows = NDArray[np.void]
Integers = NDArray[np.int64]

ROW: Final = np.dtype(
    [
        ("time", "i8"),  # microseconds since 1970
        ("service", "i1"),
        ("endpoint", "i2"),  # a row of ENDPOINTS
        ("variable", "i4"),  # a row of `pool`
        ("from_endpoint", "i2"),
        ("from_variable", "i4"),
        ("client", "i8"),
        ("status", "i2"),  # 0: as the endpoint answers
        ("label", "i1"),
    ]
)

_PROBED: Final = tuple(
    Endpoint(path, 1, 3, 0.6, 153, 0.0005, 0.0, status=404, query=query)
    for path in PROBES
    for query in dict.fromkeys(("", PROBE_QUERIES[len(path) % len(PROBE_QUERIES)]))
) + tuple(
    Endpoint(path, 6, 3, 0.6, 153, 0.0005, 0.0, status=404, variable="word")
    for path in ("/{}", "/{}.php", "/{}/admin", "/{}.bak", "/old/{}", "/{}.zip")
)  # fmt: skip
ENDPOINTS: Final = tuple(endpoint for group in SERVICES.values() for endpoint in group) + _PROBED
FIRST_PROBE: Final = len(ENDPOINTS) - len(_PROBED)
SERVICE_OF: Final = np.repeat(np.arange(len(SERVICES)), [len(group) for group in SERVICES.values()])


@dataclass(frozen=True)
class _Group:
    """How an audience moves: endpoints of its pages, first choices and transitions as running sums, parts of pages."""

    pages: Integers
    first: Floats
    next: Floats
    parts: Integers
    part: Floats


@cache
def _group(row: int) -> _Group:
    audience = AUDIENCES[row]
    service = SERVICE_NAMES.index(audience.service)
    mine = np.flatnonzero(service == SERVICE_OF)
    pages = [
        number
        for number in mine
        if not ENDPOINTS[number].part and (not audience.only or ENDPOINTS[number].path == audience.only)
    ]
    parts = [number for number in mine if ENDPOINTS[number].part]
    weights = np.array([ENDPOINTS[page].weight for page in pages])
    chosen = np.tile(weights / weights.sum(), (len(pages), 1))
    for line, page in enumerate(pages):
        linked = [column for column, other in enumerate(pages) if ENDPOINTS[other].path in ENDPOINTS[page].leads_to]
        if linked:
            chosen[line] *= 1 - _WALK
            chosen[line, linked] += _WALK / len(linked)
    part = np.array([ENDPOINTS[number].weight for number in parts] or [1.0])
    return _Group(
        np.array(pages), np.cumsum(weights / weights.sum()), np.cumsum(chosen, 1), np.array(parts), np.cumsum(part)
    )


@cache
def pool() -> tuple[list[str], dict[str, tuple[int, int]]]:
    """Texts of variables, and of each variable its first row there and the number of its rows."""
    rng = np.random.default_rng(20_261_130)
    words = [WORDS[row] for row in rng.integers(0, len(WORDS), 800)]
    days = [f"2026-{month:02d}-{day:02d}" for month in (10, 11) for day in range(1, 31)]
    folders = [f"/user/etl/{words[row % 20]}/{day}" for row in range(20) for day in days]
    texts = {
        "": [""],
        "id": [str(number) for number in rng.permutation(np.arange(1, 90_000))[:20_000]],
        "slug": [f"{one}-{two}-{row}" for row, (one, two) in enumerate(zip(words[:150], words[150:300], strict=True))],
        "hex": [f"{number:08x}" for number in rng.integers(1 << 28, 1 << 32, 40)],
        "word": list(WORDS),
        "image": [f"{words[row % 300]}-{row}" for row in range(2_000)],
        "file": [f"{folder}/part-{part:05d}.snappy.parquet" for folder in folders for part in range(8)],
        "folder": folders,
    }
    places: dict[str, tuple[int, int]] = {}
    everything: list[str] = []
    for name in VARIABLES:
        places[name] = (len(everything), len(texts[name]))
        everything += texts[name]
    return everything, places


@cache
def _spans() -> Integers:
    """The first row and the number of rows (k, 2) of the pool that the variable of each endpoint has."""
    places = pool()[1]
    return np.array([places[endpoint.variable] for endpoint in ENDPOINTS], np.int64)


def variables(rng: np.random.Generator, endpoints: Integers) -> Integers:
    """Rows of the pool for requests of endpoints; a few of each pool are asked for most."""
    spans = _spans()[endpoints]
    chosen: Integers = spans[:, 0] + (rng.random(len(endpoints)) ** 3 * spans[:, 1]).astype(np.int64)
    return chosen


def sessions(
    rng: np.random.Generator, row: int, starts: Floats, people: int, *, landing: int = -1, views: float = 0.0
) -> Rows:
    """The requests of sessions of an audience that start at `starts` (seconds since 1970), in no order.

    `landing` is the endpoint that all of them begin with, -1 for any; `views` another mean number of pages.
    """
    audience, group = AUDIENCES[row], _group(row)
    views = views or audience.views
    left = np.minimum(rng.geometric(1 / views, len(starts)), int(_MOST_VIEWS * views))
    clients = row * CLIENTS + (rng.random(len(starts)) ** 1.5 * people).astype(np.int64)
    page = np.minimum(np.searchsorted(group.first, rng.random(len(starts))), len(group.pages) - 1)
    if landing >= 0:
        page[:] = np.flatnonzero(group.pages == landing)[0]
    times, shown = starts, []
    before = np.full(len(starts), NO_REFERER), np.zeros(len(starts), np.int64)
    if group.parts.size:
        before[0][rng.random(len(starts)) < 0.35] = SEARCH_ENGINE
    while len(times):
        rows = np.zeros(len(times), ROW)
        rows["time"], rows["client"] = times * 1e6, clients
        rows["endpoint"] = group.pages[page]
        rows["variable"] = variables(rng, group.pages[page])
        rows["from_endpoint"], rows["from_variable"] = before
        shown.append(rows)
        stay = left > len(shown)
        times, clients, left, page, rows = times[stay], clients[stay], left[stay], page[stay], rows[stay]
        before = rows["endpoint"].astype(np.int64), rows["variable"].astype(np.int64)
        if not group.parts.size:  # programs follow no links
            before = np.full(len(times), NO_REFERER), np.zeros(len(times), np.int64)
        times = times + rng.lognormal(np.log(audience.gap_s), audience.gap_sigma, len(times))
        page = np.minimum((rng.random(len(times))[:, None] > group.next[page]).sum(1), len(group.pages) - 1)
    seen = np.concatenate(shown) if shown else np.zeros(0, ROW)
    all_rows = np.concatenate([seen, _parts(rng, seen, group, audience.parts)]) if audience.parts else seen
    all_rows["service"] = SERVICE_NAMES.index(audience.service)
    return all_rows


def _parts(rng: np.random.Generator, pages: Rows, group: _Group, mean: float) -> Rows:
    """What browsers load with pages: as many as `mean` for each, within about a second."""
    rows = np.repeat(pages, rng.poisson(mean, len(pages)))
    rows["from_endpoint"], rows["from_variable"] = rows["endpoint"], rows["variable"]
    drawn = np.searchsorted(group.part, rng.random(len(rows)) * group.part[-1])
    endpoints = group.parts[np.minimum(drawn, len(group.parts) - 1)]
    rows["time"] += (60_000 + rng.exponential(250_000, len(rows))).astype(np.int64)
    rows["endpoint"], rows["variable"] = endpoints, variables(rng, endpoints)
    return rows


@cache
def mix(row: int) -> tuple[float, Floats]:
    """Requests of a session of an audience on average, and which share of them each endpoint has."""
    rng = np.random.default_rng(row)
    rows = sessions(rng, row, np.zeros(4_000), 10)
    return len(rows) / 4_000, np.bincount(rows["endpoint"], minlength=len(ENDPOINTS)) / len(rows)


def expected(rate: float, moment: float) -> Floats:
    """Requests a second of each endpoint at a time (seconds since 1970), where a week has `rate` on average."""
    total = np.zeros(len(ENDPOINTS))
    for row, audience in enumerate(AUDIENCES):
        total += rate * audience.share * load(moment, audience.depth) * mix(row)[1]
    return total


@cache
def _minutes_of_visits(row: int) -> Floats:
    """In how many minutes a session of an audience asks for each endpoint, on average, and for any, as the last."""
    rng, count = np.random.default_rng(row), 4_000
    rows = sessions(rng, row, rng.uniform(0, 60, count), CLIENTS)  # so many that each session has its own client
    minutes = np.column_stack([rows["client"], rows["time"] // 60_000_000])
    known = np.zeros(len(ENDPOINTS) + 1)
    for endpoint in np.unique(rows["endpoint"]):
        known[endpoint] = len(np.unique(minutes[rows["endpoint"] == endpoint], axis=0)) / count
    known[-1] = len(np.unique(minutes, axis=0)) / count
    return known


def expected_visits(rate: float, moment: float) -> tuple[Floats, Floats]:
    """Sessions that ask for each endpoint in the minute of a time (seconds since 1970), and for each service at all.

    Requests of a session come together: how much they vary by chance goes by how many sessions there are.
    """
    by_endpoint, by_service = np.zeros(len(ENDPOINTS)), np.zeros(len(SERVICE_NAMES))
    for row, audience in enumerate(AUDIENCES):
        begun = 60 * rate * audience.share * float(load(moment, audience.depth)) / mix(row)[0]
        by_endpoint += begun * _minutes_of_visits(row)[:-1]
        by_service[SERVICE_NAMES.index(audience.service)] += begun * _minutes_of_visits(row)[-1]
    return by_endpoint, by_service


def people(row: int, rate: float) -> int:
    """How many clients an audience has."""
    audience = AUDIENCES[row]
    return max(2, round(audience.people * audience.share * rate))
