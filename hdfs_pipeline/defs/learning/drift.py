"""Factory of the drift checks: whether a domain's new items still look like those that its model learned from."""

from collections.abc import Iterator
from typing import Any, Final

import dagster as dg

from hdfs_pipeline.defs.common.metadata import markdown, picture
from hdfs_pipeline.defs.common.naming import named
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.domains.champions import serving_detector
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import PipelineError
from hdfs_pipeline.monitoring.drift import Drift, measure_drift
from hdfs_pipeline.monitoring.stability import Shift

CHECKS: Final = {
    "columns_stable": "Each column of the latest new {plural} has about the values that it had in those that the model "
    "learned from: no population stability index beyond `drift_psi`, chance, and what was usual before.",
    "scores_stable": "The model gives the latest new {plural} scores as it gave those that it learned from.",
    "known_templates": "What new {plural} are made of is known as before: no rise beyond `drift_unknown`.",
    "seen_vectors": "Most new {plural} have features that the model has seen: all but `drift_unseen` of them.",
}
_LISTED: Final = 12


def drift_checks(domain: Domain) -> dg.AssetChecksDefinition:
    """Compare the items that came since the serving model was trained with those that it learned from.

    The checks pass, and say so, if too few items came, or if there is nothing to compare them with.
    """
    judged = named(domain, "anomalies")

    @dg.multi_asset_check(
        name=named(domain, "drift"),
        specs=[
            dg.AssetCheckSpec(name, asset=judged, description=description.format(plural=domain.item.plural))
            for name, description in CHECKS.items()
        ],
        can_subset=True,
    )
    def drift(context: dg.AssetCheckExecutionContext, home: Home) -> Iterator[dg.AssetCheckResult]:
        settings = home.settings
        name = serving_detector(settings, domain)
        about: dict[str, Any] = {"detector": name}
        measured: Drift | None = None
        try:
            measured = measure_drift(home.store, settings, domain, name)
            sentence = measured.conclusion
            about["version"] = measured.version
        except PipelineError as error:
            sentence = f"cannot be told: {error}"
        for key in sorted(context.selected_asset_check_keys):
            figures, shown = _part(key.name, measured) if measured is not None and measured.scores else ([], {})
            passed = not any(figure.drifted for figure in figures)
            steady = measured is not None and bool(figures) and passed
            yield dg.AssetCheckResult(
                passed=passed,
                asset_key=key.asset_key,
                check_name=key.name,
                severity=dg.AssetCheckSeverity.WARN,
                description=f"steady: {measured.compared}" if measured is not None and steady else sentence,
                metadata=about | shown,
            )

    return drift


def _part(check: str, drift: Drift) -> tuple[list[Shift], dict[str, Any]]:
    """The figures that a check judges, and its metadata."""
    if check == "columns_stable":
        from hdfs_pipeline.monitoring.drift_plot import drift_png

        names = ["column", "PSI", "chance", "usual", "mean before", "mean after", "drifted"]
        rows = [
            (shift.name, shift.value, shift.noise, shift.usual, shift.before, shift.after, shift.drifted)
            for shift in drift.columns[:_LISTED]
        ]
        return list(drift.columns), {
            "largest PSI": max(column.value for column in drift.columns),
            "columns that drifted": sum(column.drifted for column in drift.columns),
            "new items": drift.current,
            "columns": markdown(names, rows),
            "before and after": picture(drift_png(drift), "drift"),
        }
    shift = {"scores_stable": drift.scores, "known_templates": drift.unknown, "seen_vectors": drift.unseen}[check]
    if shift is None:
        return [], {}
    shown: dict[str, Any] = {"rise" if check != "scores_stable" else "PSI": shift.value, "chance": shift.noise}
    shown |= {"before": shift.before, "after": shift.after, "usual": shift.usual}
    if shift.bins:
        shown["scores"] = markdown(["score", "share before", "share after"], shift.bins)
    return [shift], shown


def failed_checks(instance: dg.DagsterInstance, judged: dg.AssetKey, detector: str, version: int | None) -> list[str]:
    """The drift checks whose latest result is a failure of this version of this detector."""
    keys = [dg.AssetCheckKey(judged, check) for check in CHECKS]
    records = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    failed = []
    for key, record in records.items():
        event = record.event.dagster_event if record.event else None
        if event is None or event.event_type != dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            continue  # planned, or being evaluated just now
        result = event.asset_check_evaluation_data
        about = {label: value.value for label, value in result.metadata.items() if label in ("detector", "version")}
        if not result.passed and about == {"detector": detector, "version": version}:
            failed.append(key.name)
    return sorted(failed)
