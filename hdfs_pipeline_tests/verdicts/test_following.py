"""Changes of incidents: each is told once, whoever made it; and new items are judged as they come."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.verdicts import following
from hdfs_pipeline.verdicts.following import Changes, follow, turn
from hdfs_pipeline.verdicts.live import Change
from hdfs_pipeline.verdicts.update import judge_new
from hdfs_pipeline.verdicts.words import say
from hdfs_pipeline_tests.domains.daemons.written import DN1, TROUBLE, write
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.verdicts.made_incidents import incident, put


@pytest.fixture
def home(new_home: Callable[..., Home]) -> Home:
    return new_home("home", bare=False)


def told(home: Home, changes: Changes) -> list[tuple[str, str, int]]:
    with home.store.read() as con:
        return [
            (change.what, change.incident["id"][:8], change.incident["items"]) for change in changes.since_last(con)
        ]


def become(home: Home, number: int, **values: Any) -> None:
    """Change the row of an incident, as a grouping does."""
    values = {"changed_at": datetime.now(UTC)} | values
    names = ", ".join(f"{name} = ?" for name in values)
    with home.store.write() as con:
        con.execute(f"UPDATE incidents SET {names} WHERE id = ?", [*values.values(), f"{number:08x}00000000"])


def test_each_change_is_told_once(home: Home) -> None:
    changes, now = Changes(), datetime.now(UTC)
    put(home, "incidents", incident(1, changed_at=now))
    with home.store.read() as con:
        assert changes.skip(con) == 1
    assert told(home, changes) == []
    put(home, "incidents", incident(2, changed_at=now), incident(3, changed_at=now, status="suppressed"))
    assert told(home, changes) == [("opened", "00000002", 12)]
    assert told(home, changes) == []
    become(home, 2, items=20)
    assert told(home, changes) == [], "growth is told where it has doubled"
    become(home, 2, items=24)
    assert told(home, changes) == [("grew", "00000002", 24)]
    become(home, 1, status="resolved")
    assert told(home, changes) == [("ended", "00000001", 12)]
    say(home.store, "00000002", "resolve")
    assert told(home, changes) == [("ended", "00000002", 24)]
    become(home, 2, status="open")
    assert told(home, changes) == [("opened", "00000002", 24)]


def test_one_that_came_and_went_between_two_looks_is_told(home: Home) -> None:
    changes = Changes()
    put(home, "incidents", incident(4, status="resolved", changed_at=datetime.now(UTC)))
    assert told(home, changes) == [("opened", "00000004", 12)]


def test_one_process_at_a_time_brings_them_up_to_date(home: Home) -> None:
    with turn(home.settings) as ours:
        assert ours
        with turn(home.settings) as others:
            assert not others
    with turn(home.settings) as again:
        assert again


def test_minutes_of_daemons_are_judged_as_their_records_come(home: Home, tmp_path: Path) -> None:
    paths = write(tmp_path / "logs", range(150, 152), {DN1: TROUBLE[DN1]})
    domain_named("blocks").read(home.store, home.settings, [str(path) for path in paths], propose=False)
    judge_new(home.store, home.settings)
    kinds = "SELECT kind, entity, status FROM incidents WHERE domain = 'daemons'"
    assert [row[:2] for row in home.rows(kinds)] == [("JVM pause", "10.0.0.1:9866")]
    before = home.rows("SELECT count(*), max(scored_at) FROM scores")
    judge_new(home.store, home.settings)
    assert home.rows("SELECT count(*), max(scored_at) FROM scores") == before, "nothing new, nothing judged"


def test_it_waits_for_a_home_and_ends_when_it_is_asked(
    new_home: Callable[..., Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "ROUND_S", 0.01)
    home, stopped, opened = new_home("later", bare=True), Event(), Event()
    found: list[Change] = []

    def tell(changes: Any) -> None:
        found.extend(changes)
        if found:
            opened.set()

    thread = Thread(target=follow, args=(home.settings, stopped, tell, print))
    thread.start()
    try:
        now = datetime.now(UTC)
        put(home, "incidents", incident(5, domain="watcher", began=now - timedelta(minutes=1), changed_at=now))
        assert opened.wait(30)
    finally:
        stopped.set()
        thread.join(30)
    assert not thread.is_alive() and [change.what for change in found] == ["opened"]
