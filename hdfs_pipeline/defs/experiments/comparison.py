"""The asset `comparison`: detectors of a domain on the same items; only a person launches it."""

from datetime import datetime
from typing import Any

import dagster as dg

from hdfs_pipeline.defs.common.metadata import OWNERS, as_text, markdown, picture
from hdfs_pipeline.defs.common.naming import named
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.common.versions import version_of
from hdfs_pipeline.defs.learning.figures import mlflow_metadata
from hdfs_pipeline.domains import all_domains, domain_named
from hdfs_pipeline.domains.champions import named_detectors

_COLUMNS = [
    dg.TableColumn("detector", "VARCHAR", "name of the detector"),
    dg.TableColumn("F1", "DOUBLE", "at the threshold fixed in training"),
    dg.TableColumn("95 % of F1", "VARCHAR", "interval from resampled items"),
    dg.TableColumn("precision", "DOUBLE", "share of the flagged items that are anomalies"),
    dg.TableColumn("recall", "DOUBLE", "share of the anomalies that are flagged"),
    dg.TableColumn("PR-AUC", "DOUBLE", "area under precision over recall"),
    dg.TableColumn("false alarms per 10,000", "DOUBLE", "normal items flagged among 10,000 items"),
    dg.TableColumn("F1 unseen", "DOUBLE", "on items whose features no learned item has"),
    dg.TableColumn("seconds to train", "DOUBLE", "its threshold included"),
    dg.TableColumn("items a second", "DOUBLE", "scored in batches of 2,000"),
]


class Compare(dg.Config):
    """What is compared."""

    domain: str | None = None
    """Name of a domain; by default the first one."""
    split: str = "chronological"
    """chronological, online, random, unseen or groups."""
    groups: int = 10
    """Groups that the simulated person of the split groups is asked about."""
    detectors: list[str] = ["all"]  # noqa: RUF012 - pydantic copies it
    """Names of detectors, `standard` or `all`."""
    without: list[str] = []  # noqa: RUF012 - the same
    """Kinds of labels that a second F1 leaves out."""


@dg.asset(
    deps=[named(domain, "evaluation") for domain in all_domains()],
    group_name="experiments",
    kinds={"scikitlearn", "pytorch", "mlflow"},
    owners=OWNERS,
    tags={"stage": "comparison"},
    metadata={"dagster/column_schema": dg.TableSchema(_COLUMNS)},
    code_version=version_of("experiments.comparison", "experiments.conclusion"),
)
def comparison(
    context: dg.AssetExecutionContext, home: Home, mlflow: dg.ResourceParam[Any], config: Compare
) -> dg.MaterializeResult:
    """All detectors learned from one part of the labelled items and judged on the other: figures, curves, cost.

    What `hdfs-pipeline compare` does, with a report in `reports/` of the home and a run in MLflow with one nested run
    per detector. No model of it serves.
    """
    from hdfs_pipeline.experiments.comparison import compare
    from hdfs_pipeline.experiments.logged import log_comparison
    from hdfs_pipeline.experiments.report import write_report
    from hdfs_pipeline.experiments.sides import home_sides
    from hdfs_pipeline.learning.curves import curves_png

    settings = home.settings
    domain = domain_named(config.domain)
    names = named_detectors(domain, config.detectors)
    sides = home_sides(home.store, settings, domain, names, config.split, config.groups)
    result = compare(sides, domain, names, settings, without=config.without, on_step=context.log.info)
    for sentence in result.warnings:
        context.log.warning(sentence)
    made_at = datetime.fromisoformat(result.made_at).strftime("%Y%m%dT%H%M%SZ")
    report = write_report(result, settings.home / "reports" / f"comparison-{result.split}-{made_at}.html")
    run_id = log_comparison(result, settings, report)
    mlflow.set_tag("comparison", run_id)  # on the Dagster run's own MLflow run
    tests = {entry.detector: entry.tested for entry in result.ranked}
    curves = curves_png(tests, f"{result.split} split")
    return dg.MaterializeResult(
        metadata={
            "split": result.split,
            "verdict": dg.MetadataValue.md(
                "\n".join(f"- {as_text(line)}" for line in [*result.conclusion, *result.warnings])
            ),
            "detectors": markdown([column.name for column in _COLUMNS], _rows(result)),
            "curves": picture(curves, "curves"),
            "report": dg.MetadataValue.path(report.resolve()),
            **{f"{name} F1": tested.evaluation.f1 for name, tested in tests.items()},
            **mlflow_metadata(settings, run_id),
        }
    )


def _rows(comparison: Any) -> list[tuple[Any, ...]]:
    rows = []
    for entry in comparison.ranked:
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
                figures.unseen["f1"] if figures.unseen.get("items") else None,
                round(cost.train_s, 3),
                round(cost.rows_per_s),
            )
        )
    return rows


compare_job = dg.define_asset_job(
    "compare_job",
    dg.AssetSelection.tag("stage", "comparison"),
    description="Compare the detectors on the items that are there; none of it serves.",
)
