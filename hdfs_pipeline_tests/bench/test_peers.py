"""The naive script counts what we count: otherwise its time would say nothing."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from hdfs_pipeline.bench import peers
from hdfs_pipeline.bench.parse import _pattern
from hdfs_pipeline.domains.blocks.catalogue import catalogues
from hdfs_pipeline.domains.blocks.kernel import count_events
from hdfs_pipeline_tests.domains.blocks.formats import log_format
from hdfs_pipeline_tests.homes import Excerpt

V1 = catalogues()["hdfs_v1.v1"]
PATTERNS = [(template.event_id, _pattern(template.text)) for template in V1.templates]


def test_the_naive_script_counts_as_we_do(excerpt: Excerpt):
    told, counts = peers.naive(str(excerpt.log), "hdfs_v1", PATTERNS)
    data = excerpt.log.read_bytes()
    matrix = count_events([data], log_format(), V1, 1 << 20)
    ours = {
        f"blk_{block}": Counter({event: n for event, n in zip(V1.columns, row, strict=True) if n})
        for block, row in zip(matrix["block_id"].to_pylist(), matrix["counts"].to_pylist(), strict=True)
    }
    assert counts == ours
    assert (told["lines"], told["blocks"]) == (data.count(b"\n"), 400)


def test_the_naive_script_needs_no_library(tmp_path, excerpt: Excerpt):
    (tmp_path / "patterns.json").write_text(json.dumps(PATTERNS))
    words = ["naive", str(excerpt.log), "hdfs_v1", "60", "patterns.json"]
    python = [sys.executable, "-I", "-S", str(Path(peers.__file__))]
    done = subprocess.run([*python, *words], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["lines"] == excerpt.log.read_bytes().count(b"\n")


def test_the_naive_script_stops_at_its_limit(excerpt: Excerpt):
    assert peers.naive(str(excerpt.log), "hdfs_v1", PATTERNS, limit_s=0.0)[0]["lines"] == 0


@pytest.mark.parametrize(
    ("template", "pattern"),
    [("<*>a.b<*>c", r".*?a\.b.*?c$"), ("at<*>", "at"), ("<*>Served block<*>to<*>", r".*?Served\ block.*?to")],
)
def test_a_template_as_a_regular_expression(template, pattern):
    assert _pattern(template) == pattern
