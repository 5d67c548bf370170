"""Old runs and reports go, with their files; what an asset's latest materialization needs stays."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from hdfs_pipeline.defs.common.history import purge_reported, purge_runs

DETECTORS = dg.StaticPartitionsDefinition(["a", "b"])


@dg.asset
def plain(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    context.log.info("made")
    return dg.MaterializeResult(metadata={"rows": 1})


@dg.asset(partitions_def=DETECTORS)
def taught() -> dg.MaterializeResult:
    return dg.MaterializeResult()


@dg.asset_check(asset=plain)
def checked() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.asset
def fails() -> dg.MaterializeResult:
    raise ValueError("it fails")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as found:
        yield found


def made(instance: dg.DagsterInstance, *assets: object, partition: str | None = None) -> str:
    return dg.materialize(assets, instance=instance, partition_key=partition, raise_on_error=False).run_id


def kept(instance: dg.DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def later(days: float = 1.0) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


def test_the_latest_runs_of_each_asset_and_partition_stay(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    old = made(instance, plain, checked)
    first_a = made(instance, taught, partition="a")
    last_b = made(instance, taught, partition="b")
    last_a = made(instance, taught, partition="a")
    last = made(instance, plain, checked)
    files = [path for path in tmp_path.rglob(f"*{old}*") if path.is_file()]
    assert files, "Dagster keeps files of a run"
    assert purge_runs(instance, later(-1), later(-1)) == 0, "all are young"
    assert purge_runs(instance, later(), later()) == 2
    assert kept(instance) == {last, last_a, last_b}
    assert first_a not in kept(instance)
    assert not list(tmp_path.rglob(f"*{old}*"))
    event = instance.get_latest_materialization_event(plain.key)
    assert event is not None and event.run_id == last
    assert instance.get_materialized_partitions(taught.key) == {"a", "b"}
    assert instance.all_logs(last)
    assert purge_runs(instance, later(), later()) == 0


def test_failed_runs_stay_longer(instance: dg.DagsterInstance) -> None:
    made(instance, plain)
    failed = made(instance, fails)
    made(instance, plain)
    assert purge_runs(instance, later(), later(-30)) == 1
    assert failed in kept(instance)
    assert purge_runs(instance, later(), later()) == 1
    assert failed not in kept(instance)


def test_of_what_was_reported_the_latest_stays(instance: dg.DagsterInstance) -> None:
    run = made(instance, plain)
    for number in range(5):
        instance.report_runless_asset_event(dg.AssetMaterialization("outside", metadata={"number": number}))
    instance.report_runless_asset_event(dg.AssetObservation("outside"))
    assert purge_reported(instance, later(-1)) == 0
    assert purge_reported(instance, later()) == 4
    event = instance.get_latest_materialization_event(dg.AssetKey("outside"))
    assert event is not None and event.asset_materialization is not None
    assert event.asset_materialization.metadata["number"].value == 4
    assert kept(instance) == {run} and instance.get_latest_materialization_event(plain.key) is not None
