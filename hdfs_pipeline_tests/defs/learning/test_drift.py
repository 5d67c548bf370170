"""Drift through Dagster: green while there is nothing to tell, yellow after a change, and one retraining asked for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.learning.drift import CHECKS
from hdfs_pipeline.scoring.models import champion_version
from hdfs_pipeline.settings import Settings
from hdfs_pipeline_tests.defs.conftest import Ran, later_home, sensor

CHANGED = """INSERT INTO event_matrix SELECT block_id // 2 + 3, first_time + INTERVAL 1 DAY, last_time + INTERVAL 1 DAY,
duration_s, lines, alarms, list_transform(counts, lambda x: CASE WHEN x = 3 THEN 2 ELSE x END), unfinished,
revision + 1000
FROM event_matrix"""
LABELS = """INSERT INTO labels SELECT m.block_id // 2 + 3, label, kind FROM event_matrix m JOIN labels USING (block_id)
WHERE m.block_id // 2 + 3 IN (SELECT block_id FROM event_matrix)"""


@pytest.fixture
def changed(ran_once: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A copy of the home of the one run, to which labelled blocks came that have two replicas instead of three."""
    text = "bootstrap_samples = 20\nretrain_holdout_blocks = 40\ndrift_min_blocks = 200\n"
    with later_home(ran_once, tmp_path / "home", monkeypatch, text, (CHANGED, LABELS)) as home:
        yield home


def tick(settings: Settings, instance: dg.DagsterInstance) -> Any:
    with dg.build_sensor_context(instance) as context:
        return sensor("drifted")(context, home=Home(path=str(settings.home)))


def checks(definitions: dg.Definitions, instance: dg.DagsterInstance) -> dict[str, Any]:
    """The drift checks of a run of `score_job`."""
    done = definitions.resolve_job_def("score_job").execute_in_process(instance=instance)
    assert done.success
    return {check.check_name: check for check in done.get_asset_check_evaluations() if check.check_name in CHECKS}


def test_nothing_is_told_right_after_a_training(ran: Ran, definitions: dg.Definitions) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        found = checks(definitions, instance)
        assert set(found) == set(CHECKS)
        for check in found.values():
            assert check.passed
            assert check.description.startswith("too few to say: 0 blocks came since version 1 of random_forest")
        assert "no drift is known" in tick(ran.settings, instance).skip_message


def test_a_change_asks_for_one_retraining(changed: Settings, definitions: dg.Definitions) -> None:
    retrain = definitions.resolve_job_def("retrain_job")
    with dg.DagsterInstance.ephemeral() as instance:
        assert isinstance(tick(changed, instance), dg.SkipReason), "before any check has run"
        found = checks(definitions, instance)
        assert {name for name, check in found.items() if not check.passed} >= {"columns_stable", "seen_vectors"}
        assert found["known_templates"].passed
        assert found["known_templates"].description.startswith("steady: ")
        assert all(check.severity == dg.AssetCheckSeverity.WARN for check in found.values())
        shown = found["columns_stable"].metadata
        assert "data:image/png;base64," in shown["before and after"].value
        assert shown["largest PSI"].value > 1
        assert shown["version"].value == 1

        request = tick(changed, instance)
        assert isinstance(request, dg.RunRequest)
        assert tick(changed, instance).run_key == request.run_key, "the same state asks for the same run"
        tags = {**request.tags, "dagster/run_key": request.run_key}
        assert retrain.execute_in_process(request.run_config, instance=instance, tags=tags).success
        version = champion_version(changed, "blocks", "random_forest")
        assert isinstance(tick(changed, instance), dg.SkipReason)
        again = checks(definitions, instance)
        if version == 1:  # the challenger was worse: what has drifted stays drifted, and is not asked for again
            assert "asked for already" in tick(changed, instance).skip_message
        else:
            assert again["columns_stable"].metadata["version"].value == version
            assert all(check.passed for check in again.values()), (
                "it has learned the change, and what it was judged on is too little to say more"
            )
            assert "no drift is known" in tick(changed, instance).skip_message


@pytest.mark.slow
def test_no_second_request_where_the_challenger_was_kept_back(changed: Settings, definitions: dg.Definitions) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        checks(definitions, instance)
        request = tick(changed, instance)
        instance.add_run(dg.DagsterRun(job_name="retrain_job", tags={"dagster/run_key": request.run_key}))
        checks(definitions, instance)
        assert "asked for already" in tick(changed, instance).skip_message


@pytest.mark.slow
def test_drift_pauses_between_two_retrainings_and_says_why(
    changed: Settings, definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version, or other checks that fail, would ask at once again."""
    with dg.DagsterInstance.ephemeral() as instance:
        checks(definitions, instance)
        request = tick(changed, instance)
        assert request.tags["reason"].startswith("drift since version 1 of random_forest learned: ")
        assert request.tags["drift"] in request.tags["reason"].replace(", ", ",")
        instance.add_run(dg.DagsterRun(job_name="retrain_job"))
        assert isinstance(tick(changed, instance), dg.RunRequest), "a retraining that drift did not ask for"
        instance.add_run(dg.DagsterRun(job_name="retrain_job", tags={"drift": "another check"}))
        told = tick(changed, instance).skip_message
        assert request.tags["reason"] in told and "(`retrain_pause_hours`)" in told
        monkeypatch.setenv("HDFS_PIPELINE_RETRAIN_PAUSE_HOURS", "0")
        assert isinstance(tick(changed, instance), dg.RunRequest)


def test_nothing_to_watch_in_a_home_without_a_model(home: Settings) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert "no model" in tick(home, instance).skip_message
