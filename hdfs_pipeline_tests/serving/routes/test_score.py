"""Verdicts over REST on what a request brings: lines, count vectors and matrices say the same as the home's scores."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from hdfs_pipeline.domains.blocks.catalogue import catalogues
from hdfs_pipeline.scoring.models import load_model, promote_model, save_model
from hdfs_pipeline.verdicts.score import score_items
from hdfs_pipeline_tests.homes import BLOCKS, Excerpt, Home, copy_home
from hdfs_pipeline_tests.serving.conftest import Connect

ARROW = "application/vnd.apache.arrow.stream"
SERVING = "random_forest"
LINE = "081109 203518 143 INFO dfs.DataNode$DataXceiver: Receiving block blk_{} src: /10.0.0.1:1 dest: /10.0.0.2:2"


@pytest.fixture(scope="module")
def scored(trained: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose blocks have scores."""
    home = copy_home(trained, tmp_path_factory.mktemp("scored") / "home")
    for name in (SERVING, "lifecycle"):
        score_items(home.store, home.settings, BLOCKS, name)
    return home


@pytest.fixture
def asking(scored: Home, connect: Connect) -> TestClient:
    return connect(scored)


def stored(home: Home, detector: str) -> dict[str, float]:
    """The scores of the blocks whose whole life the records show."""
    return dict(home.rows("SELECT item, score FROM scores WHERE detector = ? AND unfinished = ''", detector))


def counted(home: Home) -> tuple[list[str], np.ndarray, tuple[str, ...]]:
    """The home's whole blocks, their counts, and what these are of."""
    data = BLOCKS.features(home.store, home.settings)
    whole = np.flatnonzero(np.array(data.unfinished.tolist()) == "")
    return [f"blk_{key}" for key in data.keys[whole].tolist()], data.main.values[whole].astype(int), data.main.columns


def by_item(told: dict[str, Any], voice: int = 0) -> dict[str, float]:
    return dict(zip(told["items"], told["voices"][voice]["scores"], strict=True))


def arrow(columns: dict[str, Any]) -> bytes:
    sink = io.BytesIO()
    table = pa.table(columns)
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def send(client: TestClient, body: bytes, query: str = "") -> Any:
    return client.post(f"/api/score/arrow{query}", content=body, headers={"Content-Type": ARROW})


def test_lines_are_judged_as_the_homes_own_were(asking: TestClient, scored: Home, excerpt: Excerpt) -> None:
    lines = excerpt.log.read_text().splitlines()
    told = asking.post("/api/score", json={"lines": [*lines, "no record", LINE.format("5").replace("blk_5", "it")]})
    assert told.status_code == 200, told.text
    body = told.json()
    assert body["unread"] == [{"line": len(lines), "reason": body["unread"][0]["reason"]}]
    assert [(voice["detector"], voice["version"]) for voice in body["voices"]] == [(SERVING, 1), ("lifecycle", 0)]
    for at, detector in enumerate((SERVING, "lifecycle")):
        known, found = stored(scored, detector), by_item(body, at)
        assert len(known) > 300 and known.keys() <= found.keys()
        assert {item: found[item] for item in known} == pytest.approx(known)
    called = {each["item"] for each in body["voices"][0]["anomalies"]}
    assert called == {item for item, score in by_item(body).items() if score >= body["voices"][0]["threshold"]}
    assert all(each["reason"] and each["kind"] for each in body["voices"][0]["anomalies"])


def test_every_form_of_counts_gives_the_same(asking: TestClient, scored: Home) -> None:
    items, counts, columns = counted(scored)
    vectors = [
        {"id": item, "counts": {name: int(n) for name, n in zip(columns, row, strict=True) if n}}
        for item, row in zip(items, counts, strict=True)
    ]
    by_vector = asking.post("/api/score", json={"vectors": vectors}).json()
    by_row = asking.post("/api/score", json={"columns": columns, "rows": counts.tolist(), "ids": items}).json()
    assert by_vector == by_row
    assert by_item(by_row) == pytest.approx(stored(scored, SERVING))
    table = {"id": items} | {name: counts[:, at].astype(np.int16) for at, name in enumerate(columns)}
    answer = send(asking, arrow(table), f"?catalogue={by_row['source']}")
    assert answer.status_code == 200 and answer.headers["content-type"] == ARROW, answer.text
    told = pa.ipc.open_stream(answer.content).read_all()
    about = orjson.loads(told.schema.metadata[b"verdicts"])
    assert about["source"] == by_row["source"] and about["domain"] == "blocks"
    for voice, same in zip(about["voices"], by_row["voices"], strict=True):
        assert voice == {name: same[name] for name in ("detector", "version", "threshold")}
        name = voice["detector"]
        assert told[f"{name}.score"].to_pylist() == same["scores"]
        rows = zip(*(told[column].to_pylist() for column in ("id", f"{name}.kind", f"{name}.reason")), strict=True)
        called = {each["item"]: (each["kind"], each["reason"]) for each in same["anomalies"]}
        assert {item: (kind, reason) for item, kind, reason in rows if kind is not None} == called


def test_one_block_is_judged_and_nothing_is_kept(asking: TestClient, scored: Home) -> None:
    before = scored.rows("SELECT count(*) FROM scores"), scored.settings.store_path.stat().st_mtime_ns
    told = asking.post("/api/score", json={"vectors": [{"id": "any name", "counts": {"E5": 3, "E22": 1}}]}).json()
    assert told["items"] == ["any name"] and len(told["voices"][0]["scores"]) == 1
    assert told["voices"][1]["anomalies"][0]["kind"]
    assert before == (scored.rows("SELECT count(*) FROM scores"), scored.settings.store_path.stat().st_mtime_ns)


def test_nothing_is_judged_to_nothing(asking: TestClient) -> None:
    empty = {"lines": []}, {"vectors": []}, {"columns": ["E1"], "rows": []}, {"lines": ["", "\n", "é", "\0"]}
    for body in empty:
        told = asking.post("/api/score", json=body)
        assert told.status_code == 200 and told.json()["items"] == [], told.text
    assert send(asking, arrow({"E1": np.zeros(0, np.int8)})).status_code == 200


V = [{"counts": {"E5": 1}}]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 400, "name lines"),
        ({"lines": [], "vectors": []}, 400, "name lines"),
        ({"rows": [[1]]}, 400, "rows need their columns"),
        ({"vectors": V, "ids": ["a"]}, 400, "belong to rows"),
        ({"vectors": V, "domain": "none"}, 400, "no domain"),
        ({"vectors": V, "domain": "namenode"}, 422, "judges only what the home holds"),
        ({"vectors": V, "domain": "daemons"}, 422, "judges only what the home holds"),
        ({"vectors": V, "catalogue": "none.v1"}, 400, "no catalogue"),
        ({"vectors": [{"counts": {"E1": 1}}], "catalogue": "hdfs_3.v1"}, 422, "not the model's columns"),
        ({"lines": ["x"], "catalogue": "hdfs_v1.v1"}, 400, "leave `catalogue` out"),
        ({"vectors": [{"counts": {"E999": 1}}]}, 400, "E999"),
        ({"vectors": [{"counts": {"E5": -1}}]}, 422, "greater than or equal to 0"),
        ({"vectors": [{"counts": {"E5": 2**31}}]}, 422, "less than"),
        ({"columns": ["E5"], "rows": [[-1]]}, 422, "whole numbers"),
        ({"columns": ["E5"], "rows": [[2**31]]}, 422, "whole numbers"),
        ({"vectors": [{"counts": {"E5": 2**70}}]}, 422, ""),
        ({"vectors": [{"counts": {"E5": 1.5}}]}, 422, ""),
        ({"vectors": [{"counts": {"E5": None}}]}, 422, ""),
        ({"columns": ["E5", "E5"], "rows": [[1, 1]]}, 400, "twice"),
        ({"columns": ["E5"], "rows": [[1, 2]]}, 422, "each row needs 1"),
        ({"columns": ["E5"], "rows": [[1], []]}, 422, "each row needs 1"),
        ({"columns": ["E5"], "rows": [[2**70]]}, 422, "whole numbers"),
        ({"columns": ["E5"], "rows": [[1]], "ids": []}, 422, "0 ids for 1 rows"),
        ({"lines": "text"}, 422, ""),
        ({"lines": [7]}, 422, ""),
        ([], 422, ""),
    ],
)
def test_what_cannot_be_judged_is_told(body: Any, status: int, said: str, asking: TestClient) -> None:
    answer = asking.post("/api/score", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert said in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 422, "no Arrow IPC stream"),
        (b"PAR1", 422, "no Arrow IPC stream"),
        (b"\xff" * 1000, 422, "no Arrow IPC stream"),
        (arrow({"E5": [1, 2]})[:-20], 422, ""),
        (arrow({"E5": [1.5]}), 422, "E5 holds something other"),
        (arrow({"E5": ["1"]}), 422, "E5 holds something other"),
        (arrow({"E5": [1, None]}), 422, "E5 holds something other"),
        (arrow({"E5": np.array([2**64 - 1], np.uint64)}), 422, "whole numbers"),
        (arrow({"E5": [-1]}), 422, "whole numbers"),
        (arrow({"E999": [1]}), 400, "E999"),
    ],
    ids=str,
)
def test_tables_that_cannot_be_judged_are_told(body: bytes, status: int, said: str, asking: TestClient) -> None:
    answer = send(asking, body)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["detail"] and answer.headers["content-type"] == "application/problem+json"


def test_a_new_home_judges_lines_by_what_is_known_of_a_blocks_life(new_home: Any, connect: Connect) -> None:
    client = connect(new_home(bare=True))
    told = client.post("/api/score", json={"lines": [LINE.format(7), LINE.format(-7)]}).json()
    assert told["source"] == "hdfs_v1.v1" and sorted(told["items"]) == ["blk_-7", "blk_7"]
    assert [voice["detector"] for voice in told["voices"]] == ["lifecycle"]
    assert len(told["voices"][0]["scores"]) == 2
    unnamed = client.post("/api/score", json={"vectors": V})
    assert unnamed.status_code == 400 and "name the catalogue" in unnamed.json()["detail"]
    assert client.post("/api/score", json={"vectors": V, "catalogue": "hdfs_v1.v1"}).status_code == 200


def test_a_new_champion_serves_without_a_restart(
    trained: Home, tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hdfs_pipeline.domains.blocks.judge._RENEW_S", 0.0)
    home = copy_home(trained, tmp_path / "home")
    client = connect(home)

    def version() -> int:
        return int(client.post("/api/score", json={"vectors": V}).json()["voices"][0]["version"])

    assert version() == 1
    save_model(load_model(BLOCKS.row(SERVING).cls, home.settings, BLOCKS.name, 1), home.settings, promote=False)
    assert version() == 1
    promote_model(home.settings, BLOCKS.name, SERVING, 2)
    assert version() == 2


def test_the_events_of_every_catalogue_can_be_named(new_home: Any, connect: Connect) -> None:
    client = connect(new_home(bare=True))
    for label, catalogue in catalogues().items():
        body = {"columns": [*catalogue.columns, "alarms"], "rows": [[1] * (len(catalogue.columns) + 1)]}
        assert client.post("/api/score", json=body | {"catalogue": label}).json()["source"] == label
