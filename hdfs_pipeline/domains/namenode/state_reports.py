"""Answers about the state of HDFS for the console, the pages and Dagster: plain JSON values, times in ISO 8601."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hdfs_pipeline.domains.namenode.episodes import DETECTOR, OPEN
from hdfs_pipeline.domains.namenode.state import DEAD, LIVE, PARTS, STALE, VALUES
from hdfs_pipeline.domains.namenode.watch import GONE, REMOVED
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.severity import SEVERITIES
from hdfs_pipeline.store.store import Connection, Store, dicts

UNSEEN: Final = (
    "Replicas that are corrupt on disk and that nobody has read: with all replicas of 26 blocks corrupt, a NameNode of "
    "Hadoop 3.4.2 counted no missing and no corrupt block, and no log told of it. The volume scanner of the DataNodes "
    "finds them (dfs.datanode.scan.period.hours, three weeks by default, and "
    "dfs.block.scanner.volume.bytes.per.second); BlocksVerified and BlockVerificationFailures of a DataNode's /jmx say "
    "what it has looked at and found, and then `hdfs fsck / -list-corruptfileblocks` names the files.",
    "CPU that a host does not give: no bean holds its CPU steal. GcTotalExtraSleepTime (ms by which the process "
    "overslept) and the RPC queue time beside the processing time hint at it; the host's own "
    'node_cpu_seconds_total{mode="steal"} and its load show it. (java.lang:type=OperatingSystem has SystemCpuLoad and '
    "SystemLoadAverage; it is in the whole document only, which is not polled.)",
)
"""What neither the NameNode's nor, unless its scanner was there, a DataNode's /jmx shows."""

CHARTED: Final = ("missing", "corrupt", "under_replicated", "live", "dead", "stale", "capacity_remaining")
_GRAVEST: Final = (DEAD, GONE, STALE, LIVE)
_POINTS: Final = 600

_LATEST: Final = """SELECT namenode, max(polled_at), arg_max(role, polled_at) AS own FROM hdfs_state GROUP BY namenode
    ORDER BY own = 'active' DESC, max(polled_at) DESC"""
_STATE: Final = """SELECT polled_at, role, state, safe_mode, absent, note FROM hdfs_state WHERE namenode = ?
    ORDER BY polled_at DESC LIMIT 1"""
_NODES: Final = f"""SELECT * EXCLUDE (namenode) FROM datanode_state WHERE namenode = $1 AND polled_at > $2
    QUALIFY row_number() OVER (PARTITION BY entity ORDER BY polled_at DESC) = 1 AND state <> '{REMOVED}'
    ORDER BY entity"""
_METRICS: Final = """SELECT entity, polled_at, metrics, note FROM datanode_metrics WHERE polled_at > ?
    QUALIFY row_number() OVER (PARTITION BY entity ORDER BY polled_at DESC) = 1"""
_TROUBLES: Final = f"""SELECT entity, kind, reason, first_time, last_time, explanation FROM anomalies
    WHERE domain = 'namenode' AND detector = '{DETECTOR}' AND status = '{OPEN}' ORDER BY first_time, entity"""
_SERIES: Final = """SELECT to_timestamp(floor(epoch(polled_at) / $step) * $step) AS moment, {} FROM hdfs_state
    WHERE namenode = $namenode AND polled_at >= $start AND polled_at < $end GROUP BY moment ORDER BY moment"""


def state_report(store: Store, namenode: str | None = None) -> dict[str, Any]:
    """The state of HDFS at the last poll, by default of the NameNode that was active then.

    `state` by name with unit, meaning and value; `absent` says where each lacking figure would be; `datanodes` with
    those in trouble first; `troubles` are open, the gravest first; `unseen` is what cannot be seen from here.
    Raises: DataError where nothing was polled.
    """
    if not store.path.exists():
        raise DataError(_NONE)
    with store.read() as con:
        known = [str(row[0]) for row in con.execute(_LATEST).fetchall()]
        if not known:
            raise DataError(_NONE)
        if namenode is not None and namenode not in known:
            raise DataError(f"no state of {namenode}; there is that of {', '.join(known)}")
        name = namenode or known[0]
        at, role, state, safe_mode, absent, note = con.execute(_STATE, [name]).fetchall()[0]
        troubles = _troubles(con, name)
        nodes = _nodes(con, name, at, {each["entity"] for each in troubles})
    places = {value.name: ", ".join(value.places) for value in VALUES} | PARTS
    return {
        "namenode": name,
        "polled_at": _iso(at),
        "role": role,
        "safe_mode": safe_mode,
        "note": note,
        "state": {
            value.name: {"value": state[value.name], "unit": value.unit, "about": value.about}
            for value in VALUES
            if value.name in state
        },
        "absent": [{"name": each, "looked_for": places.get(each, "")} for each in absent or []],
        "troubles": troubles,
        "datanodes": nodes,
        "replicas_verified": _verified(nodes),
        "unseen": list(UNSEEN),
    }


def state_series(
    store: Store, namenode: str | None = None, start: datetime | None = None, end: datetime | None = None
) -> dict[str, Any]:
    """Figures of CHARTED over time, by default in the last day: the worst of each of at most 600 steps.

    Raises: DataError where nothing was polled.
    """
    name = state_report(store, namenode)["namenode"]
    until = end or datetime.now(UTC)
    since = start or until - timedelta(days=1)
    step = max((until - since).total_seconds() / _POINTS, 1.0)
    worst = {"live": "min", "capacity_remaining": "min"}
    columns = ", ".join(f"{worst.get(figure, 'max')}(state['{figure}'])" for figure in CHARTED)
    about = {"step": step, "namenode": name, "start": since, "end": until}
    with store.read() as con:
        rows = con.execute(_SERIES.format(columns), about).fetchall()
    return {
        "namenode": name,
        "step_s": step,
        "times": [_iso(row[0]) for row in rows],
        "values": {figure: [row[place] for row in rows] for place, figure in enumerate(CHARTED, start=1)},
    }


_NONE: Final = "no NameNode was polled yet: hdfs-pipeline collect http://host:9870"


def _troubles(con: Connection, namenode: str) -> list[dict[str, Any]]:
    troubles = []
    for entity, kind, reason, first, last, text in con.execute(_TROUBLES).fetchall():
        about = json.loads(text)
        if about.get("namenode") == namenode:
            troubles.append(
                {
                    "entity": entity,
                    "kind": kind,
                    "severity": about["severity"],
                    "reason": reason,
                    "since": _iso(first),
                    "seen_at": _iso(last),
                    "hint": about["hint"],
                    "why": about["why"],
                }
            )
    return sorted(troubles, key=lambda each: -SEVERITIES.index(each["severity"]))


def _nodes(con: Connection, namenode: str, at: datetime, troubled: set[str]) -> list[dict[str, Any]]:
    nodes = dicts(con, _NODES, [namenode, at - timedelta(days=1)])
    own = {row[0]: row[1:] for row in con.execute(_METRICS, [at - timedelta(hours=1)]).fetchall()}
    for node in nodes:
        polled, metrics, note = own.get(node["entity"], (None, {}, ""))
        node |= {name: _iso(node[name]) for name in ("polled_at", "heard_at")}
        node |= {"in_trouble": node["entity"] in troubled, "metrics": metrics, "metrics_note": note}
        node["metrics_at"] = _iso(polled)
    return sorted(nodes, key=lambda node: (not node["in_trouble"], _GRAVEST.index(node["state"]), node["entity"]))


def _verified(nodes: list[dict[str, Any]]) -> int | None:
    """Replicas that the volume scanners have looked at since the DataNodes were started; None where none tells."""
    counts = [node["metrics"]["blocks_verified"] for node in nodes if "blocks_verified" in node["metrics"]]
    return int(sum(counts)) if counts else None


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds")
