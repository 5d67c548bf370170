"""The same lines through files and through Kafka give the same vectors and verdicts, whatever happens on the way."""

import gzip
import heapq
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfs_pipeline.domains.blocks import wire
from hdfs_pipeline.domains.blocks.catalogue import catalogues
from hdfs_pipeline.domains.blocks.champion import FINAL, Champion, Counted
from hdfs_pipeline.domains.blocks.features import features
from hdfs_pipeline.domains.blocks.group import Grouping
from hdfs_pipeline.domains.blocks.item import parse_block_id
from hdfs_pipeline.domains.blocks.kernel import count_events
from hdfs_pipeline.domains.blocks.knowledge import knowledge_of
from hdfs_pipeline.domains.blocks.records import split_records
from hdfs_pipeline.domains.blocks.topics import AGGREGATED_EVENTS
from hdfs_pipeline.domains.blocks.wire import Vector
from hdfs_pipeline.domains.contract import Batch
from hdfs_pipeline.scoring.catalogue import Catalogue
from hdfs_pipeline.settings import PROJECT, Settings, load_settings
from hdfs_pipeline.sources.wire import Verdict
from hdfs_pipeline.verdicts.score import publish_anomalies, score_items
from hdfs_pipeline_tests.domains.blocks.formats import log_format
from hdfs_pipeline_tests.homes import BLOCKS, fill, open_home

pytestmark = pytest.mark.any_broker  # none is needed
SAMPLE = PROJECT / "data" / "sample"
PARTITIONS = 50
CATALOGUES = {"hdfs_v1": "hdfs_v1.v1", "log4j": "hdfs_3.v1"}
Counts = dict[int, dict[str, int]]


@dataclass(frozen=True)
class Sent:
    """A message as `confluent_kafka.Message` tells of it."""

    text: bytes
    block: int
    place: int
    host: str = ""

    def headers(self) -> list[tuple[str, bytes]]:
        return [("host", self.host.encode())] if self.host else []

    def topic(self) -> str:
        return "raw_logs"

    def value(self) -> bytes:
        return self.text

    def key(self) -> bytes:
        return wire.block_key(self.block)

    def partition(self) -> int:
        return self.block % PARTITIONS

    def offset(self) -> int:
        return self.place


def records(layout: str) -> list[tuple[str, bytes, list[int]]]:
    """Records of a sample: time stamp, text with continuation lines, block ids; merged by time."""
    files = (
        [(SAMPLE / "hdfs_v1" / "HDFS.log.gz", 6000)]
        if layout == "hdfs_v1"
        else [(path, 1500) for path in sorted((SAMPLE / "hdfs_3.4").glob("*.log.gz"))]
    )
    return list(heapq.merge(*(list(_records(path, lines, layout)) for path, lines in files), key=lambda row: row[0]))


def _records(path: Path, lines: int, layout: str) -> Any:
    head = len("081109 203518 " if layout == "hdfs_v1" else "2026-11-21 14:16:19,172 ")
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        text = list(islice(file, lines))
    starts = [at for at, line in enumerate(text) if line[:4].isdigit() and line[head - 1 : head] == b" "]
    whole = b"".join(text[starts[0] :])
    ids = [row for batch in split_records([whole], log_format()) for row in batch["block_ids"].to_pylist()]
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(text)], strict=True)):
        yield text[start][:head].decode(), b"".join(text[start:end]).rstrip(b"\n"), ids[number]


def batch_counts(rows: Sequence[tuple[str, bytes, list[int]]], layout: str, catalogue: Catalogue) -> Counts:
    data = b"\n".join(text for _, text, _ in rows) + b"\n"
    table = count_events([data], log_format(), catalogue, 1 << 20)
    names = catalogue.columns
    return {
        block: {names[at]: n for at, n in enumerate(row) if n}
        for block, row in zip(table["block_id"].to_pylist(), table["counts"].to_pylist(), strict=True)
    }


def final(vectors: Sequence[Vector]) -> Counts:
    """The last word on each block: vectors with the same first offset replace each other, others add up."""
    latest: dict[tuple[int, int], Vector] = {}
    for vector in vectors:
        name = vector.block_id, vector.first_offset
        if name not in latest or latest[name].last_offset <= vector.last_offset:
            latest[name] = vector
    found: dict[int, Counter[str]] = {}
    for vector in latest.values():
        found.setdefault(vector.block_id, Counter()).update(vector.counts)
    return {block: dict(counts) for block, counts in found.items()}


def shifted(text: bytes, seconds: int) -> bytes:
    """A record as a host writes it whose clock is ahead by so much."""
    size, form = (13, "%y%m%d %H%M%S") if text[4:5].isdigit() else (19, "%Y-%m-%d %H:%M:%S")
    time = datetime.strptime(text[:size].decode(), form) + timedelta(seconds=seconds)  # noqa: DTZ007 - as daemons do
    return time.strftime(form).encode() + text[size:]


class Broker:
    """What a broker keeps of a worker: the messages by partition, its vectors, and its commits with their notes."""

    def __init__(self, messages: Sequence[Sent]) -> None:
        self.topic: list[list[Sent]] = [[] for _ in range(PARTITIONS)]
        for message in messages:
            mine = self.topic[message.partition()]
            mine.append(replace(message, place=len(mine)))
        self.out: list[list[Vector]] = [[] for _ in range(PARTITIONS)]
        self.commits: dict[int, tuple[int, int]] = {}


class Reader:
    """A worker without Kafka: the stage's own `Grouping`, and the order of things that worker.py keeps."""

    def __init__(self, broker: Broker, catalogue: Catalogue, given_settings: Settings, mine: Sequence[int]) -> None:
        self.broker, self.mine = broker, list(mine)
        self.grouping = Grouping(given_settings, catalogue, PARTITIONS)
        self.positions = np.full(PARTITIONS, -1, np.int64)
        for part in self.mine:
            floor, memory = broker.commits.get(part, (0, 0))
            self.positions[part] = floor
            self.grouping.begin(part, len(broker.out[part]))
            for output in range(max(memory, 0), len(broker.out[part])):
                self.grouping.restore(broker.out[part][output], output)

    def read(self, sizes: dict[int, int]) -> None:
        messages: list[Sent] = []
        for part in self.mine:
            at = int(self.positions[part])
            messages += self.broker.topic[part][at : at + sizes.get(part, 0)]
        if messages:
            partition = np.array([message.partition() for message in messages], np.int32)
            offset = np.array([message.offset() for message in messages], np.int64)
            crowded, bad = self.grouping.add(Batch(messages, partition, offset), 0.0)
            assert bad == []
            for counted in crowded:
                self.publish(counted)
            np.maximum.at(self.positions, partition, offset + 1)
        self.publish(self.grouping.close())

    def publish(self, counted: Counted) -> None:
        for vector in counted.vectors:
            out = self.broker.out[vector.partition]
            out.append(vector)
            self.grouping.heard(vector, len(out) - 1)

    def commit(self) -> None:
        floors = self.grouping.blocks.floors(self.positions)
        for part in self.mine:
            self.broker.commits[part] = int(floors[part]), self.grouping.memory(part, int(floors[part]))

    def end(self) -> None:
        self.publish(self.grouping.close_quiet(1e9, np.ones(PARTITIONS, bool)))


@pytest.fixture(scope="module", params=["hdfs_v1", "log4j"])
def given_lines(request: pytest.FixtureRequest) -> Any:
    layout = request.param
    catalogue = catalogues()[CATALOGUES[layout]]
    rows = records(layout)
    return rows, catalogue, batch_counts(rows, layout, catalogue)


@settings(derandomize=True, deadline=None, max_examples=6)
@given(seed=st.integers(0, 10**6), crash=st.booleans(), idle_s=st.sampled_from([1.0, 60.0]))
def test_vectors_are_those_of_the_batch(given_lines: Any, seed: int, crash: bool, idle_s: float) -> None:
    rows, catalogue, expected = given_lines
    chance = random.Random(seed)
    # Out of order within a second, as shippers of several daemons are.
    order = sorted(range(len(rows)), key=lambda at: at + chance.uniform(0, 20))
    # One host's clock is wrong; of some senders' messages nobody says which host wrote them.
    lead_s, named = chance.choice([0, 0, 90, -90, 3600]), chance.random() < 0.8
    messages = []
    for at in order:
        host = f"dn{chance.randrange(5)}"
        text = shifted(rows[at][1], lead_s) if host == "dn1" else rows[at][1]
        messages += [Sent(text, block, 0, host if named else "") for block in rows[at][2]]
    tuned = load_settings().model_copy(
        update={"stream_idle_s": idle_s, "stream_max_events": chance.choice([5, 1000]), "stream_memory_mb": 8}
    )
    broker = Broker(messages)
    parts = list(range(PARTITIONS))
    chance.shuffle(parts)
    shares = [parts[at::3] for at in range(3)] if chance.random() < 0.5 else [parts]
    readers = [Reader(broker, catalogue, tuned, share) for share in shares]
    left = True
    while left:
        for at, reader in enumerate(readers):
            reader.read({part: chance.choice([0, 1, 7, 60, 400]) for part in reader.mine})
            if chance.random() < 0.3:
                reader.commit()
            if crash and chance.random() < 0.1:
                readers[at] = Reader(broker, catalogue, tuned, reader.mine)
        left = any(r.positions[p] < len(broker.topic[p]) for r in readers for p in r.mine)
    for reader in readers:
        reader.end()
    assert final([vector for out in broker.out for vector in out]) == expected


class Judge(Reader):
    """A reader whose champion judges what it publishes."""

    def __init__(self, broker: Broker, catalogue: Catalogue, given_settings: Settings, champion: Champion) -> None:
        super().__init__(broker, catalogue, given_settings, range(PARTITIONS))
        self.champion, self.verdicts = champion, dict[int, Verdict]()

    def publish(self, counted: Counted) -> None:
        super().publish(counted)
        for verdict in self.champion.judge(counted, self.grouping.catalogue, AGGREGATED_EVENTS):
            self.verdicts[parse_block_id(verdict.item)] = verdict


@pytest.mark.parametrize("layout", ["hdfs_v1", "log4j"])
def test_what_is_known_beforehand_says_the_same_of_whole_blocks(
    layout: str, excerpt: Any, today: list[Path], tmp_path: Path
) -> None:
    """Scores, flags and kinds of `lifecycle`. Of blocks that the records cut off a stream cannot know that."""
    files = [excerpt.log] if layout == "hdfs_v1" else today
    home = open_home(tmp_path / "home")
    data = fill(home, files)
    batch = {
        parse_block_id(row["item"]): row
        for row in score_items(home.store, home.settings, BLOCKS, "lifecycle").to_pylist()
    }
    publish_anomalies(home.store, home.settings, BLOCKS, "lifecycle")
    kinds = {parse_block_id(item): kind for item, kind in home.rows("SELECT item, kind FROM anomalies")}
    whole = {block for block, row in batch.items() if not row["unfinished"]}

    rows = sorted((row for path in files for row in _records(path, 10**9, layout)), key=lambda row: row[0])
    broker = Broker([Sent(text, block, 0) for _, text, blocks in rows for block in blocks])
    catalogue = catalogues()[data.main.source]
    judge = Judge(
        broker, catalogue, home.settings.model_copy(update={"stream_idle_s": 5.0}), Champion(home.settings, BLOCKS)
    )
    while any(judge.positions[part] < len(broker.topic[part]) for part in judge.mine):
        judge.read(dict.fromkeys(judge.mine, 50))
    judge.end()
    stream = {block: verdict for block, verdict in judge.verdicts.items() if verdict.status == FINAL and block in whole}
    flagged = {block for block in whole if batch[block]["is_anomaly"]}
    assert stream.keys() == flagged and len(flagged) > 10 and len(whole - flagged) > 10
    assert {block: verdict.score for block, verdict in stream.items()} == {b: batch[b]["score"] for b in flagged}
    assert {block: verdict.kind for block, verdict in stream.items()} == {block: kinds[block] for block in flagged}

    counts = final([vector for out in broker.out for vector in out])
    assert counts.keys() == batch.keys()
    values = np.array([[counts[block].get(name, 0) for name in catalogue.columns] for block in counts])
    none, knowledge = np.zeros(len(values)), knowledge_of(catalogue, home.settings)
    scores = judge.champion.scorer.score(features(np.array(list(counts)), values, none, catalogue, knowledge)["rules"])
    said = dict(zip(counts, scores.tolist(), strict=True))
    assert {block: said[block] for block in whole} == {block: batch[block]["score"] for block in whole}


def test_verdicts_are_those_of_the_batch(trained: Any, given_lines: Any) -> None:
    _, catalogue, expected = given_lines
    champion = Champion(trained.settings, BLOCKS, "random_forest")
    knowledge = knowledge_of(catalogue, trained.settings)
    if catalogue.label != champion.scorer.card.source:
        pytest.skip("the model of the tests was trained on the other layout")
    vectors = [
        Vector(block, catalogue.label, counts, partition=0, first_offset=0) for block, counts in expected.items()
    ]
    places = {name: at for at, name in enumerate(catalogue.columns)}
    counts = np.zeros((len(vectors), len(places)), np.int32)
    for at, vector in enumerate(vectors):
        counts[at, [places[name] for name in vector.counts]] = list(vector.counts.values())
    half = counts // 2
    early = champion.judge(Counted(vectors, half), catalogue, "aggregated_events")
    late = champion.judge(Counted(vectors, counts), catalogue, "aggregated_events")
    matrix = features(np.array(list(expected)), counts, np.zeros(len(counts)), catalogue, knowledge)["events"]
    scores = champion.scorer.score(matrix)
    flagged = {
        f"blk_{vector.block_id}" for vector, score in zip(vectors, scores, strict=True) if score >= champion.threshold
    }
    assert {verdict.item for verdict in late if verdict.status == FINAL} == flagged
    assert all(verdict.reason and verdict.explanation["differences"] for verdict in late if verdict.status == FINAL)
    withdrawn = {verdict.item for verdict in late if verdict.status == "withdrawn"}
    assert withdrawn == {verdict.item for verdict in early} - flagged


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_the_last_year_of_all_ends_no_worker(zone: str) -> None:
    messages = [Sent(b"2261-12-31 23:59:59,999 INFO a.B: Receiving blk_1", 1, 0)]
    broker = Broker(messages)
    reader = Reader(broker, catalogues()["hdfs_3.v1"], Settings(log_timezone=zone), range(PARTITIONS))
    reader.read(dict.fromkeys(range(PARTITIONS), 1))
    reader.end()
    (vector,) = [vector for out in broker.out for vector in out]
    assert vector.first_time is not None and vector.first_time.year in (2261, 2262)
