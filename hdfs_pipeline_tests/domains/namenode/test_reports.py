"""A NameNode in the store: trained on, scored, marked, trained anew; and what the routes and the console ask."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from hdfs_pipeline.domains.namenode.baseline import check_baseline
from hdfs_pipeline.domains.namenode.detectors import LEARNING, MAIN, RULES
from hdfs_pipeline.domains.namenode.metrics import COLUMNS
from hdfs_pipeline.domains.namenode.plots import metrics_png, scores_png
from hdfs_pipeline.domains.namenode.reports import (
    analysis_report,
    baseline_report,
    list_incidents,
    metric_series,
    model_status,
    window_report,
)
from hdfs_pipeline.domains.namenode.series import the_namenode
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.verdicts.feedback import give_feedback_on_stretch
from hdfs_pipeline_tests.domains.namenode.watched import NAMENODE, NAMENODES, QUICK, faults, learn, series, update
from hdfs_pipeline_tests.domains.namenode.watched import watch as poll_recording
from hdfs_pipeline_tests.homes import Home, copy_home


def when(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def marked(home: Home, begin: datetime, end: datetime, word: str) -> int:
    return int(give_feedback_on_stretch(home.store, NAMENODES, begin, end, word, entity=NAMENODE)["incidents"])


STORM = faults()["listing_storm"]
CHURN = faults()["metadata_write_churn"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Home:
    """The shipped recording in a store, with a model of the time before the first fault; nothing scored."""
    from hdfs_pipeline_tests.homes import open_home

    home = open_home(tmp_path_factory.mktemp("namenode"), **QUICK)
    poll_recording(home)
    learn(home, end=when(STORM.start))
    return home


@pytest.fixture
def mine(trained: Home, tmp_path: Path) -> Home:
    return copy_home(trained, tmp_path / "mine", **QUICK)


def test_without_samples_or_model_the_next_step_is_told(home: Home) -> None:
    assert model_status(home.settings)["trained"] is False
    with pytest.raises(DataError, match="hdfs-pipeline collect"):
        window_report(home.store, home.settings)
    poll_recording(home)
    with pytest.raises(NotTrainedError, match="namenode train"):
        update(home)
    with pytest.raises(DataError, match="which NameNode"):
        window_report(home.store, home.settings, namenode="other:9870")
    with pytest.raises(DataError, match="needs 30 steps without a gap, has 12"):
        learn(home, end=when(STORM.start - 185))


def test_the_status_tells_what_serves_and_what_it_learned_from(trained: Home) -> None:
    found = model_status(trained.settings)
    assert found["serving"] == 1 and found["versions"] == [1] and found["namenode"] == NAMENODE and found["steps"] == 30
    assert set(found["detectors"]) == set(LEARNING) and found["detector"] == MAIN
    recorded = dict(trained.rows("SELECT detector, threshold FROM models WHERE domain = 'namenode' AND version = 1"))
    assert recorded == {name: each["threshold"] for name, each in found["detectors"].items()}
    assert [name for name, each in found["detectors"].items() if each["opens_incidents"]] == [MAIN]
    assert json.dumps(found) and {each["kind"] for each in found["findings"]} == {"short", "idle operations"}


def test_scoring_finds_incidents_once_and_for_all(mine: Home) -> None:
    store = mine.store
    first = update(mine)
    assert first.items == 95 and len(first.incidents) == 5 and first.version == 1
    stored = list_incidents(store)
    assert [each["cause"] for each in reversed(stored)][::4] == ["listing storm", "metadata churn"]
    again = update(mine)
    assert again.items < 95 and list_incidents(store) == stored, "what was scored again is the same"
    rows = mine.rows("SELECT detector, count(*), count(DISTINCT time) FROM scores WHERE domain = 'namenode' GROUP BY 1")
    assert {row[0] for row in rows} == {*LEARNING, RULES}
    assert all(count == distinct == 95 for _, count, distinct in rows)


def test_scored_as_it_comes_in_equals_scored_at_once(mine: Home, new_home: Callable[..., Home]) -> None:
    update(mine)
    whole = list_incidents(mine.store)
    other = new_home("live", **QUICK, incident_expiry_h=1e6)
    edges = [0.0, STORM.start + 25, STORM.start + 300, CHURN.start + 30, np.inf]
    for since, until in pairwise(edges):
        poll_recording(other, since=since, until=until)
        if not model_status(other.settings)["trained"]:
            learn(other, end=when(STORM.start))
        update(other)
        if until == edges[1]:
            (going_on,) = list_incidents(other.store)
            assert going_on["status"] == "open"
    live = list_incidents(other.store)
    told = ("started_at", "ended_at", "severity", "cause")
    assert [[each[name] for name in told] for each in live] == [[each[name] for name in told] for each in whole]


def test_a_report_with_another_threshold_recounts(trained: Home) -> None:
    store, settings = trained.store, trained.settings
    window = {"start": when(STORM.start - 60), "end": when(CHURN.end + 60)}
    plain = window_report(store, settings, with_scores=True, **window)
    assert plain["note"] == "" and len(plain["incidents"]) == 5 and json.dumps(plain)
    assert len(plain["times"]) == plain["steps"] == len(plain["scores"][MAIN])
    learned = plain["detectors"][MAIN]["threshold"]
    strict = window_report(store, settings, threshold=3 * learned, **window)
    assert strict["detectors"][MAIN]["threshold"] == pytest.approx(3 * learned)
    assert strict["detectors"]["static_rules"]["threshold"] == 1
    over = [each["detectors"][MAIN]["steps_over"] for each in (plain, strict)]
    assert over[0] > over[1] > 0
    assert scores_png(plain).startswith(b"\x89PNG")


def test_an_analysis_ranks_anomalies_and_causes_and_draws_what_is_chosen(trained: Home) -> None:
    names = ["GetListingAvgTime", "CallQueueLength"]
    found = analysis_report(trained.store, trained.settings, metrics=names, start=when(STORM.start - 400))
    assert found["steps"] == len(found["times"]) == 95 and list(found["series"]["metrics"]) == names
    listing = found["series"]["metrics"]["GetListingAvgTime"]
    assert max(each for each in listing["high"] if each) > 5 > max(each for each in listing["expected"] if each)
    beyond = [
        max(about["score"] / about["threshold"] for about in each["detectors"].values() if about["opened"])
        for each in found["incidents"]
    ]
    assert len(beyond) == 5 and beyond == sorted(beyond, reverse=True)
    assert [each["name"] for each in found["causes"]] == [each["cause"]["name"] for each in found["incidents"]]
    assert found["causes"][0]["metrics"][0]["actual"] > found["causes"][0]["metrics"][0]["expected"]
    calls = [user["calls"] - user["usual"] for user in found["users"]]
    assert calls == sorted(calls, reverse=True) and 0 < len(calls) <= 10
    few = analysis_report(trained.store, trained.settings, metrics=names, start=when(STORM.start - 400), points=9)
    assert len(few["series"]["times"]) == 9 and len(few["times"]) == 95
    with pytest.raises(DataError, match="no metric 'Nonsense'"):
        analysis_report(trained.store, trained.settings, metrics=["Nonsense"])


def test_a_window_that_is_too_long_is_told(trained: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, ask in (("MOST_STEPS", analysis_report), ("MOST_SAMPLES", baseline_report)):
        monkeypatch.setattr(f"hdfs_pipeline.domains.namenode.reports.{limit}", 90)
        with pytest.raises(DataError, match="95 polls are in this window, and 90 can be looked at"):
            ask(trained.store, trained.settings, start=when(STORM.start - 400))


def test_the_health_of_a_baseline_is_known_before_a_training(trained: Home) -> None:
    good = baseline_report(trained.store, trained.settings, end=when(STORM.start))
    assert (good["samples"], good["steps"], good["gaps"], good["why_not"]) == (30, 30, 0, "") and json.dumps(good)
    assert {each["kind"] for each in good["findings"]} == {"short", "idle operations"}
    short = baseline_report(trained.store, trained.settings, end=when(STORM.start - 185))
    assert short["why_not"].startswith("needs 30 steps without a gap, has 12")
    none = baseline_report(trained.store, trained.settings, start=when(0.0), end=when(1.0))
    assert none["samples"] == 0 and none["from"] is None and none["why_not"]


def test_metrics_with_what_was_expected(trained: Home) -> None:
    names = ["GetListingAvgTime", "RpcProcessingRate"]
    found = metric_series(
        trained.store, trained.settings, metrics=names, start=when(STORM.start - 400), end=when(STORM.end)
    )
    assert list(found["metrics"]) == names and found["metrics"]["RpcProcessingRate"]["unit"] == "calls/s"
    listing = found["metrics"]["GetListingAvgTime"]
    assert len(listing["values"]) == len(listing["expected"]) == len(found["times"])
    assert max(each for each in listing["values"] if each) > 5 > max(each for each in listing["expected"] if each)
    assert metrics_png(found, names, (found["times"][3], found["times"][5])).startswith(b"\x89PNG")
    with pytest.raises(DataError, match="no metric 'Nonsense'"):
        metric_series(trained.store, trained.settings, metrics=["Nonsense"])


def test_marks_change_incidents_and_the_next_training(mine: Home) -> None:
    store = mine.store
    update(mine)
    storm = list_incidents(store)[-1]
    span = (when(STORM.start), when(STORM.end + 60))
    assert marked(mine, *span, "maintenance") == 1
    assert list_incidents(store, status="suppressed")[0]["started_at"] == storm["started_at"]
    update(mine)
    assert [each["status"] for each in list_incidents(store)].count("suppressed") == 1
    with pytest.raises(DataError, match="not as 'holiday'"):
        marked(mine, *span, "holiday")
    with pytest.raises(DataError, match="before it begins"):
        marked(mine, *reversed(span), "false")
    again = learn(mine)
    assert again["serving"] == 2 and sorted({each["why"] for each in again["left_out"]}) == ["incident", "maintenance"]
    assert again["steps"] < 95 - 20
    everything = learn(mine, with_incidents=True)
    assert everything["steps"] > again["steps"] and {each["why"] for each in everything["left_out"]} == {"maintenance"}


def test_a_false_alarm_is_quieter_next_time(mine: Home) -> None:
    settings = mine.settings
    pause = faults()["process_pause_like_gc"]
    marked(mine, when(pause.start), when(pause.end + 30), "false")
    before = model_status(settings)["detectors"]["deviation"]["threshold"]
    quiet_end = when(pause.end + 40)
    marked(mine, when(STORM.start), when(STORM.end + 45), "maintenance")
    found = learn(mine, end=quiet_end)
    assert found["detectors"]["deviation"]["threshold"] > before and "false" in found["detectors"]["deviation"]["rule"]


def test_what_is_wrong_with_a_baseline() -> None:
    draw = np.random.default_rng(0)
    given = series(draw.normal(10, 1, (200, len(COLUMNS))))
    assert check_baseline(given, 30) == []
    assert (
        check_baseline(given.slice(None, given.times[0] + 60), 30)[0].message
        == "needs 30 steps without a break, has 12"
    )
    given.restarted[50] = True
    given.gap[90] = True
    given.times[90:] += 600
    given.times[120] = given.times[119]
    given.role[150:160] = "standby"
    given.values[:, COLUMNS.index("ConcatAvgTime")] = np.nan
    found = {each.kind: each for each in check_baseline(given, 30)}
    assert set(found) >= {"restarts", "gaps", "duplicates", "roles", "idle operations"}
    assert "Concat" in found["idle operations"].message and "605 s" in found["gaps"].message
    assert "10 standby" in found["roles"].message and found["restarts"].serious
    given.role[:] = "standby"
    assert "standby" in {each.kind for each in check_baseline(given, 30)}
    given.role[:] = "active"
    given.values[170:199] += 100
    assert "uneven" in {each.kind for each in check_baseline(given, 30)}


def test_a_standby_is_not_judged_as_an_active_namenode(mine: Home) -> None:
    with mine.store.write() as con:
        con.execute(
            "INSERT INTO namenode_metrics BY NAME SELECT * REPLACE ('nn2:9870' AS namenode, 'standby' AS role) "
            "FROM namenode_metrics"
        )
    assert the_namenode(mine.store, None) == NAMENODE, "the one that is active is meant"
    assert len(update(mine).incidents) == 5
    with pytest.raises(DataError, match="was not active"):
        update(mine, "nn2:9870")
