"""Messages of `request_windows`: the windows of one service and minute that closed, or changed, together.

A message is a JSON object: `v`, `service`, `minute` (ISO 8601 in UTC), `life` (of the topic that the requests came
from), and `windows`, an object of lists, one value per window, by the names of the columns. Its key is the service.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import orjson
import pyarrow as pa

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.sources import wire

_SHARED: Final = ("service", "minute")


def encode_windows(windows: pa.Table, life: str) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of the messages that hold windows, which come by service and minute (`Windows.closed`)."""
    places = list(zip(*(windows[name].to_pylist() for name in _SHARED), strict=True))
    begins = [at for at in range(len(places)) if not at or places[at] != places[at - 1]]
    for begin, end in zip(begins, [*begins[1:], len(places)], strict=False):
        service, minute = places[begin]
        own = windows.slice(begin, end - begin).drop_columns([*_SHARED]).to_pydict()
        message = {"v": wire.VERSION, "service": service, "minute": minute, "life": life, "windows": own}
        yield service.encode(), orjson.dumps(message, option=orjson.OPT_UTC_Z)


def decode_windows(value: bytes | None) -> tuple[pa.Table, str]:
    """The windows of a message (schema `weblogs.windows.WINDOWS`), and the life of the topic that they came from.

    Raises: DataError that says what is wrong with the message.
    """
    from hdfs_pipeline.domains.weblogs.windows import WINDOWS

    fields = wire.decode(value)
    service, lists, life = fields.get("service"), fields.get("windows"), fields.get("life", "")
    if not isinstance(service, str) or not isinstance(life, str) or not isinstance(lists, dict):
        raise DataError("service and life are texts, and windows is an object of lists")
    minute, count = _time("minute", fields.get("minute")), len(lists.get("endpoint") or ())
    columns = []
    for field in WINDOWS:
        own: Any = lists.get(field.name)
        if field.name in _SHARED:
            own = [service if field.name == "service" else minute] * count
        elif not isinstance(own, list) or len(own) != count:
            raise DataError(f"windows have no list {field.name} of {count} values")
        elif pa.types.is_timestamp(field.type):
            own = [None if each is None else _time(field.name, each) for each in own]
        try:
            columns.append(pa.array(own, field.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise DataError(f"{field.name}: {error}") from None
    if not count:
        raise DataError("no window")
    return pa.table(columns, schema=WINDOWS), life


def _time(name: str, text: Any) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise DataError(f"{name} {text!r} is no time") from None
    if time.tzinfo is None:
        raise DataError(f"{name} has no time zone")
    return time
