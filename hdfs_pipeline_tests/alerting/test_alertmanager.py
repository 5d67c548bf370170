"""Alertmanager, the real one: an alert for each incident that goes on, which ends with it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hdfs_pipeline.alerting.alertmanager import alert_of
from hdfs_pipeline.alerting.notify import Told, notify_once
from hdfs_pipeline.verdicts.incidents import incident_json
from hdfs_pipeline_tests.alerting.conftest import alertmanager, alerts, free_port, fresh, put, receiving, remove
from hdfs_pipeline_tests.homes import Home


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with alertmanager(tmp_path / "alertmanager", free_port()) as address:
        yield address


@pytest.fixture
def watched(new_home: Callable[..., Home], url: str) -> Home:
    return new_home(alertmanager_url=url, kafka_bootstrap_servers="", pages_url="https://pages.example")


def tell(home: Home, patience_s: float = 0) -> Told:
    (told,) = notify_once(home.store, home.settings, turn_s=0, patience_s=patience_s)
    return told


def test_an_incident_is_an_alert_until_it_is_resolved(watched: Home, url: str) -> None:
    put(watched, "a1")
    assert tell(watched).events == {"opened": 1}
    (alert,) = alerts(url)
    assert alert["labels"] == {
        "alertname": "HdfsIncident",
        "incident": "a1",
        "domain": "blocks",
        "kind": "write failed: disk full",
        "entity": "10.0.0.3:9866",
        "severity": "major",
    }
    assert alert["annotations"]["summary"] == "10.0.0.3:9866 has no room: 57 writes failed"
    assert alert["annotations"]["next_steps"] == "free space on its volumes\nhdfs dfsadmin -report"
    assert alert["annotations"]["items"] == "57" and alert["annotations"]["kinds"] == "write failed: disk full: 57"
    assert alert["generatorURL"] == "https://pages.example/incidents/a1"
    assert datetime.fromisoformat(alert["startsAt"]) < datetime.now(UTC) < datetime.fromisoformat(alert["endsAt"])
    put(watched, "a1", status="resolved")
    assert tell(watched).events == {"resolved": 1}
    assert alerts(url) == []


@pytest.mark.parametrize("status", ["expired", "suppressed", "gone"])
def test_what_need_not_alarm_any_more_ends(watched: Home, url: str, status: str) -> None:
    put(watched, "a1")
    put(watched, "b2")
    tell(watched)
    remove(watched, "a1") if status == "gone" else put(watched, "a1", status=status)
    tell(watched)
    assert [alert["labels"]["incident"] for alert in alerts(url)] == ["b2"]
    put(watched, "a1", status="open")
    tell(watched)
    assert len(alerts(url)) == 2


def test_an_acknowledged_incident_goes_on_and_its_alert_says_so(watched: Home, url: str) -> None:
    put(watched, "a1")
    tell(watched)
    put(watched, "a1", status="acknowledged")
    tell(watched)
    assert [alert["annotations"]["status"] for alert in alerts(url)] == ["acknowledged"]


def test_a_change_of_labels_ends_the_alert_with_the_old_ones(watched: Home, url: str) -> None:
    put(watched, "a1", severity="warning", entity="")
    tell(watched)
    put(watched, "a1", severity="critical")
    tell(watched)
    put(watched, "a1", entity="10.0.0.4:9866")
    tell(watched)
    assert [(a["labels"]["severity"], a["labels"]["entity"]) for a in alerts(url)] == [("critical", "10.0.0.4:9866")]
    put(watched, "a1", status="resolved")
    tell(watched)
    assert alerts(url) == []


def test_a_single_moment_in_a_clock_that_is_ahead_is_an_alert_and_ends(watched: Home, url: str) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=1)
    put(watched, "a1", started_at=ahead, ended_at=ahead)
    tell(watched)
    assert len(alerts(url)) == 1
    put(watched, "a1", status="resolved")
    tell(watched)
    assert alerts(url) == []


def test_what_was_over_before_it_was_told_is_no_alert(watched: Home, url: str) -> None:
    put(watched, *(f"old{number}" for number in range(250)), status="resolved")
    put(watched, "new")
    assert tell(watched).events == {"opened": 1}
    assert [alert["labels"]["incident"] for alert in alerts(url)] == ["new"]


def test_an_alert_that_goes_on_is_held_by_telling_it_again(watched: Home, url: str) -> None:
    put(watched, "a1")
    tell(watched)
    first = alerts(url)[0]["endsAt"]
    assert tell(watched).events == {}
    assert alerts(url)[0]["endsAt"] > first


def test_an_alertmanager_that_was_down_hears_what_is_true_then(new_home: Callable[..., Home], tmp_path: Path) -> None:
    port = free_port()
    home = new_home(alertmanager_url=f"http://127.0.0.1:{port}/", kafka_bootstrap_servers="")
    with alertmanager(tmp_path / "am", port) as url:
        for identity in ("a1", "b2"):
            put(home, identity)
        tell(home)
        assert len(alerts(url)) == 2
    put(home, "a1", status="resolved")
    put(home, "c3")
    put(home, "d4")
    assert "cannot be reached" in tell(home).trouble
    put(home, "d4", status="resolved")
    assert tell(home).trouble
    with alertmanager(tmp_path / "am", port) as url:  # it has forgotten all
        assert tell(home, patience_s=10).well
        assert sorted(alert["labels"]["incident"] for alert in alerts(url)) == ["b2", "c3"]


def test_alerts_that_are_refused_together_are_sent_one_by_one(new_home: Callable[..., Home]) -> None:
    with receiving() as receiver:

        def picky(post, _):
            return 400 if any(alert["labels"]["incident"] == "bad" for alert in post.json) else 200

        receiver.answer = picky
        home = new_home(alertmanager_url=receiver.url, kafka_bootstrap_servers="")
        for identity in ("a1", "bad", "c3"):
            put(home, identity)
        told = tell(home)
        assert told.events == {"opened": 2} and len(told.refusals) == 1
        assert receiver.posts[0].path == "/api/v2/alerts"


def test_an_incident_without_title_and_entity_is_summed_up_by_its_kind() -> None:
    now = datetime.now(UTC)
    row = fresh("a1", now) | {"title": None, "evidence": None, "entity": "", "next_steps": None}
    alert = alert_of(incident_json(row), "", now)
    assert alert["annotations"]["summary"] == "write failed: disk full"
    assert "entity" not in alert["labels"] and "evidence" not in alert["annotations"] and "generatorURL" not in alert
