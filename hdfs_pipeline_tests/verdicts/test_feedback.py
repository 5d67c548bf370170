"""Words of people in the store: one per item and per stretch, the newest; and taken back."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.verdicts.feedback import all_feedback, give_feedback, give_feedback_on_stretch, take_back, words
from hdfs_pipeline.verdicts.files import score_home
from hdfs_pipeline_tests.homes import BLOCKS, Excerpt, Home, copy_home, fill, open_home

BEGIN = datetime(2008, 11, 9, tzinfo=UTC)


@pytest.fixture
def home(trained: Home, tmp_path: Path) -> Home:
    return copy_home(trained, tmp_path / "home")


def test_one_word_per_item_the_newest(home: Home) -> None:
    one, other = (f"blk_{key}" for (key,) in home.rows("SELECT block_id FROM event_matrix ORDER BY block_id LIMIT 2"))
    given = [
        give_feedback(home.store, home.settings, BLOCKS, item, verdict, note="n", by="me")
        for item, verdict in ((one, "real"), (other, "false"), (one, "expected"))
    ]
    assert [row["verdict"] for row in given] == ["real", "false", "expected"]
    assert (given[0]["detector"], given[0]["version"]) == ("random_forest", 1)
    known = words(home.store, BLOCKS)
    assert [(row["item"], row["verdict"]) for row in known] == [(other, "false"), (one, "expected")], "oldest first"
    assert known == [row | {"from_at": None, "to_at": None} for row in given[1:]]
    assert [row["verdict"] for row in words(home.store, BLOCKS, one)] == ["expected"]
    assert take_back(home.store, home.settings, BLOCKS, one.removeprefix("blk_")) == one
    assert [row["item"] for row in words(home.store, BLOCKS)] == [other]
    with pytest.raises(DataError, match=f"nobody has said anything of {one}"):
        take_back(home.store, home.settings, BLOCKS, one)


def test_one_word_per_stretch_of_an_entity(home: Home) -> None:
    def say(verdict: str, hours: int, entity: str = "") -> None:
        end = BEGIN + timedelta(hours=hours)
        give_feedback_on_stretch(home.store, BLOCKS, BEGIN, end, verdict, entity=entity)

    say("maintenance", 1)
    say("real", 2)
    say("false", 1)
    say("expected", 1, "a server")
    known = words(home.store, BLOCKS)
    assert [(row["verdict"], row["entity"], row["to_at"] - BEGIN) for row in known] == [
        ("real", "", timedelta(hours=2)),
        ("false", "", timedelta(hours=1)),
        ("expected", "a server", timedelta(hours=1)),
    ]
    assert {(row["item"], row["from_at"]) for row in known} == {("", BEGIN)}


def test_what_is_no_word_is_refused(home: Home) -> None:
    with pytest.raises(DataError, match="no verdict 'maintenance'; there are real, false, expected"):
        give_feedback(home.store, home.settings, BLOCKS, "blk_1", "maintenance")
    with pytest.raises(DataError, match="not as 'wrong'"):
        give_feedback_on_stretch(home.store, BLOCKS, BEGIN, BEGIN + timedelta(hours=1), "wrong")
    with pytest.raises(DataError, match="before it begins"):
        give_feedback_on_stretch(home.store, BLOCKS, BEGIN, BEGIN, "real")
    assert words(home.store, BLOCKS) == []


def test_what_serves_without_a_training_has_a_verdict_beside_a_word(excerpt: Excerpt, tmp_path: Path) -> None:
    home = open_home(tmp_path / "untaught")
    fill(home, [excerpt.log])
    score_home(home.store, home.settings, BLOCKS)
    ((item, score),) = home.rows("SELECT item, score FROM anomalies ORDER BY item LIMIT 1")
    row = give_feedback(home.store, home.settings, BLOCKS, item, "real")
    assert tuple(row[name] for name in ("detector", "version", "score", "was_anomaly")) == ("lifecycle", 0, score, True)
    (told,) = all_feedback(home.store, home.settings, BLOCKS)
    assert (told["now"]["detector"], told["now"]["version"], told["now"]["agrees"]) == ("lifecycle", 0, True)
