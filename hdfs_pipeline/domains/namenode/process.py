"""Turns successive `/jmx` documents into samples: what was really measured at each poll, and nothing else.

A NameNode refreshes a metrics bean when it is asked and its copy is older than the metrics period, 10 s by default
(org.apache.hadoop.metrics2.impl.MetricsSourceAdapter): a poll in between sees the old copy. So a bean that did not
change is no sample, counters are divided by the time since their bean last changed, and an average is a value only
where its count of calls moved. Whatever was not measured is left out of a sample; a zero is a zero that was measured.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from hdfs_pipeline.domains.namenode.gc_times import gc_times
from hdfs_pipeline.domains.namenode.metrics import BY_BEAN, Bean, Metric, only_grows
from hdfs_pipeline.domains.namenode.object_names import ObjectName, parse_object_name

Document = Mapping[str, Any]
Key = tuple[Bean, int | None]  # a kind of bean, and the port if each RPC server has its own bean
TopUsers = dict[str, list[tuple[str, int]]]

GAP_S: Final = 60.0
"""Seconds without a poll after which the state before says nothing about now."""

ACTIVE: Final = "active"
STARTING: Final = "starting"
UNKNOWN: Final = "unknown"
ROLES: Final = (ACTIVE, "standby", "observer", STARTING, UNKNOWN)

_PORT = re.compile(r"(?:.*:|Rpc(?:Detailed)?ActivityForPort)([0-9]{1,5})")
_USERS = 5  # of each operation
_LARGEST = 2**63
_LONGEST_NAME = 1000  # characters; names are kept, and endless ones would fill the memory


@dataclass(frozen=True)
class Sample:
    """What one poll measured.

    `at`: when, aware, UTC. `values`: by column, only what was measured. `role`: one of ROLES. `restarted`: this is the
    first sample of a new process. `gap`: nothing is known about what was right before. `moved`: whether any bean had
    been refreshed. `port`: of the client RPC, None if unknown; `ports`: of all RPC servers. `top_users`: calls by user,
    largest first, of each operation in the NameNode's shortest window (a minute). `note`: what was odd, in words.
    """

    at: datetime
    values: dict[str, float]
    role: str = UNKNOWN
    restarted: bool = False
    gap: bool = False
    moved: bool = False
    port: int | None = None
    ports: tuple[int, ...] = ()
    top_users: TopUsers = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class _Change:
    """A bean as it was when it last changed, and the time of that change, in seconds of the processor's clock.

    `counted`: what other beans said then that belongs to its metrics.
    """

    bean: Mapping[str, Any]
    at: float
    counted: Mapping[str, Any]


class Processor:
    """Turns the documents of one NameNode, in the order of their polls, into samples."""

    def __init__(self, gap_s: float = GAP_S) -> None:
        self.gap_s = gap_s
        self._changes: dict[Key, _Change] = {}
        self._last: tuple[datetime, float] | None = None
        self._started: dict[str, Any] = {}
        self._role = UNKNOWN
        self._port: int | None = None

    def add(self, document: Document, at: datetime, clock: float | None = None) -> Sample | None:
        """The sample of the document that was polled at `at`; None if it holds no bean of a NameNode.

        `clock` is the time of a clock in seconds that never jumps: intervals are then measured by it, and the sample
        notes a jump of `at`. Without `clock`, a poll that is not later than the one before counts as after a gap.
        """
        beans = dict(beans_of(document))
        if not beans:
            return None
        notes: list[str] = []
        now, gap = self._interval(at, clock, notes)
        if gap:
            self._changes.clear()
        role, port, ports = self._who(beans)
        measured = dict(self._measured_beans(beans, port))
        collected = gc_times(beans.get("JvmMetrics", {}), dict(_java_beans(document, "GarbageCollector")))
        restarted = self._restarted(_started(document, beans), measured, role)
        if restarted:
            self._changes.clear()
            notes.append("the NameNode was started anew")
        values: dict[str, float] = {}
        moved = False
        for key, bean in measured.items():
            before = self._changes.get(key)
            if before is not None and before.bean == bean:
                continue
            change = _Change(bean, now, {**bean, **collected} if key[0] == "JvmMetrics" else bean)
            values.update(_measured(BY_BEAN[key[0]], before, change))
            self._changes[key] = change
            moved = True
        self._changes = {key: change for key, change in self._changes.items() if key in measured}
        self._role = role
        users = _top_users(beans.get("FSNamesystemState", {}).get("TopUserOpCounts"))
        return Sample(at, values, role, restarted, gap, moved, port, ports, users, "; ".join(notes))

    def _interval(self, at: datetime, clock: float | None, notes: list[str]) -> tuple[float, bool]:
        """This poll on the processor's clock, and whether nothing is known about what was right before."""
        now = at.timestamp() if clock is None else clock
        before, self._last = self._last, (at, now)
        if before is None:
            return now, True
        wall, passed = (at - before[0]).total_seconds(), now - before[1]
        if clock is not None and abs(wall - passed) > 1.0 + 0.01 * abs(passed):
            notes.append(f"the clock went {'forward' if wall > passed else 'back'} by {abs(wall - passed):.0f} s")
        elif passed <= 0:
            notes.append(f"the clock went back by {-passed:.0f} s" if passed else "two polls at the same time")
        elif passed > self.gap_s:
            notes.append(f"no poll for {passed:.0f} s")
        return now, not (0 < passed <= self.gap_s and 0 < wall <= self.gap_s)

    def _who(self, beans: Mapping[str, Document]) -> tuple[str, int | None, tuple[int, ...]]:
        """Role, client RPC port, and the ports of all RPC servers."""
        status = beans.get("NameNodeStatus", {})
        ports = tuple(sorted({port for port in map(_port, beans) if port is not None}))
        named = _port(status.get("HostAndPort"))
        if named is not None and (not ports or named in ports):
            self._port = named
        elif self._port not in ports:
            self._port = (
                ports[0] if len(ports) == 1 else None
            )  # there is a service RPC too, and nothing tells them apart
        state = str(status.get("State") or beans.get("FSNamesystem", {}).get("tag.HAState") or "").strip().lower()
        if state in ROLES:
            return state, self._port, ports
        starting = "StartupProgress" in beans and "NameNodeStatus" not in beans
        return STARTING if starting or state == "initializing" else UNKNOWN, self._port, ports

    def _measured_beans(
        self, beans: Mapping[str, Document], port: int | None
    ) -> Iterator[tuple[tuple[Bean, int | None], Document]]:
        for kind in BY_BEAN:
            of_port = port if kind.startswith("Rpc") else None
            bean = beans.get(f"{kind}ForPort{port}" if of_port is not None else kind)
            if bean is not None:
                yield (kind, of_port), bean

    def _restarted(self, started: dict[str, Any], measured: Mapping[Key, Document], role: str) -> bool:
        """Whether another process answers than at the poll before.

        The time at which it was started tells. Where a document has none, a counter that fell does. Where it is the
        same although most counters fell, a recording is played again from its beginning.
        """
        before = self._started
        both = started.keys() & before.keys()
        fell, changed = _fallen(
            (self._changes[key].bean, bean) for key, bean in measured.items() if key in self._changes
        )
        again = role == STARTING and self._role not in (STARTING, UNKNOWN)
        restarted = again or any(started[name] != before[name] for name in both) or fell > (changed / 2 if both else 0)
        # A new process that reports its start later must not count as a second restart then.
        self._started = started if restarted else before | started
        return restarted


def beans_of(document: Document, service: str = "NameNode") -> Iterator[tuple[str, Document]]:
    """A daemon's beans by their key `name`, whatever the order of the keys in the object name."""
    for name, bean in _named(document):
        if name.domain == "Hadoop" and name.keys.get("service") == service and "name" in name.keys:
            yield name.keys["name"], bean


def _named(document: Document) -> Iterator[tuple[ObjectName, Document]]:
    """The beans whose names are object names."""
    beans = document.get("beans") if isinstance(document, Mapping) else None
    for bean in beans if isinstance(beans, list) else []:
        try:
            if len(bean["name"]) <= _LONGEST_NAME:
                yield parse_object_name(bean["name"]), bean
        except (KeyError, TypeError, ValueError, AttributeError):
            continue


def _port(text: object) -> int | None:
    """The TCP port at the end of a `host:port` or of the name of an RPC server's bean."""
    match = _PORT.fullmatch(text) if isinstance(text, str) else None
    return int(match[1]) if match and 0 < int(match[1]) < 1 << 16 else None


def _java_beans(document: Document, kind: str) -> Iterator[tuple[str, Document]]:
    """The beans of the Java machine of a kind, by their key `name`, or an empty name where a kind has one bean."""
    for name, bean in _named(document):
        if name.domain == "java.lang" and name.keys.get("type") == kind:
            yield name.keys.get("name", ""), bean


def _started(document: Document, beans: Mapping[str, Document]) -> dict[str, Any]:
    """When the process was started, by each source that tells: the Java machine, and the NameNode in two versions."""
    info, machine = beans.get("NameNodeInfo", {}), dict(_java_beans(document, "Runtime")).get("", {})
    found = {name: info.get(name) for name in ("NNStartedTimeInMillis", "NNStarted")}
    found["StartTime"] = machine.get("StartTime")
    return {name: value for name, value in found.items() if isinstance(value, int | str)}


def _fallen(pairs: Iterable[tuple[Document, Document]]) -> tuple[int, int]:
    """Of what only ever grows: how much has become less, and how much has changed, between two looks at beans."""
    fell = changed = 0
    for before, now in pairs:
        for name in filter(only_grows, before):
            was, later = number(before[name]), number(now.get(name))
            if was is not None and later is not None and later != was:
                changed += 1
                fell += later < was
    return fell, changed


def number(value: object) -> float | None:
    """A number that a Java long could hold, or None: a bean may hold NaN, text, a number without end, or nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        return None
    return float(value)


def _measured(metrics: tuple[Metric, ...], before: _Change | None, now: _Change) -> Iterator[tuple[str, float]]:
    """The values of a refreshed bean, compared with the bean before."""
    for metric in metrics:
        value = number(now.counted.get(metric.attribute))
        if metric.kind == "gauge":
            if value is not None:
                yield metric.name, value
            continue
        if before is None:
            continue
        if metric.kind == "average":
            grown = _growth(before.counted, now.counted, metric.ops or "")
            if value is not None and value >= 0 and grown is not None and grown > 0:
                yield metric.name, value
            continue
        grown = _growth(before.counted, now.counted, metric.attribute)
        if grown is not None:
            yield metric.name, grown / (now.at - before.at)


def _growth(before: Document, bean: Document, attribute: str) -> float | None:
    """How much a counter grew. A new count of calls began at zero: Hadoop makes it with the first call."""
    value = number(bean.get(attribute))
    if value is None:
        return None
    was = number(before.get(attribute, 0 if attribute.endswith("NumOps") else None))
    return None if was is None or value < was else value - was


def _top_users(text: object) -> TopUsers:
    """Calls by user of each operation in the shortest window of `TopUserOpCounts`, which is JSON in a string."""
    try:
        windows = json.loads(text) if isinstance(text, str) else {}
        window: Document = min(
            windows.get("windows") or [], key=lambda entry: entry.get("windowLenMs", math.inf), default={}
        )
        operations = window.get("ops", [])
        return {plain_name(operation["opType"]): _largest(operation.get("topUsers", [])) for operation in operations}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _largest(users: list[Document]) -> list[tuple[str, int]]:
    calls = ((plain_name(user["user"]), number(user["count"])) for user in users)
    known = [(user, int(count)) for user, count in calls if count is not None]
    return sorted(known, key=lambda pair: -pair[1])[:_USERS]


def plain_name(name: object) -> str:
    """A name that can be stored: JSON can spell half a surrogate pair, which no encoding takes."""
    return str(name)[:_LONGEST_NAME].encode("utf-8", "replace").decode()
