"""What the benchmarks share: a log file of any length made of a sample, and a description of the machine."""

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from hdfs_pipeline.errors import DataError

_ID = re.compile(rb"(?<=blk_)(-?\d+)")
_DAY = re.compile(rb"^(\d{6}|\d{4}-\d\d-\d\d)(?= \d)", re.MULTILINE)


@dataclass(frozen=True)
class BenchFile:
    """A file to measure on: `blocks` distinct block ids, the sample `repetitions` times."""

    path: Path
    lines: int
    bytes: int
    blocks: int
    repetitions: int


def make_file(
    sample: Path, lines: int, target: Path, seed: int = 7, *, skip: int = 0, spans: int | None = None
) -> BenchFile:
    """Repeat a sample until there are at least `lines` lines, each repetition with block ids that no other one has.

    `sample` is a log file (.gz and .zst too) or a folder of them, whose files follow each other inside a repetition, as
    if one daemon's log were appended to another's; it must fit into memory. Only whole repetitions are written. An id
    changes wherever ``blk_`` stands before it, in file names and continuation lines too; nothing else changes, but
    that with `spans` each repetition is later than the one before by as many days as the sample has, and the last one
    by `spans` times as many than the sample itself. With `skip` the ids are those that come after so many repetitions.

    Raises: DataError where the sample has no line.
    """
    from hdfs_pipeline.domains.pieces import CHUNK_BYTES
    from hdfs_pipeline.sources.finding import find_files

    texts = [b"".join(file.chunks(CHUNK_BYTES)) for file in find_files([str(sample)], target.parent).files]
    data = b"".join(text if text.endswith(b"\n") else text + b"\n" for text in texts if text)
    if not data:
        raise DataError(f"{sample}: nothing in it to measure on")
    repetitions = -(-lines // data.count(b"\n"))
    parts: list[bytes] = _ID.split(data)  # text, id, text, id, …, text
    numbers = [int(text) for text in parts[1::2]]
    fits = [index for index, number in enumerate(numbers) if -(2**63) <= number < 2**63]
    ids, which = np.unique(np.array([numbers[index] for index in fits], np.int64), return_inverse=True)
    places = list(zip((2 * index + 1 for index in fits), which.tolist(), strict=True))
    days = sorted(set(_DAY.findall(data))) if spans is not None else []
    size = 0
    with target.open("wb") as file:
        for number, shift in enumerate(_shifts(ids, skip + repetitions, seed)[skip:]):
            fresh = [b"%d" % each for each in (ids.view(np.uint64) + shift).view(np.int64).tolist()]
            for place, index in places:
                parts[place] = fresh[index]
            text = b"".join(parts)
            if days:
                later = _moved(days, number - repetitions + 1 + (spans or 0))
                text = _DAY.sub(lambda found, later=later: later[found[0]], text)  # type: ignore[misc]
            size += file.write(text)
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


def _moved(days: list[bytes], spans: int) -> Mapping[bytes, bytes]:
    """The days of a sample, as they stand in it, each with what stands for it `spans` times all of them later."""
    form = "%y%m%d" if len(days[0]) == 6 else "%Y-%m-%d"
    dates = [datetime.strptime(day.decode(), form).date() for day in days]  # noqa: DTZ007 - a day, no time
    move = timedelta(days=((dates[-1] - dates[0]).days + 1) * spans)
    return {day: f"{each + move:{form}}".encode() for day, each in zip(days, dates, strict=True)}


def machine() -> dict[str, Any]:
    """What the figures were measured on: processor, cores, memory in GB (10^9 bytes), versions."""
    import psutil

    info = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.+)", info.read_text()) if info.exists() else None
    packages = ("duckdb", "numpy", "numba", "pyarrow", "scikit-learn", "torch", "onnxruntime")
    return {
        "processor": model[1] if model else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def describe(machine: dict[str, Any]) -> str:
    """One line about the machine, for a table's caption."""
    versions = [
        f"{name} {machine[name]}" for name in machine if name not in ("processor", "cores", "memory_gb", "load")
    ]
    where = f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, load {machine['load']}"
    return f"{where}; {', '.join(versions)}"
