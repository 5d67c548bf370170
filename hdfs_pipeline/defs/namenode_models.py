"""NameNode metrics: the models, the scores and the incidents; scored every five minutes, trained anew every night."""

import time
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from hdfs_pipeline.defs.metadata import OWNERS, markdown, picture, row_count, table_metadata
from hdfs_pipeline.defs.resources import Home
from hdfs_pipeline.domains.namenode import models
from hdfs_pipeline.domains.namenode.plots import metrics_png, scores_png
from hdfs_pipeline.domains.namenode.reports import list_incidents, metric_series, model_status, window_report
from hdfs_pipeline.domains.namenode.watch import train_window, update
from hdfs_pipeline.errors import DataError, NotTrainedError, PipelineError
from hdfs_pipeline.settings import Settings, load_settings
from hdfs_pipeline.store.store import Store

_METRICS = dg.AssetKey("namenode_metrics")
_WARN = dg.AssetCheckSeverity.WARN
_STALE_POLLS = 12  # polls without a sample, after which metrics are no longer fresh
_SHOWN = 10


class TrainWindow(dg.Config):
    """Which window to learn from: ISO 8601, UTC without a zone; empty for the last `namenode_baseline_hours`."""

    start: str = ""
    end: str = ""
    with_incidents: bool = False


@dg.asset(
    deps=[_METRICS],
    group_name="namenode",
    kinds={"pytorch", "numpy"},
    owners=OWNERS,
    metadata=table_metadata("models"),
    check_specs=[
        dg.AssetCheckSpec(
            "baseline_healthy",
            asset="namenode_model",
            description="The baseline of the model that serves has no gaps, restarts or duplicates to speak of.",
        )
    ],
)
def namenode_model(context: dg.AssetExecutionContext, config: TrainWindow, home: Home) -> dg.MaterializeResult:
    """LSTM autoencoder, PCA residual and plain deviation of NameNode metrics, trained on a baseline window.

    Incidents and what people marked (`namenode_marks`) are left out. The new version serves at once;
    `hdfs-pipeline namenode rollback` goes back.
    """
    settings = home.settings
    try:
        with home.alone("namenode training"):
            train_window(
                home.store,
                settings,
                start=_time(config.start),
                end=_time(config.end),
                with_incidents=config.with_incidents,
                on_step=context.log.info,
            )
    except DataError as error:
        context.log.warning(str(error))
        serving = models.serving(settings)
        about = {"status": f"not trained: {error}", "serving": serving or "none"}
        return dg.MaterializeResult(metadata=about, check_results=[_healthy(settings)])
    found = model_status(settings)
    facts = found["detectors"]["lstm_autoencoder"]
    return dg.MaterializeResult(
        metadata={
            "status": "trained",
            "version": found["serving"],
            "steps": found["steps"],
            "from": found["trained_from"],
            "to": found["trained_to"],
            "threshold": facts["threshold"],
            "validation loss": facts["facts"]["validation_loss"],
            "left out": markdown(["from", "to", "why"], [list(each.values()) for each in found["left_out"]]),
            "baseline": markdown(
                ["finding", "", "serious"],
                [[each["kind"], each["message"], each["serious"]] for each in found["findings"]],
            ),
        },
        check_results=[_healthy(settings)],
    )


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(f"{text!r} is no time: write 2026-11-21T18:00:00") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _healthy(settings: Settings) -> dg.AssetCheckResult:
    found = model_status(settings)
    serious = [each for each in found.get("findings", []) if each["serious"]]
    said = "; ".join(each["message"] for each in serious) if found["trained"] else "no model yet"
    return dg.AssetCheckResult(
        check_name="baseline_healthy",
        passed=found["trained"] and not serious,
        severity=_WARN,
        description=said or "nothing serious",
        metadata={"findings": len(found.get("findings", []))},
    )


@dg.asset(
    deps=[_METRICS, namenode_model],
    group_name="namenode",
    kinds={"pytorch", "duckdb"},
    owners=OWNERS,
    metadata=table_metadata("namenode_scores"),
)
def namenode_scores(context: dg.AssetExecutionContext, home: Home) -> dg.MaterializeResult:
    """Each detector's score of each step; brings the incidents up to date in the same transaction."""
    settings, store = home.settings, home.store
    found = []
    for name in _namenodes(store):
        try:
            found.append(update(store, settings, name))
        except (DataError, NotTrainedError) as error:
            context.log.info(f"{name}: {error}")  # a standby, for one, is not judged as an active NameNode
    if not found:
        return dg.MaterializeResult(metadata={"status": "nothing scored: no samples or no model", **_count(store)})
    report = window_report(store, settings, namenode=found[0]["namenode"], with_scores=True)
    return dg.MaterializeResult(
        metadata={
            "status": "scored",
            **_count(store),
            "steps": sum(each["steps"] for each in found),
            "ongoing incidents": sum(each["ongoing"] for each in found),
            "last hour": picture(scores_png(report), "error over time with threshold and incidents"),
        }
    )


def _count(store: Store) -> dict[str, int]:
    return row_count(store, "namenode_scores")


@dg.asset(
    deps=[namenode_scores],
    group_name="namenode",
    kinds={"duckdb", "python"},
    owners=OWNERS,
    metadata=table_metadata("namenode_incidents"),
)
def namenode_incidents(home: Home) -> dg.MaterializeResult:
    """Anomalous steps that belong together, with metrics, users and a likely cause. Written with `namenode_scores`."""
    settings, store = home.settings, home.store
    found = list_incidents(store, limit=_SHOWN)
    rows = [
        [
            each["started_at"][:19],
            f"{each['duration_s']:.0f} s",
            each["status"],
            each["severity"],
            each["cause"],
            each["evidence"],
        ]
        for each in found
    ]
    about: dict[str, Any] = {
        **row_count(store, "namenode_incidents"),
        "latest": markdown(["start", "lasted", "status", "severity", "likely cause", "evidence"], rows),
    }
    if found:
        latest = found[0]
        names = [each["metric"] for each in latest["metrics"][:5]]
        start, end = (datetime.fromisoformat(latest[name]) for name in ("started_at", "ended_at"))
        window = {"start": _seconds_before(start, 600), "end": _seconds_before(end, -300)}
        series = metric_series(store, settings, metrics=names, namenode=latest["namenode"], **window)
        png = metrics_png(series, names, (latest["started_at"], latest["ended_at"]))
        about["top metrics of the latest"] = picture(png, "actual and expected")
    return dg.MaterializeResult(metadata=about)


def _seconds_before(at: datetime, seconds: float) -> datetime:
    return datetime.fromtimestamp(at.timestamp() - seconds, UTC)


def _namenodes(store: Store) -> list[str]:
    if not store.path.exists():
        return []
    with store.read() as con:
        return [row[0] for row in con.execute("SELECT DISTINCT namenode FROM namenode_metrics ORDER BY 1").fetchall()]


@dg.asset_check(asset=_METRICS)
def metrics_fresh(home: Home) -> dg.AssetCheckResult:
    """Every NameNode there are samples of was heard from within the last minute or so."""
    settings, store = home.settings, home.store
    if not store.path.exists():
        return dg.AssetCheckResult(passed=False, severity=_WARN, description="no samples yet")
    with store.read() as con:
        rows = con.execute(
            "SELECT namenode, epoch(max(polled_at)) FROM namenode_metrics GROUP BY 1 ORDER BY 1"
        ).fetchall()
    ages = {name: max(0.0, time.time() - last) for name, last in rows}
    limit = _STALE_POLLS * settings.namenode_poll_s
    stale = {name: age for name, age in ages.items() if age > limit}
    said = ", ".join(f"{name} was last heard from {age:,.0f} s ago" for name, age in stale.items())
    return dg.AssetCheckResult(
        passed=bool(ages) and not stale,
        severity=_WARN,
        description=said or (f"{len(ages)} NameNodes, all fresh" if ages else "no samples yet"),
        metadata={"limit s": limit, **{f"{name} s": round(age, 1) for name, age in ages.items()}},
    )


namenode_score_job = dg.define_asset_job(
    "namenode_score_job",
    dg.AssetSelection.assets(namenode_scores, namenode_incidents) | dg.AssetSelection.checks(metrics_fresh),
    description="Score the NameNode samples that came in, and bring the incidents up to date.",
)
namenode_train_job = dg.define_asset_job(
    "namenode_train_job",
    dg.AssetSelection.assets(namenode_model),
    description="Train the NameNode models on the last `namenode_baseline_hours`, without incidents and marks.",
)


@dg.schedule(
    job=namenode_score_job,
    cron_schedule="*/5 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Scores NameNode samples that came in since the last time.",
)
def namenode_score_every_five_minutes(home: Home) -> dg.RunRequest | dg.SkipReason:
    """A run if there are samples that no model has scored yet."""
    if models.serving(home.settings) is None:
        return dg.SkipReason("no NameNode model yet: run namenode_train_job, or `hdfs-pipeline namenode train`")
    if not _namenodes(home.store):
        return dg.SkipReason("no NameNode samples yet")
    with home.store.read() as con:
        waiting = con.execute(
            "SELECT count(*) FROM (SELECT namenode, max(polled_at) AS latest FROM namenode_metrics GROUP BY 1) "
            "LEFT JOIN (SELECT namenode, max(step_at) AS done FROM namenode_scores GROUP BY 1) USING (namenode) "
            "WHERE done IS NULL OR latest > done"
        ).fetchall()[0][0]
    return dg.RunRequest() if waiting else dg.SkipReason("every sample is scored")


@dg.sensor(
    job=namenode_train_job,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Trains the first NameNode model once there are `namenode_first_polls` samples.",
)
def namenode_first_model(home: Home) -> dg.RunRequest | dg.SkipReason:
    """One run in a home that has enough samples of a NameNode and no model; again with as many more where it failed."""
    wanted = home.settings.namenode_first_polls
    if models.serving(home.settings) is not None:
        return dg.SkipReason("there is a model; the nightly schedule trains it anew")
    if not _namenodes(home.store):
        return dg.SkipReason("no NameNode samples yet")
    with home.store.read() as con:
        most = con.execute("SELECT count(*) FROM namenode_metrics GROUP BY namenode ORDER BY 1 DESC").fetchall()[0][0]
    if most < wanted:
        return dg.SkipReason(f"the first model needs {wanted} polls of a NameNode, has {most}")
    return dg.RunRequest(f"first-{most // wanted}")


def _cron() -> str:
    """The setting, read once when the definitions are loaded."""
    try:
        return load_settings().namenode_retrain_cron
    except PipelineError:  # told where the settings are used; the definitions must load
        return str(Settings.model_fields["namenode_retrain_cron"].default)


@dg.schedule(
    job=namenode_train_job,
    cron_schedule=_cron(),
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Trains the NameNode models anew (setting namenode_retrain_cron), without incidents and marks.",
)
def namenode_retrain_nightly(home: Home) -> dg.RunRequest | dg.SkipReason:
    """A run if there are samples."""
    return dg.RunRequest() if _namenodes(home.store) else dg.SkipReason("no NameNode samples yet")
