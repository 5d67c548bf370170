"""The main job on a small home: everything is made, every check is green, and checks turn red where they must."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from hdfs_pipeline.defs.blocks.assets import event_templates
from hdfs_pipeline.defs.blocks.checks import champion_above_keywords, conservation, no_dead_letters, template_coverage
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.domains.blocks.ingest import ingest
from hdfs_pipeline.domains.blocks.parse import parse
from hdfs_pipeline.learning.tracking import tracked_runs
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline_tests.defs.conftest import LINES, STANDARD, TAUGHT, Ran


def _metadata(ran: Ran, asset: str, partition: str | None = None) -> Mapping[str, dg.MetadataValue]:
    wanted = dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[partition] if partition else None)
    with dg.DagsterInstance.get() as instance:
        event = instance.fetch_materializations(wanted, limit=1).records[0]
    assert event.asset_materialization is not None
    return event.asset_materialization.metadata


def _count(ran: Ran, table: str) -> int:
    with ran.store.read() as con:
        return con.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]


def test_everything_is_materialized(ran: Ran, definitions: dg.Definitions) -> None:
    assert ran.run.status == dg.DagsterRunStatus.SUCCESS
    assert ran.run.job_name == "blocks_job"
    for key in definitions.resolve_job_def("blocks_job").asset_layer.executable_asset_keys:
        assert _metadata(ran, key.to_user_string())
    assert _count(ran, "parsed_events") == LINES
    assert _count(ran, "models") == len(TAUGHT)
    assert _count(ran, "evaluations") == 2 * len(STANDARD)
    assert _count(ran, "scores") == len(STANDARD) * _count(ran, "event_matrix")
    assert _count(ran, "anomalies") > 0


def test_every_check_has_run_and_holds(ran: Ran) -> None:
    with dg.DagsterInstance.get() as instance:
        logs = instance.all_logs(ran.run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [entry.get_dagster_event().asset_check_evaluation_data for entry in logs]
    names = {check.check_name for check in found}
    assert names >= {"conservation", "template_coverage", "schema", "no_dead_letters", "unique_keys", "learned"}
    assert [check.check_name for check in found if not check.passed] == []


def test_progress_hears_every_asset_once(ran: Ran, definitions: dg.Definitions) -> None:
    names = [name for name, _, _ in ran.heard]
    total = len(definitions.resolve_job_def("blocks_job").asset_layer.executable_asset_keys)
    assert len(names) == len(set(names)) == total
    assert [(done, of) for _, done, of in ran.heard] == [(at, total) for at in range(1, total + 1)]


def test_an_evaluation_shows_figures_curves_and_a_confusion_matrix(ran: Ran) -> None:
    found = _metadata(ran, "evaluation", "random_forest")
    assert 0 <= found["chronological f1"].value <= 1
    assert "data:image/png;base64," in found["curves"].value
    assert "flagged" in found["random confusion"].value
    assert found["mlflow link"].value.startswith("http")


def test_trainings_are_nested_in_one_finished_mlflow_run(ran: Ran) -> None:
    import mlflow

    mlflow.set_tracking_uri(ran.settings.tracking_uri)
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert [run.data.tags["dagster_run_id"] for run in parents] == [ran.run.run_id]
    assert len(runs) == 1 + len(TAUGHT)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.tags.get("mlflow.parentRunId", parents[0].info.run_id) for run in runs} == {parents[0].info.run_id}
    for name in TAUGHT:
        assert tracked_runs(ran.settings, "blocks", name)[1].dagster == ran.run.run_id


def test_checks_tell_what_is_missing(ran: Ran) -> None:
    home = Home(path=str(ran.settings.home))
    assert conservation(home).passed
    with ran.store.write() as con:
        con.execute("DELETE FROM raw_logs WHERE position = 1")
        con.execute("UPDATE raw_logs SET event_id = 'UNKNOWN' WHERE position % 20 = 0")
        con.execute("UPDATE evaluations SET metrics = '{\"f1\": 1.5}' WHERE detector = 'keywords'")
    after = conservation(home)
    assert not after.passed
    assert after.description == "1 records are missing"
    assert not template_coverage(home).passed
    assert not champion_above_keywords(home).passed
    with ran.store.write() as con:
        con.execute("INSERT INTO dead_letters VALUES (1, 'a.log', 7, 'no time stamp', 'text', now())")
    assert not no_dead_letters(home).passed


def test_proposed_templates_are_shown_with_the_stage_and_severity_to_confirm(home: Settings, tmp_path: Path) -> None:
    heads = {"known": "Receiving blk_1 src: /1 dest: /2", "new": "Forwarding the receipt of blk_1 was interrupted"}
    lines = (f"2026-11-21 04:00:18,971 INFO datanode.DataNode: {text}\n" for text in heads.values())
    (tmp_path / "a.log").write_text("".join(lines))
    ingest(Store.open(home), home, [str(tmp_path / "a.log")])
    parse(Store.open(home), home)
    found = event_templates(home=Home()).metadata
    assert found["proposed templates"] == 1
    assert "| E91 | failure |  | forwarding the receipt of was interrupted |" in found["to confirm"].value


def test_parts_of_the_walk_run_alone_and_import_no_training_library(ran: Ran) -> None:
    code = f"""import sys
import dagster as dg
from hdfs_pipeline.definitions import defs
loggers = {{"console": {{"config": {{"log_level": "ERROR"}}}}}}
made = defs()
read = {{"raw_logs": {{"config": {{"paths": [{str(ran.log)!r}]}}}}}}
with dg.DagsterInstance.get() as instance:
    for job, ops in (("ingest_job", read), ("score_job", {{}})):
        config = {{"ops": ops, "loggers": loggers}}
        print(made.resolve_job_def(job).execute_in_process(config, instance=instance).success)
print([name for name in ("torch", "mlflow", "sklearn") if name in sys.modules])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:3] == ["True", "True", "[]"]
