"""NameNode models in Dagster: the assets on a home that has watched the shipped recording, checks, schedules."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hdfs_pipeline.defs import namenode_models
from hdfs_pipeline.defs.namenode_models import (
    TrainWindow,
    metrics_fresh,
    namenode_first_model,
    namenode_incidents,
    namenode_model,
    namenode_retrain_nightly,
    namenode_score_every_five_minutes,
    namenode_scores,
)
from hdfs_pipeline.defs.resources import Home
from hdfs_pipeline.domains.namenode import models
from hdfs_pipeline_tests.domains.namenode.watched import faults, watch
from hdfs_pipeline_tests.homes import open_home


@pytest.fixture
def lean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home whose models train in a second."""
    monkeypatch.setenv("HDFS_PIPELINE_NAMENODE_EPOCHS", "3")
    return Home(path=str(tmp_path / "home"))


def schedule(which: Any, home: Home) -> Any:
    with dg.DagsterInstance.ephemeral() as instance, dg.build_schedule_context(instance=instance) as context:
        return which(context, home=home)


def materialize(home: Home, *assets: Any, config: TrainWindow | None = None) -> dg.ExecuteInProcessResult:
    ops = {"namenode_model": config} if config else None
    return dg.materialize(
        [*assets, metrics_fresh, dg.AssetSpec("namenode_metrics")],
        resources={"home": home},
        run_config=dg.RunConfig(ops=ops) if ops else None,
        selection=dg.AssetSelection.assets(*assets) | dg.AssetSelection.checks(metrics_fresh),
    )


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


def test_from_samples_to_incidents(lean: Home) -> None:
    open_home(Path(lean.path))
    assert isinstance(schedule(namenode_score_every_five_minutes, lean), dg.SkipReason)
    watch(open_home(Path(lean.path)))
    assert isinstance(schedule(namenode_retrain_nightly, lean), dg.RunRequest)
    begin = datetime.fromtimestamp(faults()["listing_storm"].start, UTC)
    window = TrainWindow(end=begin.isoformat())
    done = materialize(lean, namenode_model, namenode_scores, namenode_incidents, config=window)
    assert done.success
    model, scores, incidents = (
        metadata(done, name) for name in ("namenode_model", "namenode_scores", "namenode_incidents")
    )
    assert model["status"] == "trained" and model["version"] == 1 and model["steps"] == 30
    assert scores["steps"] == 95 and scores["dagster/row_count"] == 4 * 95
    assert "data:image/png" in scores["last hour"] and "never called" in model["baseline"]
    assert incidents["dagster/row_count"] == 5 and "metadata churn" in incidents["latest"]
    assert "data:image/png" in incidents["top metrics of the latest"]
    checks = {each.check_name: each for each in done.get_asset_check_evaluations()}
    assert checks["baseline_healthy"].passed
    assert not checks["metrics_fresh"].passed, "the recording is old"
    assert isinstance(schedule(namenode_score_every_five_minutes, lean), dg.SkipReason), "all is scored"


def test_the_first_model_is_asked_for_once_there_are_polls_enough(lean: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def tick() -> Any:
        return namenode_first_model(dg.build_sensor_context(resources={"home": lean}))

    open_home(Path(lean.path))
    assert "no NameNode samples" in tick().skip_message
    watch(open_home(Path(lean.path)))
    assert "needs 720 polls of a NameNode, has 95" in tick().skip_message
    monkeypatch.setenv("HDFS_PIPELINE_NAMENODE_FIRST_POLLS", "40")
    assert tick().run_key == "first-2"
    assert materialize(lean, namenode_model).success
    assert "there is a model" in tick().skip_message


def test_too_little_to_train_on_is_told_not_raised(lean: Home) -> None:
    home = open_home(Path(lean.path))
    watch(home, until=faults()["listing_storm"].start - 200)
    done = materialize(lean, namenode_model)
    assert done.success and "needs 30 steps without a gap" in metadata(done, "namenode_model")["status"]
    assert models.serving(home.settings) is None
    assert isinstance(schedule(namenode_score_every_five_minutes, lean), dg.SkipReason)
    scored = materialize(lean, namenode_scores, namenode_incidents)
    assert "no model" in metadata(scored, "namenode_scores")["status"]


def test_new_samples_are_scored_within_five_minutes(lean: Home) -> None:
    home = open_home(Path(lean.path))
    until = faults()["process_pause_like_gc"].start
    watch(home, until=until)
    end = datetime.fromtimestamp(faults()["listing_storm"].start, UTC).isoformat()
    materialize(lean, namenode_model, namenode_scores, config=TrainWindow(end=end))
    watch(home, since=until)
    assert isinstance(schedule(namenode_score_every_five_minutes, lean), dg.RunRequest)


def test_the_cron_is_a_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert namenode_retrain_nightly.cron_schedule == "0 2 * * *"
    monkeypatch.setenv("HDFS_PIPELINE_NAMENODE_RETRAIN_CRON", "30 4 * * 0")
    assert namenode_models._cron() == "30 4 * * 0"
    monkeypatch.setenv("HDFS_PIPELINE_NAMENODE_EPOCHS", "none")
    assert namenode_models._cron() == "0 2 * * *", "definitions load though a setting cannot be used"
