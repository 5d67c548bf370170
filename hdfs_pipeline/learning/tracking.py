"""MLflow: every training is a run with parameters, figures per split, curves and the model, which is registered."""

import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from hdfs_pipeline.learning.curves import curves_png
from hdfs_pipeline.learning.training import Trained, train
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.models import model_folder
from hdfs_pipeline.scoring.scorer import Card
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store, publish_into

EXPERIMENT = "hdfs_blocks"
_FEEDBACK = ("verdicts", "real", "false", "expected", "judged", "agrees")
FIGURES = ("precision", "recall", "f1", "pr_auc", "roc_auc", "false_alarms_per_10k")


def start_tracking(settings: Settings) -> str:
    """Point MLflow at the home's SQLite file; the id of the experiment, made where it is missing."""
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of each table that it makes
    home = settings.home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(settings.tracking_uri)
    found = mlflow.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        if found.lifecycle_stage == "deleted":  # in MLflow's page, by hand: MLflow would refuse every run
            mlflow.MlflowClient().restore_experiment(found.experiment_id)
        return str(found.experiment_id)
    return str(mlflow.create_experiment(EXPERIMENT, artifact_location=(home / "mlartifacts").as_uri()))


def log_training(
    trained: Trained, settings: Settings, *, champion: bool = True, tags: Mapping[str, Any] | None = None
) -> str:
    """Log one training and register its model, as the detector's `champion` if that is so; the id of the MLflow run.

    `tags` go to the run and to the registered version. Inside an active run (Dagster's `mlflow` resource opens one) the
    new run is nested in it.
    """
    import mlflow

    experiment = start_tracking(settings)
    card = trained.scorer.card
    nested = mlflow.active_run() is not None
    with mlflow.start_run(experiment_id=experiment, run_name=card.detector, nested=nested) as run:
        mlflow.log_params({"detector": card.detector, "threshold_rule": card.rule, "seed": card.seed, **card.params})
        mlflow.log_params({"catalogue": card.source, "blocks": card.blocks, "data": card.fingerprint})
        mlflow.log_metric("threshold", card.threshold)
        about = {"version": str(card.version)} | {key: str(value) for key, value in (tags or {}).items()}
        about |= {f"feedback_{key}": str(card.feedback[key]) for key in _FEEDBACK if card.feedback}
        mlflow.set_tags(about)
        for split, tested in trained.tests.items():
            figures = tested.evaluation.to_json()
            mlflow.log_metrics({f"{split}.{name}": figures[name] for name in FIGURES if figures[name] is not None})
            mlflow.log_dict(figures, f"evaluation_{split}.json")
        if trained.tests:
            _log_picture(run.info.run_id, curves_png(trained.tests, card.detector))
        mlflow.log_artifacts(str(model_folder(settings, card.detector, card.version)), "model")
        _register(f"{EXPERIMENT}_{card.detector}", run, about, champion=champion)
    return str(run.info.run_id)


def _log_picture(run_id: str, png: bytes) -> None:
    import tempfile

    import mlflow

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "curves.png"
        path.write_bytes(png)
        mlflow.log_artifact(str(path), run_id=run_id)


def _register(name: str, run: Any, tags: dict[str, str], *, champion: bool) -> None:
    """A new version of the registered model; no flavour, since only our Scorer loads it."""
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"{run.info.artifact_uri}/model"
    made = client.create_model_version(name, source=source, run_id=run.info.run_id, tags=tags)
    if champion:
        client.set_registered_model_alias(name, "champion", made.version)


def move_alias(settings: Settings, name: str, version: int) -> bool:
    """Give MLflow's alias `champion` to a version of ours; whether MLflow knows that version.

    MLflow counts on its own: where the numbers differ, the tag `version` of a registered version is ours.
    """
    from mlflow.tracking import MlflowClient

    start_tracking(settings)
    client, model = MlflowClient(), f"{EXPERIMENT}_{name}"
    known = client.search_model_versions(f"name = '{model}'")
    # The newest of them, should a model folder have been deleted by hand and its number given again.
    fits = [found for found in known if found.tags.get("version", found.version) == str(version)]
    if not fits:
        return False
    client.set_registered_model_alias(model, "champion", max(fits, key=lambda found: int(found.version)).version)
    return True


def train_and_track(
    store: Store, data: Dataset, name: str, settings: Settings, on_step: Callable[[str], None] = lambda _: None
) -> tuple[Card, str]:
    """Train a detector, save it, and record it in the store's `models` and in MLflow: its card, the id of the run."""
    trained = train(data, name, settings, on_step)
    on_step(f"{name}: recording")
    card = trained.scorer.card
    publish_model(store, settings, card)
    return card, log_training(trained, settings)


def publish_model(store: Store, settings: Settings, card: Card) -> None:
    """Put a saved model's row into `models`."""
    row = _key(card) | {
        "catalogue": card.source,
        "threshold": card.threshold,
        "path": str(model_folder(settings, card.detector, card.version)),
        "card": json.dumps(card.to_json()),
    }
    _publish(store, "models", card, [row])


def publish_evaluations(store: Store, card: Card) -> None:
    """Put a row per split that a model was judged on into `evaluations`."""
    rows = [_key(card) | {"split": split, "metrics": json.dumps(found)} for split, found in card.metrics.items()]
    _publish(store, "evaluations", card, rows)


def _key(card: Card) -> dict[str, Any]:
    created = datetime.fromisoformat(card.created_at)
    return {"detector": card.detector, "version": card.version, "created_at": created}


def _publish(store: Store, table: str, card: Card, rows: list[dict[str, Any]]) -> None:
    same = [card.detector, card.version]
    with store.write() as con:
        source = pa.Table.from_pylist(rows) if rows else []
        publish_into(con, table, source, replace="detector = ? AND version = ?", parameters=same)
