"""The learning chain of NameNode metrics: everything from the polls on, and its pictures."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg

from hdfs_pipeline.defs.common.freshness import LIVE
from hdfs_pipeline.defs.common.metadata import picture
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.learning.chain import learning_chain
from hdfs_pipeline.defs.learning.models import LearnFrom
from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.domains.namenode.features import load_baseline
from hdfs_pipeline.domains.namenode.plots import metrics_png, scores_png
from hdfs_pipeline.domains.namenode.reports import list_incidents, metric_series, window_report
from hdfs_pipeline.errors import DataError, PipelineError
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.settings import Settings, load_settings
from hdfs_pipeline.store.store import Store

_METRICS: Final = 5  # in a picture
_BEFORE_S: Final = 600.0
_AFTER_S: Final = 300.0


def cron() -> str:
    """The setting, read once when the definitions are loaded."""
    try:
        return load_settings().namenode_retrain_cron
    except PipelineError:  # the definitions must load; code that uses the settings reports the error
        return str(Settings.model_fields["namenode_retrain_cron"].default)


def _last_hour(settings: Settings, store: Store) -> dict[str, Any]:
    """The picture of the error over time, with threshold and incidents, of the NameNode with the latest sample."""
    latest = domain_named("namenode").latest(store)
    try:
        report = window_report(store, settings, namenode=max(latest, key=latest.__getitem__), with_scores=True)
    except PipelineError:  # there is nothing to judge: the asset's status says so
        return {}
    return {"last hour": picture(scores_png(report), "error over time with threshold and incidents")}


def _top_metrics(settings: Settings, store: Store) -> dict[str, Any]:
    """The picture of the metrics behind the latest incident, beside what was expected of them."""
    for latest in list_incidents(store, limit=1):
        names = [metric["metric"] for metric in latest["metrics"][:_METRICS]]
        start, end = (datetime.fromisoformat(latest[name]).timestamp() for name in ("started_at", "ended_at"))
        series = metric_series(
            store,
            settings,
            metrics=names,
            namenode=latest["namenode"],
            start=datetime.fromtimestamp(start - _BEFORE_S, UTC),
            end=datetime.fromtimestamp(end + _AFTER_S, UTC),
        )
        png = metrics_png(series, names, (latest["started_at"], latest["ended_at"]))
        return {"top metrics of the latest": picture(png, "actual and expected")}
    return {}


class TrainWindow(LearnFrom):
    """Which window to learn from: ISO 8601, UTC without a zone; empty for the last `namenode_baseline_hours`."""

    start: str = ""
    end: str = ""
    with_incidents: bool = False

    def items(self, domain: Domain, home: Home, families: Sequence[str]) -> Dataset:
        """The steps of the window, without incidents (unless `with_incidents`) and what people marked."""
        return load_baseline(
            home.store,
            home.settings,
            start=_time(self.start),
            end=_time(self.end),
            with_incidents=self.with_incidents,
        )


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(f"{text!r} is no time: write 2026-11-21T18:00:00") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


@dg.definitions
def chain() -> dg.Definitions:
    """Models, scores, anomalies and incidents of NameNodes, with their checks, jobs, sensors and schedules."""
    return learning_chain(
        domain_named("namenode"),
        features=["namenode_metrics"],
        freshness=LIVE,
        learn_from=TrainWindow,
        retrain_cron=cron(),
        scores_lineage={
            "entity": [("namenode_metrics", "namenode")],
            "time": [("namenode_metrics", "polled_at")],
            "score": [("namenode_metrics", "metrics")],
        },
        anomalies_lineage={"entity": [("namenode_metrics", "namenode")]},
        scores_pictures=_last_hour,
        incidents_pictures=_top_metrics,
    )
