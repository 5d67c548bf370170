"""A small home for the tests that need trained models: whole blocks of the shipped HDFS_v1 sample."""

import csv
import gzip
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.contract import EVERYTHING, Domain, Read, Selection
from hdfs_pipeline.learning.challenge import train_and_track
from hdfs_pipeline.learning.tracking import publish_evaluations
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.settings import PROJECT, Settings, load_settings
from hdfs_pipeline.store.store import Store

BLOCKS = domain_named("blocks")
SAMPLE = PROJECT / "data" / "sample" / "hdfs_v1"
FAST = ("exact_match", "keywords", "random_forest")
_BLOCK = re.compile(rb"blk_-?\d+")


@dataclass(frozen=True)
class Home:
    """The settings and the store of one home."""

    settings: Settings
    store: Store

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self.store.read() as con:
            return con.execute(sql, list(parameters)).fetchall()


@dataclass(frozen=True)
class Excerpt:
    """Every line of some blocks of the sample, in a log of their own, and their labels by id."""

    log: Path
    csv: Path
    labels: dict[str, str]

    def write_labels(self, path: Path, labels: dict[str, str], header: str = "BlockId,Label") -> Path:
        path.write_text("".join(f"{line}\n" for line in (header, *(f"{b},{label}" for b, label in labels.items()))))
        return path


def excerpt(folder: Path, *, normal: int, anomalous: int, part: int = 0, parts: int = 3) -> Excerpt:
    """Blocks spread evenly over the sample. Excerpts with another `part` of `parts` share no block."""
    with (SAMPLE / "labels.csv").open(newline="") as file:
        known = {row["BlockId"]: row["Label"] for row in csv.DictReader(file)}
    lines = gzip.decompress((SAMPLE / "HDFS.log.gz").read_bytes()).splitlines(keepends=True)
    named = [set(_BLOCK.findall(line)) for line in lines]
    in_order = list(dict.fromkeys(block.decode() for blocks in named for block in sorted(blocks)))
    chosen: dict[str, str] = {}
    for label, count in (("Normal", normal), ("Anomaly", anomalous)):
        all_of_it = [block for block in in_order if known[block] == label][part::parts]
        chosen |= {all_of_it[at * len(all_of_it) // count]: label for at in range(count)}
    wanted = {block.encode() for block in chosen}
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "hdfs.log"
    log.write_bytes(b"".join(line for line, blocks in zip(lines, named, strict=True) if blocks & wanted))
    with_csv = Excerpt(log, folder / "labels.csv", chosen)
    with_csv.write_labels(with_csv.csv, chosen)
    return with_csv


def open_home(folder: Path, **settings: object) -> Home:
    """The home at `folder` with settings that keep the tests quick."""
    plain = {"lock_timeout_s": 60.0, "memory_limit": "500MB", "bootstrap_samples": 50, **settings}
    found = load_settings(folder).model_copy(update=plain)
    return Home(found, Store(found.store_path, lock_timeout_s=60.0, memory_limit="500MB"))


def fill(home: Home, logs: Sequence[Path | str], labels: Path | None = None, domain: Domain = BLOCKS) -> Dataset:
    """Read logs and labels into a home; the items of the domain in it."""
    domain.read(home.store, home.settings, [str(path) for path in logs], labels, propose=False)
    return domain.features(home.store, home.settings)


def trained_home(folder: Path, given: Excerpt, mlflow_db: Path, detectors: Sequence[str] = FAST) -> Home:
    """A home with the blocks of `given` and a model of each of `detectors`, recorded in a copy of `mlflow_db`."""
    home = open_home(folder)
    data = fill(home, [given.log], given.csv)
    shutil.copy(mlflow_db, folder / "mlflow.db")
    for name in detectors:
        card, _ = train_and_track(home.store, data, BLOCKS, name, home.settings)
        publish_evaluations(home.store, card)
    return home


def copy_home(home: Home, folder: Path, **settings: object) -> Home:
    """Store and models of a home at another place, to be changed. MLflow, which knows its own place, stays behind."""
    folder.mkdir(parents=True)
    shutil.copy(home.settings.store_path, folder)
    if home.settings.models.is_dir():
        shutil.copytree(home.settings.models, folder / "models")
    return open_home(folder, **settings)


@dataclass(frozen=True)
class Filled:
    """A small home of one domain, and the files that it was filled from; none where its items come another way."""

    domain: Domain
    home: Home
    files: tuple[Path, ...] = ()
    labels: Path | None = None

    def data(self, families: Sequence[str] = (), where: Selection = EVERYTHING) -> Dataset:
        """Its items."""
        return self.domain.features(self.home.store, self.home.settings, families, where)

    def read(self, home: Home) -> Read:
        """Read the files and labels into a home."""
        paths = [str(path) for path in self.files]
        return self.domain.read(home.store, home.settings, paths, self.labels, propose=False)

    def copied(self, folder: Path) -> "Filled":
        """The same with a home at another place, to be changed."""
        return replace(self, home=copy_home(self.home, folder))
