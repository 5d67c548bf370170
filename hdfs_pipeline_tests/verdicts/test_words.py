"""The life of an incident: what people say of it, what comes in, and the time that passes."""

from datetime import datetime, timedelta

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hdfs_pipeline.errors import DataError, UsageError
from hdfs_pipeline.scoring.incidents import OPEN, RESOLVED, SUPPRESSED, Incident
from hdfs_pipeline.verdicts.words import say, with_people
from hdfs_pipeline_tests.homes import BLOCKS, Home
from hdfs_pipeline_tests.verdicts.made_incidents import NOW, incident, put

ID = f"{1:08x}00000000"


def of(end: datetime, status: str = OPEN) -> Incident:
    """An incident as grouping makes it, before people are heard."""
    times = dict.fromkeys(("start", "end", "peak", "opened"), end.timestamp())
    plain = {"duration_s": 1.0, "severity": "major", "items": (), "detectors": {}}
    return Incident(id=ID, domain="blocks", entity="", kind="k", status=status, **times, **plain)  # type: ignore[arg-type]


def status_of(home: Home, made: Incident, now: datetime) -> str:
    with home.store.read() as con:
        return with_people(con, home.settings, BLOCKS, [made], now)[0].status


def test_from_open_to_reopened(home: Home) -> None:
    put(home, "incidents", incident(1))
    changes = [
        (said["before"], said["status"])
        for at, action in enumerate(("ack", "ack", "resolve", "ack", "reopen", "suppress", "resolve"))
        for said in [say(home.store, "0000", action, note="n", by="Ann", now=NOW + timedelta(seconds=at))]
    ]
    assert changes == [
        ("open", "acknowledged"),
        ("acknowledged", "acknowledged"),
        ("acknowledged", "resolved"),
        ("resolved", "resolved"),
        ("resolved", "open"),
        ("open", "suppressed"),
        ("suppressed", "resolved"),
    ]
    kept = home.rows("SELECT action, note, given_by FROM incident_words ORDER BY given_at")
    assert [action for action, _, _ in kept] == ["ack", "resolve", "reopen", "suppress", "resolve"], (
        "what had an effect"
    )
    assert {row[1:] for row in kept} == {("n", "Ann")}


def test_what_was_resolved_begins_again_with_anomalies(home: Home) -> None:
    put(home, "incidents", incident(1))
    say(home.store, ID, "resolve", now=NOW)
    assert status_of(home, of(NOW - timedelta(seconds=1)), NOW) == RESOLVED
    assert status_of(home, of(NOW + timedelta(seconds=1)), NOW) == OPEN


def test_ids_that_mean_no_incident_or_several(home: Home) -> None:
    put(home, "incidents", incident(1), incident(2))
    for text in ("", " ", "9", "%", "_", "0000"):
        with pytest.raises(DataError, match="incidents list"):
            say(home.store, text, "ack")
    with pytest.raises(UsageError, match="no action 'acknowledge'"):
        say(home.store, "00000001", "acknowledge")
    assert say(home.store, " 00000001 ", "ack")["id"] == ID


class Life(RuleBasedStateMachine):
    """Whatever people say, anomalies and time do: the status that a word gives is the one that grouping keeps."""

    home: Home

    @initialize()
    def begin(self) -> None:
        self.now, self.end, self.over = NOW, NOW, False
        with self.home.store.write() as con:
            con.execute("DELETE FROM incidents")
            con.execute("DELETE FROM incident_words")
        put(self.home, "incidents", incident(1, began=NOW))
        self.suppressed = self.reopened = False

    def grouped(self) -> str:
        """Group again, which brings the status up to date."""
        status = status_of(self.home, of(self.end, RESOLVED if self.over else OPEN), self.now)
        with self.home.store.write() as con:
            con.execute("UPDATE incidents SET status = ?", [status])
        return status

    @rule(action=st.sampled_from(["ack", "resolve", "suppress", "reopen"]))
    def word(self, action: str) -> None:
        before = self.grouped()
        self.now += timedelta(seconds=1)
        said = say(self.home.store, ID, action, now=self.now)
        assert said["before"] == before
        assert self.grouped() == said["status"], "the next grouping keeps it"
        if action != "ack":
            self.suppressed, self.reopened = action == "suppress", action == "reopen"

    @rule(seconds=st.floats(1, 3600))
    def anomaly(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.end, self.over = self.now, False
        assert self.grouped() == SUPPRESSED if self.suppressed else self.grouped() in ("open", "acknowledged")

    @rule()
    def quiet(self) -> None:
        self.now += timedelta(minutes=10)
        self.over = True
        if not self.suppressed and not self.reopened:
            assert self.grouped() == RESOLVED

    @precondition(lambda self: not self.over)
    @rule()
    def nothing_more_is_heard(self) -> None:
        self.now += timedelta(hours=25)
        assert self.grouped() in (("suppressed",) if self.suppressed else ("open", "acknowledged") if self.reopened
                                  else ("expired", "resolved"))  # fmt: skip

    @invariant()
    def only_people_suppress(self) -> None:
        assert (self.grouped() == SUPPRESSED) == self.suppressed


def test_every_life(home: Home) -> None:
    Life.home = home
    run_state_machine_as_test(
        Life, settings=hypothesis_settings(max_examples=15, stateful_step_count=12, deadline=None)
    )
