import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from hdfs_pipeline.bench import parse as bench_parse
from hdfs_pipeline.bench import samples as bench
from hdfs_pipeline.bench.incidents import bench_incidents
from hdfs_pipeline.bench.score import bench_score
from hdfs_pipeline.bench.serve import bench_serve
from hdfs_pipeline.bench.stream import _over, _prepare
from hdfs_pipeline.cli.tables.bench import incidents_table, parse_table, score_table, serve_table, stream_table
from hdfs_pipeline.domains.blocks.catalogue import catalogues
from hdfs_pipeline.domains.blocks.kernel import count_events
from hdfs_pipeline.domains.blocks.records import split_records
from hdfs_pipeline.domains.course import PARTS
from hdfs_pipeline.domains.tally import Tally
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.settings import Settings, load_settings
from hdfs_pipeline_tests.domains.blocks.formats import log_format

V1_IDS = (-1608999687919862906, 7503483334202473044, 9223372036854775807, -9223372036854775808, 42)


def _v1(block: int) -> str:
    return (
        f"081109 203518 143 INFO dfs.DataNode$DataXceiver: Receiving block blk_{block} src: /10.0.0.1 dest: /10.0.0.2\n"
        f"081109 203519 145 INFO dfs.DataNode$PacketResponder: PacketResponder 1 for block blk_{block} terminating\n"
        f"081109 203520 13 INFO dfs.FSDataset: Deleting block blk_{block} file /mnt/hadoop/dfs/data/blk_{block}\n"
    )


def _log4j(block: int) -> str:
    return (
        "2026-11-21 14:38:15,639 INFO org.apache.hadoop.hdfs.server.datanode.fsdataset.impl.FsDatasetAsyncDiskService: "
        f"Scheduling blk_{block}_1274 replica FinalizedReplica, blk_{block}_1274, FINALIZED\n"
        "  getNumBytes()     = 32768\n"
        f"  getBlockURI()     = file:/srv/finalized/subdir0/blk_{block} on volume /srv for deletion\n"
    )


def _matrix(data: bytes) -> tuple[list[int], np.ndarray]:
    tally = Tally()
    list(split_records([data], log_format(), tally))
    catalogue = catalogues()["hdfs_v1.v1" if tally.layout == "hdfs_v1" else "hdfs_3.v1"]
    table = count_events([data], log_format(), catalogue, 1 << 20)
    return table["block_id"].to_pylist(), np.array(table["counts"].to_pylist())


@pytest.mark.parametrize(
    "text",
    ["".join(map(_v1, V1_IDS)), "".join(_log4j(1073741825 + index) for index in range(7)), "".join(map(_v1, range(3)))],
    ids=["drawn ids", "counted ids", "small ids"],
)
def test_each_repetition_has_its_own_ids_and_the_same_counts(tmp_path, text):
    sample = tmp_path / "sample.log.gz"
    sample.write_bytes(gzip.compress(text.encode()))
    made = bench.make_file(sample, 100, tmp_path / "out.log")
    data = made.path.read_bytes()
    ids, counts = _matrix(text.encode())
    many, repeated = _matrix(data)
    assert made.repetitions == -(-100 // text.count("\n"))
    assert made.blocks == len(set(many)) == made.repetitions * len(ids)
    assert made.lines == data.count(b"\n") == made.repetitions * text.count("\n")
    assert made.bytes == len(data)
    assert data.startswith(text.encode())
    assert set(ids) <= set(many)
    assert sorted(repeated.tolist()) == sorted(counts.tolist() * made.repetitions)


def test_only_the_ids_change(tmp_path):
    text = "".join(map(_log4j, (1073741825, 1073741826))) + "no id here: blk_x and 1073741825\n"
    (tmp_path / "sample.log").write_text(text)
    data = bench.make_file(tmp_path / "sample.log", 20, tmp_path / "out.log").path.read_text()
    plain = re.sub(r"blk_\d+", "blk_", text)
    assert re.sub(r"blk_\d+", "blk_", data) == plain * (len(data) // len(text))
    blocks = [re.findall(r"blk_(\d+)", record) for record in data.split("Scheduling")[1:]]
    assert all(len(set(found)) == 1 for found in blocks)


def test_a_folder_of_daemons_becomes_one_file(tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.log").write_text(_v1(5).rstrip("\n"))
    (folder / "b.log.gz").write_bytes(gzip.compress((_v1(5) + _v1(6)).encode()))
    made = bench.make_file(folder, 1, tmp_path / "out.log")
    assert (made.lines, made.blocks, made.repetitions) == (9, 2, 1)
    assert made.path.read_text() == _v1(5) + _v1(5) + _v1(6)


def test_repetitions_of_later_days(tmp_path):
    text = _v1(5).replace("081109 203520", "081110 203520") + _v1(6)
    (tmp_path / "sample.log").write_text(text)
    made = bench.make_file(tmp_path / "sample.log", 12, tmp_path / "out.log", spans=-1)
    plain = re.sub(r"blk_-?\d+", "blk_", made.path.read_text())
    days = re.findall(r"^\d{6}", plain, re.MULTILINE)
    assert days == ["081105", "081105", "081106", *["081105"] * 3, "081107", "081107", "081108", *["081107"] * 3]
    assert plain.count("203519 145 INFO") == 4, "nothing else is changed"
    again = bench.make_file(tmp_path / "sample.log", 6, tmp_path / "new.log", skip=2, spans=0)
    ids, new = (set(re.findall(r"blk_-?\d+", each.path.read_text())) for each in (made, again))
    assert (len(ids), len(new), ids & new) == (4, 2, set())


def test_log4j_days(tmp_path):
    (tmp_path / "sample.log").write_text(_log4j(1073741825))
    made = bench.make_file(tmp_path / "sample.log", 6, tmp_path / "out.log", spans=10)
    assert re.findall(r"^2026-\d\d-\d\d", made.path.read_text(), re.MULTILINE) == ["2026-11-30", "2026-12-01"]


def test_an_empty_sample_is_refused(tmp_path):
    (tmp_path / "empty.log").touch()
    with pytest.raises(DataError, match="nothing in it"):
        bench.make_file(tmp_path / "empty.log", 10, tmp_path / "out.log")


def test_ids_are_drawn_again_where_repetitions_would_share_one():
    ids = np.sort(np.random.default_rng(1).integers(-(2**63), 2**63 - 1, 50, np.int64))
    shifts = bench._shifts(ids, 40, 1)
    assert shifts[0] == 0
    assert len(np.unique(ids.view(np.uint64)[:, None] + shifts)) == 2000


def _text(table) -> str:
    console = Console(width=200, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


def test_parse_without_the_peers_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_parse, "PEERS", tmp_path / "absent" / "python")
    (tmp_path / "sample.log").write_text("".join(map(_log4j, range(1073741825, 1073741925))))
    result = bench_parse.bench_parse(tmp_path / "sample.log", lines=2000, settings=Settings(home=tmp_path), rounds=1)
    assert json.loads(json.dumps(result)) == result
    assert result["lines"] >= 2000
    assert result["blocks"] == 100 * result["repetitions"]
    for name in ("ours", "read_csv"):
        run = result["runs"][name]
        assert all(
            run[key] > 0 for key in ("seconds", "cpu_s", "lines_per_s", "mb_per_s", "peak_mb", "ratio", "cpu_ratio")
        )
    for name in ("loglead_tip", "loglead_drain", "drain3"):
        assert result["runs"][name] == {"missing": bench_parse.NOT_MEASURED}
    assert result["runs"]["naive"]["ratio"] > 0, "it needs no environment of its own"
    assert [target["met"] for target in result["targets"][:2]] == [None, None]
    assert "make bench-peers" in _text(parse_table(result))


def test_a_peer_that_fails_is_told_and_stops_nothing(tmp_path, monkeypatch):
    peer = tmp_path / "python"
    peer.write_text("#!/bin/sh\necho 'No module named loglead' >&2\nexit 1\n")
    peer.chmod(0o755)
    monkeypatch.setattr(bench_parse, "PEERS", peer)
    run = {"seconds": 1.0, "cpu_s": 1.0, "lines": 30, "records": 30, "blocks": 10, "peak_mb": 1.0}
    monkeypatch.setattr(bench_parse, "_worker", lambda *_: run)
    (tmp_path / "sample.log").write_text("".join(map(_v1, range(10))))
    result = bench_parse.bench_parse(tmp_path / "sample.log", lines=30, settings=Settings(home=tmp_path), rounds=2)
    assert result["runs"]["drain3"] == {"missing": "failed: No module named loglead"}
    assert "No module named loglead" in _text(parse_table(result))


def test_lines_that_are_no_log_are_refused(tmp_path):
    (tmp_path / "sample.log").write_text("hello\n")
    with pytest.raises(DataError, match="known layout"):
        bench_parse.bench_parse(tmp_path / "sample.log", lines=1, settings=Settings(home=tmp_path))


def test_incidents(tmp_path):
    result = bench_incidents(Settings(home=tmp_path), anomalies=1000, blocks=500)
    assert json.loads(json.dumps(result)) == result
    assert result["incidents"] >= 5, "a fault of 200 anomalies is one, unless it met another of its kind"
    assert (result["blocks"], result["records"]) == (500, 10_000)
    assert result["status_s"] > 0 and result["group_s"] > 0
    told = _text(incidents_table(result))
    assert "seconds of status on 500 blocks" in told and "seconds to group 1,000 anomalies" in told
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_score(tmp_path):
    draw = np.random.default_rng(3)
    catalogue = catalogues()["hdfs_v1.v1"]
    values = draw.integers(0, 4, (300, len(catalogue.columns))).astype(np.float32)
    values[:, 2] = 1  # never varies: the forest does not see it
    labels = (values[:, 0] > 2).astype(np.int8)
    labels[:5] = -1
    matrix = FeatureMatrix(values, np.arange(300), catalogue.columns, catalogue.label)
    result = bench_score(matrix, labels, blocks=2000, calls=20, settings=Settings(home=Path(tmp_path)))
    assert json.loads(json.dumps(result)) == result
    assert result["sample_blocks"] == 295
    names = ("fit_s", "row_p50_ms", "row_p99_ms", "blocks_per_s", "blocks_per_s_without_dedup", "distinct_rows")
    assert all(result[name] > 0 for name in names)
    assert result["max_difference"] < 1e-5
    assert all(per_s > 0 for per_s in result["known_per_s"].values())
    assert "blocks/s by lifecycle, 20,000 at once" in _text(score_table(result))
    assert "scikit-learn" in _text(score_table(result))


def test_serve(trained):
    before = trained.rows("SELECT count(*) FROM scores")
    result = bench_serve(trained.settings, seconds=0.5, blocks=2000, calls=5, clients=3, verdicts=3)
    assert json.loads(json.dumps(result)) == result
    assert result["errors"] == 0 and result["writes"] >= 1 and result["home_blocks"] == 400
    assert all(
        result[name] > 0
        for name in ("one_p50_ms", "one_p99_ms", "many_per_s", "list_p95_ms", "list_per_s", "feed_p95_ms")
    )
    assert {"/", "/incidents", "/groups"} <= result["pages_p95_ms"].keys() and all(result["pages_p95_ms"].values())
    assert "blocks/s in one request" in _text(serve_table(result))
    assert trained.rows("SELECT count(*) FROM scores") == before, "the home itself is not written"


def test_the_stream_is_measured_on_the_broker_of_the_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "elsewhere:1")
    home = tmp_path / "home"
    (home / "models").mkdir(parents=True)
    named = load_settings(home).model_copy(update={"kafka_bootstrap_servers": "kafka:9092"})
    way: Any = ("raw_logs", ("produce", "raw", "a.log"), 10)
    assert _prepare(named, tmp_path / "a", *way).env["KAFKA_BOOTSTRAP_SERVERS"] == "kafka:9092"
    embedded = named.model_copy(update={"kafka_bootstrap_servers": ""})
    assert "KAFKA_BOOTSTRAP_SERVERS" not in _prepare(embedded, tmp_path / "b", *way).env


def test_the_table_of_the_stream_says_where_the_milliseconds_go():
    windows = [
        {"anomalies": 1, "latency_parts_ms": dict.fromkeys(PARTS, 1.0)},
        {"anomalies": 3, "latency_parts_ms": dict.fromkeys(PARTS, 5.0)},
    ]
    means = _over(windows, "latency_parts_ms")
    assert means == dict.fromkeys(PARTS, 4.0)
    throughput = {"lines_per_s": 1, "blocks_per_s": 1, "lag_at_begin": 0, "lag_at_end": 0, "worker_rss_mb": 1}
    latency = {"p50_ms": [1.0], "p99_ms": [2.0], "anomalies": [3], "parts_ms": means, "slowest_parts_ms": means}
    real = {
        "throughput": throughput | {"cpu_s_per_100k_lines": {}},
        "latency": latency | {"cpu_share": {"worker": 0.2}},
    }
    console = Console(file=io.StringIO(), width=120)
    console.print(
        stream_table({"machine": bench.machine(), "rate_asked": 1, "latency_rate": 1, "brokers": {"real": real}})
    )
    text = console.file.getvalue()
    assert all(re.search(rf"slowest 1 %: {part} +4 · 4", text) for part in PARTS)
