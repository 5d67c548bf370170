"""A comparison in MLflow: a run with one nested run for each detector that was judged."""

from pathlib import Path

from hdfs_pipeline.experiments.figures import Comparison
from hdfs_pipeline.learning.tracking import FIGURES, start_tracking
from hdfs_pipeline.settings import Settings


def log_comparison(found: Comparison, settings: Settings, report: Path) -> str:
    """Log a comparison as a run with one nested run per judged detector, and its report; the id of the run.

    Nothing is registered, since no model of a comparison serves. See `log_training` for runs inside a run.
    """
    import mlflow

    experiment = start_tracking(settings)
    nested = mlflow.active_run() is not None
    learned, judged = found.data["learned"], found.data["judged"]
    with mlflow.start_run(experiment_id=experiment, run_name=f"comparison {found.split}", nested=nested) as run:
        mlflow.log_params({"split": found.split, "seed": found.seed, "catalogue": found.data["catalogue"]})
        mlflow.log_params({f"learned_{name}": learned[name] for name in ("blocks", "anomalies", "fingerprint")})
        mlflow.log_params({f"judged_{name}": judged[name] for name in ("blocks", "anomalies", "fingerprint")})
        mlflow.set_tags({"comparison": found.split, "best": found.ranked[0].detector})
        mlflow.log_artifact(str(report))
        mlflow.log_dict(found.to_json(), "comparison.json")
        for entry in found.ranked:
            with mlflow.start_run(experiment_id=experiment, run_name=entry.detector, nested=True):
                mlflow.log_params({"detector": entry.detector, "threshold_rule": entry.card.rule, **entry.card.params})
                mlflow.set_tag("comparison", found.split)
                figures = entry.evaluation.to_json()
                measured = {f"{found.split}.{name}": figures[name] for name in FIGURES if figures[name] is not None}
                mlflow.log_metrics(measured | {"threshold": figures["threshold"], **vars(entry.cost)})
    return str(run.info.run_id)
