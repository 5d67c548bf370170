"""The asset `comparison`: every detector on the same blocks, where it is asked for."""

from datetime import datetime
from typing import Any

import dagster as dg

from hdfs_pipeline.defs.blocks import event_matrix, labels
from hdfs_pipeline.defs.metadata import OWNERS, markdown, picture
from hdfs_pipeline.defs.models import mlflow_metadata
from hdfs_pipeline.defs.resources import Home
from hdfs_pipeline.detectors import named_detectors

_COLUMNS = [
    dg.TableColumn("detector", "VARCHAR", "name of the detector"),
    dg.TableColumn("F1", "DOUBLE", "at the threshold fixed in training"),
    dg.TableColumn("95 % of F1", "VARCHAR", "interval from resampled blocks"),
    dg.TableColumn("precision", "DOUBLE", "share of the flagged blocks that are anomalies"),
    dg.TableColumn("recall", "DOUBLE", "share of the anomalies that are flagged"),
    dg.TableColumn("PR-AUC", "DOUBLE", "area under precision over recall"),
    dg.TableColumn("false alarms per 10,000", "DOUBLE", "normal blocks flagged among 10,000 blocks"),
    dg.TableColumn("F1 unseen", "DOUBLE", "on blocks whose count vector no learned block has"),
    dg.TableColumn("seconds to train", "DOUBLE", "its threshold included"),
    dg.TableColumn("blocks a second", "DOUBLE", "scored in batches of 2,000"),
]


class Compare(dg.Config):
    """What is compared."""

    split: str = "chronological"
    """chronological, online, random or unseen."""
    detectors: list[str] = ["all"]  # noqa: RUF012 - pydantic copies it
    """Names of detectors, `standard` or `all`."""
    without: list[str] = []  # noqa: RUF012 - the same
    """Kinds of labels that a second F1 leaves out."""


@dg.asset(
    deps=[event_matrix, labels],
    group_name="experiments",
    kinds={"scikitlearn", "pytorch", "mlflow"},
    owners=OWNERS,
    metadata={"dagster/column_schema": dg.TableSchema(_COLUMNS)},
)
def comparison(
    context: dg.AssetExecutionContext, home: Home, mlflow: dg.ResourceParam[Any], config: Compare
) -> dg.MaterializeResult:
    """All detectors learned from one part of the labelled blocks and judged on the other: figures, curves, cost.

    What `hdfs-pipeline compare` does, with a report in `reports/` of the home and a run in MLflow with one nested run
    per detector. No model of it serves.
    """
    from hdfs_pipeline.experiments.comparison import compare
    from hdfs_pipeline.experiments.logged import log_comparison
    from hdfs_pipeline.experiments.report import write_report
    from hdfs_pipeline.experiments.sides import home_sides
    from hdfs_pipeline.learning.curves import curves_png

    settings = home.settings
    names = named_detectors(config.detectors)
    sides = home_sides(home.store, settings, names, config.split)
    found = compare(sides, names, settings, without=config.without, on_step=context.log.info)
    for sentence in found.warnings:
        context.log.warning(sentence)
    made = datetime.fromisoformat(found.made_at).strftime("%Y%m%dT%H%M%SZ")
    report = write_report(found, settings.home / "reports" / f"comparison-{found.split}-{made}.html")
    run_id = log_comparison(found, settings, report)
    mlflow.set_tag("comparison", run_id)  # on the Dagster run's own MLflow run
    tests = {entry.detector: entry.tested for entry in found.ranked}
    curves = curves_png(tests, f"{found.split} split")
    return dg.MaterializeResult(
        metadata={
            "split": found.split,
            "verdict": dg.MetadataValue.md("\n".join(f"- {each}" for each in [*found.conclusion, *found.warnings])),
            "detectors": markdown([column.name for column in _COLUMNS], _rows(found)),
            "curves": picture(curves, "curves"),
            "report": dg.MetadataValue.path(report.resolve()),
            **{f"{name} F1": tested.evaluation.f1 for name, tested in tests.items()},
            **mlflow_metadata(settings, run_id),
        }
    )


def _rows(found: Any) -> list[tuple[Any, ...]]:
    rows = []
    for entry in found.ranked:
        figures, cost = entry.evaluation, entry.cost
        low, high = figures.intervals.get("f1", (None, None))
        rows.append(
            (
                entry.detector,
                figures.f1,
                f"{low:.3f} – {high:.3f}" if low is not None else "–",
                figures.precision,
                figures.recall,
                figures.pr_auc,
                round(figures.false_alarms_per_10k, 1),
                figures.unseen["f1"] if figures.unseen.get("blocks") else None,
                round(cost.train_s, 3),
                round(cost.rows_per_s),
            )
        )
    return rows
