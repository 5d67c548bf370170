"""What is declared: it loads fast and light, is whole, and everything says what it is."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from dagster._core.workspace.load import location_origins_from_yaml_paths

from hdfs_pipeline.detectors import DETECTORS, STANDARD
from hdfs_pipeline.settings import PROJECT

HEAVY = ("torch", "mlflow", "sklearn", "matplotlib")


def test_definitions_are_loadable(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)


def test_loading_leaves_heavy_libraries_alone() -> None:
    code = f"""import sys
from hdfs_pipeline.definitions import defs
defs().resolve_all_job_defs()
print([name for name in {HEAVY} if name in sys.modules])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_asset_says_what_it_is(definitions: dg.Definitions) -> None:
    for spec in definitions.resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.owners == ["team:platform"], spec.key
        assert spec.kinds, spec.key
        assert spec.group_name != "default", spec.key
        assert spec.metadata["dagster/column_schema"].columns, spec.key


def test_every_detector_has_its_assets(definitions: dg.Definitions) -> None:
    keys = {spec.key.to_user_string() for spec in definitions.resolve_all_asset_specs()}
    assert keys >= {f"{name}_{part}" for name in DETECTORS for part in ("model", "evaluation", "scores")}


def test_every_job_sensor_schedule_and_check_says_what_it_is(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    for job in repository.get_all_jobs():
        assert job.name.startswith("__") or job.description, job.name
    for each in [*repository.sensor_defs, *repository.schedule_defs]:
        assert each.description, each.name
    for key in repository.asset_graph.asset_check_keys:
        assert repository.asset_graph.get_check_spec(key).description, key


def test_the_main_job_covers_every_asset_of_block_logs(definitions: dg.Definitions) -> None:
    job = definitions.resolve_job_def("blocks_job")
    specs = definitions.resolve_all_asset_specs()
    blocks = {spec.key for spec in specs if spec.group_name not in ("stream", "namenode", "experiments", "backtests")}
    others = {name for name in DETECTORS if name not in STANDARD}
    untrained = {dg.AssetKey(f"{name}_{part}") for name in others for part in ("model", "evaluation")}
    assert untrained < blocks
    assert blocks - untrained == set(job.asset_layer.executable_asset_keys)


def test_workspace_names_this_code_location() -> None:
    (origin,) = location_origins_from_yaml_paths([str(PROJECT / "workspace.yaml")])
    assert origin.location_name == "hdfs_pipeline"


def test_instance_file_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (PROJECT / "dagster.yaml").read_text()
    (tmp_path / "dagster.yaml").write_text(text)
    config, _ = dagster_instance_config(str(tmp_path))
    assert set(yaml.safe_load(text)) <= set(config)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with dg.DagsterInstance.get() as instance:
        assert not instance.telemetry_enabled
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 4
