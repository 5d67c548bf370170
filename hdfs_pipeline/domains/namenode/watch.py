"""Watches the state of HDFS as one NameNode tells it: each poll becomes rows to store, and begins and ends episodes.

Only an active NameNode speaks for HDFS: of a standby's counts of blocks and DataNodes nothing is judged. While a
NameNode starts nothing is judged either, and in safe mode a count of no blocks in trouble is no good news: it counts
none then. What is open stays open meanwhile.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa

from hdfs_pipeline.domains.namenode.datanodes import DataNodeSample
from hdfs_pipeline.domains.namenode.episodes import ANOMALIES, Episodes, known_figures, publish_episodes
from hdfs_pipeline.domains.namenode.labels import DOMAIN
from hdfs_pipeline.domains.namenode.past import USUAL_OF, Past
from hdfs_pipeline.domains.namenode.process import ACTIVE, STARTING, UNKNOWN, Document
from hdfs_pipeline.domains.namenode.state import DEAD, STALE, DataNode, HdfsState, read_state, shortened
from hdfs_pipeline.domains.namenode.state_rules import NEVER_S, Figures, rules_about
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Connection, publish_into

GONE: Final = "gone"
REMOVED: Final = "removed"
"""States of a DataNode that the NameNode does not list: it should, as it seems, or it need not any more."""
SPEAKING: Final = (ACTIVE, UNKNOWN)
"""Roles in which a NameNode speaks for HDFS; without a bean that tells the role it is taken to be active."""

_AGAIN: Final = timedelta(minutes=10)
_GONE_AFTER: Final = timedelta(seconds=60)
_REMEMBERED: Final = timedelta(days=1)
_BLOCKS: Final = ("missing", "missing_one", "corrupt", "under_replicated", "last_replica")
_SIZES: Final = ("capacity", "used", "remaining", "blocks", "failed_volumes")
_STORED: Final = ("entity", "name", "admin", *_SIZES, "version", "info")
_TIME = pa.timestamp("us", "UTC")

STATE: Final = pa.schema(
    [
        ("namenode", pa.string()),
        ("polled_at", _TIME),
        ("role", pa.string()),
        ("state", pa.map_(pa.string(), pa.float64())),
        ("safe_mode", pa.string()),
        ("absent", pa.list_(pa.string())),
        ("note", pa.string()),
    ]
)
DATANODES: Final = pa.schema(
    [
        *((name, pa.string()) for name in ("namenode", "entity")),
        ("polled_at", _TIME),
        *((name, pa.string()) for name in ("name", "state", "admin")),
        ("heard_at", _TIME),
        *((name, pa.float64()) for name in _SIZES),
        *((name, pa.string()) for name in ("version", "info")),
    ]
)
METRICS: Final = pa.schema(
    [
        ("entity", pa.string()),
        ("polled_at", _TIME),
        ("metrics", pa.map_(pa.string(), pa.float64())),
        ("note", pa.string()),
    ]
)
ALIASES: Final = pa.schema([(name, pa.string()) for name in ("alias", "entity", "domain")])


@dataclass
class StateRows:
    """What waits to be stored of the state of HDFS, by table; of `anomalies` the later row of an item counts."""

    state: list[pa.Table] = field(default_factory=list)
    datanodes: list[pa.Table] = field(default_factory=list)
    metrics: list[pa.Table] = field(default_factory=list)
    aliases: list[pa.Table] = field(default_factory=list)
    anomalies: list[pa.Table] = field(default_factory=list)

    def and_then(self, later: "StateRows") -> "StateRows":
        """These rows, and then later ones."""
        return StateRows(*(getattr(self, name) + getattr(later, name) for name in vars(self)))

    def cut(self, most: int) -> None:
        """Keep the latest polls; anomalies and aliases are few, and must not be lost."""
        for rows in (self.state, self.datanodes, self.metrics):
            del rows[:-most]

    def publish(self, con: Connection) -> None:
        """Put them into the store."""
        publish_into(con, "hdfs_state", pa.concat_tables([STATE.empty_table(), *self.state]))
        publish_into(con, "datanode_state", pa.concat_tables([DATANODES.empty_table(), *self.datanodes]))
        publish_into(con, "datanode_metrics", pa.concat_tables([METRICS.empty_table(), *self.metrics]))
        names = {row["alias"]: row for table in self.aliases for row in table.to_pylist()}
        if names:
            same = f"domain = '{DOMAIN}' AND alias IN (SELECT alias FROM publish_source)"
            publish_into(con, "entities", pa.Table.from_pylist(list(names.values()), ALIASES), replace=same)
        items = {row["item"]: row for table in self.anomalies for row in table.to_pylist()}
        publish_episodes(con, pa.Table.from_pylist(list(items.values()), ANOMALIES))


STATE_TABLES: Final = ("hdfs_state", "datanode_state", "datanode_metrics")
"""What polls said of the state of HDFS and of its DataNodes; `namenode_state_days` says for how long it is kept."""


def old_state(con: Connection, before: datetime) -> dict[str, int]:
    """How many rows of each table `forget_state` would delete."""
    count = "SELECT count(*) FROM {} WHERE polled_at < ?"
    return {table: con.execute(count.format(table), [before]).fetchall()[0][0] for table in STATE_TABLES}


def forget_state(con: Connection, before: datetime) -> None:
    """Delete what was polled before a time."""
    for table in STATE_TABLES:
        con.execute(f"DELETE FROM {table} WHERE polled_at < ?", [before])


@dataclass
class _Known:
    """A DataNode as it was last listed: when, by which process, the row that was stored last, and when that was."""

    node: DataNode
    listed: datetime
    process: str = ""
    stored: tuple[Any, ...] = ()
    stored_at: datetime | None = None
    lacking: float = float("inf")
    progress: datetime | None = None  # when fewer blocks than ever were lacking


class StateWatch:
    """The state of HDFS over the polls of one NameNode, in their order.

    `pasts` are shared by the watches of several NameNodes: what was usual of each block pool. It stays what it was when
    another NameNode of the pool becomes active.
    """

    def __init__(self, namenode: str, settings: Settings, pasts: dict[str, Past] | None = None) -> None:
        self.namenode = namenode
        self.state: HdfsState | None = None  # of the last poll that had one, if the NameNode spoke for HDFS
        self.speaks = False
        self._settings = settings
        self._episodes = Episodes(namenode, settings)
        self._past = Past()
        self._pasts = {} if pasts is None else pasts
        self._known: dict[str, _Known] = {}
        self._aliases: dict[str, str] = {}
        self._paths: dict[str, tuple[str, ...]] = {}  # failed volumes of DataNodes, by their own /jmx

    @property
    def block_pool(self) -> str:
        """The namespace that it last named, '' for none; of earlier processes that of what is open."""
        return self._episodes.block_pool

    def resume(self, con: Connection, now: datetime) -> None:
        """Go on from what the store has: open episodes, what was usual, and the DataNodes of the last day."""
        self._episodes = Episodes(self.namenode, self._settings)
        self._episodes.resume(con)
        self._past = Past.stored(con, self.namenode, now)
        self._known = {
            entity: _Known(DataNode(entity, name, state, admin, info), listed.astimezone(UTC))
            for entity, name, state, admin, info, listed in con.execute(
                """SELECT entity, arg_max(name, polled_at), arg_max(state, polled_at) AS seen_as,
                arg_max(admin, polled_at), arg_max(info, polled_at), max(polled_at)
                FROM datanode_state WHERE namenode = ? AND polled_at > ? GROUP BY entity HAVING seen_as <> ?""",
                [self.namenode, now - _REMEMBERED, REMOVED],
            ).fetchall()
        }

    def add(self, document: Document, role: str, at: datetime) -> StateRows:
        """Take in the document of a poll. What it is made into waits in the rows that are returned."""
        state = read_state(document, self._settings.namenode_stale_s)
        self.speaks = role in SPEAKING
        self.state = state if self.speaks else None
        self._share_past(state.block_pool)
        rows = StateRows(state=[_table([self._row(state, role, at)], STATE)])
        if role != STARTING:
            self._judge_namenode(state, at)
        if role not in (*SPEAKING, STARTING):
            why = f"{self.namenode} is {role}: another NameNode speaks for HDFS"
            self._episodes.close_all_but("namenode", why)
        elif self.speaks:
            self._judge_hdfs(state, at)
            self._episodes.expire("datanode_jmx", at)  # a DataNode that has died tells nothing any more
            if state.datanodes is not None:
                rows.datanodes = [_table(list(self._judge_datanodes(state, at)), DATANODES)]
                rows.aliases = [_table(list(self._new_aliases(state.aliases)), ALIASES)]
        rows.anomalies = [self._changed(at)]
        return rows

    def taken_over(self, by: str, at: datetime) -> StateRows:
        """Take in that another NameNode speaks for HDFS, while this one does not say whether it still does."""
        self.speaks, self.state = False, None
        self._episodes.close_all_but("namenode", f"{by} is active: it speaks for HDFS")
        return StateRows(anomalies=[self._changed(at)])

    def unanswered(self, at: datetime, polls: int, why: str) -> StateRows:
        """Take in a poll that gave no state, the so manyth in a row, and why. What was open stays so."""
        figures: Figures = {"polls_without_answer": float(polls), "why": why}
        rules = [rule for rule in rules_about("namenode") if rule.when[0].startswith("polls_without_answer")]
        self._episodes.judge(self.namenode, rules, figures, at)
        return StateRows(anomalies=[self._changed(at)])

    def add_datanode(self, sample: DataNodeSample) -> StateRows:
        """Take in what a DataNode's own /jmx said. One that was asked at its host name has its NameNode's name here."""
        sample = replace(sample, entity=self._aliases.get(sample.entity, sample.entity))
        row = {
            "entity": sample.entity,
            "polled_at": sample.at,
            "metrics": list(sample.values.items()),
            "note": sample.note,
        }
        aliases = {name: sample.entity for name in sample.names if name != sample.entity}
        if sample.answered:
            self._paths[sample.entity] = sample.failed_volumes
            name = self._known[sample.entity].node.name if sample.entity in self._known else sample.entity
            figures = sample.figures(self._settings.namenode_full_percent) | {"name": name}
            self._episodes.judge(sample.entity, rules_about("datanode_jmx"), figures, sample.at)
        return StateRows(
            metrics=[_table([row], METRICS)],
            aliases=[_table(list(self._new_aliases(aliases)), ALIASES)],
            anomalies=[self._changed(sample.at)],
        )

    def _share_past(self, block_pool: str) -> None:
        if not block_pool:
            return
        if self.block_pool not in ("", block_pool):  # another HDFS has this address now
            self._past = Past()
        self._episodes.block_pool = block_pool
        shared = self._pasts.setdefault(block_pool, self._past)
        if shared is not self._past:
            shared.join(self._past)
            self._past = shared

    def _changed(self, at: datetime) -> pa.Table:
        self._episodes.forget(at)
        return self._episodes.rows(at)

    def _row(self, state: HdfsState, role: str, at: datetime) -> dict[str, Any]:
        notes = {
            "journals out of use": state.failed_journals,
            "folders failed": state.failed_folders,
            "slow peers": tuple(state.slow_peers),
            "slow disks": tuple(state.slow_disks),
        }
        return {
            "namenode": self.namenode,
            "polled_at": at,
            "role": role,
            "state": list(state.values.items()),
            "safe_mode": state.safe_mode,
            "absent": list(state.absent),
            "note": "; ".join(f"{what}: {shortened(names)}" for what, names in notes.items() if names),
        }

    def _judge_namenode(self, state: HdfsState, at: datetime) -> None:
        figures: dict[str, float | str | None] = {
            "polls_without_answer": 0.0,
            "safe_mode": None if state.safe_mode is None else float(bool(state.safe_mode)),
            "safe_mode_text": state.safe_mode or "",
            "failed_journals": None if "journals" in state.absent else float(len(state.failed_journals)),
            "failed_journal_names": shortened(state.failed_journals),
            "failed_folders": None if "name_folders" in state.absent else float(len(state.failed_folders)),
            "failed_folder_names": shortened(state.failed_folders),
        }
        self._episodes.judge(self.namenode, rules_about("namenode"), known_figures(figures), at)

    def _judge_hdfs(self, state: HdfsState, at: datetime) -> None:
        values = dict(state.values)
        if state.safe_mode:
            values = {name: value for name, value in values.items() if value or name not in _BLOCKS}
        usual = {f"usual_{name}": self._usual(name, at) for name in USUAL_OF}
        total, free = values.get("capacity_total"), values.get("capacity_remaining")
        share = free / total if total and free is not None else None
        checkpoint, under = values.get("checkpoint_ms"), values.get("under_replicated")
        now = (state.clock or at).timestamp()  # by the clock that the checkpoint's time is of
        nodes = (state.datanodes or {}).values()
        told = any(node.failed_volumes is not None for node in nodes)
        days = None if share is None else self._past.days_to_full(share)
        figures = {
            **values,
            **usual,
            "over_usual_under_replicated": None if under is None else under - usual["usual_under_replicated"],
            "full_percent": None if share is None else 100 * (1 - share),
            "days_to_full": float("inf") if days is None and share is not None else days,
            "checkpoint_hours": (now - checkpoint / 1000) / 3600 if checkpoint else None,
            "untold_failed_volumes": 0.0 if told else values.get("failed_volumes"),
        }
        held = usual.keys()
        self._episodes.judge(self.namenode, rules_about("hdfs"), known_figures(figures), at, held)
        if not state.safe_mode:
            troubled = {name for name, kind in USUAL_OF.items() if self._episodes.open(self.namenode, kind)}
            quiet = {name: None if name in troubled else values.get(name) for name in USUAL_OF}
            self._past.add(at, {**quiet, "free": share})

    def _usual(self, name: str, at: datetime) -> float:
        """What is usual of a figure; while it is in trouble, what was usual when that began."""
        episode = self._episodes.open(self.namenode, USUAL_OF[name])
        held = None if episode is None else episode.held.get(f"usual_{name}")
        return float(held) if isinstance(held, int | float) else self._past.usual(name, at)

    def _judge_datanodes(self, state: HdfsState, at: datetime) -> Iterator[dict[str, Any]]:
        """Judge each DataNode; the rows of those that have changed, or were not stored for a while."""
        listed = state.datanodes or {}
        for entity, node in listed.items():
            known = self._known.setdefault(entity, _Known(node, at))
            known.node, known.listed, known.process = node, at, state.process
            self._episodes.judge(entity, rules_about("datanode"), self._figures(state, known, at), at)
            yield from self._to_store(known, node.state, at)
        yield from self._judge_unlisted(state, at)
        for entity in (state.slow_peers.keys() | state.slow_disks.keys()) - listed.keys():
            own = known_figures({**_slow(state, entity), "name": entity})
            self._episodes.judge(entity, rules_about("datanode"), own, at)

    def _judge_unlisted(self, state: HdfsState, at: datetime) -> Iterator[dict[str, Any]]:
        """Judge DataNodes that the NameNode has forgotten, as it does when it is started anew: they are not back yet.

        A NameNode that has been running since then took it off its list itself: it has another address now, or people
        removed it. That one, and one that was out of service or has its name on another address, is forgotten here too.
        """
        listed = state.datanodes or {}
        names = {node.name for node in listed.values()}
        for entity, known in [(entity, known) for entity, known in self._known.items() if entity not in listed]:
            away, up = at - known.listed, state.up(at)
            removed = up > away if up is not None else known.process == state.process != ""
            if removed or away > _REMEMBERED or known.node.name in names or not known.node.at_work:
                self._episodes.close(entity, "the NameNode no longer lists it")
                yield from self._to_store(known, REMOVED, at)
                del self._known[entity]
            elif not state.safe_mode and (away >= _GONE_AFTER or self._episodes.open(entity, "dead DataNode")):
                figures: Figures = {
                    "is_dead": 1.0,
                    "is_stale": 0.0,
                    "silent_s": away.total_seconds() + (known.node.silent_s or 0.0),
                    "seen_as": f"no longer lists {known.node.name}",
                }
                self._episodes.judge(entity, rules_about("datanode"), figures, at)
                yield from self._to_store(known, GONE, at)

    def _figures(self, state: HdfsState, known: _Known, at: datetime) -> Figures:
        node = known.node
        paths = self._paths.get(node.entity, ())
        watched = not node.admin.lower().startswith(("decommissioned", "in maintenance"))
        figures: dict[str, float | str | None] = {
            "name": node.name,
            "seen_as": f"counts {node.name} as dead",
            "is_dead": float(node.state == DEAD and node.at_work),
            "is_stale": float(node.state == STALE and watched),
            "silent_s": node.silent_s,
            "failed_volumes": node.failed_volumes,
            "failed_paths": f": {shortened(paths)}" if paths else "",
            "full_percent": node.full_percent if node.state != DEAD else None,
            "remaining": node.remaining,
            "stuck_hours": self._stuck_hours(known, at),
            "lacking": node.lacking,
            **_slow(state, node.entity),
        }
        return known_figures(figures)

    def _stuck_hours(self, known: _Known, at: datetime) -> float:
        """Hours for which no block of a DataNode that is being emptied got enough replicas elsewhere."""
        lacking = known.node.lacking
        if lacking is None or not lacking:
            known.lacking, known.progress = float("inf"), None
            return 0.0
        if known.progress is None or lacking < known.lacking:
            known.lacking, known.progress = lacking, at
        return (at - known.progress).total_seconds() / 3600

    def _to_store(self, known: _Known, state: str, at: datetime) -> Iterator[dict[str, Any]]:
        node = known.node
        now = (node.name, state, node.admin, node.failed_volumes, node.version, node.info)
        if now == known.stored and known.stored_at is not None and at - known.stored_at < _AGAIN:
            return
        known.stored, known.stored_at = now, at
        unheard = node.silent_s is None or not 0 <= node.silent_s < NEVER_S
        heard = None if unheard else known.listed - timedelta(seconds=node.silent_s or 0.0)
        yield {name: getattr(node, name) for name in _STORED} | {
            "namenode": self.namenode,
            "polled_at": at,
            "state": state,
            "heard_at": heard,
        }

    def _new_aliases(self, aliases: dict[str, str]) -> Iterator[dict[str, str]]:
        for alias, entity in aliases.items():
            if self._aliases.get(alias) != entity:
                self._aliases[alias] = entity
                yield {"alias": alias, "entity": entity, "domain": DOMAIN}


def _slow(state: HdfsState, entity: str) -> dict[str, float | str | None]:
    """What the NameNode's reports of slow peers and disks say of a DataNode, as far as the cluster measures them."""
    disks = state.slow_disks.get(entity, ())
    return {
        "slow_peer_reports": None if "slow_peers" in state.absent else float(state.slow_peers.get(entity, 0)),
        "slow_disks": None if "slow_disks" in state.absent else float(len(disks)),
        "slow_disk_paths": shortened(disks),
    }


def _table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(rows, schema)
