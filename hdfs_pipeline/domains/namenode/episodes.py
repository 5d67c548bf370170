"""Episodes: from the first poll that shows a trouble to the first that does not. Each is one row of `anomalies`.

A row is written again with each poll that still shows the trouble: its `last_time` moves, its `status` is
'provisional'. The first poll that does not show it makes the row 'final', and `closed_by` says why. So the number of
rows is that of the episodes, however long one lasts. A trouble that is back within a minute goes on in its episode.
One that too few polls in a row have shown so far is 'withdrawn', which nobody counts.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa

from hdfs_pipeline.domains.namenode.labels import DOMAIN
from hdfs_pipeline.domains.namenode.state_rules import Figures, StateRule, rule_of
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Connection, publish_into

DETECTOR: Final = "hdfs_state"
"""Name of the rules among detectors: they are no detector, since no row of a matrix is what they judge."""
ORIGIN: Final = "jmx"
OPEN, ENDED, UNSURE = "provisional", "final", "withdrawn"
GONE: Final = "a poll no longer shows it"
_BACK_WITHIN: Final = timedelta(seconds=60)
_UNKNOWN_FOR: Final = timedelta(hours=1)
"""A trouble that nothing tells of any more, such as one of a NameNode that lost a bean, ends after this time, but not
before _MISSED polls were without it."""
_MISSED: Final = 3

_TIME = pa.timestamp("us", "UTC")
ANOMALIES: Final = pa.schema(
    [
        *((name, pa.string()) for name in ("domain", "entity", "item", "detector")),
        ("version", pa.int32()),
        ("score", pa.float64()),
        ("threshold", pa.float64()),
        *((name, pa.string()) for name in ("kind", "reason", "explanation")),
        ("first_time", _TIME),
        ("last_time", _TIME),
        ("records", pa.int32()),
        ("origin", pa.string()),
        ("status", pa.string()),
        ("part", pa.int32()),
        ("first_offset", pa.int64()),
        ("last_offset", pa.int64()),
        ("closed_by", pa.string()),
        ("scored_at", _TIME),
        ("host", pa.string()),
        ("path", pa.string()),
    ]
)
"""The columns of `anomalies` that an episode fills."""
_SAME: Final = f"domain = '{DOMAIN}' AND origin = '{ORIGIN}' AND item IN (SELECT item FROM publish_source)"
_OPEN: Final = f"""SELECT entity, kind, item, score, reason, explanation, first_time, last_time, records
    FROM anomalies WHERE domain = '{DOMAIN}' AND detector = '{DETECTOR}' AND origin = '{ORIGIN}'
    AND status IN ('{OPEN}', '{UNSURE}') AND closed_by IS NULL AND explanation->>'namenode' = ?"""


@dataclass
class Episode:
    """A trouble of an entity over time.

    `ratio`: how many times its limit it was at its worst, at `peak`; `reason` and `figures` are of that poll. `held`:
    figures that stay as they were when it began. `closed_by` is '' while it is open.
    """

    entity: str
    rule: StateRule
    item: str
    first: datetime
    last: datetime
    ratio: float = 0.0
    peak: datetime | None = None
    reason: str = ""
    figures: Figures = field(default_factory=dict)
    polls: int = 0
    held: Figures = field(default_factory=dict)
    closed_by: str = ""

    @property
    def sure(self) -> bool:
        """Whether as many polls in a row have shown it as its rule wants."""
        return self.polls >= self.rule.polls

    def over_since(self, at: datetime) -> bool:
        """Whether it ended longer ago than a trouble may take to come back, or in a time to come: clocks go back."""
        return bool(self.closed_by) and abs(at - self.last) > _BACK_WITHIN

    def seen(self, at: datetime, ratio: float, figures: Figures) -> None:
        """Take in a poll that shows it."""
        self.last, self.polls, self.closed_by = max(at, self.last), self.polls + 1, ""  # a clock may go back
        if ratio >= self.ratio:
            self.ratio, self.peak = ratio, at
            self.figures, self.reason = self.rule.told(figures), self.rule.words(figures)

    def row(self, namenode: str, block_pool: str, at: datetime) -> dict[str, Any]:
        """Its row of `anomalies`."""
        about = {
            "severity": self.rule.severity,
            "hint": self.rule.hint,
            "why": self.rule.reason,
            "namenode": namenode,
            "block_pool": block_pool,
            "peak_at": None if self.peak is None else self.peak.isoformat(),
            "figures": dict(self.figures),
            "held": dict(self.held),
        }
        return {
            "domain": DOMAIN,
            "entity": self.entity,
            "item": self.item,
            "detector": DETECTOR,
            "version": 0,
            "score": self.ratio,
            "threshold": 1.0,
            "kind": self.rule.kind,
            "reason": self.reason,
            "explanation": json.dumps(about),
            "first_time": self.first,
            "last_time": self.last,
            "records": self.polls,
            "origin": ORIGIN,
            "status": UNSURE if not self.sure else ENDED if self.closed_by else OPEN,
            "part": -1,
            "first_offset": -1,
            "last_offset": -1,
            "closed_by": self.closed_by or None,
            "scored_at": at,
            "host": self.entity.rpartition(":")[0] or self.entity,
            "path": "",
        }


Key = tuple[str, str]  # entity and kind


class Episodes:
    """The episodes of what one NameNode tells: those that are open, and those that ended a moment ago."""

    def __init__(self, namenode: str, settings: Settings) -> None:
        self.namenode = namenode
        self.block_pool = ""
        self._settings = settings
        every_s = max(settings.namenode_poll_s, settings.datanode_poll_s)
        self._unknown_for = max(_UNKNOWN_FOR, timedelta(seconds=_MISSED * every_s))
        self._episodes: dict[Key, Episode] = {}
        self._changed: dict[str, Episode] = {}

    def resume(self, con: Connection) -> None:
        """Take up the open episodes that the store has."""
        for entity, kind, item, score, reason, text, first, last, polls in con.execute(
            _OPEN, [self.namenode]
        ).fetchall():
            rule, about = rule_of(kind), json.loads(text)
            if rule is None:
                continue
            self.block_pool = about.get("block_pool") or self.block_pool
            peak = datetime.fromisoformat(about["peak_at"]) if about.get("peak_at") else None
            times = (first.astimezone(UTC), last.astimezone(UTC))
            figures, held = about.get("figures", {}), about.get("held", {})
            self._episodes[entity, kind] = Episode(
                entity, rule, item, *times, score, peak, reason, figures, polls, held
            )

    def open(self, entity: str, kind: str) -> Episode | None:
        """The open episode of a trouble of an entity."""
        episode = self._going_on(entity, kind)
        return episode if episode is not None and episode.sure else None

    def judge(
        self, entity: str, rules: Iterable[StateRule], figures: Figures, at: datetime, held: Iterable[str] = ()
    ) -> None:
        """Hold the figures of an entity at a poll against rules; those named `held` stay with an episode they begin."""
        for rule in rules:
            ratio = rule.ratio(figures, self._settings)
            if ratio is None:
                self._unknown(entity, rule.kind, at)
            elif ratio:
                self._shown(entity, rule, ratio, figures, at, held)
            else:
                self._over(entity, rule.kind, GONE)

    def close(self, entity: str, why: str) -> None:
        """End the open episodes of an entity."""
        for own, kind in list(self._episodes):
            if own == entity:
                self._over(own, kind, why)

    def close_all_but(self, about: str, why: str) -> None:
        """End the open episodes that are not about this."""
        for (entity, kind), episode in list(self._episodes.items()):
            if episode.rule.about != about:
                self._over(entity, kind, why)

    def expire(self, about: str, at: datetime) -> None:
        """End the open episodes about this that nothing has told of for an hour."""
        for (entity, kind), episode in list(self._episodes.items()):
            if episode.rule.about == about:
                self._unknown(entity, kind, at)

    def forget(self, at: datetime) -> None:
        """Forget what ended longer ago than a trouble may take to come back."""
        self._episodes = {
            key: each
            for key, each in self._episodes.items()
            if not each.closed_by or abs(at - each.last) <= _BACK_WITHIN
        }

    def rows(self, at: datetime) -> pa.Table:
        """The rows of `anomalies` that have changed since the last call."""
        changed, self._changed = self._changed, {}
        rows = [episode.row(self.namenode, self.block_pool, at) for episode in changed.values()]
        return pa.Table.from_pylist(rows, ANOMALIES)

    def _shown(
        self, entity: str, rule: StateRule, ratio: float, figures: Figures, at: datetime, held: Iterable[str]
    ) -> None:
        key = (entity, rule.kind)
        episode = self._episodes.get(key)
        if episode is not None and not episode.sure and at - episode.last > self._unknown_for:
            self._over(entity, rule.kind, "too few polls in a row showed it")
        if episode is None or episode.over_since(at):
            begun = at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
            item = f"{self.namenode} {entity} {rule.kind} {begun}Z"
            episode = self._episodes[key] = Episode(entity, rule, item, at, at)
        elif episode.closed_by and not episode.sure:
            episode.first, episode.polls = at, 0
        if not episode.polls:
            episode.held = {name: figures[name] for name in held if name in figures}
        episode.seen(at, ratio, figures)
        self._changed[episode.item] = episode

    def _going_on(self, entity: str, kind: str) -> Episode | None:
        """The episode of a trouble that the last poll showed, be it in too few polls to count."""
        episode = self._episodes.get((entity, kind))
        return episode if episode is not None and not episode.closed_by else None

    def _unknown(self, entity: str, kind: str, at: datetime) -> None:
        episode = self._going_on(entity, kind)
        if episode is not None and at - episode.last > self._unknown_for:
            self._over(entity, kind, "nothing tells of it any more")

    def _over(self, entity: str, kind: str, why: str) -> None:
        episode = self._going_on(entity, kind)
        if episode is not None:
            episode.closed_by = why
            self._changed[episode.item] = episode


def publish_episodes(con: Connection, rows: pa.Table) -> None:
    """Put rows of episodes into `anomalies`, each in the place of its earlier state."""
    if len(rows):
        publish_into(con, "anomalies", rows, replace=_SAME)


def known_figures(figures: Mapping[str, float | str | None]) -> dict[str, float | str]:
    """The figures without those that are unknown."""
    return {name: value for name, value in figures.items() if value is not None}
