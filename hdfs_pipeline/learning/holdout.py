"""Data that the models have never seen, in a store of its own, judged by its labels."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.champions import families, load_scorer
from hdfs_pipeline.domains.contract import Domain, Read
from hdfs_pipeline.domains.following import read_for_all
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.learning.readable import unreadable
from hdfs_pipeline.learning.training import Tested, judge
from hdfs_pipeline.scoring.kinds import KindFit, Reach, kind_fit, reach
from hdfs_pipeline.scoring.labels import AMBIGUOUS, ANOMALY, UNLABELLED
from hdfs_pipeline.scoring.plausibility import Doubt, doubts
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.scratch import scratch_folder
from hdfs_pipeline.store.store import Store


@dataclass(frozen=True)
class Holdout:
    """The figures of each detector on a held-out data set, and what was read.

    `unlabelled` counts items of the files without a label, `ambiguous` items that are left out because their label is
    ambiguous, `absent` labels of items that no file names, `unfinished` items whose life the files show only in part.
    `doubts` are reasons not to believe the figures, by detector; under '' what could not be read. `reach` is the most
    that the labels allow, and `kinds` says by detector whether the kinds of what it found fit the labels' kinds, where
    these are known to the domain.
    """

    read: Read
    items: int
    unlabelled: int
    ambiguous: int
    absent: int
    tests: dict[str, Tested]
    unfinished: int = 0
    doubts: dict[str, list[Doubt]] = field(default_factory=dict)
    reach: Reach | None = None
    kinds: dict[str, KindFit] = field(default_factory=dict)


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

    Yields the store, its settings, and what was read. Raises: DataError if the scorers need different columns, or if
    anything cannot be read.
    """
    sources = {scorer.card.source for scorer in scorers if scorer.card.family not in domain.unbound} | ({source} - {""})
    if len(sources) > 1:
        raise DataError(f"models of different catalogues ({', '.join(sorted(sources))}): train them all again")
    settings.home.mkdir(parents=True, exist_ok=True)
    with scratch_folder(settings.home, ".apart.") as folder:
        apart = domain.apart(settings, folder, next(iter(sources), ""))
        store = Store(apart.store_path, lock_timeout_s=settings.lock_timeout_s, memory_limit=settings.memory_limit)
        read = read_for_all(store, apart, domain, list(logs), labels, propose=False)
        if read.unread:
            raise DataError("; ".join(read.unread))
        yield store, apart, read


def evaluate_files(
    settings: Settings,
    domain: Domain,
    logs: Iterable[str],
    labels: Path | str,
    detectors: Sequence[str],
    on_step: Callable[[str], None] = lambda _: None,
) -> Holdout:
    """Read files and labels into a store that is deleted afterwards, and judge the home's models on them.

    Raises: NotTrainedError if a model is missing; DataError if nothing of the files can be read, or not the labels.
    """
    scorers = {name: load_scorer(settings, domain, name) for name in detectors}
    keys, table = domain.labels(labels)
    on_step("reading and parsing")
    with read_apart(settings, domain, logs, scorers.values(), table) as (store, apart, read):
        found = {"": unreadable(store, domain, read)}
        data = domain.features(store, apart, families(domain, detectors))
        known, knowledge = data.labelled(), domain.knowledge(apart, data.main.source)
        most = reach(known.main, known.labels, known.kinds, data.plural)
        tests, kinds = {}, {}
        for name, scorer in scorers.items():
            on_step(name)
            tests[name] = judge(scorer, data, settings)
            scores = scorer.score(data.matrix(scorer.card.family))
            found[name] = doubts(scorer, data, scores, settings, domain.unknown, knowledge)
            hits = (tests[name].scores >= scorer.card.threshold) & (known.labels == ANOMALY)
            if knowledge is not None and (fit := kind_fit(knowledge, known.main, hits, known.kinds)):
                kinds[name] = fit
    matched = int(np.isin(keys, data.keys).sum())
    counts = {label: int((data.labels == label).sum()) for label in (AMBIGUOUS, UNLABELLED)}
    unfinished = int((data.unfinished != "").sum())
    told = {name: given for name, given in found.items() if given}
    missing = (counts[UNLABELLED], counts[AMBIGUOUS], len(keys) - matched)
    return Holdout(read, len(data), *missing, tests, unfinished, told, most, kinds)
