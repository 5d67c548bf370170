"""`retrain`, `rollback` and `models` on the command line: tables for people, JSON for programs, exit codes."""

import shutil
from pathlib import Path

import pytest

from hdfs_pipeline.settings import PREFIX
from hdfs_pipeline_tests.cli.test_cli import Run, run, write_settings
from hdfs_pipeline_tests.homes import Excerpt, Home, copy_home, fill

__all__ = ["run"]


@pytest.fixture(scope="module")
def home(trained: Home, unseen: Excerpt, tmp_path_factory: pytest.TempPathFactory, mlflow_db: Path) -> Path:
    """The folder of a trained home into which 60 more blocks came, with an MLflow of its own."""
    found = copy_home(trained, tmp_path_factory.mktemp("cli") / "home")
    fill(found, [unseen.log], unseen.csv)
    shutil.copy(mlflow_db, found.settings.home)
    return found.settings.home


def test_the_life_of_a_challenger(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = run("retrain", "--home", home, "--detector", "exact_match")
    assert told.code == 0
    assert "60 new blocks of the 1,000 that a retraining waits for" in told.out
    monkeypatch.setenv(f"{PREFIX}RETRAIN_HOLDOUT_BLOCKS", "20")
    monkeypatch.setenv(f"{PREFIX}RETRAIN_BATCH_SIZE", "50")
    found = run("retrain", "--home", home, "--json").json
    assert [each["detector"] for each in found] == ["random_forest", "exact_match", "keywords"]
    assert [each["status"] for each in found][1:] == ["kept", "nothing to learn"]
    assert all(each["challenger"] == 2 for each in found[:2])
    rows = run("models", "--home", home, "--json").json
    assert (rows[0]["detector"], rows[0]["version"]) == ("lifecycle", 0), "it needs no training"
    rows = rows[1:]
    assert [(row["detector"], row["version"]) for row in rows] == [
        ("random_forest", 1),
        ("random_forest", 2),
        ("exact_match", 1),
        ("exact_match", 2),
        ("keywords", 1),
    ]
    assert [row["serves"] for row in rows][2:] == [True, False, True]
    assert [row["blocks"] for row in rows if row["version"] == 1] == [400, 400, 400]
    assert rows[3]["judgement"]["blocks"] == found[1]["judgement"]["blocks"] > 0
    assert rows[3]["judgement"]["verdict"] == found[1]["verdict"]
    shown = run("models", "--home", home, "--detector", "exact_match")
    assert "against" in shown.out and "yes" in shown.out
    shown = run("retrain", "--home", home, "--detector", "exact_match", "--force")
    assert "version 3" in shown.out and "so version 1 serves on" in shown.out and "of version 1" in shown.out
    back = run("rollback", "--home", home, "--detector", "exact_match", "--to", "2")
    assert back.out.strip() == "exact_match: version 2 serves, in place of version 1"
    back = run("rollback", "--home", home, "--detector", "exact_match", "--json").json
    assert back == {"detector": "exact_match", "before": 2, "now": 1, "alias_moved": False}
    last = run("rollback", "--home", home, "--detector", "exact_match")
    assert (last.code, last.out) == (4, "")
    assert "--to VERSION" in last.err


@pytest.mark.parametrize(
    ("code", "arguments", "message"),
    [
        (5, ["retrain"], "run `hdfs-pipeline train`"),
        (5, ["retrain", "--detector", "autoencoder"], "hdfs-pipeline train --detector autoencoder"),
        (2, ["retrain", "--detector", "forest"], "no detector 'forest'"),
        (2, ["rollback"], "Missing option"),
        (5, ["rollback", "--detector", "keywords"], "hdfs-pipeline train --detector keywords"),
        (5, ["rollback", "--detector", "keywords", "--to", "3"], "hdfs-pipeline train --detector keywords"),
    ],
)
def test_what_cannot_be_done_is_told(run: Run, tmp_path: Path, code: int, arguments: list[str], message: str) -> None:
    write_settings(tmp_path / "h")
    done = run("--home", "h", *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_before_any_training_the_detectors_that_need_none_are_listed(run: Run, tmp_path: Path) -> None:
    write_settings(tmp_path / "h")
    (only,) = run("--home", "h", "models", "--json").json
    assert (only["detector"], only["version"], only["serves"]) == ("lifecycle", 0, True)
    told = run("--home", "h", "models").out
    assert "needs no training" in told
    assert "no model yet: `hdfs-pipeline train`" in told
    assert "Verdicts come from lifecycle." in told
    assert run("--home", "h", "models", "--detector", "keywords", "--json").json == []
