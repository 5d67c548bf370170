"""The asset `champion`: a challenger learns what is new, and serves only if it is not worse; and what starts that."""

import hashlib
from typing import Any

import dagster as dg

from hdfs_pipeline.defs.jobs import retrain_job
from hdfs_pipeline.defs.metadata import OWNERS, markdown, table_metadata
from hdfs_pipeline.defs.resources import Home
from hdfs_pipeline.detectors import DETECTORS
from hdfs_pipeline.errors import PipelineError
from hdfs_pipeline.learning.judgement import METRICS, policy_sentence
from hdfs_pipeline.learning.retraining import Retraining
from hdfs_pipeline.scoring.feedback import feedback_sentence
from hdfs_pipeline.scoring.models import cards, champion_version, newest_version, trained_detectors
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.verdicts.score import serving_detector

_RUNNING = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_FIGURES = {"f1": "F1", "pr_auc": "PR-AUC"}
_SIDES = ["detector", "figure", "champion", "challenger", "margin", "judged by", "blocks", "anomalies", "decision"]


class Retrain(dg.Config):
    """When to retrain."""

    at_least: int | None = None
    """New blocks that it takes; the setting `retrain_batch_size` where none is given."""


_not_worse = dg.AssetCheckSpec(
    "champion_not_worse",
    asset="champion",
    description="Of each detector the version that serves was not the worse one when two were last judged on the same "
    "blocks.",
)


@dg.asset(
    deps=[f"{name}_model" for name in DETECTORS],
    check_specs=[_not_worse],
    group_name="models",
    kinds={"scikitlearn", "pytorch", "mlflow"},
    owners=OWNERS,
    metadata=table_metadata("models"),
)
def champion(
    context: dg.AssetExecutionContext, home: Home, mlflow: dg.ResourceParam[Any], config: Retrain
) -> dg.MaterializeResult:
    """Which version of each model serves, and why.

    Where enough blocks are new, a challenger learns from them and is judged beside the champion on the latest ones; it
    serves only if it is not worse. `hdfs-pipeline rollback` goes back.
    """
    from hdfs_pipeline.learning.choice import choose_detector
    from hdfs_pipeline.learning.retraining import retrain

    settings, rows, sides = home.settings, [], []
    found: dict[str, Any] = {}
    for name in [name for name in DETECTORS if name in trained_detectors(settings)]:
        try:
            with home.alone("training"):
                done = retrain(home.store, settings, name, at_least=config.at_least, on_step=context.log.info)
        except PipelineError as error:  # of one detector, which is no reason to leave the others as they are
            context.log.warning(f"{name} is left as it is: {error}")
            rows.append((name, champion_version(settings, name), "left as it is", str(error)))
            continue
        rows.append((name, champion_version(settings, name), done.status, done.verdict))
        found[f"{name} new blocks"] = done.new
        sides += [_sides(done)] if done.judgement else []
        found |= {f"{name} feedback": feedback_sentence(done.feedback)} if done.feedback else {}
        for side in ("champion", "challenger"):
            for figure, title in _FIGURES.items():
                value = done.judgement.get(side, {}).get(figure)
                found |= {f"{name} {side} {title}": value} if value is not None else {}
        if done.challenger is not None:
            mlflow.set_tag(f"{name}_challenger", done.challenger)  # on the Dagster run's own MLflow run
        found[f"{name} version"] = champion_version(settings, name)
    decisions = markdown(["detector", "version that serves", "decision", "why"], rows)
    found |= {"policy": policy_sentence(settings), "by the policy": markdown(_SIDES, sides)}
    choice = choose_detector(home.store, settings) if trained_detectors(settings) else None
    found |= {"detector that serves": serving_detector(settings), "choice": choice.verdict} if choice else {}
    return dg.MaterializeResult(metadata={"decisions": decisions, **found}, check_results=[_compare(settings)])


def _sides(done: Retraining) -> tuple[Any, ...]:
    """A row of the policy's table; without enough labels its figures are missing."""
    judged = done.judgement
    policy = judged["policy"]
    figures = [judged[side].get(policy["metric"]) for side in ("champion", "challenger")]
    facts = (policy["margin"], judged["by"], judged["blocks"], judged["anomalies"], done.status)
    return (done.detector, METRICS[policy["metric"]], *figures, *facts)


def _compare(settings: Settings) -> dg.AssetCheckResult:
    leads: dict[str, tuple[str, float]] = {}
    for name in trained_detectors(settings):
        found = _lead(settings, name)
        leads |= {name: found} if found is not None else {}
    behind = [f"{name} by {-lead:.3f} in {metric}" for name, (metric, lead) in leads.items() if lead < 0]
    told = f"behind: {', '.join(behind)}" if behind else "none is behind" if leads else "nothing was judged yet"
    return dg.AssetCheckResult(
        check_name=_not_worse.name,
        passed=not behind,
        severity=dg.AssetCheckSeverity.WARN,
        description=told,
        metadata={f"{name} lead in {metric}": lead for name, (metric, lead) in leads.items()},
    )


def _lead(settings: Settings, name: str) -> tuple[str, float] | None:
    """The policy's figure of the version that serves less the other's, from the newest judgement, with its name.

    None where that version was not part of it.
    """
    judged = [card for card in cards(settings, name) if card.judgement.get("by") == "labels"]
    if not judged:
        return None
    card, serving = judged[-1], champion_version(settings, name)
    old, new = card.judgement["champion"], card.judgement["challenger"]
    metric = card.judgement.get("policy", {}).get("metric", "f1")  # older releases knew F1 alone
    lead = float(new[metric] - old[metric])
    leads: dict[int | None, float] = {old["version"]: -lead, card.version: lead}
    return (METRICS[metric], leads[serving]) if serving in leads else None


def new_verdicts(home: Home) -> dict[str, int]:
    """How many verdicts of people are new to each trained detector."""
    from hdfs_pipeline.learning.retraining import changed_verdicts

    settings = home.settings
    if not home.store.path.exists():
        return {}
    return {name: changed_verdicts(home.store, settings, name) for name in trained_detectors(settings)}


def new_blocks(home: Home) -> dict[str, int]:
    """How many blocks are new to each trained detector, about."""
    from hdfs_pipeline.learning.retraining import waiting_blocks

    settings = home.settings
    if not home.store.path.exists():
        return {}
    return {name: waiting_blocks(home.store, settings, name) for name in trained_detectors(settings)}


@dg.sensor(
    job=retrain_job,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Retrains once `retrain_batch_size` labelled or scored blocks, or `retrain_feedback` verdicts of "
    "people, are new to a detector, and not while another retraining runs.",
)
def enough_new_blocks(context: dg.SensorEvaluationContext, home: Home) -> dg.RunRequest | dg.SkipReason:
    """A run for each batch of new blocks; a run that failed is asked for again only after one more batch."""
    settings = home.settings
    try:
        waiting, said = new_blocks(home), new_verdicts(home)
    except PipelineError as error:
        return dg.SkipReason(str(error))
    batches = {
        name: count // settings.retrain_batch_size + said[name] // settings.retrain_feedback
        for name, count in waiting.items()
    }
    if not any(batches.values()):
        most, verdicts = max(waiting.values(), default=0), max(said.values(), default=0)
        return dg.SkipReason(
            f"{most:,} new blocks of the {settings.retrain_batch_size:,} that a retraining waits for, and {verdicts:,} "
            f"verdicts of people of the {settings.retrain_feedback:,}"
        )
    if context.instance.get_runs(dg.RunsFilter(job_name=retrain_job.name, statuses=_RUNNING), limit=1):
        return dg.SkipReason("a retraining is under way")
    state = ",".join(f"{name}.{newest_version(settings, name)}.{count}" for name, count in sorted(batches.items()))
    return dg.RunRequest(run_key=f"retrain-{hashlib.sha256(state.encode()).hexdigest()[:16]}")
