"""Factory of a domain's `champion`: a challenger learns what is new, and serves only if it is shown to be better.

The sensors and the schedule that start it are in `retraining.py`.
"""

from collections.abc import Sequence
from typing import Any, Final

import dagster as dg

from hdfs_pipeline.defs.common.metadata import OWNERS, markdown, table_metadata
from hdfs_pipeline.defs.common.naming import CHOOSE, named, tags
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.common.versions import version_of
from hdfs_pipeline.domains.champions import ready_detectors, serving_detector
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import PipelineError
from hdfs_pipeline.learning.choice import choose_detector
from hdfs_pipeline.learning.judgement import METRICS, policy_of
from hdfs_pipeline.learning.retraining import retrain
from hdfs_pipeline.scoring.feedback import feedback_sentence
from hdfs_pipeline.scoring.models import cards, champion_version, trained_detectors
from hdfs_pipeline.settings import Settings

_CHECK: Final = "champion_not_worse"
_FIGURES: Final = {"f1": "F1", "pr_auc": "PR-AUC"}


class Retrain(dg.Config):
    """When to retrain."""

    at_least: int | None = None
    """New items that a retraining needs; by default the setting `retrain_batch_size`."""


def champion_asset(domain: Domain, group: str) -> dg.AssetsDefinition:
    """Which version of each model of a domain serves, and why."""
    name = named(domain, "champion")

    @dg.asset(
        name=name,
        deps=[named(domain, "model")],
        check_specs=[
            dg.AssetCheckSpec(
                _CHECK,
                asset=name,
                description="Of each detector the version that serves was not the worse one when two were last judged "
                f"on the same {domain.item.plural}.",
            )
        ],
        description=f"Which version of each model serves, and why. Where enough {domain.item.plural} are new, a "
        "challenger learns from them and is judged beside the champion on the latest ones; it serves only if it leads "
        "beyond chance. `hdfs-pipeline rollback` goes back.",
        group_name=group,
        kinds={"scikitlearn", "pytorch", "mlflow"},
        owners=OWNERS,
        tags=tags(domain.name, CHOOSE),
        metadata=table_metadata("models"),
        code_version=version_of("learning.retraining", "learning.challenge", "learning.judgement", "learning.choice"),
    )
    def champion(
        context: dg.AssetExecutionContext, home: Home, mlflow: dg.ResourceParam[Any], config: Retrain
    ) -> dg.MaterializeResult:
        settings, rows, sides = home.settings, [], []
        about: dict[str, Any] = {}
        trained = trained_detectors(settings, domain.name)
        for detector in ready_detectors(settings, domain):
            try:
                with home.alone("training"):
                    outcome = retrain(
                        home.store, settings, domain, detector, at_least=config.at_least, on_step=context.log.info
                    )
            except PipelineError as error:  # one detector fails: go on with the others
                context.log.warning(f"{detector} is left as it is: {error}")
                rows.append((detector, _version(settings, domain, detector), "left as it is", str(error)))
                continue
            if not (outcome.champion or outcome.challenger):  # it needs no model, and there is nothing to tell it
                continue
            rows.append((detector, _version(settings, domain, detector), outcome.status, outcome.verdict))
            sides += [_sides(outcome)] if outcome.judgement else []
            about |= _figures(domain, detector, outcome)
            if outcome.challenger is not None:
                mlflow.set_tag(f"{detector}_challenger", outcome.challenger)  # on the Dagster run's own MLflow run
            about[f"{detector} version"] = _version(settings, domain, detector)
        columns = ["detector", "figure", "champion", "challenger", "margin", "judged by", domain.item.plural]
        decisions = markdown(["detector", "version that serves", "decision", "why"], rows)
        about |= {
            "reason": context.run.tags.get("reason", "asked for by hand or by a schedule"),
            "policy": policy_of(settings, domain),
            "by the policy": markdown([*columns, "anomalies", "decision"], sides),
        }
        choice = choose_detector(home.store, settings, domain) if trained else None
        if choice is not None:
            about |= {"detector that serves": serving_detector(settings, domain), "choice": choice.verdict}
        return dg.MaterializeResult(
            metadata={"decisions": decisions, **about}, check_results=[_not_worse(settings, domain, trained)]
        )

    return champion


def _version(settings: Settings, domain: Domain, detector: str) -> int | None:
    return champion_version(settings, domain.name, detector)


def _figures(domain: Domain, detector: str, outcome: Any) -> dict[str, Any]:
    figures: dict[str, Any] = {f"{detector} new {domain.item.plural}": outcome.new}
    figures |= {f"{detector} feedback": feedback_sentence(outcome.feedback)} if outcome.feedback else {}
    for side in ("champion", "challenger"):
        for figure, title in _FIGURES.items():
            value = outcome.judgement.get(side, {}).get(figure)
            figures |= {f"{detector} {side} {title}": value} if value is not None else {}
    return figures


def _sides(outcome: Any) -> tuple[Any, ...]:
    """A row of the policy's table; without enough labels its figures are missing."""
    judged = outcome.judgement
    policy = judged["policy"]
    figures = [judged[side].get(policy["metric"]) for side in ("champion", "challenger")]
    facts = (policy["margin"], judged["by"], judged["items"], judged["anomalies"], outcome.status)
    return (outcome.detector, METRICS[policy["metric"]], *figures, *facts)


def _not_worse(settings: Settings, domain: Domain, trained: Sequence[str]) -> dg.AssetCheckResult:
    leads: dict[str, tuple[str, float]] = {}
    behind = []
    for detector in trained:
        lead = _lead(settings, domain, detector)
        if lead is not None:
            metric, value, rejected = lead
            leads[detector] = metric, value
            behind += [f"{detector} by {-value:.3f} in {metric}"] if rejected and value < 0 else []
    sentence = f"behind: {', '.join(behind)}" if behind else "none is behind" if leads else "nothing was judged yet"
    return dg.AssetCheckResult(
        check_name=_CHECK,
        passed=not behind,
        severity=dg.AssetCheckSeverity.WARN,
        description=sentence,
        metadata={f"{detector} lead in {metric}": lead for detector, (metric, lead) in leads.items()},
    )


def _lead(settings: Settings, domain: Domain, detector: str) -> tuple[str, float, bool] | None:
    """The policy's metric, how far the serving version leads in it by the newest judgement, and if that rejected it.

    A lead that may be chance rejects nobody. None if that version was not part of the judgement.
    """
    judged = [card for card in cards(settings, domain.name, detector) if card.judgement.get("by") == "labels"]
    if not judged:
        return None
    card, serving = judged[-1], _version(settings, domain, detector)
    old, new = card.judgement["champion"], card.judgement["challenger"]
    metric = card.judgement.get("policy", {}).get("metric", "f1")  # older releases knew F1 alone
    lead = float(new[metric] - old[metric])
    leads: dict[int | None, float] = {old["version"]: -lead, card.version: lead}
    rejected = old["version"] if card.judgement["passed"] else card.version
    return (METRICS[metric], leads[serving], serving == rejected) if serving in leads else None
