"""The state of a home at a given time: what is open, what changed, what the watcher lacks, what to type next."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hdfs_pipeline.errors import UsageError
from hdfs_pipeline.verdicts.lacks import duration
from hdfs_pipeline.verdicts.status import Status, home_status, parse_since
from hdfs_pipeline.verdicts.words import say
from hdfs_pipeline_tests.homes import Home, fill
from hdfs_pipeline_tests.verdicts.made_incidents import NOW, ago, heard, incident, put


def asked(home: Home, since: str = "24h", most: int | None = None, now: datetime = NOW) -> Status:
    return home_status(home.store, home.settings, parse_since(since, now), now=now, most=most)


def numbers(incidents: list[dict[str, Any]]) -> list[int]:
    return [int(row["id"][:8], 16) for row in incidents]


def kinds(status: Status) -> list[str]:
    return [lack.kind for lack in status.lacks]


def test_the_gravest_first_then_by_their_beginning(home: Home) -> None:
    grave = [("warning", 3), ("major", 1), ("critical", 1), ("major", 9), ("warning", 30)]
    put(home, "incidents", *(incident(at, severity=word, began=ago(hours=h)) for at, (word, h) in enumerate(grave)))
    found = asked(home)
    assert numbers(found.open) == [2, 3, 1, 4, 0]
    assert (found.severities, found.number_open) == ({"critical": 1, "major": 2, "warning": 2}, 5)
    assert found.alarming
    few = asked(home, most=2)
    assert (numbers(few.open), few.number_open) == ([2, 3], 5)


def test_only_warnings_alarm_nobody(home: Home) -> None:
    put(home, "incidents", incident(1, severity="warning"), incident(2, status="suppressed"))
    found = asked(home)
    assert numbers(found.open) == [1] and not found.alarming


def test_what_changed_since(home: Home) -> None:
    old, new = {"began": ago(hours=30)}, {"began": ago(hours=2)}
    put(
        home,
        "incidents",
        incident(1, **new),
        incident(2, **new, status="resolved"),
        incident(3, **old, status="resolved"),
        incident(4, **old, status="expired", lasted=timedelta(hours=8)),
        *(incident(number, **old) for number in (5, 6, 7, 8)),
        incident(9, **old, status="resolved", lasted=timedelta(hours=8)),
    )
    for number, action, hours in ((5, "ack", 1), (6, "resolve", 1), (7, "suppress", 1), (8, "resolve", 29)):
        say(home.store, f"{number:08x}", action, now=ago(hours=hours))
    say(home.store, "00000009", "reopen", now=ago(hours=1))
    found = asked(home)
    assert found.changed == {
        "opened": 2, "grown": 2, "acknowledged": 1, "resolved": 2, "expired": 1, "suppressed": 1, "reopened": 1
    }  # fmt: skip
    assert numbers(found.open) == [5, 9, 1]
    assert (numbers(found.ended), found.number_ended) == ([4, 6, 2], 3), "by their beginning"
    cut = asked(home, most=4)
    assert (numbers(cut.ended), cut.number_ended) == ([4], 3)
    assert numbers(asked(home, "3h").ended) == [6, 2]


def test_a_finished_log_is_told_from_its_own_end(home: Home) -> None:
    end = datetime(2008, 11, 11, 10, 0, tzinfo=UTC)
    heard(home, 1, end)
    put(home, "incidents", incident(1, began=end - timedelta(hours=20), status="expired"))
    put(home, "incidents", incident(2, began=end - timedelta(hours=30), status="resolved"))
    found = asked(home)
    assert found.finished and (found.until, found.since) == (end, end - timedelta(hours=24))
    assert numbers(found.ended) == [1]
    assert found.commands[0] == "hdfs-pipeline incidents show 00000001"
    assert numbers(asked(home, "2d").ended) == [2, 1]
    exact = asked(home, "2026-11-20")
    assert not exact.finished and exact.ended == [], "a time that was named stays"


def test_a_clock_of_the_future_is_not_the_end_of_the_records(home: Home) -> None:
    heard(home, 1, ago(minutes=1))
    heard(home, 2, NOW + timedelta(days=300))
    found = asked(home)
    assert found.until == ago(minutes=1)
    assert "silence" not in kinds(found)


def test_servers_that_fell_silent(home: Home) -> None:
    for number, minutes in ((1, 0), (2, 19), (3, 21), (4, 3000), (5, 240), (6, 300)):
        heard(home, number, ago(minutes=minutes))
    told = [lack.text for lack in asked(home).lacks if lack.kind == "silence"]
    assert told == [
        "no data from 10.0.0.3:9866 for 21 min: others send",
        "no data from 10.0.0.5:9866 for 4 h: others send",
        "no data from 10.0.0.6:9866 for 5 h: others send",
        "no data from 1 further server for longer than that",
    ]
    later = asked(home, now=NOW + timedelta(days=9))
    assert [lack.text for lack in later.lacks if lack.kind == "silence"] == told, "the records' time counts"


def test_a_server_that_was_silent_for_a_month_is_gone(home: Home) -> None:
    for number, days in ((1, 0), (2, 29), (3, 31), (4, 6593)):
        heard(home, number, ago(days=days))
    assert [lack.text for lack in asked(home).lacks if lack.kind == "silence"] == [
        "no data from 10.0.0.2:9866 for 29 days: others send"
    ]


def test_rotated_logs_are_of_the_server_that_goes_on(home: Home) -> None:
    heard(home, 1, ago(minutes=1))
    heard(home, 2, ago(hours=5), node="", host="dn1")
    heard(home, 3, ago(minutes=1), daemon="namenode", node=None, host="")
    heard(home, 4, ago(hours=5), daemon="namenode", node=None, host="")
    heard(home, -1, ago(minutes=1), path="kafka:raw_logs/0", node=None, host="")
    heard(home, -2, ago(hours=9), path="kafka:raw_logs/1", node=None, host="")
    assert "silence" not in kinds(asked(home))


def test_a_server_that_is_asked_and_does_not_answer(home: Home) -> None:
    polled = {"polled_at": ago(minutes=1), "error": "connection refused"}
    put(home, "namenode_collectors", {"namenode": "nn1:9870", "sampled_at": ago(minutes=40)} | polled)
    put(home, "namenode_collectors", {"namenode": "nn2:9870", "sampled_at": None} | polled)
    found = asked(home)
    assert [lack.text for lack in found.lacks if lack.kind == "silence"] == [
        "no data from nn1:9870 for 39 min: connection refused",
        "no data from nn2:9870 so far: connection refused",
    ]
    assert ("untrained", "hdfs-pipeline namenode train") in [(lack.kind, lack.command) for lack in found.lacks]


def test_what_was_lost_and_what_was_not_read(home: Home) -> None:
    heard(home, 1, ago(minutes=1))
    letter = {"source": "x.log", "text": "?", "reason": "unknown layout"}
    put(home, "dead_letters", *({"position": at, "seen_at": ago(hours=1)} | letter for at in range(3)))
    put(home, "dead_letters", {"position": 9, "seen_at": ago(hours=25)} | letter)
    gap = {"topic": "raw_logs", "part": 0, "from_offset": 5, "to_offset": 12, "epoch": 1}
    put(home, "stream_gaps", gap | {"seen_at": ago(hours=1)})
    home.settings.incoming.mkdir()
    for name, age in (("old.log", timedelta(hours=1)), ("new.log", timedelta()), (".hidden", timedelta())):
        (home.settings.incoming / name).write_text("")
        seconds = (ago(minutes=1) - age).timestamp() + 10
        os.utime(home.settings.incoming / name, (seconds, seconds))
    told = {lack.kind: lack.text for lack in asked(home).lacks}
    assert told["dead letters"] == "3 dead letters: unknown layout (3)"
    assert told["gap"] == "7 messages of topic raw_logs could not be read"
    assert told["unread"] == f"1 file in {home.settings.incoming} not read yet"


def test_models_and_verdicts_that_are_missing(home: Home, excerpt: Any) -> None:
    fill(home, [excerpt.log])
    found = asked(home)
    assert kinds(found)[-2:] == ["unscored", "untrained"]
    assert "hdfs-pipeline score" in found.commands
    (blocks,) = home.rows("SELECT count(*) FROM event_matrix")[0]
    assert found.lacks[-2].text == f"{blocks} blocks without a verdict yet"
    finished = replace(found, finished=False)
    assert finished.headline == f"Nothing is known to be wrong; {blocks} blocks without a verdict yet"
    assert replace(finished, lacks=[]).headline == "Nothing is wrong now"


def test_an_empty_home_says_what_to_do_first(home: Home, tmp_path: Any) -> None:
    assert asked(home).commands[0] == "hdfs-pipeline ingest /var/log/hadoop-hdfs/"
    bare = home.settings.model_copy(update={"home": tmp_path / "bare"})
    found = home_status(home.store, bare, parse_since("24h", NOW), now=NOW)
    assert (found.commands, found.lacks, found.until) == (asked(home).commands, [], None)


def test_no_more_than_three_commands_and_one_for_the_watcher(home: Home) -> None:
    heard(home, 1, ago(minutes=1))
    put(home, "incidents", *(incident(number, items=number) for number in range(1, 6)))
    found = asked(home)
    assert found.commands == [
        "hdfs-pipeline incidents show 00000005",
        "hdfs-pipeline incidents show 00000004",
        "hdfs-pipeline train --detector standard",
    ]


def test_json_is_plain(home: Home) -> None:
    heard(home, 1, ago(minutes=1))
    put(home, "incidents", incident(1), incident(2, status="resolved"))
    plain = asked(home).to_json()
    assert list(plain) == [
        *("home", "now", "since", "until", "finished", "severities", "changed", "open", "ended"),
        *("number_open", "number_ended", "lacks", "commands"),
    ]
    assert plain["now"] == "2026-11-22T08:00:00+00:00"
    assert all(set(lack) == {"kind", "text", "command"} for lack in plain["lacks"])


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("24h", ago(hours=24)),
        ("90m", ago(minutes=90)),
        (" 2w ", ago(weeks=2)),
        ("2026-11-21T08:00", datetime(2026, 11, 21, 8, tzinfo=UTC)),
        ("2026-11-21T08:00+01:00", datetime(2026, 11, 21, 7, tzinfo=UTC)),
        ("2026-11-21", datetime(2026, 11, 21, tzinfo=UTC)),
    ],
)
def test_since(text: str, time: datetime) -> None:
    assert parse_since(text, NOW).time == time


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "24",
        "-1h",
        "999999w",
        "1.5h",
        "9999-12-31T23:59:59-12:00",
        "²h",
        "0001-01-01",
        "9999-12-31T23:59:59Z",
        "1969-12-31",
        "2200-01-01",
        "3000w",
    ],
)
def test_since_that_means_nothing(text: str) -> None:
    with pytest.raises(UsageError, match="is no time"):
        parse_since(text, NOW)


def test_durations() -> None:
    spans = (0, 0.4, 45, 119, 120, 1260, 7200, 86400, 172800, 8e5)
    words = ["0 s", "0 s", "45 s", "119 s", "2 min", "21 min", "2 h", "24 h", "2 days", "9 days"]
    assert [duration(seconds) for seconds in spans] == words
