"""`hdfs-pipeline up`: what it starts in which home; and all of it for real, in an empty one."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from hdfs_pipeline.domains.blocks.domain import Blocks
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.running.up import own_cluster, processes
from hdfs_pipeline.serving.tokens import Tokens
from hdfs_pipeline.settings import PREFIX, Settings
from hdfs_pipeline.streaming.reporter import stream_asset
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.streaming.conftest import command, embedded_home, emptied_broker, wait_for
from hdfs_pipeline_tests.streaming.workers import verdicts

FIRST_S = 180.0  # until the first anomalies: a minute on a machine that does nothing else
END_S = 30.0


@pytest.fixture
def free_ports() -> dict[str, int]:
    """Four free ports in a row, the last for a second worker; none that the system gives to clients meanwhile."""
    draw = random.Random(os.getpid())
    for first in (draw.randrange(20_000, 30_000) for _ in range(100)):
        with ExitStack() as probes:
            try:
                for port in range(first, first + 4):
                    probes.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return {"dagster_port": first, "serve_port": first + 1, "metrics_port": first + 2}
    raise AssertionError("no free ports")


@pytest.fixture
def make(
    new_home: Callable[..., Home], free_ports: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Home]:
    """Makes homes whose ports are free; what `up` puts into the environment is put back."""
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv(f"{PREFIX}HOME", "")
    return lambda name="home", **settings: new_home(name, **{"kafka_bootstrap_servers": "", **free_ports, **settings})


def names(settings: Settings, *, replay: bool | None = None, workers: int = 1) -> tuple[list[str], list[str]]:
    said: list[str] = []
    found = processes(settings, replay=replay, workers=workers, speed=600.0, say=lambda _, line: said.append(line))
    return [process.name for process in found], said


def test_an_empty_home_gets_a_broker_a_model_and_a_replay(make: Callable[..., Home]) -> None:
    started, said = names(make(bare=True).settings)
    assert started == [
        "broker",
        "code",
        "dagster",
        "daemon",
        "sample",
        "serve",
        "incidents",
        "worker",
        "sink",
        "replay",
        "namenode",
        "collect",
    ]
    assert any("--no-replay" in line for line in said)


def test_where_kafka_is_configured_there_is_no_broker(make: Callable[..., Home]) -> None:
    started, said = names(make(bare=True, kafka_bootstrap_servers="localhost:9092").settings)
    assert started == [
        "code",
        "dagster",
        "daemon",
        "sample",
        "serve",
        "incidents",
        "worker",
        "sink",
        "replay",
        "namenode",
        "collect",
    ]
    assert any("raw_logs of localhost:9092" in line for line in said)


@pytest.mark.parametrize("servers", ["kafka.example:9092", "localhost:9092,10.0.0.7:9092"])
def test_a_broker_elsewhere_gets_the_sample_only_where_asked(make: Callable[..., Home], servers: str) -> None:
    settings = make(bare=True, kafka_bootstrap_servers=servers).settings
    started, said = names(settings)
    assert started == ["code", "dagster", "daemon", "serve", "incidents", "worker", "sink"]
    assert "is not on this machine" in said[0] and "no model in this home yet: lifecycle judges" in said[1]
    assert names(settings, replay=True)[0] == [
        "code",
        "dagster",
        "daemon",
        "sample",
        "serve",
        "incidents",
        "worker",
        "sink",
        "replay",
        "namenode",
        "collect",
    ]


def put_source(home: Home, path: Path) -> None:
    with home.store.write() as con:
        con.execute("INSERT INTO sources (source_id, path) VALUES (1, ?), (-1, 'kafka:raw_logs/0')", [str(path)])


def test_a_home_with_logs_of_its_own_never_gets_the_sample_by_itself(
    make: Callable[..., Home], trained: Home, tmp_path: Path
) -> None:
    home = make()
    put_source(home, tmp_path / "hadoop-hdfs-namenode.log")
    assert own_cluster(home.settings) == "this home has logs of its own"
    assert names(home.settings)[0] == ["broker", "code", "dagster", "daemon", "serve", "incidents", "worker", "sink"]
    assert names(home.settings, replay=True)[0] == [
        "broker",
        "code",
        "dagster",
        "daemon",
        "serve",
        "incidents",
        "worker",
        "sink",
        "replay",
        "namenode",
        "collect",
    ]


def test_a_home_that_has_read_the_sample_only_is_no_cluster(make: Callable[..., Home], trained: Home) -> None:
    home = make()
    put_source(home, Blocks.sample / "HDFS.log.gz")
    shutil.copytree(trained.settings.models, home.settings.models)
    assert own_cluster(home.settings) == ""
    assert "sample" in names(home.settings)[0]  # a first run that was cut short
    with home.store.write() as con:
        con.execute(
            "INSERT INTO evaluations (domain, detector, version, split) VALUES ('blocks', 'random_forest', 1, 'random')"
        )
    assert names(home.settings)[0] == [
        "broker",
        "code",
        "dagster",
        "daemon",
        "serve",
        "incidents",
        "worker",
        "sink",
        "replay",
        "namenode",
        "collect",
    ]


def test_a_recorded_namenode_is_polled_where_there_is_no_other(make: Callable[..., Home]) -> None:
    def polled(settings: Settings, replay: bool) -> str | None:
        found = {p.name: p for p in processes(settings, replay=replay, workers=1, speed=5.0, say=lambda *_: None)}
        assert ("namenode" in found) == ("collect" in found)
        of_dagster = found["code"].environment
        assert f"{PREFIX}NAMENODE_URLS" not in of_dagster, "its ticks cost more than those polls"
        assert (f"{PREFIX}NAMENODE_FIRST_POLLS" in of_dagster) == ("collect" in found)
        if "collect" not in found:
            return None
        address = found["collect"].environment[f"{PREFIX}NAMENODE_URLS"]
        assert found["namenode"].command[-1] == address.rsplit(":", 1)[1]
        return address

    assert polled(make("a", bare=True).settings, True) is not None
    assert polled(make("b", bare=True).settings, False) is None
    assert polled(make("c", bare=True, namenode_urls=("http://nn:9870",)).settings, True) is None


def test_workers_have_a_port_for_their_metrics_each(make: Callable[..., Home]) -> None:
    settings = make(bare=True).settings
    found = processes(settings, replay=False, workers=2, speed=600.0, say=lambda *_: None)
    ports = {process.name: process.environment.get(f"{PREFIX}METRICS_PORT") for process in found}
    assert ports["worker 1"] == str(settings.metrics_port) and ports["worker 2"] == str(settings.metrics_port + 1)
    assert names(settings, replay=False, workers=0)[0] == [
        "broker",
        "code",
        "dagster",
        "daemon",
        "serve",
        "incidents",
        "sink",
    ]


def test_runs_of_dagster_store_what_comes_where_no_process_is_to(make: Callable[..., Home]) -> None:
    said: list[str] = []
    settings = make(bare=True).settings
    found = processes(settings, replay=False, workers=1, speed=5.0, sink=False, say=lambda _, line: said.append(line))
    assert "sink" not in {process.name for process in found}
    assert any("stored by runs of Dagster, once 250,000 records wait" in line for line in said)


def test_whoever_is_set_is_told_of_incidents_by_a_process_of_its_own(make: Callable[..., Home]) -> None:
    assert "notify" not in names(make("none", bare=True).settings)[0]
    for setting in ("alertmanager_url", "webhook_url"):
        settings = make(setting, bare=True, **{setting: "http://127.0.0.1:9"}).settings
        found = {p.name: p for p in processes(settings, replay=False, workers=0, speed=5.0, say=lambda *_: None)}
        assert list(found["notify"].command[-2:]) == ["notify", "--follow"] and found["notify"].needs == ("broker",)
    elsewhere = make("elsewhere", bare=True, webhook_url="http://127.0.0.1:9", kafka_bootstrap_servers="localhost:9")
    found = {p.name: p for p in processes(elsewhere.settings, replay=False, workers=0, speed=5.0, say=print)}
    assert found["notify"].needs == (), "Kafka's outage does not keep the others waiting"


def test_where_others_can_reach_the_pages_they_wait_for_a_token(make: Callable[..., Home]) -> None:
    def pages(settings: Settings) -> Any:
        found = processes(settings, replay=False, workers=0, speed=5.0, say=lambda *_: None)
        return next(process for process in found if process.name == "serve")

    settings = make("open", bare=True, serve_host="0.0.0.0").settings
    assert pages(make("own", bare=True).settings).after()
    assert not pages(settings).after() and "hdfs-pipeline tokens make" in pages(settings).waits_for
    Tokens(settings).make("me", "read")
    assert pages(settings).after()


def test_ports_that_are_taken_are_setup_errors(make: Callable[..., Home]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for setting in ("dagster_port", "serve_port", "metrics_port"):
            with pytest.raises(SetupError, match=f"{PREFIX}{setting.upper()}"):
                names(make(setting, bare=True, **{setting: port}).settings)


def test_a_sample_that_is_missing_is_a_setup_error(
    make: Callable[..., Home], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Blocks, "sample", tmp_path / "missing")
    with pytest.raises(SetupError, match="--no-replay"):
        names(make(bare=True).settings)


def test_who_needs_kafka_waits_for_the_broker_and_nobody_for_a_model(make: Callable[..., Home]) -> None:
    settings = make(bare=True).settings
    found = {process.name: process for process in processes(settings, replay=True, workers=1, speed=5.0, say=print)}
    assert {name for name, process in found.items() if process.needs == ("broker",)} == {"worker", "sink", "replay"}
    assert not found["broker"].ready() and found["worker"].after() and not found["incidents"].needs
    elsewhere = make("elsewhere", bare=True, kafka_bootstrap_servers="localhost:9").settings
    found = {process.name: process for process in processes(elsewhere, replay=True, workers=1, speed=5.0, say=print)}
    assert not found["worker"].after() and found["worker"].waits_for == "Kafka at localhost:9"


def ask(port: int, query: str) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)["data"]


def in_home(home: Home) -> list[psutil.Process]:
    """All processes that work in a home."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(f"{PREFIX}HOME") == str(home.settings.home):
                found.append(process)
        except psutil.Error:
            continue
    return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.real_broker)])
def empty(request: pytest.FixtureRequest, tmp_path: Path, free_ports: dict[str, int]) -> Iterator[Home]:
    """An empty home, on its embedded broker or on the real one."""

    def settle(home: Home) -> Home:
        home.settings.home.mkdir(parents=True, exist_ok=True)
        plain = {**free_ports, "stream_group": f'"{home.settings.stream_group}"', "bootstrap_samples": 20}
        (home.settings.home / "settings.toml").write_text("".join(f"{name} = {it}\n" for name, it in plain.items()))
        return home

    if request.param == "real":
        with emptied_broker(tmp_path / "home", **free_ports) as home:
            yield settle(home)
    else:
        yield settle(embedded_home(tmp_path / "home", **free_ports))


@pytest.mark.slow
@pytest.mark.xdist_group("kafka")
def test_incidents_arrive_in_an_empty_home_and_nothing_is_left(empty: Home, tmp_path: Path) -> None:
    settings = empty.settings
    line, environment = command(empty, "up", "--replay")
    log = tmp_path / "up.log"
    with log.open("wb") as file:
        process = subprocess.Popen(line, env=environment, stdout=file, stderr=file, start_new_session=True)

    def heard(text: str, limit_s: float = FIRST_S) -> float:
        def said() -> bool:
            assert process.poll() is None, log.read_text()
            return text in log.read_text()

        began = time.monotonic()
        wait_for(said, limit_s, text)
        return time.monotonic() - began

    try:
        heard("hdfs-pipeline incidents show")

        def now() -> bool:
            asking = f"http://127.0.0.1:{settings.serve_port}/api/status"
            with urllib.request.urlopen(asking, timeout=20) as answer:
                return bool(json.load(answer)["number_open"])

        wait_for(now, FIRST_S, "the page Now shows what goes wrong in the replay")

        def known() -> bool:
            return any(v.detector == "lifecycle" and v.status == "final" and v.kind for v in verdicts(empty))

        wait_for(known, FIRST_S, "a verdict by what is known of a block's life")
        heard("the web page is there")

        def stored() -> int:
            if not settings.store_path.exists():
                return 0
            return empty.rows("SELECT count(*) FROM anomalies WHERE origin <> 'batch' AND status = 'final'")[0][0]

        wait_for(stored, FIRST_S, "anomalies in the store")
        query = (
            '{assetNodeOrError(assetKey: {path: ["KEY"]}) {... on AssetNode {isMaterializable '
            "assetMaterializations(limit: 1) {metadataEntries {label ... on FloatMetadataEntry {floatValue} "
            "... on IntMetadataEntry {intValue}}}}}}"
        ).replace("KEY", stream_asset(Blocks()))

        def reported() -> dict[str, Any]:
            found = ask(settings.dagster_port, query)["assetNodeOrError"]["assetMaterializations"]
            return {entry["label"]: entry for entry in found[0]["metadataEntries"]} if found else {}

        entries = wait_for(reported, 60, "a report of the worker in Dagster")
        assert "floatValue" in entries["lines_per_s"] and "intValue" in entries["anomalies"]
        heard("all assets are there", 300)
        before = in_home(empty)
        assert len(before) >= 8
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(END_S) == 0
        wait_for(lambda: not in_home(empty), 5, f"no process left of {before}")
        assert not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in before)
        assert "Traceback" not in log.read_text()
    finally:
        process.kill()  # first, or it would start the others again
        process.wait()
        for each in in_home(empty):
            each.kill()
