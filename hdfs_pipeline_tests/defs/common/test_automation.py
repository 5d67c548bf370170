"""What runs by itself: asked of the conditions with a clock of the test's own, and of the real daemon."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

from hdfs_pipeline.defs.common.failures import FAILED_TAG
from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.running.orchestration import prepare_instance
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.following import is_judged, turn
from hdfs_pipeline_tests.defs.conftest import Automation, Ran, lean_home
from hdfs_pipeline_tests.defs.page import ask, until

CHAIN = {"parsed_events", "event_matrix", "scores", "anomalies", "incidents"}
STREAMED = """INSERT INTO raw_logs BY NAME SELECT -1 AS source_id, * EXCLUDE (source_id, event_id) FROM raw_logs
    WHERE source_id > 0 ORDER BY position LIMIT 50"""
CHANGED = """UPDATE event_matrix SET revision = (SELECT max(revision) + 1 FROM event_matrix)
    WHERE block_id = (SELECT min(block_id) FROM event_matrix)"""
SOURCE = """INSERT INTO sources (source_id, domain, path, records, ingested_at)
    VALUES (-1, 'blocks', 'kafka:raw_logs/0', 50, now())"""


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


class OfBlocks(Automation):
    """What is asked for of blocks: their main job leaves the minutes of daemons to a run of their own."""

    def after(self, time: timedelta) -> set[str]:
        return {name for name in super().after(time) if not name.startswith("daemon")}


@pytest.fixture
def automation(ran: Ran, definitions: dg.Definitions, instance: dg.DagsterInstance) -> Automation:
    return OfBlocks(definitions, instance)


def change(ran: Ran, *statements: str) -> None:
    with ran.store.write() as con:
        for statement in statements:
            con.execute(statement)


def test_nothing_is_asked_for_where_nothing_waits(automation: Automation) -> None:
    assert automation.soon() == set()
    assert automation.soon() == set()


def test_records_that_came_are_parsed_and_scored_in_one_run(ran: Ran, automation: Automation) -> None:
    change(ran, SOURCE, STREAMED)
    assert automation.after(timedelta(seconds=30)) == set(), "the clock is between its ticks"
    assert automation.after(timedelta(minutes=2)) == CHAIN
    assert automation.after(timedelta(seconds=30)) == set(), "it was asked for"
    assert automation.soon() == CHAIN, "the run has left the work undone"


def test_blocks_of_records_that_an_ingest_has_matched_wait_as_well(ran: Ran, automation: Automation) -> None:
    change(ran, "UPDATE event_matrix SET unfinished = NULL WHERE block_id = (SELECT min(block_id) FROM event_matrix)")
    assert automation.soon() == CHAIN


def test_many_records_wait_for_no_clock(ran: Ran, automation: Automation, monkeypatch: pytest.MonkeyPatch) -> None:
    change(ran, SOURCE, STREAMED)
    monkeypatch.setenv("HDFS_PIPELINE_RUN_RECORDS", "50")
    assert automation.after(timedelta(seconds=30)) == CHAIN


def test_what_another_process_judges_needs_no_run(ran: Ran, automation: Automation) -> None:
    blocks, daemons, namenode = map(domain_named, ("blocks", "daemons", "namenode"))
    with turn(ran.settings):
        assert is_judged(ran.store, ran.settings, daemons) and not is_judged(ran.store, ran.settings, blocks)
        assert not is_judged(ran.store, ran.settings, namenode), "there is none"
        change(ran, SOURCE, STREAMED)
        assert automation.soon() == CHAIN
    assert not is_judged(ran.store, ran.settings, daemons)


def test_what_the_command_line_changes_is_scored_as_well(ran: Ran, automation: Automation) -> None:
    change(ran, CHANGED)
    assert automation.soon() == {"scores", "anomalies", "incidents"}


def test_a_run_under_way_to_the_anomalies_is_waited_for(
    ran: Ran, automation: Automation, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    change(ran, SOURCE, STREAMED)
    job = definitions.resolve_job_def("score_job")
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert automation.soon() == set()
    instance.report_run_canceled(run)
    assert automation.soon() == CHAIN


def test_nothing_follows_from_a_table_whose_blocking_check_has_failed(
    ran: Ran, automation: Automation, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    change(ran, CHANGED)
    change(ran, "INSERT INTO event_matrix SELECT * FROM event_matrix ORDER BY block_id LIMIT 1")
    checks = dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("event_matrix"), "unique_keys"))
    job = dg.Definitions(
        asset_checks=definitions.asset_checks,
        assets=definitions.assets,
        jobs=[dg.define_asset_job("checks", checks)],
        resources=definitions.resources,
    ).resolve_job_def("checks")
    assert not job.execute_in_process(instance=instance, raise_on_error=False).success
    assert automation.soon() == set()


def test_a_failed_blocking_check_stops_what_is_downstream(ran: Ran, definitions: dg.Definitions) -> None:
    change(ran, "UPDATE sources SET records = records + 1 WHERE source_id = 1")
    job = definitions.resolve_job_def("parse_and_score_job")
    with dg.DagsterInstance.ephemeral() as instance:
        done = job.execute_in_process(instance=instance, raise_on_error=False)
    assert not done.success
    (failed,) = [check for check in done.get_asset_check_evaluations() if not check.passed]
    assert failed.check_name == "conservation" and failed.description == "1 records are missing"
    made = {key.to_user_string() for event in done.get_asset_materialization_events() for key in [event.asset_key]}
    assert made == {"parsed_events"}


@pytest.fixture
def served(ran_once: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_port: int) -> Iterator[Store]:
    """Dagster's page and its daemon in a copy of the home of the one run, by a clock that ticks every minute."""
    home = tmp_path / "home"
    shutil.copytree(ran_once.settings.home, home, ignore=shutil.ignore_patterns("dagster", "*.lock"))
    lean_home(home, monkeypatch)
    folder = prepare_instance(ran_once.settings.model_copy(update={"home": home}))
    command = [sys.executable, "-W", "ignore", "-m", "dagster", "dev", "-m", "hdfs_pipeline.definitions"]
    with (tmp_path / "dagster.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "-h", "127.0.0.1", "-p", str(free_port), "--log-level", "warning"],
            env={
                **os.environ,
                "DAGSTER_HOME": str(folder),
                "HDFS_PIPELINE_HOME": str(home),
                "HDFS_PIPELINE_RUN_WAIT_S": "60",
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        until(lambda: ask(free_port, "{version}"), 120)
        yield Store(home / "hdfs.duckdb")
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGTERM)
        psutil.wait_procs(children, timeout=30)
        process.wait(60)


RUNS = "{runsOrError{... on Runs{results{runId status tags{key value} assetSelection{path}}}}}"


@pytest.mark.slow
def test_the_daemon_parses_and_scores_what_came_in_one_run_and_no_second(served: Store, free_port: int) -> None:
    with served.write() as con:
        con.execute(SOURCE)
        con.execute(STREAMED)

    def runs() -> list[dict[str, Any]]:
        return ask(free_port, RUNS)["runsOrError"]["results"]

    until(lambda: [run for run in runs() if run["status"] == "SUCCESS"], 240)
    with served.read() as con:
        assert con.execute("SELECT count(*) FROM parsed_events WHERE source_id = -1").fetchall() == [(50,)]
    time.sleep(100)  # a tick of the clock and more
    (run,) = runs()
    assert {key["path"][0] for key in run["assetSelection"]} >= CHAIN


LAUNCH = """mutation($config: RunConfigData!) {launchRun(executionParams: {selector: {repositoryName: "__repository__",
    repositoryLocationName: "hdfs_pipeline.definitions", jobName: "ingest_job"}, runConfigData: $config})
    {__typename}}"""
SAID = """{assetNodeOrError(assetKey: {path: ["raw_logs"]}) {... on AssetNode
    {assetObservations(limit: 1) {description}}}}"""


@pytest.mark.slow
def test_the_daemon_says_which_step_failed_and_what_to_do(served: Store, free_port: int, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.log")
    launched = ask(free_port, LAUNCH, {"config": {"ops": {"raw_logs": {"config": {"paths": [missing]}}}}})
    assert launched["launchRun"]["__typename"] == "LaunchRunSuccess"

    def told() -> str:
        (run,) = ask(free_port, RUNS)["runsOrError"]["results"]
        return {tag["key"]: tag["value"] for tag in run["tags"]}.get(FAILED_TAG, "")

    sentence = until(told, 120)
    assert sentence.startswith("raw_logs failed: ") and missing in sentence and "Give the run other data" in sentence
    (observed,) = until(lambda: ask(free_port, SAID)["assetNodeOrError"]["assetObservations"], 30)
    assert observed["description"].startswith(sentence)
