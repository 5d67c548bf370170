"""A real cluster of Hadoop 3.4.2: faults of a NameNode under load are found, and the state of HDFS is told.

Wants the runner `hdfs3/hdfs.sh` in the folder of shared tools and Java 11 or 17; skipped without. Thirteen minutes.
"""

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hdfs_pipeline.domains.namenode.collect import Collector, keep_polling
from hdfs_pipeline.domains.namenode.reports import list_incidents
from hdfs_pipeline.domains.namenode.series import the_namenode
from hdfs_pipeline.verdicts.live import update_incidents
from hdfs_pipeline_tests.domains.namenode.watched import learn, update
from hdfs_pipeline_tests.homes import Home

pytestmark = [pytest.mark.slow, pytest.mark.real_namenode]

RUNNER = Path(os.environ.get("HDFS_PIPELINE_SHARED", Path(__file__).parents[4] / "shared")) / "tools/hdfs3/hdfs.sh"
QUIET_POLLS, BETWEEN_POLLS, FAULT_S = 60, 9, 40
FAULTS = {
    "listing storm": ("fault", "storm", "12"),
    "process pause": ("pause",),
    "content-summary storm": ("fault", "du", "6"),
    "metadata churn": ("fault", "churn", "12"),
}


def free_base() -> int:
    """A number to add to all of Hadoop's ports, such that RPC and web port are free."""
    for base in range(23_000, 50_000, 500):
        with socket.socket() as rpc, socket.socket() as web:
            try:
                rpc.bind(("127.0.0.1", 8020 + base))
                web.bind(("127.0.0.1", 9870 + base))
            except OSError:
                continue
            return base
    pytest.skip("no free ports")


@dataclass(frozen=True)
class Cluster:
    folder: Path
    base: int

    def run(self, *arguments: str, wait: bool = True) -> subprocess.Popen[bytes]:
        command = ["bash", str(RUNNER), arguments[0], str(self.folder), *arguments[1:]]
        environment = os.environ | {"HDFS_PORT_BASE": str(self.base)}
        started = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if wait:
            assert started.wait(timeout=300) == 0, arguments
        return started


@pytest.fixture
def quiet_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A NameNode and three DataNodes that nobody uses."""
    if not RUNNER.is_file() or shutil.which("java") is None:
        pytest.skip(f"no {RUNNER.name} or no Java: set HDFS_PIPELINE_SHARED")
    found = Cluster(tmp_path / "cluster", free_base())
    found.run("start", "3")
    try:
        yield found
    finally:
        found.run("stop")


@pytest.fixture
def cluster(quiet_cluster: Cluster) -> Iterator[Cluster]:
    """The same under load."""
    quiet_cluster.run("fault", "prep", "8", "1")
    load = quiet_cluster.run("load", "4", "15", "1500", wait=False)
    try:
        yield quiet_cluster
    finally:
        load.terminate()
        load.wait(timeout=30)


def wait_until(holds: Callable[[], bool], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < deadline, "it took too long"
        pause.wait(0.5)


def test_faults_of_a_real_namenode_are_found(cluster: Cluster, home: Home) -> None:
    collector = Collector(home.settings, [f"http://127.0.0.1:{9870 + cluster.base}"])
    stop = threading.Event()
    polling = threading.Thread(
        target=keep_polling, args=(collector, home.settings.namenode_poll_s, stop, lambda *_: None), daemon=True
    )
    polling.start()

    def polls() -> int:
        return int(home.rows("SELECT count(*) FROM namenode_metrics")[0][0])

    def more(count: int) -> None:
        aim = polls() + count
        wait_until(lambda: polls() >= aim, 20 * count)

    injected = {}
    try:
        more(QUIET_POLLS)
        quiet_until = datetime.now(UTC)
        trained = learn(home, end=quiet_until)
        assert trained["serving"] == 1 and not [each for each in trained["findings"] if each["serious"]]
        for cause, arguments in FAULTS.items():
            begin = time.time()
            if arguments[0] == "pause":
                while time.time() < begin + FAULT_S:
                    cluster.run("pause", "namenode", "2")
            else:
                cluster.run(*arguments, str(FAULT_S))
            injected[cause] = (begin, time.time())
            more(BETWEEN_POLLS)
        update(home, the_namenode(home.store, None))
    finally:
        stop.set()
        polling.join(timeout=30)
        collector.close()
    incidents = list_incidents(home.store)
    spans = {
        each["started_at"]: tuple(datetime.fromisoformat(each[name]).timestamp() for name in ("started_at", "ended_at"))
        for each in incidents
    }
    for cause, (begin, end) in injected.items():
        mine = [each for each in incidents if begin - 5 <= spans[each["started_at"]][0] <= end + 30]
        assert mine, f"{cause} was not found among {[(each['started_at'], each['cause']) for each in incidents]}"
        assert cause in {each["cause"] for each in mine}, (cause, [each["evidence"] for each in mine])
    strays = [
        each
        for each in incidents
        if not any(
            spans[each["started_at"]][0] <= end + 30 and spans[each["started_at"]][1] >= begin - 5
            for begin, end in injected.values()
        )
    ]
    assert len(strays) <= 1, [(each["started_at"], each["cause"], each["evidence"]) for each in strays]


SHOWN = {
    "missing blocks": "state['missing'] >= 1",
    "corrupt blocks": "state['corrupt'] >= 1",
    "under-replicated blocks": "state['under_replicated'] >= 1",
    "safe mode": "safe_mode <> ''",
}
"""What of the state of HDFS shows a trouble, where the table of polls tells it."""


class Polls:
    """Polls of a cluster's state every two seconds: which troubles each one showed, and which were open after it."""

    def __init__(self, collector: Collector, home: Home) -> None:
        self.collector, self.home = collector, home
        self.shown: list[set[tuple[str, str]]] = []
        self.open: list[set[tuple[str, str]]] = []

    def poll(self) -> None:
        (polled,) = self.collector.poll()
        self.collector.flush()
        at, name = polled.health.polled_at, polled.health.namenode
        columns = ", ".join(f"coalesce({condition}, false)" for condition in SHOWN.values())
        (told,) = self.home.rows(f"SELECT {columns} FROM hdfs_state WHERE polled_at = ?", at)
        nodes = self.home.rows("SELECT entity, arg_max(state, polled_at) AS own FROM datanode_state GROUP BY entity")
        self.shown.append(
            {(name, kind) for kind, holds in zip(SHOWN, told, strict=True) if holds}
            | {(entity, f"{state} DataNode") for entity, state in nodes if state in ("dead", "stale")}
        )
        update_incidents(self.home.store, self.home.settings)
        self.open.append(set(self.home.rows("SELECT entity, kind FROM incidents WHERE status = 'open'")))
        threading.Event().wait(2)

    def until(self, holds: Callable[[], bool], most: int = 60) -> None:
        for _ in range(most):
            self.poll()
            if holds():
                return
        pytest.fail(f"not within {most} polls: shown {self.shown[-1]}, open {self.open[-1]}")

    def until_shown(self, *kinds: str) -> None:
        self.until(lambda: {kind for _, kind in self.shown[-1]} >= set(kinds))

    def until_quiet(self) -> None:
        self.until(lambda: not self.shown[-1] and not self.open[-1])

    def lags(self) -> dict[tuple[str, str, str], int]:
        """Polls from the first one that showed a trouble to the one that opened it, and the same of its end."""
        lags = {}
        for trouble in set().union(*self.shown):
            for about, flags in (("begin", True), ("end", False)):
                shown = [trouble in each for each in self.shown]
                opened = [trouble in each for each in self.open]
                changes = [at for at in range(1, len(shown)) if shown[at] is flags and shown[at - 1] is not flags]
                for at in changes:
                    later = next((place for place in range(at, len(opened)) if opened[place] is flags), len(opened))
                    lags[*trouble, about] = max(lags.get((*trouble, about), 0), later - at)
        return lags


def test_the_state_of_a_real_cluster(quiet_cluster: Cluster, home: Home, tmp_path: Path) -> None:
    """DataNodes killed, stalled and started again, a corrupt replica, safe mode: told and ended within two polls."""
    cluster, file = quiet_cluster, tmp_path / "file"
    file.write_bytes(os.urandom(50_000))
    for place in range(4):
        cluster.run("java", "org.apache.hadoop.fs.FsShell", "-Ddfs.replication=1", "-put", str(file), f"/one{place}")
    cluster.run("java", "org.apache.hadoop.fs.FsShell", "-put", str(file), "/three")
    settings = home.settings.model_copy(update={"datanode_poll_s": 4.0})
    collector = Collector(settings, [f"http://127.0.0.1:{9870 + cluster.base}"])
    polls = Polls(collector, home)
    try:
        polls.poll()
        cluster.run("java", "org.apache.hadoop.hdfs.tools.DFSAdmin", "-safemode", "enter")
        polls.until_shown("safe mode")
        cluster.run("java", "org.apache.hadoop.hdfs.tools.DFSAdmin", "-safemode", "leave")
        polls.until_quiet()
        pause = cluster.run("pause", "datanode_1", "10", wait=False)
        polls.until_shown("stale DataNode")
        assert pause.wait(timeout=60) == 0
        polls.until_quiet()
        for each in "23":
            cluster.run("kill-datanode", each)
        polls.until_shown("dead DataNode", "under-replicated blocks", "missing blocks")
        polls.poll()
        for each in "23":
            cluster.run("start-datanode", each)
        polls.until_quiet()
        for replica in cluster.folder.glob("data/datanode_1/current/BP-*/current/finalized/**/blk_*"):
            if replica.suffix != ".meta":
                replica.write_bytes(bytes(replica.stat().st_size))

        def read() -> bool:
            for path in ("/three", "/one0", "/one1", "/one2", "/one3"):
                cluster.run("java", "org.apache.hadoop.fs.FsShell", "-cat", path, wait=False).wait(timeout=60)
            return any(kind == "corrupt blocks" for _, kind in polls.shown[-1])

        polls.until(read, most=15)
        for path in ("/three", "/one0", "/one1", "/one2", "/one3"):
            cluster.run("java", "org.apache.hadoop.fs.FsShell", "-rm", "-skipTrash", path)
        polls.until_quiet()
    finally:
        collector.close()
    lags = polls.lags()
    kinds = {kind for _, kind, _ in lags}
    assert kinds >= {"safe mode", "stale DataNode", "dead DataNode", "missing blocks", "under-replicated blocks"}
    assert "corrupt blocks" in kinds
    assert max(lags.values()) <= 2, lags
    metrics = home.rows("SELECT count(DISTINCT entity) FROM datanode_metrics WHERE cardinality(metrics) > 5")
    assert metrics == [(3,)]
