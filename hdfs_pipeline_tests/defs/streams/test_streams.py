"""Streams in Dagster: sensors that ask for ranges, runs that store them, checks that tell what is missing."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.streams import sensors as module
from hdfs_pipeline.defs.streams.assets import STREAM_ASSETS
from hdfs_pipeline.defs.streams.sensors import RANGE_TAG, KafkaClient, kafka_ranges
from hdfs_pipeline.defs.streams.stored import stored
from hdfs_pipeline.domains.blocks.topics import HDFS_LOGS, LABELS, RAW_LOGS
from hdfs_pipeline.domains.blocks.wire import block_key
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import BOOTSTRAP, PREFIX, Settings
from hdfs_pipeline.sinks.following import sink_lock
from hdfs_pipeline.sinks.messages import MessageStage
from hdfs_pipeline.sinks.topics import turn_lock
from hdfs_pipeline.store.store import Store
from hdfs_pipeline_tests.defs.conftest import Automation, Ran
from hdfs_pipeline_tests.sinks.sink_worker import embedded, ingest, line, mixture, point_at, send

JOB = "kafka_job"
ASSET = "kafka_raw_logs"


@pytest.fixture
def streamed(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """An empty home, named by the environment, whose own broker runs; what waits is old enough at once."""
    monkeypatch.delenv(BOOTSTRAP, raising=False)
    monkeypatch.setenv(f"{PREFIX}RUN_WAIT_S", "0")
    with embedded(home):
        yield home


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def look(settings: Settings, instance: dg.DagsterInstance, cursor: str = "", kafka: KafkaClient | None = None) -> Any:
    """What the sensor says."""
    with dg.build_sensor_context(instance, cursor=cursor) as context:
        return kafka_ranges(context, home=Home(path=str(settings.home)), kafka=kafka or KafkaClient())


def tick(settings: Settings, instance: dg.DagsterInstance) -> Any:
    """The run that the sensor asks for, or why it asks for none."""
    said = look(settings, instance)
    if isinstance(said, dg.SensorResult) and said.run_requests:
        return said.run_requests[0]
    return said.skip_message if isinstance(said, dg.SkipReason) else str(said.skip_reason.skip_message)


def run(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    request: dg.RunRequest | None = None,
    asset: str = ASSET,
    **config: Any,
) -> dg.ExecuteInProcessResult:
    ops = request.run_config if request else {"ops": {asset: {"config": config}}}
    chosen = request.asset_selection if request else [dg.AssetKey(asset)]
    return definitions.resolve_job_def(JOB).execute_in_process(
        ops,
        instance=instance,
        asset_selection=chosen,
        tags=dict(request.tags) if request else {},
        raise_on_error=False,
    )


def logs(settings: Settings, count: int, first: int = 0) -> None:
    send(settings, RAW_LOGS, [(block_key(n), line(n, n), n % 3) for n in range(first, first + count)])


def rows(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    with Store.open(settings).read() as con:
        return con.execute(sql).fetchall()


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {found.check_name: found.passed for found in result.get_asset_check_evaluations()}


def test_what_is_new_of_all_topics_is_stored_by_one_run(
    streamed: Settings, instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    for topic in STREAM_ASSETS.values():
        send(streamed, topic, mixture(topic))
    request = tick(streamed, instance)
    assert isinstance(request, dg.RunRequest)
    assert len(str(request.run_config)) < 500 * len(STREAM_ASSETS)  # ranges, no messages
    result = run(definitions, instance, request)
    assert result.success
    for asset, topic in STREAM_ASSETS.items():
        ranges = request.run_config["ops"][asset]["config"]["ranges"]
        assert {part: bounds[0] for part, bounds in ranges.items()} == dict.fromkeys(ranges, 0)
        told = metadata(result, asset)
        assert told["messages"] == len(mixture(topic)) and told["ranges"] == ranges
        assert told["dead letters"] > 0 and told["messages left"] == 0 == told["missing messages"]
    found = [(each.asset_key.to_user_string(), each.check_name) for each in result.get_asset_check_evaluations()]
    assert {(asset, name) for asset in STREAM_ASSETS for name in ("no_gaps", "schema")} < set(found)
    assert all(checks(result).values())
    assert "nothing new" in tick(streamed, instance)
    again = run(definitions, instance, request)
    assert again.success and "nothing to do" in metadata(again, ASSET)["notes"]


def test_a_run_takes_the_topics_that_have_something(
    streamed: Settings, instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    logs(streamed, 5)
    request = tick(streamed, instance)
    result = run(definitions, instance, request)
    assert result.success and request.asset_selection == [dg.AssetKey(ASSET)]
    assert {each.asset_key.to_user_string() for each in result.get_asset_check_evaluations()} == {ASSET}


def test_a_run_starts_once_enough_waits_or_it_is_old_enough(
    streamed: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}RUN_WAIT_S", "120")
    monkeypatch.setenv(f"{PREFIX}RUN_RECORDS", "50")
    assert look(streamed, instance, cursor="1.0").cursor == "", "nothing waits"
    logs(streamed, 49)
    kafka = KafkaClient()
    first = look(streamed, instance, kafka=kafka)
    assert "49 records wait for the clock" in first.skip_reason.skip_message and first.cursor
    early = look(streamed, instance, first.cursor, kafka)
    assert not early.run_requests and early.cursor == first.cursor
    now = time.time()
    monkeypatch.setattr(module.time, "time", lambda: now + 130)
    (old,) = look(streamed, instance, first.cursor, kafka).run_requests
    monkeypatch.setattr(module.time, "time", lambda: now)
    logs(streamed, 1)
    (enough,) = look(streamed, instance, first.cursor, kafka).run_requests
    assert old.run_config != enough.run_config


def test_it_rests_while_another_process_stores_what_comes(streamed: Settings, instance: dg.DagsterInstance) -> None:
    logs(streamed, 5)
    with sink_lock(streamed):
        assert "`hdfs-pipeline sink` stores what comes" in tick(streamed, instance)
    assert isinstance(tick(streamed, instance), dg.RunRequest)


def test_what_another_process_stored_is_reported(
    streamed: Settings, instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    def report(cursor: str = "") -> Any:
        with dg.build_sensor_context(instance, cursor=cursor) as context:
            return stored(context, home=Home(path=str(streamed.home)))

    assert not report().asset_events
    logs(streamed, 5)
    assert run(definitions, instance).success
    first = report()
    with sink_lock(streamed):
        assert not report(first.cursor).asset_events
        logs(streamed, 7, first=5)
        ingest(Store.open(streamed), streamed, RAW_LOGS)
        (event,) = report(first.cursor).asset_events
    assert event.asset_key == dg.AssetKey(ASSET)
    assert event.metadata["messages"].value == 7 and event.metadata["dagster/row_count"].value == 12
    assert not report(first.cursor).asset_events, "runs report themselves"


def test_where_one_topic_fails_the_others_are_stored_and_it_is_asked_for_again(
    streamed: Settings, instance: dg.DagsterInstance, definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs(streamed, 5)
    send(streamed, LABELS, mixture(LABELS))
    send(streamed, HDFS_LOGS, mixture(HDFS_LOGS))
    request = tick(streamed, instance)
    with monkeypatch.context() as patch:
        patch.setattr(MessageStage, "publish", _no_room)
        assert not run(definitions, instance, request).success
    assert rows(streamed, "SELECT count(*) FROM raw_logs") == [(5,)]
    assert rows(streamed, "SELECT DISTINCT topic FROM offsets") == [(RAW_LOGS,)]
    assert "runs of stream_labels failed" in tick(streamed, instance)
    logs(streamed, 5, first=5)
    other = tick(streamed, instance)
    assert other.asset_selection == [dg.AssetKey(ASSET)], "it waits for no other topic"
    now = time.time()
    monkeypatch.setattr(module.time, "time", lambda: now + 10)
    again = tick(streamed, instance)
    assert run(definitions, instance, again).success
    assert {key.to_user_string() for key in again.asset_selection} == {ASSET, "stream_labels", "hdfs_logs"}
    assert {topic for (topic,) in rows(streamed, "SELECT DISTINCT topic FROM offsets")} == {RAW_LOGS, LABELS, HDFS_LOGS}
    assert "nothing new" in tick(streamed, instance)


def _no_room(*_: Any, **__: Any) -> int:
    raise SetupError("no room on the disk")


def test_one_run_at_a_time(streamed: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    logs(streamed, 5)
    assert isinstance(tick(streamed, instance), dg.RunRequest)
    code = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="hdfs_pipeline.definitions"))
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(code, "__repository__"), JOB)  # a queued run has one
    for status, why in (
        (dg.DagsterRunStatus.NOT_STARTED, "waits for its turn"),
        (dg.DagsterRunStatus.QUEUED, "waits for its turn"),
        (dg.DagsterRunStatus.STARTING, "is at work"),
        (dg.DagsterRunStatus.STARTED, "is at work"),
        (dg.DagsterRunStatus.CANCELING, "is at work"),
    ):
        busy = create_run_for_test(instance, job_name=JOB, status=status, remote_job_origin=origin)
        assert why in tick(streamed, instance)
        logs(streamed, 5)
        assert why in tick(streamed, instance)  # however much comes
        instance.delete_run(busy.run_id)
    assert isinstance(tick(streamed, instance), dg.RunRequest)
    # A run that was killed stays `started`: what tells it from one at work is the lock.
    create_run_for_test(instance, job_name=JOB, status=dg.DagsterRunStatus.STARTED)
    monkeypatch.setattr(module, "_ABANDONED_S", 0.0)
    with turn_lock(streamed, RAW_LOGS, 0):
        assert "is at work" in tick(streamed, instance)
    assert isinstance(tick(streamed, instance), dg.RunRequest)


def test_a_failed_run_is_tried_again_later_and_under_another_key(
    streamed: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs(streamed, 5)
    first = tick(streamed, instance)
    assert tick(streamed, instance).run_key == first.run_key
    create_run_for_test(instance, job_name=JOB, status=dg.DagsterRunStatus.FAILURE, tags=dict(first.tags))
    assert "1 runs of kafka_raw_logs failed one after the other" in tick(streamed, instance)
    now = time.time()
    monkeypatch.setattr(module.time, "time", lambda: now + 10)
    second = tick(streamed, instance)
    assert second.run_config == first.run_config and second.tags == first.tags
    assert second.run_key != first.run_key
    for _ in range(9):
        create_run_for_test(instance, job_name=JOB, status=dg.DagsterRunStatus.FAILURE, tags=dict(first.tags))
    assert "failed" in tick(streamed, instance)
    monkeypatch.setattr(module.time, "time", lambda: now + 400)  # it never gives up
    assert isinstance(tick(streamed, instance), dg.RunRequest)


def test_a_store_that_was_put_back_is_filled_again(
    streamed: Settings, instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    logs(streamed, 5)
    first = tick(streamed, instance)
    assert run(definitions, instance, first).success
    with Store.open(streamed).write() as con:  # as a backup of before
        con.execute("DELETE FROM offsets; DELETE FROM raw_logs; DELETE FROM sources")
    second = tick(streamed, instance)
    assert second.run_config == first.run_config and second.run_key != first.run_key
    assert run(definitions, instance, second).success
    assert rows(streamed, "SELECT count(*) FROM raw_logs") == [(5,)]


def test_without_a_broker_nothing_hangs(
    home: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(BOOTSTRAP, raising=False)
    assert "no Kafka broker: set" in tick(home, instance)
    begun = time.monotonic()
    point_at(home, "127.0.0.1:9")  # what a killed broker left
    assert "no Kafka broker: set" in tick(home, instance)
    monkeypatch.setenv(BOOTSTRAP, "127.0.0.1:9,localhost:9")
    assert "does not answer" in tick(home, instance)
    assert time.monotonic() - begun < 3


def test_a_store_in_use_is_a_reason_to_wait(streamed: Settings, instance: dg.DagsterInstance) -> None:
    import duckdb

    logs(streamed, 1)
    with Store.open(streamed).write():
        pass
    held = duckdb.connect(str(streamed.store_path))
    begun = time.monotonic()
    assert "in use by process" in tick(streamed, instance)
    assert time.monotonic() - begun < 10
    held.close()
    assert isinstance(tick(streamed, instance), dg.RunRequest)


def test_missing_messages_fail_a_check(
    streamed: Settings, instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    send(streamed, RAW_LOGS, [(b"blk_1", line(n, 1) + b" " + b"x" * 100_000, 0) for n in range(120)])
    request = tick(streamed, instance)
    result = run(definitions, instance, request)
    assert result.success
    missing = metadata(result, "kafka_raw_logs")["missing messages"]
    assert missing > 0
    (found,) = [check for check in result.get_asset_check_evaluations() if check.check_name == "no_gaps"]
    assert not found.passed and found.severity == dg.AssetCheckSeverity.WARN
    assert found.description == f"{missing:,} messages are missing, in 1 places"
    assert f"| 0 | {missing:,} |" in found.metadata["where"].value
    assert checks(result)["records_counted"]


def test_a_person_can_read_a_range_again(
    streamed: Settings, instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    logs(streamed, 30)
    assert run(definitions, instance).success  # without a range: all that is there
    with Store.open(streamed).write() as con:
        con.execute("DELETE FROM raw_logs WHERE position < 5")
    result = run(definitions, instance, ranges={"0": [0, 10], "2": [0, 5]}, again=True)
    assert result.success and metadata(result, "kafka_raw_logs")["rows"] == 15
    assert rows(streamed, "SELECT count(*) FROM raw_logs") == [(25,)]
    assert checks(result)["records_counted"]  # counted anew
    wrong = run(definitions, instance, ranges={"0": [5]})
    assert not wrong.success
    (failure,) = [event for event in wrong.all_events if event.is_step_failure]
    assert 'write them like {"7": [1000, 2000]}' in str(failure.step_failure_data.error)


BY_THE_CLOCK = {"parsed_events", "event_matrix", "scores", "anomalies", "incidents"}


def of_blocks(automation: Automation) -> set[str]:
    """What runs soon of the main job; daemons' minutes have a chain of their own."""
    return {name for name in automation.soon() if not name.startswith("daemon")}


def test_streamed_records_are_parsed_and_scored_by_the_clock(
    ran: Ran, definitions: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(BOOTSTRAP, raising=False)
    automation = Automation(definitions, instance)
    assert of_blocks(automation) == set()
    before = rows(ran.settings, "SELECT count(*) FROM parsed_events")[0][0]
    text = b"081109 203615 148 INFO dfs.DataNode$PacketResponder: PacketResponder 1 for block blk_77 terminating"
    with embedded(ran.settings):
        send(ran.settings, RAW_LOGS, [(b"blk_77", text, 0), (None, b"poison", 0)])
        assert run(definitions, instance).success
    assert of_blocks(automation) == BY_THE_CLOCK
    result = definitions.resolve_job_def("parse_and_score_job").execute_in_process(instance=instance)
    assert result.success
    assert metadata(result, "parsed_events")["new"] == 1
    assert checks(result)["conservation"]
    assert rows(ran.settings, "SELECT count(*) FROM parsed_events") == [(before + 1,)]
    assert rows(ran.settings, "SELECT count(DISTINCT detector) FROM scores WHERE item = 'blk_77'")[0][0] > 1
    assert of_blocks(automation) <= {"incidents"}


def test_a_home_without_a_model_is_parsed_and_judged_by_what_needs_none(
    streamed: Settings, instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    logs(streamed, 3)
    assert run(definitions, instance).success
    assert of_blocks(Automation(definitions, instance)) == BY_THE_CLOCK


def test_lineage_leads_from_kafka_to_the_matrix(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    upstream = graph.get(dg.AssetKey("parsed_events")).parent_keys
    assert upstream == {dg.AssetKey("raw_logs"), dg.AssetKey("kafka_raw_logs")}
    streams = {
        dg.AssetKey(name) for name in ("block_stream", "message_stream", "request_stream", "traffic_window_stream")
    }
    assert graph.get(dg.AssetKey("stream_anomalies")).parent_keys == streams, "each stage's verdicts are in this topic"
    assert all(graph.get(each).is_external for each in streams)
    assert {RANGE_TAG.split("/")[0]} == {"hdfs_pipeline"}


def test_a_file_and_a_folder_of_the_home_stay_clean(streamed: Settings, instance: dg.DagsterInstance) -> None:
    tick(streamed, instance)
    assert not Path(streamed.store_path).exists()  # a sensor makes no store
