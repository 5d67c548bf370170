"""An experiment for real: processes, topics of its own, what is left of it in the store and on the machine."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from threading import Event
from typing import Any

import psutil
import pytest

from hdfs_pipeline.errors import NotTrainedError, SetupError
from hdfs_pipeline.experiments.load import run
from hdfs_pipeline.experiments.load.crew import Crew, Interrupted
from hdfs_pipeline.experiments.load.records import begun, ended, experiments, figures_of, lag_over_time
from hdfs_pipeline.experiments.load.run import run_load
from hdfs_pipeline.experiments.load.samples import Sampler
from hdfs_pipeline.experiments.load.shapes import Load
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.streaming.conftest import HOW, REAL, command, emptied_broker, wait_for

KAFKA = Path(__file__).parents[4] / "shared" / "kafka" / "kafka.sh"


@pytest.fixture
def fit(new_home: Any, trained: Home) -> Home:
    """A home with models, and with an embedded broker of its own for experiments."""
    home: Home = new_home(kafka_bootstrap_servers=REAL)
    shutil.copytree(trained.settings.models, home.settings.models)
    return home


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "WARM_S", 3.0)
    monkeypatch.setattr(run, "_EVERY_S", 0.5)


def processes_of(experiment: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if any(experiment in value for value in process.environ().values()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_an_experiment_from_its_start_to_its_report(fit: Home, excerpt: Any) -> None:
    load = Load("small", 1, 1, 3, duration_s=3.0, rate=2000.0)
    record = run_load(fit.store, fit.settings, load, excerpt.log, Event())
    assert (record.status, record.reason) == ("completed", "")
    assert experiments(fit.store, ["small"], "completed")[0].load == load
    figures = figures_of(fit.store, [record.experiment])[record.experiment]
    whole = {metric: value for (component, _, metric), value in figures.items() if component == "experiment"}
    assert whole["sent_per_s"] == pytest.approx(2000, rel=0.3)
    assert whole["read_per_s"] == pytest.approx(whole["sent_per_s"], rel=0.5)
    assert whole["unread_after_drain"] == 0
    assert 0 < whole["cores_of_sampling"] < whole["cores_used"] < 2.5
    assert figures["producer", "producer-1", "delivered_share"] == 1.0
    assert figures["producer", "producer-1", "produce_p50_ms"] > 0
    assert figures["worker", "worker-1", "read_per_s"] == pytest.approx(whole["read_per_s"])
    assert {part for part, *_ in lag_over_time(fit.store, record.experiment)} == {0, 1, 2}
    assert not processes_of(record.experiment)


def test_without_models_it_says_what_to_do(new_home: Any, excerpt: Any) -> None:
    home: Home = new_home(kafka_bootstrap_servers="")
    with pytest.raises(NotTrainedError, match="hdfs-pipeline demo"):
        run_load(home.store, home.settings, Load("a"), excerpt.log, Event())
    assert experiments(home.store) == []


def test_a_process_that_fails_fails_the_experiment(fit: Home, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="producer-1 ended by itself"):
        run_load(fit.store, fit.settings, Load("broken"), tmp_path / "no.log", Event())
    (record,) = experiments(fit.store)
    assert record.status == "failed" and "producer-1" in record.reason and record.ended_at
    assert not processes_of(record.experiment)


def test_an_interrupted_one_is_marked_and_leaves_no_process(fit: Home, excerpt: Any) -> None:
    stopped = Event()

    def say(what: str, _share: float) -> None:
        if what == "warming up":
            stopped.set()

    with pytest.raises(Interrupted):
        run_load(fit.store, fit.settings, Load("stopped"), excerpt.log, stopped, say)
    (record,) = experiments(fit.store)
    assert (record.status, record.reason) == ("failed", "interrupted")
    assert not processes_of(record.experiment)


def test_where_it_is_killed_no_process_is_left(fit: Home, excerpt: Any) -> None:
    line, environment = command(fit, "experiment", "run", "killed", "--sample", str(excerpt.log))
    process = subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        record = wait_for(lambda: next(iter(experiments(fit.store)), None), what="its row")
        wait_for(lambda: len(processes_of(record.experiment)) >= 1, what="its processes")
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    wait_for(lambda: not processes_of(record.experiment), what="the end of its processes")


def test_what_ended_is_told(fit: Home) -> None:
    record = begun(fit.store, Load("a"), {"cores": 2})
    assert experiments(fit.store, status="running")[0].experiment == record.experiment
    ended(fit.store, record, "failed", "because")
    assert [each.reason for each in experiments(fit.store, ["a"])] == ["because"]


@pytest.mark.real_broker
@pytest.mark.skipif(not REAL, reason=HOW)
@pytest.mark.skipif(not KAFKA.is_file(), reason="kafka-consumer-groups is not at hand: shared/kafka has it")
def test_the_lag_is_what_the_brokers_own_tool_says(tmp_path: Path) -> None:
    from confluent_kafka import TopicPartition

    from hdfs_pipeline.sources.kafka import consumer, producer

    with emptied_broker(tmp_path / "home") as home:
        group = f"lag-{time.time_ns()}"
        sender = producer(home.settings)
        for number in range(500):
            sender.produce("raw_logs", b"x", partition=number % 3)
        assert sender.flush(30) == 0
        client = consumer(home.settings, group_id=group, enable_auto_commit=False)
        client.commit(
            offsets=[TopicPartition("raw_logs", part, 10 * part + 7) for part in range(3)], asynchronous=False
        )
        client.close()
        with Crew({}, tmp_path, Event()) as crew:
            sampler = Sampler(home.settings, "raw_logs", group, crew, [])
            ours = {place.partition: (place.current, place.end, place.lag) for place in sampler.places()}
            sampler.close()
        told = subprocess.run(
            [str(KAFKA), "groups", "--bootstrap-server", REAL, "--describe", "--group", group],
            capture_output=True, text=True, check=True, timeout=60,
        ).stdout  # fmt: skip
    rows = [line.split() for line in told.splitlines() if " raw_logs " in line]
    theirs = {int(row[2]): (int(row[3]), int(row[4]), int(row[5])) for row in rows}
    assert theirs == {part: ours[part] for part in range(3)}
