"""Faults of simulated requests: where and when they happen, and what they do to the requests."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hdfs_pipeline.domains.simulation import Fault, at, spread
from hdfs_pipeline.domains.weblogs.simulated_site import AUDIENCES, Endpoint
from hdfs_pipeline.domains.weblogs.simulated_text import addresses
from hdfs_pipeline.domains.weblogs.simulated_visits import (
    ENDPOINTS,
    FIRST_PROBE,
    MOST_SCANNERS,
    NO_REFERER,
    ROW,
    SCANNERS_FROM,
    SERVICE_NAMES,
    SERVICE_OF,
    Rows,
    expected,
    expected_visits,
    mix,
    people,
    sessions,
    variables,
)

KINDS: Final = ("error-burst", "latency", "scan", "flash-crowd", "drop")
LABELS: Final = ("", *KINDS)
VISIBLE_PER_MINUTE: Final = 20.0
"""Nobody could see a fault of what is asked for less often."""
_GROUPED: Final = ("", "id", "hex")  # the other variables have no group of their own in addresses


def plan_faults(
    kinds: Sequence[str], begin_s: float, end_s: float, rate: float, seed: int, per_day: float
) -> list[Fault]:
    """Faults of the kinds between two times (seconds since 1970), no two of them at a time.

    Each happens `per_day` times a day, at least once, where enough is asked for that somebody could see it: 20
    requests a minute (`VISIBLE_PER_MINUTE`), and for a drop as many sessions that ask in a minute; elsewhere it is
    left out.
    """
    rng = np.random.default_rng([seed, int(begin_s), 1])
    planned = []
    for kind, begin, end in spread(rng, kinds, begin_s, end_s, per_day) if kinds else ():
        fault = _planned(rng, kind, begin, end, rate)
        if fault is not None:
            planned.append(fault)
    return planned


def _planned(rng: np.random.Generator, kind: str, begin: float, end: float, rate: float) -> Fault | None:
    number = int(rng.integers(1 << 31))
    if kind == "scan":
        service = SERVICE_NAMES[int(rng.choice(len(SERVICE_NAMES), p=(0.4, 0.3, 0.2, 0.1)))]
        requests = int(rng.integers(200, 1_500))
        clients = tuple(addresses(scanners(number)).to_pylist())
        return Fault(kind, service, at(begin), at(end), requests, clients=clients, seed=number)
    place = _place(rng, kind, rate, begin, end)
    if place is None:
        return None
    low, high = {"error-burst": (0.2, 0.6), "latency": (4, 20), "flash-crowd": (3, 8), "drop": (0, 0.15)}[kind]
    return Fault(kind, place[0], at(begin), at(end), float(rng.uniform(low, high)), place[1], seed=number)


def _place(rng: np.random.Generator, kind: str, rate: float, begin: float, end: float) -> tuple[str, str] | None:
    """A service and an endpoint ('' for all of it) where a fault can be seen; those with more requests are likelier.

    Errors and long times are an endpoint's, where one is asked for often enough, else the service's. A flash crowd
    comes to a page of a service that is. Requests are missed only where enough sessions ask for them: those of few
    pause by themselves.
    """
    per_minute = 60 * np.minimum(expected(rate, begin), expected(rate, end))[:FIRST_PROBE]
    pages, services = _places(per_minute, np.bincount(SERVICE_OF, per_minute).astype(np.float64))
    if kind == "flash-crowd":
        seen = {
            (SERVICE_NAMES[SERVICE_OF[number]], _page(endpoint)): per_minute[number]
            for number, endpoint in enumerate(ENDPOINTS[:FIRST_PROBE])
            if endpoint.method == "GET" and not endpoint.part and _is_grouped(endpoint)
            and services[SERVICE_NAMES[SERVICE_OF[number]], ""] >= VISIBLE_PER_MINUTE
        }  # fmt: skip
    elif kind == "drop":
        first, last = expected_visits(rate, begin), expected_visits(rate, end)
        by_page, by_service = _places(*(np.minimum(*both) for both in zip(first, last, strict=True)))
        asked = pages | services
        seen = {place: asked[place] for place in _visible(by_page | by_service)}
    else:
        seen = _visible(pages) or _visible(services)
    if not seen:
        return None
    weights = np.sqrt(list(seen.values()))
    return list(seen)[int(rng.choice(len(seen), p=weights / weights.sum()))]


def _places(
    by_endpoint: NDArray[np.float64], by_service: NDArray[np.float64]
) -> tuple[dict[tuple[str, str], float], dict[tuple[str, str], float]]:
    """Figures of endpoints and of services, by service and page, and by service and ''."""
    pages: dict[tuple[str, str], float] = {}
    for number, service in enumerate(SERVICE_OF):
        if _is_grouped(ENDPOINTS[number]):
            place = SERVICE_NAMES[service], _page(ENDPOINTS[number])
            pages[place] = pages.get(place, 0.0) + float(by_endpoint[number])
    return pages, {(name, ""): float(each) for name, each in zip(SERVICE_NAMES, by_service, strict=True)}


def _page(endpoint: Endpoint) -> str:
    return endpoint.path.replace("{}", "*")


def _visible(places: dict[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    return {place: often for place, often in places.items() if often >= VISIBLE_PER_MINUTE}


def _is_grouped(endpoint: Endpoint) -> bool:
    """Whether all requests of a dynamic endpoint have one group of addresses."""
    one_path = endpoint.variable in _GROUPED or "{}" not in endpoint.path
    return one_path and not endpoint.is_static and not endpoint.path.startswith("/webhdfs/")


def scanners(number: int) -> NDArray[np.int64]:
    """The clients of a scan."""
    count = 1 + number % 7 % MOST_SCANNERS
    return SCANNERS_FROM + number * MOST_SCANNERS + np.arange(count)


def hit_by(fault: Fault, rows: Rows) -> NDArray[np.bool_]:
    """Which requests lie within a fault's time, service and endpoint."""
    begin, end = (int(moment * 1e6) for moment in fault.span)
    service = SERVICE_NAMES.index(fault.service)
    hit: NDArray[np.bool_] = (rows["time"] >= begin) & (rows["time"] < end) & (rows["service"] == service)
    if fault.endpoint:
        meant = [
            number
            for number in np.flatnonzero(service == SERVICE_OF)
            if ENDPOINTS[number].path.replace("{}", "*") == fault.endpoint
        ]
        hit &= np.isin(rows["endpoint"], meant)
    return hit


def added_by(fault: Fault, rate: float) -> Rows:
    """The requests that a scan or a flash crowd adds, in no order."""
    rng = np.random.default_rng([fault.seed, 2])
    begin, end = fault.span
    if fault.kind == "scan":
        rows = np.zeros(int(fault.strength), ROW)
        chosen = FIRST_PROBE + rng.integers(0, len(ENDPOINTS) - FIRST_PROBE, len(rows))
        rows["time"] = rng.uniform(begin, end, len(rows)) * 1e6
        rows["service"], rows["endpoint"] = SERVICE_NAMES.index(fault.service), chosen
        rows["variable"] = variables(rng, chosen)
        rows["client"] = rng.choice(scanners(fault.seed), len(rows))
        rows["status"] = rng.choice([404, 403, 400, 301, 200], len(rows), p=(0.86, 0.06, 0.04, 0.02, 0.02))
        rows["from_endpoint"] = NO_REFERER
    elif fault.kind == "flash-crowd":
        row = next(number for number, one in enumerate(AUDIENCES) if one.service == fault.service)
        service = SERVICE_NAMES.index(fault.service)
        per_s = expected(rate, (begin + end) / 2)[:FIRST_PROBE][service == SERVICE_OF].sum()
        views = min(2.0, AUDIENCES[row].views)
        wanted = (fault.strength - 1) * per_s * (end - begin)
        starts = rng.uniform(begin, end, rng.poisson(wanted / (mix(row)[0] * views / AUDIENCES[row].views)))
        landing = next(
            int(number)
            for number in np.flatnonzero(service == SERVICE_OF)
            if ENDPOINTS[number].path.replace("{}", "*") == fault.endpoint
        )
        rows = sessions(rng, row, starts, 20 * people(row, rate), landing=landing, views=views)
        rows = rows[rows["time"] < end * 1e6]
    else:
        return np.zeros(0, ROW)
    rows["label"] = LABELS.index(fault.kind)
    return rows
