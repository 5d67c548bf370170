"""CSV files as messages: counts of blocks for `hdfs_logs`, labels for `labels`."""

import csv
import gzip
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hdfs_pipeline.domains.blocks.catalogue import catalogues
from hdfs_pipeline.domains.blocks.labels import read_labels
from hdfs_pipeline.domains.blocks.wire import Label, Vector, block_key, encode, parse_key
from hdfs_pipeline.errors import DataError, UsageError, unknown
from hdfs_pipeline.scoring.catalogue import UNKNOWN
from hdfs_pipeline.settings import Settings

_VERDICTS: Final = {"success": "normal", "normal": "normal", "fail": "anomaly", "anomaly": "anomaly"}


def feature_messages(path: Path, catalogue: str, settings: Settings) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of a message for each row of a matrix of counts (BlockId, Label, [Type,] E1, E2, …).

    The file is plain or .gz. A column that is not in the catalogue counts as UNKNOWN. Raises: DataError naming the
    line that cannot be used.
    """
    for vector in _read_features(path, catalogue, settings):
        yield block_key(vector.block_id), encode(vector)


def label_messages(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of a message for each label of a CSV file. Raises: as `read_labels`."""
    for row in read_labels(path).to_pylist():
        yield block_key(row["block_id"]), encode(Label(**row))


def _read_features(path: Path, catalogue: str, settings: Settings) -> Iterator[Vector]:
    known = catalogues(settings.catalogues)
    if catalogue not in known:
        raise UsageError(unknown("catalogue", catalogue, known))
    columns = set(known[catalogue].columns)
    try:
        with _open_text(path) as file:
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


def _open_text(path: Path) -> io.TextIOBase:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _vector(row: dict[str, str], events: dict[str, str], catalogue: str, where: str) -> Vector:
    block_id, label = parse_key(row["BlockId"]), _VERDICTS.get((row["Label"] or "").strip().lower())
    if block_id is None or label is None:
        raise DataError(f"{where}: needs a block id such as blk_38 and the label Success or Fail")
    counts: dict[str, int] = {}
    for name, event in events.items():
        text = (row[name] or "").strip()
        if not re.fullmatch(r"\d{1,9}", text):
            raise DataError(f"{where}: {name} is {text!r}, no whole number")
        if int(text):
            counts[event] = counts.get(event, 0) + int(text)
    return Vector(block_id, catalogue, counts, lines=sum(counts.values()), label=label)
