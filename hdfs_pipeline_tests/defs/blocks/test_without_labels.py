"""A home without labels, and errors that a person can mend."""

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pytest

from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.running.orchestration import prepare_instance, run_main_job
from hdfs_pipeline.settings import Settings, load_settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline_tests.defs.conftest import lean_home


@pytest.fixture(scope="module")
def unlabelled(excerpt: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Settings:
    with pytest.MonkeyPatch.context() as patch:
        settings = load_settings(lean_home(tmp_path_factory.mktemp("unlabelled"), patch))
        assert run_main_job(settings, "blocks", [str(excerpt[0])], None, lambda *_: None)
    return settings


@pytest.mark.slow
def test_detectors_learn_from_the_rules_and_the_champion_serves(unlabelled: Settings) -> None:
    with Store.open(unlabelled).read() as con:
        models = con.execute("SELECT DISTINCT detector FROM models ORDER BY 1").fetchall()
        scored = con.execute("SELECT DISTINCT detector FROM scores ORDER BY 1").fetchall()
        judged = con.execute("SELECT count(*) FROM evaluations").fetchall()
    assert models == [("autoencoder",), ("combinations",), ("exact_match",), ("random_forest",)]
    assert scored == sorted([*models, ("lifecycle",)])
    assert judged == [(0,)]
    assert str(_metadata(unlabelled, "anomalies")["detector"].value) == "random_forest"


def test_what_learns_nothing_is_no_failure(unlabelled: Settings) -> None:
    status = str(_metadata(unlabelled, "model", "keywords")["status"].value)
    assert status.startswith("not trained: keywords is there to be compared with")
    with dg.DagsterInstance.from_config(str(unlabelled.home / "dagster")) as instance:
        (run,) = instance.get_runs()
        logs = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    checks = [entry.get_dagster_event().asset_check_evaluation_data for entry in logs]
    assert [check.check_name for check in checks if not check.passed] == []


def _metadata(home: Settings, asset: str, partition: str | None = None) -> Mapping[str, dg.MetadataValue]:
    wanted = dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[partition] if partition else None)
    with dg.DagsterInstance.from_config(str(home.home / "dagster")) as instance:
        event = instance.fetch_materializations(wanted, limit=1).records[0]
    assert event.asset_materialization is not None
    return event.asset_materialization.metadata


def test_errors_of_the_pipeline_come_out_as_themselves(home: Settings) -> None:
    with pytest.raises(DataError, match="no such file"):
        run_main_job(home, "blocks", [str(home.home / "missing.log")], None, lambda *_: None)
    with dg.DagsterInstance.get() as instance:
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.FAILURE]


def test_an_instance_that_cannot_be_made_is_a_setup_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="choose another home"):
        prepare_instance(load_settings(tmp_path / "file"))
