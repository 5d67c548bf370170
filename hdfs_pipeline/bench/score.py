"""How fast the random forest scores blocks, one by one and many at once, and how near it stays to scikit-learn."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np

from hdfs_pipeline.bench.samples import machine
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.settings import Settings

ROUNDS: Final = 3
_WARM_UP = 50


def bench_score(
    matrix: FeatureMatrix, labels: np.ndarray, *, blocks: int = 500_000, calls: int = 2_000, settings: Settings
) -> dict[str, Any]:
    """Train the random forest on `matrix` (n, d) and `labels` (n,), 0 normal and 1 anomaly, and measure its scoring.

    Args:
        matrix: events of labelled blocks; rows with another label are left out.
        labels: one per row of `matrix`.
        blocks: rows of the large matrix, drawn from `matrix` with replacement; as repetitive as the sample is.
        calls: how many single rows are scored, one call each.
        settings: the home's, for the seed.

    Returns a JSON-able dict: `row_p50_ms` and `row_p99_ms` of one row through `detector.score`; blocks/s of the large
    matrix with and without working on its distinct rows only (finding them is timed), best of three; `max_difference`,
    the largest difference to scikit-learn's probabilities, on the sample's rows and on as many new rows, in which each
    column of the sample is shuffled on its own; `targets`; `machine`.
    """
    from hdfs_pipeline.domains import domain_named

    known = np.flatnonzero(labels >= 0)
    matrix, labels = matrix.take(known), labels[known]
    detector: Any = domain_named("blocks").make(settings, "random_forest")
    start = time.perf_counter()
    detector.fit(matrix.values, labels, np.ones(len(matrix)))
    fit_s = time.perf_counter() - start

    draw = np.random.default_rng(settings.seed)
    rows = matrix.values[draw.integers(0, len(matrix), calls + _WARM_UP), None, :]
    times = np.array([_seconds(partial(detector.score, row)) for row in rows])[_WARM_UP:] * 1e3

    large = matrix.values[draw.integers(0, len(matrix), blocks)]
    keys = np.arange(blocks)

    def by_distinct() -> np.ndarray:
        # A new matrix, whose distinct rows are not known yet.
        fresh = FeatureMatrix(large, keys, matrix.columns, matrix.source, matrix.fingerprint)
        distinct = fresh.distinct
        return detector.score(large[distinct.first])[distinct.inverse]

    assert np.array_equal(by_distinct(), detector.score(large))
    deduplicated = blocks / min(_seconds(by_distinct) for _ in range(ROUNDS))
    plain = blocks / min(_seconds(lambda: detector.score(large)) for _ in range(ROUNDS))
    result = {
        "sample_blocks": len(matrix),
        "anomalies": int((labels == 1).sum()),
        "columns": len(matrix.columns),
        "distinct_rows": len(matrix.distinct.first),
        "blocks": blocks,
        "calls": calls,
        "fit_s": fit_s,
        "row_p50_ms": float(np.percentile(times, 50)),
        "row_p99_ms": float(np.percentile(times, 99)),
        "blocks_per_s": deduplicated,
        "blocks_per_s_without_dedup": plain,
        "max_difference": _difference(detector, matrix.values, draw),
        "machine": machine(),
    }
    return {**result, "targets": _targets(result)}


def _difference(detector: Any, values: np.ndarray, draw: np.random.Generator) -> float:
    """Largest difference to scikit-learn's forest, which was grown on the columns that vary in `values` (n, d) only."""
    kept = np.flatnonzero(np.ptp(values, axis=0) > 0)
    rows = np.concatenate([values, draw.permuted(values, axis=0)])
    return float(np.abs(detector.score(rows) - detector.estimator.predict_proba(rows[:, kept])[:, 1]).max())


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _targets(result: dict[str, Any]) -> list[dict[str, Any]]:
    p99, speed, difference = (result[name] for name in ("row_p99_ms", "blocks_per_s", "max_difference"))
    return [
        {"what": "ms for one row (p99), below", "value": p99, "aim": 1.0, "met": p99 < 1.0},
        {"what": "blocks/s, at least", "value": speed, "aim": 3e5, "met": speed >= 3e5},
        {
            "what": "largest difference to scikit-learn, below",
            "value": difference,
            "aim": 1e-5,
            "met": difference < 1e-5,
        },
    ]
