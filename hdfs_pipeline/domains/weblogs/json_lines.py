"""Access lines that are JSON objects, as nginx, Caddy, Traefik and AWS's load balancers (or who reads them) write them.

Each shape is a row of `SHAPES`: how it is known, and under which keys its parts stand. What nginx writes is its user's
choice (`log_format … escape=json`): the names of its variables, and those that most examples use, are known. An object
with none of these but a text under `message` or `log` is a shipper's: its text is the line.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

_US: Final = 1_000_000


class JsonShape(NamedTuple):
    """A shape: its name, a key that only it has, keys by field (dotted: inside), and the unit of its response time."""

    name: str
    marks: tuple[str, ...]
    keys: Mapping[str, tuple[str, ...]]
    unit: float
    whole_url: bool = False


class JsonRequest(NamedTuple):
    """A request of a JSON line: texts, time as microseconds or a text, numbers; -1 where it says nothing."""

    layout: str
    service: str
    client: str
    account: str
    request: str
    referer: str
    agent: str
    time: int | str
    status: int
    bytes: int
    request_bytes: int
    response_us: int
    whole_url: bool


SHAPES: Final = (
    JsonShape(
        "Caddy",
        ("request.method", "request.uri"),
        {
            "time": ("ts", "time"),
            "service": ("request.host",),
            "client": ("request.client_ip", "request.remote_ip", "request.remote_addr"),
            "account": ("user_id",),
            "method": ("request.method",),
            "uri": ("request.uri",),
            "protocol": ("request.proto",),
            "status": ("status",),
            "bytes": ("size",),
            "request_bytes": ("bytes_read",),
            "response": ("duration",),
            "referer": ("request.headers.Referer",),
            "agent": ("request.headers.User-Agent",),
        },
        _US,
    ),
    JsonShape(
        "Traefik JSON",
        ("DownstreamStatus", "RequestMethod"),
        {
            "time": ("StartUTC", "StartLocal", "time"),
            "service": ("RequestHost", "RequestAddr"),
            "client": ("ClientHost", "ClientAddr"),
            "account": ("ClientUsername",),
            "method": ("RequestMethod",),
            "uri": ("RequestPath",),
            "protocol": ("RequestProtocol",),
            "status": ("DownstreamStatus",),
            "bytes": ("DownstreamContentSize",),
            "request_bytes": ("RequestContentSize",),
            "response": ("Duration",),
            "referer": ("request_Referer",),
            "agent": ("request_User-Agent",),
        },
        1e-3,
    ),
    JsonShape(
        "AWS ALB JSON",
        ("elb_status_code",),
        {
            "time": ("time", "timestamp"),
            "service": ("domain_name",),
            "client": ("client_ip", "client", "client_port", "client:port"),
            "account": (),
            "method": ("request_verb",),
            "uri": ("request_url",),
            "protocol": ("request_proto",),
            "request": ("request",),
            "status": ("elb_status_code",),
            "bytes": ("sent_bytes",),
            "request_bytes": ("received_bytes",),
            "response": ("request_processing_time", "target_processing_time", "response_processing_time"),
            "referer": (),
            "agent": ("user_agent",),
        },
        _US,
        whole_url=True,
    ),
    JsonShape(
        "nginx JSON",
        ("request", "request_uri", "uri", "request_method", "method", "path", "url"),
        {
            "time": ("time_iso8601", "time_local", "msec", "timestamp", "@timestamp", "time", "ts", "date"),
            "service": ("host", "server_name", "http_host", "vhost", "domain", "virtual_host"),
            "client": ("remote_addr", "remote_ip", "client_ip", "clientip", "client", "remote_host", "ip"),
            "account": ("remote_user", "user", "auth"),
            "method": ("request_method", "method", "verb"),
            "uri": ("request_uri", "uri", "url", "path"),
            "args": ("args", "query_string", "query"),
            "protocol": ("server_protocol", "protocol", "proto", "http_version"),
            "request": ("request",),
            "status": ("status", "response_code", "code", "status_code"),
            "bytes": ("body_bytes_sent", "bytes_sent", "bytes", "size", "body_bytes"),
            "request_bytes": ("request_length", "bytes_received"),
            "response": ("request_time", "response_time", "duration"),
            "upstream": ("upstream_response_time",),
            "referer": ("http_referer", "referer", "http_referrer", "referrer"),
            "agent": ("http_user_agent", "user_agent", "agent", "userAgent"),
        },
        _US,
    ),
)
_NESTED: Final = ("message", "log", "line", "msg")


def read(line: bytes) -> JsonRequest | str | None:
    """The request of a JSON line, the text of the line that a shipper put into it, or None where it is neither.

    Raises: ValueError where it is no JSON object that can be read.
    """
    value = orjson.loads(line)
    if not isinstance(value, dict):
        raise ValueError("no object")
    for shape in _possible(tuple(value)):
        if any(_at(value, mark) is not None for mark in shape.marks) and _first(value, shape.keys["time"]) is not None:
            request = _request(value, shape)
            if request is not None:
                return request
    text = next((value[key] for key in _NESTED if isinstance(value.get(key), str)), None)
    return text.strip() if text is not None and not text.lstrip().startswith("{") else None


@lru_cache(maxsize=1024)
def _possible(names: tuple[str, ...]) -> tuple[JsonShape, ...]:
    """The shapes that an object with these keys can have, each with those of its keys only that it can hold."""
    there = frozenset(names)

    def held(keys: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(key for key in keys if key in there or key.partition(".")[0] in there)

    shapes = (
        shape._replace(marks=held(shape.marks), keys={field: held(keys) for field, keys in shape.keys.items()})
        for shape in SHAPES
    )
    return tuple(shape for shape in shapes if shape.marks)


def _at(value: Mapping[str, Any], key: str) -> Any:
    found = value.get(key)
    if found is None and "." in key:
        head, _, rest = key.partition(".")
        inner = value.get(head)
        return _at(inner, rest) if isinstance(inner, dict) else None
    return found


def _first(value: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    """What stands under the first of some keys that there is; None without."""
    for key in keys:
        found = _at(value, key)
        if found is not None and found != "":
            return found
    return None


def _request(value: Mapping[str, Any], shape: JsonShape) -> JsonRequest | None:
    """The request of an object of a shape; None where it has neither an address nor a status."""
    keys = shape.keys
    whole = _text(_first(value, keys.get("request", ())))
    uri, status = _text(_first(value, keys["uri"])), _whole(_first(value, keys["status"]))
    if not whole:
        args = _text(_first(value, keys.get("args", ())))
        if args and "?" not in uri:
            uri = f"{uri}?{args.removeprefix('?')}"
        method, protocol = _text(_first(value, keys["method"])), _text(_first(value, keys["protocol"]))
        whole = " ".join(filter(None, (method, uri, protocol)))
    if not whole and status < 0:
        return None
    return JsonRequest(
        layout=shape.name,
        service=_text(_first(value, keys["service"])),
        client=_client(_text(_first(value, keys["client"]))),
        account=_text(_first(value, keys["account"])),
        request=whole,
        referer=_text(_first(value, keys["referer"])),
        agent=_text(_first(value, keys["agent"])),
        time=_time(_first(value, keys["time"])),
        status=status if 0 <= status <= 999 else 0,
        bytes=_whole(_first(value, keys["bytes"])),
        request_bytes=_whole(_first(value, keys["request_bytes"])),
        response_us=_response(value, shape),
        whole_url=shape.whole_url,
    )


def _text(found: Any) -> str:
    """A value as text; of a list the first one; "" for nothing, which `-` stands for too."""
    if isinstance(found, list):
        found = found[0] if found else None
    if found is None or isinstance(found, (dict, list)):
        return ""
    text = str(found)
    return "" if text == "-" else text


def _client(text: str) -> str:
    """An address without its port."""
    if text.startswith("["):
        return text[1 : text.find("]")] if "]" in text else text
    head, _, port = text.rpartition(":")
    return head if ":" not in head and head and port.isdigit() else text


def _number(found: Any) -> float | None:
    """A number, or a text that is one; None else."""
    if isinstance(found, bool) or not isinstance(found, (int, float, str)):
        return None
    try:
        number = float(found)
    except (ValueError, OverflowError):
        return None
    return number if -1e18 < number < 1e18 else None


def _whole(found: Any) -> int:
    """A whole number that is not negative; -1 else."""
    number = found if type(found) is int else _number(found)
    return int(number) if number is not None and 0 <= number < 2**62 else -1


def _time(found: Any) -> int | str:
    """Microseconds since 1970 of a number of seconds, or of milli-, micro- or nanoseconds; else the text."""
    number = _number(found)
    if number is None:
        return _text(found).strip("[]")
    for unit in (1, 1e3, 1e6, 1e9):
        if 0 <= number / unit < 9_200_000_000:  # before 2261
            return round(number / unit * _US)
    return -1


def _response(value: Mapping[str, Any], shape: JsonShape) -> int:
    """Microseconds until the answer; -1 where the line does not say."""
    keys = shape.keys["response"]
    if shape.whole_url:  # of AWS: three parts, of which -1 says that there was no answer
        parts = [_number(_at(value, key)) for key in keys]
        total = -1.0 if any(part is None or part < 0 for part in parts) else sum(part or 0 for part in parts)
    else:
        found = _number(_first(value, keys))
        total = -1.0 if found is None else found
        if found is None and (behind := _text(_first(value, shape.keys.get("upstream", ())))):
            parts = [_number(part) for part in behind.replace(" : ", ",").split(",")]
            known = [part for part in parts if part is not None]
            total = sum(known) if known else -1.0
    micros = total * shape.unit
    return round(micros) if 0 <= micros < 2**62 else -1
