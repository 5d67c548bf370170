"""The NameNode commands on a home that has watched the shipped recording: JSON, tables, errors."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline.domains.namenode.detectors import LEARNING, MAIN
from hdfs_pipeline.domains.namenode.replay import SAMPLE
from hdfs_pipeline.scoring.models import promote_model
from hdfs_pipeline_tests.cli.test_cli import Done, Run, run
from hdfs_pipeline_tests.domains.namenode.watched import faults, watch
from hdfs_pipeline_tests.homes import open_home

__all__ = ["run"]

Tell = Callable[..., Done]


@pytest.fixture
def tell(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow_db: Path) -> Tell:
    """Runs `namenode …` in a home whose models train in a second."""
    monkeypatch.setenv("HDFS_PIPELINE_NAMENODE_EPOCHS", "3")
    (tmp_path / "home").mkdir()
    shutil.copy(mlflow_db, tmp_path / "home")
    return lambda *arguments: run("namenode", *arguments, "--home", tmp_path / "home")


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def listed(run: Run, folder: Path) -> list[dict[str, Any]]:
    """The incidents of the NameNode, the latest first."""
    found: list[dict[str, Any]] = run("--home", folder / "home", "incidents", "list", "--json").json
    return found


def test_a_day_with_a_namenode(run: Run, tell: Tell, tmp_path: Path) -> None:
    storm, churn = faults()["listing_storm"], faults()["metadata_write_churn"]
    assert tell("status", "--json").json["trained"] is False
    nothing = tell("train")
    assert nothing.code == 4 and "hdfs-pipeline collect" in nothing.err
    watch(open_home(tmp_path / "home"))
    untrained = tell("score")
    assert untrained.code == 5 and "namenode train" in untrained.err
    odd = tell("mark", iso(churn.start), iso(churn.end), "--as", "holiday")
    assert odd.code == 2 and "maintenance or false" in odd.err
    odd = tell("train", "--to", "yesterday")
    assert odd.code == 2 and "is no time" in odd.err
    assert tell("train", "--to", iso(storm.start), "--json").json["steps"] == 30
    assert tell("status", "--json").json["serving"] == 1
    scored = tell("score", "--json").json
    assert scored["steps"] == 95 and scored["incidents"] == 5
    found = listed(run, tmp_path)
    assert found[0]["kind"] == "metadata churn" and found[0]["details"]["metrics"][0]["metric"].endswith("Rate")
    report = tell("report", "--from", iso(churn.start), "--to", iso(churn.end), "--threshold", "50", "--json").json
    assert report["detectors"][MAIN]["threshold"] == pytest.approx(50)
    marked = tell("mark", iso(churn.start), iso(churn.end), "--as", "false", "--json").json
    assert marked["incidents"] == 1
    assert listed(run, tmp_path)[0]["status"] == "suppressed"
    assert tell("train", "--json").json["serving"] == 1, "too few steps to hold any back for a judgement"
    serve(tmp_path / "home", 2)
    assert tell("status", "--json").json["serving"] == 2
    assert tell("rollback", "--json").json == {"before": 2, "serving": 1}


def serve(home: Path, version: int) -> None:
    for name in LEARNING:
        promote_model(open_home(home).settings, "namenode", name, version)


def test_tables_for_people(run: Run, tell: Tell, tmp_path: Path) -> None:
    watch(open_home(tmp_path / "home"))
    end = iso(faults()["listing_storm"].start)
    told = tell("train", "--to", end).out
    assert "never called: Concat" in told and MAIN in told
    assert "Version 1" in tell("status").out
    assert "5 incidents" in tell("score").out
    latest = run("--home", tmp_path / "home", "incidents", "show", listed(run, tmp_path)[0]["id"]).out
    assert "metadata churn" in latest and "MkdirsRate" in latest and "root: " in latest
    assert "static_rules" in tell("report", "--from", end).out
    later = iso(faults()["metadata_write_churn"].end)
    assert (
        "marked as maintenance; 2 incidents"
        in tell("mark", iso(faults()["cpu_starvation"].start), later, "--as", "maintenance").out
    )
    again = " ".join(tell("train").out.split())
    assert "majority version 2: not judged, so version 1 serves on: too little to learn from and be judged on" in again
    serve(tmp_path / "home", 2)
    assert "version 1 serves again" in tell("rollback").out


def test_evaluate_finds_the_labels_beside_a_recording(tell: Tell, tmp_path: Path) -> None:
    told = tell("evaluate", SAMPLE).out
    assert "5 of 5" in told and "content-summary" in told
    assert tell("evaluate", "nowhere.npz").code == 4
    alone = tmp_path / "alone.jsonl.gz"
    alone.write_bytes(SAMPLE.read_bytes())
    assert "needs --labels" in tell("evaluate", alone).err
    found = tell("evaluate", alone, "--labels", SAMPLE.with_name("labels.jsonl"), "--json").json
    assert found["kind"] == "series" and found["detectors"]["incidents"]["found"] == 5


def test_the_common_commands_take_it(tell: Tell, run: Run, tmp_path: Path) -> None:
    home = tmp_path / "home"
    watch(open_home(home))
    tell("train", "--to", iso(faults()["listing_storm"].start))
    tell("score")
    asked = ("--domain", "namenode", "--home", home)
    cards = run("models", "--json", *asked).json
    assert [(card["detector"], card["windows"], card["serves"]) for card in cards] == [
        *((name, 30, True) for name in LEARNING),
        ("static_rules", 0, True),
    ]
    (window,) = open_home(home).rows(
        "SELECT item FROM anomalies WHERE domain = 'namenode' AND detector = 'deviation' ORDER BY score DESC LIMIT 1"
    )
    told = run("explain", window[0], "--detector", "deviation", "--json", *asked).json
    assert told["window"] == window[0] and told["is_anomaly"] and " instead of " in told["explanation"]["reason"]
    given = run("feedback", window[0], "--verdict", "false", "--json", *asked).json
    assert (given["window"], given["detector"], given["was_anomaly"]) == (window[0], MAIN, True)
    nothing = run("ingest", home, *asked)
    assert nothing.code == 4 and "hdfs-pipeline collect" in nothing.err
    assert run("rollback", "--detector", "deviation", *asked).code == 4
