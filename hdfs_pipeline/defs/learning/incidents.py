"""Factory of a domain's incidents: anomalies that belong together."""

from typing import Any, Final

import dagster as dg

from hdfs_pipeline.defs.common.automation import after_its_inputs, no_blocking_check_failed
from hdfs_pipeline.defs.common.checks import numbers
from hdfs_pipeline.defs.common.metadata import (
    OWNERS,
    Pictures,
    column_lineage,
    picture,
    preview,
    rows_of,
    table_metadata,
)
from hdfs_pipeline.defs.common.naming import JUDGE, named, tags
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.common.versions import version_of
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.scoring.incidents import GOING_ON
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.incidents import publish_incidents, stored
from hdfs_pipeline.verdicts.timeline import timeline_png

_LATEST: Final = """SELECT strftime(started_at, '%Y-%m-%d %H:%M:%S') AS "start (UTC)", round(duration_s)::BIGINT AS s,
    status, severity, coalesce(nullif(title, ''), kind) AS "what happened", evidence
    FROM incidents WHERE domain = $domain ORDER BY started_at DESC LIMIT 10"""
_OPEN: Final = f"""SELECT count(*) AS open, count(*) FILTER (severity = 'critical') AS critical,
    count(*) FILTER (severity = 'major') AS major
    FROM incidents WHERE domain = $domain AND status IN {GOING_ON}"""


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
        automation_condition=after_its_inputs(domain) & no_blocking_check_failed(),
    )
    def incidents(home: Home) -> dg.MaterializeResult:
        settings, store = home.settings, home.store
        publish_incidents(store, settings, domain, None)
        return dg.MaterializeResult(
            metadata={
                **incidents_metadata(store, domain),
                **timeline(store, domain),
                **pictures(settings, store),
                **column_lineage({"entity": [(anomalies, "entity")], "items": [(anomalies, "item")]}),
            }
        )

    return incidents


def incidents_metadata(store: Store, domain: Domain) -> dict[str, Any]:
    """How many incidents of a domain there are, how many go on and how grave these are, and the latest ones."""
    about = {"domain": domain.name}
    return {
        "dagster/row_count": rows_of(store, "incidents", domain.name),
        **numbers(store, _OPEN, about),
        "latest": preview(store, _LATEST, about),
    }


def timeline(store: Store, domain: Domain) -> dict[str, Any]:
    """The picture of a domain's incidents over time; none where there is none."""
    with store.read() as con:
        rows = stored(con, domain.name)
    return {"over time": picture(timeline_png(rows), "incidents by entity, in the colours of severity")} if rows else {}
