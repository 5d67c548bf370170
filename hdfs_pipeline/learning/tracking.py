"""MLflow: every training is a run with parameters, figures per split, curves and the registered model."""

import json
import logging
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import pyarrow as pa
from filelock import FileLock, Timeout

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.learning.curves import curves_png
from hdfs_pipeline.learning.training import Trained
from hdfs_pipeline.scoring.models import champion_version, detector_folder, model_folder
from hdfs_pipeline.scoring.scorer import Card
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store, publish_into

MLFLOW_UI: Final = "http://127.0.0.1:5000"
"""Where `mlflow ui` answers unless told otherwise."""
# By version of ours, those of a number that was used twice in their order. Dagster's run tells its id to its own run.
_RUNS: Final = """SELECT t.value, v.run_id, coalesce(d.value, '') FROM model_version_tags t
    JOIN model_versions v ON v.name = t.name AND v.version = t.version
    LEFT JOIN tags p ON p.run_uuid = v.run_id AND p.key = 'mlflow.parentRunId'
    LEFT JOIN tags d ON d.run_uuid = p.value AND d.key = 'dagster_run_id'
    WHERE t.name = ? AND t.key = 'version' AND v.run_id IS NOT NULL ORDER BY v.version"""
_FEEDBACK = ("verdicts", "real", "false", "expected", "judged", "agrees")
FIGURES = ("precision", "recall", "f1", "pr_auc", "roc_auc", "false_alarms_per_10k")


def experiment_of(domain: str) -> str:
    """Name of a domain's experiment in MLflow; the names of its registered models begin with it."""
    return f"hdfs_{domain}"


def ui_command(settings: Settings) -> str:
    """The command that shows the home's runs at `MLFLOW_UI`."""
    return f"mlflow ui --backend-store-uri {settings.tracking_uri}"


def start_tracking(settings: Settings, domain: str) -> str:
    """Point MLflow at the home's SQLite file. Returns the id of the domain's experiment, made if it is missing.

    Raises: SetupError where a folder has the file's name.
    """
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it logs each table that it makes
    home = settings.home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    if (home / "mlflow.db").is_dir():  # MLflow would try to open it for more than a minute
        raise SetupError(f"{home / 'mlflow.db'} is a folder, and MLflow keeps its file there: move the folder away")
    mlflow.set_tracking_uri(settings.tracking_uri)
    experiment = mlflow.get_experiment_by_name(experiment_of(domain))
    if experiment is not None:
        if experiment.lifecycle_stage == "deleted":  # by hand, in MLflow's page: MLflow would refuse every run
            mlflow.MlflowClient().restore_experiment(experiment.experiment_id)
        return str(experiment.experiment_id)
    return str(mlflow.create_experiment(experiment_of(domain), artifact_location=(home / "mlartifacts").as_uri()))


def log_training(
    trained: Trained, settings: Settings, *, champion: bool = True, tags: Mapping[str, Any] | None = None
) -> str:
    """Log one training and register its model, with the alias `champion` if `champion`. Returns the MLflow run's id.

    `tags` go to the run and to the registered version. Inside an active run (Dagster's `mlflow` resource opens one) the
    new run is nested.
    """
    import mlflow

    card = trained.scorer.card
    experiment = start_tracking(settings, card.domain)
    nested = mlflow.active_run() is not None
    with mlflow.start_run(experiment_id=experiment, run_name=card.detector, nested=nested) as run:
        mlflow.log_params({"detector": card.detector, "threshold_rule": card.rule, "seed": card.seed, **card.params})
        mlflow.log_params({"catalogue": card.source, card.domain: card.items, "data": card.fingerprint})
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
        mlflow.log_artifacts(str(model_folder(settings, card.domain, card.detector, card.version)), "model")
        _register(f"{experiment_of(card.domain)}_{card.detector}", run, about, champion=champion)
    return str(run.info.run_id)


def _log_picture(run_id: str, png: bytes) -> None:
    import tempfile

    import mlflow

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "curves.png"
        path.write_bytes(png)
        mlflow.log_artifact(str(path), run_id=run_id)


def _register(name: str, run: Any, tags: dict[str, str], *, champion: bool) -> None:
    """Register a new version of the model. It has no flavour, since only our Scorer loads it."""
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"{run.info.artifact_uri}/model"
    registered = client.create_model_version(name, source=source, run_id=run.info.run_id, tags=tags)
    if champion:
        client.set_registered_model_alias(name, "champion", registered.version)


def move_alias(settings: Settings, domain: str, name: str) -> bool:
    """Give MLflow's alias `champion` to the version that serves. Returns whether MLflow knows that version.

    Whoever else changes which one serves moves it too, after the change: the last one finds the last change.
    Raises: SetupError where another one does not come to its end.
    """
    try:
        with FileLock(detector_folder(settings, domain, name) / ".alias.lock", timeout=settings.lock_timeout_s):
            version = champion_version(settings, domain, name)
            return version is not None and _move_alias(settings, domain, name, version)
    except Timeout:
        raise SetupError(f"MLflow's alias of {name} is being moved by another process: roll back again") from None


def _move_alias(settings: Settings, domain: str, name: str, version: int) -> bool:
    """MLflow counts versions itself; the tag `version` of a registered version holds our number."""
    from mlflow.tracking import MlflowClient

    start_tracking(settings, domain)
    client, model = MlflowClient(), f"{experiment_of(domain)}_{name}"
    registered = client.search_model_versions(f"name = '{model}'")
    # Several fit if a model folder was deleted by hand and its number used again: take the newest one.
    fitting = [
        candidate for candidate in registered if candidate.tags.get("version", candidate.version) == str(version)
    ]
    if not fitting:
        return False
    newest = max(fitting, key=lambda candidate: int(candidate.version))
    client.set_registered_model_alias(model, "champion", newest.version)
    return True


class Run(NamedTuple):
    """A training in MLflow, by the id of its run, and the Dagster run that it was part of, '' for none."""

    mlflow: str
    dagster: str


def tracked_runs(settings: Settings, domain: str, name: str) -> dict[int, Run]:
    """The runs of the versions of a detector's model, as far as the home's MLflow knows them.

    Its tables are read directly: MLflow itself takes seconds to import, and a page has only milliseconds.
    """
    path = settings.home.resolve() / "mlflow.db"
    address = f"file:{quote(str(path))}?mode=ro"
    with suppress(sqlite3.Error), closing(sqlite3.connect(address, uri=True, timeout=1)) as con:
        rows = con.execute(_RUNS, [f"{experiment_of(domain)}_{name}"]).fetchall()
        return {int(version): Run(run, dagster) for version, run, dagster in rows if version.isdigit()}
    return {}  # there is no file, or one of another release of MLflow


def publish_model(store: Store, settings: Settings, card: Card) -> None:
    """Put a saved model's row into `models`."""
    row = _key(card) | {
        "source": card.source,
        "threshold": card.threshold,
        "path": str(model_folder(settings, card.domain, card.detector, card.version)),
        "card": json.dumps(card.to_json()),
    }
    _publish(store, "models", card, [row])


def publish_evaluations(store: Store, card: Card) -> None:
    """Put a row per split that a model was judged on into `evaluations`."""
    rows = [_key(card) | {"split": split, "metrics": json.dumps(figures)} for split, figures in card.metrics.items()]
    _publish(store, "evaluations", card, rows)


def _key(card: Card) -> dict[str, Any]:
    created = datetime.fromisoformat(card.created_at)
    return {"domain": card.domain, "detector": card.detector, "version": card.version, "created_at": created}


def _publish(store: Store, table: str, card: Card, rows: list[dict[str, Any]]) -> None:
    same = [card.domain, card.detector, card.version]
    with store.write() as con:
        source = pa.Table.from_pylist(rows) if rows else []
        publish_into(con, table, source, replace="domain = ? AND detector = ? AND version = ?", parameters=same)
