"""The demo: the main job on a shipped sample, and a summary that a newcomer can read."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from hdfs_pipeline.errors import DataError, PipelineError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.score import serving_detector


@dataclass(frozen=True)
class DemoResult:
    """What the summary tells: counts, figures by (detector, split), the most anomalous blocks, seconds."""

    settings: Settings
    facts: dict[str, Any]
    figures: list[tuple[str, str, dict[str, Any]]]
    worst: list[dict[str, Any]]
    seconds: float

    def show(self, console: Console) -> None:
        """Print the summary."""
        from hdfs_pipeline.cli.tables.detectors import blocks_table, detectors_table, kinds_table

        facts = self.facts
        console.print(
            f"\n[bold]{facts['lines']:,} lines[/] of {facts['files']} files, {facts['catalogue']}: "
            f"[bold]{facts['blocks']:,} blocks, {facts['anomalies']:,} anomalies[/] by {facts['detector']}\n"
        )
        title = "Detectors, judged on blocks that they were not trained on"
        console.print(detectors_table(title, self.figures))
        if table := kinds_table({name: found for name, split, found in self.figures if split == "random"}):
            console.print(table)
        console.print(blocks_table(self.worst, "Most anomalous blocks"))
        console.print(f"\nDone in {self.seconds:.0f} s. What to do next:")
        home = "" if self.settings.home == Path("data") else f" HDFS_PIPELINE_HOME={self.settings.home}"
        address = f"http://127.0.0.1:{self.settings.dagster_port}"
        console.print(f"  [bold]make up{home}[/]   then open {address}: the assets, their plots and checks")
        if self.worst:
            command = f"hdfs-pipeline --home {self.settings.home} explain {self.worst[0]['block_id']}"
            console.print(f"  [bold].venv/bin/{command}[/]", soft_wrap=True, highlight=False)


def run_demo(settings: Settings, sample: Path, on_progress: Callable[[str, int, int], None]) -> DemoResult:
    """Run the main job on the logs and labels of the folder `sample`, as one Dagster run of the home.

    Raises: DataError where the sample is not there; whatever the steps raise.
    """
    from hdfs_pipeline.running.orchestration import run_blocks_job

    if not sample.is_dir():
        raise DataError(f"{sample}: the sample is missing; it comes with a checkout of the project, run the demo there")
    started = time.monotonic()
    if not run_blocks_job(settings, [str(sample)], str(sample / "labels.csv"), on_progress):
        raise PipelineError("the job failed; `make up` shows its run and the step that failed")
    return _collect(settings, time.monotonic() - started)


def _collect(settings: Settings, seconds: float) -> DemoResult:
    detector = serving_detector(settings)
    with Store.open(settings).read() as con:
        lines, files = con.execute("SELECT sum(lines), count(*) FROM sources").fetchall()[0]
        blocks = con.execute("SELECT count(*) FROM event_matrix").fetchall()[0][0]
        catalogue = con.execute("SELECT value FROM meta WHERE key = 'catalogue'").fetchall()[0][0]
        found = con.execute("SELECT count(*) FROM anomalies WHERE detector = ?", [detector]).fetchall()
        figures = con.execute(
            """SELECT detector, split, metrics FROM evaluations
            QUALIFY version = max(version) OVER (PARTITION BY detector)"""
        ).fetchall()
        worst = con.execute(
            """SELECT 'blk_' || block_id, score, reason FROM anomalies WHERE detector = ?
            QUALIFY row_number() OVER (PARTITION BY reason ORDER BY score DESC, block_id) = 1
            ORDER BY score DESC, lines DESC, block_id LIMIT 3""",
            [detector],
        ).fetchall()
    order = {"random": 0, "chronological": 1}
    figures.sort(key=lambda row: (order.get(row[1], 2), -json.loads(row[2])["f1"]))
    return DemoResult(
        settings,
        {"lines": lines, "files": files, "blocks": blocks, "catalogue": catalogue, "detector": detector}
        | {"anomalies": found[0][0]},
        [(name, split, json.loads(metrics)) for name, split, metrics in figures],
        [{"block_id": block, "score": score, "reason": reason} for block, score, reason in worst],
        seconds,
    )
