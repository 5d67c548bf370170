"""A real NameNode of Hadoop 3.4.2 under load: collect, train on the quiet time, inject faults, find them.

Wants the runner `hdfs3/hdfs.sh` in the folder of shared tools and Java 11 or 17; skipped without. Ten minutes.
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
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    if not RUNNER.is_file() or shutil.which("java") is None:
        pytest.skip(f"no {RUNNER.name} or no Java: set HDFS_PIPELINE_SHARED")
    found = Cluster(tmp_path / "cluster", free_base())
    found.run("start", "3")
    load = None
    try:
        found.run("fault", "prep", "8", "1")
        load = found.run("load", "4", "15", "1500", wait=False)
        yield found
    finally:
        if load is not None:
            load.terminate()
            load.wait(timeout=30)
        found.run("stop")


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
