"""Factories of a domain's models and their evaluations: one asset each, with a partition for each detector.

A detector that cannot learn in this home (for instance without the labels that it needs) says so by its `status` and by
a yellow check. It does not fail the run: another detector can stand in for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg

from hdfs_pipeline.defs.common.beta import beta
from hdfs_pipeline.defs.common.metadata import OWNERS, markdown, table_metadata
from hdfs_pipeline.defs.common.naming import LEARN, named, tags
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.common.versions import version_of_detectors
from hdfs_pipeline.defs.learning.figures import evaluation_metadata, facts_metadata, mlflow_metadata
from hdfs_pipeline.domains.champions import families, load_scorer, ready_detectors, standard_detectors
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import DataError, PipelineError
from hdfs_pipeline.learning.challenge import train_and_track
from hdfs_pipeline.learning.training import judge_splits
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.feedback import feedback_sentence
from hdfs_pipeline.scoring.scorer import Card

NO_MODEL: Final = "no model in this home: nothing to do"
_SOURCES: Final = ("learning.training", "learning.challenge", "scoring.thresholds")


def detector_partitions(domain: Domain) -> dg.StaticPartitionsDefinition:
    """A partition for each detector of a domain, the standard ones first: so a range of partitions holds them."""
    standard = standard_detectors(domain)
    return dg.StaticPartitionsDefinition([*standard, *(name for name in domain.detectors if name not in standard)])


def standard_range(domain: Domain) -> dict[str, str]:
    """Tags of a run that trains a domain's standard detectors, whatever else it does."""
    standard = standard_detectors(domain)
    return {"dagster/asset_partition_range_start": standard[0], "dagster/asset_partition_range_end": standard[-1]}


class LearnFrom(dg.Config):
    """Which items models learn from: all, unless a domain has a configuration of its own."""

    def items(self, domain: Domain, home: Home, families: Sequence[str]) -> Dataset:
        """The items. Raises: DataError if there are none, or too few."""
        domain.prepare(home.store, home.settings)
        return domain.features(home.store, home.settings, families)


def model_asset(
    domain: Domain,
    group: str,
    *,
    features: Sequence[str],
    known: Sequence[str],
    data: Sequence[str],
    learn_from: type[LearnFrom],
) -> dg.AssetsDefinition:
    """The models of a domain. `features` and `known` (labels, feedback) are what they learn from.

    `data` goes into the asset's code version; `learn_from` is the asset's configuration.
    """
    name = named(domain, "model")
    by_detector = _by_detector(
        domain,
        name=name,
        deps=[*features, *known],
        check_specs=[dg.AssetCheckSpec("learned", asset=name, description="Each detector asked for has a model.")],
        description=f"A model of each detector of {domain.item.plural}. Judged on two splits; a run in MLflow and a "
        "new version of its registered model. The first one is fitted on all of them and serves; a later one is judged "
        "beside the champion on the latest ones, and serves if it leads beyond chance.",
        kinds={"scikitlearn", "pytorch", "mlflow"},
        group_name=group,
        code_version=version_of_detectors(domain, *_SOURCES, data=data),
        metadata=table_metadata("models"),
    )

    def model(
        context: dg.AssetExecutionContext, home: Home, mlflow: dg.ResourceParam[Any], config: LearnFrom
    ) -> dg.MaterializeResult:
        models = _train(context, home, domain, asked_for(context), mlflow, config)
        for detector, about in models.items():
            context.add_asset_metadata(about, partition_key=detector)
        statuses = {detector: str(about["status"]) for detector, about in models.items()}
        ready = ready_detectors(home.settings, domain)
        return dg.MaterializeResult(check_results=[_learned(domain, statuses, ready)])

    model.__annotations__["config"] = learn_from  # the domain's own: Dagster reads it from here
    asset: dg.AssetsDefinition = by_detector(model)
    return asset


def _train(
    context: dg.AssetExecutionContext,
    home: Home,
    domain: Domain,
    detectors: Sequence[str],
    mlflow: Any,
    learn_from: LearnFrom,
) -> dict[str, dict[str, Any]]:
    """Train detectors on the same items. Returns the metadata of each."""
    taught = [detector for detector in detectors if detector not in domain.untrained]
    untaught = {detector: {"status": "serves without a training"} for detector in detectors if detector not in taught}
    try:
        items = learn_from.items(domain, home, families(domain, taught))
    except DataError as error:  # there is nothing to learn from yet, or too little
        context.log.warning(str(error))
        return untaught | {detector: {"status": f"not trained: {error}"} for detector in taught}
    models, failed = {}, []
    for detector in taught:
        try:
            models[detector] = _trained(context, home, domain, detector, items, mlflow)
        except PipelineError as error:  # of one detector, which is no reason to leave out the others
            context.log.error(f"{detector}: {error}")
            failed.append(error)
    if failed:
        raise failed[0]
    return untaught | models


def _trained(
    context: dg.AssetExecutionContext, home: Home, domain: Domain, detector: str, items: Dataset, mlflow: Any
) -> dict[str, Any]:
    """Train a detector. Returns its metadata."""
    settings = home.settings
    try:
        with home.alone("training"):
            card, run_id = train_and_track(home.store, items, domain, detector, settings, context.log.info)
    except DataError as error:
        if domain.row(detector).cls.learns_from not in ("labels", "nothing"):  # which this home may lack, or not need
            raise
        context.log.warning(str(error))
        return {"status": f"not trained: {error}"}
    mlflow.set_tag(f"{detector}_model", card.version)  # on the Dagster run's own MLflow run
    about = {
        "status": "trained",
        "about": domain.row(detector).about,
        "version": card.version,
        "decision": card.judgement.get("verdict", "serves: it is the first version, or the one before serves no more"),
        "threshold": card.threshold,
        domain.item.plural: card.items,
        "source": card.source,
        **facts_metadata(card.facts),
    }
    about |= {"feedback": feedback_sentence(card.feedback)} if card.feedback else {}
    return about | mlflow_metadata(settings, run_id)


def _learned(domain: Domain, statuses: Mapping[str, str], ready: Sequence[str]) -> dg.AssetCheckResult:
    learn = [detector for detector in statuses if domain.row(detector).cls.learns_from != "nothing"]
    missing = [detector for detector in learn if detector not in ready]
    return dg.AssetCheckResult(
        check_name="learned",
        passed=not missing,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"no model of {', '.join(missing)}" if missing else None,
        metadata={"detectors": markdown(["detector", "status"], list(statuses.items()))},
    )


def evaluation_asset(domain: Domain, group: str) -> dg.AssetsDefinition:
    """How well each model of a domain does on items that it was not trained on."""
    model = named(domain, "model")

    @_by_detector(  # type: ignore[untyped-decorator]
        domain,
        name=named(domain, "evaluation"),
        deps=[model],
        description=f"How well each detector does on {domain.item.plural} that it was not trained on: half of them "
        "drawn at random, and the later half. Needs labels of both kinds.",
        kinds={"duckdb", "matplotlib"},
        group_name=group,
        code_version=version_of_detectors(domain, *_SOURCES, "scoring.evaluation"),
        metadata=table_metadata("evaluations"),
    )
    def evaluation(context: dg.AssetExecutionContext, home: Home) -> None:
        for detector in asked_for(context):
            about = _evaluated(context, home, domain, detector, dg.AssetKey(model))
            context.add_asset_metadata(about, partition_key=detector)

    return evaluation


def _evaluated(
    context: dg.AssetExecutionContext, home: Home, domain: Domain, detector: str, model: dg.AssetKey
) -> dict[str, Any]:
    settings = home.settings
    if detector not in ready_detectors(settings, domain):
        return {"status": NO_MODEL}
    from hdfs_pipeline.learning.tracking import publish_evaluations

    card = load_scorer(settings, domain, detector).card
    if not card.version:
        card = _judged(context, home, domain, card)
    publish_evaluations(home.store, card)
    if not card.metrics:
        return {"status": "not judged: needs labels of both kinds"}
    return {"status": "judged", **evaluation_metadata(card, _latest(context.instance, model, detector))}


def _judged(context: dg.AssetExecutionContext, home: Home, domain: Domain, card: Card) -> Card:
    """The card of a detector that serves without a training, with its figures on the splits that judge all others."""
    try:
        data = domain.features(home.store, home.settings, [card.family])
    except DataError as error:  # nothing was read yet
        context.log.info(str(error))
        return card
    tests = judge_splits(data, domain, card.detector, home.settings, context.log.info)
    metrics = {split: tested.evaluation.to_json() for split, tested in tests.items()}
    return replace(card, metrics=metrics, created_at=datetime.now(UTC).isoformat(timespec="seconds"))


def _latest(instance: dg.DagsterInstance, model: dg.AssetKey, detector: str) -> Mapping[str, Any]:
    """Metadata of the latest materialization of a detector's model."""
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(model, asset_partitions=[detector]), limit=1
    ).records
    event = records[0].asset_materialization if records else None
    return event.metadata if event is not None else {}


def asked_for(context: dg.AssetExecutionContext) -> list[str]:
    """The detectors whose partitions a run is to make. Raises: DataError for a run without partitions."""
    if not (context.has_partition_key or context.has_partition_key_range):
        raise DataError("which detectors? Choose partitions of the job, such as the standard detectors")
    return list(context.partition_keys)


def _by_detector(domain: Domain, **asset: Any) -> Any:
    """The decorator of an asset with a partition for each detector; one run can make any range of partitions."""
    with beta():  # `backfill_policy`
        return dg.asset(
            partitions_def=detector_partitions(domain),
            backfill_policy=dg.BackfillPolicy.single_run(),
            owners=OWNERS,
            tags=tags(domain.name, LEARN),
            **asset,
        )
