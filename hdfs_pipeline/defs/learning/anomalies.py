"""Factory of a domain's anomalies: the items that a detector calls anomalous, with the reason."""

from typing import Any, Final

import dagster as dg

from hdfs_pipeline.defs.common.automation import after_its_inputs, no_blocking_check_failed
from hdfs_pipeline.defs.common.metadata import OWNERS, Lineage, column_lineage, preview, rows_of, table_metadata
from hdfs_pipeline.defs.common.naming import JUDGE, named, tags
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.common.versions import version_of
from hdfs_pipeline.defs.learning.models import NO_MODEL
from hdfs_pipeline.domains.champions import named_champion, ready_detectors, serving_detector
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.verdicts.score import publish_anomalies

_REASONS: Final = """SELECT reason, count(*) AS items FROM anomalies WHERE domain = $domain AND detector = $name
    GROUP BY reason ORDER BY items DESC, reason LIMIT 10"""
_KINDS: Final = """SELECT kind, count(*) AS items, min(last_time) AS first, max(last_time) AS last,
    array_to_string(list_sort(list_distinct(list(entity)))[:5], ', ') AS hosts FROM anomalies
    WHERE domain = $domain AND detector = $name AND kind <> '' GROUP BY kind ORDER BY items DESC, kind LIMIT 30"""


def anomalies_asset(
    domain: Domain, group: str, *, freshness: dg.FreshnessPolicy, lineage: Lineage
) -> dg.AssetsDefinition:
    """The anomalous items of a domain with their reasons."""
    scores = named(domain, "scores")
    from_scores = {name: [(scores, name)] for name in ("detector", "version", "score", "threshold")}

    @dg.asset(
        name=named(domain, "anomalies"),
        deps=[scores],
        description=f"The anomalous {domain.item.plural}, each with the reason in one sentence: verdicts of the "
        "detector that serves, and of the domain's other voices. Where the one that the settings name has no model, "
        "another stands in, and the metadata says so.",
        kinds={"duckdb", "python"},
        group_name=group,
        owners=OWNERS,
        tags=tags(domain.name, JUDGE),
        metadata=table_metadata("anomalies"),
        code_version=version_of("verdicts.score", "scoring.explain"),
        freshness_policy=freshness,
        automation_condition=after_its_inputs(domain) & no_blocking_check_failed(),
    )
    def anomalies(context: dg.AssetExecutionContext, home: Home) -> dg.MaterializeResult:
        settings, store = home.settings, home.store
        serving, wanted = serving_detector(settings, domain), named_champion(settings, domain)
        ready = ready_detectors(settings, domain)
        if serving not in ready:
            rows = rows_of(store, "anomalies", domain.name)
            return dg.MaterializeResult(metadata={"status": NO_MODEL, "dagster/row_count": rows})
        if serving != wanted:
            context.log.warning(f"the champion {wanted} has no model in this home: {serving} stands in")
        if not domain.latest(store):
            for name in domain.voices(settings, serving):
                if name in ready:
                    publish_anomalies(store, settings, domain, name)
        about: dict[str, Any] = {
            "status": "published",
            "dagster/row_count": rows_of(store, "anomalies", domain.name),
            "detector": serving if serving == wanted else f"{serving}, in place of {wanted}",
            f"anomalous {domain.item.plural}": rows_of(store, "anomalies", domain.name, serving),
            "kinds": preview(store, _KINDS, {"domain": domain.name, "name": serving}),
            "reasons": preview(store, _REASONS, {"domain": domain.name, "name": serving}),
        }
        return dg.MaterializeResult(metadata=about | column_lineage({**from_scores, **lineage}))

    return anomalies
