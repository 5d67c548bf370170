"""NameNodes in Dagster: the chain on a home that has watched the shipped recording, its checks, sensor and schedule."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hdfs_pipeline.defs.common.resources import Home as HomeResource
from hdfs_pipeline.defs.learning.models import standard_range
from hdfs_pipeline.defs.namenode import chain as module
from hdfs_pipeline.defs.namenode.checks import baseline_healthy, metrics_fresh
from hdfs_pipeline.defs.namenode.first_model import namenode_first_model
from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.namenode.detectors import LEARNING, MAIN
from hdfs_pipeline.domains.namenode.features import load_baseline
from hdfs_pipeline.learning.challenge import train_and_track
from hdfs_pipeline.scoring.models import trained_detectors
from hdfs_pipeline_tests.defs.conftest import Automation, lean_home, schedule
from hdfs_pipeline_tests.domains.namenode.watched import faults, watch
from hdfs_pipeline_tests.homes import Home, open_home

NAMENODE = domain_named("namenode")
SCORED = {"namenode_scores", "namenode_anomalies", "namenode_incidents"}


@pytest.fixture
def lean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow_db: Path) -> Home:
    """A home, named by the environment, whose models train in a second."""
    folder = lean_home(tmp_path / "home", monkeypatch)
    monkeypatch.setenv("HDFS_PIPELINE_NAMENODE_EPOCHS", "3")
    (folder / "mlflow.db").write_bytes(mlflow_db.read_bytes())
    return open_home(folder)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def run(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    job: str,
    tags: dict[str, str] | None = None,
    config: Any = None,
) -> dg.ExecuteInProcessResult:
    done = definitions.resolve_job_def(job).execute_in_process(config or {}, instance=instance, tags=tags or {})
    assert done.success
    return done


def metadata(instance: dg.DagsterInstance, asset: str, detector: str | None = None) -> dict[str, Any]:
    wanted = dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[detector] if detector else None)
    event = instance.fetch_materializations(wanted, limit=1).records[0].asset_materialization
    assert event is not None
    return {name: value.value for name, value in event.metadata.items()}


def learn_quiet_time(home: Home, detectors: Iterable[str] = LEARNING) -> None:
    """Models of the time before the first fault."""
    settings = home.settings.model_copy(update={"namenode_epochs": 3})
    end = datetime.fromtimestamp(faults()["listing_storm"].start, UTC)
    data = load_baseline(home.store, settings, end=end)
    for name in detectors:
        train_and_track(home.store, data, NAMENODE, name, settings)


def at(home: Home) -> HomeResource:
    return HomeResource(path=str(home.settings.home))


def test_samples_become_scores_anomalies_and_incidents(
    lean: Home, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    watch(lean)
    learn_quiet_time(lean)
    run(definitions, instance, "namenode_score_job")
    scores = metadata(instance, "namenode_scores")
    assert scores["status"] == "scored"
    assert scores["new windows"] == 95 and scores["dagster/row_count"] == 4 * 95
    assert "data:image/png" in scores["last hour"]
    incidents = metadata(instance, "namenode_incidents")
    assert incidents["dagster/row_count"] == 5 and "metadata churn" in incidents["latest"]
    assert "data:image/png" in incidents["top metrics of the latest"]
    anomalies = metadata(instance, "namenode_anomalies")
    assert anomalies["detector"] == MAIN
    assert anomalies["dagster/row_count"] >= anomalies["anomalous windows"] > 0
    assert baseline_healthy(at(lean)).passed
    assert not metrics_fresh(at(lean)).passed, "the recording is old"


def test_models_of_a_window_are_partitions_and_serve_at_once(
    lean: Home, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    watch(lean)
    end = datetime.fromtimestamp(faults()["listing_storm"].start, UTC).isoformat()
    config = {"ops": {"namenode_model": {"config": {"end": end}}}}
    run(definitions, instance, "namenode_train_job", standard_range(NAMENODE), config)
    model = metadata(instance, "namenode_model", MAIN)
    assert (model["status"], model["version"], model["windows"]) == ("trained", 1, 30)
    assert "never called" in model["findings"] and model["left out"] == "none"
    assert trained_detectors(lean.settings, "namenode") == sorted(LEARNING)
    assert instance.get_materialized_partitions(dg.AssetKey("namenode_model")) == set(LEARNING)


def test_the_first_model_is_asked_for_once_there_are_polls_enough(lean: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def tick() -> Any:
        return namenode_first_model(dg.build_sensor_context(resources={"home": at(lean)}))

    assert "no NameNode samples" in tick().skip_message
    watch(lean)
    assert "needs 720 polls of a NameNode, has 95" in tick().skip_message
    monkeypatch.setenv("HDFS_PIPELINE_NAMENODE_FIRST_POLLS", "40")
    request = tick()
    assert request.run_key == "first-2" and request.tags == standard_range(NAMENODE)
    learn_quiet_time(lean, ["lstm_autoencoder"])
    assert tick() == request, "what served in an earlier release only stands in"
    learn_quiet_time(lean)
    assert "there is a model" in tick().skip_message


def test_new_samples_are_scored_within_two_minutes(
    lean: Home, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    automation = Automation(definitions, instance)
    assert automation.soon() == set(), "there is nothing"
    until = faults()["process_pause_like_gc"].start
    watch(lean, until=until)
    assert automation.soon() == set(), "there is no model"
    learn_quiet_time(lean)
    assert automation.soon() == SCORED
    run(definitions, instance, "namenode_score_job")
    assert automation.soon() == set(), "all is scored"
    watch(lean, since=until)
    assert automation.after(timedelta(seconds=30)) == set(), "the clock is between its ticks"
    assert automation.after(timedelta(minutes=2)) == SCORED
    assert automation.after(timedelta(seconds=30)) == set(), "it was asked for a moment ago"
    assert automation.soon() == SCORED, "that run has failed, then"


def test_too_little_to_learn_from_is_said_and_no_failure(
    lean: Home, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    watch(lean, until=faults()["listing_storm"].start - 200)
    done = run(definitions, instance, "namenode_train_job", standard_range(NAMENODE))
    assert "needs 30 steps without a gap" in metadata(instance, "namenode_model", MAIN)["status"]
    (learned,) = [check for check in done.get_asset_check_evaluations() if check.check_name == "learned"]
    assert not learned.passed and learned.severity == dg.AssetCheckSeverity.WARN
    assert trained_detectors(lean.settings, "namenode") == []


def test_a_home_without_a_model_says_so(lean: Home, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
    watch(lean)
    run(definitions, instance, "namenode_score_job")
    assert "no model" in metadata(instance, "namenode_scores")["status"]


def test_at_night_a_challenger_learns_and_serves_if_it_is_as_quiet(
    lean: Home, definitions: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HDFS_PIPELINE_RETRAIN_HOLDOUT_BLOCKS", "5")
    watch(lean)
    learn_quiet_time(lean)
    run(definitions, instance, "namenode_score_job")
    request = schedule("namenode_retrain_nightly")(home=at(lean))
    assert request.run_config == {"ops": {"namenode_champion": {"config": {"at_least": 5}}}}
    run(definitions, instance, "namenode_retrain_job", config=request.run_config)
    decisions = metadata(instance, "namenode_champion")["decisions"]
    assert "false alarms are all that can be told" in decisions and "outside incidents" in decisions


def test_a_night_without_new_samples_is_left_out(lean: Home) -> None:
    assert isinstance(schedule("namenode_retrain_nightly")(home=at(lean)), dg.SkipReason)


def test_the_cron_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert schedule("namenode_retrain_nightly").cron_schedule == "0 2 * * *"
    monkeypatch.setenv("HDFS_PIPELINE_NAMENODE_RETRAIN_CRON", "30 4 * * 0")
    assert module.cron() == "30 4 * * 0"
    monkeypatch.setenv("HDFS_PIPELINE_NAMENODE_EPOCHS", "none")
    assert module.cron() == "0 2 * * *", "definitions load though a setting cannot be used"
