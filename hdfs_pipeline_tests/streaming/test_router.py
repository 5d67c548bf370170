"""The router: shipped lines, mixed over hosts and files, become the records that a producer of files sends."""

import json
import random
import re
import signal
from collections import defaultdict
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from hdfs_pipeline.domains.blocks.joins import Bad, Joined, Joins
from hdfs_pipeline.domains.blocks.messages import Shipped
from hdfs_pipeline.domains.blocks.topics import RAW_LOGS, SHIPPED_LOGS
from hdfs_pipeline.sources.kafka import DEAD_LETTERS, consumer, is_embedded, producer
from hdfs_pipeline.streaming.router import Router
from hdfs_pipeline.streaming.send.logs import produce_logs
from hdfs_pipeline_tests.domains.blocks.formats import log_format
from hdfs_pipeline_tests.domains.blocks.test_replay import HEADS, head_of, line
from hdfs_pipeline_tests.homes import BLOCKS, Home
from hdfs_pipeline_tests.streaming.conftest import (
    LIMIT_S,
    embedded_home,
    headers,
    read_topic,
    running_broker,
    start_command,
    wait_for,
)

HOSTS = 5


def by_block(messages: list[Any]) -> dict[bytes | None, list[bytes]]:
    """Each block's records, in the order of its partition; those without a block in any order."""
    found: dict[bytes | None, list[bytes]] = defaultdict(list)
    for message in messages:
        found[message.key()].append(message.value())
    return {key: values if key else sorted(values) for key, values in found.items()}


def shipped(path: Path, host: str, text: str) -> bytes:
    """As Filebeat sends a line."""
    return json.dumps({"message": text, "host": {"name": host}, "log": {"file": {"path": str(path)}}}).encode()


def member(home: Home) -> Router:
    """A router whose place in the group is soon free: the embedded broker waits for those that have left."""
    return Router(home.settings, BLOCKS, session_timeout_ms=4000 if is_embedded(home.settings) else 6000)


def route_until(home: Home, condition: Any, limit_s: float = LIMIT_S) -> Router:
    router = member(home)
    try:
        wait_for(lambda: router.step() or condition(router), limit_s)
    finally:
        router.close()
    return router


@pytest.mark.parametrize("layout", HEADS)
def test_the_router_gives_what_a_producer_of_files_gives(layout: str, broker: Home, tmp_path: Path) -> None:
    """Each block's records lie in one file, and the files' lines are shuffled between each other."""
    text = head_of(HEADS[layout], tmp_path, 3000).read_text()
    paths = [tmp_path / "apart" / f"hadoop-hdfs-datanode-host-{number}.log" for number in range(HOSTS)]
    files: list[list[str]] = [[] for _ in paths]
    at = 0
    for row in text.splitlines():
        if row[:6].replace("-", "").isdecimal():  # a record's first line: its file is its block's
            found = re.search(r"blk_-?(\d+)", row)
            at = int(found[1]) % HOSTS if found else at
        files[at].append(row)
    paths[0].parent.mkdir()
    for path, rows in zip(paths, files, strict=True):
        path.write_text("".join(f"{row}\n" for row in rows))
    # A home of its own on the embedded broker says what is right.
    apart = embedded_home(tmp_path / "wanted")
    with running_broker(apart):
        produce_logs(apart.settings, BLOCKS, [str(path) for path in paths], stopped=Event())
        wanted = read_topic(apart.settings, RAW_LOGS)

    draw, sender = random.Random(7), producer(broker.settings)
    left = {number: iter(rows) for number, rows in enumerate(files)}
    while left:
        number = draw.choice(list(left))
        row = next(left[number], None)
        if row is None:
            del left[number]
            continue
        path = Path("/var/log") / paths[number].name
        # One half of the hosts shares a key, hence a partition; the others have their own.
        key = b"all" if number % 2 else f"host-{number}".encode()
        sender.produce(SHIPPED_LOGS, shipped(path, f"host-{number}", row), key)
        sender.poll(0)
    assert sender.flush(30) == 0
    records = len({headers(message)["record"] for message in wanted})
    router = route_until(broker, lambda router: router.done.records >= records)
    messages = read_topic(broker.settings, RAW_LOGS)
    assert (router.done.records, router.done.copies) == (records, len(messages))
    assert by_block(messages) == by_block(wanted)
    assert {headers(m)["daemon"] for m in messages} == {"datanode"}
    assert {headers(m)["host"] for m in messages} == {f"host-{number}" for number in range(HOSTS)}
    assert len({headers(m)["record"] for m in messages}) == records
    assert read_topic(broker.settings, DEAD_LETTERS) == []


POISON: dict[str, tuple[bytes | None, str]] = {
    "no value": (None, "no value"),
    "too long": (b"x" * 5000, "longer than 4096 bytes"),
    "broken json": (b'{"message": ', "JSON"),
    "no line": (b'{"level": 3}', "JSON of no known shipper"),
    "no number of lines": (b'{"message": 7}', "JSON of no known shipper"),
    "no head": (b"what is this", "no log record"),
    "not text": (b"\xff\xfe\x00blk_1", "no log record"),
    "no day": (b"081399 203615 148 INFO dfs.A: blk_1", "no log record"),
    "no message": (b"081109 203615 148 INFO dfs.A blk_1", "no log record"),
    "half a surrogate": (b'{"message": "x", "host": "\\ud800", "file": "/a\\udfff"}', "no log record"),
    "deep": (b"{" + b'"a":{' * 600, "JSON"),
}


def test_poison_becomes_dead_letters_and_does_no_harm(broker: Home) -> None:
    settings = broker.settings.model_copy(update={"max_record_bytes": 4096})
    sender = producer(settings)
    good = line(1, "blk_7 is good").strip().encode()
    for value, _ in POISON.values():
        sender.produce(SHIPPED_LOGS, value, partition=11)
    sender.produce(SHIPPED_LOGS, good, partition=11)
    assert sender.flush(30) == 0
    home = Home(settings, broker.store)
    route_until(home, lambda router: router.done.dead_letters >= len(POISON) and router.done.records)
    letters = [json.loads(message.value()) for message in read_topic(settings, DEAD_LETTERS)]
    reasons = {letter["offset"]: letter["reason"] for letter in letters}
    assert len(letters) == len(reasons) == len(POISON)
    for offset, (name, (_, why)) in enumerate(POISON.items()):
        assert why in reasons[offset], name
    assert {(letter["topic"], letter["partition"]) for letter in letters} == {(SHIPPED_LOGS, 11)}
    assert [m.value() for m in read_topic(settings, RAW_LOGS)] == [good]
    keys = {m.key() for m in read_topic(settings, DEAD_LETTERS)}
    assert b"shipped_logs/11/0" in keys


def test_a_record_that_is_open_at_the_end_is_read_again(broker: Home) -> None:
    """What has gone out does not go out again, though it stands behind an open record; nor do dead letters."""
    sender = producer(broker.settings)

    def send(host: str, text: str) -> None:
        sender.produce(SHIPPED_LOGS, shipped(Path("/x.log"), host, text), partition=0)
        assert sender.flush(30) == 0

    stamp = "081109 203615 148 INFO dfs.A:"
    send("a", f"{stamp} blk_1 begins")
    send("b", f"{stamp} blk_2 begins")
    send("c", "garbage")
    send("b", "\tgoes on")
    send("a", "\tgoes on")
    send("a", f"{stamp} blk_3 begins")  # closes a's first; b's is open, and a's second
    router = member(broker)
    wait_for(lambda: router.step() or router.done.records == 1)
    router.close()
    send("b", "\tand on")
    send("b", f"{stamp} blk_4 begins")
    route_until(broker, lambda router: router.done.records == 3)
    found = sorted(message.value().decode() for message in read_topic(broker.settings, RAW_LOGS))
    assert found == sorted(
        [
            f"{stamp} blk_1 begins\n\tgoes on",
            f"{stamp} blk_2 begins\n\tgoes on\n\tand on",
            f"{stamp} blk_3 begins",
            f"{stamp} blk_4 begins",
        ]
    )
    assert len(read_topic(broker.settings, DEAD_LETTERS)) == 1


def test_the_command_ends_on_a_signal(broker: Home) -> None:
    sender = producer(broker.settings)
    for number in range(30):
        sender.produce(SHIPPED_LOGS, line(number, f"blk_{number} done").encode())
    assert sender.flush(30) == 0
    with start_command(broker, "route", "--json") as process:
        wait_for(lambda: len(read_topic(broker.settings, RAW_LOGS)) == 30)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out) == {"messages": 30, "records": 30, "copies": 30, "dead_letters": 0}


@pytest.mark.real_broker
def test_a_killed_router_loses_and_doubles_nothing(broker: Home) -> None:
    sender = producer(broker.settings)
    for number in range(20_000):
        host = f"host-{number % 7}"
        sender.produce(SHIPPED_LOGS, shipped(Path("/x.log"), host, line(1, f"blk_{number} done")), host.encode())
        sender.poll(0)
    assert sender.flush(30) == 0
    for share in (1, 9000):
        with start_command(broker, "route") as process:
            wait_for(lambda: len(read_topic(broker.settings, RAW_LOGS)) >= share)  # noqa: B023 - used at once
            process.kill()
            process.wait(20)
    route_until(broker, lambda _: len(read_topic(broker.settings, RAW_LOGS)) >= 20_000, 120)
    keys = [message.key() for message in read_topic(broker.settings, RAW_LOGS)]
    assert sorted(keys) == sorted(b"blk_%d" % number for number in range(20_000))


def test_two_routers_share_the_work(broker: Home) -> None:
    first, second = member(broker), member(broker)
    sender = producer(broker.settings)
    try:
        wait_for(lambda: first.step() or second.step() or (len(first._shipping.partitions()) == 25))
        for number in range(200):
            sender.produce(SHIPPED_LOGS, line(1, f"blk_{number} done").encode(), partition=number % 50)
        assert sender.flush(30) == 0
        wait_for(lambda: first.step() or second.step() or first.done.records + second.done.records == 200)
        assert first.done.records and second.done.records
        found = len(read_topic(broker.settings, RAW_LOGS))
        assert found >= 200 and (found == 200 or is_embedded(broker.settings)), "only there some may come twice"
    finally:
        first.close()
        second.close()


def whole(joins: Joins) -> list[tuple[int, bytes]]:
    return [(record.offset, record.text) for record in joins.whole()]


def test_joins_hold_no_more_than_their_bytes() -> None:
    joins, offsets = Joins(log_format(), max_record_bytes=1000, max_bytes=50_000, quiet_s=1000), count()
    joins.assigned(0, 0)
    gone: list[Joined] = []
    for number in range(500):
        text = f"081109 203615 148 INFO dfs.A: blk_{number} {'x' * 500}".encode()
        assert joins.add(0, next(offsets), Shipped(text, f"host-{number}", "/a.log")) == []
        gone += joins.whole()
    assert len(gone) > 400
    assert [record.offset for record in gone] == list(range(len(gone)))
    assert joins.position(0) == (len(gone), 500)


def test_a_record_that_grows_too_long_is_told_once() -> None:
    joins = Joins(log_format(), max_record_bytes=1000, quiet_s=0)
    joins.assigned(0, 0)
    joins.add(0, 0, Shipped(b"081109 203615 148 INFO dfs.A: blk_1", "a", "/a.log"))
    for offset in range(1, 100):
        assert joins.add(0, offset, Shipped(b"\t" + b"x" * 100, "a", "/a.log")) == []
    (record,) = joins.whole()
    assert record.too_long and len(record.text) <= 1000


def test_lines_of_a_message_are_records_each() -> None:
    joins = Joins(log_format(), max_record_bytes=1000, quiet_s=0)
    joins.assigned(0, 0)
    head = b"081109 203615 148 INFO dfs.A: "
    joins.add(0, 0, Shipped(head + b"one\n\tmore\n" + head + b"two\n", path="/a.log"))
    joins.add(0, 1, Shipped(b"\tmore of two\n" + head + b"three", path="/a.log"))
    records = list(joins.whole())
    assert [record.text for record in records] == [
        head + b"one\n\tmore",
        head + b"two\n\tmore of two",
        head + b"three",
    ]
    assert [record.record_id for record in records] == ["0/0", "0/0#2", "0/1"]


def test_what_was_told_before_a_restart_is_not_told_again() -> None:
    joins = Joins(log_format(), max_record_bytes=1000, quiet_s=1000)
    joins.assigned(0, 5, until=8)
    assert joins.add(0, 5, Shipped(b"of a record that has gone out")) == []
    assert joins.refuse(Bad(0, 7, "no value", b"")) == []
    assert joins.refuse(Bad(0, 8, "no value", b"")) != []
    assert joins.position(0) == (9, 9)


def test_a_partition_that_goes_takes_its_records_along() -> None:
    joins = Joins(log_format(), max_record_bytes=1000, quiet_s=0)
    joins.assigned(0, 0)
    joins.add(0, 0, Shipped(b"081109 203615 148 INFO dfs.A: blk_1"))
    joins.revoked(0)
    assert whole(joins) == [] and joins.partitions() == []


def test_the_groups_progress_is_committed(broker: Home) -> None:
    from confluent_kafka import TopicPartition

    sender = producer(broker.settings)
    for number in range(10):
        sender.produce(SHIPPED_LOGS, line(number, f"blk_{number} done").encode(), partition=2)
    assert sender.flush(30) == 0
    route_until(broker, lambda router: router.done.records == 10)
    group = consumer(broker.settings, group_id=f"{broker.settings.stream_group}.route")
    assert group.committed([TopicPartition(SHIPPED_LOGS, 2)], timeout=20)[0].offset == 10
    group.close()
