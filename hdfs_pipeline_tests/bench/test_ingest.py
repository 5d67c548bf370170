import gzip
import io
import json

import pytest
from rich.console import Console

from hdfs_pipeline.bench.commands import command
from hdfs_pipeline.bench.ingest import _targets, bench_ingest
from hdfs_pipeline.cli.tables.bench import ingest_table
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline_tests.homes import Excerpt


def test_a_home_and_new_lines_in_it(tmp_path, excerpt: Excerpt):
    sample = tmp_path / "sample.log.gz"
    sample.write_bytes(gzip.compress(excerpt.log.read_bytes()))
    settings = Settings(home=tmp_path / "home")
    result = bench_ingest(settings, sample, blocks=[800], new_lines=200, rounds=1)
    assert json.loads(json.dumps(result)) == result
    assert [home["blocks"] for home in result["homes"]] == [800]
    assert all(home[name] > 0 for home in result["homes"] for name in ("read_s", "judged_s", "new_s", "new_cpu_s"))
    assert result["homes"][0]["incidents"] > 0
    assert all(used["seconds"] > 0 and used["peak_mb"] > 20 for used in result["commands"].values())
    assert set(result["commands"]) == {"explain", "status"}
    told = Console(width=200, file=io.StringIO())
    told.print(ingest_table(result))
    assert "200 new lines to incident in a home of 800 blocks" in told.file.getvalue()
    assert not settings.home.exists(), "the home that was given is not touched"


def test_a_large_home_is_held_against_a_small_one():
    small = {"blocks": 100, "lines": 2000, "read_s": 1.0, "new_s": 1.0}
    large = small | {"blocks": 1000, "read_s": 4.0, "new_s": 1.5}
    used = {"explain": {"seconds": 0.4, "peak_mb": 400.0}}
    targets = _targets({"homes": [small, large], "matrix_s": 2.0, "new_lines": 10, "commands": used})
    assert [target["value"] for target in targets] == [2.0, 1.5, 1.5, 0.4, 400.0]
    assert [target["met"] for target in targets] == [True, True, False, True, False]


def test_a_command_that_fails_says_why(tmp_path):
    with pytest.raises(SetupError, match="no home at"):
        command(tmp_path / "none", "status")
