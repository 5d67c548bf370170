"""Which faults of simulated days the voices on minutes of web traffic find within two windows, and what is false.

Days without faults are followed by one with them. Rules know the hour before; `seasonal` has learned the days before.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.bench.detected import Aim, Figure, a_day, share
from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.simulation import DAY_S, Fault, block_s
from hdfs_pipeline.domains.traffic.features import FAMILY, matrices
from hdfs_pipeline.domains.traffic.item import DOMAIN, WINDOW
from hdfs_pipeline.domains.traffic.knowledge import knowledge_of
from hdfs_pipeline.domains.weblogs.endpoints import endpoints
from hdfs_pipeline.domains.weblogs.simulate import Traffic
from hdfs_pipeline.domains.weblogs.simulated_faults import plan_faults
from hdfs_pipeline.domains.weblogs.windows import Windows, minutes_of
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.explain import FAILURE
from hdfs_pipeline.scoring.labels import UNLABELLED
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings

_BEGIN: Final = datetime(2026, 11, 2, tzinfo=UTC)  # a Monday; a seed begins so many days of the week later
_PER_DAY: Final = 6.0  # faults of a kind
_ROWS: Final = 100_000
_NEXT: Final = 1  # the window after the first full one of a fault is the last that is soon enough
_AFTER: Final = 2  # minutes after a fault whose windows are nobody's false ones
KINDS: Final = ("error-burst", "latency", "drop", "flash-crowd")
"""What minutes tell of; scans are told by requests."""
_MEASURED: Final = {"requests": ("flash-crowd",), "error_share": ("error-burst",), "mean_ms": ("latency",)}
"""Which faults a measure tells of that is larger than usual."""
_LIMITED: Final = KINDS[:3]
VOICES: Final = ("rules", "seasonal", "both")


@dataclass(frozen=True)
class Days:
    """The windows (n) of simulated days, schema `WINDOWS`, the faults of the last part, and its first minute."""

    windows: pa.Table
    faults: list[Fault]
    since: int


def simulated(seed: int, days: float, rate: float, learned: float) -> Days:
    """Days of `rate` requests a second on average, with faults of all `KINDS` after the first `learned` of them."""
    begin = _BEGIN + timedelta(days=seed % 7)
    begin_s, end_s = begin.timestamp(), begin.timestamp() + days * DAY_S
    since = begin_s + learned * DAY_S
    faults = plan_faults(KINDS, since, end_s, rate, seed, _PER_DAY)
    traffic, windows, closed = Traffic(begin_s, rate, seed), Windows(60), []
    while traffic.now_s < end_s:
        windows.add(with_endpoints(traffic.until(min(traffic.now_s + block_s(rate, _ROWS), end_s), faults)))
        closed.append(windows.closed())
    return Days(pa.concat_tables(closed), faults, int(since // 60))


def with_endpoints(requests: pa.Table) -> pa.Table:
    """Simulated requests (n) with their endpoint groups, as they are read from a log."""
    texts, spans, end = [], [], 0
    for name in ("path", "query"):
        text = requests[name].combine_chunks().cast(pa.string())
        own = pa.concat_arrays([text])
        _, offsets, data = own.buffers()
        edges = np.frombuffer(offsets, np.int32)[own.offset : own.offset + len(own) + 1].astype(np.int64)
        texts.append(np.frombuffer(data or b"", np.uint8)[edges[0] : edges[-1]])
        edges = edges - edges[0] + end
        spans.append(np.column_stack([edges[:-1], edges[1:]]).astype(np.int32))
        end = int(edges[-1])
    return requests.append_column("endpoint", endpoints(np.concatenate([*texts, np.zeros(1, np.uint8)]), *spans))


def _dataset(days: Days, settings: Settings) -> Dataset:
    minute, count = minutes_of(days.windows), len(days.windows)
    return Dataset(
        DOMAIN,
        matrices(days.windows, settings),
        minute * 60_000_000,
        np.full(count, UNLABELLED, np.int8),
        np.full(count, "", object),
        plural=WINDOW.plural,
        alike=WINDOW.alike,
    )


def told(days: Days, settings: Settings) -> dict[str, dict[str, np.ndarray]]:
    """Which windows (n,) bool each voice flags, by the kind of fault that it would call them; '' for any."""
    from hdfs_pipeline.learning.training import fit

    data, minute = _dataset(days, settings), minutes_of(days.windows)
    rules = knowledge_of(settings)
    broken = rules.broken(data.main.values)
    failures = [rule.severity == FAILURE for rule in rules.rules]
    found: dict[str, dict[str, np.ndarray]] = {"rules": {"": np.asarray(broken[:, failures].any(axis=1))}}
    for kind in KINDS:
        fit_it = [rule.severity == FAILURE and kind in rule.faults for rule in rules.rules]
        found["rules"][kind] = np.asarray(broken[:, fit_it].any(axis=1))
    scorer = fit(data.take(minute < days.since), domain_named(DOMAIN), "seasonal", settings)
    found["seasonal"] = _measured(scorer, data)
    found["both"] = {kind: found["rules"][kind] | found["seasonal"][kind] for kind in ("", *KINDS)}
    return found


def _measured(scorer: Scorer, data: Dataset) -> dict[str, np.ndarray]:
    """Which windows (n,) a model of measures flags, by the kinds of fault that the weightiest measure tells of."""
    matrix = data.matrix(FAMILY)
    flagged = scorer.score(matrix) >= scorer.card.threshold
    found = {kind: np.zeros(len(data), bool) for kind in KINDS} | {"": flagged}
    rows = np.flatnonzero(flagged)
    expected, shares = scorer.detector.explain_steps(matrix.values[rows])
    measure = shares.argmax(axis=1)
    at = np.arange(len(rows))
    more = matrix.values[rows][at, measure] > expected[at, measure]
    for row, column, is_more in zip(rows.tolist(), measure.tolist(), more.tolist(), strict=True):
        name = {"p95_ms": "mean_ms"}.get(matrix.columns[column], matrix.columns[column])
        for kind in _MEASURED.get(name, ()) if is_more else ("drop",):
            found[kind][row] = True
    return found


def counted(days: Days, flagged: dict[str, np.ndarray]) -> Counter[str]:
    """Faults by kind (`drop`), those found (`drop found`), false windows (`false`), all since the first fault may be.

    A fault is found by a window of its service that is called so, and is one of its first two full minutes or lies
    before them. A window is false where its service had no fault at that time.
    """
    minute, service = minutes_of(days.windows), np.array(days.windows["service"].to_pylist())
    found, near_any = Counter[str](), np.zeros(len(minute), bool)
    for fault in days.faults:
        begin, end = fault.span
        near = (service == fault.service) & (minute >= begin // 60) & (minute <= end // 60 + _AFTER)
        near_any |= near
        soon = near & (minute <= np.ceil(begin / 60) + _NEXT)
        found[fault.kind] += 1
        found[f"{fault.kind} found"] += bool((soon & flagged[fault.kind]).any())
    found["false"] = int((flagged[""] & ~near_any & (minute >= days.since)).sum())
    return found


def detected_minutes(
    seeds: list[int], settings: Settings, *, rate: float = 8.0, days: float = 4.0, learned: float = 3.0
) -> Iterator[Figure]:
    """The figures of each voice on days with faults of several seeds."""
    totals = {voice: Counter[str]() for voice in VOICES}
    for seed in seeds:
        made = simulated(seed, days, rate, learned)
        for voice, flagged in told(made, settings).items():
            totals[voice] += counted(made, flagged)
    for voice, total in totals.items():
        for kind in KINDS:
            aim = Aim(1.0) if voice == "both" and kind in _LIMITED else None
            yield share(DOMAIN, voice, f"{kind}: found within 2 windows", total[f"{kind} found"], total[kind], aim)
        limit = Aim(1.0, at_most=True) if voice == "both" else None
        yield a_day(DOMAIN, voice, "false windows a day", total["false"], len(seeds) * (days - learned), limit)
