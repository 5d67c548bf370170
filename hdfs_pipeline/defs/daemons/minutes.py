"""From log records to counts per minute of each daemon, and the learning chain on them."""

from typing import Final

import dagster as dg

from hdfs_pipeline.defs.common import naming
from hdfs_pipeline.defs.common.automation import StoreSays, no_blocking_check_failed, while_it_waits
from hdfs_pipeline.defs.common.checks import schema_check, unique_keys_check
from hdfs_pipeline.defs.common.freshness import DAILY
from hdfs_pipeline.defs.common.metadata import OWNERS, preview, row_count, table_metadata
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.common.versions import version_of
from hdfs_pipeline.defs.learning.chain import learning_chain
from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.daemons.catalogue import described
from hdfs_pipeline.domains.daemons.counting import records_wait
from hdfs_pipeline.verdicts.following import is_judged

_DATA: Final = (described().label,)
_RECORDS: Final = """SELECT event_id, sum(records) AS records, count(DISTINCT minute) AS minutes FROM daemon_minutes
    GROUP BY event_id ORDER BY records DESC LIMIT 12"""


def _records_wait(home: Home) -> bool:
    """Whether records wait to be counted, and for no other process that counts and judges them as they come."""
    store = home.store_for_ticks
    return not is_judged(store, home.settings, domain_named("daemons")) and records_wait(store)


@dg.asset(
    deps=["raw_logs", "kafka_raw_logs"],
    group_name="daemons",
    kinds={"duckdb"},
    owners=OWNERS,
    tags=naming.tags("daemons", naming.PARSE),
    metadata=table_metadata("daemon_minutes"),
    freshness_policy=DAILY,
    code_version=version_of("domains.daemons.counting", "domains.daemons.catalogue", data=_DATA),
    automation_condition=while_it_waits(StoreSays("records wait to be counted", _records_wait), "daemons_anomalies")
    & no_blocking_check_failed(),
)
def daemon_minutes(home: Home) -> dg.MaterializeResult:
    """How many records of each daemon and minute match each template: of those that name no block, mostly.

    Only minutes with new records are counted.
    """
    counted = domain_named("daemons").derive(home.store, home.settings)
    return dg.MaterializeResult(
        metadata={
            **row_count(home.store, "daemon_minutes"),
            "counted": counted,
            "most frequent": preview(home.store, _RECORDS),
        }
    )


@dg.definitions
def chain() -> dg.Definitions:
    """The counts, and models, scores and anomalies of daemons' minutes with their checks, jobs and sensors."""
    learned = learning_chain(
        domain_named("daemons"),
        features=["daemon_minutes"],
        freshness=DAILY,
        data=_DATA,
        scores_lineage={"score": [("daemon_minutes", "records")]},
        anomalies_lineage={
            "first_time": [("daemon_minutes", "first_time")],
            "last_time": [("daemon_minutes", "last_time")],
            "entity": [("daemon_minutes", "node")],
        },
    )
    checks = [
        schema_check(daemon_minutes, "daemon_minutes", "daemon_addresses", "daemon_sources", "daemon_lives"),
        unique_keys_check(daemon_minutes, "daemon_minutes"),
    ]
    return dg.Definitions.merge(dg.Definitions(assets=[daemon_minutes], asset_checks=checks), learned)
