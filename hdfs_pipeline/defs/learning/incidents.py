"""Factory of a domain's incidents: anomalies that belong together."""

from typing import Final

import dagster as dg

from hdfs_pipeline.defs.common.automation import after_its_inputs, no_blocking_check_failed
from hdfs_pipeline.defs.common.metadata import OWNERS, Pictures, column_lineage, preview, rows_of, table_metadata
from hdfs_pipeline.defs.common.naming import JUDGE, named, tags
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.common.versions import version_of
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.verdicts.incidents import publish_incidents

_LATEST: Final = """SELECT strftime(started_at, '%Y-%m-%d %H:%M:%S') AS "start (UTC)", round(duration_s)::BIGINT AS s,
    status, severity, entity, kind, evidence FROM incidents WHERE domain = $domain ORDER BY started_at DESC LIMIT 10"""


def incidents_asset(
    domain: Domain, group: str, *, freshness: dg.FreshnessPolicy, pictures: Pictures
) -> dg.AssetsDefinition:
    """The incidents of a domain: anomalies that belong together."""
    anomalies = named(domain, "anomalies")

    @dg.asset(
        name=named(domain, "incidents"),
        deps=[anomalies],
        description=f"Anomalous {domain.item.plural} that belong together, with the likely cause and its evidence. The "
        "same anomalies give the same incidents.",
        kinds={"duckdb", "python"},
        group_name=group,
        owners=OWNERS,
        tags=tags(domain.name, JUDGE),
        metadata=table_metadata("incidents"),
        code_version=version_of("verdicts.incidents", "scoring.incidents"),
        freshness_policy=freshness,
        automation_condition=after_its_inputs() & no_blocking_check_failed(),
    )
    def incidents(home: Home) -> dg.MaterializeResult:
        settings, store = home.settings, home.store
        if not domain.latest(store):
            publish_incidents(store, settings, domain)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": rows_of(store, "incidents", domain.name),
                "latest": preview(store, _LATEST, {"domain": domain.name}),
                **pictures(settings, store),
                **column_lineage({"entity": [(anomalies, "entity")], "items": [(anomalies, "item")]}),
            }
        )

    return incidents
