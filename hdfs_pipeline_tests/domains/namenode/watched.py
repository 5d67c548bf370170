"""A home that has watched the shipped recording, and small frames, for the tests of models and incidents."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.namenode.collect import METRICS, _row
from hdfs_pipeline.domains.namenode.detectors import LEARNING
from hdfs_pipeline.domains.namenode.evaluate import Fault, read_faults
from hdfs_pipeline.domains.namenode.features import load_baseline
from hdfs_pipeline.domains.namenode.frames import frame_of
from hdfs_pipeline.domains.namenode.metrics import COLUMNS
from hdfs_pipeline.domains.namenode.process import Processor
from hdfs_pipeline.domains.namenode.replay import SAMPLE
from hdfs_pipeline.domains.namenode.reports import model_status
from hdfs_pipeline.domains.namenode.series import Series, read_polls
from hdfs_pipeline.learning.tracking import publish_model
from hdfs_pipeline.learning.training import train
from hdfs_pipeline.scoring.frames import Frame
from hdfs_pipeline.store.store import publish_into
from hdfs_pipeline.verdicts.update import Update, score_new
from hdfs_pipeline_tests.homes import Home

NAMENODES = domain_named("namenode")
NAMENODE = "nn.example:9870"
LABELS = SAMPLE.with_name("labels.jsonl")
QUICK = {"namenode_epochs": 3}
"""Settings that train in a second."""


def faults() -> dict[str, Fault]:
    return {fault.name: fault for fault in read_faults(LABELS)}


def watch(
    home: Home, path: Path = SAMPLE, until: float = np.inf, since: float = 0.0, begin: datetime | None = None
) -> None:
    """Store the samples of a recording that were polled from `since` to `until`, as the collector does.

    With `begin` the recording is moved to that time.
    """
    moved = 0.0 if begin is None else begin.timestamp() - next(read_polls(path)).at
    processor, rows = Processor(), []
    for poll in read_polls(path):
        sample = processor.add(poll.document, datetime.fromtimestamp(poll.at + moved, UTC)) if poll.document else None
        if sample is not None and since <= poll.at < until:
            rows.append(_row(NAMENODE, sample))
    with home.store.write() as con:
        publish_into(con, "namenode_metrics", pa.Table.from_pylist(rows, METRICS))


def series(values: np.ndarray, columns: tuple[str, ...] = COLUMNS, step_s: float = 5.0) -> Series:
    """Values (n, m) polled every `step_s` seconds from an active NameNode."""
    n = len(values)
    gap = np.zeros(n, bool)
    gap[:1] = True
    roles = np.full(n, "active", dtype=object)
    return Series(np.arange(n) * step_s + 1.7e9, values.astype(np.float32), columns, roles, np.zeros(n, bool), gap)


def noise_series(n: int, seed: int = 1) -> Series:
    """A quiet NameNode: every metric near 10 with some noise."""
    return series(np.random.default_rng(seed).normal(10, 2, (n, len(COLUMNS))).clip(0))


def noise(n: int, seed: int = 1) -> Frame:
    """The same as steps."""
    return frame_of(noise_series(n, seed))


def learn(home: Home, **window: Any) -> dict[str, Any]:
    """Train and save every detector on a window of a home, as `namenode train` does; the status then."""
    data = load_baseline(home.store, home.settings, **window)
    for name in LEARNING:
        publish_model(home.store, home.settings, train(data, NAMENODES, name, home.settings).scorer.card)
    return model_status(home.settings)


def update(home: Home, namenode: str = NAMENODE) -> Update:
    """Score what is new, as `namenode score` does."""
    return score_new(home.store, home.settings, NAMENODES, namenode)
