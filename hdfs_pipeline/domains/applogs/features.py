"""The features of messages: one pure function from messages to matrices, for the batch and for streams."""

import re
import zlib
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.detectors.message_forest import COLUMNS
from hdfs_pipeline.domains.applogs.bursts import counted_sql
from hdfs_pipeline.domains.applogs.item import DOMAIN, MESSAGE
from hdfs_pipeline.domains.applogs.keywords import word_counts
from hdfs_pipeline.domains.applogs.knowledge import knowledge_of
from hdfs_pipeline.domains.applogs.levels import level_codes
from hdfs_pipeline.domains.contract import EVERYTHING, Selection
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.feedback import overlay, words_of
from hdfs_pipeline.scoring.knowledge import RULES
from hdfs_pipeline.scoring.labels import UNLABELLED
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store

FAMILY: Final = "messages"
SOURCE: Final = "app_logs"
"""What gives the columns their meaning: codes of templates stay what they are in every version of the catalogue."""
USED: Final = ("message_id", "time", "service", "level", "message", "template", "messages", "errors")
"""The columns that `matrices` needs."""
SLOT: Final = 5
"""Minutes of an hour that count as the same."""
_CODES: Final = (1 << 24) - 1
_EXACT: Final = 16
_NUMBER: Final = re.compile(r"\D*(\d+)")


def service_code(service: str) -> int:
    """The number that stands for a service, from 1 up to what float32 holds exactly."""
    return 1 + zlib.crc32(service.encode()) % _CODES


def template_code(template: str) -> int:
    """The number of a template, 0 for a message that matches none."""
    found = _NUMBER.fullmatch(template)
    return int(found[1]) if found else 0


def matrices(messages: pa.Table, settings: Settings) -> dict[str, FeatureMatrix]:
    """The matrices of n messages, in their order, by family; the table has the columns `USED`."""
    keys = messages["message_id"].to_numpy()
    values = np.zeros((len(keys), len(COLUMNS)), np.float32)
    place = {name: at for at, name in enumerate(COLUMNS)}
    weekday, hour, minute = _clock(messages["time"], settings.log_timezone)
    columns = {
        "service": _coded(messages["service"], service_code),
        "template": _coded(messages["template"], template_code),
        "level": level_codes(messages["level"]),
        "length": quantised(_lengths(messages["message"]), 8),
        **word_counts(messages["message"]),
        "weekday": weekday,
        "hour": hour,
        "minute": minute // SLOT * SLOT,
        "messages": quantised(messages["messages"].to_numpy(), 4),
        "errors": quantised(messages["errors"].to_numpy(), 4),
    }
    for name, column in columns.items():
        values[:, place[name]] = column
    knowledge = knowledge_of(settings)
    grades = FeatureMatrix(values, keys, COLUMNS, SOURCE).by_case(lambda once: knowledge.grades(once.values))
    return {
        FAMILY: FeatureMatrix(values, keys, COLUMNS, SOURCE),
        RULES: FeatureMatrix(grades, keys, knowledge.ids, SOURCE),
    }


def quantised(numbers: np.ndarray, steps: int) -> np.ndarray:
    """Whole numbers (n,), those above 16 in so many steps for each doubling: the least of each step, float32."""
    numbers = np.asarray(numbers, np.float64)
    step = np.floor(np.log2(np.maximum(numbers, 1)) * steps + 1e-9)
    return np.where(numbers <= _EXACT, numbers, np.ceil(2 ** (step / steps) - 1e-6)).astype(np.float32)


def _lengths(messages: pa.ChunkedArray) -> np.ndarray:
    import pyarrow.compute as pc

    return np.asarray(pc.utf8_length(messages).to_numpy())


def _clock(times: pa.ChunkedArray, zone: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weekday (0: Monday), hour and minute (n,) of times, as a clock in a time zone shows them."""
    import pyarrow.compute as pc

    local = times.cast(pa.timestamp("us", zone))
    return pc.day_of_week(local).to_numpy(), pc.hour(local).to_numpy(), pc.minute(local).to_numpy()


def _coded(texts: pa.ChunkedArray, code: Any) -> np.ndarray:
    """The code (n,) of each text, made once for each distinct one."""
    import pyarrow.compute as pc

    encoded = pc.dictionary_encode(texts).combine_chunks() if len(texts) else None
    if encoded is None:
        return np.zeros(0, np.float32)
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0)
    codes = np.array([code(text) for text in encoded.dictionary.to_pylist()], np.float32)
    return codes[encoded.indices.to_numpy()]


def load_dataset(store: Store, settings: Settings, where: Selection = EVERYTHING) -> Dataset:
    """The home's messages of a selection as a Dataset, in the order of their keys, with all families.

    Raises: DataError where no message was read yet.
    """
    only, parameters = selected(where)
    # What a message's service wrote before it counts, so that whole sources are counted.
    touched = (
        "app_logs"
        if only == "true"
        else f"(FROM app_logs WHERE source_id IN (SELECT source_id FROM app_logs WHERE {only}))"
    )
    counted = counted_sql(f"(SELECT source_id, position, message_id, time, service, level, template FROM {touched})")
    with store.read() as con:
        if not con.execute("SELECT 1 FROM app_logs LIMIT 1").fetchall():
            raise DataError(
                f"no messages have been read in this home yet: run `hdfs-pipeline ingest PATH --domain {DOMAIN}`"
            )
        messages = con.sql(
            f"""SELECT c.message_id, c.time, c.service, c.level, m.message, c.template, c.messages, c.errors
            FROM (SELECT * FROM ({counted}) WHERE {only}) c
            JOIN (SELECT source_id, position, message FROM app_logs WHERE {only}) m USING (source_id, position)
            ORDER BY c.message_id""",
            params=parameters,
        ).to_arrow_table()
        words = words_of(con, DOMAIN, MESSAGE.parse)
    unlabelled, no_kind = np.full(len(messages), UNLABELLED, np.int8), np.full(len(messages), "", object)
    time = messages["time"].cast(pa.int64()).to_numpy()
    found = matrices(messages, settings)
    data = Dataset(DOMAIN, found, time, unlabelled, no_kind, plural=MESSAGE.plural, alike=MESSAGE.alike)
    return overlay(data, words)


def selected(where: Selection) -> tuple[str, dict[str, Any]]:
    """A selection as SQL over rows of `app_logs`, and its parameters."""
    only: list[str] = []
    parameters: dict[str, Any] = {}
    if where.items is not None:
        only.append("message_id IN (SELECT unnest($items::BIGINT[]))")
        parameters["items"] = [int(key) for key in where.items]
    if where.began is not None:
        only.append("time >= $begin AND time < $end")
        parameters |= {"begin": where.began[0], "end": where.began[1]}
    if where.entity:
        only.append("service = $service")
        parameters["service"] = where.entity
    return " AND ".join(only) or "true", parameters
