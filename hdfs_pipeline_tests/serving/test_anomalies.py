"""Anomalies in the live feed: from Kafka and from the store, each once, at once, and none lost over breaks."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from hdfs_pipeline.errors import UsageError
from hdfs_pipeline.serving.anomalies import A_SECOND, KEPT, Anomalies, Entry, Hearing, Place
from hdfs_pipeline.serving.live import parse_id
from hdfs_pipeline.sources.kafka import ANOMALIES, producer
from hdfs_pipeline.sources.wire import Verdict, encode_verdict
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.serving.test_run import served
from hdfs_pipeline_tests.streaming.conftest import embedded_home, running_broker
from hdfs_pipeline_tests.verdicts.made_incidents import put

LIMIT_S = 30.0
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
VERDICT = Verdict(
    "blocks", "blk_-17", "final", "random_forest", 3, 0.987, 0.75, "no received block of a size (normally 3)", {}, 12,
    NOW, NOW, "aggregated_events", 4, 10, 30, NOW, "idle", "write failed", "dn3",
)  # fmt: skip
SINCE = "2026-01-02T00:00:00~0123abcd.1~~"
Heard = Queue[tuple[float, str, str, dict[str, Any]]]


def send(home: Home, *items: str, **changes: Any) -> float:
    """Produce a verdict on each of some items, and wait until the broker has them: when they were handed over."""
    began, client = time.monotonic(), producer(home.settings)
    for item in items:
        verdict = replace(VERDICT, item=item, **{"scored_at": datetime.now(UTC), **changes})
        client.produce(ANOMALIES, encode_verdict(verdict), item.encode())
    assert client.flush(30) == 0
    return began


@contextmanager
def listening(address: str, last: str = "", events: str = "anomaly") -> Iterator[Heard]:
    """The events of a server as they come: when, kind, id and data."""
    heard: Heard = Queue()
    ready, over = threading.Event(), threading.Event()

    def listen() -> None:
        headers = {"Last-Event-ID": last} if last else {}
        try:
            with httpx.stream("GET", f"{address}/api/live?events={events}", headers=headers, timeout=LIMIT_S) as answer:
                fields: dict[str, str] = {}
                for line in answer.iter_lines():
                    ready.set()
                    if over.is_set():
                        return
                    name, _, value = line.partition(": ")
                    if line:
                        fields[name] = value
                    elif "data" in fields:
                        heard.put((time.monotonic(), fields["event"], fields["id"], json.loads(fields["data"])))
                        fields = {}
        except httpx.HTTPError:  # the server has ended
            pass
        finally:
            ready.set()

    threading.Thread(target=listen, daemon=True).start()
    assert ready.wait(LIMIT_S)
    yield heard
    over.set()


def begun(home: Home, heard: Heard, name: str = "blk_1") -> str:
    """Send verdicts on one item until the server, which reads the topic then, tells of the last: its event's id."""
    for number in range(int(LIMIT_S / 0.5)):
        send(home, name, reason=str(number))
        try:
            _, _, identity, row = heard.get(timeout=0.5)
            while row["reason"] != str(number):
                _, _, identity, row = heard.get(timeout=LIMIT_S)
        except Empty:
            continue
        return identity
    raise AssertionError("nothing came")


@pytest.fixture(scope="module")
def streaming(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home whose embedded broker runs."""
    home = embedded_home(tmp_path_factory.mktemp("feed"))
    with running_broker(home):
        yield home


@pytest.mark.xdist_group("kafka")
def test_a_verdict_arrives_within_a_second_and_after_a_break_what_was_missed(streaming: Home) -> None:
    with served(streaming) as address, listening(address, events="incident,anomaly") as heard:
        last = begun(streaming, heard)
        send(streaming, "blk_99", scored_at=datetime.min.replace(tzinfo=timezone(timedelta(hours=23))))  # is none
        took = []
        for number in range(100, 103):
            began = send(streaming, f"blk_{number}")
            came, kind, last, row = heard.get(timeout=LIMIT_S)
            took.append(came - began)
            assert kind == "anomaly" and row["item"] == f"blk_{number}"
        assert min(took) < 1.0  # a busy machine is slow at times, and not wrong
        expected = {"domain": "blocks", "kind": "write failed", "entity": "dn3", "status": "final", "score": 0.987}
        assert row.items() >= (expected | {"detector": "random_forest", "version": 3}).items()
    send(streaming, "blk_103")
    send(streaming, "blk_104", status="withdrawn")
    with served(streaming) as address, listening(address, last) as heard:
        missed = {(row["item"], row["status"]) for _, _, _, row in (heard.get(timeout=LIMIT_S) for _ in range(2))}
        assert missed == {("blk_103", "final"), ("blk_104", "withdrawn")}
        assert heard.empty()


@pytest.mark.xdist_group("kafka")
def test_a_broker_that_comes_late_and_comes_again_is_heard(tmp_path: Path) -> None:
    home = embedded_home(tmp_path / "home")
    with served(home) as address, listening(address) as heard:
        for name in ("blk_1", "blk_2"):
            with running_broker(home):
                begun(home, heard, name)


def entry(offset: int, partition: int = 0, **more: Any) -> Entry:
    return Entry({"item": f"blk_{offset}", "scored_at": NOW.isoformat()}, "aa", partition, offset, **more)


@pytest.fixture
def memory(home: Home) -> Anomalies:
    """A memory that reads nothing by itself, of a topic that ends at offset 9."""
    found = Anomalies(home.store, home.settings, lambda: None)
    found._begin("aa", {0: 9})
    return found


def test_of_a_burst_some_are_told_and_the_rest_is_counted(memory: Anomalies, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("hdfs_pipeline.serving.anomalies.time.monotonic", lambda: clock[0])
    hearing = Hearing(memory)
    memory._keep([entry(offset) for offset in range(10, 13)])
    assert [hearing.take()[0], len(hearing.take()[1])] == [0, 0]
    memory._keep([entry(offset) for offset in range(13, 2 * KEPT)])
    left_out, told, again_s = hearing.take()
    assert (len(told), again_s) == (A_SECOND - 3, 1.0)
    clock[0] += 1.0
    more, rest, again_s = hearing.take()
    assert len(rest) == A_SECOND and rest[-1][1].offset == 2 * KEPT - 1 and again_s is None
    assert left_out + len(told) + more + len(rest) == 2 * KEPT - 13
    assert hearing.take() == (0, [], None)
    assert hearing.place.offsets == {0: 2 * KEPT - A_SECOND - 1}  # of those that are told: when they are


def test_who_comes_hears_from_now_on_and_who_comes_back_what_it_missed(memory: Anomalies) -> None:
    memory._keep([entry(7, earlier=True), entry(8, earlier=True), entry(10), entry(3, partition=1), Entry({})])
    assert Hearing(memory).take() == (0, [], None)
    back = Hearing(memory, Place(NOW, "00000000", 0, "aa", {0: 7, 1: 3}))
    assert [each.offset for _, each in back.take()[1]] == [8, 10]
    of_another = Hearing(memory, Place(NOW, "00000000", 0, "bb", {0: 99}))
    assert [each.offset for _, each in of_another.take()[1]] == [10, 3]  # what came since the server began
    stored = Hearing(memory)
    place = Place.parse(str(stored.place))
    memory.add(3, [{"item": "blk_5", "scored_at": NOW.isoformat()}])
    left_out, told, _ = stored.take()
    assert (left_out, [each.row["item"] for _, each in told]) == (2, ["blk_5"])
    again = Hearing(memory, place)  # to the same server: nothing twice
    assert again.remembered and again.take()[:2] == (left_out, told)


def anomaly(item: str, **changes: Any) -> dict[str, Any]:
    row = {"domain": "blocks", "item": item, "detector": "lifecycle", "version": 0, "score": 2.0, "threshold": 1.0}
    row |= {"kind": "copy failed", "reason": "x" * 999, "origin": "batch", "status": "final", "part": -1}
    row |= {"first_offset": -1, "first_time": NOW, "last_time": NOW, "host": "dn1", "entity": ""}
    return row | {"scored_at": datetime.now(UTC)} | changes


def looked(home: Home, heard: Heard) -> None:
    """Put anomalies into a store until the server, which has looked at it once then, tells of the last."""
    for number in range(int(LIMIT_S)):
        put(home, "anomalies", anomaly(f"blk_{100 + number}"))
        try:
            while heard.get(timeout=1.0)[3]["item"] != f"blk_{100 + number}":
                pass
        except Empty:
            continue
        return
    raise AssertionError("nothing came")


def test_what_is_new_in_the_store_arrives_once_and_again_after_a_break(home: Home) -> None:
    put(home, "anomalies", anomaly("blk_1"))
    with served(home) as address, listening(address) as heard:
        looked(home, heard)
        put(home, "anomalies", anomaly("blk_2"), anomaly("blk_9", origin="aggregated_events"))
        _, kind, last, row = heard.get(timeout=LIMIT_S)
        assert (kind, row["item"], row["entity"], len(row["reason"])) == ("anomaly", "blk_2", "dn1", 300)
        with home.store.write() as con:  # judged again: the same verdicts
            con.execute("UPDATE anomalies SET scored_at = scored_at + INTERVAL 1 SECOND")
        put(home, "anomalies", anomaly("blk_3"))
        _, _, last, row = heard.get(timeout=LIMIT_S)
        assert row["item"] == "blk_3"
    put(home, "anomalies", *(anomaly(f"blk_{n}") for n in range(10, 60)))
    with served(home) as address, listening(address, last) as heard:
        _, kind, _, data = heard.get(timeout=LIMIT_S)
        assert kind == "skipped" and data["anomalies"] >= 50 - A_SECOND
        assert {heard.get(timeout=LIMIT_S)[1] for _ in range(A_SECOND)} == {"anomaly"}


def test_a_home_without_a_store_tells_its_first_anomalies(new_home: Callable[..., Home]) -> None:
    home = new_home(bare=True)
    with served(home) as address, listening(address) as heard:
        Path(home.settings.home).mkdir()
        put(home, "anomalies", anomaly("blk_2"))
        assert heard.get(timeout=LIMIT_S)[3]["item"] == "blk_2"


PLACES = st.builds(
    Place,
    st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)).map(lambda time: time.replace(microsecond=0)),  # noqa: DTZ001
    st.just("0123abcd"),
    st.integers(0, 10**15 - 1),
    st.sampled_from(["", "0123abcd"]),
    st.dictionaries(st.integers(0, 999), st.integers(0, 2**63 - 1), max_size=60),
)


@given(PLACES)
def test_an_id_tells_the_place_again(place: Place) -> None:
    assert Place.parse(str(place)) == place
    assert parse_id(f"{NOW.isoformat()}/abc;{place}") == (NOW, place)


@pytest.mark.parametrize(
    "text", ["x", "2026-01-02T00:00:00~~1", f"{SINCE}1-2.", f"{SINCE}1", "tomorrow, or~0123abcd.1~~", "~~~"]
)
def test_a_place_that_is_none_is_told_before_the_stream_begins(text: str, client: TestClient) -> None:
    with pytest.raises(UsageError):
        Place.parse(text)
    answer = client.get("/api/live", params={"events": "anomaly", "after": f"{NOW.isoformat()}/;{text}"})
    assert answer.status_code == 400 and "no id of an event" in answer.json()["detail"]
    assert client.get("/api/live", params={"events": "nothing"}).status_code == 422
