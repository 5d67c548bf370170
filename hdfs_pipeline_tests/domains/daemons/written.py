"""Logs of a NameNode and two DataNodes with real messages of Hadoop, quiet but for what a test adds."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.following import read_for_all
from hdfs_pipeline_tests.homes import BLOCKS, Home

DAEMONS = domain_named("daemons")
BEGIN = datetime(2026, 11, 20, 22, tzinfo=UTC)
NN, DN1, DN2 = "hadoop-hdfs-namenode-nn1.log", "hadoop-hdfs-datanode-dn1.log", "hadoop-hdfs-datanode-dn2.log"
ADDRESSES = {DN1: "10.0.0.1:9866", DN2: "10.0.0.2:9866"}
_NAMENODE = "org.apache.hadoop.hdfs.server.namenode"
_DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"

Line = tuple[float, str, str]
"""Seconds after `BEGIN`, and level and logger, and the message with its further lines."""


def line(at: float, text: str, level: str = "INFO", logger: str = "a.b.C") -> Line:
    """A record as log4j writes it."""
    return at, f"{level} {logger}", text


def usual(file: str, minute: int) -> list[Line]:
    """What a daemon writes in a quiet minute."""
    at = minute * 60.0
    if file == NN:
        edits = (
            "Number of transactions: 7 Total time for transactions(ms): 3 Number of transactions batched in Syncs: 1"
        )
        return [
            line(at + 5, f"{edits} Number of syncs: 6 SyncTimes(ms): 12 ", logger=f"{_NAMENODE}.FSEditLog"),
            line(at + 6, f"BLOCK* allocate blk_{1073741825 + minute}_1001, replicas=10.0.0.1:9866 for /f"),
        ]
    block = f"BP-1-10.0.0.9-1:blk_{1073741825 + minute}_1001"
    received = f"Receiving {block} src: /10.0.0.3:4711 dest: /{ADDRESSES[file]}"
    return [
        line(at + 6.5, received, logger=_DATANODE),
        line(at + 9, "VolumeScanner(/d1, DS-1): no suitable block pools found to scan.  Waiting 1814400000 ms."),
    ]


def write(folder: Path, minutes: Sequence[int], further: Mapping[str, Sequence[Line]] | None = None) -> list[Path]:
    """Write the logs of some minutes, with further records, each file in the order of time."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for file in (NN, DN1, DN2):
        lines = [each for minute in minutes for each in usual(file, minute)] + list((further or {}).get(file, ()))
        text = "".join(f"{_stamp(at)} {head}: {message}\n" for at, head, message in sorted(lines))
        paths.append(folder / file)
        paths[-1].write_text(text)
    return paths


def read(home: Home, paths: Sequence[Path]) -> None:
    """Read logs into a home, and bring the daemons' minutes up to date."""
    read_for_all(home.store, home.settings, BLOCKS, [str(path) for path in paths], propose=False)


def _stamp(at: float) -> str:
    return (BEGIN + timedelta(seconds=at)).strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]


TROUBLE: dict[str, list[Line]] = {
    DN1: [
        line(
            150 * 60 + 20.0,
            "Detected pause in JVM or host machine (eg GC): pause of approximately 20422ms\n"
            "GC pool 'PS MarkSweep' had collection(s): count=1 time=20301ms",
            "WARN",
            "org.apache.hadoop.util.JvmPauseMonitor",
        )
    ],
    NN: [
        line(170 * 60 + 1.5, "BLOCK* removeDeadDatanode: lost heartbeat from 10.0.0.2:9866", logger="o.a.h.StateChange")
    ],
}
"""A pause of a DataNode, and the loss of the other one."""
