"""The sensor that tells of incidents: each tick is a pass, and it rests while the command does the work."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from hdfs_pipeline.alerting.notify import turn
from hdfs_pipeline.defs.common.notices import notify
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.settings import Settings, load_settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline_tests import homes
from hdfs_pipeline_tests.alerting.conftest import Receiver, put, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def told(tmp_path: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> homes.Home:
    """A home with an open incident, and a webhook."""
    monkeypatch.setenv("HDFS_PIPELINE_WEBHOOK_URL", receiver.url)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "")
    settings = load_settings(tmp_path / "home")
    found = homes.Home(settings, Store.open(settings))
    put(found, "a1")
    return found


def tick(settings: Settings) -> str:
    with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance) as context:
        skipped = notify(context, home=Home(path=str(settings.home)))
    assert isinstance(skipped, dg.SkipReason)
    return str(skipped.skip_message)


def test_a_tick_tells_what_is_new_and_what_was_refused(told: homes.Home, receiver: Receiver) -> None:
    assert tick(told.settings) == "webhook: told of 1 opened"
    assert tick(told.settings) == "webhook: nothing new"
    put(told, "a1", status="resolved")
    receiver.answer = lambda *_: 404
    assert "HTTP 404" in tick(told.settings)
    assert receiver.events() == ["opened", "resolved"]


def test_it_rests_while_the_command_delivers(told: homes.Home, receiver: Receiver) -> None:
    with turn(told.settings, 0):
        assert tick(told.settings) == "another process tells of incidents"
    assert receiver.posts == []


def test_it_rests_where_there_is_nobody_to_tell(told: homes.Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HDFS_PIPELINE_WEBHOOK_URL", "")
    assert "set alertmanager_url or webhook_url" in tick(told.settings)


def test_it_rests_before_there_is_a_store(tmp_path: Any) -> None:
    assert "no store yet" in tick(load_settings(tmp_path / "empty"))
