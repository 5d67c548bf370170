"""Factory of the sensor that trains the first models of a domain whose data come by themselves."""

import time

import dagster as dg

from hdfs_pipeline.defs.common.naming import named
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.learning.models import standard_range
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.scoring.models import trained_detectors


def first_model_sensor(domain: Domain) -> dg.SensorDefinition:
    """One run in a home without a model that has data enough; if it fails, another a day later."""

    @dg.sensor(
        name=named(domain, "first_model"),
        job_name=named(domain, "train_job"),
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Trains the first models of {domain.item.plural} once there are enough of them.",
    )
    def first_model(home: Home) -> dg.RunRequest | dg.SkipReason:
        if set(trained_detectors(home.settings, domain.name)) - domain.untrained:
            return dg.SkipReason("there is a model; the nightly schedule holds another one against it")
        if not home.store.path.exists():
            return dg.SkipReason(f"no {domain.item.plural} yet")
        if lacking := domain.lacks_to_learn(home.store, home.settings):
            return dg.SkipReason(f"the first model {lacking}")
        return dg.RunRequest(f"first-{time.time() // 86_400:.0f}", tags=standard_range(domain))

    return first_model
