"""Messages on their way to counts: bad ones among good ones, hosts with wrong clocks, hours that come twice."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from hdfs_pipeline.domains.blocks import group
from hdfs_pipeline.domains.blocks.catalogue import catalogues
from hdfs_pipeline.domains.blocks.group import Grouping
from hdfs_pipeline.domains.contract import Batch
from hdfs_pipeline.settings import load_settings
from hdfs_pipeline_tests.streaming.test_stream_equals_batch import Sent

START = datetime(2008, 11, 9, 20, 35, 18)  # noqa: DTZ001 - as daemons write times


def line(time: datetime, block: int = 1) -> bytes:
    text = f"143 INFO dfs.DataNode$DataXceiver: Receiving block blk_{block} src: /a dest: /b"
    return f"{time:%y%m%d %H%M%S} {text}".encode()


def grouping(**more: Any) -> Grouping:
    return Grouping(load_settings().model_copy(update=more), catalogues()["hdfs_v1.v1"], 50)


def add(found: Grouping, messages: list[Sent]) -> list[tuple[int, str]]:
    partition = np.array([message.partition() for message in messages], np.int32)
    offset = np.array([message.offset() for message in messages], np.int64)
    return found.add(Batch(messages, partition, offset), 0.0)[1]


def of_hosts(leads: dict[str, float], count: int = 40, start: datetime = START) -> list[Sent]:
    """So many records of one partition, a second apart, by hosts in turn, each with its clock."""
    names = list(leads)
    times = [start + timedelta(seconds=at + leads[names[at % len(names)]]) for at in range(count)]
    return [Sent(line(time), 1, at, names[at % len(names)]) for at, time in enumerate(times)]


EVENTS = {
    "routine": "143 INFO dfs.DataNode$DataXceiver: Receiving block blk_1 src: /a dest: /b",
    "notable": "143 WARN dfs.DataNode$DataXceiver: 10.0.0.1:50010:Got exception while serving blk_1 to /10.0.0.2:",
    "failure": "143 INFO dfs.DataNode$DataXceiver: writeBlock blk_1 received exception java.io.EOFException",
}


@pytest.mark.parametrize(("sent", "host"), [
    ([("routine", "a"), ("routine", "b")], "a"),
    ([("routine", "a"), ("notable", "b"), ("notable", "c"), ("routine", "d")], "b"),
    ([("notable", "a"), ("failure", "b"), ("failure", "c"), ("notable", "d")], "b"),
    ([("failure", ""), ("failure", "c")], ""),  # nobody knows who wrote the first one
    ([("routine", "a"), ("failure", "")], ""),
])  # fmt: skip
def test_a_vector_names_the_host_of_its_first_gravest_record(sent: list[tuple[str, str]], host: str) -> None:
    """Also where a successor has read back half of it, and where hosts have had numbers in another order."""
    messages = [
        Sent(f"{START:%y%m%d %H%M%S} {EVENTS[kind]}".encode(), 1, at, name) for at, (kind, name) in enumerate(sent)
    ]
    found = grouping()
    found.begin(1, 0)
    assert add(found, messages) == []
    (vector,) = found.close_quiet(1e9, np.ones(50, bool)).vectors
    assert vector.host == host
    first, second = grouping(), grouping()
    for each in (first, second):
        each.begin(1, 0)
    add(first, messages[:1])
    (half,) = first.close_quiet(1e9, np.ones(50, bool)).vectors
    add(second, [Sent(line(START, 3), 3, 0, "z")])
    assert second.restore(half, 0) is not None
    add(second, messages[1:])
    assert [v.host for v in second.close_quiet(1e9, np.ones(50, bool)).vectors if v.block_id == 1] == [host]


def test_names_of_hosts_without_end_give_no_block_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "_HOSTS", 3)
    found = grouping()
    messages = [Sent(line(START, at), at, 0, f"pod{at}") for at in range(10)]
    assert add(found, messages) == []
    vectors = found.close_quiet(1e9, np.ones(50, bool)).vectors
    assert all(vector.host in ("", f"pod{vector.block_id}") for vector in vectors)
    assert any(vector.host for vector in vectors)


@pytest.mark.parametrize(("leads", "odd"), [
    ({"a": 0, "b": 0, "c": 0}, set()),
    ({"a": 0, "b": 90, "c": 0}, {"b"}),
    ({"a": 0, "b": 30, "c": -90}, set()),
    ({"a": 0, "b": 90}, {"b"}),
    ({"a": 90}, set()),  # the only one: by what should it be wrong?
    ({"a": 0, "b": 10**6, "c": 10**8, "d": 0, "e": 0}, {"b", "c"}),
])  # fmt: skip
def test_a_clock_far_ahead_of_other_hosts_is_told(leads: dict[str, float], odd: set[str]) -> None:
    found = grouping()
    assert add(found, of_hosts(leads)) == []
    clocks = found.odd_clocks({1: datetime(2026, 1, 1, tzinfo=UTC).timestamp()})
    assert clocks.keys() == odd
    assert all(abs(clocks[name] - leads[name]) < 30 for name in odd)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
def test_a_clock_ahead_of_the_broker_s_time_is_told(zone: str) -> None:
    found = grouping(log_timezone=zone)
    now = datetime.now(UTC)
    from zoneinfo import ZoneInfo

    local = now.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    add(found, of_hosts({"a": 300}, start=local))
    clocks = found.odd_clocks({1: now.timestamp()})
    assert clocks.keys() == {"a"} and 270 < clocks["a"] < 360
    add(found, [Sent(line(local), 1, 100 + at, "a") for at in range(64)])
    assert found.odd_clocks({1: now.timestamp()}) == {}


def test_whatever_one_message_raises_is_told_and_the_others_count(monkeypatch: pytest.MonkeyPatch) -> None:
    read = group.read_messages  # type: ignore[attr-defined]

    def breaks(values: list[bytes | None], *more: Any) -> Any:
        if b"breaks" in values:
            raise AttributeError("nobody thought of this")
        return read(values, *more)

    found = grouping()
    monkeypatch.setattr(group, "read_messages", breaks)
    messages = [*of_hosts({"a": 0}, 20), Sent(b"breaks", 1, 20), Sent(b"nonsense", 1, 21)]
    bad = add(found, [*messages, *(Sent(line(START), 1, 22 + at) for at in range(5))])
    assert [index for index, _ in bad] == [20, 21]
    assert "nobody thought of this" in bad[0][1] and "no log record" in bad[1][1]
    assert found.close_quiet(1e9, np.ones(50, bool)).vectors[0].lines == 25


def test_the_hour_that_comes_twice_has_the_batch_s_times() -> None:
    found = grouping(log_timezone="Europe/Berlin")
    night = datetime(2024, 10, 27, 2, 30)  # noqa: DTZ001
    add(found, [Sent(line(night), 1, 0)])
    (vector,) = found.close_quiet(1e9, np.ones(50, bool)).vectors
    assert vector.first_time == datetime(2024, 10, 27, 1, 30, tzinfo=UTC)
    again = grouping(log_timezone="Europe/Berlin")
    assert again.restore(vector, 0) is not None
    assert again.blocks.rows["first_time"][0] == vector.first_time.timestamp() * 1e6
