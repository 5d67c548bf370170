import io
import json

import pytest
from rich.console import Console

from hdfs_pipeline.bench.up import _name, _targets, bench_up
from hdfs_pipeline.cli.tables.bench import up_table
from hdfs_pipeline_tests.homes import SAMPLE


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("python -W ignore -m hdfs_pipeline broker --with-parent", "broker"),
        ("python -W ignore -m hdfs_pipeline incidents follow", "incidents follow"),
        ("python -W ignore -m hdfs_pipeline produce raw /a/b.log --rate 5", "produce raw"),
        ("python -W ignore -m dagster dev -w x.yaml", "dagster"),
        ("python -m dagster._daemon run", "dagster daemon"),
        ("python -m dagster_webserver -h 127.0.0.1", "dagster web"),
        ("python -m dagster api grpc --socket x", "dagster code"),
        ("python -I -S guard.py", "above"),
    ],
)
def test_what_processes_are_called(words, name):
    assert _name(words.split(), "above") == name


def test_runs_of_a_run_are_its_starters():
    assert _name(["python", "-m", "dagster", "api", "execute_run", "x"], "dagster code") == "dagster code"


def test_a_short_time_counts_no_runs():
    load = {"rate": 0, "share": 10.0, "runs_per_h": None}
    share, runs = _targets(load, 20.0)
    assert share["met"] and runs["met"] is None and "--seconds 120" in runs["why"]
    share, runs = _targets(load | {"runs_per_h": 31.0, "share": 16.0}, 120.0)
    assert not share["met"] and runs["met"] is False and "why" not in runs


@pytest.mark.slow
def test_up_idle_and_under_load():
    result = bench_up(SAMPLE / "HDFS.log.gz", rates=(0, 500), seconds=5.0, warm_s=5.0)
    assert json.loads(json.dumps(result)) == result
    idle, busy = result["loads"]
    assert {"stream", "broker", "serve", "dagster daemon", "dagster code", "dagster web"} <= idle["shares"].keys()
    assert busy["shares"]["produce raw"] > 0 and busy["shares"]["stream"] > 0
    assert all(abs(load["share"] - sum(load["shares"].values())) < 1 for load in result["loads"])
    assert all(load["memory_mb"] > 200 for load in result["loads"])
    told = Console(width=200, file=io.StringIO())
    told.print(up_table(result))
    assert "500 lines/s: % of a core, stream" in told.file.getvalue()
