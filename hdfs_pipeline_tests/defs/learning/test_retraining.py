"""The asset `champion` and what starts it: new blocks, counted, and no second run beside one that runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.learning.retraining import roll_back
from hdfs_pipeline.scoring.models import champion_version
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.feedback import give_feedback, give_feedback_on_group
from hdfs_pipeline_tests.defs.conftest import BLOCKS, TAUGHT, Ran, later_home, schedule, sensor

NEW = 120
COPIES = f"""INSERT INTO event_matrix SELECT block_id + 1, first_time + INTERVAL 1 DAY, last_time + INTERVAL 1 DAY,
duration_s, lines, alarms, counts, '', revision + 1000 FROM (SELECT * FROM event_matrix JOIN labels USING (block_id)
ORDER BY label <> 'anomaly', block_id LIMIT {NEW})"""
LABELS = """INSERT INTO labels SELECT m.block_id, l.label, l.kind FROM event_matrix m JOIN labels l
ON m.block_id = l.block_id + 1 WHERE m.block_id NOT IN (SELECT block_id FROM labels)"""


@pytest.fixture
def grown(ran_once: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A copy of the home of the one run, with labelled blocks that came later."""
    text = f"bootstrap_samples = 20\nretrain_batch_size = {NEW - 20}\nretrain_holdout_blocks = 40\n"
    text += "retrain_rest_hours = 0\n"
    with later_home(ran_once, tmp_path / "home", monkeypatch, text, (COPIES, LABELS)) as home:
        yield home


def tick(settings: Settings, instance: dg.DagsterInstance) -> Any:
    with dg.build_sensor_context(instance) as context:
        return sensor("enough_new_blocks")(context, home=Home(path=str(settings.home)))


def run(definitions: dg.Definitions, instance: dg.DagsterInstance, **config: Any) -> tuple[dict[str, Any], Any]:
    """The metadata of the asset and its check, after a run of the job."""
    job = definitions.resolve_job_def("retrain_job")
    done = job.execute_in_process({"ops": {"champion": {"config": config}}}, instance=instance)
    assert done.success
    (event,) = done.asset_materializations_for_node("champion")
    (check,) = done.get_asset_check_evaluations()
    return {name: value.value for name, value in event.metadata.items()}, check


@pytest.mark.slow
def test_a_batch_of_new_blocks_starts_one_run_at_a_time(
    grown: Settings, definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        request = tick(grown, instance)
        assert isinstance(request, dg.RunRequest)
        assert tick(grown, instance).run_key == request.run_key, "the same blocks ask for the same run"
        instance.add_run(dg.DagsterRun(job_name="retrain_job", status=dg.DagsterRunStatus.STARTED))
        assert tick(grown, instance).skip_message == "a retraining is under way"

    with dg.DagsterInstance.ephemeral() as instance:
        found, check = run(definitions, instance)
        assert "0 new blocks of the 100" in tick(grown, instance).skip_message
        monkeypatch.setenv("HDFS_PIPELINE_RETRAIN_REST_HOURS", "1")
        assert "new blocks ask for another retraining from" in tick(grown, instance).skip_message
    served = {name: champion_version(grown, "blocks", name) for name in TAUGHT}
    assert served["keywords"] == 1
    assert {name: found[f"{name} version"] for name in TAUGHT} == served
    assert found["random_forest new blocks"] == NEW
    lead = found["random_forest challenger F1"] - found["random_forest champion F1"]
    assert served["random_forest"] in ((2,) if lead > 0.3 else (1, 2) if lead > 0 else (1,))
    assert "so version 1 serves on: F1" in found["decisions"]
    assert found["reason"] == "asked for by hand or by a schedule"
    assert check.passed, "a lead that may be chance leaves nobody behind"
    assert check.metadata["random_forest lead in F1"].value == (lead if served["random_forest"] == 2 else -lead)


def test_the_check_warns_where_the_worse_one_serves(grown: Settings, definitions: dg.Definitions) -> None:
    """As after a rollback to a version that was judged the worse one."""
    with Store(grown.store_path).write() as con:
        con.execute(
            """UPDATE labels SET label = if(label = 'normal', 'anomaly', 'normal')
            WHERE block_id IN (SELECT block_id FROM event_matrix ORDER BY first_time LIMIT 300)"""
        )
    with dg.DagsterInstance.ephemeral() as instance:
        found, check = run(definitions, instance, at_least=0)
        lead = check.metadata["random_forest lead in F1"].value
        assert check.passed
        assert lead > 0, found["decisions"]
        now = champion_version(grown, "blocks", "random_forest")
        roll_back(grown, BLOCKS, "random_forest", 1 if now == 2 else 2)
        _, check = run(definitions, instance)
        assert not check.passed
        assert check.severity == dg.AssetCheckSeverity.WARN
        assert check.metadata["random_forest lead in F1"].value == -lead
        assert f"random_forest by {lead:.3f}" in check.description


def test_what_a_night_is_worth(grown: Settings) -> None:
    at = Home(path=str(grown.home))
    request = schedule("retrain_nightly")(home=at)
    assert isinstance(request, dg.RunRequest)
    assert request.run_config == {"ops": {"champion": {"config": {"at_least": 40}}}}
    with Store(grown.store_path).write() as con:
        con.execute("DELETE FROM event_matrix WHERE 'blk_' || block_id NOT IN (SELECT item FROM scores)")
    assert isinstance(schedule("retrain_nightly")(home=at), dg.SkipReason)


def test_nothing_starts_in_a_home_without_a_model(home: Settings) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert "0 new blocks" in tick(home, instance).skip_message
    assert isinstance(schedule("retrain_nightly")(home=Home(path=str(home.home))), dg.SkipReason)


def test_no_night_without_new_blocks(ran: Ran) -> None:
    assert isinstance(schedule("retrain_nightly")(home=Home(path=str(ran.settings.home))), dg.SkipReason)


def say(settings: Settings, label: str, verdict: str, count: int) -> None:
    """A verdict on each of some labelled blocks."""
    with Store(settings.store_path).read() as con:
        rows = con.execute(
            f"""SELECT block_id FROM event_matrix JOIN labels USING (block_id) WHERE label = '{label}'
            ORDER BY block_id LIMIT {count}"""
        ).fetchall()
    for (block_id,) in rows:
        give_feedback(Store(settings.store_path), settings, BLOCKS, str(block_id), verdict, by="Ann")


def test_verdicts_of_people_start_a_run_and_show(
    grown: Settings, definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HDFS_PIPELINE_RETRAIN_BATCH_SIZE", "5000")
    monkeypatch.setenv("HDFS_PIPELINE_CHAMPION", "best")
    with dg.DagsterInstance.ephemeral() as instance:
        assert "0 words of people of the 10" in tick(grown, instance).skip_message
        say(grown, "normal", "false", 9)
        assert "9 words of people of the 10" in tick(grown, instance).skip_message
        say(grown, "anomaly", "real", 1)
        assert isinstance(tick(grown, instance), dg.RunRequest)
        found, _ = run(definitions, instance)
        assert "10 verdicts used (1 real, 9 false, 0 expected)" in found["random_forest feedback"]
        assert found["policy"] == (
            "by F1, a lead of more than 0 with a confidence of 0.95, on at least 20 blocks with 10 anomalies and as "
            "many normal ones"
        )
        assert "| random_forest | F1 |" in found["by the policy"]
        assert found["detector that serves"] in found["choice"]
        assert "0 words of people" in tick(grown, instance).skip_message
        done = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            asset_selection=[dg.AssetKey("feedback")], instance=instance
        )
    (event,) = done.asset_materializations_for_node("feedback")
    assert {name: event.metadata[name].value for name in ("dagster/row_count", "real", "false", "expected")} == {
        "dagster/row_count": 10,
        "real": 1,
        "false": 9,
        "expected": 0,
    }
    assert event.metadata["serving model agrees"].value == "10 of 10"
    assert event.metadata["latest"].value.count("Ann") == 10


def test_a_word_on_a_group_is_one_line_among_the_latest(grown: Settings, definitions: dg.Definitions) -> None:
    kind = "allocated, never stored"
    say(grown, "normal", "false", 3)
    count = give_feedback_on_group(Store(grown.store_path), grown, BLOCKS, kind, "real", by="Bea")
    assert count > 2
    with dg.DagsterInstance.ephemeral() as instance:
        done = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            asset_selection=[dg.AssetKey("feedback")], instance=instance
        )
    (event,) = done.asset_materializations_for_node("feedback")
    others = int(event.metadata["dagster/row_count"].value) - count
    first, *rest = [line for line in event.metadata["latest"].value.splitlines() if "Ann" in line or "Bea" in line]
    assert f"{kind}: {count} items" in first
    assert len(rest) == others > 0
    assert all("Ann" in line for line in rest)
