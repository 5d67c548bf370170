"""Incidents in Dagster: brought up to date by a sensor, checked, and opened by checks and runs that fail."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from hdfs_pipeline.defs.common import live
from hdfs_pipeline.defs.common.live import incidents, watcher
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.following import turn
from hdfs_pipeline_tests.defs.conftest import Automation, Ran
from hdfs_pipeline_tests.homes import Home as OpenHome
from hdfs_pipeline_tests.verdicts.made_incidents import incident, put

CHECKS = ("schema", "unique_keys", "whole", "conservation")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def tick(sensor: Any, ran: Ran, instance: dg.DagsterInstance, definitions: dg.Definitions) -> Any:
    repository = definitions.get_repository_def()
    with dg.build_sensor_context(instance, repository_def=repository) as context:
        return sensor(context, home=Home(path=str(ran.settings.home)))


def checked(ran: Ran, instance: dg.DagsterInstance, definitions: dg.Definitions) -> dict[str, bool]:
    """The checks of blocks' incidents, evaluated."""
    keys = [dg.AssetCheckKey(dg.AssetKey("incidents"), name) for name in CHECKS]
    job = dg.Definitions(
        assets=definitions.assets,
        asset_checks=definitions.asset_checks,
        jobs=[dg.define_asset_job("checks", dg.AssetSelection.checks(*keys))],
        resources=definitions.resources,
    ).resolve_job_def("checks")
    done = job.execute_in_process(instance=instance, raise_on_error=False)
    return {each.check_name: each.passed for each in done.get_asset_check_evaluations()}


def rows(store: Store, sql: str) -> list[tuple[Any, ...]]:
    with store.read() as con:
        return con.execute(sql).fetchall()


def change(ran: Ran, sql: str) -> None:
    with ran.store.write() as con:
        con.execute(sql)


def test_the_asset_says_how_many_go_on_and_shows_them(ran: Ran) -> None:
    with dg.DagsterInstance.get() as kept:
        wanted = dg.AssetRecordsFilter(dg.AssetKey("incidents"))
        event = kept.fetch_materializations(wanted, limit=1).records[0].asset_materialization
    assert event is not None
    told: dict[str, Any] = {name: value.value for name, value in event.metadata.items()}
    assert told["dagster/row_count"] == rows(ran.store, "SELECT count(*) FROM incidents WHERE domain = 'blocks'")[0][0]
    assert (told["open"], told["critical"]) == (0, 0), "the sample is of 2008"
    assert "what happened" in told["latest"] and "data:image/png" in told["over time"]


def test_incidents_of_the_main_job_pass_their_checks(
    ran: Ran, instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    assert checked(ran, instance, definitions) == dict.fromkeys(CHECKS, True)


@pytest.mark.parametrize(
    ("sql", "failing"),
    [
        ("DELETE FROM incidents WHERE domain = 'blocks'", "conservation"),
        ("UPDATE incidents SET peak_at = ended_at + INTERVAL 1 HOUR WHERE domain = 'blocks'", "whole"),
        ("UPDATE incidents SET items = 0 WHERE domain = 'blocks'", "whole"),
    ],
)
def test_what_is_not_whole_or_left_out_fails_and_opens_an_incident_of_the_watcher(
    ran: Ran, instance: dg.DagsterInstance, definitions: dg.Definitions, sql: str, failing: str
) -> None:
    change(ran, sql)
    assert checked(ran, instance, definitions) == {name: name != failing for name in CHECKS}
    tick(watcher, ran, instance, definitions)
    kept = "SELECT kind, entity, title, status FROM incidents WHERE domain = 'watcher' AND kind = 'check failed'"
    title = f"check failed · incidents: {failing}"
    assert rows(ran.store, kept) == [("check failed", "incidents", title, "open")]
    assert rows(ran.store, "SELECT status FROM incidents WHERE kind = 'run failed' AND entity = 'checks'") == [
        ("open",)
    ]
    change(ran, "DELETE FROM incidents WHERE domain = 'blocks'")
    asset = definitions.resolve_assets_def("incidents")
    assert dg.materialize([asset], instance=instance, selection=[asset]).success
    assert checked(ran, instance, definitions) == dict.fromkeys(CHECKS, True)
    tick(watcher, ran, instance, definitions)
    assert rows(ran.store, kept) == [("check failed", "incidents", title, "resolved")]
    assert rows(ran.store, "SELECT DISTINCT status FROM incidents WHERE domain = 'watcher'") == [("resolved",)]


def test_the_sensor_brings_incidents_up_to_date_unless_another_process_does(
    ran: Ran, instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    there = rows(ran.store, "SELECT count(*) FROM incidents")
    change(ran, "DELETE FROM incidents")
    with turn(ran.settings):
        skipped = tick(incidents, ran, instance, definitions)
        assert not skipped.asset_events and "another process" in skipped.skip_reason.skip_message
    done = tick(incidents, ran, instance, definitions)
    assert isinstance(done, dg.SensorResult)
    (event,) = [each for each in done.asset_events if each.asset_key == dg.AssetKey("incidents")]
    assert event.metadata["changes"].value != 0
    assert rows(ran.store, "SELECT count(*) FROM incidents") == there
    again = tick(incidents, ran, instance, definitions)
    assert isinstance(again, dg.SkipReason) and "no incident has changed" in str(again.skip_message)


SCORED = """INSERT INTO scores BY NAME SELECT * REPLACE ('daemons' AS domain, 'dn1' AS item, now() AS scored_at)
    FROM scores LIMIT 1"""


def test_what_another_process_judges_is_reported_now_and_then_and_asks_for_no_run(
    ran: Ran, instance: dg.DagsterInstance, definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    automation = Automation(definitions, instance)
    automation.soon()
    monkeypatch.setattr(live, "_TELL_S", 0.0)

    def look(cursor: str | None) -> Any:
        with dg.build_sensor_context(instance, cursor=cursor) as context:
            return incidents(context, home=Home(path=str(ran.settings.home)))

    with turn(ran.settings):
        first = look(None)
        assert not first.asset_events, "what was there before is no news"
        change(ran, SCORED)
        second = look(first.cursor)
        names = {event.asset_key.to_user_string() for event in second.asset_events}
        assert names == {"daemons_scores", "daemons_anomalies", "daemons_incidents"}
        for event in second.asset_events:  # the daemon may look between them
            instance.report_runless_asset_event(event)
            assert {name for name in automation.soon() if name.startswith("daemons")} == set()
        assert not look(second.cursor).asset_events
        monkeypatch.setattr(live, "_TELL_S", 300.0)
        change(ran, SCORED.replace("dn1", "dn2"))
        assert not look(second.cursor).asset_events, "it was told a moment ago"


def test_incidents_of_a_watcher_are_left_alone(ran: Ran, instance: dg.DagsterInstance, definitions: Any) -> None:
    put(OpenHome(ran.settings, ran.store), "incidents", incident(1, domain="watcher", began=datetime.now(UTC)))
    tick(incidents, ran, instance, definitions)
    assert rows(ran.store, "SELECT count(*) FROM incidents WHERE domain = 'watcher'") == [(1,)]
