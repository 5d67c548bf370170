"""The demo: the main job on a shipped sample, and a summary that a newcomer can read."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.markup import escape

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.errors import DataError, PipelineError, UsageError, unknown
from hdfs_pipeline.settings import PREFIX, PROJECT, Settings, load_settings

if TYPE_CHECKING:
    from rich.console import Console

    from hdfs_pipeline.domains.contract import Domain

app = typer.Typer()
SAMPLES: Final = ("hdfs_v1", "hdfs_3.4")


@app.command()
def demo(
    sample: Annotated[str, typer.Option(help=f"Which shipped data: {' or '.join(SAMPLES)}.")] = SAMPLES[0],
) -> None:
    """Run the main job on real, labelled logs that ship with the project, and show what it finds.

    hdfs_3.4 goes into a home of its own, data/homes/hdfs_3.4, unless --home names one.
    """
    from hdfs_pipeline.domains import domain_named

    if sample not in SAMPLES:
        raise UsageError(unknown("sample", sample, SAMPLES))
    if sample != SAMPLES[0] and os.environ[f"{PREFIX}HOME"] == str(Path("data")):
        os.environ[f"{PREFIX}HOME"] = str(Path("data") / "homes" / sample)
    settings = load_settings()
    with terminal.steps() as progress:
        bar = progress.add_task("starting", total=None)
        result = run_demo(
            settings,
            domain_named(),
            PROJECT / "data" / "sample" / sample,
            lambda step, done, total: progress.update(bar, description=step, completed=done, total=total),
        )
    result.show(terminal.out)


@dataclass(frozen=True)
class DemoResult:
    """The content of the summary: counts, figures by (detector, split), the most anomalous items, seconds."""

    settings: Settings
    domain: "Domain"
    facts: dict[str, Any]
    figures: list[tuple[str, str, dict[str, Any]]]
    worst: list[dict[str, Any]]
    seconds: float

    def show(self, console: "Console") -> None:
        """Print the summary."""
        from hdfs_pipeline.cli.tables.detectors import detectors_table, items_table, kinds_table

        facts, item = self.facts, self.domain.item
        console.print(
            f"\n[bold]{facts['lines']:,} lines[/] of {facts['files']} files, {facts['source']}: "
            f"[bold]{facts['items']:,} {item.plural}, {facts['anomalies']:,} anomalies[/] by {facts['detector']}\n"
        )
        title = f"Detectors, judged on {item.plural} that they were not trained on"
        console.print(detectors_table(title, self.figures))
        by_detector = {name: metrics for name, split, metrics in self.figures if split == "random"}
        if table := kinds_table(by_detector, item.plural):
            console.print(table)
        console.print(items_table(self.worst, f"Most anomalous {item.plural}", item))
        console.print(f"\nDone in {self.seconds:.0f} s. What to do next:")
        home = "" if self.settings.home == Path("data") else f" HDFS_PIPELINE_HOME={quote(str(self.settings.home))}"
        address = f"http://127.0.0.1:{self.settings.dagster_port}"
        console.print(
            f"  [bold]make up{escape(home)}[/]   then open {address}: the assets, their plots and checks",
            soft_wrap=True,
        )
        if self.worst:
            command = f"hdfs-pipeline --home {quote(str(self.settings.home))} explain {self.worst[0][item.column]}"
            console.print(f"  [bold].venv/bin/{escape(command)}[/]", soft_wrap=True, highlight=False)


def run_demo(
    settings: Settings, domain: "Domain", sample: Path, on_progress: Callable[[str, int, int], None]
) -> DemoResult:
    """Run the main job on the logs and labels of the folder `sample`, as one Dagster run of the home.

    Raises: DataError if the sample is missing; whatever the steps raise.
    """
    from hdfs_pipeline.running.orchestration import run_main_job

    if not sample.is_dir():
        raise DataError(f"{sample}: the sample is missing; it comes with a checkout of the project, run the demo there")
    started = time.monotonic()
    if not run_main_job(settings, domain.name, [str(sample)], str(sample / "labels.csv"), on_progress):
        raise PipelineError("the job failed; `make up` shows its run and the step that failed")
    return _collect(settings, domain, time.monotonic() - started)


def _collect(settings: Settings, domain: "Domain", seconds: float) -> DemoResult:
    from hdfs_pipeline.domains.champions import serving_detector
    from hdfs_pipeline.store.store import Store

    detector = serving_detector(settings, domain)
    own = {"domain": domain.name, "detector": detector}
    with Store.open(settings).read() as con:
        lines, files = con.execute("SELECT sum(lines), count(*) FROM sources").fetchall()[0]
        # Of the detector that serves, unless it takes any columns, as one does that was not trained.
        source = con.execute(
            """SELECT source FROM models WHERE domain = $domain AND source <> ''
            ORDER BY detector = $detector DESC, version DESC LIMIT 1""",
            own,
        ).fetchall()[0][0]
        items, anomalies = con.execute(
            """SELECT count(*), count(*) FILTER (is_anomaly) FROM scores
            WHERE domain = $domain AND detector = $detector""",
            own,
        ).fetchall()[0]
        figures = con.execute(
            """SELECT detector, split, metrics FROM evaluations WHERE domain = ?
            QUALIFY version = max(version) OVER (PARTITION BY detector)""",
            [domain.name],
        ).fetchall()
        anomalous = con.execute(
            """SELECT item, score, if(kind = '', '', kind || ': ') || reason, records,
                coalesce(nullif(kind, ''), reason) FROM anomalies
            WHERE domain = $domain AND detector = $detector AND origin = 'batch'""",
            own,
        ).fetchall()
    order = {"random": 0, "chronological": 1}
    figures.sort(key=lambda row: (order.get(row[1], 2), -json.loads(row[2])["f1"], row[0]))
    return DemoResult(
        settings,
        domain,
        {"lines": lines, "files": files, "items": items, "source": source, "detector": detector}
        | {"anomalies": anomalies},
        [(name, split, json.loads(metrics)) for name, split, metrics in figures],
        [
            {domain.item.column: item, "score": score, "reason": reason}
            for item, score, reason, *_ in _worst(domain, anomalous)
        ],
        seconds,
    )


def _worst(domain: "Domain", anomalies: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The three anomalies with the highest scores, at most one of each kind; of no kind, for each reason."""
    first: dict[str, tuple[Any, ...]] = {}
    for anomaly in sorted(anomalies, key=lambda row: (-row[1], domain.item.parse(row[0]))):
        first.setdefault(anomaly[4], anomaly)
    return sorted(first.values(), key=lambda row: (-row[1], -row[3], domain.item.parse(row[0])))[:3]
