"""Everything of a domain from features to incidents: one call makes assets, checks, jobs, sensors and schedules."""

from collections.abc import Sequence
from typing import Final

import dagster as dg

from hdfs_pipeline.defs.common.checks import schema_check, unique_keys_check
from hdfs_pipeline.defs.common.metadata import Lineage, Pictures
from hdfs_pipeline.defs.common.naming import CHOOSE, JUDGE, LEARN, named, selected
from hdfs_pipeline.defs.learning.anomalies import anomalies_asset
from hdfs_pipeline.defs.learning.champion import champion_asset
from hdfs_pipeline.defs.learning.drift import drift_checks
from hdfs_pipeline.defs.learning.incident_checks import incident_checks
from hdfs_pipeline.defs.learning.incidents import incidents_asset
from hdfs_pipeline.defs.learning.models import LearnFrom, evaluation_asset, model_asset
from hdfs_pipeline.defs.learning.retraining import NIGHTLY, drifted_sensor, enough_new_sensor, nightly_schedule
from hdfs_pipeline.defs.learning.scores import scores_asset
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import PipelineError
from hdfs_pipeline.settings import load_settings

_LATELY: Final = "SELECT item FROM scores WHERE scored_at >= now() - INTERVAL 1 DAY"
"""Items that were scored in the last day: a check of all items would take longer each time."""


def learning_chain(
    domain: Domain,
    *,
    features: Sequence[str],
    known: Sequence[str] = ("feedback",),
    freshness: dg.FreshnessPolicy,
    data: Sequence[str] = (),
    learn_from: type[LearnFrom] = LearnFrom,
    retrain_cron: str = NIGHTLY,
    scores_lineage: Lineage | None = None,
    anomalies_lineage: Lineage | None = None,
    scores_pictures: Pictures = lambda *_: {},
    incidents_pictures: Pictures = lambda *_: {},
) -> dg.Definitions:
    """The chain of a domain in the group of its name: model, evaluation, champion, scores, anomalies, incidents.

    `features` are the assets that its detectors read, `known` the assets of labels and feedback, `data` what code
    versions depend on besides the code, `learn_from` the configuration of the models. Lineages say which columns of
    other assets scores and anomalies are made of; pictures add to the metadata of scores and incidents. A domain whose
    anomalies are not grouped has no incidents.
    """
    group, plural = domain.name, domain.item.plural
    scores, anomalies, incidents = (named(domain, part) for part in ("scores", "anomalies", "incidents"))
    grouped = _grouped(domain)
    train_job = dg.define_asset_job(
        named(domain, "train_job"),
        selected(domain, LEARN),
        description=f"Train and judge detectors on the {plural} that are there: those whose partitions are chosen.",
        tags={"domain": domain.name},
    )
    retrain_job = dg.define_asset_job(
        named(domain, "retrain_job"),
        selected(domain, CHOOSE),
        description="Let challengers learn what is new, and serve if they are better beyond chance.",
        tags={"domain": domain.name},
    )
    score_job = dg.define_asset_job(
        named(domain, "score_job"),
        selected(domain, JUDGE),
        description=f"Score {plural} with the present models, and publish anomalies and incidents.",
        tags={"domain": domain.name},
    )
    assets = [
        model_asset(domain, group, features=features, known=known, data=data, learn_from=learn_from),
        evaluation_asset(domain, group),
        champion_asset(domain, group),
        scores_asset(
            domain,
            group,
            features=features,
            data=data,
            freshness=freshness,
            lineage=scores_lineage or {},
            last=incidents if grouped else anomalies,
            pictures=scores_pictures,
        ),
        anomalies_asset(domain, group, freshness=freshness, lineage=anomalies_lineage or {}),
    ]
    checks = [
        schema_check(scores, "scores", "models", "evaluations"),
        unique_keys_check(scores, "scores", f"domain = '{domain.name}' AND item IN ({_LATELY})"),
        schema_check(anomalies, "anomalies"),
        unique_keys_check(anomalies, "anomalies", f"domain = '{domain.name}'"),
        drift_checks(domain),
    ]
    if grouped:
        assets.append(incidents_asset(domain, group, freshness=freshness, pictures=incidents_pictures))
        checks += incident_checks(domain, incidents)
    return dg.Definitions(
        assets=assets,
        asset_checks=checks,
        jobs=[train_job, retrain_job, score_job],
        sensors=[enough_new_sensor(domain, retrain_job), drifted_sensor(domain, retrain_job)],
        schedules=[nightly_schedule(domain, retrain_job, retrain_cron)],
    )


def _grouped(domain: Domain) -> bool:
    """Whether anomalies of a domain become incidents."""
    try:
        return domain.grouping(load_settings()) is not None
    except PipelineError:  # the definitions must load; code that uses the settings reports the error
        return True
