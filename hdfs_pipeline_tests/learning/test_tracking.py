"""MLflow and the store tell the same of each training."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline.domains.blocks.features import load_dataset
from hdfs_pipeline.learning.challenge import train_and_track
from hdfs_pipeline.learning.tracking import Run, experiment_of, publish_evaluations, start_tracking, tracked_runs
from hdfs_pipeline.scoring.models import model_folder
from hdfs_pipeline_tests.homes import BLOCKS, FAST, Home, copy_home, open_home

SPLITS = ("random", "chronological")
FIGURES = ("precision", "recall", "f1", "pr_auc", "roc_auc", "false_alarms_per_10k")


def runs(home: Home) -> dict[str, Any]:
    """The home's runs by name."""
    import mlflow

    start_tracking(home.settings, "blocks")
    return {
        run.info.run_name: run
        for run in mlflow.search_runs(experiment_names=[experiment_of("blocks")], output_format="list")
    }


def client(home: Home) -> Any:
    import mlflow

    start_tracking(home.settings, "blocks")
    return mlflow.MlflowClient()


def artifacts(home: Home, run_id: str, folder: str = "") -> set[str]:
    return {found.path for found in client(home).list_artifacts(run_id, folder)}


def test_each_training_is_a_run(trained: Home) -> None:
    assert set(runs(trained)) == set(FAST)


def test_the_run_of_a_version_is_found_without_mlflow(trained: Home, tmp_path: Path) -> None:
    import mlflow

    found = tracked_runs(trained.settings, "blocks", "exact_match")
    assert found == {1: Run(runs(trained)["exact_match"].info.run_id, "")}
    assert tracked_runs(trained.settings, "blocks", "pca") == {}
    for content in (None, b"", b"no database"):
        home = open_home(tmp_path / str(content))
        if content is not None:
            home.settings.home.mkdir()
            (home.settings.home / "mlflow.db").write_bytes(content)
        assert tracked_runs(home.settings, "blocks", "exact_match") == {}
    copied = copy_home(trained, tmp_path / "home")
    shutil.copy(trained.settings.home / "mlflow.db", copied.settings.home)
    parents = client(copied)
    parent = parents.create_run(start_tracking(copied.settings, "blocks"), tags={"dagster_run_id": "d1"})
    parents.set_tag(found[1].mlflow, mlflow.utils.mlflow_tags.MLFLOW_PARENT_RUN_ID, parent.info.run_id)
    assert tracked_runs(copied.settings, "blocks", "exact_match") == {1: Run(found[1].mlflow, "d1")}


@pytest.mark.parametrize("name", FAST)
def test_a_run_has_the_parameters_and_figures_of_the_card(trained: Home, name: str) -> None:
    run = runs(trained)[name]
    folder = model_folder(trained.settings, "blocks", name)
    card = json.loads((folder / "card.json").read_text())
    assert run.info.status == "FINISHED"
    assert run.data.params == {
        "detector": name,
        "threshold_rule": card["rule"],
        "seed": "7",
        "catalogue": card["source"],
        "blocks": "400",
        "data": card["fingerprint"],
    }
    figures = {f"{split}.{figure}": card["metrics"][split][figure] for split in SPLITS for figure in FIGURES}
    assert run.data.metrics == pytest.approx(figures | {"threshold": card["threshold"]})


@pytest.mark.parametrize("name", FAST)
def test_a_run_keeps_curves_evaluations_and_model(trained: Home, name: str, tmp_path: Path) -> None:
    run_id = runs(trained)[name].info.run_id
    folder = model_folder(trained.settings, "blocks", name)
    assert artifacts(trained, run_id) == {
        "curves.png",
        "evaluation_chronological.json",
        "evaluation_random.json",
        "model",
    }
    assert artifacts(trained, run_id, "model") == {f"model/{path.name}" for path in folder.iterdir()}
    fetched = Path(client(trained).download_artifacts(run_id, "", str(tmp_path)))
    for path in folder.iterdir():
        assert (fetched / "model" / path.name).read_bytes() == path.read_bytes()
    card = json.loads((folder / "card.json").read_text())
    for split in SPLITS:
        assert json.loads((fetched / f"evaluation_{split}.json").read_text()) == card["metrics"][split]
    assert (fetched / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_artifacts_lie_in_the_home(trained: Home) -> None:
    for run in runs(trained).values():
        assert run.info.artifact_uri.startswith((trained.settings.home / "mlartifacts").resolve().as_uri())


def test_the_registered_model_is_the_runs_own(trained: Home) -> None:
    for name in FAST:
        made = client(trained).get_model_version_by_alias(f"hdfs_blocks_{name}", "champion")
        assert (int(made.version), made.run_id) == (1, runs(trained)[name].info.run_id)


def test_the_store_has_the_card_and_the_figures(trained: Home) -> None:
    found = trained.rows("SELECT detector, version, source, threshold, path, card FROM models ORDER BY detector")
    assert [row[0] for row in found] == sorted(FAST)
    for name, version, catalogue, threshold, path, card in found:
        told = json.loads((model_folder(trained.settings, "blocks", name) / "card.json").read_text())
        del told["digest"]  # of the file
        assert json.loads(card) == told
        assert (version, catalogue, threshold) == (1, told["source"], told["threshold"])
        assert Path(path) == model_folder(trained.settings, "blocks", name)
        rows = trained.rows("SELECT split, metrics FROM evaluations WHERE detector = ? AND version = 1", name)
        assert {split: json.loads(metrics) for split, metrics in rows} == told["metrics"]
    assert trained.rows("SELECT count(*) FROM evaluations") == [(len(FAST) * len(SPLITS),)]


def test_training_again_makes_a_second_version(trained: Home, tmp_path: Path, mlflow_db: Path) -> None:
    """In a home whose experiment was deleted by hand in between, which MLflow would refuse."""
    home = copy_home(trained, tmp_path / "again")
    shutil.rmtree(home.settings.models)
    with home.store.write() as con:
        con.execute("DELETE FROM models")
        con.execute("DELETE FROM evaluations")
    shutil.copy(mlflow_db, home.settings.home / "mlflow.db")
    data = load_dataset(home.store, home.settings)
    card, _ = train_and_track(home.store, data, BLOCKS, "keywords", home.settings)
    publish_evaluations(home.store, card)
    client(home).delete_experiment(client(home).get_experiment_by_name(experiment_of("blocks")).experiment_id)
    unlabelled = data.take(data.labels == 0)
    card, run_id = train_and_track(home.store, unlabelled, BLOCKS, "keywords", home.settings)
    publish_evaluations(home.store, card)
    publish_evaluations(home.store, card)

    assert home.rows("SELECT version FROM models ORDER BY version") == [(1,), (2,)]
    assert home.rows("SELECT version, split FROM evaluations ORDER BY split") == [(1, "chronological"), (1, "random")]
    name = "hdfs_blocks_keywords"
    versions = client(home).search_model_versions(f"name = '{name}'")
    assert {int(made.version) for made in versions} == {1, 2}
    newest = client(home).get_model_version_by_alias(name, "champion")
    assert (int(newest.version), newest.run_id) == (2, run_id)
    assert card.version == 2
    run = client(home).get_run(newest.run_id)
    assert run.data.params["blocks"] == "360"
    assert set(run.data.metrics) == {"threshold"}, "without anomalies there is nothing to judge on"
    assert artifacts(home, newest.run_id) == {"model"}
