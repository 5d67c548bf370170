"""The page of a NameNode: choose a baseline and train, then look at a window; beside it the state of HDFS."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

import orjson
from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from hdfs_pipeline.domains.namenode.detectors import persistence
from hdfs_pipeline.domains.namenode.metrics import ALL, BY_NAME
from hdfs_pipeline.domains.namenode.reports import analysis_report, baseline_report, model_status
from hdfs_pipeline.domains.namenode.state_reports import state_report, state_series
from hdfs_pipeline.domains.namenode.timeline import known_metrics, metric_lines, polled, polls_between
from hdfs_pipeline.errors import DataError, NotFoundError, NotTrainedError, UsageError, unknown
from hdfs_pipeline.serving.home import Home, TheHome, needs
from hdfs_pipeline.serving.pages.charts import Chart, line, number, seconds, spread, table_rows
from hdfs_pipeline.serving.pages.render import form, page, respond
from hdfs_pipeline.serving.pages.spans import Window, moment_text
from hdfs_pipeline.serving.routes.namenode import TRAINING, begin_training
from hdfs_pipeline.serving.shapes.base import Shape
from hdfs_pipeline.verdicts.listing import Wanted, list_incidents
from hdfs_pipeline.verdicts.status import parse_since

router = APIRouter(prefix="/namenode", include_in_schema=False)

KEY_METRICS: Final = ("RpcQueueTimeAvgTime", "RpcProcessingTimeAvgTime", "CallQueueLength", "RpcProcessingRate")
"""What is drawn unless somebody chooses other metrics."""
_MOST_METRICS: Final = 8
_OFFERED: Final = (
    *KEY_METRICS,
    *("GcTotalExtraSleepTime", "GcTimeMillisParNew", "GetGroupsAvgTime", "MemHeapUsedM", "ThreadsBlocked"),
)
_DRAWN: Final = "RpcQueueTimeAvgTime"  # on the timeline, unless somebody chooses another
_SPANS: Final = 500  # incidents that are shaded
_AT_ONCE: Final = 3000  # polls of a window that is checked while the page is made
_STATE: Final = ("missing", "corrupt", "under_replicated", "last_replica", "live", "stale", "dead", "failed_volumes")
_GIB: Final = 1024.0**3


class Asked(Shape):
    """What the address of the page says: the step, its window, and what is shown of it."""

    step: Literal["", "baseline", "report"] = ""
    namenode: str = Field("", max_length=300)
    begin: str = Field("", alias="from", max_length=40)
    end: str = Field("", alias="to", max_length=40)
    line: str = Field(_DRAWN, max_length=100)
    threshold: str = Field("", max_length=40)
    metric: list[str] = Field([], max_length=60)
    check: bool = False

    def override(self) -> float | None:
        """The threshold that somebody wants. Raises: UsageError for what is none."""
        if not self.threshold.strip():
            return None
        try:
            value = float(self.threshold)
        except ValueError:
            value = 0.0
        if not 0 < value <= 1e12:
            raise UsageError(f"{self.threshold!r} is no threshold: write a number above 0, or leave it out")
        return value

    def metrics(self) -> list[str]:
        """The metrics that are drawn. Raises: DataError for an unknown one, UsageError for too many."""
        if len(set(self.metric)) > _MOST_METRICS:
            raise UsageError(f"{len(set(self.metric))} metrics are too many for one page: choose {_MOST_METRICS}")
        return known_metrics(self.metric or KEY_METRICS)


class Exported(Asked):
    """What the address of an export says."""

    format: Literal["json", "csv"] = "json"


@router.get("", dependencies=[needs("read")])
async def both(request: Request, home: TheHome, asked: Annotated[Asked, Query()]) -> Response:
    """Step 1, the baseline, or step 2, the report; without a word the report where there is a model."""
    asked.override(), asked.metrics(), known_metrics([asked.line])
    return await respond(request, home, "namenode.html", lambda: _values(home, asked))


def _values(home: Home, asked: Asked) -> dict[str, Any]:
    known = polled(home.store)
    if not known:
        return {"known": [], "namenode": None, "step": "baseline"}
    names = [row["namenode"] for row in known]
    if asked.namenode and asked.namenode not in names:
        raise NotFoundError(unknown("NameNode", asked.namenode, names))
    about = next(row for row in known if row["namenode"] == (asked.namenode or names[0]))
    model = model_status(home.settings)
    step = asked.step or ("report" if model["trained"] else "baseline")
    asked = asked.model_copy(update={"step": step})
    values = {
        "known": names,
        "namenode": about,
        "model": model,
        "step": step,
        "line": asked.line,
        "metrics": [metric.name for metric in ALL],
        "training": home.jobs.running(TRAINING),
        **_hdfs(home, about["namenode"]),
    }
    return values | (_baseline(home, asked, about, model) if step == "baseline" else _report(home, asked, about, model))


def _baseline(home: Home, asked: Asked, about: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    """Step 1: all polls, the window that is chosen of them, and whether it can be learned from."""
    window = _window(asked, about["latest"], home.settings.namenode_baseline_hours)
    incidents = _incidents(home, about)
    polls = polls_between(home.store, about["namenode"], window.start, window.end)
    health, why = None, ""
    if asked.check or polls <= _AT_ONCE:
        try:
            health = baseline_report(
                home.store, home.settings, namenode=about["namenode"], start=window.start, end=window.end
            )
        except DataError as error:
            why = str(error)
    began = min((row["started_at"] for row in incidents), default=None)
    return {
        "window": window.fields,
        "presets": _presets(asked, about, (1, 24, 24 * 7), began),
        "timeline": _timeline(home, asked, about, window, incidents),
        "health": health,
        "why": why,
        "report": None,
        "unchecked": polls if health is None and not why else 0,
        "losses": losses_chart(model["detectors"].get(model["detector"], {}).get("facts", {}).get("losses")),
    }


def _report(home: Home, asked: Asked, about: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    """Step 2: a window as the models judge it."""
    window, metrics = _window(asked, about["latest"], 1.0), asked.metrics()
    values: dict[str, Any] = {
        "window": window.fields,
        "presets": _presets(asked, about, (1, 24), None),
        "timeline": _timeline(home, asked, about, window, _incidents(home, about)),
        "report": None,
        "why": "",
        "untrained": False,
        "chosen": metrics,
        "offered": list(dict.fromkeys((*metrics, *_OFFERED))),
        "threshold": asked.threshold.strip(),
        "permalink": _address(asked, about["namenode"], window, metrics),
        "learned": _address(asked.model_copy(update={"threshold": ""}), about["namenode"], window, metrics),
        "exports": {
            kind: f"/namenode/export?{_query(asked, about['namenode'], window, metrics)}&format={kind}"
            for kind in ("json", "csv")
        },
    }
    try:
        report = _analysis(home, asked, about["namenode"], window, metrics)
    except NotTrainedError as error:
        return values | {"why": str(error) if model["trained"] else "no model has learned yet", "untrained": True}
    except DataError as error:
        return values | {"why": str(error)}
    serving = next(iter(report["detectors"]))
    detector = report["detectors"][serving]
    learned = detector["threshold"]
    return values | {
        "report": report,
        "serving": serving,
        "current": detector,
        "most": f"{max(4 * learned, 1.05 * detector['highest']):.6g}",
        "least": f"{learned / 10:.3g}",
        "errors": _errors(home, report, serving),
        "charts": [_metric_chart(report, name) for name in metrics],
        "tables": _metric_table(report, metrics),
    }


def _window(asked: Asked, latest: datetime, hours: float) -> Window:
    """What somebody asks for; by default the last hours of what was polled, the latest poll among them."""
    return Window.of(asked.begin, asked.end, latest + timedelta(seconds=1), hours)


def _analysis(home: Home, asked: Asked, name: str, window: Window, metrics: Sequence[str]) -> dict[str, Any]:
    return analysis_report(
        home.store,
        home.settings,
        namenode=name,
        start=window.start,
        end=window.end,
        threshold=asked.override(),
        metrics=metrics,
    )


def _query(asked: Asked, name: str, window: Window, metrics: Sequence[str]) -> str:
    given = {"step": asked.step, "namenode": name, **window.fields, "metric": metrics}
    if asked.threshold.strip():
        given["threshold"] = asked.threshold.strip()
    if asked.line != _DRAWN:
        given["line"] = asked.line
    return urlencode(given, doseq=True)


def _address(asked: Asked, name: str, window: Window, metrics: Sequence[str]) -> str:
    return f"/namenode?{_query(asked, name, window, metrics)}"


def _presets(
    asked: Asked, about: Mapping[str, Any], hours: Sequence[int], quiet_until: str | None
) -> list[dict[str, Any]]:
    """Windows that one may want: the name, the fields and the address of each."""
    first, end = about["first"], about["latest"] + timedelta(seconds=1)
    found = {
        f"last {count} h" if count < 48 else f"last {count // 24} days": Window(end - timedelta(hours=count), end)
        for count in hours
    }
    found["all of it"] = Window(first, end)
    if quiet_until is not None and (until := datetime.fromisoformat(quiet_until)) > first:
        found["all before the first incident"] = Window(first, until)
    return [
        {"name": name, "fields": window.fields, "address": _address(asked, about["namenode"], window, asked.metric)}
        for name, window in found.items()
    ]


def _incidents(home: Home, about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The latest incidents of a NameNode's own."""
    return list_incidents(home.store, Wanted(domain="namenode", entity=about["namenode"]), _SPANS)[1]


def _timeline(
    home: Home, asked: Asked, about: Mapping[str, Any], window: Window, incidents: Sequence[Mapping[str, Any]]
) -> Chart:
    """All polls of a NameNode by one metric, with its incidents and the chosen window."""
    lines = metric_lines(home.store, [asked.line], namenode=about["namenode"])
    found = lines.to_json()["metrics"][asked.line]
    x = [round(at, 3) for at in lines.times.tolist()]
    spans = [
        {"from": seconds(row["started_at"]), "to": seconds(row["ended_at"]), "kind": row["severity"]}
        for row in incidents
    ]
    drawn = [line(asked.line, found["high"])]
    if lines.step_s:
        drawn = [line("most", found["high"]), line("least", found["low"], "low")]
    data = {"x": x, "lines": drawn, "unit": found["unit"], "height": 170, "brush": "window",
            "spans": [window.span("chosen"), *spans]}  # fmt: skip
    return Chart(
        "timeline",
        "All polls",
        f"{about['polls']:,} polls from {moment_text(about['first'])} to {moment_text(about['latest'])} UTC with "
        f"{max(about['gaps'], 0):,} gaps; {asked.line} from {spread(found['low'], found['high'])} {found['unit']}; "
        f"{len(incidents):,} incidents. Chosen: {window.fields['from']} to {window.fields['to']}.",
        data,
        ("From (UTC)", f"{asked.line} ({found['unit']})"),
        table_rows(x, [(found["low"], found["high"])]),
    )


def _errors(home: Home, report: Mapping[str, Any], serving: str) -> Chart:
    """The error of reconstruction, its threshold and the incidents."""
    x, scores = [seconds(at) for at in report["times"]], report["scores"][serving]
    about, rule = report["detectors"][serving], persistence(home.settings)
    spans = [
        {"from": seconds(row["start"]), "to": seconds(row["end"]), "kind": row["severity"]}
        for row in report["incidents"]
    ]
    runs = {"step": report["step_s"], "least": rule.least_s, "gap": rule.gap_s}
    data = {"x": x, "lines": [line("error", scores)], "unit": "", "height": 220, "sync": "report", "log": True,
            "spans": spans, "threshold": about["threshold"], "runs": runs}  # fmt: skip
    return Chart(
        "errors",
        "Error of reconstruction",
        f"How far each step is from what the model {serving} expects. {about['steps_over']:,} of {report['steps']:,} "
        f"steps reach the threshold of {number(about['threshold'])}; the highest error is {number(about['highest'])}.",
        data,
        ("From (UTC)", "Error"),
        table_rows(x, [(scores, scores)]),
    )


def _metric_chart(report: Mapping[str, Any], name: str) -> Chart:
    """A metric beside what was expected of it."""
    series = report["series"]
    found = series["metrics"][name]
    drawn = [line("actual", found["high"])]
    if series["step_s"]:
        drawn = [line("most", found["high"]), line("least", found["low"], "low")]
    drawn.append(line("expected", found["expected"], "expected"))
    x = [seconds(at) for at in series["times"]]
    spans = [
        {"from": seconds(row["start"]), "to": seconds(row["end"]), "kind": row["severity"]}
        for row in report["incidents"]
    ]
    data = {"x": x, "lines": drawn, "unit": found["unit"], "height": 150, "sync": "report", "spans": spans}
    return Chart(
        f"metric-{name}",
        f"{name} ({found['unit']})",
        f"From {spread(found['low'], found['high'])} {found['unit']}; expected {spread(*[found['expected']] * 2)}.",
        data,
    )


def _metric_table(report: Mapping[str, Any], metrics: Sequence[str]) -> Chart:
    """One table for all metrics that are drawn."""
    series = report["series"]
    x = [seconds(at) for at in series["times"]]
    columns = []
    for name in metrics:
        found = series["metrics"][name]
        columns += [(found["low"], found["high"]), (found["expected"], found["expected"])]
    heads = [head for name in metrics for head in (f"{name} ({BY_NAME[name].unit})", "expected")]
    return Chart("metrics", "Metrics", "", {}, ("From (UTC)", *heads), table_rows(x, columns))


def losses_chart(losses: Mapping[str, Sequence[float]] | None) -> Chart | None:
    """The loss of the autoencoder by epoch; None where it is not known."""
    if not losses or not losses["validation"]:
        return None
    validation, training = losses["validation"], losses["training"]
    best = min(range(len(validation)), key=validation.__getitem__)
    epochs = [*range(1, len(validation) + 1)]
    every = -(-len(epochs) // 24)
    data = {"x": epochs, "lines": [line("training", training), line("validation", validation, "expected")], "unit": "",
            "height": 180, "numbers": True}  # fmt: skip
    return Chart(
        "losses",
        "Loss of the autoencoder by epoch",
        f"{len(epochs)} epochs: the loss on windows that were held back fell from {number(validation[0])} to "
        f"{number(validation[best])} at epoch {best + 1}, whose weights were kept.",
        data,
        ("Epoch", "Training", "Validation"),
        [[str(at + 1), number(training[at]), number(validation[at])] for at in range(0, len(epochs), every)],
    )


def _hdfs(home: Home, name: str) -> dict[str, Any]:
    """The state of HDFS at the last poll, and blocks in trouble over the last day of it."""
    try:
        state = state_report(home.store, name)
    except DataError:
        return {"hdfs": None, "hdfs_chart": None}
    known = state["state"]
    figures = [
        {"key": each, "value": f"{known[each]['value']:,.0f}", "bad": each != "live" and known[each]["value"] > 0}
        for each in _STATE
        if each in known
    ]
    total, free = (known.get(f"capacity_{part}", {}).get("value") for part in ("total", "remaining"))
    capacity = None
    if total and free is not None:
        capacity = {"free": f"{free / _GIB:,.1f}", "total": f"{total / _GIB:,.1f}", "share": free / total}
    latest = datetime.fromisoformat(state["polled_at"])
    series = state_series(home.store, name, latest - timedelta(days=1), latest + timedelta(seconds=1))
    x = [seconds(at) for at in series["times"]]
    missing, under = (series["values"][each] for each in ("missing", "under_replicated"))
    data = {"x": x, "lines": [line("missing", missing), line("under-replicated", under, "expected")], "unit": "",
            "height": 130}  # fmt: skip
    chart = Chart(
        "blocks",
        "Blocks in trouble, last day",
        f"Missing: {spread(missing, missing)}. Under-replicated: {spread(under, under)}.",
        data,
        ("From (UTC)", "Missing", "Under-replicated"),
        table_rows(x, [(missing, missing), (under, under)], 12),
    )
    return {"hdfs": state, "hdfs_figures": figures, "capacity": capacity, "hdfs_chart": chart}


@router.get("/export", dependencies=[needs("read")])
async def export(home: TheHome, asked: Annotated[Exported, Query()]) -> Response:
    """The report of a window as a file: all of it as JSON, or a row a step as CSV."""
    return await home.turns.run(lambda: _file(home, asked))


def _file(home: Home, asked: Exported) -> Response:
    known = polled(home.store)
    if not known:
        raise NotFoundError("no NameNode was polled yet: hdfs-pipeline collect http://host:9870")
    name = asked.namenode or known[0]["namenode"]
    window = _window(asked, known[0]["latest"], 1.0)
    report = _analysis(home, asked, name, window, asked.metrics())
    kinds = {"json": "application/json", "csv": "text/csv; charset=utf-8"}
    body = orjson.dumps(report) if asked.format == "json" else _csv(report)
    headers = {"Content-Disposition": f'attachment; filename="namenode-{window.start:%Y%m%dT%H%M%S}.{asked.format}"'}
    return Response(body, media_type=kinds[asked.format], headers=headers)


def _csv(report: Mapping[str, Any]) -> bytes:
    """A row a step: its time, each detector's score, and whether it reaches the threshold."""
    text = io.StringIO()
    writer = csv.writer(text)
    names = [*report["detectors"]]
    writer.writerow(["time", *names, *(f"{name} reaches its threshold" for name in names)])
    for at, time in enumerate(report["times"]):
        scores = [report["scores"][name][at] for name in names]
        over = [
            int(score is not None and score >= report["detectors"][name]["threshold"])
            for name, score in zip(names, scores, strict=True)
        ]
        writer.writerow([time, *("" if score is None else repr(score) for score in scores), *over])
    return text.getvalue().encode()


@router.post("/train", dependencies=[needs("admin")])
async def train(request: Request, home: TheHome) -> Response:
    """Begin to train on a window, and show how far that is."""
    fields = await form(request)
    name, now = fields.get("namenode", ""), datetime.now(UTC)
    start, end = (parse_since(fields.get(edge, ""), now).time for edge in ("from", "to"))
    if not start < end:
        raise UsageError(f"the window ends ({fields['to']}) before it begins ({fields['from']})")
    with_incidents = fields.get("with_incidents", "") == "true"
    job = await to_thread.run_sync(lambda: begin_training(home, name, start, end, with_incidents))
    return RedirectResponse(f"/namenode/training/{job.id}", 303)


@router.get("/training/{identity}", dependencies=[needs("read")])
def training(request: Request, home: TheHome, identity: str) -> Response:
    """How far a training is, and once it has ended what came of it."""
    job = home.jobs.find(identity)
    losses = losses_chart((job.result or {}).get("losses"))
    return page(request, "training.html", job=job.to_json(), losses=losses)
