"""Metadata of models and their evaluations."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import dagster as dg

from hdfs_pipeline.defs.common.metadata import markdown, picture
from hdfs_pipeline.learning.tracking import MLFLOW_UI, ui_command
from hdfs_pipeline.scoring.scorer import Card
from hdfs_pipeline.settings import Settings

_PLOTTED = ("f1", "precision", "recall", "pr_auc", "roc_auc", "false_alarms_per_10k")


def mlflow_metadata(settings: Settings, run_id: str) -> dict[str, Any]:
    """Where a training lies in MLflow: the run, a link to it, and the command that makes the link answer."""
    import mlflow

    run = mlflow.get_run(run_id)
    return {
        "mlflow run": dg.MetadataValue.text(run_id),
        "mlflow link": dg.MetadataValue.url(f"{MLFLOW_UI}/#/experiments/{run.info.experiment_id}/runs/{run_id}"),
        "mlflow files": dg.MetadataValue.path(url2pathname(urlparse(run.info.artifact_uri).path)),
        "mlflow page": dg.MetadataValue.md(f"`{ui_command(settings)}`"),
    }


def facts_metadata(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a training that a domain and a detector remember: plain values as they are, rows as tables."""
    metadata: dict[str, Any] = {}
    for name, fact in facts.items():
        title = name.replace("_", " ")
        if isinstance(fact, Mapping):
            metadata |= {f"{title} {key}": value for key, value in facts_metadata(fact).items()}
        elif isinstance(fact, list) and all(isinstance(row, Mapping) for row in fact):
            metadata[title] = markdown(list(fact[0]), [list(row.values()) for row in fact]) if fact else "none"
        elif isinstance(fact, str | int | float):
            metadata[title] = fact
    return metadata


def evaluation_metadata(card: Card, logged: Mapping[str, Any]) -> dict[str, Any]:
    """Figures as numbers, which Dagster plots over time; curves and confusion matrix as pictures and tables.

    `logged` is the metadata of the model's latest materialization, which names its run in MLflow.
    """
    metadata: dict[str, Any] = {"version": card.version}
    for split, figures in card.metrics.items():
        metadata |= {f"{split} {name}": figures[name] for name in _PLOTTED if figures[name] is not None}
        metadata[f"{split} confusion"] = _confusion(figures["confusion"])
    # A model that was trained outside Dagster since then has other curves.
    if "mlflow files" in logged and logged["version"].value == card.version:
        curves = Path(logged["mlflow files"].value) / "curves.png"
        metadata |= {"curves": picture(curves.read_bytes(), "curves")} if curves.is_file() else {}
        metadata["mlflow link"] = logged["mlflow link"]
    return metadata


def _confusion(counts: Mapping[str, int]) -> dg.MarkdownMetadataValue:
    rows = [
        ("**is an anomaly**", counts["true_positives"], counts["false_negatives"]),
        ("**is normal**", counts["false_positives"], counts["true_negatives"]),
    ]
    return markdown(["", "flagged", "not flagged"], rows)
