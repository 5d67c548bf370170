"""What fails of the watcher itself: an incident as long as it fails, with one id, until it succeeds."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from hdfs_pipeline.verdicts.listing import whole_incident
from hdfs_pipeline.verdicts.status import home_status, parse_since
from hdfs_pipeline.verdicts.watcher import Trial, tell_trials
from hdfs_pipeline.verdicts.words import say
from hdfs_pipeline_tests.homes import Home

NOW = datetime.now(UTC).replace(microsecond=0)
FACTS = "SELECT status, items, duration_s, evidence FROM incidents ORDER BY started_at"


@pytest.fixture
def home(new_home: Callable[..., Home]) -> Home:
    return new_home("home", bare=False)


def trial(minutes: float, passed: bool = False, **differing: str) -> Trial:
    plain = {"kind": "check failed", "entity": "parsed_events", "of": "conservation", "severity": "major"}
    about = plain | {"evidence": f"at {minutes:g}", "step": "look"} | differing
    return Trial(at=NOW + timedelta(minutes=minutes), passed=passed, **about)


def test_it_opens_goes_on_and_is_resolved(home: Home) -> None:
    assert tell_trials(home.store, [trial(0, passed=True)]) == 0
    assert tell_trials(home.store, [trial(1)]) == 1
    assert tell_trials(home.store, [trial(1)]) == 0, "told before"
    assert tell_trials(home.store, [trial(2)]) == 1
    assert home.rows(FACTS) == [("open", 2, 60.0, "at 2")]
    assert tell_trials(home.store, [trial(3, passed=True)]) == 1
    assert home.rows(FACTS) == [("resolved", 2, 120.0, "at 2")]
    assert tell_trials(home.store, [trial(3, passed=True)]) == 0
    assert tell_trials(home.store, [trial(4), trial(5, of="other")]) == 2
    assert [row[0] for row in home.rows(FACTS)] == ["resolved", "open", "open"]
    assert home.rows("SELECT count(DISTINCT id) FROM incidents") == [(3,)]


def test_people_rule_here_too(home: Home) -> None:
    tell_trials(home.store, [trial(0)])
    ((identity,),) = home.rows("SELECT id FROM incidents")
    say(home.store, identity, "ack")
    tell_trials(home.store, [trial(1)])
    assert home.rows(FACTS)[0][:2] == ("acknowledged", 2)
    say(home.store, identity, "suppress")
    tell_trials(home.store, [trial(2)])
    tell_trials(home.store, [trial(3, passed=True)])
    tell_trials(home.store, [trial(4)])
    assert [row[0] for row in home.rows(FACTS)] == ["suppressed"]


def test_status_and_show_tell_it(home: Home) -> None:
    tell_trials(home.store, [trial(0)])
    found = home_status(home.store, home.settings, parse_since("24h", NOW), now=NOW)
    assert [row["title"] for row in found.open] == ["check failed · parsed_events: conservation"] and found.alarming
    told = whole_incident(home.store, found.open[0]["id"])
    assert (told["evidence"], told["next_steps"], told["related"]) == ("at 0", ["look"], [])
