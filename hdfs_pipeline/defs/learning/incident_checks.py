"""Checks of incidents: each is whole, and no anomaly that counts is left out of them."""

from typing import Final

import dagster as dg

from hdfs_pipeline.defs.common.checks import numbers, schema_check, unique_keys_check
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.incidents import COUNTED

_WHOLE: Final = """SELECT count(*) AS incidents, count(*) FILTER (items < 1) AS "without an item",
    count(*) FILTER (NOT started_at <= peak_at OR NOT peak_at <= ended_at) AS "peak outside"
    FROM incidents WHERE domain = $domain"""
# Verdicts of a stream come between two groupings; those that came of late may wait for the next one.
_WAITING: Final = "a.origin <> 'batch' AND a.scored_at > now() - INTERVAL 15 MINUTE"
_CONSERVED: Final = f"""SELECT count(*) AS anomalies, count(*) FILTER (NOT inside) AS "in no incident" FROM (
    SELECT EXISTS (FROM incidents i WHERE i.domain = $domain
            AND coalesce(a.told_from, a.first_time) BETWEEN i.started_at - INTERVAL 1 MILLISECOND
                AND i.ended_at + INTERVAL 1 MILLISECOND
            AND (a.kind = '' OR list_contains(json_keys(i.kinds), a.kind))) AS inside
    FROM (SELECT * {COUNTED}) a
    WHERE NOT list_contains($few::VARCHAR[], a.kind) AND NOT ({_WAITING}))"""


def incident_checks(domain: Domain, asset: str) -> list[dg.AssetChecksDefinition]:
    """The checks of a domain's incidents; all of them block."""
    plural = domain.item.plural

    @dg.asset_check(
        name="whole", asset=asset, blocking=True, description="Each has an item at least, and start ≤ peak ≤ end."
    )
    def whole(home: Home) -> dg.AssetCheckResult:
        figures = numbers(home.store, _WHOLE, {"domain": domain.name})
        wrong = figures["without an item"] + figures["peak outside"]
        return dg.AssetCheckResult(
            passed=not wrong,
            description=f"{wrong:,} of {figures['incidents']:,} incidents are not whole" if wrong else None,
            metadata=figures,
        )

    @dg.asset_check(
        name="conservation",
        asset=asset,
        blocking=True,
        description=f"Every anomaly of {plural} lies in an incident of its kind, unless more are needed to make one.",
    )
    def conservation(home: Home) -> dg.AssetCheckResult:
        settings, store = home.settings, home.store
        if not _all_count(domain, settings):
            return dg.AssetCheckResult(passed=True, description="anomalies must last to make an incident")
        figures = numbers(store, _CONSERVED, {"domain": domain.name, "few": _few(domain, store, settings)})
        lost = figures["in no incident"]
        return dg.AssetCheckResult(
            passed=not lost,
            description=f"{lost:,} of {figures['anomalies']:,} anomalies lie in no incident" if lost else None,
            metadata=figures,
        )

    where = f"domain = '{domain.name}'"
    return [schema_check(asset, "incidents"), unique_keys_check(asset, "incidents", where), whole, conservation]


def _all_count(domain: Domain, settings: Settings) -> bool:
    """Whether one anomaly is enough for an incident."""
    grouping = domain.grouping(settings)
    return grouping is not None and not grouping.openers and grouping.rule.least_s == 0


def _few(domain: Domain, store: Store, settings: Settings) -> list[str]:
    """Kinds of which a few anomalies are no incident: those that need more, and what follows from them."""
    kinds = domain.kinds(store, settings)
    need_more = {name for name, kind in kinds.items() if kind.least > 1}
    return sorted(need_more | {name for name, kind in kinds.items() if kind.follows & need_more})
