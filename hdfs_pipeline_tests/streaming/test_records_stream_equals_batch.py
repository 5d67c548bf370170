"""The same messages give the same requests, windows and verdicts in a worker and in the store."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.applogs.simulate import message_lines
from hdfs_pipeline.domains.applogs.simulate import simulate as simulate_messages
from hdfs_pipeline.domains.champions import families, ready_detectors
from hdfs_pipeline.domains.contract import Batch, Stage
from hdfs_pipeline.domains.course import Course
from hdfs_pipeline.domains.weblogs.simulate import access_lines
from hdfs_pipeline.domains.weblogs.simulate import simulate as simulate_requests
from hdfs_pipeline.domains.weblogs.window_wire import decode_windows
from hdfs_pipeline.learning.training import fit
from hdfs_pipeline.scoring.models import save_model
from hdfs_pipeline.sinks.topics import Life
from hdfs_pipeline.sources import ranges
from hdfs_pipeline.sources.wire import Verdict, decode_verdict
from hdfs_pipeline.streaming.topics import item_readers
from hdfs_pipeline.verdicts.score import publish_anomalies, score_items
from hdfs_pipeline_tests.homes import Home, open_home

pytestmark = pytest.mark.any_broker  # none is needed
LIFE = "4f1c"
PARTITIONS = 4
BEGIN = datetime(2026, 11, 26, 9, tzinfo=UTC)
LEARNING = {"weblogs": "request_kmeans", "applogs": "message_forest"}
UNFIT = (b"no line that anything could be made of", b"\xff\xfe\x00", b"")


@dataclass(frozen=True)
class Sent:
    """A message as `confluent_kafka.Message` tells of it."""

    of: str
    text: bytes
    service: str
    part: int
    place: int

    def topic(self) -> str:
        return self.of

    def value(self) -> bytes:
        return self.text

    def key(self) -> bytes:
        return self.service.encode()

    def partition(self) -> int:
        return self.part

    def offset(self) -> int:
        return self.place

    def headers(self) -> None:
        return None

    def __len__(self) -> int:
        return len(self.text)


@dataclass
class Out:
    """What a stage sends, by topic."""

    messages: dict[str, list[tuple[bytes, bytes]]] = field(default_factory=dict)

    def send(self, topic: str, key: bytes, value: bytes, partition: int, heard: Any = None) -> None:
        self.messages.setdefault(topic, []).append((key, value))


class Figures:
    """Counts dead letters."""

    def __init__(self) -> None:
        self.letters = 0

    def dead(self, messages: int) -> None:
        self.letters += messages

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def messages(domain: str, seed: int) -> list[Sent]:
    """An hour of simulated records with faults, those of a service in one partition; some messages are no records."""
    about = {"begin": BEGIN, "duration_s": 3600.0, "rate": 1.5, "anomalies": ["all"], "seed": seed}
    if domain == "weblogs":
        topic, table, lines = "web_logs", (found := simulate_requests(**about).table), access_lines(found)
    else:
        topic, table, lines = "app_logs", (found := simulate_messages(**about).table), message_lines(found)
    sent, places = [], [0] * PARTITIONS
    for number, (service, line) in enumerate(zip(table["service"].to_pylist(), lines, strict=True)):
        part = sum(service.encode()) % PARTITIONS
        for text in (line, UNFIT[number % len(UNFIT)]) if number % 97 == 0 else (line,):
            sent.append(Sent(topic, text, service, part, places[part]))
            places[part] += 1
    return sent


def sink(home: Home, domain: str, sent: Sequence[Sent], folder: Path) -> None:
    """The messages into the store, as a run that stores the topic does."""
    (topic,) = (each for each in domain_named(domain).topics if each.name == sent[0].topic())
    assert topic.sink is not None
    folder.mkdir()
    stage = topic.sink.open(home.store, home.settings, topic.name, Life(1, LIFE), folder)
    cuts = range(0, len(sent), 1500)
    stage.stage(
        ranges.Batch(list(own), [each.part for each in own], [each.place for each in own])
        for own in (sent[cut : cut + 1500] for cut in cuts)
    )
    with home.store.write() as con:
        stage.publish(con, again=False)


def said_by_batch(home: Home, name: str) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Verdicts by item and detector: score, kind, reason, entity, and when."""
    domain = domain_named(name)
    for detector in ready_detectors(home.settings, domain):
        score_items(home.store, home.settings, domain, detector)
        publish_anomalies(home.store, home.settings, domain, detector)
    rows = home.rows(
        "SELECT item, detector, score, kind, reason, entity, first_time FROM anomalies WHERE domain = ?", name
    )
    return {row[:2]: (*row[2:6], row[6].astimezone(UTC)) for row in rows}


def said_by_stream(out: Out) -> dict[tuple[str, str], tuple[Any, ...]]:
    found: dict[tuple[str, str], Verdict] = {}
    for key, value in out.messages.get("anomalies", []):
        verdict = decode_verdict(value, key, item_readers())
        found[verdict.item, verdict.detector] = verdict
    return {
        name: (each.score, each.kind, each.reason, each.entity, each.first_time)
        for name, each in found.items()
        if each.status == "final"
    }


def work(home: Home, name: str, begin: str) -> tuple[Stage, Out, Figures]:
    out, figures = Out(), Figures()
    domain = domain_named(name)
    about: Any = {"detector": None, "threshold": None, "outbox": out, "figures": figures}
    stage = domain.stage(home.settings, begin, "anomalies", **about)
    stage._life = LIFE  # type: ignore[attr-defined] - what `begin` asks the brokers for
    return stage, out, figures


def stream(home: Home, name: str, sent: Sequence[Sent], cuts: Sequence[int]) -> tuple[Out, Figures, Stage]:
    """What a worker says of the messages, which come in pieces of these sizes."""
    stage, out, figures = work(home, name, sent[0].topic())
    at, number = 0, 0
    while at < len(sent):
        own = sent[at : at + cuts[number % len(cuts)]]
        at, number = at + len(own), number + 1
        part = np.array([each.part for each in own], np.int32)
        offset = np.array([each.place for each in own], np.int64)
        stage.handle(Batch(list(own), part, offset), Course({}, 0.0, 0.0))
    return out, figures, stage


@pytest.fixture(scope="module", params=["weblogs", "applogs"])
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Home, list[Sent]]:
    """An hour of messages that the store has."""
    folder = tmp_path_factory.mktemp(request.param)
    home, sent = open_home(folder / "home", web_lateness_s=0.0), messages(request.param, 11)
    with home.store.write():  # makes the store
        pass
    sink(home, request.param, sent, folder / "staging")
    domain, learning = domain_named(request.param), LEARNING[request.param]
    domain.prepare(home.store, home.settings)
    data = domain.features(home.store, home.settings, families(domain, [learning]))
    save_model(fit(data, domain, learning, home.settings), home.settings)
    return request.param, home, sent


@settings(max_examples=4, deadline=None)
@given(cuts=st.lists(st.integers(1, 4000), min_size=1, max_size=4))
def test_verdicts_and_dead_letters_are_those_of_the_batch(
    stored: tuple[str, Home, list[Sent]], cuts: list[int]
) -> None:
    name, home, sent = stored
    batch = said_by_batch(home, name)
    assert len(batch) > 20
    out, figures, _ = stream(home, name, sent, [max(cut, 50) for cut in cuts])
    assert said_by_stream(out) == batch
    unfit = sum(each.value() in UNFIT for each in sent)
    assert figures.letters == unfit == home.rows("SELECT count(*) FROM dead_letters")[0][0]
    table = "requests" if name == "weblogs" else "app_logs"
    assert home.rows(f"SELECT count(*), count(DISTINCT position * 1000 + source_id) FROM {table}") == [
        (len(sent) - unfit,) * 2
    ]


@settings(max_examples=3, deadline=None)
@given(cuts=st.lists(st.integers(1, 3000), min_size=1, max_size=3))
def test_windows_and_their_verdicts_are_those_of_the_batch(
    stored: tuple[str, Home, list[Sent]], cuts: list[int]
) -> None:
    name, home, sent = stored
    if name != "weblogs":
        pytest.skip("windows are made of requests alone")
    domain_named("traffic").derive(home.store, home.settings)
    names = (
        "requests",
        "errors",
        "client_errors",
        "bytes",
        "clients",
        "timed",
        "mean_ms",
        "p50_ms",
        "p95_ms",
        "p99_ms",
    )
    rows = home.rows(f"SELECT service, endpoint, minute, {', '.join(names)} FROM request_windows")
    batch = {(*row[:2], row[2].astimezone(UTC)): row[3:] for row in rows}
    out, _, _ = stream(home, name, sent, [max(cut, 50) for cut in cuts])
    closed = [decode_windows(value) for _, value in out.messages["request_windows"]]
    assert {life for _, life in closed} == {LIFE}
    found = {
        (row["service"], row["endpoint"], row["minute"]): tuple(row[name] for name in names)
        for windows, _ in closed
        for row in windows.to_pylist()
    }
    assert len(found) > 100
    assert found == {key: batch[key] for key in found}, "the last minutes are open in the stream"
    judge, said, _ = work(home, "traffic", "request_windows")
    own = [
        Sent("request_windows", value, key.decode(), 0, at)
        for at, (key, value) in enumerate(out.messages["request_windows"])
    ]
    judge.handle(Batch(list(own), np.zeros(len(own), np.int32), np.arange(len(own))), Course({}, 0.0, 0.0))
    by_batch = {key: told[:3] for key, told in said_by_batch(home, "traffic").items()}
    by_stream = {key: told[:3] for key, told in said_by_stream(said).items()}
    assert by_stream == {key: told for key, told in by_batch.items() if key in by_stream}
    shown = {f"{minute:%Y-%m-%dT%H:%MZ} {service} {endpoint}" for service, endpoint, minute in found}
    assert {key for key in by_batch if key[0] in shown} == by_stream.keys()
