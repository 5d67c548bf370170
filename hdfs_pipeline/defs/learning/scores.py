"""Factory of a domain's scores: what each of its models says of every item.

Unlike models, scores are one asset without partitions: all detectors that can serve score together, whether Dagster
trained them or not, and one run leads from new records to incidents. In a domain whose items follow each other in time
(`Domain.latest`) only new items are scored, and their anomalies and incidents change in the same transaction.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import dagster as dg

from hdfs_pipeline.defs.common.automation import StoreSays, no_blocking_check_failed, while_it_waits, with_its_inputs
from hdfs_pipeline.defs.common.metadata import (
    OWNERS,
    Lineage,
    Pictures,
    column_lineage,
    markdown,
    preview,
    rows_of,
    table_metadata,
)
from hdfs_pipeline.defs.common.naming import JUDGE, named, tags
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.common.versions import version_of_detectors
from hdfs_pipeline.defs.learning.models import NO_MODEL
from hdfs_pipeline.domains.champions import ready_detectors, serving_detector
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.scoring.models import champion_version
from hdfs_pipeline.verdicts.following import is_judged
from hdfs_pipeline.verdicts.score import score_with_doubts
from hdfs_pipeline.verdicts.update import score_new

_HIGHEST: Final = """SELECT item, score, threshold, is_anomaly FROM scores WHERE domain = $domain AND detector = $name
    AND score IS NOT NULL ORDER BY score DESC, item LIMIT 5"""


class Scored(dg.Config):
    """Which detectors score."""

    detectors: list[str] = []  # noqa: RUF012 - pydantic copies defaults
    """Names of detectors; none means all that are ready."""


def scores_asset(
    domain: Domain,
    group: str,
    *,
    features: Sequence[str],
    data: Sequence[str],
    freshness: dg.FreshnessPolicy,
    lineage: Lineage,
    last: str,
    pictures: Pictures,
) -> dg.AssetsDefinition:
    """The score of every item by every model of a domain. It is made if items wait for a score, and with new features.

    `last` is the asset at the end of the chain.
    """
    plural = domain.item.plural
    waits = StoreSays(f"{plural} wait to be scored by the model that serves", lambda home: _wait(home, domain))
    serves = StoreSays("a detector can serve", lambda home: _serving(home, domain) is not None)

    @dg.asset(
        name=named(domain, "scores"),
        deps=[*features, named(domain, "model"), named(domain, "champion")],
        description=f"The score of every {domain.item.noun} by the present model of each detector, and whether it "
        "reaches the threshold.",
        kinds={"duckdb", "onnx"},
        group_name=group,
        owners=OWNERS,
        tags=tags(domain.name, JUDGE),
        metadata=table_metadata("scores"),
        code_version=version_of_detectors(domain, "verdicts.score", "verdicts.update", data=data),
        freshness_policy=freshness,
        automation_condition=(while_it_waits(waits, last) | (with_its_inputs() & serves)) & no_blocking_check_failed(),
    )
    def scores(context: dg.AssetExecutionContext, home: Home, config: Scored) -> dg.MaterializeResult:
        settings, store = home.settings, home.store
        serving = _serving(home, domain)
        if serving is None:
            return dg.MaterializeResult(
                metadata={"status": NO_MODEL, "dagster/row_count": rows_of(store, "scores", domain.name)}
            )
        entities = domain.latest(store)
        if entities:
            about = _new_ones(context, home, domain, entities)
        else:
            about = _all_of_them(context, home, domain, config.detectors or ready_detectors(settings, domain))
        return dg.MaterializeResult(
            metadata={
                **about,
                "dagster/row_count": rows_of(store, "scores", domain.name),
                f"highest by {serving}": preview(store, _HIGHEST, {"domain": domain.name, "name": serving}),
                **pictures(settings, store),
                **column_lineage(lineage),
            }
        )

    return scores


def _all_of_them(
    context: dg.AssetExecutionContext, home: Home, domain: Domain, detectors: Sequence[str]
) -> dict[str, Any]:
    """Score every item with these detectors. Returns the metadata."""
    plural, rows = domain.item.plural, []
    doubted: list[str] = []
    for name in detectors:
        table, doubts = score_with_doubts(home.store, home.settings, domain, name)
        anomalous = sum(table["is_anomaly"].to_pylist())
        doubted += [f"{name}: {doubt.text}" for doubt in doubts]
        rows.append((name, champion_version(home.settings, domain.name, name) or 0, len(table), anomalous))
        context.log.info(f"{name}: {anomalous:,} of {len(table):,} {plural} are anomalous")
    for text in doubted:
        context.log.warning(text)
    return {
        "status": "scored",
        **({"hardly plausible": "\n".join(doubted)} if doubted else {}),
        "detectors": markdown(["detector", "version", plural, "anomalous"], rows),
        **{f"{name} anomalous {plural}": anomalous for name, _, _, anomalous in rows},
    }


def _new_ones(
    context: dg.AssetExecutionContext, home: Home, domain: Domain, entities: Mapping[str, float]
) -> dict[str, Any]:
    """Score the items of each entity that came since the last time. Returns the metadata."""
    rows, reasons = [], []
    for entity in entities:
        try:
            update = score_new(home.store, home.settings, domain, entity)
        except (DataError, NotTrainedError) as error:  # one entity fails: go on with the others
            context.log.info(f"{entity}: {error}")
            reasons.append(f"{entity}: {error}")
            continue
        still_open = sum(incident.status == "open" for incident in update.incidents)
        rows.append((entity, update.version, update.items, len(update.incidents), still_open))
    names = ["of", "version", domain.item.plural, "incidents", "open"]
    about = {"status": "scored"} if rows else {"status": f"nothing scored: {'; '.join(reasons)}"}
    totals = {
        f"new {domain.item.plural}": sum(row[2] for row in rows),
        "open incidents": sum(row[4] for row in rows),
    }
    return about | totals | {"scored": markdown(names, rows)}


def _wait(home: Home, domain: Domain) -> int:
    """How many items have no score by the version that serves, or have changed since; 0 where others judge them."""
    settings, store = home.settings, home.store_for_ticks
    name = _serving(home, domain)
    if name is None or is_judged(store, settings, domain):
        return 0
    return domain.waiting(store, name, champion_version(settings, domain.name, name) or 0)


def _serving(home: Home, domain: Domain) -> str | None:
    """The detector that serves; None where none can."""
    name = serving_detector(home.settings, domain)
    return name if name in ready_detectors(home.settings, domain) else None
