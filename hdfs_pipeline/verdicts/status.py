"""The state of a home, as somebody asks for it in the morning: what is wrong, what changed, what the watcher lacks."""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from hdfs_pipeline.domains import all_domains
from hdfs_pipeline.domains.contract import Heard
from hdfs_pipeline.errors import UsageError
from hdfs_pipeline.scoring.incidents import GOING_ON
from hdfs_pipeline.scoring.severity import SEVERITIES
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Connection, Store
from hdfs_pipeline.verdicts.lacks import UNSCORED, Lack, duration, lacks_of
from hdfs_pipeline.verdicts.listing import BY_GRAVITY, SHORT, rows

DAY: Final = "24h"
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
TOO_LATE: Final = datetime(2200, 1, 1, tzinfo=UTC)
"""Times that may be asked for lie between: far from the edges of what a `datetime` holds, so that one can reckon."""
_SPAN: Final = re.compile(r"(\d{1,6})([mhdw])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AHEAD_S: Final = 300.0  # by which a clock may be ahead of ours
_COMMANDS: Final = 3
CHANGES: Final = {
    "opened": "opened",
    "grown": "grew",
    "acknowledged": "acknowledged",
    "resolved": "resolved",
    "expired": "expired (nothing more was heard)",
    "suppressed": "suppressed",
    "reopened": "reopened",
}
"""What can become of incidents, in words."""
_OPEN: Final = f"status IN {GOING_ON}"
_ENDED: Final = """status IN ('resolved', 'expired')
    AND (ended_at >= $1 OR id IN (SELECT incident FROM last_words WHERE given_at >= $1))"""
_LAST_WORDS: Final = """WITH last_words AS (
    SELECT incident, arg_max(action, given_at) AS action, max(given_at) AS given_at FROM incident_words GROUP BY ALL)"""
_CHANGED: Final = f"""{_LAST_WORDS}
    SELECT count(*) FILTER (opened_at >= $1) AS opened,
        count(*) FILTER (opened_at < $1 AND ended_at >= $1) AS grown,
        count(*) FILTER (w.action = 'ack') AS acknowledged,
        count(*) FILTER (status = 'resolved' AND (ended_at >= $1 OR w.action = 'resolve')) AS resolved,
        count(*) FILTER (status = 'expired' AND ended_at >= $1) AS expired,
        count(*) FILTER (status = 'suppressed' AND (ended_at >= $1 OR w.action = 'suppress')) AS suppressed,
        count(*) FILTER (w.action = 'reopen') AS reopened
    FROM incidents LEFT JOIN (FROM last_words WHERE given_at >= $1) w ON w.incident = id"""


class Since(NamedTuple):
    """From when on changes are told. One `relative` to now may be counted back from the records' end instead."""

    time: datetime
    relative: bool


@dataclass(frozen=True)
class Status:
    """What is wrong in a home, what changed since a time, and what the watcher lacks, at the time `now`.

    `until` is when the latest record was written, None where there is none. `finished` says that all records are older
    than what was asked for, so that `since` is counted back from their end. `open` and `ended` are incidents, as
    `verdicts.listing` gives them; there may be more of them than are listed, as `number_open` and `number_ended` say.
    `severities` counts the open ones; `changed` counts what became of incidents since then. `commands` are what to type
    next.
    """

    home: str
    now: datetime
    since: datetime
    until: datetime | None
    finished: bool
    open: list[dict[str, Any]] = field(default_factory=list)
    ended: list[dict[str, Any]] = field(default_factory=list)
    number_open: int = 0
    number_ended: int = 0
    severities: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    lacks: list[Lack] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    @property
    def gravity(self) -> str:
        """How many incidents of each severity are open, the gravest first; '' for none."""
        counts = ((name, self.severities.get(name, 0)) for name in reversed(SEVERITIES))
        return ", ".join(f"{count:,} {name}" for name, count in counts if count)

    @property
    def headline(self) -> str:
        """The answer in one sentence."""
        if self.open:
            gravest = self.open[0]
            if self.number_open == 1:
                return f"One incident is open ({gravest['severity']}): {gravest['title']}"
            return f"{self.number_open:,} incidents are open ({self.gravity}), the gravest: {gravest['title']}"
        if self.finished and self.number_ended:
            plural = "incidents" if self.number_ended != 1 else "incident"
            return f"Nothing is open; {self.number_ended:,} {plural} before the records end"
        if self.until is None:
            return "This home has no records yet"
        waiting = [lack.text for lack in self.lacks if lack.kind == UNSCORED]
        return f"Nothing is known to be wrong; {' and '.join(waiting)}" if waiting else "Nothing is wrong now"

    @property
    def times(self) -> str:
        """Of when the latest record is, and since when changes are told."""
        if self.until is None:
            return f"Since {minute(self.since)} UTC. There are no records."
        ago = duration(max((self.now - self.until).total_seconds(), 0.0))
        latest = f"The latest record is of {minute(self.until)} UTC, {ago} ago"
        if self.finished:
            return f"{latest}: changes are told from {duration((self.until - self.since).total_seconds())} before it."
        return f"{latest}. Changes are told since {minute(self.since)} UTC."

    @property
    def alarming(self) -> bool:
        """Whether an open incident is critical or major."""
        return bool(self.severities.get("critical") or self.severities.get("major"))

    def to_json(self) -> dict[str, Any]:
        """Plain values, times in ISO 8601, UTC."""
        times = {"now": self.now, "since": self.since, "until": self.until}
        return (
            {"home": self.home}
            | {name: None if time is None else time.isoformat(timespec="seconds") for name, time in times.items()}
            | {"finished": self.finished, "severities": self.severities, "changed": self.changed}
            | {"open": self.open, "ended": self.ended}
            | {"number_open": self.number_open, "number_ended": self.number_ended}
            | {"lacks": [lack._asdict() for lack in self.lacks], "commands": self.commands}
        )


def parse_since(text: str, now: datetime) -> Since:
    """A time in ISO 8601 (UTC where it names no zone), or a span before `now`: 90m, 24h, 7d, 2w.

    Raises: UsageError for anything else, and for a time before `EARLIEST` or from `TOO_LATE` on.
    """
    with suppress(ValueError, OverflowError):
        found = _since(text.strip(), now)
        if EARLIEST <= found.time < TOO_LATE:
            return found
    raise UsageError(f"{text!r} is no time: write 2026-11-21T08:00, or 90m, 24h, 7d for a span before now")


def _since(text: str, now: datetime) -> Since:
    if span := _SPAN.fullmatch(text):
        return Since(now - timedelta(**{_UNITS[span[2]]: int(span[1])}), relative=True)
    time = datetime.fromisoformat(text)
    return Since((time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC), relative=False)


def minute(time: datetime) -> str:
    """A time to the minute, as people read it."""
    return f"{time:%Y-%m-%d %H:%M}"


def open_severities(con: Connection) -> dict[str, int]:
    """How many incidents of each severity are open or acknowledged."""
    return dict(con.execute(f"SELECT severity, count(*) FROM incidents WHERE {_OPEN} GROUP BY 1").fetchall())


def home_status(
    store: Store, settings: Settings, since: Since, *, now: datetime | None = None, most: int | None = None
) -> Status:
    """The state of a home at `now`. With `most` no more incidents than these are listed, the gravest first."""
    now = now or datetime.now(UTC)
    about: dict[str, Any] = {"home": str(settings.home), "now": now}
    if not settings.store_path.is_file():
        return Status(**about, since=since.time, until=None, finished=False, commands=_first_steps())
    with store.read() as con:  # one view of the store, however many ask
        heard = {domain: domain.heard(store) for domain in all_domains()}
        until = _until([each for own in heard.values() for each in own], now)
        finished = since.relative and until is not None and until < since.time
        start = until - (now - since.time) if finished and until is not None else since.time
        named = ("opened", "grown", "acknowledged", "resolved", "expired", "suppressed", "reopened")
        changed = dict(zip(named, con.execute(_CHANGED, [start]).fetchall()[0], strict=True))
        severities = open_severities(con)
        still = rows(con, f"WHERE {_OPEN} ORDER BY {BY_GRAVITY}", limit=most)
        ended, number = _ended(con, start, None if most is None else max(most - len(still), 0))
        if until is None and not still and not number:
            lacks, commands = [], _first_steps()
        else:
            lacks = [*lacks_of(store, settings, heard, now=now, until=until or now, since=start)]
            commands = _next_steps(still or ended, lacks)
    return Status(
        **about,
        since=start,
        until=until,
        finished=finished,
        open=still,
        ended=ended,
        number_open=sum(severities.values()),
        number_ended=number,
        severities=severities,
        changed=changed,
        lacks=lacks,
        commands=commands,
    )


def _until(heard: Sequence[Heard], now: datetime) -> datetime | None:
    """When the latest record was written. One from the future, whose clock cannot be right, counts only if all are."""
    times = [each.time for each in heard if each.time]
    sane = [time for time in times if time <= now.timestamp() + _AHEAD_S]
    latest = max(sane or times, default=None)
    return None if latest is None else datetime.fromtimestamp(latest, UTC)


def _ended(con: Connection, since: datetime, most: int | None) -> tuple[list[dict[str, Any]], int]:
    """The incidents that ended since a time, by their beginning, and how many there are; the gravest where cut."""
    number = con.execute(f"{_LAST_WORDS} SELECT count(*) FROM incidents WHERE {_ENDED}", [since]).fetchall()[0][0]
    limit = "" if most is None else f"LIMIT {most}"
    chosen = f"""WHERE id IN ({_LAST_WORDS} SELECT id FROM incidents WHERE {_ENDED} ORDER BY {BY_GRAVITY} {limit})
        ORDER BY started_at, id"""
    return rows(con, chosen, [since]), int(number)


def _next_steps(incidents: Sequence[Mapping[str, Any]], lacks: Iterable[Lack]) -> list[str]:
    """What to type next: of the gravest incidents the largest first, and what helps the watcher."""
    gravest = sorted(incidents, key=lambda row: (-SEVERITIES.index(row["severity"]), -row["items"]))
    shown = [f"hdfs-pipeline incidents show {row['id'][:SHORT]}" for row in gravest[:_COMMANDS]]
    helping = [lack.command for lack in lacks if lack.command]
    # One line is kept for the watcher: what it lacks may be why nothing is told.
    return [*shown[: _COMMANDS - bool(helping)], *helping][:_COMMANDS]


def _first_steps() -> list[str]:
    """What brings the first data."""
    return [*filter(None, (domain.filled_by for domain in all_domains())), "hdfs-pipeline up"][:_COMMANDS]
