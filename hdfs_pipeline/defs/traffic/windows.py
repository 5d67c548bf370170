"""From requests to windows of a minute, and the learning chain on them."""

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
from hdfs_pipeline.defs.learning.first_model import first_model_sensor
from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.traffic.derive import requests_wait
from hdfs_pipeline.verdicts.following import is_judged

_BUSIEST: Final = """SELECT service, endpoint, sum(requests)::BIGINT AS requests, count(*) AS windows
    FROM request_windows GROUP BY ALL ORDER BY requests DESC LIMIT 12"""


def _requests_wait(home: Home) -> bool:
    """Whether requests wait to be counted, and for no other process that counts and judges them as they come."""
    store = home.store_for_ticks
    return not is_judged(store, home.settings, domain_named("traffic")) and requests_wait(store)


@dg.asset(
    deps=["requests", "kafka_web_logs"],
    group_name="traffic",
    kinds={"duckdb"},
    owners=OWNERS,
    tags=naming.tags("traffic", naming.PARSE),
    metadata=table_metadata("request_windows"),
    freshness_policy=DAILY,
    code_version=version_of("domains.traffic.derive"),
    automation_condition=while_it_waits(StoreSays("requests wait to be counted", _requests_wait), "traffic_anomalies")
    & no_blocking_check_failed(),
)
def request_windows(home: Home) -> dg.MaterializeResult:
    """How many requests each service and endpoint had in each minute, how long they took, how many failed.

    Only minutes with new requests are counted.
    """
    counted = domain_named("traffic").derive(home.store, home.settings)
    return dg.MaterializeResult(
        metadata={
            **row_count(home.store, "request_windows"),
            "counted": counted,
            "busiest": preview(home.store, _BUSIEST),
        }
    )


@dg.definitions
def chain() -> dg.Definitions:
    """The windows, and models, scores and anomalies of them with their checks, jobs and sensors."""
    learned = learning_chain(
        domain_named("traffic"),
        features=["request_windows"],
        freshness=DAILY,
        scores_lineage={
            "score": [("request_windows", name) for name in ("requests", "errors", "mean_ms", "p95_ms")],
        },
        anomalies_lineage={"entity": [("request_windows", "service")]},
    )
    checks = [
        schema_check(request_windows, "request_windows"),
        unique_keys_check(request_windows, "request_windows"),
    ]
    first = first_model_sensor(domain_named("traffic"))
    return dg.Definitions.merge(dg.Definitions(assets=[request_windows], asset_checks=checks, sensors=[first]), learned)
