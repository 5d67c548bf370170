"""Poison in every topic: what cannot be used is told of once, and what stands around it comes through."""

import json
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

import pytest

from hdfs_pipeline.domains.blocks.topics import AGGREGATED_EVENTS, HDFS_LOGS, LABELS, RAW_LOGS, SHIPPED_LOGS
from hdfs_pipeline.domains.blocks.wire import Label, Vector, block_key, decode_vector, encode, parse_key
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.sources.kafka import ANOMALIES, DEAD_LETTERS, INCIDENTS
from hdfs_pipeline.sources.wire import Verdict, decode_verdict
from hdfs_pipeline.streaming.topics import all_topics, item_readers
from hdfs_pipeline_tests.faults.reconcile import send
from hdfs_pipeline_tests.faults.topics import configured
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.sinks.sink_worker import FEATURES, LABEL, STREAMED, TIME, VECTOR, VERDICT, encoded, ingest
from hdfs_pipeline_tests.sources.odd_messages import send_bomb, send_with_headers
from hdfs_pipeline_tests.streaming.conftest import REAL, read_topic, run_command, start_command, wait_for
from hdfs_pipeline_tests.streaming.workers import (
    batch_counts,
    batch_flagged,
    final_counts,
    flagged,
    verdicts,
    wait_until_equal,
    worker,
)

pytestmark = pytest.mark.faults

PARTS = (0, 7, 49)
# A real broker itself refuses messages without a key there.
COMPACTED = (AGGREGATED_EVENTS, ANOMALIES, INCIDENTS, LABELS)
ANY: list[tuple[bytes | None, bytes | None]] = [
    (b"blk_1", b"neither a line nor JSON"),
    (b"blk_1", b'{"v": 1'),
    (b"blk_1", b"[1]"),
    (b"blk_1", b"null"),
    (b"blk_1", b'{"v": 99, "block_id": "blk_4"}'),
    (b"blk_1", b'{"v": "1", "block_id": "blk_4"}'),
    (b"blk_1", b""),
    (b"blk_1", b"\xff\xfe\x00" * 10),
    (b"blk_1", b"[" * 100_000),
    (b"blk_1", b"x" * 5_000_000),
    (b"blk_1", None),
    (b"\xff\xfe", b"a key that is no text"),
    (b"", b"an empty key"),
    (None, b"no key"),
    (None, None),
]


def wrong_types(topic: str) -> list[tuple[bytes | None, bytes | None]]:
    """Messages that are well formed and say what cannot be."""
    if topic == LABELS:
        texts = [replaced(LABEL, label=7), replaced(LABEL, label="odd"), replaced(LABEL, block_id=8)]
    elif topic == ANOMALIES:
        texts = [
            replaced(VERDICT, status="odd"),
            replaced(VERDICT, score="high"),
            replaced(VERDICT, version=1.5),
            replaced(VERDICT, scored_at="yesterday"),
            replaced(VERDICT, lines=2**40),
            replaced(VERDICT, domain="odd"),
            replaced(VERDICT, item="odd"),
            replaced(VERDICT, last_offset=2**63),
        ]
    elif topic in (AGGREGATED_EVENTS, HDFS_LOGS):
        good = VECTOR if topic == AGGREGATED_EVENTS else FEATURES
        texts = [
            replaced(good, counts={"E5": -1}),
            replaced(good, counts={"E5": 2**31}),
            replaced(good, counts=[1]),
            replaced(good, lines="3"),
            replaced(good, first_time="2008-11-09T20:35:18"),
            replaced(good, block_id="blk_99999999999999999999"),
            replaced(good, catalogue=None),
        ]
    else:
        return []
    return [(b"blk_1", text) for text in texts]


def replaced(message: Vector | Verdict | Label, **fields: Any) -> bytes:
    return json.dumps(json.loads(encoded(message)) | fields).encode()


def poison(home: Home, topic: str) -> set[tuple[int, int]]:
    """Send all of it, into several partitions; where it stands."""
    messages = [(key, value, PARTS[at % 3]) for at, (key, value) in enumerate(ANY + wrong_types(topic))]
    messages.sort(key=lambda message: message[0] is None)
    keyless = [key for key, _, _ in messages].count(None)
    offsets = send(home, topic, messages[:-keyless])
    # Apart, since a broker that refuses one message refuses its batch.
    offsets += send(home, topic, messages[-keyless:])
    refused = keyless if REAL and topic in COMPACTED else 0
    assert offsets.count(-1) == refused and offsets[len(offsets) - refused :] == [-1] * refused
    return {(part, offset) for (_, _, part), offset in zip(messages, offsets, strict=True) if offset >= 0}


def told(home: Home) -> Counter[tuple[str, int, int]]:
    """Messages that were told of in `dead_letters`, how often; its own poison left out."""
    found: Counter[tuple[str, int, int]] = Counter()
    for message in read_topic(home.settings, DEAD_LETTERS):
        try:
            letter = json.loads(message.value() or b"")
            found[letter["topic"], letter["partition"], letter["offset"]] += 1
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return found


def usable(home: Home, topic: str, decode: Callable[[Any], Any], blocks: Collection[int]) -> list[Any]:
    """The messages of a topic about these blocks that can be decoded."""
    found = []
    for message in read_topic(home.settings, topic):
        with suppress(DataError):
            if parse_key((message.key() or b"").partition(b"/")[0]) in blocks:  # a verdict's names its detector too
                found.append(decode(message))
    return found


def vector_of(message: Any) -> Vector:
    return decode_vector(message.value())


def verdict_of(message: Any) -> Verdict:
    return decode_verdict(message.value(), message.key(), item_readers())


def test_poison_in_every_topic_harms_nothing(
    home: Home, trained: Home, excerpt: Any, reconciled: Callable[[str], None]
) -> None:
    with ExitStack() as stack:
        stack.enter_context(configured(home, [*all_topics()], "max.message.bytes", "20000000"))
        places = {topic: poison(home, topic) for topic in all_topics()}
        stack.enter_context(worker(home, "--to", AGGREGATED_EVENTS))
        stack.enter_context(worker(home, "--from", AGGREGATED_EVENTS))
        stack.enter_context(worker(home, "--from", HDFS_LOGS))
        stack.enter_context(start_command(home, "route"))
        counts = batch_counts(trained)
        expected = {
            (topic, *place)
            for topic in (RAW_LOGS, AGGREGATED_EVENTS, HDFS_LOGS, SHIPPED_LOGS)
            for place in places[topic]
        }
        lines = excerpt.log.read_bytes().splitlines(keepends=True)
        half = home.settings.home / "half.log"
        half.write_bytes(b"".join(lines[::2]))
        assert run_command(home, "produce", "raw", str(half)).returncode == 0
        send(home, SHIPPED_LOGS, [(b"host-1", line.rstrip(b"\n"), 7) for line in lines[1::2]])
        catalogue = "hdfs_v1.v1"
        rows = [(block, encode(Vector(block, catalogue, each))) for block, each in counts.items()]
        send(home, HDFS_LOGS, [(block_key(block), row, PARTS[block % 3]) for block, row in rows])
        labels = [(block, encode(Label(block, "normal"))) for block in counts]
        send(home, LABELS, [(block_key(block), label, PARTS[block % 3]) for block, label in labels])
        wait_for(lambda: told(home).keys() >= expected, what="all poison is told of")
        blocks, wanted = counts.keys(), batch_flagged(trained)
        wait_for(lambda: final_counts(usable(home, AGGREGATED_EVENTS, vector_of, blocks)) == counts)

        def found(origin: str) -> set[int]:
            return flagged([v for v in usable(home, ANOMALIES, verdict_of, blocks) if v.origin == origin])

        wait_for(lambda: found(AGGREGATED_EVENTS) == found(HDFS_LOGS) == wanted, what="verdicts of both stages")
        assert told(home) == Counter(expected), "each once, and nothing else"
        poison(home, RAW_LOGS)  # and once more, where good messages stand before
        more = {place: n for place, n in told(home).items() if place not in expected}
        wait_for(lambda: len(told(home)) == len(expected) + len(places[RAW_LOGS]), what=f"more poison, {more}")
        stored = [f"{topic} {store(home, topic, places[topic])}" for topic in STREAMED]
    assert home.rows("SELECT count(*) FROM labels") == [(len(counts),)]
    assert home.rows("SELECT count(*) FROM raw_logs") == [(len(lines),)]
    assert home.rows("SELECT count(*) FROM hdfs_logs") == [(len(counts),)]
    reconciled(
        f"{len(expected)} poisoned messages in 4 topics told of once each by 3 workers and the router, all "
        f"{len(lines):,} records and {len(counts)} feature rows came through; sinks buried: {', '.join(stored)}"
    )


def store(home: Home, topic: str, places: set[tuple[int, int]]) -> str:
    """Store a topic; its poison is in `dead_letters`, each once."""
    ingest(home.store, home.settings, topic)
    prefix = f"kafka:{topic}/"
    rows = home.rows("SELECT source, position FROM dead_letters WHERE starts_with(source, ?)", prefix)
    found = Counter((int(source.removeprefix(prefix)), position) for source, position in rows)
    assert set(found.values()) == {1}
    assert found.keys() >= places
    if topic != RAW_LOGS:  # which was poisoned twice
        assert found.keys() == places
    else:
        assert len(found) == 2 * len(places)
    return str(len(found))


MISPLACED: dict[str, dict[str, Any]] = {
    "another partition's": {"partition": 7777},
    "more lines than fit": {"lines": 2**40},
    "more alarms than fit": {"alarms": 2**40},
    "an offset beyond all": {"last_offset": 2**63},
    "a first offset beyond all": {"first_offset": 2**63 + 1},
    "no place": {"partition": -1},
    "the first year": {"first_time": "0001-01-01T00:00:00+14:00"},
    "the last year": {"last_time": "9999-12-31T23:59:59-14:00"},
}


@pytest.mark.parametrize("begin", [RAW_LOGS, AGGREGATED_EVENTS])
def test_vectors_that_cannot_be_ours_end_no_worker(home: Home, trained: Home, excerpt: Any, begin: str) -> None:
    """They are read by the stage that judges, and read back by the one that counts when it starts."""
    block = next(iter(batch_flagged(trained)))
    part = 11
    good = Vector(block, "hdfs_v1.v1", batch_counts(trained)[block], 20, 0, TIME, TIME, part, 0, 0, "idle")
    messages = [(block_key(block), replaced(good, **fields), part) for fields in MISPLACED.values()]
    send(home, RAW_LOGS, [(b"blk_1", b"no record", part)])  # so that the vectors do not lie beyond the end
    send(home, AGGREGATED_EVENTS, messages)
    with worker(home, "--from", begin) as running:
        other = replace(good, block_id=5, first_offset=1, last_offset=1)
        if begin == AGGREGATED_EVENTS:
            send(home, AGGREGATED_EVENTS, [(b"blk_5", encode(other), part)])
            wait_for(lambda: 5 in flagged(verdicts(home)) or running.process.poll() is not None)
        else:
            wait_for(lambda: told(home) or running.process.poll() is not None)
        assert running.end() == 0, running.log
        assert "Traceback" not in running.log


def test_batches_and_headers_that_no_client_can_decode_stop_nothing(
    home: Home, trained: Home, excerpt: Any, reconciled: Callable[[str], None]
) -> None:
    """Bombs of 90 MB in a few kilobytes, and a header whose name is no text."""
    lines = excerpt.log.read_bytes().splitlines(keepends=True)
    half = home.settings.home / "half.log"
    half.write_bytes(b"".join(lines[::2]))
    bombs = {(topic, part): n for topic in (RAW_LOGS, SHIPPED_LOGS) for part, n in ((7, 1), (8, 100))}
    starts: dict[tuple[str, int], int] = {}
    with ExitStack() as stack:
        stack.enter_context(worker(home))
        stack.enter_context(start_command(home, "route"))
        for (topic, part), count in bombs.items():
            (first,) = send(home, topic, [(b"blk_1", b"no record", part)])
            send_with_headers(home.settings, topic, part, b"blk_1", b"nor this", [(b"\xff\xfe", b"odd")])
            send_bomb(home.settings, topic, part, count)
            starts[topic, part] = first + 2
        assert run_command(home, "produce", "raw", str(half)).returncode == 0
        send(home, SHIPPED_LOGS, [(b"host-1", line.rstrip(b"\n"), 7 + at % 2) for at, line in enumerate(lines[1::2])])
        wait_until_equal(home, trained)
        expected = {
            (topic, part, at) for (topic, part), start in starts.items() for at in (start - 2, start - 1, start)
        }
        wait_for(lambda: told(home).keys() >= expected, what="all is told of")
    assert told(home) == Counter(expected), "each once, and nothing else"
    ingest(home.store, home.settings, RAW_LOGS)
    assert home.rows("SELECT part, from_offset, to_offset FROM stream_gaps ORDER BY ALL") == [
        (part, start, start + bombs[topic, part]) for (topic, part), start in starts.items() if topic == RAW_LOGS
    ]
    assert all("Decompression" in reason for (reason,) in home.rows("SELECT reason FROM stream_gaps"))
    assert home.rows("SELECT count(*) FROM raw_logs") == [(len(lines),)]
    reconciled(f"{len(bombs)} batches passed over and told of once, all {len(lines):,} records came through")
