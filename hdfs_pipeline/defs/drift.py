"""Whether new blocks still look like those that the serving model learned from; if not, a retraining is asked for."""

import hashlib
from collections.abc import Iterator
from typing import Any, Final

import dagster as dg

from hdfs_pipeline.defs.detectors import anomalies
from hdfs_pipeline.defs.jobs import retrain_job
from hdfs_pipeline.defs.metadata import markdown, picture
from hdfs_pipeline.defs.resources import Home
from hdfs_pipeline.errors import PipelineError
from hdfs_pipeline.monitoring.drift import Drift, watch
from hdfs_pipeline.monitoring.stability import Shift
from hdfs_pipeline.scoring.models import champion_version, trained_detectors
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.verdicts.score import serving_detector

CHECKS: Final = {
    "columns_stable": "Each event is about as frequent in the latest new blocks as in those that the model learned "
    "from: no population stability index beyond `drift_psi`, chance, and what was usual before.",
    "scores_stable": "The model gives the latest new blocks scores as it gave those that it learned from.",
    "known_templates": "The events of new blocks match the templates as before: no rise beyond `drift_unknown`.",
    "seen_vectors": "Most new blocks have counts that the model has seen: all but `drift_unseen` of them.",
}
_LISTED: Final = 12


@dg.multi_asset_check(
    specs=[dg.AssetCheckSpec(name, asset=anomalies, description=told) for name, told in CHECKS.items()],
    can_subset=True,
)
def drift(context: dg.AssetCheckExecutionContext, home: Home) -> Iterator[dg.AssetCheckResult]:
    """The blocks that came since the serving model was trained, held against those that it learned from.

    Passed, and said so, where too few came, or where there is nothing to hold them against.
    """
    settings = home.settings
    name = serving_detector(settings)
    try:
        found = watch(home.store, settings, name)
        told = found.verdict
    except PipelineError as error:
        found, told = None, f"cannot be told: {error}"
    for key in sorted(context.selected_asset_check_keys):
        figures, shown = _part(key.name, found) if found and found.scores else ([], {})
        version: dict[str, Any] = {"detector": name, "version": found.version} if found else {"detector": name}
        passed = not any(each.drifted for each in figures)
        yield dg.AssetCheckResult(
            passed=passed,
            asset_key=key.asset_key,
            check_name=key.name,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"steady: {found.held}" if found and figures and passed else told,
            metadata=version | shown,
        )


def _part(check: str, found: Drift) -> tuple[list[Shift], dict[str, Any]]:
    """The figures that a check looks at, and what it shows of them."""
    if check == "columns_stable":
        from hdfs_pipeline.monitoring.drift_plot import drift_png

        names = ["column", "PSI", "chance", "usual", "mean before", "mean after", "drifted"]
        rows = [(e.name, e.value, e.noise, e.usual, e.before, e.after, e.drifted) for e in found.columns[:_LISTED]]
        return list(found.columns), {
            "largest PSI": max(each.value for each in found.columns),
            "columns that drifted": sum(each.drifted for each in found.columns),
            "new blocks": found.current,
            "columns": markdown(names, rows),
            "before and after": picture(drift_png(found), "drift"),
        }
    each = {"scores_stable": found.scores, "known_templates": found.unknown, "seen_vectors": found.unseen}[check]
    if each is None:
        return [], {}
    shown: dict[str, Any] = {"rise" if check != "scores_stable" else "PSI": each.value, "chance": each.noise}
    shown |= {"before": each.before, "after": each.after, "usual": each.usual}
    if each.bins:
        shown["scores"] = markdown(["score", "share before", "share after"], each.bins)
    return [each], shown


@dg.sensor(
    job=retrain_job,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Retrains once where the serving model's drift checks have failed; again only for another version, or "
    "where other checks fail.",
)
def drifted(context: dg.SensorEvaluationContext, home: Home) -> dg.RunRequest | dg.SkipReason:
    """A run for each version that serves and each set of its checks that failed."""
    settings = home.settings
    name = serving_detector(settings)
    if name not in trained_detectors(settings):
        return dg.SkipReason("no model in this home yet")
    version = champion_version(settings, name)
    failed = _failed(context.instance, name, version)
    if not failed:
        return dg.SkipReason(f"no drift is known since version {version} of {name} was trained")
    state = f"{name}.{version}.{','.join(failed)}"
    key = f"drift-{hashlib.sha256(state.encode()).hexdigest()[:16]}"
    if context.instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": key}), limit=1):
        return dg.SkipReason(f"{', '.join(failed)} failed, and a retraining was asked for already")
    return dg.RunRequest(run_key=key, run_config=_config(settings), tags={"drift": ",".join(failed)})


def _failed(instance: dg.DagsterInstance, name: str, version: int | None) -> list[str]:
    """The drift checks whose latest result is a failure of this version of this detector."""
    keys = [dg.AssetCheckKey(anomalies.key, check) for check in CHECKS]
    found = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    failed = []
    for key, record in found.items():
        event = record.event.dagster_event if record.event else None
        if event is None or event.event_type != dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            continue  # planned, or being looked at just now
        result = event.asset_check_evaluation_data
        about = {label: value.value for label, value in result.metadata.items() if label in ("detector", "version")}
        if not result.passed and about == {"detector": name, "version": version}:
            failed.append(key.name)
    return sorted(failed)


def _config(settings: Settings) -> dict[str, Any]:
    """As few new blocks as a challenger can be judged on are enough."""
    return {"ops": {"champion": {"config": {"at_least": settings.retrain_holdout_blocks}}}}
