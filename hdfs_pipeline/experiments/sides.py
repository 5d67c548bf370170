"""The two sides of a comparison: items to learn from and items to judge on, of a home or of files."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains.champions import families
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import DataError, UsageError, unknown
from hdfs_pipeline.experiments.person import questioned
from hdfs_pipeline.learning.holdout import read_apart
from hdfs_pipeline.scoring.dataset import Dataset, split_chronological, split_random, split_unseen
from hdfs_pipeline.scoring.labels import AMBIGUOUS, UNLABELLED
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store

SPLITS: Final = {
    "random": "drawn at random within each label",
    "chronological": "the earlier ones to learn from, the later ones to judge on",
    "online": "as chronological; the labels of what was flagged become known and are learned on the way",
    "unseen": "count vectors are divided: no vector to judge on occurs among those to learn from",
    "groups": "the earlier ones without labels, but with a simulated person's words on the most worthwhile groups",
    "other": "all of one data set to learn from, all of another one to judge on",
}
"""What each split does; "other" needs a second data set, and "groups" may have one."""
GROUPS: Final = 10
"""How many groups the simulated person is asked about."""


@dataclass(frozen=True)
class Sides:
    """Labelled items to learn from and to judge on; `facts` say where they come from."""

    learn: Dataset
    test: Dataset
    split: str
    facts: dict[str, Any]


def divide(data: Dataset, split: str, settings: Settings) -> tuple[Dataset, Dataset]:
    """The two sides of the labelled items of `data` by "random", "chronological" (so too "online") or "unseen".

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
        raise UsageError(unknown("split", split, [*ways, "groups"]))
    learn, test = (known.take(rows) for rows in ways[split]())
    for side, what in ((learn, "learn from"), (test, "judge on")):
        if len(set(side.labels.tolist())) < 2:
            raise DataError(
                f"the {split} split leaves no {data.plural} of both labels to {what}: take another --split, or more "
                "of them"
            )
    return learn, test


def home_sides(
    store: Store, settings: Settings, domain: Domain, names: Iterable[str], split: str, groups: int = GROUPS
) -> Sides:
    """The home's items, divided; `groups` is for the split of that name. Raises: DataError where they cannot be."""
    data = domain.features(store, settings, families(domain, names))
    return _sides(data, None, domain, settings, split, groups, {"source": f"home {settings.home}"} | _facts(data))


def _sides(
    data: Dataset,
    other: Dataset | None,
    domain: Domain,
    settings: Settings,
    split: str,
    groups: int,
    facts: dict[str, Any],
) -> Sides:
    """The sides of `data`, or with `other` all of `data` and all of that."""
    if split != "groups":
        learn, test = (data.labelled(), other.labelled()) if other else divide(data, split, settings)
        return Sides(learn, test, "other" if other else split, facts)
    if other is None:
        data, other = (data.take(rows) for rows in split_chronological(data, settings.test_share))
    test = other.labelled()
    learn, said = questioned(data, domain, settings, groups)
    return Sides(learn, test, split, facts | {"groups": said})


def file_sides(
    settings: Settings,
    domain: Domain,
    names: Sequence[str],
    split: str,
    *,
    logs: Collection[str] = (),
    labels: Path | None = None,
    test_logs: Collection[str] = (),
    test_labels: Path | None = None,
    groups: int = GROUPS,
    on_step: Callable[[str], None] = lambda _: None,
) -> Sides:
    """The sides from log files with their labels, each read into a store of its own that is thrown away.

    Without `logs` the home's items are the first data set. With `test_logs` the split is "other", or stays "groups":
    the detectors learn from all of the first data set, and the second one is read with the first one's columns.
    `groups` is how many are asked about in the split of that name. Raises: DataError where logs or labels cannot be
    used.
    """
    on_step("reading and parsing")
    if logs and labels:
        data = _read(settings, domain, names, logs, labels)
        facts = {"source": ", ".join(logs), "labels": str(labels)} | _facts(data)
    else:
        data = domain.features(Store.open(settings), settings, families(domain, names))
        facts = {"source": f"home {settings.home}"} | _facts(data)
    if not (test_logs and test_labels):
        return _sides(data, None, domain, settings, split, groups, facts)
    on_step("reading and parsing the other data set")
    matrix = data.main
    other = _read(settings, domain, names, test_logs, test_labels, matrix.source)
    other.main.require(matrix.columns, matrix.source, matrix.fingerprint)
    facts |= {"other": {"source": ", ".join(test_logs), "labels": str(test_labels)} | _facts(other)}
    return _sides(data, other, domain, settings, split, groups, facts)


def _read(
    settings: Settings, domain: Domain, names: Sequence[str], logs: Iterable[str], labels: Path, source: str = ""
) -> Dataset:
    _, table = domain.labels(labels)
    with read_apart(settings, domain, logs, labels=table, source=source) as (store, apart, _):
        return domain.features(store, apart, families(domain, names))


def _facts(data: Dataset) -> dict[str, Any]:
    """The domain, what its columns come from, and numbers: all items, and those left out as ambiguous or unlabelled."""
    return {
        "domain": data.domain,
        "catalogue": data.main.source,
        "items": len(data),
        "ambiguous": int((data.labels == AMBIGUOUS).sum()),
        "unlabelled": int((data.labels == UNLABELLED).sum()),
    }
