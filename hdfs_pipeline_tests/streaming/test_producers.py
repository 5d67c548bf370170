"""What is sent arrives: every record, once for each block, in the partition where every Kafka client looks for it."""

import gzip
import json
import signal
import time
from collections import Counter, defaultdict
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from hdfs_pipeline.domains.blocks import wire
from hdfs_pipeline.domains.blocks.feature_rows import feature_messages, label_messages
from hdfs_pipeline.domains.blocks.file_names import writer
from hdfs_pipeline.domains.blocks.messages import read_messages
from hdfs_pipeline.domains.blocks.records import split_records
from hdfs_pipeline.domains.blocks.topics import HDFS_LOGS, LABELS, RAW_LOGS
from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.sources.kafka import client_config, consumer, explained, masked, producer
from hdfs_pipeline.streaming.send.logs import produce_logs
from hdfs_pipeline.streaming.send.pace import Pace, Throttle
from hdfs_pipeline.streaming.send.rows import produce_rows
from hdfs_pipeline_tests.domains.blocks.formats import log_format
from hdfs_pipeline_tests.domains.blocks.test_replay import HEADS, head_of, line
from hdfs_pipeline_tests.homes import BLOCKS, Home
from hdfs_pipeline_tests.streaming.conftest import headers, read_topic, run_command, start_command, wait_for

# From Kafka's own UtilsTest.testMurmur2.
MURMUR2 = {b"21": -973932308, b"foobar": -790332482, b"abc": 479470107, b"a-little-bit-long-string": -985981536}


def test_keys_lead_where_java_clients_look(embedded: Home) -> None:
    found: dict[bytes, int] = {}
    sender = producer(embedded.settings)
    for key in MURMUR2:
        sender.produce(LABELS, b"x", key, on_delivery=lambda _, m: found.update({m.key(): m.partition()}))
    assert sender.flush(30) == 0
    assert found == {key: (number & 0x7FFFFFFF) % 50 for key, number in MURMUR2.items()}


def rows_of(batch: Any) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "position"} for row in batch.to_pylist()]


@pytest.mark.parametrize("layout", HEADS)
def test_messages_read_back_are_the_records_of_the_file(layout: str, broker: Home, tmp_path: Path) -> None:
    path = head_of(HEADS[layout], tmp_path)
    report = produce_logs(broker.settings, BLOCKS, [str(path)], stopped=Event())
    assert (report.failures, report.too_long, report.interrupted) == (0, 0, False)
    wanted = [row for batch in split_records([path.read_bytes()], log_format()) for row in rows_of(batch)]
    messages = read_topic(broker.settings, RAW_LOGS)
    assert len(messages) == report.messages == sum(max(len(row["block_ids"]), 1) for row in wanted)

    by_id: dict[str, list[Any]] = defaultdict(list)
    for message in messages:
        by_id[headers(message)["record"]].append(message)
    assert len(by_id) == report.records == len(wanted)
    copies = [by_id[record] for record in sorted(by_id, key=lambda record: int(record.rsplit(":", 1)[1]))]
    values, limit = [group[0].value() for group in copies], broker.settings.max_record_bytes
    part, bad, shipped = read_messages(values, limit, log_format())
    assert (bad, shipped) == ([], {})
    assert rows_of(part.batch) == wanted

    for group, row in zip(copies, wanted, strict=True):
        assert len({message.value() for message in group}) == 1
        assert {message.key() for message in group} == {wire.block_key(b) for b in row["block_ids"]} or {None}
        assert {headers(message)["daemon"] for message in group} == {writer(path).daemon}
    partitions = defaultdict(set)
    for message in messages:
        partitions[message.key()].add(message.partition())
    assert all(len(parts) == 1 for key, parts in partitions.items() if key)
    order = [headers(m)["record"] for m in messages if m.partition() == messages[0].partition()]
    numbers = [int(record.rsplit(":", 1)[1]) for record in order]
    assert numbers == sorted(numbers)


def test_a_record_goes_to_each_of_its_blocks(broker: Home, tmp_path: Path) -> None:
    path = tmp_path / "hadoop-hdfs-namenode-host-1.example.log"
    path.write_text("no record blk_9\n" + line(1, "ask host-2 to delete blk_1 blk_-2 blk_1") + line(2, "nothing"))
    report = produce_logs(broker.settings, BLOCKS, [str(path)], stopped=Event())
    assert (report.records, report.messages) == (3, 4)
    messages = read_topic(broker.settings, RAW_LOGS)
    keys = Counter((headers(m)["record"].removeprefix(f"{path}:"), m.key()) for m in messages)
    assert keys == Counter([("1", None), ("2", b"blk_1"), ("2", b"blk_-2"), ("3", None)])
    for message in messages:
        assert headers(message)["host"] == "host-1.example" and headers(message)["daemon"] == "namenode"


def test_the_command_loops_until_it_is_told_to_end(broker: Home, tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text(line(1, "blk_1073741825 done") + line(2, "blk_1073741826 done"))
    with start_command(broker, "produce", "raw", str(path), "--loop", "--rate", "500", "--json") as process:
        wait_for(lambda: len(read_topic(broker.settings, RAW_LOGS)) >= 20)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    report = json.loads(out)
    messages = read_topic(broker.settings, RAW_LOGS)
    assert report["interrupted"] and report["failures"] == 0 and report["messages"] == len(messages)
    keys = [message.key() for message in messages]
    assert len(set(keys)) == len(keys), "every round has blocks of its own"
    assert report["rounds"] > 5


def test_a_rate_is_kept_smoothly(embedded: Home, tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("".join(line(number // 100, f"number {number}") for number in range(3000)))
    before = time.time()
    report = produce_logs(embedded.settings, BLOCKS, [str(path)], stopped=Event(), rate=1500.0)
    assert report.rate == pytest.approx(1500, rel=0.15)
    times = [m.timestamp()[1] / 1000 - before for m in read_topic(embedded.settings, RAW_LOGS)]
    mine = sorted(time for time in times if time > 0)
    assert len(mine) == 3000
    per_tenth = Counter(int((time - mine[0]) * 10) for time in mine)
    assert max(per_tenth.values()) < 600, "no burst of a second's records at once"


@pytest.mark.parametrize("rate", [3.0, 250.0, 40_000.0])
def test_a_pace_allows_no_more_than_its_rate(rate: float) -> None:
    pace, begun, count = Pace(Event(), lambda: None, rate, None), time.monotonic(), 0
    while time.monotonic() - begun < 1.0:
        pace.wait(0)
        count += 1
    assert count <= 1.15 * rate * (time.monotonic() - begun) + 2
    assert count >= 0.5 * rate


def test_speed_follows_the_records_times() -> None:
    pace, begun = Pace(Event(), lambda: None, None, 10.0), time.monotonic()
    for second in (100, 100, 102, 105):
        pace.wait(second * 1_000_000)
    assert 0.45 <= time.monotonic() - begun < 2.0


def test_a_sender_stays_behind_its_consumers(fresh_embedded: Home) -> None:
    """Nothing goes on while too much lies uncommitted, and it goes on as soon as the group commits."""
    from confluent_kafka import TopicPartition

    settings, stopped, said = fresh_embedded.settings, Event(), []
    group = consumer(settings, group_id=settings.stream_group, enable_auto_commit="false")
    sender = producer(settings)

    def fill(number: int) -> None:
        for _ in range(number):
            sender.produce(RAW_LOGS, b"x" * 1000, partition=3)
        assert sender.flush(30) == 0

    places = [TopicPartition(RAW_LOGS, part, 0) for part in range(50)]
    fill(6000)
    group.commit(offsets=[TopicPartition(RAW_LOGS, 3, 1)], asynchronous=False)
    waits = []

    def idle() -> None:
        waits.append(1)
        if len(waits) == 3:
            group.commit(offsets=[TopicPartition(RAW_LOGS, 3, 5000)], asynchronous=False)

    throttle = Throttle(settings, RAW_LOGS, settings.stream_group, stopped=stopped, idle=idle, say=said.append)
    throttle.after(50_000, 50_000_000)  # 1,000 bytes each: about 3,800 fit
    assert len(waits) >= 3 and not said
    assert group.committed(places[3:4], timeout=10)[0].offset == 5000
    throttle.close()

    nobody = Throttle(settings, RAW_LOGS, "nobody", stopped=stopped, idle=idle, say=said.append, newcomer_s=0.3)
    begun = time.monotonic()
    nobody.after(50_000, 50_000_000)
    nobody.after(100_000, 100_000_000)
    assert time.monotonic() - begun < 20, "it waits for a newcomer once"
    assert len(said) == 2 and "nobody" in said[0] and "drops the oldest" in said[1]
    nobody.close()
    group.close()


def test_what_does_not_fit_is_told(embedded: Home, tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text(line(1, "short") + line(2, "long" * 1000))
    small = embedded.settings.model_copy(update={"max_record_bytes": 2048})
    report = produce_logs(small, BLOCKS, [str(path)], stopped=Event())
    assert (report.records, report.messages, report.too_long) == (2, 1, 1)


def test_a_broker_that_goes_is_told(tmp_path: Path) -> None:
    from hdfs_pipeline_tests.streaming.conftest import embedded_home, running_broker

    home = embedded_home(tmp_path / "home")
    path = tmp_path / "x.log"
    path.write_text(line(1, "blk_1 done"))
    with running_broker(home):
        pass
    told = run_command(home, "produce", "raw", str(path))
    assert told.returncode == SetupError.exit_code and "hdfs-pipeline broker" in told.stderr


MATRIX = "BlockId,Label,Type,E1,E2,E30\nblk_-1608999687919862906,Fail,3,0,2,1\nblk_38,Success,,1,0,0\n"


@pytest.mark.parametrize("packed", [False, True])
def test_feature_rows_become_vectors(packed: bool, broker: Home, tmp_path: Path) -> None:
    path = tmp_path / ("matrix.csv.gz" if packed else "matrix.csv")
    path.write_bytes(gzip.compress(MATRIX.encode()) if packed else MATRIX.encode())
    rows = feature_messages(path, "hdfs_v1.v1", broker.settings)
    report = produce_rows(broker.settings, HDFS_LOGS, rows, stopped=Event(), batch=1, delay_s=0.01)
    assert (report.records, report.failures) == (2, 0)
    messages = read_topic(broker.settings, HDFS_LOGS)
    found = {message.key(): wire.decode_vector(message.value()) for message in messages}
    assert found == {
        b"blk_-1608999687919862906": wire.Vector(
            -1608999687919862906, "hdfs_v1.v1", {"E2": 2, "UNKNOWN": 1}, lines=3, label="anomaly"
        ),
        b"blk_38": wire.Vector(38, "hdfs_v1.v1", {"E1": 1}, lines=1, label="normal"),
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("BlockId,Label,E1\nblk_1,Success,1.5\n", "line 2: E1 is '1.5'"),
        ("BlockId,Label,E1\nblk_1,Perhaps,1\n", "line 2"),
        ("BlockId,Label,E1\nblk_1,Success\n", "line 2"),
        ("BlockId,Label\nblk_1,Success\n", "needs the columns"),
        ("", "needs the columns"),
    ],
)
def test_feature_rows_that_cannot_be_used_are_named(text: str, why: str, embedded: Home, tmp_path: Path) -> None:
    path = tmp_path / "matrix.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=why):
        list(feature_messages(path, "hdfs_v1.v1", embedded.settings))
    with pytest.raises(DataError, match=r"no catalogue 'nothing\.v1'"):
        list(feature_messages(path, "nothing.v1", embedded.settings))


def test_labels_become_messages(broker: Home, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("block_id,label,kind\nblk_1,anomaly,corrupt\n-2,normal,\n")
    assert produce_rows(broker.settings, LABELS, label_messages(path), stopped=Event()).messages == 2
    found = {message.key(): wire.decode_label(message.value()) for message in read_topic(broker.settings, LABELS)}
    assert found[b"blk_1"] == wire.Label(1, "anomaly", "corrupt")
    assert found[b"blk_-2"] == wire.Label(-2, "normal", "normal")


SECRETS = {"sasl.password": "hush-1", "ssl.key.password": "hush-2", "ssl.key.pem": "hush-3", "x.secret.y": "hush-4"}


def test_secrets_are_shown_nowhere(embedded: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = masked({**SECRETS, "sasl.username": "me"})
    assert shown["sasl.username"] == "me" and not any("hush" in value for value in shown.values())
    settings = embedded.settings.model_copy(update={"kafka": {**SECRETS, "security.protocol": "sasl_hush-1"}})
    for make in (producer, consumer):
        with pytest.raises(SetupError) as refused:
            make(settings, group_id="g") if make is consumer else make(settings)
        assert "hush" not in str(refused.value) and "setting `kafka`" in str(refused.value)
    assert "hush" not in str(explained(ValueError("bad: hush-2"), settings=settings))
    assert client_config(settings)["sasl.password"] == "hush-1", "the client itself needs them"
    assert "hush" not in repr(settings)


def test_the_settings_command_hides_secrets(tmp_path: Path) -> None:
    from hdfs_pipeline_tests.streaming.conftest import embedded_home

    home = embedded_home(tmp_path)
    text = "".join(f'"{name}" = "{value}"\n' for name, value in SECRETS.items())
    (tmp_path / "settings.toml").write_text(f"[kafka]\n{text}")
    for arguments in (["settings"], ["settings", "--json"]):
        told = run_command(home, *arguments)
        assert told.returncode == 0, told.stderr
        assert "hush" not in told.stdout + told.stderr
        assert "sasl.password" in told.stdout
