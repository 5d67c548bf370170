"""`feedback` on the command line, from a verdict to what `train`, `retrain`, `models` and `explain` say of it."""

import shutil
from pathlib import Path

import pytest

from hdfs_pipeline.settings import PREFIX
from hdfs_pipeline_tests.cli.test_cli import Run, run
from hdfs_pipeline_tests.homes import Home, copy_home

__all__ = ["run"]


@pytest.fixture(scope="module")
def home(trained: Home, tmp_path_factory: pytest.TempPathFactory, mlflow_db: Path) -> Home:
    found = copy_home(trained, tmp_path_factory.mktemp("cli") / "home")
    shutil.copy(mlflow_db, found.settings.home)
    return found


@pytest.fixture(scope="module")
def blocks(home: Home) -> list[int]:
    """Anomalies whose counts no other block has; some ids are negative."""
    rows = home.rows(
        """SELECT block_id FROM event_matrix JOIN labels USING (block_id) WHERE label = 'anomaly'
        QUALIFY count(*) OVER (PARTITION BY counts) = 1 ORDER BY block_id"""
    )
    return [row[0] for row in rows]


def test_the_life_of_a_verdict(run: Run, home: Home, blocks: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    at, (block, other) = home.settings.home, blocks[:2]
    assert block < 0
    monkeypatch.setenv(f"{PREFIX}CHAMPION", "exact_match")
    assert run("feedback", "--home", at, "--json").json == []
    given = run("--home", at, "feedback", f"blk_{block}", "--verdict", "false", "--note", "a [b] test", "--by", "Ann")
    assert given.code == 0, given.err
    assert given.out.startswith(f"blk_{block}: false; now it is anomalous (")
    assert "exact_match 1)" in given.out
    plain = run("--home", at, "feedback", "--verdict", "expected", "--json", "--", other).json
    assert (plain["block_id"], plain["verdict"], plain["was_anomaly"]) == (f"blk_{other}", "expected", True)
    rows = run("--home", at, "feedback", "--json").json
    assert [row["block_id"] for row in rows] == [f"blk_{block}", f"blk_{other}"]
    assert [row["now"]["agrees"] for row in rows] == [False, None]
    assert rows[0]["now"]["why"] == "not known to version 1 yet"
    shown = run("--home", at, "feedback")
    assert "agrees with 0 of 1" in shown.out
    assert "a [b] test" in " ".join(shown.out.split())

    monkeypatch.setenv(f"{PREFIX}RETRAIN_HOLDOUT_BLOCKS", "150")
    done = run("--home", at, "retrain", "--force", "--detector", "exact_match")
    sentence = (
        "feedback: exact_match: 2 verdicts used (0 real, 1 false, 1 expected); the new model agrees with 1 of 1, the "
        "one before with 0"
    )
    assert sentence in done.out
    assert "not shown to be worse, and it knows what people have said on 2 since: F1 " in done.out
    assert "(policy: by F1, a lead of more than 0 with a confidence of 0.95, on at least 20 blocks with 10 " in done.out
    models = run("--home", at, "models", "--detector", "exact_match")
    assert "Policy: by F1, a lead of more than 0" in models.out
    assert "feedback: exact_match version 2: 2 verdicts" in models.out
    card = run("--home", at, "models", "--detector", "exact_match", "--json").json[-1]
    assert (card["feedback"]["false"], card["feedback"]["agrees"]) == (1, 1)
    told = run("--home", at, "explain", f"blk_{block}")
    assert "is normal" in told.out
    assert "Ann said on" in told.out and "false: a [b] test" in told.out
    assert run("--home", at, "explain", f"blk_{block}", "--json").json["feedback"]["given_by"] == "Ann"
    assert "feedback: exact_match: 2 verdicts used" in run("--home", at, "train", "--detector", "exact_match").out

    gone = run("--home", at, "feedback", f"blk_{block}", "--withdraw")
    assert gone.out.strip() == f"blk_{block}: withdrawn; the next training forgets it"
    assert run("--home", at, "feedback", f"blk_{other}", "--withdraw", "--json").json["withdrawn"]
    assert run("--home", at, "feedback", "--json").json == []


GIVEN = ["block_id", "verdict", "note", "given_by", "given_at", "detector", "version", "score", "was_anomaly"]


def test_json_has_the_columns_that_say_something(run: Run, home: Home, blocks: list[int]) -> None:
    at, block = ("--home", home.settings.home), f"blk_{blocks[0]}"
    assert list(run(*at, "feedback", block, "--verdict", "real", "--json").json) == GIVEN
    stretch = [
        "--from",
        "2008-11-09T20:00:00",
        "--to",
        "2008-11-09 21:00:00",
        "--verdict",
        "maintenance",
        "--by",
        "Ann",
    ]
    told = run(*at, "feedback", *stretch)
    assert told.code == 0, told.err
    assert told.out.startswith("blocks that began from 2008-11-09 20:00:00+00:00 to 2008-11-09 21:00:00+00:00: maint")
    on_block, on_stretch = run(*at, "feedback", "--json").json
    assert list(on_block) == [*GIVEN, "now"]
    assert list(on_stretch) == ["entity", "from_at", "to_at", "verdict", "note", "given_by", "given_at"]
    assert on_stretch["from_at"] == "2008-11-09T20:00:00+00:00"
    assert "2008-11-09 20:00:00 to 21:00:00" in " ".join(run(*at, "feedback").out.split())
    assert list(run(*at, "explain", block, "--json").json["feedback"]) == GIVEN
    assert run(*at, "feedback", block, "--withdraw", "--json").json == {"block_id": block, "withdrawn": True}
    with home.store.write() as con:
        con.execute("DELETE FROM feedback")


def test_the_choice_between_detectors_is_told(run: Run, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}CHAMPION", "best")
    done = run("--home", home.settings.home, "retrain", "--detector", "exact_match")
    assert "champion: " in done.out and "serves on" in done.out
    assert isinstance(run("--home", home.settings.home, "retrain", "--detector", "exact_match", "--json").json, list)


def test_a_block_that_nobody_knows(run: Run, home: Home, blocks: list[int]) -> None:
    wrong = str(blocks[0])[:-1] + ("1" if not str(blocks[0]).endswith("1") else "2")
    done = run("--home", home.settings.home, "feedback", f"blk_{wrong}", "--verdict", "real")
    assert (done.code, done.out) == (4, "")
    assert f"did you mean blk_{blocks[0]}?" in done.err.replace("\n", " ")
    far = run("--home", home.settings.home, "feedback", "blk_5", "--verdict", "real")
    assert far.code == 4
    assert "no log of this home names blk_5" in far.err


@pytest.mark.parametrize(
    ("code", "arguments", "message"),
    [
        (2, ["blk_5"], "--verdict real|false|expected"),
        (2, ["--verdict", "real"], "BLOCK"),
        (2, ["blk_5", "--verdict", "real", "--withdraw"], "BLOCK"),
        (2, ["--from", "2008-11-09T20:00:00"], "--to"),
        (2, ["blk_5", "--from", "2008-11-09T20:00:00", "--verdict", "real"], "--to"),
        (2, ["--from", "2008-11-09T20:00:00", "--to", "2008-11-09T21:00:00", "--withdraw"], "--verdict"),
        (2, ["--from", "2008-11-09T20:00:00", "--to", "2008-11-09T20:00:00", "--verdict", "real"], "before it begins"),
        (2, ["blk_5", "--verdict", "maybe"], "there are real, false, expected"),
        (2, ["block five", "--verdict", "real"], "is no block id"),
        (4, ["blk_5", "--withdraw"], "nobody has said anything of blk_5"),
    ],
)
def test_what_cannot_be_done_is_told(run: Run, home: Home, code: int, arguments: list[str], message: str) -> None:
    done = run("--home", home.settings.home, "feedback", *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
