"""Traffic windows as items: kinds and words of what is wrong with them, incidents, and their messages."""

from datetime import timedelta

import pytest

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.contract import Heard
from hdfs_pipeline.domains.weblogs.window_wire import decode_windows, encode_windows
from hdfs_pipeline.domains.weblogs.windows import WINDOWS
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.explain import Difference
from hdfs_pipeline.verdicts.lacks import lacks_of
from hdfs_pipeline.verdicts.update import judge_changed
from hdfs_pipeline_tests.domains.traffic.written import API, BEGIN, SHOP, TRAFFIC
from hdfs_pipeline_tests.homes import Filled


@pytest.fixture(scope="module")
def judged(traffic_filled: Filled, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    changed = traffic_filled.copied(tmp_path_factory.mktemp("judged") / "home")
    judge_changed(changed.home.store, changed.home.settings, TRAFFIC, ["lifecycle"])
    return changed


def test_each_trouble_has_its_kind_in_all_of_its_minutes_and_nothing_else_has(judged: Filled) -> None:
    found = judged.home.rows("SELECT kind, list(item ORDER BY item) FROM anomalies GROUP BY kind ORDER BY kind")
    minutes = {
        "error rate": [f"2026-11-19T22:3{at}Z {SHOP} *" for at in range(3)],
        "slow response time": [f"2026-11-19T22:5{at}Z {API} *" for at in range(3)],
        "traffic drop": [f"2026-11-19T23:1{at}Z {SHOP} *" for at in range(3)],
    }
    assert dict(found) == minutes


def test_reasons_tell_the_numbers(judged: Filled) -> None:
    reasons = dict(judged.home.rows("SELECT kind, any_value(reason ORDER BY item) FROM anomalies GROUP BY kind"))
    assert "% of" in reasons["error rate"] and "usually 0 %" in reasons["error rate"]
    assert "usually 40 ms" in reasons["slow response time"] or "usually 39 ms" in reasons["slow response time"]
    assert reasons["traffic drop"].startswith("0 requests after")


def test_a_trouble_of_minutes_is_one_incident_of_its_service(judged: Filled) -> None:
    incidents = judged.home.rows("SELECT kind, entity, items FROM incidents ORDER BY started_at")
    assert incidents == [("error rate", SHOP, 3), ("slow response time", API, 3), ("traffic drop", SHOP, 3)]


def test_evidence_shows_the_requests_that_failed(judged: Filled) -> None:
    home = judged.home
    key = f"2026-11-19T22:31Z {SHOP} *"
    shown = TRAFFIC.evidence(home.store, home.settings, key, 5, ("ERRORS",))
    assert [record["status"] for record in shown] == [503] * 5
    assert all(record["telling"] for record in shown)
    slow = TRAFFIC.evidence(home.store, home.settings, f"2026-11-19T22:51Z {API} *", 3, ("SLOW",))
    everything = TRAFFIC.evidence(home.store, home.settings, f"2026-11-19T22:51Z {API} *", 1000)
    worst = sorted((record["response_ms"] for record in everything), reverse=True)[:3]
    assert sorted((record["response_ms"] for record in slow), reverse=True) == worst


def test_the_endpoint_that_fails_is_told(judged: Filled) -> None:
    (traits,) = {
        tuple(sorted(traits.items())) for (traits,) in judged.home.rows(
            "SELECT traits FROM anomalies WHERE kind = 'error rate'")
    }  # fmt: skip
    assert traits == (("endpoint", "/cart"),)


def test_measures_are_told_as_people_read_them() -> None:
    vocabulary = TRAFFIC.vocabulary(None, "")  # type: ignore[arg-type]
    assert vocabulary.say is not None
    said = [
        vocabulary.say(Difference(column, "", "off", count, expected, 1.0))
        for column, count, expected in (("error_share", 340, 10), ("p95_ms", 2300, 40.4), ("requests", 1200, 300.2))
    ]
    assert said == [
        "error rate 34 %, usually 1.0 %",
        "95 % response time 2.3 s, usually 40 ms",
        "requests 1,200, usually 300",
    ]


def test_messages_hold_windows_exactly(traffic_filled: Filled) -> None:
    with traffic_filled.home.store.read() as con:
        rows = con.sql(
            f"""SELECT {", ".join(WINDOWS.names)} FROM request_windows ORDER BY service, minute, endpoint"""
        ).to_arrow_table().cast(WINDOWS)  # fmt: skip
    messages = list(encode_windows(rows, "life"))
    assert {key for key, _ in messages} == {SHOP.encode(), API.encode()}
    decoded = [decode_windows(value) for _, value in messages]
    assert {life for _, life in decoded} == {"life"}
    assert [row for each, _ in decoded for row in each.to_pylist()] == rows.to_pylist()


@pytest.mark.parametrize("value", [None, b"{", b'{"v":1}', b'{"v":1,"service":"a","minute":"x","windows":{}}'])
def test_what_is_no_message_of_windows_is_told(value: bytes | None) -> None:
    with pytest.raises(DataError):
        decode_windows(value)


def test_what_a_first_model_lacks_is_told(traffic_filled: Filled) -> None:
    home, now = traffic_filled.home, BEGIN + timedelta(hours=4)
    heard = {domain_named("weblogs"): [Heard(SHOP, now.timestamp())], TRAFFIC: []}
    lacks = lacks_of(home.store, home.settings, heard, now=now, until=now, since=BEGIN)
    told = [lack.text for lack in lacks if lack.kind == "untrained"]
    assert "traffic windows are judged by lifecycle alone: seasonal needs 2 days of history, has 4 hours" in told
