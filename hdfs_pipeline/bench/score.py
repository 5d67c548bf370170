"""How fast blocks are scored: by the random forest, one by one and many at once, and by what is known beforehand.

Of the random forest also how near it stays to scikit-learn.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np

from hdfs_pipeline.bench.samples import machine
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.settings import Settings

ROUNDS: Final = 3
BATCHES: Final = (2_000, 20_000)
"""Blocks that a stream worker judges together: as many as one second closes, and as many as wait after a pause."""
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
    column of the sample is shuffled on its own; `known_per_s`, blocks/s of `lifecycle` from counts to score, by the
    number of blocks judged together; `targets`; `machine`. Raises: SetupError where the home lacks the catalogue of
    `matrix`.
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
        "known_per_s": {str(count): _known_per_s(matrix, count, draw, settings) for count in BATCHES},
        "machine": machine(),
    }
    return {**result, "targets": _targets(result)}


def _known_per_s(matrix: FeatureMatrix, count: int, draw: np.random.Generator, settings: Settings) -> float:
    """Blocks/s from their counts to the scores of `lifecycle`, `count` at once, as a stream worker judges them."""
    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.domains.blocks.catalogue import catalogues
    from hdfs_pipeline.domains.blocks.features import features
    from hdfs_pipeline.domains.blocks.knowledge import knowledge_of
    from hdfs_pipeline.domains.champions import load_scorer

    catalogue = catalogues(settings.catalogues).get(matrix.source)
    if catalogue is None:
        raise SetupError(f"no catalogue {matrix.source} in this home: put it back")
    scorer, knowledge = load_scorer(settings, domain_named("blocks"), "lifecycle"), knowledge_of(catalogue, settings)
    counts = matrix.values[draw.integers(0, len(matrix), count)].astype(np.int32)
    keys, alarms = np.arange(count), np.zeros(count)

    def judge() -> None:
        scorer.score(features(keys, counts, alarms, catalogue, knowledge)[scorer.card.family])

    return count / min(_seconds(judge) for _ in range(ROUNDS * 10))


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
    known = [
        {"what": f"blocks/s by lifecycle, {int(count):,} at once, at least", "value": per_s, "aim": 1e6}
        for count, per_s in result["known_per_s"].items()
    ]
    return [
        {"what": "ms for one row (p99), below", "value": p99, "aim": 1.0, "met": p99 < 1.0},
        {"what": "blocks/s, at least", "value": speed, "aim": 3e5, "met": speed >= 3e5},
        {
            "what": "largest difference to scikit-learn, below",
            "value": difference,
            "aim": 1e-5,
            "met": difference < 1e-5,
        },
        *(target | {"met": target["value"] >= target["aim"]} for target in known),
    ]
