"""The sensor on `incoming`: what starts a run, and what does not."""

import os
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hdfs_pipeline.defs.common.incoming import REST_S, log_files, rested
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.settings import Settings
from hdfs_pipeline_tests.defs.conftest import BLOCKS, STANDARD, Ran, sensor


@pytest.fixture
def incoming(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, watched from a time at which everything in it has come to rest."""
    later = time.time() + 2 * REST_S
    monkeypatch.setattr("hdfs_pipeline.defs.common.incoming.time.time", lambda: later)
    home.incoming.mkdir()
    return home.incoming


def _tick(home: Settings, cursor: str | None = None) -> tuple[list[dg.RunRequest], str | None]:
    with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance, cursor=cursor) as context:
        found: Any = sensor("incoming_files")(context, home=Home(path=str(home.home)))
    return ([], cursor) if isinstance(found, dg.SkipReason) else (list(found.run_requests), found.cursor)


def test_a_new_file_asks_for_one_run_and_no_second(home: Settings, incoming: Path) -> None:
    (incoming / "a.log").write_text("one\n")
    (request,), cursor = _tick(home)
    assert request.job_name == "blocks_job"  # no model yet
    assert request.tags["dagster/asset_partition_range_start"] == STANDARD[0]
    assert request.tags["dagster/asset_partition_range_end"] == STANDARD[-1]
    assert request.run_config == {"ops": {"raw_logs": {"config": {"paths": [str(incoming.resolve() / "a.log")]}}}}
    assert _tick(home, cursor) == ([], cursor)


def test_a_file_that_has_grown_asks_again_under_another_key(home: Settings, incoming: Path) -> None:
    (incoming / "a.log").write_text("one\n")
    (incoming / "b.log").write_text("one\n")
    (first,), cursor = _tick(home)
    with (incoming / "a.log").open("a") as file:
        file.write("two\n")
    (second,), _ = _tick(home, cursor)
    assert second.run_config["ops"]["raw_logs"]["config"]["paths"] == [str(incoming.resolve() / "a.log")]
    assert first.run_key != second.run_key


def test_labels_are_taken_as_labels(home: Settings, incoming: Path) -> None:
    (incoming / "labels.csv").write_text("block_id,label\n")
    (incoming / "a.log").write_text("one\n")
    (request,), _ = _tick(home)
    ops = request.run_config["ops"]
    assert ops["labels"]["config"]["path"] == str(incoming.resolve() / "labels.csv")
    assert ops["raw_logs"]["config"]["paths"] == [str(incoming.resolve() / "a.log")]


def test_hidden_and_temporary_names_are_left_alone(incoming: Path) -> None:
    for name in (".a.log", "a.log.tmp", "a.log.part", "a.log~", ".hidden/a.log", "sub/b.log"):
        (incoming / name).parent.mkdir(exist_ok=True)
        (incoming / name).write_text("one\n")
    assert [path.name for path in log_files(incoming, BLOCKS)] == ["b.log"]


def test_each_domain_has_a_folder_and_the_first_one_what_lies_beside_them(incoming: Path) -> None:
    names = ("a.log", "old/b.log", "blocks/c.log", "blocks/labels.csv", "namenode/d.jsonl", "namenode/labels.csv")
    for name in names:
        (incoming / name).parent.mkdir(exist_ok=True)
        (incoming / name).write_text("one\n")
    assert [path.name for path in log_files(incoming, BLOCKS)] == ["a.log", "c.log", "b.log"]
    assert [path.name for path in log_files(incoming, domain_named("namenode"))] == ["d.jsonl"]
    taken = {str(Path(path).relative_to(incoming)) for path in rested(incoming, BLOCKS)}
    assert taken == {"a.log", "old/b.log", "blocks/c.log", "blocks/labels.csv"}


def test_a_second_file_of_labels_waits_for_the_next_run(home: Settings, incoming: Path) -> None:
    (incoming / "blocks").mkdir()
    for path in (incoming / "labels.csv", incoming / "blocks" / "labels.csv"):
        path.write_text("block_id,label\n")
    (first,), cursor = _tick(home)
    (second,), _ = _tick(home, cursor)
    taken = [request.run_config["ops"]["labels"]["config"]["path"] for request in (first, second)]
    assert sorted(taken) == sorted(str(path.resolve()) for path in incoming.rglob("labels.csv"))


def test_a_file_rests_before_it_is_taken(home: Settings) -> None:
    home.incoming.mkdir()
    path = home.incoming / "a.log"
    path.write_text("one\n")
    os.utime(path, (0, 0))  # as `cp -p` of an old file leaves it
    now = time.time()
    assert rested(home.incoming, BLOCKS, now) == {}
    assert set(rested(home.incoming, BLOCKS, now + REST_S + 1)) == {str(path)}


def test_nothing_runs_in_an_empty_home(home: Settings) -> None:
    assert _tick(home)[0] == []


def test_once_there_is_a_model_new_files_are_scored_without_training(ran: Ran) -> None:
    ran.settings.incoming.mkdir()
    (ran.settings.incoming / "a.log").write_text("one\n")
    time.sleep(REST_S + 0.2)
    (request,), _ = _tick(ran.settings)
    assert request.job_name == "ingest_and_score_job"
