"""The shapes in which programs write messages as JSON, and where each has its parts.

Known are the Elastic Common Schema (nested and dotted), log records of OpenTelemetry (as the protocol and as its data
model write them), logback's logstash-encoder, and plain objects with a time, a level and a message under their usual
names. Sources: ECS 8.11 field reference; OpenTelemetry Logs Data Model and opentelemetry-proto 1.3; the README of
logstash-logback-encoder 7.4.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from hdfs_pipeline.domains.applogs.levels import level_named, level_numbered

TIME: Final = "time"
_NAMES: Final[dict[str, tuple[str, ...]]] = {
    TIME: ("timestamp", "@timestamp", "time", "ts", "datetime", "date", "asctime"),
    "service": ("service", "service.name", "app", "application", "app_name", "appname", "springAppName", "component"),
    "level": ("level", "log.level", "severity", "loglevel", "levelname", "lvl"),
    "host": ("host", "host.name", "host.hostname", "hostname", "HOSTNAME", "source_host"),
    "logger": ("logger_name", "log.logger", "logger", "loggerName", "class"),
    "message": ("message", "msg", "log", "text", "event"),
    "stack": ("stack_trace", "error.stack_trace", "stacktrace", "stack", "exception.stacktrace", "exception", "thrown"),
}
PARTS: Final = tuple(_NAMES)
_OPEN_TELEMETRY: Final = {"body", "Body", "timeUnixNano"}
_PLANS: Final = 10_000
_MESSAGE: Final = PARTS.index("message")


class Shape(NamedTuple):
    """What a JSON object says: its `time` as it is written, and texts that are '' where it says nothing.

    `message` is None where it has none at all.
    """

    name: str
    time: Any
    service: str
    level: str
    host: str
    logger: str
    message: str | None
    stack: str


class Shapes:
    """Finds the parts of objects; `own` gives dotted names for some of `PARTS` that are looked for first.

    Objects of one program have the same names: which of them may hold a part is found out once for each set of names.
    """

    def __init__(self, own: Mapping[str, str]) -> None:
        self._names = {part: (own[part], *names) if part in own else names for part, names in _NAMES.items()}
        self._plans: dict[tuple[str, ...], tuple[tuple[str, ...], ...]] = {}

    def of(self, document: Mapping[str, Any]) -> Shape:
        """The parts of an object."""
        keys = tuple(document)
        plan = self._plans.get(keys)
        if plan is None:
            plan = self._plan(keys)
        if not plan:
            return _open_telemetry(document)
        parts = []
        for names in plan:
            value = document[names[0]] if names and names[0] in document else None
            parts.append(value if type(value) is str and value else _first(document, names) if names else "")
        time, *texts = parts
        for at, text in enumerate(texts):
            if type(text) is not str:
                texts[at] = _text(text)
        texts[1] = level_named(texts[1])
        if not texts[4] and all(document.get(name) is None for name in plan[_MESSAGE]):
            texts[4] = None
        if "@timestamp" not in document:
            name = "json"
        else:
            name = "logstash" if "logger_name" in document or "level" in document else "ecs"
        return Shape(name, time, *texts)

    def _plan(self, keys: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        """For each of `PARTS` the names that may hold it; none at all for a record of OpenTelemetry."""
        if len(self._plans) >= _PLANS:
            self._plans.clear()
        there = {*keys}
        plan = tuple(
            tuple(name for name in names if name in there or ("." in name and name.partition(".")[0] in there))
            for names in self._names.values()
        )
        self._plans[keys] = plan = () if there & _OPEN_TELEMETRY else plan
        return plan


def _open_telemetry(document: Mapping[str, Any]) -> Shape:
    def either(name: str) -> Any:
        return document.get(name, document.get(name[0].upper() + name[1:]))

    resource, attributes = _attributes(either("resource")), _attributes(either("attributes"))
    time = either("timeUnixNano") or document.get("Timestamp") or document.get("timestamp")
    level = level_named(_text(either("severityText")))
    number = either("severityNumber")
    scope = either("scope") or either("instrumentationScope")
    return Shape(
        "otel",
        time or either("observedTimeUnixNano") or document.get("ObservedTimestamp"),
        _text(resource.get("service.name") or attributes.get("service.name")),
        level or (level_numbered(number) if isinstance(number, int) else ""),
        _text(resource.get("host.name") or attributes.get("host.name")),
        _text(scope.get("name") or scope.get("Name")) if isinstance(scope, Mapping) else "",
        None if (body := _any_value(either("body"))) is None else _text(body),
        _text(attributes.get("exception.stacktrace")),
    )


def _attributes(given: Any) -> Mapping[str, Any]:
    """Attributes by key, of a resource or a record: an object, or the protocol's list of keys and values."""
    if isinstance(given, Mapping):
        inner = given.get("attributes", given.get("Attributes"))
        return given if inner is None else _attributes(inner)
    if isinstance(given, Sequence) and not isinstance(given, str):
        pairs = [each for each in given if isinstance(each, Mapping)]
        return {_text(each.get("key")): _any_value(each.get("value")) for each in pairs}
    return {}


def _any_value(given: Any) -> Any:
    """A value of the protocol (`{"stringValue": "…"}`), or what stands for itself."""
    if isinstance(given, Mapping) and len(given) == 1:
        ((kind, value),) = given.items()
        return value if kind.endswith("Value") else given
    return given


def _first(document: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The first of the names that there is, each as it is written or, with its dots, as a way through objects."""
    for name in names:
        value = document.get(name)
        if value is None and "." in name:
            value = _through(document, name)
        if value is not None and value != "" and not (isinstance(value, Mapping) and name in ("service", "host")):
            return value
    return None


def _through(document: Mapping[str, Any], name: str) -> Any:
    first, _, rest = name.partition(".")
    inner = document.get(first)
    if not isinstance(inner, Mapping):
        return None
    return inner.get(rest) if rest in inner or "." not in rest else _through(inner, rest)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return orjson.dumps(value, default=str).decode()
