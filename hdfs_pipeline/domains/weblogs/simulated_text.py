"""Texts of simulated requests: addresses, agents, paths and referers."""

from functools import cache
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hdfs_pipeline.domains.simulation import mixed
from hdfs_pipeline.domains.weblogs.simulated_site import AUDIENCES, SCANNERS
from hdfs_pipeline.domains.weblogs.simulated_visits import (
    CLIENTS,
    ENDPOINTS,
    MOST_SCANNERS,
    SCANNERS_FROM,
    SEARCH_ENGINE,
    SERVICE_NAMES,
    Rows,
    pool,
)

_IPV6_PERCENT: Final = 4
_NETWORKS: Final = {"cluster": (10, 20), "crawlers": (66, 249)}


@cache
def _octets() -> pa.Array:
    return pa.array([str(number) for number in range(256)])


@cache
def _words() -> pa.Array:
    return pa.array([f"{number:x}" for number in range(1 << 16)])


@cache
def _pool() -> pa.Array:
    return pa.array(pool()[0])


def addresses(clients: NDArray[np.int64]) -> pa.Array:
    """The addresses of clients, always the same ones; some of the world's are of IPv6."""
    seeds = mixed(clients)
    octets = np.stack([(seeds >> np.uint64(8 * place)) & np.uint64(255) for place in range(4)]).astype(np.int64)
    octets[0] = 11 + octets[0] % 200
    octets[0][np.isin(octets[0], (127, 172, 192, 198))] += 1
    for row, audience in enumerate(AUDIENCES):
        if audience.network in _NETWORKS:
            octets[:2, clients // CLIENTS == row] = np.array(_NETWORKS[audience.network])[:, None]
    fourth = pc.binary_join_element_wise(*(_octets().take(pa.array(part)) for part in octets), ".")
    words = [_words().take(pa.array((seeds >> np.uint64(16 * place)) & np.uint64(0xFFFF))) for place in range(3)]
    sixth = pc.binary_join_element_wise("2001:db8", words[0], words[1], pa.scalar(""), words[2], ":")
    in_world = np.array([audience.network == "world" for audience in AUDIENCES] + [False])
    where = np.minimum(clients // CLIENTS, len(AUDIENCES))
    is_sixth = in_world[where] & ((seeds >> np.uint64(48)) % np.uint64(100) < _IPV6_PERCENT)
    return pc.if_else(pa.array(is_sixth), sixth, fourth)


def agents(clients: NDArray[np.int64]) -> pa.Array:
    """The agents of clients, always the same ones, as a dictionary; the first of a list are the most frequent."""
    texts: list[str] = []
    firsts, counts = [], []
    for audience_agents in (*(audience.agents for audience in AUDIENCES), SCANNERS):
        firsts.append(len(texts))
        counts.append(len(audience_agents))
        texts += audience_agents
    where = np.minimum(clients // CLIENTS, len(AUDIENCES))
    # The clients of a scan run the same program.
    told = np.where(clients < SCANNERS_FROM, clients, (clients - SCANNERS_FROM) // MOST_SCANNERS)
    drawn = (mixed(told, 7) >> np.uint64(11)).astype(np.float64) / 2.0**53
    skewed = np.where(where < len(AUDIENCES), drawn**1.6, drawn)
    chosen = np.array(firsts)[where] + (skewed * np.array(counts)[where]).astype(np.int64)
    return pa.DictionaryArray.from_arrays(pa.array(chosen, pa.int32()), pa.array(texts))


def paths(endpoints: NDArray[np.int64], variables: NDArray[np.int64]) -> pa.Array:
    """Paths with their variables."""
    return _filled([endpoint.path for endpoint in ENDPOINTS], endpoints, variables)


def queries(endpoints: NDArray[np.int64], variables: NDArray[np.int64]) -> pa.Array:
    """Queries with their variables; '' for none."""
    return _filled([endpoint.query for endpoint in ENDPOINTS], endpoints, variables)


def _filled(patterns: list[str], rows: NDArray[np.int64], variables: NDArray[np.int64]) -> pa.Array:
    heads, gaps, tails = zip(*(pattern.partition("{}") for pattern in patterns), strict=True)
    has_gap = np.array([gap != "" for gap in gaps])[rows]
    middle = _pool().take(pa.array(np.where(has_gap, variables, 0)))
    return pc.binary_join_element_wise(
        pa.array(heads).take(pa.array(rows)), middle, pa.array(tails).take(pa.array(rows)), ""
    )


def referers(rows: Rows) -> pa.Array:
    """Where requests come from: a page of the same service, a search engine, or '' where they do not say."""
    before = rows["from_endpoint"].astype(np.int64)
    services = pa.array([f"https://{name}" for name in SERVICE_NAMES]).take(pa.array(rows["service"]))
    shown = paths(np.maximum(before, 0), rows["from_variable"].astype(np.int64))
    inside = pc.binary_join_element_wise(services, shown, "")
    outside = pc.if_else(pa.array(before == SEARCH_ENGINE), "https://www.google.com/", "")
    return pc.if_else(pa.array(before >= 0), inside, outside)
