"""How a worker's stage comes to the catalogue that it counts by, and what becomes of open blocks when that changes."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdfs_pipeline.domains.blocks import first_look, wire
from hdfs_pipeline.domains.blocks.champion import Champion
from hdfs_pipeline.domains.blocks.kept_catalogue import keep_first, keep_label, kept_label
from hdfs_pipeline.domains.blocks.stage import RawStage, Sender, VectorStage
from hdfs_pipeline.domains.blocks.topics import AGGREGATED_EVENTS, HDFS_LOGS
from hdfs_pipeline.domains.blocks.wire import Vector
from hdfs_pipeline.domains.contract import Batch
from hdfs_pipeline.domains.course import Course
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import Settings, load_settings
from hdfs_pipeline.sources.kafka import ANOMALIES, DEAD_LETTERS
from hdfs_pipeline.streaming.metrics import Metrics
from hdfs_pipeline_tests.homes import BLOCKS, fill, open_home
from hdfs_pipeline_tests.sinks.sink_worker import embedded
from hdfs_pipeline_tests.streaming.test_stream_equals_batch import PARTITIONS, Sent, records

BLOCKLESS = b"081109 203518 13 INFO dfs.DataNode: nothing about a block"
OF_2008 = b"081109 203518 143 INFO dfs.DataNode$DataXceiver: Receiving block blk_1 src: /10.0.0.1:1 dest: /10.0.0.2:2"
STORED = (
    b"081109 203519 29 INFO dfs.FSNamesystem: BLOCK* NameSystem.addStoredBlock: blockMap updated: 10.0.0.1:50010 is "
    b"added to blk_1 size 67108864"
)


class Sink:
    """Keeps what a stage sends, as an outbox would send it."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []

    def send(
        self, topic: str, key: bytes, value: bytes, partition: int, heard: Callable[[int], None] | None = None
    ) -> None:
        self.sent.append((topic, value))
        if heard is not None:
            heard(len(self.sent) - 1)

    def of(self, topic: str) -> list[bytes]:
        return [value for name, value in self.sent if name == topic]

    @property
    def vectors(self) -> list[Vector]:
        return [wire.decode_vector(value) for value in self.of(AGGREGATED_EVENTS)]


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """A fresh home, with a broker to ask where topics end."""
    found = load_settings(tmp_path).model_copy(update={"kafka_bootstrap_servers": "", "lock_timeout_s": 20.0})
    with embedded(found, PARTITIONS):
        yield found


def raw_stage(settings: Settings, *, judges: bool = False) -> tuple[RawStage, Sink]:
    sink = Sink()
    champion = Champion(settings, BLOCKS) if judges else None
    stage = RawStage(settings, champion, Sender(sink, Metrics("raw_logs")), PARTITIONS, judges=judges)
    stage.begin(dict.fromkeys(range(PARTITIONS)), "life")
    return stage, sink


def batch(messages: Sequence[Sent]) -> Batch:
    partition = np.array([message.partition() for message in messages], np.int32)
    return Batch(list(messages), partition, np.array([message.offset() for message in messages], np.int64))


def course() -> Course:
    return Course({}, arrived=0.0, gathered=0.0)


def one_each(texts: Sequence[bytes], block: int = 1, start: int = 0) -> list[Sent]:
    return [Sent(text, block, start + at) for at, text in enumerate(texts)]


def no_one_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_look, "_PATIENCE_S", 0.0)


NOTHING = np.zeros(PARTITIONS, bool)
ALL = np.ones(PARTITIONS, bool)


@pytest.mark.parametrize(("layout", "name"), [("hdfs_v1", "hdfs_v1"), ("log4j", "hdfs_3")])
def test_the_first_records_show_the_catalogue_and_are_counted_by_it(
    settings: Settings, layout: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_one_waits(monkeypatch)
    stage, sink = raw_stage(settings)
    carrying = [row for row in records(layout) if row[2]][:400]
    sent = [Sent(text, blocks[0], at) for at, (_, text, blocks) in enumerate(carrying)]
    ends = np.full(PARTITIONS, 1000, np.int64)
    stage.handle(batch(one_each([BLOCKLESS, b"no record"])), course())
    assert stage.floors(ends).tolist() == ends.tolist() and len(sink.of(DEAD_LETTERS)) == 1
    assert not stage.tick(NOTHING), "nothing has shown the catalogue yet"
    stage.handle(batch(sent), course())
    assert (stage.floors(ends) == -1).all(), "nobody may commit what is not counted"
    assert stage.tick(NOTHING) and sink.vectors == []
    stage.begin(dict.fromkeys(range(PARTITIONS)), "life")
    stage.handle(batch(sent), course())
    assert not stage.tick(ALL)
    stage._publish(stage._grouping.close_quiet(1e9, ALL), None)
    assert {vector.catalogue.partition(".")[0] for vector in sink.vectors} == {name}
    assert sum(vector.lines for vector in sink.vectors) == len(sent)
    assert kept_label(settings) == sink.vectors[0].catalogue
    other, _ = raw_stage(settings)
    assert other._look is None, "a later worker has nothing to find out"


def test_a_few_records_are_waited_with_and_many_are_not(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_look, "_PATIENCE_S", 3600.0)
    monkeypatch.setattr(first_look, "ENOUGH", 5)
    stage, _ = raw_stage(settings)
    stage.handle(batch(one_each([OF_2008] * 4)), course())
    assert not stage.tick(NOTHING) and kept_label(settings) == ""
    stage.handle(batch(one_each([OF_2008], start=4)), course())
    assert stage.tick(NOTHING) and kept_label(settings) == "hdfs_v1.v1"


def test_all_workers_of_a_home_count_alike(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever each has seen: the first one decides. One that has seen nothing follows."""
    no_one_waits(monkeypatch)
    stages = [raw_stage(settings)[0] for _ in range(3)]
    stages[0].handle(batch(one_each([OF_2008])), course())
    carrying = [row for row in records("log4j") if row[2]][:100]
    today = [Sent(text, blocks[0], at) for at, (_, text, blocks) in enumerate(carrying)]
    stages[1].handle(batch(today), course())
    assert all(stage.tick(NOTHING) for stage in stages)
    for stage in stages:
        stage.begin({}, "life")
    assert {stage._grouping.catalogue.label for stage in stages} == {"hdfs_v1.v1"} == {kept_label(settings)}
    assert not any(stage.tick(NOTHING) for stage in stages)


def test_open_blocks_are_counted_again_where_the_catalogue_changes(settings: Settings) -> None:
    """As after files were read into the store, or a model took over that was trained by another catalogue."""
    keep_label(settings, "hdfs_3.v1")
    stage, sink = raw_stage(settings)
    stage.handle(batch(one_each([OF_2008, STORED])), course())
    keep_label(settings, "hdfs_v1.v1")
    assert stage.tick(NOTHING)
    assert stage.floors(np.full(PARTITIONS, 2, np.int64))[1] == 0, "the open block's records are needed again"
    stage.begin({1: None}, "life")
    stage.handle(batch(one_each([OF_2008, STORED])), course())
    assert not stage.tick(NOTHING)
    stage._publish(stage._grouping.close_quiet(1e9, ALL), None)
    (vector,) = sink.vectors
    assert (vector.catalogue, vector.lines, vector.counts) == ("hdfs_v1.v1", 2, {"E5": 1, "E26": 1})


def test_the_setting_names_the_catalogue_before_all_and_one_that_is_missing_is_told(settings: Settings) -> None:
    keep_label(settings, "hdfs_v1.v1")
    stage, _ = raw_stage(settings.model_copy(update={"catalogue": "hdfs_3.v1"}))
    assert stage._grouping.catalogue.label == "hdfs_3.v1"
    with pytest.raises(SetupError, match=r"no catalogue nonsense.v1.*HDFS_PIPELINE_CATALOGUE"):
        raw_stage(settings.model_copy(update={"catalogue": "nonsense.v1"}))


def test_what_reads_files_says_which_catalogue_workers_count_by(tmp_path: Path, excerpt: Any) -> None:
    home = open_home(tmp_path)
    keep_label(home.settings, "hdfs_3.v1")
    fill(home, [excerpt.log])
    assert kept_label(home.settings) == "hdfs_v1.v1"
    assert keep_first(home.settings, "hdfs_3.v1") == "hdfs_v1.v1"


def test_a_home_that_cannot_be_written_asks_for_the_setting(settings: Settings) -> None:
    (settings.home / "catalogue").mkdir()
    with pytest.raises(SetupError, match="delete it"):
        raw_stage(settings)
    (settings.home / "file").touch()
    with pytest.raises(SetupError, match="HDFS_PIPELINE_CATALOGUE=hdfs_v1.v1"):
        keep_first(settings.model_copy(update={"home": settings.home / "file"}), "hdfs_v1.v1")


def test_rows_of_several_catalogues_are_judged_where_nothing_was_learned(settings: Settings) -> None:
    sink, metrics = Sink(), Metrics(HDFS_LOGS)
    stage = VectorStage(settings, HDFS_LOGS, Champion(settings, BLOCKS), Sender(sink, metrics))
    lost = {"hdfs_v1.v1": {"E7": 1}, "hdfs_3.v1": {}, "other.v1": {"E1": 1}}
    rows = [Sent(wire.encode(Vector(at, label, counts)), at, at) for at, (label, counts) in enumerate(lost.items())]
    now = time.time()
    stage.handle(batch(rows), Course(dict.fromkeys(range(PARTITIONS), now - 3), arrived=now - 2, gathered=now))
    assert len(sink.of(DEAD_LETTERS)) == 1 and b"other.v1" in sink.of(DEAD_LETTERS)[0]
    (verdict,) = sink.of(ANOMALIES)
    assert b'"kind":"write failed"' in verdict and b'"detector":"lifecycle"' in verdict
    told = metrics.recent.take(1.0)
    parts = told["latency_parts_ms"]
    assert (parts["way"], parts["gather"]) == (pytest.approx(1000, abs=1), pytest.approx(2000, abs=1))
    assert sum(parts.values()) == pytest.approx(told["latency_p50_ms"], abs=1) and min(parts.values()) >= 0
