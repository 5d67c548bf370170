"""`hdfs-pipeline experiment`: what it lists, compares and refuses; experiments for real are in experiments/load."""

import json
import subprocess
from pathlib import Path

import pytest

from hdfs_pipeline.experiments.load.run import host_of
from hdfs_pipeline.experiments.load.shapes import suite_named
from hdfs_pipeline.settings import BOOTSTRAP
from hdfs_pipeline_tests.experiments.load.made import completed, fill
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.streaming.conftest import run_command

SUITE = "- {name: one, duration_s: 5}\n- {name: two, consumers: 2, duration_s: 5}\n"


def run(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_command(home, "experiment", *arguments)


def test_a_suite_that_is_completed_is_reported_and_not_run_again(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(BOOTSTRAP, raising=False)
    path = tmp_path / "mine.yaml"
    path.write_text(SUITE)
    host = host_of(home.settings.model_copy(update={"kafka_bootstrap_servers": ""}))
    for load in suite_named(str(path)) * 2:
        completed(home.store, load, 1000.0 * load.consumers, host)
    done = run(home, "suite", str(path), "--trials", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert "4 experiments, 4 of them completed before: about 0 minutes" in done.stderr
    told = json.loads(done.stdout)
    assert [(each["name"], len(each["trials"]), each["read_per_s"]) for each in told["experiments"]] == [
        ("one", 2, 1000.0), ("two", 2, 2000.0),
    ]  # fmt: skip
    assert told["experiments"][1]["efficiency"] == pytest.approx(1.0)


def test_what_there_is_is_listed_by_status(home: Home) -> None:
    records = fill(home.store)
    told = json.loads(run(home, "list", "--status", "failed", "--json").stdout)
    assert [(each["load"]["name"], each["reason"]) for each in told] == [("broken", "worker-1 ended by itself")]
    everything = run(home, "list").stdout
    assert "broken" in everything and "stress" in everything
    named = json.loads(run(home, "list", records[0].experiment, "--json").stdout)
    assert [each["experiment"] for each in named] == [records[0].experiment]


def test_the_report_says_what_to_do(home: Home) -> None:
    fill(home.store)
    assert "read 52,000 messages a second, the most of all" in " ".join(run(home, "report").stdout.split())


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (("run", "a", "--rate", "fast"), 2, "a rate of 'fast'"),
        (("run", "a", "--duration", "soon"), 2, "a length of time such as 90s"),
        (("run", "A B"), 2, "no name of an experiment"),
        (("run", "a", "--payload", "nonsense"), 2, "choose from blocks, web, app"),
        (("run", "a"), 5, "hdfs-pipeline demo"),
        (("suite", "nonsense"), 2, "standard, extended"),
        (("report", "nonsense"), 2, "no experiment is called nonsense"),
        (("list", "--status", "odd"), 2, "running, completed, failed"),
    ],
)
def test_what_cannot_be_done_says_why(home: Home, arguments: tuple[str, ...], code: int, why: str) -> None:
    done = run(home, *arguments)
    assert done.returncode == code, done.stderr
    assert why in " ".join(done.stderr.replace("│", " ").split())
