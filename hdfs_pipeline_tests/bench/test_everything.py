import io
import json
import os
import subprocess
import sys

import pytest
from rich.console import Console

from hdfs_pipeline.bench import everything
from hdfs_pipeline.bench.everything import PARTS, Part, bench_all
from hdfs_pipeline.cli.tables.bench import all_tables
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.settings import PREFIX, PROJECT, Settings


def figure(value: float | None) -> dict:
    return {"what": "seconds, at most", "value": value, "aim": 2.0, "met": None if value is None else value <= 2}


def test_parts_that_cannot_run_say_why_and_the_rest_goes_on(tmp_path, monkeypatch):
    def breaks(*_):
        raise ValueError("a fault\nof ours")

    part = Part("parse a", "About it.", lambda *_: [figure(1.23456), figure(None) | {"why": "no peers"}])
    parts = [p for p in PARTS if p.name in ("score", "stream", "serve")]  # they need a home
    monkeypatch.setattr(everything, "PARTS", [*parts, Part("odd", "Odd.", breaks), part])
    said: list[str] = []
    run = bench_all(Settings(home=tmp_path / "none"), say=said.append)
    assert json.loads(json.dumps(run)) == run
    assert [each["part"] for each in run["parts"]] == ["score", "stream", "serve", "odd", "parse a"] == said
    assert all("hdfs-pipeline demo" in each["missing"] for each in run["parts"][:3])
    assert run["parts"][3]["missing"] == "ValueError: a fault of ours"
    assert [each["value"] for each in run["parts"][4]["figures"]] == [1.235, None]
    assert {"date", "commit", "version", "machine"} < run.keys() and "torch" in run["machine"]
    told = Console(width=200, file=io.StringIO())
    for table in all_tables(run):
        told.print(table)
    text = told.file.getvalue()
    assert "a fault of ours" in text and "no peers" in text and "met" in text and "duckdb" in text


def test_one_part_only(tmp_path, monkeypatch):
    parts = [Part("parse a", "", lambda *_: [figure(3.0)]), Part("up", "", lambda *_: [])]
    monkeypatch.setattr(everything, "PARTS", parts)
    assert [each["part"] for each in bench_all(Settings(home=tmp_path), ["up"])["parts"]] == ["up"]
    with pytest.raises(DataError, match="no part nothing; there are parse, up"):
        bench_all(Settings(home=tmp_path), ["nothing"])


def test_a_stream_without_a_real_broker_says_so():
    measured = {"throughput": {"lines_per_s": 170_000}, "latency": {"p99_ms": [40.0, 60.0]}}
    held, p99, no_held, no_p99 = everything._of_stream({"embedded": measured}, 10_000)
    assert (held["value"], held["met"], p99["value"], p99["met"]) == (170_000, True, 60.0, False)
    assert no_held["value"] is None and "KAFKA_BOOTSTRAP_SERVERS" in no_p99["why"]


def test_the_command_records_the_run_and_makes_the_page(tmp_path):
    """The stream's part, in a home without models: nothing of it takes time."""
    words = ["bench", "all", "--only", "stream", "--into", str(tmp_path / "runs"), "--json"]
    environment = os.environ | {f"{PREFIX}HOME": str(tmp_path / "home"), "PYTHONPATH": str(PROJECT)}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "hdfs_pipeline", *words], env=environment, capture_output=True, text=True, check=True
        )
        assert json.loads(done.stdout)["parts"][0]["part"] == "stream"
    assert len((tmp_path / "runs" / "history.jsonl").read_text().splitlines()) == 2
    assert "Did not run: no home at" in (tmp_path / "runs.md").read_text()
    assert not (tmp_path / "home").exists()
