"""`produce web` and `produce app` into files: the lines, what is known of them, and what cannot be asked for."""

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hdfs_pipeline_tests.cli.test_cli import Run, run

__all__ = ["run"]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("web", {"error-burst", "latency", "scan", "flash-crowd", "drop"}),
        ("app", {"error-burst", "unknown-service", "odd-message", "odd-time", "keyword"}),
    ],
)
def test_files_and_labels(name: str, kinds: set[str], run: Run, tmp_path: Path) -> None:
    log, labels = tmp_path / "simulated.log", tmp_path / "known.csv"
    options = f"--rate 20 --duration 40m --begin 2026-11-24T10:00:00 --anomalies all --output {log} --labels {labels}"
    done = run("produce", name, *options.split(), "--json")
    report = done.json
    lines = log.read_bytes().splitlines()
    assert (report["records"], report["bytes"]) == (len(lines), log.stat().st_size)
    faults, labelled = read(labels), read(tmp_path / "known.lines.csv")
    assert {fault["kind"] for fault in faults} == kinds
    assert all("2026-11-24T10:10" <= fault["begin"] < fault["end"] < "2026-11-24T10:40" for fault in faults)
    assert {row["kind"] for row in labelled} == kinds - {"drop"}
    kind = "scan" if name == "web" else "unknown-service"
    (fault,) = (fault for fault in faults if fault["kind"] == kind)
    told = fault["clients"].split() if name == "web" else [fault["service"]]
    for row in labelled:
        if row["kind"] == kind:
            assert any(text in lines[int(row["line"]) - 1].decode() for text in told)


def test_a_file_ends_now(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "simulated.log"
    assert run("produce", "app", "--rate", "5", "--duration", "120s", "--output", str(log)).code == 0
    times = [datetime.fromisoformat(json.loads(line)["timestamp"]) for line in log.read_bytes().splitlines()]
    now = datetime.now(UTC)
    assert now - timedelta(seconds=180) < min(times) <= max(times) < now


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--anomalies flood --output -", "no anomaly is called flood"),
        ("--duration soon --output -", "a length of time such as"),
        ("--begin 2026-11-24", "--begin needs an --output"),
        ("--training 5 --output -", "--training goes before what is sent"),
        ("--output - --json", "either --output - or --json"),
        ("--output /nowhere/at/all.log", "cannot be written"),
        ("--duration 9s --output - --labels /nowhere/at/all.csv", "cannot be written"),
    ],
)
def test_what_cannot_be_asked_for(options: str, says: str, run: Run) -> None:
    done = run("produce", "web", *options.split())
    assert done.code == 2, done.err
    assert says in " ".join(done.err.replace("│", " ").split())
