"""Judging trained models on a data set that they have never seen, in a store of its own."""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdfs_pipeline.detectors import detector_row
from hdfs_pipeline.domains.blocks.ingest import Ingested, ingest
from hdfs_pipeline.domains.blocks.labels import read_labels
from hdfs_pipeline.domains.blocks.matrix import build_matrix, load_dataset
from hdfs_pipeline.domains.blocks.parse import Parsed, parse
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.experiments.training import Tested, judge
from hdfs_pipeline.scoring.models import load_model
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store import Store, publish_into


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
    scorers = {name: load_model(detector_row(name).cls, settings) for name in detectors}
    sources = {scorer.card.source for scorer in scorers.values() if scorer.card.family == "events"}
    if len(sources) > 1:
        raise DataError(f"models of different catalogues ({', '.join(sorted(sources))}): train them all again")
    known = read_labels(labels)
    settings.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.home, prefix=".evaluate.") as folder:
        update = {"home": Path(folder)} | ({"catalogue": sources.pop()} if sources else {})
        apart = settings.model_copy(update=update)
        _lend_catalogues(settings, apart)
        store = Store(apart.store_path, lock_timeout_s=settings.lock_timeout_s, memory_limit=settings.memory_limit)
        on_step("reading")
        read = ingest(store, apart, logs)
        on_step("parsing")
        parsed = parse(store, apart)
        with store.write() as con:
            publish_into(con, "labels", known, replace="true")
        build_matrix(store, apart)
        data = load_dataset(store, apart)
        tests = {}
        for name, scorer in scorers.items():
            on_step(name)
            tests[name] = judge(scorer, data, settings)
    matched = int(np.isin(known["block_id"].to_numpy(), data.matrix("events").keys).sum())
    counts = {label: int((data.labels == label).sum()) for label in (-1, -2)}
    return Holdout(read, parsed, len(data), counts[-2], counts[-1], len(known) - matched, tests)


def _lend_catalogues(settings: Settings, apart: Settings) -> None:
    """The home's own catalogues, which its models may be bound to."""
    if settings.catalogues.is_dir():
        apart.catalogues.mkdir(parents=True, exist_ok=True)
        for path in settings.catalogues.glob("*.csv"):
            (apart.catalogues / path.name).write_bytes(path.read_bytes())
