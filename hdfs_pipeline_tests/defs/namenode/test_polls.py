"""The sensor that polls NameNodes: each tick is a poll, and now and then an event of the asset."""

import json
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.namenode import polls as module
from hdfs_pipeline.defs.namenode.polls import NameNodes, namenode_polls
from hdfs_pipeline.domains.namenode.collect import Collector
from hdfs_pipeline.settings import Settings, load_settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline_tests.domains.namenode.documents import document
from hdfs_pipeline_tests.sources.servers import reply, serving

NAMENODES = NameNodes()
ACTIVE = document("2.7.3_active")


@pytest.fixture
def address() -> Iterator[str]:
    with serving(reply(body=json.dumps(ACTIVE).encode())) as (found, _):
        yield found


@pytest.fixture
def watching(home: Settings, address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A home that names a NameNode, and in which every tick is due."""
    monkeypatch.setenv("HDFS_PIPELINE_NAMENODE_URLS", address)
    monkeypatch.setenv("HDFS_PIPELINE_NAMENODE_POLL_S", "0.01")
    yield load_settings(home.home)
    NAMENODES.close()


def tick(settings: Settings, cursor: str | None = None) -> Any:
    with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance, cursor=cursor) as context:
        return namenode_polls(context, home=Home(path=str(settings.home)), namenodes=NAMENODES)


def rows(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    with Store.open(settings).read() as con:
        return con.execute(sql).fetchall()


def test_it_rests_without_a_namenode(home: Settings) -> None:
    skipped = tick(home)
    assert isinstance(skipped, dg.SkipReason) and "namenode_urls" in str(skipped.skip_message)
    assert not home.store_path.exists()


def test_each_tick_is_a_poll_and_the_asset_hears_of_it_now_and_then(watching: Settings) -> None:
    first = tick(watching)
    assert isinstance(first, dg.SensorResult) and not first.run_requests
    event, *_ = first.asset_events
    assert event.asset_key == dg.AssetKey("namenode_metrics")
    assert event.metadata["failing"].value == 0 and "active" in event.metadata["namenodes"].value
    second = tick(watching, first.cursor)
    assert isinstance(second, dg.SkipReason), "told a moment ago"
    assert rows(watching, "SELECT count(*), bool_or(moved AND NOT gap) FROM namenode_metrics") == [(2, False)]
    assert rows(watching, "SELECT polls, collector[:8] FROM namenode_collectors") == [(2, "Dagster ")]
    long_ago = tick(watching, str(float(first.cursor) - module.TELL_S - 1))
    assert isinstance(long_ago, dg.SensorResult)


def test_it_polls_no_faster_than_the_setting(watching: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HDFS_PIPELINE_NAMENODE_POLL_S", "60")
    tick(watching)
    assert "every 60 s" in str(tick(watching).skip_message)
    assert rows(watching, "SELECT count(*) FROM namenode_metrics") == [(1,)]


def test_it_rests_while_the_command_polls(watching: Settings, address: str) -> None:
    command = Collector(watching, [address])
    command.poll()
    skipped = tick(watching)
    assert isinstance(skipped, dg.SkipReason) and "another process polls" in str(skipped.skip_message)
    command.close()
    tick(watching)
    assert rows(watching, "SELECT count(*) FROM namenode_metrics") == [(2,)]


def test_what_the_command_has_polled_counts_as_fresh(watching: Settings, address: str) -> None:
    command = Collector(watching, [address])
    command.poll()
    command.flush()
    told = tick(watching)
    command.close()
    assert isinstance(told, dg.SensorResult) and not told.run_requests
    event, *_ = told.asset_events
    assert event.metadata["by"].value == "hdfs-pipeline collect" and event.metadata["polls"].value == 1


def test_what_is_polled_where_the_setting_names_none_is_told_too(home: Settings, address: str) -> None:
    command = Collector(home, [address])
    command.poll()
    command.close()
    (event,) = [event for event in tick(home).asset_events if event.asset_key == dg.AssetKey("namenode_metrics")]
    assert event.metadata["by"].value == "hdfs-pipeline collect"


def test_a_namenode_that_is_away_is_told_and_is_no_event(watching: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(reply(500, b"")) as (broken, _):
        monkeypatch.setenv("HDFS_PIPELINE_NAMENODE_URLS", broken)
        skipped = tick(watching)
    assert isinstance(skipped, dg.SkipReason) and "HTTP 500" in str(skipped.skip_message)
    assert "HTTP 500" in rows(watching, "SELECT error FROM namenode_collectors")[0][0]


def test_the_daemon_records_the_event(watching: Settings, definitions: dg.Definitions) -> None:
    """As the sensor daemon does with what the tick returned: no run, and the asset is materialized."""
    with dg.DagsterInstance.ephemeral() as instance:
        for event in tick(watching).asset_events:
            instance.report_runless_asset_event(event)
        assert instance.get_latest_materialization_event(dg.AssetKey("namenode_metrics")) is not None
        assert not instance.get_runs()
    assert dg.AssetKey("namenode_metrics") in {spec.key for spec in definitions.resolve_all_asset_specs()}


def test_the_state_of_hdfs_has_an_asset_with_what_is_wrong_and_a_picture(watching: Settings) -> None:
    first = tick(watching)
    told = {event.asset_key.path[-1]: event.metadata for event in first.asset_events}
    assert told["hdfs_state"]["troubles"].value == 0 and told["hdfs_state"]["live"].value == 1
    assert told["hdfs_state"]["last day"].value.startswith("![blocks in trouble")
    assert "slow_peers" in told["hdfs_state"]["absent"].value
