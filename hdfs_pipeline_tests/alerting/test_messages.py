"""The documented JSON, its key, and the other examples of docs/alerting.md."""

import hashlib
import hmac
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline.alerting.messages import News, envelope, event_of
from hdfs_pipeline.scoring.incidents import STATUSES
from hdfs_pipeline.settings import PROJECT
from hdfs_pipeline.store.schema import TABLES
from hdfs_pipeline.verdicts.incidents import incident_json
from hdfs_pipeline_tests.alerting.conftest import alertmanager, free_port
from hdfs_pipeline_tests.test_docs import rows_under

PAGE = "docs/alerting.md"


def example(language: str) -> str:
    return re.search(rf"```{language}\n(.*?)```", (PROJECT / PAGE).read_text(), re.DOTALL)[1]


def row_of(incident: dict[str, Any]) -> dict[str, Any]:
    """The row of `incidents` behind a message."""
    times = {name: datetime.fromisoformat(value) for name, value in incident.items() if name.endswith("_at")}
    return incident | times | {name: json.dumps(incident[name]) for name in ("detectors", "details", "kinds")}


def test_the_documented_json_is_what_is_sent() -> None:
    shown = json.loads(example("json"))
    assert set(shown["incident"]) == set(TABLES["incidents"].columns)
    news = News("opened", 1, incident_json(row_of(shown["incident"])))
    assert json.loads(envelope(news, "", "https://pages.example/")) == shown


def test_the_table_names_what_the_json_holds() -> None:
    named = set(rows_under(PAGE, "The JSON of webhook and topic"))
    assert named == set(json.loads(example("json")))
    events = rows_under(PAGE, "The JSON of webhook and topic")["event"]
    told = {event_of(before, now) for before in ("", *STATUSES) for now in STATUSES} | {"withdrawn"}
    assert set(re.findall("`([a-z]+)`", events)) == told


def test_the_documented_check_of_a_signature_works() -> None:
    names: dict[str, Any] = {}
    exec(example("python"), names)
    header = "sha256=" + hmac.new(b"hush", b"{}", hashlib.sha256).hexdigest()
    assert names["signed"](b"hush", b"{}", header) and not names["signed"](b"other", b"{}", header)


def test_alertmanager_takes_the_documented_configuration(tmp_path: Path) -> None:
    with alertmanager(tmp_path / "am", free_port(), example("yaml")):
        pass


@pytest.mark.parametrize(
    ("before", "now", "event"),
    [
        ("", "open", "opened"),
        ("", "resolved", "resolved"),
        ("open", "open", "changed"),
        ("resolved", "resolved", "changed"),
        ("acknowledged", "open", "reopened"),
        ("suppressed", "open", "reopened"),
        ("withdrawn", "open", "reopened"),
        ("open", "acknowledged", "acknowledged"),
    ],
)
def test_events(before: str, now: str, event: str) -> None:
    assert event_of(before, now) == event


def test_the_key_is_made_from_all_that_is_said() -> None:
    incident = json.loads(example("json"))["incident"]
    one = News("opened", 1, incident)
    assert one.key == News("opened", 1, dict(reversed(incident.items()))).key
    others = [News("changed", 1, incident), News("opened", 2, incident), News("opened", 1, incident | {"items": 21})]
    assert len({one.key, *(other.key for other in others)}) == 4
