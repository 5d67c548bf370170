"""Data that the models have never seen, in a store of its own: judged where it has labels, scored where it has none."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hdfs_pipeline.detectors import families
from hdfs_pipeline.domains.blocks.features import build_matrix, load_dataset
from hdfs_pipeline.domains.blocks.ingest import Ingested, ingest
from hdfs_pipeline.domains.blocks.labels import read_labels
from hdfs_pipeline.domains.blocks.parse import Parsed, parse
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.learning.training import Tested, judge
from hdfs_pipeline.scoring.dataset import AMBIGUOUS, UNLABELLED
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store, publish_into
from hdfs_pipeline.verdicts.score import explain_matrix, load_scorer


@dataclass(frozen=True)
class Holdout:
    """The figures of each detector on a held-out data set, and what was read.

    `unlabelled` are blocks of the logs without a label, `ambiguous` those left out for theirs, `absent` are labels of
    blocks that no log names.
    """

    read: Ingested
    parsed: Parsed
    blocks: int
    unlabelled: int
    ambiguous: int
    absent: int
    tests: dict[str, Tested]


@contextmanager
def read_apart(
    settings: Settings,
    logs: Iterable[str],
    scorers: Iterable[Scorer] = (),
    labels: pa.Table | None = None,
    *,
    catalogue: str = "",
) -> Iterator[tuple[Store, Settings, Ingested, Parsed]]:
    """Logs, parsed for `scorers` or with `catalogue`, in a store of their own, thrown away at the end of the block.

    Yields the store, its settings, and what was read. Raises: DataError where the scorers need different catalogues.
    """
    sources = {scorer.card.source for scorer in scorers if scorer.card.family != "keywords"}
    sources |= {catalogue} - {""}
    if len(sources) > 1:
        raise DataError(f"models of different catalogues ({', '.join(sorted(sources))}): train them all again")
    settings.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.home, prefix=".apart.") as folder:
        update = {"home": Path(folder)} | ({"catalogue": sources.pop()} if sources else {})
        apart = settings.model_copy(update=update)
        _lend_catalogues(settings, apart)
        store = Store(apart.store_path, lock_timeout_s=settings.lock_timeout_s, memory_limit=settings.memory_limit)
        read = ingest(store, apart, logs)
        parsed = parse(store, apart)
        if labels is not None:
            with store.write() as con:
                publish_into(con, "labels", labels, replace="true")
        build_matrix(store, apart)
        yield store, apart, read, parsed


def evaluate_files(
    settings: Settings,
    logs: Iterable[str],
    labels: Path | str,
    detectors: Sequence[str],
    on_step: Callable[[str], None] = lambda _: None,
) -> Holdout:
    """Read logs and labels into a store that is thrown away, and judge the home's models on them.

    Raises: NotTrainedError where a model is missing; DataError where the logs or labels cannot be used.
    """
    scorers = {name: load_scorer(settings, name) for name in detectors}
    known = read_labels(labels)
    on_step("reading and parsing")
    with read_apart(settings, logs, scorers.values(), known) as (store, apart, read, parsed):
        data = load_dataset(store, apart, families(detectors))
        tests = {}
        for name, scorer in scorers.items():
            on_step(name)
            tests[name] = judge(scorer, data, settings)
    matched = int(np.isin(known["block_id"].to_numpy(), data.matrix("events").keys).sum())
    counts = {label: int((data.labels == label).sum()) for label in (AMBIGUOUS, UNLABELLED)}
    return Holdout(read, parsed, len(data), counts[UNLABELLED], counts[AMBIGUOUS], len(known) - matched, tests)


def score_files(settings: Settings, logs: Iterable[str], name: str) -> list[dict[str, Any]]:
    """Score the blocks of logs with a detector's champion, the most anomalous first, without keeping anything.

    One dict per block: block_id, score, threshold, is_anomaly, lines, first_time, and for anomalies the reason.
    """
    scorer = load_scorer(settings, name)
    with read_apart(settings, logs, [scorer]) as (store, apart, _, _):
        data = load_dataset(store, apart, families([name]))
        with store.read() as con:
            facts = con.execute("SELECT lines, first_time FROM event_matrix ORDER BY block_id").fetchall()
    matrix = data.matrix(scorer.card.family)
    scores = scorer.score(matrix)
    flagged = np.flatnonzero(scores >= scorer.card.threshold)
    reasons = dict(zip(flagged.tolist(), explain_matrix(scorer, settings, matrix.values[flagged]), strict=True))
    return [
        {
            "block_id": f"blk_{matrix.keys[row]}",
            "score": float(scores[row]),
            "threshold": scorer.card.threshold,
            "is_anomaly": row in reasons,
            "lines": facts[row][0],
            "first_time": facts[row][1].isoformat(),
            "reason": reasons[row].reason if row in reasons else None,
        }
        for row in np.argsort(-scores, kind="stable").tolist()
    ]


def _lend_catalogues(settings: Settings, apart: Settings) -> None:
    """The home's own catalogues, which its models may be bound to."""
    if settings.catalogues.is_dir():
        apart.catalogues.mkdir(parents=True, exist_ok=True)
        for path in settings.catalogues.glob("*.csv"):
            (apart.catalogues / path.name).write_bytes(path.read_bytes())
