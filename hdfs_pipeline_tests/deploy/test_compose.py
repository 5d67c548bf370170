"""The containers of docker-compose.yml, as processes of this machine: each with its own command, environment and check.

Names of services become this machine and ports that are free; the image's folders become those of a checkout.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from hdfs_pipeline.processes.ports import free_port
from hdfs_pipeline.settings import PREFIX, PROJECT
from hdfs_pipeline_tests.faults.real_broker import real_broker
from hdfs_pipeline_tests.streaming.conftest import wait_for

pytestmark = pytest.mark.slow
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]
IN_ORDER = ("setup", "code", "dagster", "daemon", "web", "worker", "sink", "incidents")
BIN = Path(sys.executable).parent
LIMIT_S = 120.0


class Composition:
    """Starts services as compose would, and ends them."""

    def __init__(self, folder: Path, broker: str) -> None:
        self.folder, self.broker = folder, broker
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ports = {name: free_port() for name in ("4266", "3000", "8000", "9464")}
        (folder / "data").mkdir()
        (folder / "scrape").mkdir()
        workspace = (PROJECT / "deploy" / "compose" / "workspace.yaml").read_text()
        (folder / "workspace.yaml").write_text(self.here(workspace))

    def here(self, text: str) -> str:
        """What a container is told, for this machine."""
        text = text.replace("kafka:19092", self.broker).replace("0.0.0.0", "127.0.0.1")
        text = re.sub(r"\b(host: |http://)(code|dagster|web|worker)\b", r"\g<1>127.0.0.1", text)
        text = re.sub(r"(?<=[:/ ])(4266|3000|8000|9464)\b|^(4266|3000|8000|9464)$", self._port, text)
        text = text.replace("deploy/compose/workspace.yaml", str(self.folder / "workspace.yaml"))
        text = re.sub(r"^/app\b", str(PROJECT), text)
        return re.sub(r"(^|(?<=sqlite://))/(data|scrape)\b", rf"{self.folder}/\2", text)

    def _port(self, found: re.Match[str]) -> str:
        return str(self.ports[found[0]])

    def environment(self, name: str) -> dict[str, str]:
        given = {key: self.here(str(value)) for key, value in SERVICES[name]["environment"].items()}
        left = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
        ports = {f"{PREFIX}SERVE_PORT": self.ports["8000"], f"{PREFIX}METRICS_PORT": self.ports["9464"]}
        return left | {key: str(value) for key, value in ports.items()} | given | {
            f"{PREFIX}SERVE_TOKENS": "true",  # in a container the address asks for them
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "DAGSTER_HOME": str(self.folder / "data" / "dagster"),
            "PYTHONPATH": str(PROJECT),
        }  # fmt: skip

    def words(self, words: Sequence[str]) -> list[str]:
        return [self.here(word) for word in words]

    def start(self, name: str) -> subprocess.Popen[bytes]:
        service = SERVICES[name]
        words = self.words([*service.get("entrypoint", ["hdfs-pipeline"]), *service.get("command", [])])
        words[0] = shutil.which(words[0], path=f"{BIN}:{os.environ['PATH']}") or words[0]
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                words, env=self.environment(name), cwd=PROJECT, stdout=log, stderr=log, start_new_session=True
            )
        self.processes[name] = process
        return process

    def is_well(self, name: str) -> bool:
        """What the container's own check says."""
        assert self.processes[name].poll() is None, self.said(name)
        kind, *words = SERVICES[name]["healthcheck"]["test"]
        assert kind == "CMD"
        words[0] = str(BIN / words[0])
        words = self.words(words)
        checked = subprocess.run(words, env=self.environment(name), capture_output=True, timeout=30, check=False)
        return checked.returncode == 0

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-3000:]

    def end(self, name: str) -> None:
        """SIGTERM; it has to end within the time that compose gives it."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        process.wait(float(SERVICES[name]["stop_grace_period"].rstrip("s")))
        assert process.returncode in (0, -signal.SIGTERM, 143), self.said(name)

    def kill(self) -> None:
        for process in self.processes.values():
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def composed(tmp_path: Path) -> Iterator[Composition]:
    with ExitStack() as stack:
        composition = Composition(tmp_path, stack.enter_context(real_broker(tmp_path / "kafka")).address)
        stack.callback(composition.kill)
        yield composition


def test_the_containers_work_together_and_stop_in_peace(composed: Composition) -> None:
    setup = composed.start("setup")
    assert setup.wait(LIMIT_S) == 0, composed.said("setup")
    del composed.processes["setup"]
    for name in IN_ORDER[1:]:
        composed.start(name)
        if "test" in SERVICES[name]["healthcheck"]:
            wait_for(lambda name=name: composed.is_well(name), LIMIT_S, name)
    token = (composed.folder / "scrape" / "token").read_text().strip()

    def ask(path: str) -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{composed.ports['8000']}{path}")
        request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    with pytest.raises(urllib.error.HTTPError) as refused:  # beyond loopback the pages ask for a token
        urllib.request.urlopen(f"http://127.0.0.1:{composed.ports['8000']}/metrics", timeout=30)
    assert refused.value.code == 401
    assert b"hdfs_pipeline_open_incidents" in ask("/metrics")
    composed.start("replay")
    wait_for(lambda: json.loads(ask("/api/anomalies?limit=1"))["anomalies"], LIMIT_S, "an anomaly in the store")
    wait_for(lambda: json.loads(ask("/api/incidents?limit=1"))["incidents"], LIMIT_S, "an incident")
    for name in ("replay", *reversed(IN_ORDER[1:])):
        composed.end(name)
