"""Factory of the sensor that starts a run for new files in the home's folder `incoming`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from hdfs_pipeline.defs.common.incoming import LABELS_FILE, Stamp, rested, run_key
from hdfs_pipeline.defs.common.naming import named
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.scoring.models import trained_detectors


def incoming_sensor(
    domain: Domain, *, read: str, labels: str, job: Any, first_job: Any, first_tags: Mapping[str, str]
) -> dg.SensorDefinition:
    """One run for all new and changed files of a domain: `job`, or `first_job` in a home without a model.

    `read` is the asset that takes the paths of logs, `labels` the one that takes the path of labels. `first_tags` say
    which detectors the first job trains.
    """

    @dg.sensor(
        name=named(domain, "incoming_files"),
        jobs=[job, first_job],
        minimum_interval_seconds=5,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Reads and scores what is new or has changed in the home's folder incoming/{domain.name}, once it "
        f"has come to rest for a few seconds; {LABELS_FILE} is taken as labels. In a home without a model "
        f"{first_job.name} runs.",
    )
    def incoming_files(context: dg.SensorEvaluationContext, home: Home) -> dg.SensorResult | dg.SkipReason:
        settings = home.settings
        incoming = settings.incoming.resolve()
        stamps = rested(incoming, domain)
        known = {path: tuple(stamp) for path, stamp in json.loads(context.cursor or "{}").items()}
        changed = _one_of_labels({path: stamp for path, stamp in stamps.items() if known.get(path) != stamp})
        if not changed:
            return dg.SkipReason(f"nothing new in {incoming}")
        trained = bool(trained_detectors(settings, domain.name))
        request = dg.RunRequest(
            run_key=run_key(changed),
            job_name=job.name if trained else first_job.name,
            run_config={"ops": _ops(changed)},
            tags={} if trained else first_tags,
        )
        # A file that is still being written keeps its old stamp, and a file that is gone is forgotten.
        kept = {path: stamp for path, stamp in known.items() if Path(path).exists()}
        return dg.SensorResult([request], cursor=json.dumps(kept | changed))

    def _ops(changed: Mapping[str, Stamp]) -> dict[str, Any]:
        ops: dict[str, Any] = {read: {"config": {"paths": sorted(path for path in changed if not _is_labels(path))}}}
        for path in filter(_is_labels, changed):
            ops[labels] = {"config": {"path": path}}
        return ops

    return incoming_files


def _one_of_labels(changed: dict[str, Stamp]) -> dict[str, Stamp]:
    """All files except further files of labels: a run takes one of these, and the others wait for the next run."""
    waiting = sorted(filter(_is_labels, changed))[1:]
    return {path: stamp for path, stamp in changed.items() if path not in waiting}


def _is_labels(path: str) -> bool:
    return Path(path).name == LABELS_FILE
