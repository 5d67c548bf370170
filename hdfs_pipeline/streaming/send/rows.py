"""CSV files into Kafka: feature rows into `hdfs_logs`, labels into `labels`."""

import csv
import gzip
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Final

from hdfs_pipeline.domains.blocks import wire
from hdfs_pipeline.domains.blocks.catalogue import UNKNOWN, catalogues
from hdfs_pipeline.domains.blocks.labels import read_labels
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import HDFS_LOGS, LABELS, is_embedded
from hdfs_pipeline.streaming.send.pace import Throttle
from hdfs_pipeline.streaming.send.sender import LINGER_MS, LOW_LINGER_MS, Report, Sender, Tell
from hdfs_pipeline.streaming.topics import ensure_topics

_VERDICTS: Final = {"success": "normal", "normal": "normal", "fail": "anomaly", "anomaly": "anomaly"}


def produce_features(
    settings: Settings,
    path: Path,
    *,
    stopped: Event,
    catalogue: str = "hdfs_v1.v1",
    batch: int = 1,
    delay_s: float = 0.0,
    on_progress: Callable[[Report], None] = lambda _: None,
    say: Tell = lambda _: None,
) -> Report:
    """Send a matrix of counts (BlockId, Label, [Type,] E1, E2, …) into `hdfs_logs`, a message per row.

    `batch` rows go at once, with `delay_s` seconds between. A column that the catalogue does not know counts as
    UNKNOWN. Raises: DataError naming the line that cannot be used; SetupError where there is no broker.
    """
    ensure_topics(settings, [HDFS_LOGS])
    sender = Sender(
        settings, HDFS_LOGS, stopped, linger_ms=LOW_LINGER_MS if delay_s else LINGER_MS, on_progress=on_progress
    )
    if is_embedded(settings):
        sender.throttle = Throttle(
            settings, HDFS_LOGS, settings.stream_group, stopped=stopped, idle=sender.idle, say=say
        )
    try:
        for vector in read_features(path, catalogue, settings):
            if stopped.is_set():
                break
            sender.send(wire.encode(vector), wire.block_key(vector.block_id))
            sender.report.records += 1
            if delay_s and not sender.report.records % batch:
                sender.flush()
                sender.idle()
                stopped.wait(delay_s)
    finally:
        report = sender.close()
    return report


def read_features(path: Path, catalogue: str, settings: Settings) -> Iterator[wire.Vector]:
    """The rows of a matrix of counts, plain or .gz. Raises: DataError naming the line that cannot be used."""
    known = catalogues(settings.catalogues)
    if catalogue not in known:
        raise DataError(f"no catalogue {catalogue}; there are {', '.join(known)}")
    columns = set(known[catalogue].columns)
    try:
        with _text(path) as file:
            rows = csv.DictReader(file)
            names = rows.fieldnames or []
            events = {name: name if name in columns else UNKNOWN for name in names if _is_event(name)}
            if not {"BlockId", "Label"} <= set(names) or not events:
                raise DataError(f"{path}: needs the columns BlockId, Label, E1, E2, … (Event_occurrence_matrix.csv)")
            for row in rows:
                yield _vector(row, events, catalogue, f"{path}, line {rows.line_num}")
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file that can be read ({error})") from None


def _is_event(name: str) -> bool:
    return name == UNKNOWN or re.fullmatch(r"E\d+", name) is not None


def _text(path: Path) -> io.TextIOBase:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _vector(row: dict[str, str], events: dict[str, str], catalogue: str, where: str) -> wire.Vector:
    block_id, label = wire.parse_key(row["BlockId"]), _VERDICTS.get((row["Label"] or "").strip().lower())
    if block_id is None or label is None:
        raise DataError(f"{where}: needs a block id such as blk_38 and the label Success or Fail")
    counts: dict[str, int] = {}
    for name, event in events.items():
        text = (row[name] or "").strip()
        if not re.fullmatch(r"\d{1,9}", text):
            raise DataError(f"{where}: {name} is {text!r}, no whole number")
        if int(text):
            counts[event] = counts.get(event, 0) + int(text)
    return wire.Vector(block_id, catalogue, counts, lines=sum(counts.values()), label=label)


def produce_labels(
    settings: Settings, path: Path, *, stopped: Event, on_progress: Callable[[Report], None] = lambda _: None
) -> Report:
    """Send the labels of a CSV file into `labels`. Raises: as `read_labels`; SetupError where there is no broker."""
    ensure_topics(settings, [LABELS])
    table = read_labels(path)
    sender = Sender(settings, LABELS, stopped, on_progress=on_progress)
    try:
        for row in table.to_pylist():
            if stopped.is_set():
                break
            sender.send(wire.encode(wire.Label(**row)), wire.block_key(row["block_id"]))
            sender.report.records += 1
    finally:
        report = sender.close()
    return report
