"""The stream worker as a process, on a broker: what goes in, what comes out, how it starts and ends."""

import json
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hdfs_pipeline.domains.blocks import wire
from hdfs_pipeline.domains.blocks.item import parse_block_id
from hdfs_pipeline.domains.blocks.topics import AGGREGATED_EVENTS, HDFS_LOGS, RAW_LOGS
from hdfs_pipeline.domains.champions import load_scorer
from hdfs_pipeline.learning.training import fit
from hdfs_pipeline.scoring.models import load_model, save_model
from hdfs_pipeline.sources.kafka import ANOMALIES, DEAD_LETTERS, producer
from hdfs_pipeline.streaming.worker import Worker
from hdfs_pipeline_tests.homes import BLOCKS, Home, fill
from hdfs_pipeline_tests.streaming.conftest import TODAY, read_topic, run_command, wait_for
from hdfs_pipeline_tests.streaming.workers import (
    batch_counts,
    batch_flagged,
    final_counts,
    flagged,
    settle_in,
    vectors,
    verdicts,
    wait_until_equal,
    worker,
)

pytestmark = pytest.mark.xdist_group("kafka")


@pytest.fixture
def home(broker: Home, trained: Home) -> Home:
    settle_in(broker, trained)
    return broker


def send(home: Home, topic: str, messages: list[tuple[bytes | None, bytes | None]]) -> None:
    client = producer(home.settings)
    for key, value in messages:
        client.produce(topic, value, key)
    assert client.flush(30) == 0


def test_the_stream_says_what_the_batch_says(home: Home, trained: Home, excerpt: Any) -> None:
    with worker(home) as first:
        assert run_command(home, "produce", "raw", str(excerpt.log)).returncode == 0
        wait_until_equal(home, trained)
        assert first.end() == 0
        assert "leaving the group" in first.log
    found = verdicts(home)
    assert {verdict.origin for verdict in found} == {AGGREGATED_EVENTS}
    assert {(verdict.detector, verdict.version) for verdict in found} == {("random_forest", 1), ("lifecycle", 0)}
    assert all(verdict.reason and (verdict.kind or verdict.status == "withdrawn") for verdict in found)
    assert flagged(found, "lifecycle") == batch_flagged(trained, "lifecycle")
    keys = {message.key().decode() for message in read_topic(home.settings, ANOMALIES)}  # compaction keeps each
    assert keys == {f"{verdict.item}/{verdict.detector}" for verdict in found}
    before = len(vectors(home))
    with worker(home) as second:  # all was committed: nothing is read again
        send(home, RAW_LOGS, [(None, b"nonsense")])
        wait_for(lambda: read_topic(home.settings, DEAD_LETTERS))
        assert second.end() == 0
    assert len(vectors(home)) == before


def test_a_fresh_home_is_judged_at_once_and_goes_on_so(broker: Home, today: list[Path]) -> None:
    """Nothing trained, no catalogue named, an empty topic; then a restart; then a model that was trained meanwhile."""
    settle_in(broker, None)
    read = fill(broker, today, TODAY / "labels.csv")
    known = read.main.source  # what the batch counts by
    (broker.settings.home / "catalogue").unlink()
    scorer, matrix = load_scorer(broker.settings, BLOCKS, "lifecycle"), read.matrix("rules")
    scores = dict(zip(matrix.keys.tolist(), scorer.score(matrix).tolist(), strict=True))
    cut = set(read.keys[read.unfinished != ""].tolist())  # a stream never knows that
    wanted = {block for block, score in scores.items() if score >= scorer.card.threshold} - cut
    assert len(wanted) > 30

    with worker(broker) as first, worker(broker, ready=""):
        assert run_command(broker, "produce", "raw", *map(str, today)).returncode == 0
        first.wait_for(f"counted by the catalogue {known}")
        wait_for(lambda: final_counts(vectors(broker)) == batch_counts(broker), what="the batch's counts")
        wait_for(lambda: flagged(verdicts(broker), "lifecycle") - cut == wanted, what="the batch's verdicts")
        assert first.end() == 0
    assert (broker.settings.home / "catalogue").read_text() == known
    found = verdicts(broker)
    assert {(verdict.detector, verdict.version) for verdict in found} == {("lifecycle", 0)}
    assert all(verdict.kind and verdict.reason and verdict.entity for verdict in found if verdict.status == "final")
    assert {verdict.entity for verdict in found} > {"dn1", "dn2", "dn3"}
    last = {parse_block_id(verdict.item): verdict.score for verdict in found}
    assert {block: last[block] for block in wanted} == {block: scores[block] for block in wanted}

    with worker(broker) as second:
        save_model(fit(read, BLOCKS, "random_forest", broker.settings), broker.settings)
        second.wait_for("now serving: random_forest version 1")
        assert run_command(broker, "produce", "raw", *map(str, today), "--fresh").returncode == 0

        def both() -> bool:
            return {verdict.detector for verdict in verdicts(broker)[len(found) :]} == {"random_forest", "lifecycle"}

        wait_for(both, what="verdicts of both detectors")
        assert "counted by" not in second.log
        assert second.end() == 0


def test_two_workers_share_and_one_takes_over(home: Home, trained: Home, excerpt: Any) -> None:
    with worker(home) as first, worker(home) as second:
        first.wait_for("taken over", 2)
        lines = excerpt.log.read_bytes().splitlines(keepends=True)
        half = home.settings.home / "half.log"
        half.write_bytes(b"".join(lines[: len(lines) // 2]))
        assert run_command(home, "produce", "raw", str(half)).returncode == 0
        assert second.end() == 0
        half.write_bytes(b"".join(lines[len(lines) // 2 :]))
        assert run_command(home, "produce", "raw", str(half)).returncode == 0
        wait_until_equal(home, trained)
        assert first.end() == 0


def test_stages_as_services_of_their_own(home: Home, trained: Home, excerpt: Any) -> None:
    with worker(home, "--to", AGGREGATED_EVENTS), worker(home, "--from", AGGREGATED_EVENTS):
        assert run_command(home, "produce", "raw", str(excerpt.log)).returncode == 0
        wait_until_equal(home, trained)


def test_feature_rows_are_judged(home: Home, trained: Home, tmp_path: Path) -> None:
    expected = batch_counts(trained)
    columns = [f"E{n}" for n in range(1, 30)]
    lines = [",".join(["BlockId", "Label", *columns])]
    for block, counts in expected.items():
        lines.append(",".join([f"blk_{block}", "Success", *(str(counts.get(name, 0)) for name in columns)]))
    table = tmp_path / "matrix.csv"
    table.write_text("\n".join(lines) + "\n")
    with worker(home, "--from", HDFS_LOGS):
        done = run_command(home, "produce", "features", str(table), "--batch", "100")
        assert done.returncode == 0, done.stderr
        wanted = batch_flagged(trained)
        wait_for(lambda: flagged(verdicts(home)) == wanted, what="verdicts on feature rows")
    assert {verdict.origin for verdict in verdicts(home)} == {HDFS_LOGS}


def test_a_new_champion_serves_without_a_restart(home: Home, trained: Home, excerpt: Any) -> None:
    from hdfs_pipeline.detectors import detector_row

    cls = detector_row("random_forest").cls
    with worker(home) as running:
        save_model(load_model(cls, home.settings, BLOCKS.name), home.settings)
        running.wait_for("now serving: random_forest version 2")
        champion = home.settings.models / BLOCKS.name / "random_forest" / "0002" / "card.json"
        save_model(load_model(cls, home.settings, BLOCKS.name), home.settings)
        running.wait_for("now serving: random_forest version 3")
        shutil.copytree(champion.parent, champion.parent.with_name("0004"))
        (champion.parent.with_name("0004") / "card.json").write_text("{")
        (home.settings.models / BLOCKS.name / "random_forest" / "champion").write_text("4")
        running.wait_for("the new model cannot be used, random_forest version 3 goes on serving")
        assert run_command(home, "produce", "raw", str(excerpt.log)).returncode == 0
        wait_until_equal(home, trained)
        assert running.log.count("cannot be used") == 1
    assert {verdict.version for verdict in verdicts(home) if verdict.detector == "random_forest"} == {3}


def test_what_is_no_record_and_what_has_no_key(home: Home, excerpt: Any) -> None:
    line = excerpt.log.read_bytes().splitlines()[0]
    without_block = b"081109 203518 143 INFO dfs.DataNode: nothing about a block"
    messages = [
        (None, line), (b"host1", line), (None, without_block), (b"blk_1", b"not a record"), (b"blk_1", None),
        (b"blk_1", b"x" * 5000), (b"blk_1", b'{"message": 5}'),
    ]  # fmt: skip
    settle = home.settings.home / "settings.toml"
    settle.write_text(settle.read_text() + "max_record_bytes = 4096\n")
    with worker(home) as running:
        send(home, RAW_LOGS, messages)
        letters = wait_for(lambda: len(found := read_topic(home.settings, DEAD_LETTERS)) == 4 and found)
        running.wait_for("unkeyed=2")
    found = [json.loads(message.value()) for message in letters]
    assert {letter["reason"].split(":")[0] for letter in found} == {
        "no log record", "no value", "longer than 4096 bytes", "JSON of no known shipper",
    }  # fmt: skip
    assert all(letter["topic"] == RAW_LOGS and len(letter["text"]) <= 1000 for letter in found)
    assert vectors(home) == []


def test_an_early_verdict_is_withdrawn_or_confirmed(home: Home, trained: Home, excerpt: Any) -> None:
    settle = home.settings.home / "settings.toml"
    settle.write_text(settle.read_text() + "stream_min_events = 4\n")
    with worker(home):
        assert run_command(home, "produce", "raw", str(excerpt.log), "--rate", "2000").returncode == 0
        wait_until_equal(home, trained)
    statuses = [verdict.status for verdict in verdicts(home)]
    assert statuses.count("provisional") > 0
    assert statuses.count("withdrawn") > 0


@pytest.mark.parametrize(("arguments", "code", "why"), [
    (("--from", "anomalies"), 2, "no stage leads from anomalies"),
    (("--detector", "autoencoder"), 5, "no autoencoder model"),
    (("--detector", "nonsense"), 2, "nonsense"),
])  # fmt: skip
def test_what_cannot_start_says_why(home: Home, arguments: tuple[str, ...], code: int, why: str) -> None:
    done = run_command(home, "stream", *arguments)
    assert done.returncode == code
    assert why in " ".join(done.stderr.split())


def test_without_a_broker(home: Home, trained: Home) -> None:
    (home.settings.home / "settings.toml").write_text('kafka_bootstrap_servers = "127.0.0.1:9"\n')
    home = Home(home.settings.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:9"}), home.store)
    began = time.monotonic()
    done = run_command(home, "stream")
    assert done.returncode == 3
    assert "broker" in done.stderr
    assert time.monotonic() - began < 40


def test_sigint_ends_it_as_well(home: Home) -> None:
    with worker(home) as running:
        assert running.end(signal.SIGINT) == 0


def test_an_unknown_catalogue_is_a_dead_letter(home: Home) -> None:
    good = wire.encode(wire.Vector(1, "other.v1", {"E1": 1}))
    with worker(home, "--from", HDFS_LOGS):
        send(home, HDFS_LOGS, [(b"blk_1", good), (b"blk_1", good.replace(b'"v":1', b'"v":7')), (None, None)])
        letters = wait_for(lambda: len(found := read_topic(home.settings, DEAD_LETTERS)) == 3 and found)
    reasons = sorted(json.loads(message.value())["reason"] for message in letters)
    assert [r.split(":")[0].split(";")[0] for r in reasons] == [
        "counted by the catalogue other.v1",
        "no value",
        "version 7",
    ]
    assert final_counts(vectors(home)) == {}


@pytest.mark.real_broker
def test_the_last_blocks_close_behind_the_mark_of_a_transaction(home: Home, tmp_path: Path) -> None:
    """As a router leaves it: the partition's end is no message."""
    sender = producer(home.settings, transactional_id=str(tmp_path))
    sender.init_transactions(60)
    line = b"081109 203518 143 INFO dfs.DataNode$DataXceiver: Receiving block blk_1 src: /a dest: /b"
    with worker(home) as running:
        sender.begin_transaction()
        sender.produce(RAW_LOGS, line, b"blk_1", partition=5)
        sender.commit_transaction(60)
        wait_for(lambda: vectors(home), what="the block is closed by the clock")
        assert running.end() == 0
    assert [(vector.lines, vector.closed_by) for vector in vectors(home)] == [(1, "quiet")]


class Client:
    """A consumer that brings what it was given, one list at each call; None stands for partitions that move."""

    def __init__(self, reader: Worker, *brings: list[str | None]) -> None:
        self.reader, self.brings = reader, list(brings)
        self.asked: list[tuple[int, float]] = []  # how many, and for how many seconds

    def consume(self, messages: int, wait_s: float) -> list[Any]:
        self.asked.append((messages, wait_s))
        brought = self.brings.pop(0) if self.brings else []
        self.reader._generation += brought.count(None)
        return [SimpleNamespace(error=lambda: None, text=text) for text in brought if text]


class Acknowledgements:
    """An outbox that lacks so many acknowledgements, of which each poll brings one."""

    def __init__(self, lacking: int) -> None:
        self.lacking = lacking

    @property
    def waits(self) -> bool:
        return self.lacking > 0

    def poll(self, _timeout_s: float) -> None:
        self.lacking -= 1


def gathering(*brings: list[str | None], gather_s: float = 0.0, lacking: int = 0) -> Worker:
    """A worker without a broker, which only gathers."""
    reader = object.__new__(Worker)
    reader._begun, reader._pause_s, reader._saved, reader._gather_s = 0.0, 0.0, 0, gather_s
    reader._generation, reader._failure, reader._consumer = 0, None, Client(reader, *brings)
    reader._outbox = Acknowledgements(lacking)
    return reader


@pytest.mark.parametrize(("saved", "waits"), [(0, True), (63, False)])
def test_few_messages_go_at_once_where_large_batches_have_paid_for_them(saved: int, waits: bool) -> None:
    reader = gathering(["a"], ["b"] * 99, gather_s=10.0)
    reader._begun, reader._saved = time.monotonic(), saved
    messages, _, _ = reader._gather()
    assert (len(messages), reader._saved) == (100, saved + 100 - 64)
    assert (reader._consumer.asked[1][1] > 0) == waits


def test_acknowledgements_are_taken_in_while_no_message_comes() -> None:
    reader = gathering([], [], [], ["a"], lacking=2)
    messages, _, _ = reader._gather()
    assert (len(messages), reader._outbox.lacking) == (0, 0)
    assert [wait > 0 for _, wait in reader._consumer.asked] == [False, False, True]


@pytest.mark.parametrize(
    ("brings", "kept"),
    [
        ([[None, "a"], ["b"]], ["a", "b"]),  # the call that takes partitions over brings their first message
        ([["a"], ["b"], [None, "c"], ["d"]], ["c", "d"]),  # the client delivers the others again
        ([["a"], [None]], []),
    ],
)
def test_a_batch_is_of_one_assignment(brings: list[list[str | None]], kept: list[str]) -> None:
    messages, gaps, _ = gathering(*brings)._gather()
    assert ([message.text for message in messages], gaps) == (kept, [])
