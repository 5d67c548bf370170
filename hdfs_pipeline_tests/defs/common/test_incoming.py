"""The sensor on `incoming`: what starts a run, and what does not."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import StepMaterializationData
from filelock import FileLock

from hdfs_pipeline.defs.blocks.assets import raw_logs
from hdfs_pipeline.defs.common.failures import FAILED_TAG
from hdfs_pipeline.defs.common.incoming import REST_S, log_files, rested
from hdfs_pipeline.defs.common.incoming_sensor import ASKED_TAG, UNREAD_TAG
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.settings import Settings
from hdfs_pipeline_tests.defs.conftest import BLOCKS, STANDARD, Ran, sensor


@dataclass
class Clock:
    """The time, which a test moves on."""

    now: float


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A time at which everything that is written now has come to rest."""
    clock = Clock(time.time() + 2 * REST_S)
    monkeypatch.setattr("time.time", lambda: clock.now)
    return clock


@pytest.fixture
def incoming(home: Settings, clock: Clock) -> Path:
    home.incoming.mkdir()
    return home.incoming


@cache
def _sensor() -> Any:
    return sensor("incoming_files")


class Ticks:
    """The sensor, tick by tick, on an instance that knows how its runs went."""

    def __init__(self, home: Settings, instance: dg.DagsterInstance) -> None:
        self.home, self.instance, self.cursor, self.said = home, instance, "", ""

    def tick(self) -> list[dg.RunRequest]:
        """What the sensor asks for now; each request becomes a run that waits."""
        with dg.build_sensor_context(self.instance, cursor=self.cursor or None) as context:
            found: Any = _sensor()(context, home=Home(path=str(self.home.home)))
        self.cursor, self.said = found.cursor, found.skip_reason.skip_message if found.skip_reason else ""
        for request in found.run_requests or []:
            self.instance.create_run_for_job(_job(), tags=dict(request.tags), status=dg.DagsterRunStatus.NOT_STARTED)
        return list(found.run_requests or [])

    def run_of(self, request: dg.RunRequest) -> dg.DagsterRun:
        (run,) = self.instance.get_runs(dg.RunsFilter(tags={ASKED_TAG: request.tags[ASKED_TAG]}))
        return run

    def end(self, request: dg.RunRequest, how: str, *stored: str, **tags: str) -> None:
        """The run of a request goes on to the event `how`, after the assets `stored` were made."""
        run = self.run_of(request)
        for asset in stored:
            made = dg.AssetMaterialization(asset)
            self.instance.report_dagster_event(
                _event("ASSET_MATERIALIZATION", run, StepMaterializationData(made)), run.run_id
            )
        self.instance.add_run_tags(run.run_id, tags)
        self.instance.report_dagster_event(_event(how, run), run.run_id)


@dg.op
def _nothing() -> None:
    pass


def _job() -> dg.JobDefinition:
    return dg.GraphDefinition("asked_for", node_defs=[_nothing]).to_job()


def _event(kind: str, run: dg.DagsterRun, data: Any = None) -> dg.DagsterEvent:
    return dg.DagsterEvent(dg.DagsterEventType[kind].value, run.job_name, event_specific_data=data)


@pytest.fixture
def ticks(home: Settings) -> Iterator[Ticks]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Ticks(home, instance)


def paths_of(request: dg.RunRequest) -> list[str]:
    return [Path(path).name for path in request.run_config["ops"]["raw_logs"]["config"]["paths"]]


FAILED, DONE = "PIPELINE_FAILURE", "PIPELINE_SUCCESS"


def test_a_new_file_asks_for_one_run_and_no_second(ticks: Ticks, incoming: Path) -> None:
    (incoming / "a.log").write_text("one\n")
    (request,) = ticks.tick()
    assert request.job_name == "blocks_job"  # no model yet
    assert request.tags["dagster/asset_partition_range_start"] == STANDARD[0]
    assert request.tags["dagster/asset_partition_range_end"] == STANDARD[-1]
    assert request.run_config == {"ops": {"raw_logs": {"config": {"paths": [str(incoming.resolve() / "a.log")]}}}}
    assert ticks.tick() == []  # the run waits
    ticks.end(request, DONE, "raw_logs")
    assert ticks.tick() == []
    assert "nothing new" in ticks.said


def test_a_file_whose_run_failed_is_asked_for_until_it_is_stored_after_waits_that_grow(
    ticks: Ticks, incoming: Path, clock: Clock
) -> None:
    (incoming / "a.log").write_text("one\n")
    (request,) = ticks.tick()
    keys, waits = [request.run_key], []
    for _ in range(9):
        ticks.end(request, FAILED, **{FAILED_TAG: "raw_logs failed: no space."})
        failed_at = clock.now
        while not (requests := ticks.tick()):
            assert "did not store a.log: raw_logs failed: no space. Asking again in" in ticks.said
            clock.now += 5
            assert clock.now < failed_at + 400, "it is never asked for again"
        (request,) = requests
        assert paths_of(request) == ["a.log"]
        keys.append(request.run_key)
        waits.append(clock.now - failed_at)
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert len(set(keys)) == len(keys), "Dagster asks for no run twice by the same key"
    ticks.end(request, DONE, "raw_logs")
    assert ticks.tick() == []
    assert "nothing new" in ticks.said


def test_a_run_that_failed_after_its_files_were_stored_is_not_asked_for_again(ticks: Ticks, incoming: Path) -> None:
    (incoming / "a.log").write_text("one\n")
    (incoming / "labels.csv").write_text("no labels\n")
    (request,) = ticks.tick()
    ticks.end(request, FAILED, "raw_logs")
    assert ticks.tick() == []
    assert "did not store labels.csv: run" in ticks.said
    assert "a.log" not in ticks.said


def test_what_a_run_could_not_read_is_asked_for_again_and_the_rest_is_not(
    ticks: Ticks, incoming: Path, clock: Clock
) -> None:
    for name in ("a.log", "b.log"):
        (incoming / name).write_text("one\n")
    (request,) = ticks.tick()
    unread = [f"{incoming.resolve() / 'b.log'}: Permission denied"]
    ticks.end(request, DONE, "raw_logs", **{UNREAD_TAG: json.dumps(unread)})
    assert ticks.tick() == []
    assert f"1 run did not store b.log: {unread[0]}" in ticks.said
    clock.now += 5
    (again,) = ticks.tick()
    assert paths_of(again) == ["b.log"]


def test_of_a_real_run_the_cursor_moves_with_what_it_has_stored(ticks: Ticks, incoming: Path, clock: Clock) -> None:
    for name in ("a.log", "b.log"):
        (incoming / name).write_text(f"081109 203615 148 INFO dfs.DataNode: {name} of blk_1\n")
    (request,) = ticks.tick()
    ticks.instance.delete_run(ticks.run_of(request).run_id)
    (incoming / "b.log").unlink()
    os.mkfifo(incoming / "b.log")
    home = Home(path=str(ticks.home.home))
    done = dg.materialize(
        [raw_logs],
        instance=ticks.instance,
        resources={"home": home},
        run_config=request.run_config,
        tags=dict(request.tags),
    )
    assert done.success
    with home.store.read() as con:
        assert con.execute("SELECT path FROM sources").fetchall() == [(str(incoming.resolve() / "a.log"),)]
    assert ticks.tick() == []
    assert f"did not store b.log: {incoming.resolve()}/b.log: no file to be read twice" in ticks.said
    (incoming / "b.log").unlink()
    (incoming / "b.log").write_text("081109 203615 148 INFO dfs.DataNode: b.log of blk_1\n")
    clock.now += 600  # the run has taken its time, in which the clock stood
    (again,) = ticks.tick()
    assert paths_of(again) == ["b.log"]


def test_new_files_do_not_wait_for_those_that_failed(ticks: Ticks, incoming: Path, clock: Clock) -> None:
    (incoming / "a.log").write_text("one\n")
    (first,) = ticks.tick()
    ticks.end(first, FAILED)
    (incoming / "b.log").write_text("one\n")
    (second,) = ticks.tick()
    assert paths_of(second) == ["b.log"]
    clock.now += 5
    (third,) = ticks.tick()
    assert paths_of(third) == ["a.log"]


def test_a_file_that_failed_and_has_changed_or_gone_is_not_asked_for_as_it_was(
    ticks: Ticks, incoming: Path, clock: Clock
) -> None:
    for name in ("a.log", "b.log"):
        (incoming / name).write_text("one\n")
    (first,) = ticks.tick()
    ticks.end(first, FAILED)
    (incoming / "a.log").write_text("one\ntwo\n")
    (incoming / "b.log").unlink()
    (second,) = ticks.tick()
    assert paths_of(second) == ["a.log"]
    clock.now += 400
    assert ticks.tick() == []


@pytest.mark.parametrize("locked", [False, True])
def test_the_files_of_a_run_whose_process_was_killed_are_asked_for_again(
    ticks: Ticks, incoming: Path, clock: Clock, locked: bool
) -> None:
    (incoming / "a.log").write_text("one\n")
    (request,) = ticks.tick()
    ticks.end(request, "PIPELINE_START")
    clock.now += 110
    assert ticks.tick() == []
    clock.now += 20
    (ticks.home.home / "dagster").mkdir(exist_ok=True)
    with FileLock(ticks.home.home / "dagster" / "ingest.lock") if locked else nullcontext():
        assert ticks.tick() == []
    assert ("was killed" in ticks.said) != locked
    clock.now += 5
    assert len(ticks.tick()) == (not locked)


def test_a_run_that_never_began_is_asked_for_again(ticks: Ticks, incoming: Path, clock: Clock) -> None:
    (incoming / "a.log").write_text("one\n")
    (request,) = ticks.tick()
    ticks.instance.delete_run(ticks.run_of(request).run_id)
    assert ticks.tick() == []
    clock.now += 130
    assert ticks.tick() == []
    assert "never began" in ticks.said
    clock.now += 5
    (again,) = ticks.tick()
    assert again.run_key != request.run_key


def test_the_cursor_of_an_older_release_is_understood(ticks: Ticks, incoming: Path) -> None:
    (incoming / "a.log").write_text("one\n")
    ticks.cursor = json.dumps(rested(incoming.resolve(), BLOCKS))
    assert ticks.tick() == []


def test_a_file_that_has_grown_asks_again_under_another_key(ticks: Ticks, incoming: Path) -> None:
    (incoming / "a.log").write_text("one\n")
    (incoming / "b.log").write_text("one\n")
    (first,) = ticks.tick()
    with (incoming / "a.log").open("a") as file:
        file.write("two\n")
    (second,) = ticks.tick()
    assert paths_of(second) == ["a.log"]
    assert first.run_key != second.run_key
    ticks.end(first, DONE, "raw_logs")  # it may have read the file before it grew
    ticks.end(second, DONE, "raw_logs")
    assert ticks.tick() == []


def test_labels_are_taken_as_labels(ticks: Ticks, incoming: Path) -> None:
    (incoming / "labels.csv").write_text("block_id,label\n")
    (incoming / "a.log").write_text("one\n")
    (request,) = ticks.tick()
    ops = request.run_config["ops"]
    assert ops["labels"]["config"]["path"] == str(incoming.resolve() / "labels.csv")
    assert ops["raw_logs"]["config"]["paths"] == [str(incoming.resolve() / "a.log")]


def test_labels_alone_do_not_have_logs_read_that_are_being_written(ticks: Ticks, incoming: Path, clock: Clock) -> None:
    (incoming / "a.log").write_text("one\n")
    (first,) = ticks.tick()
    ticks.end(first, DONE, "raw_logs")
    (incoming / "labels.csv").write_text("block_id,label\n")
    (incoming / "b.log").write_text("one\n")
    os.utime(incoming / "b.log", (clock.now, clock.now))  # written to just now
    (second,) = ticks.tick()
    assert "labels" in second.run_config["ops"]
    assert paths_of(second) == ["a.log"]


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


def test_a_second_file_of_labels_waits_for_the_next_run(ticks: Ticks, incoming: Path) -> None:
    (incoming / "blocks").mkdir()
    for path in (incoming / "labels.csv", incoming / "blocks" / "labels.csv"):
        path.write_text("block_id,label\n")
    requests = [*ticks.tick(), *ticks.tick()]
    taken = [request.run_config["ops"]["labels"]["config"]["path"] for request in requests]
    assert sorted(taken) == sorted(str(path.resolve()) for path in incoming.rglob("labels.csv"))


def test_a_file_rests_before_it_is_taken(home: Settings) -> None:
    home.incoming.mkdir()
    path = home.incoming / "a.log"
    path.write_text("one\n")
    os.utime(path, (0, 0))  # as `cp -p` of an old file leaves it
    now = time.time()
    assert rested(home.incoming, BLOCKS, now) == {}
    assert set(rested(home.incoming, BLOCKS, now + REST_S + 1)) == {str(path)}


def test_nothing_runs_in_an_empty_home(ticks: Ticks) -> None:
    assert ticks.tick() == []


def test_once_there_is_a_model_new_files_are_scored_without_training(ran: Ran) -> None:
    ran.settings.incoming.mkdir()
    (ran.settings.incoming / "a.log").write_text("one\n")
    time.sleep(REST_S + 0.2)
    with dg.DagsterInstance.ephemeral() as instance:
        (request,) = Ticks(ran.settings, instance).tick()
    assert request.job_name == "ingest_and_score_job"
