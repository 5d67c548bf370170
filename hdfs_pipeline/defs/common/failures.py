"""Messages about failed runs: which step failed, why, and what to do next."""

from collections.abc import Iterator
from typing import Final

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from hdfs_pipeline.errors import DataError, NotTrainedError, SetupError

FAILED_TAG: Final = "hdfs_pipeline/failed"
_LONGEST: Final = 250  # characters of the tag; the whole sentence is in the sensor's log and on the asset's page
_ADVICE: Final = {
    SetupError.__name__: "Mend that, then choose Re-execute from failure on the run's page.",
    DataError.__name__: "Give the run other data or configuration; the store is as it was.",
    NotTrainedError.__name__: "Train first: materialize the model of the domain, or run `hdfs-pipeline train`.",
    "DagsterAssetCheckFailedError": "Look at that check on the asset's page: what follows waits until it passes.",
}
_UNKNOWN: Final = "The pipeline does not know this error: the run's page shows it whole."


@dg.run_failure_sensor(
    name="failures",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Says of each run that failed which step it was, why, and what to do: in this sensor's log, in the "
    f"run's tag {FAILED_TAG}, and as an observation of the asset whose step it was.",
)
def failures(context: dg.RunFailureSensorContext) -> dg.SensorResult | None:
    """An observation of each asset whose step failed; None if the run failed outside its steps."""
    steps = context.get_step_failure_events()
    sentences = [advice(event) for event in steps] or [
        f"The run failed outside its steps: {context.failure_event.message}"
    ]
    for text in sentences:
        context.log.error(text)
    run_id = context.dagster_run.run_id
    context.instance.add_run_tags(run_id, {FAILED_TAG: sentences[0][:_LONGEST]})
    observations = [
        dg.AssetObservation(key, description=text, metadata={"advice": text, "failed run": run_id})
        for event, text in zip(steps, sentences, strict=False)
        for key in _asset(context, event)
    ]
    return dg.SensorResult(asset_events=observations) if observations else None


def advice(event: dg.DagsterEvent) -> str:
    """Which step failed, why, and what to do."""
    error = event.step_failure_data.error
    why, name = (event.message or "for no reason that is known", "") if error is None else _cause(error)
    return f"{event.step_key} failed: {why} {_ADVICE.get(name, _UNKNOWN)}"


def _cause(error: SerializableErrorInfo) -> tuple[str, str]:
    """The sentence of the error at the bottom, and its class."""
    while error.cause is not None:
        error = error.cause
    text = " ".join(error.message.split())
    name = error.cls_name or ""
    sentence = text.partition(f"{name}: ")[2] or text
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}.", name


def _asset(context: dg.RunFailureSensorContext, event: dg.DagsterEvent) -> Iterator[dg.AssetKey]:
    """The asset with the step's name, which the step makes; nothing if the step is a check."""
    repository, key = context.repository_def, dg.AssetKey(event.step_key or "")
    if repository is not None and repository.asset_graph.has(key):
        yield key
