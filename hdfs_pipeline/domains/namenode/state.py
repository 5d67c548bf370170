"""The state of HDFS in one `/jmx` document of a NameNode: blocks, DataNodes, capacity, safe mode, checkpoint, journals.

An MXBean is fresh at every poll, a metrics bean is up to 10 s old and more: of two places with the same meaning the
fresh one comes first. Measured on Hadoop 3.4.2: a block that NameNodeInfo calls missing was missing in FSNamesystem
8 s later. What a document does not hold is absent, and said to be so; it never becomes a zero.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hdfs_pipeline.domains.namenode.process import Document, beans_of, number, plain_name

STALE, DEAD, LIVE = "stale", "dead", "live"
_LEAST_SILENT_S: Final = 3.0
"""A DataNode that was heard from within its default heartbeat interval is not stale, whatever a count says: for some
seconds NumStaleDataNodes still counts nodes that have died."""
_LAST_MS: Final = 4e12  # since 1970: the year 2096
_NAMED: Final = 5  # of what has failed, in words


@dataclass(frozen=True)
class Value:
    """A figure of the state of HDFS: its unit, what it is, and where it may be found.

    `places` are tried in order; each is `bean.attribute`, or several of them with `+` between that must all be there.
    """

    name: str
    unit: str
    about: str
    places: tuple[str, ...]


_STATE, _INFO, _SYSTEM = "FSNamesystemState", "NameNodeInfo", "FSNamesystem"


def _either(*attributes: str) -> tuple[str, ...]:
    """Attributes of FSNamesystemState, which is fresh, and then of FSNamesystem, each in the order of the names."""
    return tuple(f"{bean}.{attribute}" for bean in (_STATE, _SYSTEM) for attribute in attributes)


VALUES: Final[tuple[Value, ...]] = (
    Value("missing", "blocks", "blocks of which no DataNode that is alive has a good replica",
          (f"{_INFO}.NumberOfMissingBlocks", f"{_SYSTEM}.MissingBlocks")),
    Value("missing_one", "blocks", "those of them that were kept once only (replication factor 1)",
          (f"{_INFO}.NumberOfMissingBlocksWithReplicationFactorOne", f"{_SYSTEM}.MissingReplOneBlocks",
           f"{_SYSTEM}.MissingReplicationOneBlocks")),
    Value("corrupt", "blocks", "blocks with a replica that is known to be corrupt",
          ("ReplicatedBlocksState.CorruptReplicatedBlocks+ECBlockGroupsState.CorruptECBlockGroups",
           f"{_SYSTEM}.CorruptBlocks")),
    Value("under_replicated", "blocks", "blocks with fewer replicas than they should have",
          _either("LowRedundancyBlocks", "UnderReplicatedBlocks")),
    Value("last_replica", "blocks", "those of them that have a single replica left; from Hadoop 3",
          (f"{_INFO}.HighestPriorityLowRedundancyReplicatedBlocks+{_INFO}.HighestPriorityLowRedundancyECBlocks",
           f"{_SYSTEM}.HighestPriorityLowRedundancyReplicatedBlocks")),
    Value("pending_reconstruction", "blocks", "blocks that are being replicated",
          _either("PendingReconstructionBlocks", "PendingReplicationBlocks")),
    Value("pending_deletion", "blocks", "replicas that are to be deleted", _either("PendingDeletionBlocks")),
    Value("timed_out_reconstructions", "blocks", "replications that were given up, since the start; from Hadoop 3",
          (f"{_SYSTEM}.NumTimedOutPendingReconstructions",)),
    Value("postponed", "blocks", "blocks whose surplus replicas wait until all DataNodes have reported",
          (f"{_SYSTEM}.PostponedMisreplicatedBlocks",)),
    Value("blocks", "blocks", "all blocks",
          (f"{_STATE}.BlocksTotal", f"{_INFO}.TotalBlocks", f"{_SYSTEM}.BlocksTotal")),
    Value("files", "files", "files and folders", (*_either("FilesTotal"), f"{_INFO}.TotalFiles")),
    Value("live", "DataNodes", "DataNodes that are alive", _either("NumLiveDataNodes")),
    Value("dead", "DataNodes", "DataNodes that are dead", _either("NumDeadDataNodes")),
    Value("stale", "DataNodes", "DataNodes that were not heard from for a while",
          (f"{_STATE}.NumStaleDataNodes", f"{_SYSTEM}.StaleDataNodes")),
    Value("decommissioning", "DataNodes", "DataNodes that are being emptied", _either("NumDecommissioningDataNodes")),
    Value("decommissioned", "DataNodes", "DataNodes that are alive and have been emptied",
          _either("NumDecomLiveDataNodes")),
    Value("in_maintenance", "DataNodes", "DataNodes in maintenance; from Hadoop 3",
          _either("NumInMaintenanceLiveDataNodes")),
    Value("failed_volumes", "volumes", "volumes that have failed, on all DataNodes", _either("VolumeFailuresTotal")),
    Value("capacity_total", "bytes", "capacity of all DataNodes",
          (f"{_STATE}.CapacityTotal", f"{_INFO}.Total", f"{_SYSTEM}.CapacityTotal")),
    Value("capacity_used", "bytes", "used by HDFS",
          (f"{_STATE}.CapacityUsed", f"{_INFO}.Used", f"{_SYSTEM}.CapacityUsed")),
    Value("capacity_remaining", "bytes", "free for HDFS",
          (f"{_STATE}.CapacityRemaining", f"{_INFO}.Free", f"{_SYSTEM}.CapacityRemaining")),
    Value("checkpoint_ms", "ms", "time of the last checkpoint, since 1970", (f"{_SYSTEM}.LastCheckpointTime",)),
    Value("checkpoint_transactions", "transactions", "transactions since the last checkpoint",
          (f"{_SYSTEM}.TransactionsSinceLastCheckpoint",)),
    Value("last_transaction", "transactions", "number of the last transaction written or read",
          (f"{_SYSTEM}.LastWrittenTransactionId",)),
)  # fmt: skip
"""The figures of the state, and where Hadoop 2.7 to 3.5 has them."""

PARTS: Final = {
    "safe_mode": f"{_INFO}.Safemode, {_STATE}.FSState",
    "datanodes": f"{_INFO}.LiveNodes, {_INFO}.DeadNodes",
    "journals": f"{_INFO}.NameJournalStatus",
    "name_folders": f"{_INFO}.NameDirStatuses",
    "slow_peers": "NameNodeStatus.SlowPeersReport",
    "slow_disks": "NameNodeStatus.SlowDisksReport",
}
"""What else the state has, and where it is found; from Hadoop 3 the last two, where the cluster measures them."""


@dataclass(frozen=True)
class DataNode:
    """A DataNode as its NameNode sees it.

    `entity` is its transfer address, `name` the NameNode's key for it, `info` the address of its web server and
    `secure` whether that speaks TLS. `state` is LIVE, STALE or DEAD; `silent_s` the seconds since its last heartbeat.
    Sizes in bytes. `lacking` counts blocks that have too few replicas beside those of a DataNode that is emptied. What
    the NameNode does not say is None, or ''.
    """

    entity: str
    name: str
    state: str
    admin: str = ""
    info: str = ""
    secure: bool = False
    silent_s: float | None = None
    capacity: float | None = None
    used: float | None = None
    remaining: float | None = None
    blocks: float | None = None
    failed_volumes: float | None = None
    lacking: float | None = None
    version: str = ""

    @property
    def at_work(self) -> bool:
        """Whether nobody has taken it out of service."""
        return self.admin.lower() in ("", "in service")

    @property
    def full_percent(self) -> float | None:
        """Percent of its capacity that is not free."""
        if not self.capacity or self.remaining is None:
            return None
        return 100 * (1 - self.remaining / self.capacity)


@dataclass(frozen=True)
class HdfsState:
    """The state of HDFS at one poll.

    `values` are those of VALUES that the document holds, `absent` the names of the others and of PARTS that it lacks.
    `datanodes` by entity; None where the document does not list them. `safe_mode` is why it is on, '' while it is off,
    None where that is unknown. `clock` is the NameNode's own, where it tells the time, and `started` when its process
    began by that clock; `process` tells one process from the next. `failed_journals` and `failed_folders` in words;
    `slow_peers` and `slow_disks` by DataNode: how many peers say so, and which volumes. `block_pool` is the namespace:
    that of an active NameNode and its standbys.
    """

    values: Mapping[str, float]
    absent: tuple[str, ...] = ()
    datanodes: Mapping[str, DataNode] | None = None
    safe_mode: str | None = None
    clock: datetime | None = None
    failed_journals: tuple[str, ...] = ()
    failed_folders: tuple[str, ...] = ()
    slow_peers: Mapping[str, int] = field(default_factory=dict)
    slow_disks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    started: datetime | None = None
    block_pool: str = ""
    process: str = ""

    def up(self, at: datetime) -> timedelta | None:
        """How long its process had been running when it was polled `at`; None where it does not say since when."""
        return None if self.started is None else (self.clock or at) - self.started

    @property
    def aliases(self) -> dict[str, str]:
        """The other names of its DataNodes, each with the entity; names that two of them share are left out."""
        return aliases_of(self.datanodes.values() if self.datanodes is not None else ())


def read_state(document: Document, stale_s: float) -> HdfsState:
    """The state in a NameNode's document. A DataNode is stale after `stale_s` seconds, or when the NameNode says so."""
    beans = dict(beans_of(document))
    values = {each.name: found for each in VALUES if (found := _value(beans, each)) is not None}
    info, status = beans.get(_INFO, {}), beans.get("NameNodeStatus", {})
    _complete(values, info)
    datanodes = _datanodes(info, values.get("stale"), stale_s)
    safe_mode = _safe_mode(info, beans.get(_STATE, {}))
    aliases = aliases_of(datanodes.values()) if datanodes is not None else {}
    absent = [each.name for each in VALUES if each.name not in values]
    lacking = {
        "safe_mode": safe_mode is None,
        "datanodes": datanodes is None,
        "journals": not isinstance(_json(info, "NameJournalStatus"), list),
        "name_folders": not isinstance(_json(info, "NameDirStatuses"), dict),
        "slow_peers": not isinstance(_json(status, "SlowPeersReport"), list),
        "slow_disks": not isinstance(_json(status, "SlowDisksReport"), list),
    }
    return HdfsState(
        values,
        (*absent, *(name for name in PARTS if lacking[name])),
        datanodes,
        safe_mode,
        _clock(beans.get(_STATE, {})),
        tuple(_failed_journals(_json(info, "NameJournalStatus"))),
        tuple(_failed_folders(_json(info, "NameDirStatuses"))),
        dict(_slow_peers(_json(status, "SlowPeersReport"), aliases)),
        dict(_slow_disks(_json(status, "SlowDisksReport"), aliases)),
        _started(info),
        _text(info.get("BlockPoolId")),
        plain_name(info.get("NNStartedTimeInMillis") or info.get("NNStarted") or ""),
    )


def aliases_of(datanodes: Any) -> dict[str, str]:
    """Other names of DataNodes: the NameNode's key, host names, the web server's address; ambiguous ones not."""
    owners: dict[str, set[str]] = {}
    for node in datanodes:
        names = {node.name, node.info, *(address.rpartition(":")[0] for address in (node.name, node.entity))}
        for name in names - {"", node.entity}:
            owners.setdefault(name, set()).add(node.entity)
    own = {node.entity for node in datanodes}
    return {name: next(iter(of)) for name, of in owners.items() if len(of) == 1 and name not in own}


def _value(beans: Mapping[str, Document], value: Value) -> float | None:
    for place in value.places:
        parts = [number(beans.get(bean, {}).get(attribute)) for bean, attribute in _attributes(place)]
        if all(part is not None for part in parts):
            return sum(part for part in parts if part is not None)
    return None


def _attributes(place: str) -> Iterator[tuple[str, str]]:
    for part in place.split("+"):
        bean, _, attribute = part.partition(".")
        yield bean, attribute


def _complete(values: dict[str, float], info: Document) -> None:
    """Take the transactions from JournalTransactionInfo, whose numbers are text, where no other bean tells them."""
    journal = _json(info, "JournalTransactionInfo")
    if not isinstance(journal, dict):
        return
    last, checkpoint = (_digits(journal.get(name)) for name in ("LastAppliedOrWrittenTxId", "MostRecentCheckpointTxId"))
    if last is not None:
        values.setdefault("last_transaction", last)
        if checkpoint is not None:
            values.setdefault("checkpoint_transactions", last - checkpoint)


def _digits(text: object) -> float | None:
    short = isinstance(text, str) and len(text) < 20 and text.isascii() and text.isdigit()
    return number(int(text)) if short else None  # type: ignore[call-overload]


def _json(bean: Document, attribute: str) -> Any:
    """What an attribute holds that is JSON in a string; None where it cannot be read."""
    text = bean.get(attribute)
    try:
        return json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return None


def _datanodes(info: Document, stale: float | None, stale_s: float) -> dict[str, DataNode] | None:
    live, dead = _json(info, "LiveNodes"), _json(info, "DeadNodes")
    if not isinstance(live, dict) or not isinstance(dead, dict):
        return None
    emptied = _json(info, "DecomNodes")
    nodes = [_datanode(name, row, LIVE) for name, row in live.items() if isinstance(row, dict)]
    nodes = _with_stale(nodes, stale, stale_s)
    nodes += [_datanode(name, row, DEAD) for name, row in dead.items() if isinstance(row, dict)]
    by_name = emptied if isinstance(emptied, dict) else {}
    return {node.entity: _emptied(node, by_name) for node in nodes}


def _datanode(name: str, row: Document, state: str) -> DataNode:
    figures = {
        "silent_s": "lastContact",
        "capacity": "capacity",
        "used": "used",
        "remaining": "remaining",
        "blocks": "numBlocks",
        "failed_volumes": "volfails",
    }
    name, address = plain_name(name), _address(row.get("xferaddr"))
    secure = not _address(row.get("infoAddr"))
    return DataNode(
        entity=address or name,
        name=name,
        state=state,
        admin="Decommissioned" if row.get("decommissioned") is True else _text(row.get("adminState")),
        info=_address(row.get("infoAddr")) or _address(row.get("infoSecureAddr")),
        secure=secure and bool(_address(row.get("infoSecureAddr"))),
        version=_text(row.get("version")),
        **{own: number(row.get(theirs)) for own, theirs in figures.items()},
    )


def _address(text: object) -> str:
    """A `host:port` with a port; '' for anything else: a port of 0 is none."""
    host, _, port = _text(text).rpartition(":")
    whole = port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 1 << 16
    return f"{host}:{port}" if host and whole else ""


def _text(value: object) -> str:
    return plain_name(value) if isinstance(value, str) else ""


def _with_stale(nodes: list[DataNode], stale: float | None, stale_s: float) -> list[DataNode]:
    """The DataNodes, the stale ones marked: as many as the NameNode counts, those that were silent for longest.

    The NameNode counts every five minutes only, unless it avoids stale ones when it writes: `stale_s` does not wait.
    """
    silent = sorted((node.silent_s or 0.0 for node in nodes), reverse=True)
    counted = int(min(max(stale or 0.0, 0.0), len(silent)))
    least = min(stale_s, max(_LEAST_SILENT_S, silent[counted - 1])) if counted else stale_s
    return [replace(node, state=STALE) if (node.silent_s or 0.0) >= least else node for node in nodes]


def _emptied(node: DataNode, by_name: Mapping[str, Any]) -> DataNode:
    row = by_name.get(node.name)
    return replace(node, lacking=number(row.get("underReplicatedBlocks"))) if isinstance(row, dict) else node


def _safe_mode(info: Document, state: Document) -> str | None:
    """Why safe mode is on, '' while it is off, None where nothing tells."""
    text, said = info.get("Safemode"), state.get("FSState")
    if isinstance(text, str):
        return plain_name(text.strip())
    return None if not isinstance(said, str) else "" if said == "Operational" else plain_name(said)


def _clock(state: Document) -> datetime | None:
    """When the NameNode was asked by its own clock, to the second: its word on who calls has a time."""
    calls = _json(state, "TopUserOpCounts")
    try:
        at = datetime.fromisoformat(calls["timestamp"]) if isinstance(calls, dict) else None
    except (KeyError, TypeError, ValueError):
        return None
    return at if at is not None and at.tzinfo is not None else None


def _started(info: Document) -> datetime | None:
    """When its process was started, by its own clock; from Hadoop 2.8."""
    ms = number(info.get("NNStartedTimeInMillis"))
    return datetime.fromtimestamp(ms / 1000, UTC) if ms is not None and 0 < ms < _LAST_MS else None


def _failed_journals(rows: Any) -> Iterator[str]:
    """Journals that are disabled, and JournalNodes that the NameNode has given up until the next segment."""
    for row in rows if isinstance(rows, list) else []:
        if not isinstance(row, dict):
            continue
        if str(row.get("disabled")).lower() == "true":
            yield plain_name(row.get("manager", "a journal"))
        stream = row.get("stream")
        for part in stream.split(")") if isinstance(stream, str) else []:
            if "will try to re-sync" in part or "Out of sync" in part:
                yield plain_name(part.strip(" ,\n("))


def _failed_folders(rows: Any) -> Iterator[str]:
    failed = rows.get("failed") if isinstance(rows, dict) else None
    yield from (plain_name(name) for name in (failed if isinstance(failed, dict) else {}))


def _slow_peers(rows: Any, aliases: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """By DataNode how many peers find it slow. A report names the address of the slow one's web server."""
    for row in rows if isinstance(rows, list) else []:
        name = _text(row.get("SlowNode")) if isinstance(row, dict) else ""
        lists = [value for value in row.values() if isinstance(value, list)] if name else []
        if name:
            yield aliases.get(name, name), max(map(len, lists), default=1)


def _slow_disks(rows: Any, aliases: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """By DataNode which of its volumes are slow. A report names the address of the DataNode's IPC server and a path."""
    disks: dict[str, list[str]] = {}
    for row in rows if isinstance(rows, list) else []:
        whole = _text(row.get("SlowDiskID")) if isinstance(row, dict) else ""
        host, _, rest = whole.partition(":")
        port, _, path = rest.partition(":")
        address = f"{host}:{port}" if port.isdigit() else host
        if whole:
            entity = aliases.get(address) or aliases.get(host) or address
            disks.setdefault(entity, []).append(path if port.isdigit() else rest)
    for entity, paths in disks.items():
        yield entity, tuple(paths)


def shortened(texts: tuple[str, ...]) -> str:
    """The first of some texts, and how many there are beside."""
    more = len(texts) - _NAMED
    return ", ".join(texts[:_NAMED]) + (f" and {more} more" if more > 0 else "")
