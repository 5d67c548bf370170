"""Checks of NameNode metrics, and of the baseline that the serving model has learned from."""

import time
from typing import Final

import dagster as dg

from hdfs_pipeline.defs.common.automation import with_its_inputs
from hdfs_pipeline.defs.common.checks import schema_check
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.domains.namenode.reports import model_status

_WARN: Final = dg.AssetCheckSeverity.WARN
_STALE_POLLS: Final = 12  # polls without a sample, after which metrics are no longer fresh

schema_checks = [
    schema_check("namenode_metrics", "namenode_metrics", "namenode_raw", "namenode_collectors"),
    schema_check("hdfs_state", "hdfs_state", "datanode_state", "datanode_metrics"),
]


@dg.asset_check(asset="namenode_model")
def baseline_healthy(home: Home) -> dg.AssetCheckResult:
    """The baseline of the model that serves has no gaps, restarts or duplicates to speak of."""
    status = model_status(home.settings)
    findings = status.get("findings", [])
    serious = [finding["message"] for finding in findings if finding["serious"]]
    sentence = "; ".join(serious) or "nothing serious"
    return dg.AssetCheckResult(
        passed=status["trained"] and not serious,
        severity=_WARN,
        description=sentence if status["trained"] else "no model yet",
        metadata={"findings": len(findings)},
    )


@dg.asset_check(asset="namenode_metrics", additional_deps=["namenode_scores"], automation_condition=with_its_inputs())
def metrics_fresh(home: Home) -> dg.AssetCheckResult:
    """Every NameNode with samples has sent one within the last minute or so."""
    settings, store = home.settings, home.store
    if not store.path.exists():
        return dg.AssetCheckResult(passed=False, severity=_WARN, description="no samples yet")
    with store.read() as con:
        rows = con.execute(
            "SELECT namenode, epoch(max(polled_at)) FROM namenode_metrics GROUP BY 1 ORDER BY 1"
        ).fetchall()
    ages = {name: max(0.0, time.time() - last) for name, last in rows}
    limit = _STALE_POLLS * settings.namenode_poll_s
    stale = {name: age for name, age in ages.items() if age > limit}
    sentence = ", ".join(f"{name} was last heard from {age:,.0f} s ago" for name, age in stale.items())
    return dg.AssetCheckResult(
        passed=bool(ages) and not stale,
        severity=_WARN,
        description=sentence or (f"{len(ages)} NameNodes, all fresh" if ages else "no samples yet"),
        metadata={"limit s": limit, **{f"{name} s": round(age, 1) for name, age in ages.items()}},
    )
