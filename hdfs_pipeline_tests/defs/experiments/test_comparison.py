"""The asset `comparison`: figures and pictures in Dagster, a report in the home, one run in MLflow."""

import shutil
from pathlib import Path

import dagster as dg
import pytest

from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline_tests.homes import Home, fill

NAMES = ["exact_match", "keywords"]


def test_a_comparison_shows_figures_curves_and_its_report(
    home: Settings, excerpt: tuple[Path, Path], mlflow_db: Path, definitions: dg.Definitions
) -> None:
    import mlflow

    log, labels = excerpt
    fill(Home(home, Store.open(home)), [log], labels)
    shutil.copy(mlflow_db, home.home / "mlflow.db")

    config = {"ops": {"comparison": {"config": {"split": "random", "detectors": NAMES}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        done = definitions.resolve_job_def("compare_job").execute_in_process(config, instance=instance)
    assert done.success
    (event,) = done.asset_materializations_for_node("comparison")
    found = {name: value.value for name, value in event.metadata.items()}
    assert all(0 <= found[f"{name} F1"] <= 1 for name in NAMES)
    assert all(f"| {name} |" in found["detectors"] for name in NAMES)
    assert found["verdict"].startswith("- Best by F1 is ")
    assert "data:image/png;base64," in found["curves"]
    report = Path(found["report"])
    assert report.parent == (home.home / "reports").resolve()
    assert "Detectors compared" in report.read_text()

    mlflow.set_tracking_uri(home.tracking_uri)
    parent = mlflow.get_run(found["mlflow run"])
    assert parent.info.run_name == "comparison random"
    assert parent.info.status == "FINISHED"
    query = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    nested = mlflow.search_runs([parent.info.experiment_id], query, output_format="list")
    assert {run.info.run_name for run in nested} == set(NAMES)
    for run in nested:
        assert run.data.metrics["random.f1"] == pytest.approx(found[f"{run.info.run_name} F1"])


def test_the_main_job_leaves_it_alone(definitions: dg.Definitions) -> None:
    job = definitions.resolve_job_def("blocks_job")
    assert dg.AssetKey("comparison") not in job.asset_layer.executable_asset_keys
