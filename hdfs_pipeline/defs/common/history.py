"""The sensor that keeps Dagster's history small: old runs go, with their events, logs and files."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.event_log import SqlEventLogStorage

from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.common.runs import FAILED

_TICK_S: Final = 3600
_AT_ONCE: Final = 500  # runs that one tick deletes at most: Dagster ends a tick that takes a minute
# What sensors and processes report belongs to no run. Of each asset (and partition) the latest event stays.
_REPORTED: Final = sa.text(
    """DELETE FROM event_logs WHERE run_id = '' AND timestamp < :before AND asset_key IS NOT NULL AND id NOT IN (
    SELECT max(id) FROM event_logs WHERE asset_key IS NOT NULL GROUP BY asset_key, "partition", dagster_event_type)"""
)


@dg.sensor(
    target=None,
    name="history",
    minimum_interval_seconds=_TICK_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Deletes runs that ended more than history_days ago (failed ones: history_failed_days) with their "
    "events, logs and files, and what was reported before that. What an asset's latest materialization needs stays.",
)
def history(context: dg.SensorEvaluationContext, home: Home) -> dg.SkipReason:
    """One look: how much was deleted."""
    settings, now = home.settings, datetime.now(UTC)
    before = now - timedelta(days=settings.history_days)
    failed_before = now - timedelta(days=settings.history_failed_days)
    runs = purge_runs(context.instance, before, failed_before)
    reported = purge_reported(context.instance, before)
    return dg.SkipReason(f"{runs:,} runs and {reported:,} reports deleted")


def purge_runs(instance: dg.DagsterInstance, before: datetime, failed_before: datetime) -> int:
    """Delete runs that succeeded before the one time or failed before the other; how many, at most 500."""
    old = [
        *_ended(instance, [dg.DagsterRunStatus.SUCCESS], before),
        *_ended(instance, [*FAILED], failed_before),
    ]
    if not old:
        return 0
    needed = set(_needed(instance))
    gone = [run_id for run_id in old if run_id not in needed][:_AT_ONCE]
    for run_id in gone:
        instance.delete_run(run_id)
        _delete_files(instance, run_id)
    return len(gone)


def purge_reported(instance: dg.DagsterInstance, before: datetime) -> int:
    """Delete events without a run that were reported before a time, but for the latest of each kind; how many."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return 0
    with storage.index_connection() as connection:
        done = connection.execute(_REPORTED, {"before": before.replace(tzinfo=None)})
        return int(done.rowcount)


def _ended(instance: dg.DagsterInstance, statuses: list[dg.DagsterRunStatus], before: datetime) -> list[str]:
    """The runs that have a status and did not change since a time, the oldest first."""
    filters = dg.RunsFilter(statuses=statuses, updated_before=before)
    # Some of the oldest may be needed: those of assets that nobody has made for long.
    records = instance.get_run_records(filters, limit=2 * _AT_ONCE, ascending=True)
    return [record.dagster_run.run_id for record in records]


def _needed(instance: dg.DagsterInstance) -> Iterator[str]:
    """The runs behind the latest materialization of each asset, and of each of its partitions."""
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    for key in instance.all_asset_keys():
        latest = instance.get_latest_materialization_event(key)
        if latest is not None:
            yield latest.run_id
        by_partition = instance.event_log_storage.get_latest_storage_id_by_partition(key, kind)
        if by_partition:
            ids = [*by_partition.values()]
            found = instance.fetch_materializations(dg.AssetRecordsFilter(key, storage_ids=ids), limit=len(ids))
            yield from (record.run_id for record in found.records)


def _delete_files(instance: dg.DagsterInstance, run_id: str) -> None:
    """Delete what Dagster leaves of a run on the disk: outputs and logs, and its own SQLite file of events."""
    if instance.is_ephemeral:
        return
    shutil.rmtree(Path(instance.storage_directory()) / run_id, ignore_errors=True)
    for file in Path(instance.root_directory, "history", "runs").glob(f"{run_id}.db*"):
        with suppress(OSError):
            file.unlink()


@dg.definitions
def purging() -> dg.Definitions:
    """The sensor."""
    return dg.Definitions(sensors=[history])
