"""The asset `experiments`: a partition for each shape, its figures, all that is completed side by side."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

from hdfs_pipeline.experiments.load import records
from hdfs_pipeline.experiments.load.shapes import SAMPLE, SUITES, Load
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline_tests.defs.conftest import Ran

HOST = {"host": "here", "cores": 4, "broker": "embedded"}
AT = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


def completed(store: Store, load: Load, read: float, p99: float | None = 80.0) -> records.Record:
    """An experiment that reads so many messages a second, of ten more that are sent."""
    told = {"sent_per_s": read + 10, "read_per_s": read, "seconds": 30.0, "unread_at_begin": 0.0}
    told |= {"unread_at_end": 300.0, "cores_used": 2.5, "latency_p50_ms": 20.0}
    told |= {} if p99 is None else {"latency_p99_ms": p99}
    rows: list[tuple[Any, ...]] = [("experiment", "", name, value, AT) for name, value in told.items()]
    rows += [("worker", "worker-1", "cores", 1.5, AT), ("producer", "producer-1", "cores", 1.0, AT)]
    record = records.begun(store, load, HOST)
    return records.ended(store, record, "completed", "", rows, [("group", 0, 5, 9, 4, AT)])


def ran_with(definitions: dg.Definitions, partition: str, **config: Any) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return definitions.resolve_job_def("experiments_job").execute_in_process(
            {"ops": {"experiments": {"config": config}}}, instance=instance, partition_key=partition
        )


def metadata(done: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = done.asset_materializations_for_node("experiments")
    return {name: value.value for name, value in event.metadata.items()}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Load, Path]]:
    """What is asked of an experiment that does not run, and has figures all the same."""
    found: list[tuple[Load, Path]] = []

    def run(store: Store, settings: Settings, load: Load, sample: Path, stopped: Any, say: Callable[..., None]) -> Any:
        found.append((load, sample))
        say("measuring", 0.5)
        return completed(store, load, 1000.0, None)

    monkeypatch.setattr("hdfs_pipeline.experiments.load.run.run_load", run)
    return found


def test_each_shape_is_a_partition_and_nothing_but_a_person_starts_one(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    node = graph.get(dg.AssetKey("experiments"))
    assert node.partitions_def is not None and node.automation_condition is None
    keys = list(node.partitions_def.get_partition_keys())
    assert keys == [load.name for load in SUITES["extended"]]
    assert {load.name for load in SUITES["standard"]} < set(keys)
    for name in ("blocks_job", "compare_job"):
        assert node.key not in definitions.resolve_job_def(name).asset_layer.executable_asset_keys


def test_a_run_shows_its_figures_beside_those_of_others(
    home: Settings, definitions: dg.Definitions, asked: list[tuple[Load, Path]]
) -> None:
    store = Store.open(home)
    other = Load("wide", 2, 4, 12, payload="web")
    completed(store, other, 5000.0)
    records.ended(store, records.begun(store, Load("broken"), HOST), "failed", "the broker is gone")

    done = ran_with(definitions, "consumers-2", duration_s=5.0, rate=700.0)
    assert asked == [(Load("consumers-2", 1, 2, 6, 5.0, 700.0), SAMPLE)]
    found = metadata(done)
    assert (found["read/s"], found["sent/s"], found["p50 ms"], found["p99 ms"]) == (1000.0, 1010.0, 20.0, None)
    assert (found["unread"], found["cores"], found["trials"]) == (300.0, 2.5, 1)
    assert found["limited by"] == "the rate asked for" and "1,010/s were sent" in found["why"]
    head, _, *rows = found["side by side"].splitlines()
    assert head.startswith("| experiment | load | trials | sent/s | read/s | p50 ms | p99 ms | unread | cores |")
    assert [row.split(" | ")[0] for row in rows] == ["| wide", "| consumers-2"]  # broken has no figures
    assert "| 5,010 | 5,000 | 20 | 80 | 300 | 2.50 |" in rows[0]
    (check,) = done.get_asset_check_evaluations()
    assert check.check_name == "schema" and check.passed


def test_a_second_run_of_a_shape_is_a_second_trial(
    home: Settings, definitions: dg.Definitions, asked: list[tuple[Load, Path]]
) -> None:
    completed(Store.open(home), Load("baseline"), 3000.0)
    found = metadata(ran_with(definitions, "baseline"))
    assert (found["trials"], found["read/s"]) == (2, 1000.0)  # its own figures; the table has means
    assert "| baseline | 1P/1C/3 partitions, blocks, flat out | 2 | 2,010 | 2,000 |" in found["side by side"]


def test_what_cannot_be_run_is_told(home: Settings, definitions: dg.Definitions) -> None:
    from hdfs_pipeline.errors import NotTrainedError, UsageError

    with pytest.raises(UsageError, match="no payload is called 'smoke'"):
        ran_with(definitions, "baseline", payload="smoke")
    with pytest.raises(NotTrainedError, match="hdfs-pipeline demo"):
        ran_with(definitions, "baseline")


@pytest.mark.slow
def test_an_experiment_for_real(ran: Ran, definitions: dg.Definitions) -> None:
    found = metadata(ran_with(definitions, "consumers-2", duration_s=4.0, rate=500.0, sample=str(ran.log)))
    assert found["read/s"] == pytest.approx(500, rel=0.2) and found["cores"] > 0
    (record,) = records.experiments(ran.store)
    assert (record.experiment, record.status) == (found["experiment"], "completed")
    figures = records.figures_of(ran.store, [record.experiment])[record.experiment]
    assert {name for kind, name, _ in figures if kind == "worker"} == {"worker-1", "worker-2"}


@pytest.mark.slow
def test_an_experiment_that_is_ended_ends_its_processes(ran: Ran) -> None:
    """As Dagster ends a run: the signal interrupts the step, wherever it is."""
    code = f"""from hdfs_pipeline.definitions import defs
import dagster as dg
with dg.DagsterInstance.ephemeral() as instance:
    config = {{"ops": {{"experiments": {{"config": {{"duration_s": 600.0, "sample": {str(ran.log)!r}}}}}}}}}
    defs().resolve_job_def("experiments_job").execute_in_process(config, instance, partition_key="baseline")"""
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"DAGSTER_HOME": ""})
    own = psutil.Process(process.pid)
    try:
        deadline = time.monotonic() + 180
        while len(children := own.children(recursive=True)) < 4:  # guard, broker, worker, producer
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) != 0
    finally:
        process.kill()
    assert not psutil.wait_procs(children, 10)[1]
    (record,) = records.experiments(ran.store)
    assert (record.status, record.reason) == ("failed", "interrupted")
