"""Backtests of real blocks: what a threshold gains and loses, the sums, the days, and what is kept of it."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.monitoring.backtest import COUNTS, Trial, backtest, changes, chosen_days, days_there, kept, totals
from hdfs_pipeline.monitoring.backtest_plot import backtest_png
from hdfs_pipeline.verdicts.score import score_items
from hdfs_pipeline_tests.homes import BLOCKS, Excerpt, Home, copy_home, fill, open_home

SPREAD = (
    "UPDATE event_matrix SET first_time = first_time + to_days(({0}) * 5), last_time = last_time + to_days(({0}) * 5)"
)


@pytest.fixture
def home(trained: Home, tmp_path: Path) -> Home:
    """A home whose blocks began on many days, with days between on which none did, and their scores."""
    found = copy_home(trained, tmp_path / "home")
    with found.store.write() as con:
        con.execute(SPREAD.format("abs(hash(block_id)::HUGEINT % 5)::INTEGER"))
    score_items(found.store, found.settings, BLOCKS, "random_forest")
    return found


def tried(home: Home, days: list[date] | None = None, **what: Any) -> tuple[Trial, list[dict[str, Any]]]:
    trial = Trial.of(home.settings, BLOCKS, **what)
    return trial, backtest(home.store, home.settings, BLOCKS, trial, days or list(days_there(home.store, BLOCKS)))


def flagged(home: Home, condition: str) -> set[str]:
    rows = home.rows(f"SELECT item FROM scores WHERE detector = 'random_forest' AND {condition}")
    return {row[0] for row in rows}


def test_the_same_threshold_changes_nothing_and_the_sums_are_the_store_s(home: Home) -> None:
    trial, rows = tried(home)
    found = totals(rows)
    assert found["gained"] == found["lost"] == found["unscored"] == 0
    assert found["flagged_before"] == found["flagged_after"] == len(flagged(home, "is_anomaly"))
    assert found["items"] == home.rows("SELECT count(*) FROM event_matrix")[0][0] == 400
    assert found["anomalies"] == 40
    days = dict(home.rows("SELECT first_time::DATE AS day, count(*) FROM event_matrix GROUP BY day"))
    assert {row["day"]: row["items"] for row in rows} == days == days_there(home.store, BLOCKS)
    assert changes(home.store, BLOCKS, trial.name, list(days)) == []
    assert backtest_png(rows, trial.title, "blocks").startswith(b"\x89PNG")


@pytest.mark.parametrize("threshold", [0.0, 0.02, 0.3, 0.75, 0.9, 1.1])
def test_a_lower_threshold_only_gains_and_a_higher_one_only_loses(home: Home, threshold: float) -> None:
    trial, rows = tried(home, threshold=threshold)
    found = totals(rows)
    assert found["lost"] == 0 or threshold > 0.75
    assert found["gained"] == 0 or threshold < 0.75
    for row in rows:
        assert row["flagged_after"] == row["flagged_before"] + row["gained"] - row["lost"]
        assert row["gained"] == row["gained_real"] + row["gained_false"], "all of these blocks have labels"
    listed = changes(home.store, BLOCKS, trial.name, [row["day"] for row in rows])
    after = flagged(home, f"score >= {threshold}")
    before = flagged(home, "is_anomaly")
    assert {row["block_id"] for row in listed if row["change"] == "gained"} == after - before
    assert {row["block_id"] for row in listed if row["change"] == "lost"} == before - after
    known = dict(home.rows("SELECT 'blk_' || block_id, label FROM labels"))
    assert all(row["known"] == known[row["block_id"]] for row in listed)
    assert found["gained_false"] == sum(known[block] == "normal" for block in after - before)
    assert backtest_png(rows, trial.title, "blocks").startswith(b"\x89PNG")


def test_another_detector_is_held_against_the_one_that_serves(home: Home) -> None:
    _, rows = tried(home, detector="keywords")
    assert {row["against"] for row in rows} == {"random_forest"}
    assert totals(rows)["flagged_before"] == len(flagged(home, "is_anomaly"))
    assert totals(rows)["gained"] and totals(rows)["lost"]


def test_a_day_at_a_time_is_the_same_as_all_at_once_and_a_second_run_replaces_the_first(home: Home) -> None:
    days = list(days_there(home.store, BLOCKS))
    assert len(days) > 5
    trial, once = tried(home, threshold=0.0)
    listed = changes(home.store, BLOCKS, trial.name, days)
    with home.store.write() as con:
        con.execute("DELETE FROM backtests")
        con.execute("DELETE FROM backtest_items")
    for day in [*reversed(days), days[0], days[2]]:
        tried(home, [day], threshold=0.0)
    again = kept(home.store, BLOCKS, trial.name, days)
    assert [[row[name] for name in ("day", *COUNTS)] for row in again] == [
        [row[name] for name in ("day", *COUNTS)] for row in once
    ]
    assert changes(home.store, BLOCKS, trial.name, days) == listed
    tried(home, threshold=0.5)
    assert changes(home.store, BLOCKS, trial.name, days) == listed, "another trial leaves it alone"


def test_days_without_blocks_give_no_rows(home: Home) -> None:
    days = list(days_there(home.store, BLOCKS))
    every = [days[0] + timedelta(days=at) for at in range((days[-1] - days[0]).days + 1)]
    assert len(every) > len(days)
    _, rows = tried(home, every)
    assert [row["day"] for row in rows] == days
    empty = backtest(home.store, home.settings, BLOCKS, Trial.of(home.settings, BLOCKS), [date(2030, 1, 1)])
    assert empty == []


def test_what_people_said_goes_over_labels(home: Home) -> None:
    before = totals(tried(home, threshold=0.0)[1])
    (block,) = home.rows("SELECT block_id FROM labels WHERE label = 'normal' ORDER BY 1 LIMIT 1")[0]
    with home.store.write() as con:
        con.execute(
            "INSERT INTO feedback (domain, item, entity, verdict) VALUES ('blocks', ?, '', 'real')", [f"blk_{block}"]
        )
    after = totals(tried(home, threshold=0.0)[1])
    assert after["gained_real"] == before["gained_real"] + 1
    assert after["gained_false"] == before["gained_false"] - 1
    assert after["anomalies"] == before["anomalies"] + 1


def test_blocks_without_a_verdict_are_told_and_not_compared(home: Home) -> None:
    with home.store.write() as con:
        con.execute("DELETE FROM scores WHERE item[5:]::BIGINT % 2 = 0")
    missing = home.rows("SELECT count(*) FROM event_matrix WHERE block_id % 2 = 0")[0][0]
    _, rows = tried(home, threshold=0.0)
    found = totals(rows)
    assert found["unscored"] == missing
    assert found["flagged_after"] == found["items"] - missing
    with home.store.write() as con:
        con.execute("DELETE FROM scores")
    with pytest.raises(DataError, match="score_job"):
        tried(home)


def test_what_cannot_be_tried(home: Home, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no detector"):
        Trial.of(home.settings, BLOCKS, "forest")
    with pytest.raises(NotTrainedError, match="random_forest"):
        Trial.of(home.settings, BLOCKS, "random_forest", 9)
    day = date(2008, 11, 9)
    assert chosen_days([day, day + timedelta(days=3)], day, None, "block") == [day, day + timedelta(days=3)]
    assert chosen_days([day, day + timedelta(days=3)], None, day + timedelta(days=2), "block") == [day]
    with pytest.raises(DataError, match="there are 2008-11-09"):
        chosen_days([day], date(2009, 1, 1), None, "block")
    with pytest.raises(DataError, match="9 days from 2008-11-09 to 2008-11-17"):
        chosen_days([day + timedelta(days=at) for at in range(9)], None, date(2007, 1, 1), "block")
    with pytest.raises(DataError, match="is after"):
        chosen_days([day], date(2009, 1, 2), date(2009, 1, 1), "block")


def test_what_serves_without_a_training_can_be_tried(excerpt: Excerpt, tmp_path: Path) -> None:
    home = open_home(tmp_path / "untaught")
    fill(home, [excerpt.log])
    score_items(home.store, home.settings, BLOCKS, "lifecycle")
    trial, rows = tried(home, threshold=0.6)
    assert trial.name == "lifecycle v0 from 0.6"
    found = totals(rows)
    assert found["unscored"] == found["gained"] == 0 < found["lost"], "one broken rule is .5"
    assert {row["against"] for row in rows} == {"lifecycle"}
