"""How much of the scans of simulated days rules and k-means of requests find, and how much else they flag.

K-means learns days without faults, and fixes its threshold there, as a training does; what rules flag is not learned.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.bench.detected import Aim, Figure, mean
from hdfs_pipeline.detectors import detector_row, make_detector
from hdfs_pipeline.domains.record_ids import record_keys
from hdfs_pipeline.domains.simulation import DAY_S
from hdfs_pipeline.domains.weblogs.batch import with_clients
from hdfs_pipeline.domains.weblogs.clients import Clients
from hdfs_pipeline.domains.weblogs.columns import COLUMNS, SIGNS
from hdfs_pipeline.domains.weblogs.features import matrices
from hdfs_pipeline.domains.weblogs.item import DOMAIN
from hdfs_pipeline.domains.weblogs.simulate import simulate
from hdfs_pipeline.scoring.features import distinct_rows
from hdfs_pipeline.scoring.knowledge import failed
from hdfs_pipeline.settings import Settings

_LEARNED: Final = datetime(2026, 11, 23, tzinfo=UTC)
_JUDGED: Final = datetime(2026, 11, 25, tzinfo=UTC)
_FURTHER: Final = 1_000  # the seed of the judged day is that of the learned days and this
_WORDS: Final = SIGNS | {"SCRIPT"}
"""Columns that know words, such as names of panels: the simulated scans have them, and others might not."""
VOICES: Final = ("rules", "k-means", "both", "k-means without words")


@dataclass(frozen=True)
class Requests:
    """Features (n, d) of simulated requests, which break a rule that is a failure (n,), and which are of scans (n,)."""

    values: np.ndarray
    broken: np.ndarray
    scans: np.ndarray


def simulated(begin: datetime, days: float, rate: float, seed: int, settings: Settings, *anomalies: str) -> Requests:
    """Simulated days of `rate` requests a second on average over a week."""
    made = simulate(begin=begin, duration_s=days * DAY_S, rate=rate, anomalies=anomalies, seed=seed, quiet=0.0).table
    place = np.arange(1, len(made) + 1)
    rows = made.append_column("position", pa.array(place))
    rows = rows.append_column("request_id", pa.array(record_keys(1, place)))
    rows = rows.append_column("account", pa.array([""] * len(made)))
    rows = rows.append_column("request_bytes", pa.nulls(len(made), pa.int64()))
    found = matrices(with_clients(rows, Clients().count(rows)), settings)
    scans = np.array(made["label"].to_pylist()) == "scan"
    return Requests(found["requests"].values, failed(found["rules"].values), scans)


def flagged(learned: Requests, later: Requests, without: frozenset[str], settings: Settings) -> np.ndarray:
    """Which of the later requests (n,) bool k-means flags that sees nothing of some columns."""
    columns = [list(COLUMNS).index(name) for name in without]
    before, after = learned.values[~learned.broken].copy(), later.values.copy()
    before[:, columns] = after[:, columns] = 0
    distinct = distinct_rows(before)
    rows, weights = before[distinct.first], distinct.weights.astype(np.float64)
    detector = make_detector("request_kmeans", settings).fit(rows, None, weights)
    threshold, _ = detector_row("request_kmeans").threshold(settings).fit(detector.score(rows), None, weights)
    found: np.ndarray = detector.score(after) >= threshold
    return found


def detected_scans(
    seeds: list[int], settings: Settings, *, rate: float = 3.0, learned: float = 2.0, days: float = 1.0
) -> Iterator[Figure]:
    """Recall and precision over requests, of each voice, on days with scans of several seeds."""
    pairs: dict[str, list[tuple[float, float]]] = {voice: [] for voice in VOICES}
    scans = total = 0
    for seed in seeds:
        known = simulated(_LEARNED, learned, rate, seed, settings)
        later = simulated(_JUDGED, days, rate, _FURTHER + seed, settings, "scan")
        by_model = flagged(known, later, frozenset(), settings)
        told = (later.broken, by_model, later.broken | by_model, flagged(known, later, frozenset(_WORDS), settings))
        for voice, found in zip(VOICES, told, strict=True):
            pairs[voice].append((float(found[later.scans].mean()), float(later.scans[found].mean())))
        scans, total = scans + int(later.scans.sum()), total + len(later.scans)
    for voice, own in pairs.items():
        recall, precision = zip(*own, strict=True)
        is_whole = voice == "both"
        yield mean(DOMAIN, voice, "scans: recall", recall, scans, Aim(0.9) if is_whole else None)
        yield mean(DOMAIN, voice, "scans: precision", precision, total, Aim(0.8) if is_whole else None)
