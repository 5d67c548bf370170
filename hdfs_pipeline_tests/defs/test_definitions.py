"""What is declared: it loads fast and light, is whole, and everything says what it is."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from dagster._core.workspace.load import location_origins_from_yaml_paths

from hdfs_pipeline.defs.common.naming import named
from hdfs_pipeline.domains import all_domains
from hdfs_pipeline.domains.champions import standard_detectors
from hdfs_pipeline.settings import PROJECT
from hdfs_pipeline_tests.test_docs import names_under

HEAVY = ("torch", "mlflow", "sklearn", "matplotlib")
MOST_NODES = 12
OTHER_GROUPS = ("experiments", "learning", "stream")
FOLDERS = sorted(
    path.name for path in (PROJECT / "hdfs_pipeline" / "defs").iterdir() if (path / "__init__.py").exists()
)


def test_definitions_are_loadable(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)


@pytest.mark.parametrize("folder", [name for name in FOLDERS if name != "common"])
def test_a_folder_loads_by_itself(folder: str) -> None:
    """With the resources alone: what it takes from another folder is an asset that lies outside."""
    from dagster.components.core.component_tree import ComponentTree

    tree = ComponentTree.for_project(PROJECT)
    definitions = dg.Definitions.merge(tree.build_defs_at_path("common"), tree.build_defs_at_path(folder))
    dg.Definitions.validate_loadable(definitions)
    assert definitions.resolve_all_asset_specs()


def test_loading_leaves_heavy_libraries_alone() -> None:
    code = f"""import sys
from hdfs_pipeline.definitions import defs
defs().resolve_all_job_defs()
print([name for name in {HEAVY} if name in sys.modules])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_graph_can_be_read_at_a_glance(definitions: dg.Definitions) -> None:
    """The page draws a box for each group, and opens one at a time: none holds more than fits a screen."""
    specs = list(definitions.resolve_all_asset_specs())
    sizes = Counter(spec.group_name for spec in specs)
    assert max(sizes.values()) <= MOST_NODES, sizes
    assert len(sizes) <= len(all_domains()) + len(OTHER_GROUPS), "a group for each domain"
    nodes = {node.key for node in definitions.resolve_asset_graph().asset_nodes}
    assert {spec.key for spec in specs} == nodes, "no stub of an unknown asset"


def test_every_asset_says_what_it_is(definitions: dg.Definitions) -> None:
    for spec in definitions.resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.owners == ["team:platform"], spec.key
        assert spec.kinds, spec.key
        assert spec.code_version, spec.key
        assert spec.tags["stage"], spec.key
        assert spec.group_name != "default", spec.key
        assert spec.metadata["dagster/column_schema"].columns, spec.key


def test_tables_that_must_be_fresh_say_how_fresh(definitions: dg.Definitions) -> None:
    fresh = {spec.key.to_user_string() for spec in definitions.resolve_all_asset_specs() if spec.freshness_policy}
    assert fresh >= {"parsed_events", "event_matrix", "scores", "anomalies", "namenode_metrics", "namenode_scores"}


def test_every_domain_has_its_chain(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for domain in all_domains():
        for part in ("model", "evaluation"):
            partitions = graph.get(dg.AssetKey(named(domain, part))).partitions_def
            assert partitions is not None
            keys = list(partitions.get_partition_keys())
            assert set(keys) == set(domain.detectors)
            standard = standard_detectors(domain)
            assert tuple(keys[: len(standard)]) == standard, "a range of partitions holds them"
        for part in ("champion", "scores", "anomalies"):
            assert graph.get(dg.AssetKey(named(domain, part))).partitions_def is None


def test_every_job_sensor_schedule_and_check_says_what_it_is(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    for job in repository.get_all_jobs():
        assert job.name.startswith("__") or job.description, job.name
    for each in [*repository.sensor_defs, *repository.schedule_defs]:
        assert each.description, each.name
    for key in repository.asset_graph.asset_check_keys:
        assert repository.asset_graph.get_check_spec(key).description, key


def test_checks_of_schema_keys_and_conservation_block(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    specs = [graph.get_check_spec(key) for key in graph.asset_check_keys]
    blocking = {spec.name for spec in specs if spec.blocking}
    assert blocking == {"schema", "unique_keys", "conservation", "records_counted", "whole"}
    assert all(spec.blocking for spec in specs if spec.name in blocking)
    tables = {
        spec.key
        for spec in definitions.resolve_all_asset_specs()
        if spec.metadata.get("dagster/table_name") not in (None, "models", "evaluations", "feedback", "backtests")
    }
    assert {spec.asset_key for spec in specs if spec.name == "schema"} >= tables - {dg.AssetKey("namenode_metrics")}


def test_the_main_job_covers_every_asset_of_block_logs(definitions: dg.Definitions) -> None:
    job = definitions.resolve_job_def("blocks_job")
    blocks = {spec.key for spec in definitions.resolve_all_asset_specs() if spec.group_name == "blocks"}
    assert blocks | {dg.AssetKey("feedback")} == set(job.asset_layer.executable_asset_keys)


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


def test_the_docs_name_all_of_it(definitions: dg.Definitions) -> None:
    """Under its own heading of docs/dagster.md each thing has a row, and nothing else has one."""
    repository, graph = definitions.get_repository_def(), definitions.resolve_asset_graph()
    there = {
        "Assets": {key.to_user_string() for key in graph.get_all_asset_keys()},
        "Checks": {key.name for key in graph.asset_check_keys},
        "Jobs": {job.name for job in definitions.resolve_all_job_defs() if not job.name.startswith("__")},
        "What starts runs": {each.name for each in (*repository.sensor_defs, *repository.schedule_defs)},
    }
    for heading, names in there.items():
        assert names_under("docs/dagster.md", heading) == names, heading
