"""A real Kafka broker that a test may kill, where the script that starts one and Java are at hand."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from hdfs_pipeline.settings import PROJECT

SCRIPT = Path(os.environ.get("HDFS_PIPELINE_SHARED", PROJECT.parent / "shared")) / "kafka" / "kafka.sh"


@dataclass
class RealBroker:
    """One node; its data lie in `folder` and outlive a kill."""

    folder: Path
    port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def tell(self, command: str, *more: str) -> None:
        line = [str(SCRIPT), command, str(self.folder), *more]
        done = subprocess.run(
            line, env={**os.environ, "KAFKA_HEAP": "512m"}, stderr=subprocess.STDOUT, stdout=subprocess.DEVNULL,
            timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: see {self.folder}"

    def start(self) -> None:
        self.tell("start", str(self.port))

    def kill(self) -> None:
        self.tell("kill")


def free_ports() -> int:
    """A port that is free, as the one after it is: the broker's and its controller's."""
    for port in range(19_500, 19_900, 2):
        try:
            for each in (port, port + 1):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", each))
        except OSError:
            continue
        return port
    raise AssertionError("no free ports")


@contextmanager
def real_broker(folder: Path) -> Iterator[RealBroker]:
    """A broker that runs; killed at the end. Skips the test where there is nothing to start."""
    if not SCRIPT.exists():
        pytest.skip(f"no broker to kill: {SCRIPT} is not there")
    if shutil.which("java") is None:
        pytest.skip("no broker to kill: there is no java")
    broker = RealBroker(folder, free_ports())
    broker.start()
    try:
        yield broker
    finally:
        if (folder / "broker.pid").exists():
            broker.kill()
