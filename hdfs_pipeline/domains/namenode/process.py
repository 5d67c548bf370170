"""Turns successive `/jmx` documents into samples: what was really measured at each poll, and nothing else.

A NameNode refreshes a metrics bean when it is asked and its copy is older than the metrics period, 10 s by default
(org.apache.hadoop.metrics2.impl.MetricsSourceAdapter): a poll in between sees the old copy. So a bean that did not
change is no sample, counters are divided by the time since their bean last changed, and an average is a value only
where its count of calls moved. Whatever was not measured is left out of a sample; a zero is a zero that was measured.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from hdfs_pipeline.domains.namenode.metrics import BY_BEAN, Bean, Metric, only_grows
from hdfs_pipeline.domains.namenode.object_names import parse_object_name

Document = Mapping[str, Any]
Key = tuple[Bean, int | None]  # a kind of bean, and the port if each RPC server has its own bean
TopUsers = dict[str, list[tuple[str, int]]]

GAP_S: Final = 60.0
"""Seconds without a poll after which the state before says nothing about now."""

STARTING: Final = "starting"
UNKNOWN: Final = "unknown"
ROLES: Final = ("active", "standby", "observer", STARTING, UNKNOWN)

_PORT = re.compile(r"(Rpc(?:Detailed)?Activity)ForPort(\d+)")
_USERS = 5  # of each operation


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
    """A bean as it was when it last changed, and the time of that change, in seconds of the processor's clock."""

    bean: Mapping[str, Any]
    at: float


class Processor:
    """Turns the documents of one NameNode, in the order of their polls, into samples."""

    def __init__(self, gap_s: float = GAP_S) -> None:
        self.gap_s = gap_s
        self._changes: dict[Key, _Change] = {}
        self._last: tuple[datetime, float] | None = None
        self._started: object = None
        self._role = UNKNOWN
        self._port: int | None = None

    def add(self, document: Document, at: datetime, clock: float | None = None) -> Sample | None:
        """The sample of the document that was polled at `at`; None if it holds no bean of a NameNode.

        `clock` is the time of a clock in seconds that never jumps: intervals are then measured by it, and the sample
        notes a jump of `at`. Without `clock`, a poll that is not later than the one before counts as after a gap.
        """
        beans = dict(_beans(document))
        if not beans:
            return None
        notes: list[str] = []
        now, gap = self._interval(at, clock, notes)
        if gap:
            self._changes.clear()
        role, port, ports = self._who(beans)
        measured = dict(self._measured_beans(beans, port))
        restarted = self._restarted(beans, measured, role)
        if restarted:
            self._changes.clear()
            notes.append("the NameNode was started anew")
        values: dict[str, float] = {}
        moved = False
        for key, bean in measured.items():
            before = self._changes.get(key)
            if before is not None and before.bean == bean:
                continue
            values.update(_measured(BY_BEAN[key[0]], before, bean, now))
            self._changes[key] = _Change(bean, now)
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
        matches = (_PORT.fullmatch(name) for name in beans)
        ports = tuple(sorted({int(match[2]) for match in matches if match}))
        named = str(status.get("HostAndPort") or "").rpartition(":")[2]
        if named.isdigit() and (not ports or int(named) in ports):
            self._port = int(named)
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

    def _restarted(self, beans: Mapping[str, Document], measured: Mapping[Key, Document], role: str) -> bool:
        """Whether another process answers than at the poll before."""
        info = beans.get("NameNodeInfo", {})
        started = info.get("NNStartedTimeInMillis", info.get("NNStarted"))
        before, self._started = self._started, started if started is not None else self._started
        fell = any(_fell(self._changes[key].bean, bean) for key, bean in measured.items() if key in self._changes)
        again = role == STARTING and self._role not in (STARTING, UNKNOWN)
        if (fell or again) and started is None:
            self._started = None  # the new process reports its start later, which must not count as a second restart
        return fell or again or (before is not None and started is not None and started != before)


def _beans(document: Document) -> Iterator[tuple[str, Document]]:
    """The NameNode's beans by their key `name`, whatever the order of the keys in the object name."""
    beans = document.get("beans") if isinstance(document, Mapping) else None
    for bean in beans if isinstance(beans, list) else []:
        try:
            name = parse_object_name(bean["name"])
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
        if name.domain == "Hadoop" and name.keys.get("service") == "NameNode" and "name" in name.keys:
            yield name.keys["name"], bean


def _fell(before: Document, now: Document) -> bool:
    """Whether anything that only ever grows has become less."""
    for name, value in before.items():
        was, later = _number(value), _number(now.get(name))
        if was is not None and later is not None and later < was and only_grows(name):
            return True
    return False


def _number(value: object) -> float | None:
    """A finite number, or None: a bean may hold NaN, text, or nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _measured(
    metrics: tuple[Metric, ...], before: _Change | None, bean: Document, now: float
) -> Iterator[tuple[str, float]]:
    """The values of a refreshed bean, compared with the bean before."""
    for metric in metrics:
        value = _number(bean.get(metric.attribute))
        if metric.kind == "gauge":
            if value is not None:
                yield metric.name, value
            continue
        if before is None:
            continue
        if metric.kind == "average":
            grown = _growth(before.bean, bean, metric.ops or "")
            if value is not None and value >= 0 and grown is not None and grown > 0:
                yield metric.name, value
            continue
        fallback = metric.attribute not in bean and metric.fallback is not None
        grown = _growth(before.bean, bean, metric.fallback if fallback and metric.fallback else metric.attribute)
        if grown is not None:
            yield metric.name, grown / (now - before.at)


def _growth(before: Document, bean: Document, attribute: str) -> float | None:
    """How much a counter grew. A new counter began at zero: Hadoop makes it with the first call."""
    value = _number(bean.get(attribute))
    if value is None:
        return None
    was = _number(before.get(attribute, 0))
    return None if was is None or value < was else value - was


def _top_users(text: object) -> TopUsers:
    """Calls by user of each operation in the shortest window of `TopUserOpCounts`, which is JSON in a string."""
    try:
        windows = json.loads(text) if isinstance(text, str) else {}
        window: Document = min(
            windows.get("windows") or [], key=lambda entry: entry.get("windowLenMs", math.inf), default={}
        )
        operations = window.get("ops", [])
        return {str(operation["opType"]): _largest(operation.get("topUsers", [])) for operation in operations}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def _largest(users: list[Document]) -> list[tuple[str, int]]:
    return sorted(((str(user["user"]), int(user["count"])) for user in users), key=lambda pair: -pair[1])[:_USERS]
