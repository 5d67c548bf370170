"""The two sides of a comparison: blocks to learn from and blocks to judge on, from a home or from files."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from hdfs_pipeline.detectors import families
from hdfs_pipeline.domains.blocks.features import load_dataset
from hdfs_pipeline.domains.blocks.labels import read_labels
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.learning.holdout import read_apart
from hdfs_pipeline.scoring.dataset import (
    AMBIGUOUS,
    UNLABELLED,
    Dataset,
    split_chronological,
    split_random,
    split_unseen,
)
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store

SPLITS: Final = {
    "random": "blocks drawn at random within each label",
    "chronological": "the earlier blocks to learn from, the later ones to judge on",
    "online": "as chronological, and what was flagged is told and learned on the way",
    "unseen": "count vectors are divided: no vector to judge on occurs among those to learn from",
    "other": "all blocks of one data set to learn from, all of another one to judge on",
}
"""What each split does; "other" needs a second data set."""


@dataclass(frozen=True)
class Sides:
    """Labelled blocks to learn from and to judge on; `facts` say where they come from."""

    learn: Dataset
    test: Dataset
    split: str
    facts: dict[str, Any]


def divide(data: Dataset, split: str, settings: Settings) -> tuple[Dataset, Dataset]:
    """The two sides of the labelled blocks of `data` by "random", "chronological" (so too "online") or "unseen".

    Raises: DataError for another split, and where a side would lack one of the labels.
    """
    known = data.labelled()
    share, seed = settings.test_share, settings.seed
    ways: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
        "random": lambda: split_random(known, share, seed),
        "chronological": lambda: split_chronological(known, share),
        "online": lambda: split_chronological(known, share),
        "unseen": lambda: split_unseen(known, share, seed),
    }
    if split not in ways:
        raise DataError(f"no split {split!r}; there are {', '.join(ways)}")
    learn, test = (known.take(rows) for rows in ways[split]())
    for side, what in ((learn, "learn from"), (test, "judge on")):
        if len(set(side.labels.tolist())) < 2:
            raise DataError(
                f"the {split} split leaves no blocks of both labels to {what}: take another --split, or more blocks"
            )
    return learn, test


def home_sides(store: Store, settings: Settings, names: Iterable[str], split: str) -> Sides:
    """The home's blocks, divided. Raises: DataError where they cannot be."""
    data = load_dataset(store, settings, families(names))
    learn, test = divide(data, split, settings)
    return Sides(learn, test, split, {"source": f"home {settings.home}"} | _facts(data))


def file_sides(
    settings: Settings,
    names: Sequence[str],
    split: str,
    *,
    logs: Collection[str] = (),
    labels: Path | None = None,
    test_logs: Collection[str] = (),
    test_labels: Path | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Sides:
    """The sides from log files with their labels, each read into a store of its own that is thrown away.

    Without `logs` the home's blocks are the first data set. With `test_logs` the split is "other": all of the first
    one is learned from, and the second one is parsed with the first one's catalogue. Raises: DataError where logs or
    labels cannot be used.
    """
    on_step("reading and parsing")
    if logs and labels:
        data = _read(settings, names, logs, labels)
        facts = {"source": ", ".join(logs), "labels": str(labels)} | _facts(data)
    else:
        data = load_dataset(Store.open(settings), settings, families(names))
        facts = {"source": f"home {settings.home}"} | _facts(data)
    if not (test_logs and test_labels):
        return Sides(*divide(data, split, settings), split, facts)
    on_step("reading and parsing the other data set")
    matrix = data.matrix("events")
    other = _read(settings, names, test_logs, test_labels, matrix.source)
    other.matrix("events").require(matrix.columns, matrix.source, matrix.fingerprint)
    facts |= {"other": {"source": ", ".join(test_logs), "labels": str(test_labels)} | _facts(other)}
    return Sides(data.labelled(), other.labelled(), "other", facts)


def _read(settings: Settings, names: Sequence[str], logs: Iterable[str], labels: Path, catalogue: str = "") -> Dataset:
    known = read_labels(labels)
    with read_apart(settings, logs, labels=known, catalogue=catalogue) as (store, apart, _, _):
        return load_dataset(store, apart, families(names))


def _facts(data: Dataset) -> dict[str, Any]:
    """The catalogue, all blocks, and those left out for their label or for want of one."""
    return {
        "catalogue": data.matrix("events").source,
        "blocks": len(data),
        "ambiguous": int((data.labels == AMBIGUOUS).sum()),
        "unlabelled": int((data.labels == UNLABELLED).sum()),
    }
