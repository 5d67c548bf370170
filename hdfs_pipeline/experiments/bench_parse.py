"""How fast a log file becomes an event matrix, beside DuckDB's own line count, LogLead and Drain3.

The file is a sample that is repeated with block ids of its own in each repetition, so that there are as many blocks as
a log of that length has. Every run is a process of its own, since its peak memory is measured; the runs of one round
follow each other, so that a busy machine slows all of them; of the rounds each contender's best counts. The file was
just written, so that all read it from the page cache.
"""

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.experiments.peers import peak_mb
from hdfs_pipeline.settings import PROJECT, Settings

if TYPE_CHECKING:
    from rich.table import Table

PEERS: Final = PROJECT / ".venv-peers" / "bin" / "python"
"""Python of the peers' environment."""
NOT_MEASURED: Final = "not measured: run `make bench-peers`"
ROUNDS: Final = 3
_DRAIN_LIMIT_S = 20.0  # Drain3 is judged by its lines per second, from as many lines as it gets through
_RUN_LIMIT_S = 1800.0
_LABELS: Final = {
    "ours": "hdfs_pipeline: file to matrix",
    "read_csv": "DuckDB read_csv: count(*) of the lines",
    "loglead_tip": "LogLead, tip: file to matrix",
    "loglead_drain": "LogLead, drain: file to matrix",
    "drain3": "Drain3: line to template, no matrix",
}
_ID = re.compile(rb"(?<=blk_)(-?\d+)")


@dataclass(frozen=True)
class BenchFile:
    """A file to measure on: `blocks` are the distinct block ids in it, `repetitions` how often the sample stands in it."""

    path: Path
    lines: int
    bytes: int
    blocks: int
    repetitions: int


def make_file(sample: Path, lines: int, target: Path, seed: int = 7) -> BenchFile:
    """Repeat a sample until there are at least `lines` lines, each repetition with block ids that no other one has.

    `sample` is a log file (.gz and .zst too) or a folder of them, whose files follow each other inside a repetition, as
    if one daemon's log were appended to another's; it must fit into memory. Only whole repetitions are written. An id
    changes wherever ``blk_`` stands before it, in file names and continuation lines too; nothing else changes.

    Raises: DataError where the sample has no line.
    """
    from hdfs_pipeline.domains.blocks.records import CHUNK_BYTES
    from hdfs_pipeline.sources.files import find_files

    texts = [b"".join(file.chunks(CHUNK_BYTES)) for file in find_files([str(sample)], target.parent)]
    data = b"".join(text if text.endswith(b"\n") else text + b"\n" for text in texts if text)
    if not data:
        raise DataError(f"{sample}: nothing in it to measure on")
    repetitions = -(-lines // data.count(b"\n"))
    parts: list[bytes] = _ID.split(data)  # text, id, text, id, …, text
    numbers = [int(text) for text in parts[1::2]]
    fits = [index for index, number in enumerate(numbers) if -(2**63) <= number < 2**63]
    ids, which = np.unique(np.array([numbers[index] for index in fits], np.int64), return_inverse=True)
    places = list(zip((2 * index + 1 for index in fits), which.tolist(), strict=True))
    size = 0
    with target.open("wb") as file:
        for shift in _shifts(ids, repetitions, seed):
            fresh = [b"%d" % number for number in (ids.view(np.uint64) + shift).view(np.int64).tolist()]
            for place, index in places:
                parts[place] = fresh[index]
            size += file.write(b"".join(parts))
    return BenchFile(target, repetitions * data.count(b"\n"), size, len(ids) * repetitions, repetitions)


def _shifts(ids: np.ndarray, repetitions: int, seed: int) -> np.ndarray:
    """What to add to the ids (n,) int64, modulo 2^64, in each repetition: (repetitions,) uint64, the first of them 0.

    Dense ids (Hadoop 2 and later count them up) continue where the repetition before ended. Ids drawn from all 64 bits
    (HDFS_v1) are moved by random numbers, drawn again should two repetitions ever share an id.
    """
    if not len(ids):
        return np.zeros(repetitions, np.uint64)
    span = int(ids[-1]) - int(ids[0]) + 1
    if int(ids[-1]) + repetitions * span < 2**63:
        return np.arange(repetitions, dtype=np.uint64) * np.uint64(span)
    draw = np.random.default_rng(seed)
    while True:
        shifts = draw.integers(1, 2**64 - 1, repetitions, np.uint64)
        shifts[0] = 0
        if len(np.unique(ids.view(np.uint64)[:, None] + shifts)) == len(ids) * repetitions:
            return shifts
