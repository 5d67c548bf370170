"""What other programs put around a log line, and how the line is found again.

Two kinds: text before the line (`PREFIXES`: containers' log files, syslog, docker-compose, kubectl), and JSON, either a
shipper's with the line in it (`SHIPPERS`) or a logger's own, whose fields make the line (`EVENTS`). Each is a table
with an example per row. Files and Kafka messages go through the same functions.
"""

import re
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import PurePath
from typing import Any, Final, NamedTuple

import numpy as np
import orjson

from hdfs_pipeline.domains.blocks.file_names import Writer, daemon_in, writer
from hdfs_pipeline.domains.blocks.scan import GOOD, IMPOSSIBLE, NONE
from hdfs_pipeline.errors import DataError

_LONGEST: Final = 1 << 20  # bytes of a line in parts, and lines of a record, beyond which they are cut
_LONGEST_LINES: Final = 100_000
_DEPTH: Final = 4  # of wrappers around each other

KindOf = Callable[[bytes], int]
"""What a line begins with, as `scan.find` says."""


class Shipped(NamedTuple):
    """A log line and what is known of where it comes from, "" where it is not given.

    `program` is syslog's, which may be several processes. `kind` is the row that it was found by; `open_ended` says
    that more of the same line follows.
    """

    text: bytes
    host: str = ""
    path: str = ""
    container: str = ""
    kind: str = ""
    open_ended: bool = False
    program: str = ""

    @property
    def known(self) -> bool:
        """Whether its file, its container or its process is known."""
        return bool(self.path or self.container)

    @property
    def source(self) -> tuple[str, str, str, str]:
        """What lines that follow each other must have in common."""
        return self.host, self.path, self.container, self.program


class Prefix(NamedTuple):
    """Text before a line.

    Its groups are `line`, and where they are there `host`, `pod`, `container`, `program`, `pid`, and `part` (P: more of
    the line follows). One that is not `sure` may also be the beginning of a line of something else: it counts only
    where a record begins behind it, or where a line before had it too.
    """

    name: str
    sure: bool
    pattern: re.Pattern[bytes]
    example: bytes


_ISO: Final = rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)"
_CLOCK: Final = rb"\d\d:\d\d:\d\d(?:\.\d+)?"
_COLOUR: Final = rb"(?:\x1b\[[\d;]*m)?"
PREFIXES: Final = tuple(
    Prefix(name, sure, re.compile(pattern + rb" ?(?P<line>.*)", re.DOTALL), example)
    for name, sure, pattern, example in (
        (
            "cri",
            True,
            _ISO + rb" (?:stdout|stderr)(?: (?P<part>[PF])(?::\S*)?(?= |$))?",
            b"2025-06-01T19:30:54.163456789Z stdout F line",
        ),
        (
            "syslog_rfc5424",
            True,
            rb"<\d{1,3}>1 \S+ (?P<host>\S+) (?P<program>\S+) (?P<pid>\S+) \S+ "
            rb'(?:-|(?:\[(?:[^\]"\\]|\\.|"(?:[^"\\]|\\.)*")*\])+)(?: ?\xef\xbb\xbf)?',
            b"<14>1 2025-06-01T19:30:54.123Z dn1 hadoop 1234 - - line",
        ),
        (
            "syslog",
            True,
            rb"(?:<\d{1,3}>)?(?:(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d (?:\d{4} )?"
            + _CLOCK
            + rb"|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d{4}-\d\d-\d\d "
            + _CLOCK
            + rb" \S+|\d{10}\.\d{6}) "
            rb"(?P<host>[^\s:]+) (?P<program>[^:\[\s]+)(?:\[(?P<pid>\d+)\])?:",
            b"Jun  1 19:30:54 dn1 hadoop-datanode[1234]: line",
        ),
        (
            "syslog_iso",
            False,
            rb"(?:<\d{1,3}>)?" + _ISO + rb" (?P<host>[^\s:]+) (?P<program>[^:\[\s]+)(?:\[(?P<pid>\d+)\])?:",
            b"2025-06-01T19:30:54.123456+00:00 dn1 hadoop[1234]: line",
        ),
        ("kubectl", True, rb"\[pod/(?P<container>[^\]]+)\]", b"[pod/hdfs-datanode-0/hdfs] line"),
        (
            "compose",
            False,
            _COLOUR + rb"(?P<container>[A-Za-z0-9][\w.-]*)(?:@(?P<host>[\w.-]+))? *\|(?: ?\x1b\[[\d;]*m)?",
            b"datanode-1  | line",
        ),
        (
            "stern",
            False,
            _COLOUR
            + rb"(?P<pod>[a-z0-9][a-z0-9.-]*)"
            + _COLOUR
            + b" "
            + _COLOUR
            + rb"(?P<container>[a-z0-9][a-z0-9-]*)"
            + _COLOUR
            + rb"(?: "
            + _ISO
            + rb")?",
            b"hdfs-datanode-0 hdfs line",
        ),
        ("timestamps", False, _ISO, b"2025-06-01T19:30:54.163456789Z line"),
        (
            "time_and_host",
            False,
            _ISO + rb" (?:%\{\w+\}|(?:\{\w+=)?(?P<host>[\w.-]+)\}?)",
            b"2025-06-01T19:30:54.163Z dn1 line",
        ),
        (
            "time_host_program",
            False,
            _ISO + rb" (?P<host>[\w.-]+) (?P<program>[A-Za-z][\w./-]*)",
            b"2025-06-01T19:30:54.163Z dn1 hadoop-datanode line",
        ),
    )
)


class Shipper(NamedTuple):
    """JSON with a line in it: the field by which it is known, and dotted paths of line, host, file and container."""

    name: str
    known_by: str
    line: str
    host: Sequence[str]
    file: Sequence[str]
    container: Sequence[str]
    example: str


_KUBERNETES: Final = (
    "kubernetes.pod_name",
    "kubernetes.pod.name",
    "container.name",
    "kubernetes.container_name",
    "kubernetes.container.name",
    "container_name",
    "docker.container.name",
    "podName",
    "containerName",
    "container_id",
    "attrs.tag",
    "systemd.unit",
    "_SYSTEMD_UNIT",
)
_NODE: Final = ("kubernetes.pod_node_name", "kubernetes.node.name", "kubernetes.host", "nodeName")
_HOST: Final = (
    *_NODE,
    "host.name",
    "host.hostname",
    "host",
    "hostname",
    "agent.hostname",
    "beat.hostname",
    "source_host",
    "HOSTNAME",
    "_HOSTNAME",
    "hostName",
    "agent.name",
    "fromhost",
    "tags.host",
    "labels.host",
    "headers.host",
)
_FILE: Final = (
    "log.file.path",
    "file.path",
    "file",
    "path",
    "filename",
    "file_name",
    "file_path",
    "filepath",
    "fileName",
    "log_file",
    "tailed_path",
    "$!.metadata.filename",
    "metadata.filename",
    "source",
    "file.name",
    "tags.path",
    "labels.filename",
    "headers.file",
)
_PROGRAM: Final = (
    "programname",
    "app-name",
    "appname",
    "app_name",
    "SYSLOG_IDENTIFIER",
    "PROGRAM",
    "process.program",
    "process.name",
    "syslogtag",
    "kubernetes.labels.app",
    "service.name",
    "service",
)
_PID: Final = ("procid", "_PID", "PID", "process.pid", "pid")
_ENVELOPES: Final = ("payload", "json", "value", "event", "fields")
"""Fields that hold an object with the line in it: Kafka Connect's, Filebeat's, Splunk's, Telegraf's."""
SHIPPERS: Final = (
    Shipper(
        "Filebeat 7 and 8, Elastic Agent", "log.file.path", "message", _HOST, ("log.file.path",), _KUBERNETES,
        '{"message":"line","log":{"file":{"path":"/l/a.log"}},"host":{"name":"dn1"}}',
    ),
    Shipper(
        "Filebeat 6", "beat", "message", (*_NODE, "beat.hostname", "beat.name"), ("source",), _KUBERNETES,
        '{"message":"line","source":"/l/a.log","beat":{"hostname":"dn1"}}',
    ),
    Shipper(
        "Kafka Connect", "payload", "payload", (), (), (),
        '{"schema":{"type":"string","optional":false},"payload":"line"}',
    ),
    Shipper(
        "syslog-ng", "MESSAGE", "MESSAGE", ("HOST", "HOST_FROM", "_HOSTNAME"), ("FILE_NAME", "FILE", "file.name"),
        ("CONTAINER_NAME", "_SYSTEMD_UNIT"),
        '{"MESSAGE":"line","HOST":"dn1","FILE_NAME":"/l/a.log"}',
    ),
    Shipper(
        "GELF", "short_message", "full_message", ("host",), ("_file", "_path", "file"),
        ("_container_name", "_container_id"),
        '{"version":"1.1","host":"dn1","short_message":"line","full_message":"line","_file":"/l/a.log"}',
    ),
    Shipper(
        "rsyslog", "msg", "msg", ("host", "hostname", "fromhost"), _FILE, ("container_name",),
        '{"msg":"line","host":"dn1","filename":"/l/a.log"}',
    ),
    Shipper(
        "Docker", "log", "log", _HOST, _FILE, _KUBERNETES,
        '{"log":"line\\n","stream":"stderr","time":"2025-06-01T19:30:54.163456789Z"}',
    ),
    Shipper(
        "Logstash, Vector, Fluent Bit, Fluentd", "message", "message", _HOST, _FILE, _KUBERNETES,
        '{"message":"line","path":"/l/a.log","host":"dn1"}',
    ),
    Shipper(
        "OpenTelemetry", "body", "body", ("resource.host.name", "resource.host", *_HOST),
        ("attributes.log.file.path", "attributes.log.file.name", "headers.file"),
        ("resource.k8s.pod.name", "resource.container.name"),
        '{"body":"line","attributes":{"log.file.path":"/l/a.log"},"resource":{"host.name":"dn1"}}',
    ),
    Shipper(
        "syslog-ng, $(format-json) of old macros", "MSG", "MSG", ("HOST",), ("FILE_NAME",), (),
        '{"MSG":"line","HOST":"dn1","FILE_NAME":"/l/a.log"}',
    ),
    Shipper(
        "NXLog", "Message", "Message", ("Hostname",), ("FileName", "Filename"), (),
        '{"Message":"line","Hostname":"dn1","FileName":"/l/a.log"}',
    ),
    Shipper(
        "Splunk's event collector", "event", "event", _HOST, ("source",), (),
        '{"event":"line","host":"dn1","source":"/l/a.log"}',
    ),
    Shipper(
        "Promtail", "entry", "entry", _HOST, _FILE, _KUBERNETES,
        '{"entry":"line","labels":{"filename":"/l/a.log","host":"dn1"}}',
    ),
    Shipper("event.original", "event.original", "event.original", _HOST, _FILE, _KUBERNETES,
            '{"event":{"original":"line"},"host":{"name":"dn1"}}'),
    Shipper("value", "value", "value", _HOST, _FILE, _KUBERNETES, '{"value":"line","host":"dn1","file":"/l/a.log"}'),
    Shipper("line", "line", "line", _HOST, _FILE, _KUBERNETES, '{"line":"line","host":"dn1","file":"/l/a.log"}'),
)  # fmt: skip
"""Shippers by their fields; of several that fit, the first counts."""


class Event(NamedTuple):
    """JSON that a logger writes itself: dotted paths of the parts of a record, of each the first that is there.

    It is known by having time, level, logger and message. `logger` is empty where the message begins with it.
    """

    name: str
    time: Sequence[str]
    level: Sequence[str]
    logger: Sequence[str]
    thread: Sequence[str]
    message: Sequence[str]
    stack: Sequence[str]
    example: str


_STACK: Final = (
    "stack_trace",
    "stacktrace",
    "stackTrace",
    "exception.stacktrace",
    "exception",
    "throwable",
    "error.stack_trace",
)
EVENTS: Final = (
    Event(
        "log4j2 JsonLayout", ("instant", "timeMillis"), ("level",), ("loggerName",), ("thread",), ("message",),
        ("thrown.extendedStackTrace", "thrown.message"),
        '{"instant":{"epochSecond":1693792960,"nanoOfSecond":161000000},"thread":"main","level":"INFO",'
        '"loggerName":"a.DataNode","message":"Receiving blk_1"}',
    ),
    Event(
        "logback JsonEncoder, Quarkus", ("timestamp",), ("level",), ("loggerName",), ("threadName",),
        ("formattedMessage", "message"), (*_STACK, "throwable.stackTrace"),
        '{"timestamp":1692064960161,"level":"INFO","threadName":"main","loggerName":"a.DataNode",'
        '"message":"Receiving blk_1"}',
    ),
    Event(
        "log4j2 EcsLayout", ("@timestamp",), ("log.level",), ("log.logger",), ("process.thread.name",), ("message",),
        ("error.stack_trace", "error.message"),
        '{"@timestamp":"2023-08-15T02:02:40.161Z","log.level":"INFO","message":"Receiving blk_1",'
        '"process.thread.name":"main","log.logger":"a.DataNode"}',
    ),
    Event(
        "log4j2 GelfLayout", ("timestamp",), ("level",), ("_logger", "_loggerName"), ("_thread", "_threadName"),
        ("short_message",), ("full_message",),
        '{"version":"1.1","host":"dn1","timestamp":1692064960.161,"level":6,"_thread":"main","_logger":"a.DataNode",'
        '"short_message":"Receiving blk_1"}',
    ),
    Event(
        "logstash encoder", ("timestamp", "@timestamp"), ("level", "priority"), ("logger_name",),
        ("thread_name", "thread"), ("message",), _STACK,
        '{"@timestamp":"2023-08-15T02:02:40.161Z","message":"Receiving blk_1","logger_name":"a.DataNode",'
        '"thread_name":"main","level":"INFO"}',
    ),
    Event(
        "Hadoop's Log4Json", ("time", "date"), ("level",), ("name",), ("thread",), ("message",),
        ("stack", "exceptionclass"),
        '{"name":"a.DataNode","time":1692064960161,"date":"2023-08-15 02:02:40,161","level":"INFO","thread":"main",'
        '"message":"Receiving blk_1"}',
    ),
    Event(
        "severity and class", ("timestamp", "timeUnixNano", "time"), ("severity_text",), ("attributes.class",),
        ("attributes.thread",), ("body",), ("attributes.exception.stacktrace",),
        '{"timestamp":1692064960,"severity_text":"INFO","body":"Receiving blk_1","attributes":{"class":"a.DataNode"}}',
    ),
    Event(
        "logtype and loginfo", ("time", "@timestamp"), ("logtype",), (), ("thread",), ("loginfo",), (),
        '{"time":"2023-08-15 02:02:40,161","logtype":"INFO","loginfo":"a.DataNode:Receiving blk_1"}',
    ),
    Event(
        "logger", ("timestamp", "@timestamp", "time", "ts", "date", "asctime"),
        ("level", "severity", "loglevel", "log_level", "levelname", "priority"),
        ("logger", "_logger", "class", "category", "logger_name", "loggerName"),
        ("thread", "_thread", "thread_name", "threadName"), ("message", "msg"), _STACK,
        '{"timestamp":"2023-08-15T02:02:40.161Z","level":"INFO","thread":"main","logger":"a.DataNode",'
        '"message":"Receiving blk_1"}',
    ),
)  # fmt: skip
"""Loggers by their fields; of several that fit, the first counts."""

_CSV: Final = re.compile(
    rb'\d+,(?P<time>\d{13}),(?P<level>[A-Z]+),\d+,(?P<thread>"(?:[^"]|"")*"|[^",]*),\d+,'
    rb'(?P<message>"(?:[^"]|"")*"|[^",]*),[^,]*,(?P<logger>[\w.$-]+),.*',
    re.DOTALL,
)
"""log4j2's CsvLogEventLayout: nanoseconds, milliseconds, level, thread and its number and priority, message, …"""
PARTS: Final = ("line", "host", "file", "container", "time", "level", "logger", "thread", "message", "stack")
"""What the setting `json_fields` can place."""


def json_line(fields: Mapping[str, Any], kind_of: KindOf, own: Mapping[str, str]) -> Shipped:
    """The line in a JSON object, or made of its fields; `own` are dotted paths by part, which come first.

    Raises: DataError that names the fields that are there.
    """
    if found := _in_object(fields, kind_of, own, _DEPTH):
        return found
    there = ", ".join(f"`{name}`" for name in list(fields)[:12]) or "nothing"
    raise DataError(f"JSON of no known shipper: it holds {there}; say where the line is by the setting json_fields")


def _in_object(fields: Mapping[str, Any], kind_of: KindOf, own: Mapping[str, str], depth: int) -> Shipped | None:
    shipper, line = _shipper(fields, kind_of)
    names = shipper or _ANY
    host = _text(fields, own.get("host", "")) or _first(fields, names.host)
    path = _text(fields, own.get("file", "")) or next(filter(_is_path, (_text(fields, n) for n in names.file)), "")
    container = _text(fields, own.get("container", "")) or "/".join(
        dict.fromkeys(filter(None, (_text(fields, name) for name in names.container)))
    )
    program = _first(fields, _PROGRAM)
    container = container or ("" if path else _process(program, _first(fields, _PID)))
    if "line" in own and isinstance(own_line := _get(fields, own["line"]), str):
        return Shipped(_bytes(own_line.rstrip("\r\n")), host, path, container, "json_fields", program=program)
    if {"time", "level", "message"} <= own.keys() and _get(fields, own["message"]) is not None:
        parts = {part: (own[part],) if part in own else () for part in ("time", "level", "logger", "thread", "message")}
        event = Event("json_fields", **parts, stack=(own["stack"],) if "stack" in own else (), example="")
        return Shipped(_event_text(fields, event), host, path, container, event.name)
    logged = next((event for event in EVENTS if _is_event(fields, event)), None)
    if logged is not None and (line is None or kind_of(_bytes(line)) == NONE):
        container = container or _text(fields, "resource.service") or _text(fields, "service.name")
        return Shipped(_event_text(fields, logged), host, path, container, logged.name)
    if shipper is not None and line is not None:
        return Shipped(_bytes(line.rstrip("\r\n")), host, path, container, shipper.name, _goes_on(fields), program)
    inner = (fields[name] for name in _ENVELOPES if depth and isinstance(fields.get(name), Mapping))
    found = next(filter(None, (_in_object(object_, kind_of, own, depth - 1) for object_ in inner)), None)
    return found and found._replace(
        host=found.host or host,
        path=found.path or path,
        container=found.container or container,
        program=found.program or program,
    )


def _goes_on(fields: Mapping[str, Any]) -> bool:
    """Whether more of the same line follows: by CRI's tag, or by the line end that Docker keeps."""
    if tag := fields.get("_p") or fields.get("logtag"):
        return bool(tag == "P")
    line = fields.get("log") if "stream" in fields and "kubernetes" not in fields else None
    return isinstance(line, str) and not line.endswith("\n")


_ANY: Final = Shipper("", "", "", _HOST, _FILE, _KUBERNETES, "")


def _shipper(fields: Mapping[str, Any], kind_of: KindOf) -> tuple[Shipper | None, str | None]:
    """The first shipper whose line begins a record, or else the first that fits, and its line."""
    first: tuple[Shipper | None, str | None] = None, None
    for shipper in SHIPPERS:
        line = _line(fields, shipper) if _get(fields, shipper.known_by) is not None else None
        if line is None:
            continue
        if line[:1] == " " and kind_of(_bytes(line[1:])) != NONE:
            line = line[1:]  # rsyslog keeps the blank after syslog's tag
        if kind_of(_bytes(line)) != NONE:
            return shipper, line
        if first[0] is None:
            first = shipper, line
    return first


def _first(fields: Mapping[str, Any], names: Sequence[str]) -> str:
    return next(filter(None, (_text(fields, name) for name in names)), "")


def _is_path(text: str) -> bool:
    """Whether a text names a file: not `stdout`, as Docker calls a source."""
    return ("/" in text or "\\" in text or "." in text) and not text.endswith("/")


def _line(fields: Mapping[str, Any], shipper: Shipper) -> str | None:
    line = _get(fields, shipper.line)
    if line is None and shipper.name == "GELF":
        line = _get(fields, shipper.known_by)
    if isinstance(line, list) and line:  # Logstash's grok adds what it finds; journald writes bytes as numbers
        if isinstance(line[0], str):
            return line[0]
        numbers = all(isinstance(byte, int) and 0 <= byte < 256 for byte in line)
        return bytes(line).decode("utf-8", "replace") if numbers else None
    return line if isinstance(line, str) else None


def _is_event(fields: Mapping[str, Any], event: Event) -> bool:
    parts = (event.level, event.logger or event.message, event.message)
    return all(_first(fields, part) for part in parts) and any(_get(fields, name) is not None for name in event.time)


def _get(fields: Mapping[str, Any], path: str) -> Any:
    """What stands at a dotted path: names may hold dots themselves."""
    if path in fields:
        return fields[path]
    name, dot, rest = path.partition(".")
    while dot:
        inner = fields.get(name)
        if isinstance(inner, Mapping) and (value := _get(inner, rest)) is not None:
            return value
        more, dot, rest = rest.partition(".")
        name = f"{name}.{more}"
    return None


def _text(fields: Mapping[str, Any], path: str) -> str:
    value = _get(fields, path)
    if isinstance(value, int) and abs(value) < 1 << 63:  # longer numbers are refused by str
        return str(value)
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # JSON can spell half a surrogate pair, which no encoding takes


_SEVERITIES: Final = ("FATAL", "FATAL", "FATAL", "ERROR", "WARN", "INFO", "INFO", "DEBUG")
"""Levels for syslog's severities, by number."""


def _event_text(fields: Mapping[str, Any], event: Event) -> bytes:
    """A record in the layout `log4j` or `thread_after_level`. Raises: DataError where its time cannot be."""
    time = next(value for name in event.time if (value := _get(fields, name)) is not None)
    level, logger, thread, message = (
        _first(fields, names) for names in (event.level, event.logger, event.thread, event.message)
    )
    if level in "01234567":
        level = _SEVERITIES[int(level or 6)]
    if not event.logger:
        logger, _, message = message.partition(":")
    between = f"[{thread}] " if thread else ""
    message = message if event.logger else message.lstrip()
    text = f"{_written(time)} {level.upper()} {between}{logger or '-'}: {message}"
    stack = next((value for name in event.stack if (value := _get(fields, name))), "")
    if isinstance(stack, list):
        stack = "\n".join(f"\tat {_frame(frame)}" if isinstance(frame, dict) else str(frame) for frame in stack)
    stack = "" if stack == message else str(stack)
    return _bytes("\n".join(part.strip("\r\n") for part in (text, stack) if part))


def _frame(frame: Mapping[str, Any]) -> str:
    return f"{frame.get('class', '')}.{frame.get('method', '')}({frame.get('file', '')}:{frame.get('line', '')})"


def _written(time: Any) -> str:
    """A time stamp as text: numbers count seconds, milliseconds, microseconds or nanoseconds since 1970."""
    if isinstance(time, str) and not time.replace(".", "", 1).isdecimal():
        return time
    try:
        if isinstance(time, Mapping):
            seconds = next(int(time[name]) for name in ("epochSecond", "seconds") if name in time)
            time = seconds * 10**9 + int(time.get("nanoOfSecond", time.get("nanos", 0)))
        number = float(time)
        if not abs(number) < 1e20:
            raise ValueError
        while number > 10**11:  # seconds reach this in the year 5138
            number /= 1000
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=round(number * 1_000_000))
    except (ValueError, TypeError, StopIteration, OverflowError):
        raise DataError(
            f"JSON with a time that cannot be: {repr(time)[:40] if not isinstance(time, int) else 'a number'}"
        ) from None
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _unwrap(value: bytes, kind_of: KindOf, own: Mapping[str, str]) -> Shipped:
    """The log line in JSON or CSV; the value itself where it is neither.

    Raises: DataError for JSON without a line in it.
    """
    first = value[:1]
    if first == b'"':
        try:
            text = orjson.loads(value)
        except orjson.JSONDecodeError:
            return Shipped(value)
        return Shipped(_bytes(text.rstrip("\r\n")), kind="JSON string") if isinstance(text, str) else Shipped(value)
    if first == b"{":
        try:
            fields = orjson.loads(value)
        except orjson.JSONDecodeError:
            fields = _lenient(value)
        if not isinstance(fields, dict):
            raise DataError("neither a log line nor JSON")
        return json_line(fields, kind_of, own)
    if csv := _CSV.fullmatch(value):
        time, level, thread, message, logger = (
            _bare(csv[name]) for name in ("time", "level", "thread", "message", "logger")
        )
        between = b"[%b] " % thread if thread else b""
        text = b"%b %b %b%b: %b" % (_written(int(time)).encode(), level, between, logger, message)
        return Shipped(text, kind="log4j2 CsvLogEventLayout")
    return Shipped(value)


def _lenient(value: bytes) -> Any:
    """JSON that a strict reader refuses: half a surrogate pair, bytes that are not UTF-8."""
    import json

    try:
        return json.loads(value.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None


def _bare(text: bytes) -> bytes:
    return text[1:-1].replace(b'""', b'"') if text[:1] == b'"' else text


def without_prefix(line: bytes, kind_of: KindOf, outer: str, before: Collection[str]) -> Shipped | None:
    """The line behind a prefix; None where there is none.

    `outer` is the kind of what stood around it, `before` as in `find_line`.
    """
    for prefix in PREFIXES:
        if found := prefix.pattern.fullmatch(line):
            inner, parts = found["line"], found.groupdict()
            kind = f"{outer}+{prefix.name}".removeprefix("+")
            usual = any(f"{other}+".startswith(f"{kind}+") for other in before)
            if prefix.sure or usual or kind_of(inner) != NONE or inner[:2] == b'{"':
                found_parts = {name: (part or b"").decode("utf-8", "replace") for name, part in parts.items()}
                program, pid = found_parts.get("program", ""), found_parts.get("pid", "")
                names = (found_parts.get("pod", ""), found_parts.get("container", ""))
                container = "/".join(filter(None, names)) or _process(program, pid)
                host, more = found_parts.get("host", ""), found_parts.get("part") == "P"
                return Shipped(inner, host, "", container, prefix.name, more, program)
    return None


def _process(program: str, pid: str) -> str:
    """The name of one process, as syslog writes it; "" where its number is not given."""
    return f"{program}[{pid}]" if program and pid.isdecimal() else ""


class Unwrapped(NamedTuple):
    """Whole records without what stood around their lines.

    `numbers` (n,) int64 says for each line of `text` the number of the line that it comes from, from 0. At each of
    `bounds` (k,) int64, places in `text`, begins what a source wrote: it belongs to no record before it.
    """

    text: bytes
    numbers: np.ndarray
    bounds: np.ndarray


class Unwrapper:
    """Unwraps the lines of one file. Lines that several containers or files wrote are put together by their source.

    `kinds` counts the lines by their wrapper, `lines` all of them.
    """

    def __init__(self, kind_of: KindOf, own: Mapping[str, str]) -> None:
        self.kinds: Counter[str] = Counter()
        self.lines = 0
        self._kind_of, self._own, self._last = kind_of, own, ""
        self._whole: list[list[tuple[int, bytes]]] = []  # whole records: their lines with their numbers
        self._open: dict[tuple[str, ...], list[tuple[int, bytes]]] = {}  # by source: the record that may go on
        self._parts: dict[tuple[str, ...], tuple[int, bytes]] = {}  # by source: the beginning of a line

    def feed(self, text: bytes) -> Unwrapped:
        """Take whole lines, and return the records that have become whole."""
        lines = text.split(b"\n")
        if not lines[-1]:
            lines.pop()
        for line in lines:
            self._take(line.removesuffix(b"\r"))
        return self._out()

    def finish(self) -> Unwrapped:
        """The records that were still open."""
        for source, (number, part) in self._parts.items():
            self._put(source, number, part)
        self._whole += sorted(self._open.values(), key=lambda record: record[0][0])
        self._open, self._parts = {}, {}
        return self._out()

    def _take(self, line: bytes) -> None:
        shipped = _of_line(line, self._kind_of, self._own, (self._last,))
        self._last = shipped.kind
        if shipped.kind:
            self.kinds[shipped.kind] += 1
        source = shipped.source
        if source in self._parts and self._kind_of(shipped.text) != NONE:
            self._put(source, *self._parts.pop(source))  # what begins a record is no rest of a line
        number, part = self._parts.pop(source, (self.lines, b""))
        self.lines += 1
        if shipped.open_ended and len(part) < _LONGEST:
            self._parts[source] = number, part + shipped.text
        else:
            self._put(source, number, part + shipped.text)

    def _put(self, source: tuple[str, ...], number: int, body: bytes) -> None:
        if self._kind_of(body) != NONE or len(self._open.get(source, ())) > _LONGEST_LINES:
            self._whole += filter(None, [self._open.pop(source, [])])
        self._open.setdefault(source, []).extend((number, line) for line in body.split(b"\n"))

    def _out(self) -> Unwrapped:
        whole, self._whole = self._whole, []
        numbers = np.array([number for record in whole for number, _ in record], np.int64)
        texts = [b"".join(line + b"\n" for _, line in record) for record in whole]
        bounds = np.cumsum([0, *map(len, texts)], dtype=np.int64)[:-1]
        return Unwrapped(b"".join(texts), numbers, bounds)


def find_line(value: bytes, kind_of: KindOf, own: Mapping[str, str], before: Collection[str] = ()) -> Shipped:
    """The log line in `value`, without all that stands around it; `value` itself where nothing is known of it.

    `own` is the setting json_fields; `before` are kinds that lines before it had.
    Raises: DataError for JSON without a line in it.
    """
    shipped = Shipped(value.removeprefix(BOM_UTF8))
    for level in range(_DEPTH):
        if kind_of(shipped.text) in (GOOD, IMPOSSIBLE):
            break
        try:
            inner = without_prefix(shipped.text, kind_of, shipped.kind, before) or _unwrap(shipped.text, kind_of, own)
        except DataError:
            if not level:
                raise
            break  # a message that is JSON itself, and no record
        if not inner.kind:
            break
        shipped = inner._replace(
            host=shipped.host or inner.host,
            path=shipped.path or inner.path,
            container=shipped.container or inner.container,
            program=shipped.program or inner.program,
            kind="+".join(part for part in (shipped.kind, inner.kind) if part),
        )
    return shipped


def _of_line(line: bytes, kind_of: KindOf, own: Mapping[str, str], before: Collection[str] = ()) -> Shipped:
    """`find_line` for a line of a file, where JSON without a line is part of a record's text."""
    try:
        return find_line(line, kind_of, own, before)
    except DataError:
        return Shipped(line)


def begins_record(line: bytes, kind_of: KindOf, own: Mapping[str, str]) -> bool:
    """Whether a line of a file begins a record once it is unwrapped."""
    return kind_of(_of_line(line, kind_of, own).text) != NONE


def is_wrapped(line: bytes, kind_of: KindOf, own: Mapping[str, str]) -> bool:
    """Whether something known stands around a line of a file."""
    return bool(_of_line(line, kind_of, own).kind)


def shipped_writer(shipped: Shipped) -> Writer:
    """The daemon that wrote a line and its host, by the names of its file and its container."""
    author = writer(PurePath(shipped.path)) if shipped.path else Writer("", "")
    if daemon_in(author.daemon):
        return author
    names = [name.partition("[")[0].rstrip(":") for name in (*shipped.container.split("/"), shipped.program)]
    daemon = next(filter(None, map(daemon_in, names)), "")
    return Writer(daemon or author.daemon or names[-2] or shipped.program, author.host)
