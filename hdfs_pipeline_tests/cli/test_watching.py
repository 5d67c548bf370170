"""`drift` and `backtest` on the command line: tables for people, JSON for programs, pictures, exit codes."""

from pathlib import Path

import pytest

from hdfs_pipeline.settings import PREFIX
from hdfs_pipeline.verdicts.score import score_items
from hdfs_pipeline_tests.cli.test_cli import Run, run, write_settings
from hdfs_pipeline_tests.homes import BLOCKS, Home, copy_home
from hdfs_pipeline_tests.monitoring.test_drift import CHANGED, add_blocks

__all__ = ["run"]
PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def home(trained: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained home with the scores of its forest."""
    found = copy_home(trained, tmp_path_factory.mktemp("cli") / "home")
    score_items(found.store, found.settings, BLOCKS, "random_forest")
    return found.settings.home


@pytest.fixture(autouse=True)
def dagster_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`backtest` names Dagster's folder in the environment: put back afterwards."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))


def test_drift_is_told_in_words_and_is_no_error(
    run: Run, trained: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}DRIFT_MIN_BLOCKS", "100")
    grown = copy_home(trained, tmp_path / "grown")
    where = grown.settings.home
    quiet = run("drift", "--home", where)
    assert quiet.code == 0
    assert quiet.out.startswith("too few to say: 0 blocks came since version 1 of random_forest")
    assert run("drift", "--home", where, "--png", "drift.png").code == 4
    add_blocks(grown, CHANGED)
    told = run("drift", "--home", where, "--png", "drift.png")
    assert told.code == 0
    assert "drifted: " in told.out and "hdfs-pipeline retrain --detector random_forest" in told.out
    assert "unseen counts" in told.out and "column E" in told.out
    assert Path("drift.png").read_bytes().startswith(PNG)
    found = run("drift", "--home", where, "--detector", "exact_match", "--json").json
    assert (found["status"], found["detector"], found["current"]) == ("drifted", "exact_match", 400)
    assert found["columns"][0]["value"] > found["columns"][0]["limit"]
    assert run("drift", "--home", where, "--png", "no/such/folder.png").code == 4


def test_a_backtest_shows_days_and_what_changes(run: Run, home: Path) -> None:
    same = run("backtest", "--home", home)
    assert same.code == 0
    assert "every verdict stays as it is" in same.out
    told = run("backtest", "--home", home, "--threshold", "0", "--png", "days.png")
    assert told.code == 0
    assert "more blocks would have been flagged" in told.out and "2008-11-10" in told.out
    assert Path("days.png").read_bytes().startswith(PNG)
    found = run("backtest", "--home", home, "--detector", "keywords", "--to", "2008-11-10", "--json").json
    assert (found["detector"], found["against"]) == ("keywords", "random_forest")
    assert [row["day"] for row in found["days"]] == ["2008-11-09", "2008-11-10"]
    assert len(found["changes"]) == found["totals"]["gained"] + found["totals"]["lost"] > 0
    assert found["totals"]["blocks"] == sum(row["blocks"] for row in found["days"])
    assert all(row["block_id"].startswith("blk_") for row in found["changes"])


@pytest.mark.parametrize(
    ("code", "arguments", "message"),
    [
        (4, ["--from", "2010-01-01"], "there are 2008-11-09, 2008-11-10, 2008-11-11"),
        (2, ["--from", "2008-11-11", "--to", "2008-11-09"], "is after"),
        (2, ["--from", "yesterday"], "does not match"),
        (2, ["--detector", "forest"], "no detector 'forest'"),
        (5, ["--detector", "autoencoder"], "hdfs-pipeline train --detector autoencoder"),
        (5, ["--version", "8"], "hdfs-pipeline train --detector random_forest"),
    ],
)
def test_what_cannot_be_tried_is_told(run: Run, home: Path, code: int, arguments: list[str], message: str) -> None:
    done = run("backtest", "--home", home, *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_a_home_without_a_model(run: Run, tmp_path: Path) -> None:
    for name, code in (("nowhere", 3), ("h", 5)):
        write_settings(tmp_path / "h")
        assert run("--home", name, "drift").code == code
        assert run("--home", name, "backtest").code == 3, "what serves untrained could be tried, if there were blocks"
