"""Dagster runs that are killed, within their transaction and anywhere: rows and offsets agree, the next run goes on."""

import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hdfs_pipeline.defs.common.resources import Home as HomeResource
from hdfs_pipeline.defs.streams import sensors as module
from hdfs_pipeline.domains.blocks.topics import RAW_LOGS
from hdfs_pipeline.domains.blocks.wire import block_key
from hdfs_pipeline.running.orchestration import prepare_instance
from hdfs_pipeline.settings import BOOTSTRAP, PREFIX
from hdfs_pipeline_tests.faults import runs
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.sinks.sink_worker import embedded, line, send
from hdfs_pipeline_tests.streaming.conftest import embedded_home

pytestmark = [pytest.mark.faults, pytest.mark.any_broker]
RECORDS, POISON = 900, 60
KILLS = 6


@pytest.fixture
def streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home with records and poison in an embedded broker of its own."""
    monkeypatch.delenv(BOOTSTRAP, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", "")  # both are set by `prepare_instance`: patched to be put back
    monkeypatch.setenv(f"{PREFIX}HOME", str(tmp_path / "home"))
    home = embedded_home(tmp_path / "home")
    messages: list[Any] = [(block_key(n), line(n, n), n % 3) for n in range(RECORDS)]
    for n in range(POISON):
        messages.insert(n * 13, (b"blk_1", b"poison %d" % n, n % 3))
    with embedded(home.settings):
        send(home.settings, RAW_LOGS, messages)
        prepare_instance(home.settings)
        yield home


def agreed(home: Home) -> int:
    """How far the offsets stand; rows and dead letters are as many, and each stands before them."""
    assert home.settings.store_path.exists()
    (total,) = home.rows("SELECT coalesce(sum(next), 0)::BIGINT FROM offsets")[0]
    rows = home.rows("SELECT count(*), count(DISTINCT (source_id, position)) FROM raw_logs")[0]
    dead = home.rows("SELECT count(*), count(DISTINCT (source, position)) FROM dead_letters")[0]
    assert rows[0] == rows[1] and dead[0] == dead[1]
    assert rows[0] + dead[0] == total
    beyond = """SELECT count(*) FROM raw_logs r JOIN sources s USING (source_id)
        JOIN offsets o ON s.path = 'kafka:raw_logs/' || o.part WHERE r.position >= o.next"""
    assert home.rows(beyond) == [(0,)]
    return int(total)


def tick(home: Home, instance: dg.DagsterInstance) -> Any:
    with dg.build_sensor_context(instance) as context:
        kafka = module.KafkaClient()
        said = module.kafka_ranges(context, home=HomeResource(path=str(home.settings.home)), kafka=kafka)
    return said.run_requests[0] if said.run_requests else said.skip_reason


def test_a_run_killed_in_its_transaction_and_one_after_it(
    streamed: Home, monkeypatch: pytest.MonkeyPatch, reconciled: Callable[[str], None]
) -> None:
    monkeypatch.setattr(module, "_ABANDONED_S", 0.0)
    monkeypatch.setenv(f"{PREFIX}RUN_WAIT_S", "0")
    with streamed.store.write():
        pass
    with dg.DagsterInstance.get() as instance:
        first = tick(streamed, instance)
        for die, stands in ((runs.WRITTEN, 0), (runs.COMMITTED, RECORDS + POISON)):
            process = runs.start(streamed.settings.home, first.run_config, die)
            process.join(120)
            assert process.exitcode == -signal.SIGKILL
            assert agreed(streamed) == stands
            left = instance.get_runs(dg.RunsFilter(job_name=runs.JOB))[0]
            assert left.status == dg.DagsterRunStatus.STARTED, "Dagster was told nothing"
            if not stands:
                assert tick(streamed, instance).run_config == first.run_config, "the same ranges are asked for again"
        assert "nothing new" in tick(streamed, instance).skip_message
        process = runs.start(streamed.settings.home, first.run_config)  # as a retry of Dagster's would
        process.join(120)
        assert process.exitcode == 0
    assert agreed(streamed) == RECORDS + POISON
    reconciled(
        f"{RECORDS} rows + {POISON} dead letters = {RECORDS + POISON} offsets, after a kill before the commit and after"
    )


def test_runs_killed_at_random_moments(
    streamed: Home, chance: random.Random, reconciled: Callable[[str], None]
) -> None:
    with streamed.store.write():
        pass
    stood = [0]
    done = streamed.settings.home / "runs"
    for _ in range(KILLS):
        process = runs.start(streamed.settings.home, None, most=20)
        # Half of them while the first run is under way, half some runs later.
        process.join(chance.uniform(1.0, 12.0))
        process.kill()
        process.join(20)
        stood.append(agreed(streamed))
    assert stood == sorted(stood)
    process = runs.start(streamed.settings.home, None)
    process.join(120)
    assert process.exitcode == 0
    assert agreed(streamed) == RECORDS + POISON
    assert streamed.rows("SELECT count(*) FROM raw_logs") == [(RECORDS,)]
    assert not list(streamed.settings.home.glob(".staging.*"))
    finished = done.read_text().count("ran")
    reconciled(
        f"{KILLS} kills -9 between {finished} runs, offsets then at {stood[1:]}; "
        f"at the end {RECORDS} rows + {POISON} dead letters"
    )
