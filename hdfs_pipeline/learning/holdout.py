"""Data that the models have never seen, in a store of its own: judged by its labels, or only scored if it has none."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.champions import families, load_scorer
from hdfs_pipeline.domains.contract import Domain, Read
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.learning.training import Tested, judge
from hdfs_pipeline.scoring.labels import AMBIGUOUS, UNLABELLED
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store


@dataclass(frozen=True)
class Holdout:
    """The figures of each detector on a held-out data set, and what was read.

    `unlabelled` counts items of the files without a label, `ambiguous` items that are left out because their label is
    ambiguous, `absent` labels of items that no file names.
    """

    read: Read
    items: int
    unlabelled: int
    ambiguous: int
    absent: int
    tests: dict[str, Tested]


@contextmanager
def read_apart(
    settings: Settings,
    domain: Domain,
    logs: Iterable[str],
    scorers: Iterable[Scorer] = (),
    labels: pa.Table | None = None,
    *,
    source: str = "",
) -> Iterator[tuple[Store, Settings, Read]]:
    """Read files for `scorers`, or with the columns of `source`, into a store that is deleted at the end of the block.

    Yields the store, its settings, and what was read. Raises: DataError if the scorers need different columns.
    """
    sources = {scorer.card.source for scorer in scorers if scorer.card.family not in domain.unbound} | ({source} - {""})
    if len(sources) > 1:
        raise DataError(f"models of different catalogues ({', '.join(sorted(sources))}): train them all again")
    settings.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.home, prefix=".apart.") as folder:
        apart = domain.apart(settings, Path(folder), next(iter(sources), ""))
        store = Store(apart.store_path, lock_timeout_s=settings.lock_timeout_s, memory_limit=settings.memory_limit)
        yield store, apart, domain.read(store, apart, list(logs), labels, propose=False)


def evaluate_files(
    settings: Settings,
    domain: Domain,
    logs: Iterable[str],
    labels: Path | str,
    detectors: Sequence[str],
    on_step: Callable[[str], None] = lambda _: None,
) -> Holdout:
    """Read files and labels into a store that is deleted afterwards, and judge the home's models on them.

    Raises: NotTrainedError if a model is missing; DataError if the files or labels cannot be used.
    """
    scorers = {name: load_scorer(settings, domain, name) for name in detectors}
    keys, table = domain.labels(labels)
    on_step("reading and parsing")
    with read_apart(settings, domain, logs, scorers.values(), table) as (store, apart, read):
        data = domain.features(store, apart, families(domain, detectors))
        tests = {}
        for name, scorer in scorers.items():
            on_step(name)
            tests[name] = judge(scorer, data, settings)
    matched = int(np.isin(keys, data.keys).sum())
    counts = {label: int((data.labels == label).sum()) for label in (AMBIGUOUS, UNLABELLED)}
    return Holdout(read, len(data), counts[UNLABELLED], counts[AMBIGUOUS], len(keys) - matched, tests)


def score_files(settings: Settings, domain: Domain, logs: Iterable[str], name: str) -> list[dict[str, Any]]:
    """Score the items of files with a detector's champion, the most anomalous first; nothing is kept.

    Returns one dict per item: its id under `domain.item.column`, score, threshold, is_anomaly, lines (the number of
    records that name it), first_time, and the reason (None if it is no anomaly).
    """
    scorer = load_scorer(settings, domain, name)
    with read_apart(settings, domain, logs, [scorer]) as (store, apart, _):
        data = domain.features(store, apart, families(domain, [name]))
        matrix = data.matrix(scorer.card.family)
        scores = scorer.score(matrix)
        flagged = np.flatnonzero(scores >= scorer.card.threshold)
        vocabulary = domain.vocabulary(apart, scorer.card.source)
        explanations = scorer.explain(matrix, vocabulary, flagged)
        facts = domain.facts(store)
    reasons = {row: explanation.reason for row, explanation in zip(flagged.tolist(), explanations, strict=True)}
    keys = matrix.keys.tolist()
    return [
        {
            domain.item.column: domain.item.show(keys[row]),
            "score": float(scores[row]),
            "threshold": scorer.card.threshold,
            "is_anomaly": row in reasons,
            "lines": facts[keys[row]].records,
            "first_time": facts[keys[row]].first_time.isoformat(),
            "reason": reasons.get(row),
        }
        for row in np.argsort(-scores, kind="stable").tolist()
    ]
