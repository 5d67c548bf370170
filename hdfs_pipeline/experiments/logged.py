"""A comparison in MLflow: a run with one nested run for each detector that was judged."""

from pathlib import Path

from hdfs_pipeline.experiments.figures import Comparison
from hdfs_pipeline.learning.tracking import FIGURES, start_tracking
from hdfs_pipeline.settings import Settings


def log_comparison(comparison: Comparison, settings: Settings, report: Path) -> str:
    """Log a comparison as a run with one nested run per judged detector, and its report; the id of the run.

    No model is registered, since none of a comparison serves. Inside an active run the new run is nested in it.
    """
    import mlflow

    experiment = start_tracking(settings, comparison.data["domain"])
    nested = mlflow.active_run() is not None
    learned, judged = comparison.data["learned"], comparison.data["judged"]
    with mlflow.start_run(experiment_id=experiment, run_name=f"comparison {comparison.split}", nested=nested) as run:
        mlflow.log_params(
            {"split": comparison.split, "seed": comparison.seed, "catalogue": comparison.data["catalogue"]}
        )
        mlflow.log_params({f"learned_{name}": learned[name] for name in ("items", "anomalies", "fingerprint")})
        mlflow.log_params({f"judged_{name}": judged[name] for name in ("items", "anomalies", "fingerprint")})
        mlflow.set_tags({"comparison": comparison.split, "best": comparison.ranked[0].detector})
        mlflow.log_artifact(str(report))
        mlflow.log_dict(comparison.to_json(), "comparison.json")
        for entry in comparison.ranked:
            with mlflow.start_run(experiment_id=experiment, run_name=entry.detector, nested=True):
                mlflow.log_params({"detector": entry.detector, "threshold_rule": entry.card.rule, **entry.card.params})
                mlflow.set_tag("comparison", comparison.split)
                figures = entry.evaluation.to_json()
                measured = {
                    f"{comparison.split}.{name}": figures[name] for name in FIGURES if figures[name] is not None
                }
                mlflow.log_metrics(measured | {"threshold": figures["threshold"], **vars(entry.cost)})
    return str(run.info.run_id)
