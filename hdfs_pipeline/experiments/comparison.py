"""A comparison of detectors: all learn from the same items and are judged on the same others; what each costs.

Thresholds are fixed as in every training, by `training.fit` on the items learned from, and `training.figures` gives the
figures.
"""

import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from hdfs_pipeline.bench.samples import machine
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import DataError, PipelineError
from hdfs_pipeline.experiments.conclusion import conclude
from hdfs_pipeline.experiments.figures import Comparison, Cost, Judged, LeftOut
from hdfs_pipeline.experiments.online import walk
from hdfs_pipeline.experiments.sides import Sides
from hdfs_pipeline.learning.training import figures, fingerprint, fit
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.features import repeats
from hdfs_pipeline.scoring.kinds import kind_fit, reach
from hdfs_pipeline.scoring.labels import ANOMALY
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings

_BATCH, _ROWS = 2_000, 20_000
_LONGEST_S = 10.0  # after which a slow detector's speed is known well enough


def compare(
    sides: Sides,
    domain: Domain,
    names: Sequence[str],
    settings: Settings,
    *,
    without: Collection[str] = (),
    on_step: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Let each detector learn from one side and judge it on the other.

    `without` are kinds of labels that a second set of figures leaves out. A detector that cannot learn is an entry with
    its reason. Raises: DataError where no detector can be judged, or for a kind that no item has.
    """
    learn, test = sides.learn, sides.test
    kept = _kept(test, without)
    own, known = (side.main.take(side.main.distinct.first).values for side in (test, learn))
    seen = repeats(own, known)[test.main.distinct.inverse]
    entries: list[Judged | LeftOut] = []
    for number, name in enumerate(names):
        on_step(f"{name} ({number + 1} of {len(names)})")
        entries.append(_enter(domain, name, sides, settings, seen, kept, on_step))
    cards = [entry.card for entry in entries if isinstance(entry, Judged)]
    if not cards:
        reasons = [f"{entry.detector}: {entry.reason}" for entry in entries if isinstance(entry, LeftOut)]
        raise DataError("no detector could be judged: " + "; ".join(reasons))
    comparison = Comparison(
        split=sides.split,
        seed=settings.seed,
        test_share=settings.test_share,
        without=tuple(without),
        data=sides.facts | {"learned": _describe(learn), "judged": _describe(test) | {"repeated": float(seen.mean())}},
        plural=test.plural,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        libraries=cards[0].libraries,
        machine=machine(),
        entries=tuple(entries),
        reach=reach(test.main, test.labels, test.kinds, test.plural),
    )
    sentences, warnings = conclude(comparison, settings)
    return replace(comparison, conclusion=sentences, warnings=warnings)


def _kept(test: Dataset, without: Collection[str]) -> np.ndarray | None:
    """Which rows (n,) bool stay where kinds are left out; None where none is."""
    if not without:
        return None
    unknown = sorted(set(without) - set(test.kinds.tolist()))
    if unknown:
        there = ", ".join(sorted({kind for kind in test.kinds.tolist() if kind})) or "none"
        raise DataError(
            f"none of the {test.plural} to judge on is of kind {', '.join(unknown)}; kinds there are: {there}"
        )
    kept = ~np.isin(test.kinds.astype(str), list(without))
    if len(set(test.labels[kept].tolist())) < 2:
        raise DataError(f"without {', '.join(without)} there are no {test.plural} of both labels left to judge on")
    return kept


def _enter(
    domain: Domain,
    name: str,
    sides: Sides,
    settings: Settings,
    seen: np.ndarray,
    kept: np.ndarray | None,
    on_step: Callable[[str], None],
) -> Judged | LeftOut:
    learn, test = sides.learn, sides.test
    try:
        start = time.perf_counter()
        scorer = fit(learn, domain, name, settings)
        train_s = time.perf_counter() - start
        if sides.split == "online":  # thresholds change on the way: scores are multiples of them
            scores, threshold = walk(scorer, domain, learn, test, settings, on_step), 1.0
        else:
            scores, threshold = scorer.score(test.matrix(scorer.card.family)), scorer.card.threshold
        tested = figures(scores, threshold, test, settings, seen)
        rest = None
        if kept is not None:
            rest = figures(scores[kept], threshold, test.take(kept), settings, seen[kept]).evaluation
        cost = Cost(train_s, *_speed(scorer, test), _size(scorer))
        knowledge = domain.knowledge(settings, test.main.source)
        found = (scores >= threshold) & (test.labels == ANOMALY)
        kinds = kind_fit(knowledge, test.main, found, test.kinds) if knowledge is not None else None
        return Judged(name, scorer.card, tested, rest, cost, kinds)
    except PipelineError as error:
        return LeftOut(name, str(error))
    except Exception as error:  # noqa: BLE001 - of one detector, which is no reason to lose the others' figures
        return LeftOut(name, f"failed: {type(error).__name__}: {error}")


def _speed(scorer: Scorer, test: Dataset) -> tuple[float, int]:
    """Rows that the detector scores in a second, and how many it scored for that; rows that repeat are scored again."""
    values = test.matrix(scorer.card.family).take(np.arange(min(len(test), _ROWS))).values
    batch = values[np.resize(np.arange(len(values)), _BATCH)]
    scorer.detector.score(batch)  # the first call may load or compile, which is not timed
    done, start = 0, time.perf_counter()
    while done < _ROWS and time.perf_counter() - start < _LONGEST_S:
        rows = np.arange(done, done + _BATCH) % len(values)
        scorer.detector.score(values[rows])
        done += _BATCH
    return done / (time.perf_counter() - start), done


def _size(scorer: Scorer) -> int:
    """Bytes of the files that the detector itself saves, without the model's card and vectors."""
    with tempfile.TemporaryDirectory() as folder:
        scorer.detector.save(Path(folder))
        return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def _describe(data: Dataset) -> dict[str, Any]:
    """Counts of one side, its time from and to (ISO, UTC), and a hash of its items."""
    first, last = (
        datetime.fromtimestamp(int(data.time[at()]) / 1e6, UTC) for at in (data.time.argmin, data.time.argmax)
    )
    return {
        "items": len(data),
        "anomalies": int((data.labels == ANOMALY).sum()),
        "vectors": len(data.main.distinct.first),
        "from": first.isoformat(timespec="seconds"),
        "to": last.isoformat(timespec="seconds"),
        "fingerprint": fingerprint(data, data.family),
    }
