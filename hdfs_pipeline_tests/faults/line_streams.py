"""Messages of access logs and application logs for the fault tests, and what stream and store say of them."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.applogs.simulate import message_lines
from hdfs_pipeline.domains.applogs.simulate import simulate as simulate_messages
from hdfs_pipeline.domains.champions import families, ready_detectors
from hdfs_pipeline.domains.weblogs.simulate import access_lines
from hdfs_pipeline.domains.weblogs.simulate import simulate as simulate_requests
from hdfs_pipeline.domains.weblogs.topics import REQUEST_WINDOWS
from hdfs_pipeline.domains.weblogs.window_wire import decode_windows
from hdfs_pipeline.learning.training import fit
from hdfs_pipeline.scoring.models import save_model
from hdfs_pipeline.sources.kafka import ANOMALIES
from hdfs_pipeline.sources.wire import Verdict, decode_verdict
from hdfs_pipeline.streaming.topics import item_readers
from hdfs_pipeline.verdicts.score import publish_anomalies, score_items
from hdfs_pipeline_tests.homes import Home, open_home
from hdfs_pipeline_tests.sinks.sink_worker import ingest
from hdfs_pipeline_tests.streaming.conftest import REAL, read_topic, wait_for

PARTS: Final = 50 if REAL else 4
BEGIN: Final = datetime(2026, 11, 26, 9, tzinfo=UTC)
UNFIT: Final = (b"no line that anything could be made of", b"\xff\xfe\x00", b"")
_COUNTS: Final = ("requests", "errors", "client_errors", "bytes", "clients", "timed", "p50_ms", "p95_ms")

Message = tuple[bytes | None, bytes | None, int]  # key, value, partition


@dataclass(frozen=True)
class Flow:
    """A domain of lines, its topic and its table."""

    domain: str
    topic: str
    table: str


WEB, APP = Flow("weblogs", "web_logs", "requests"), Flow("applogs", "app_logs", "app_logs")


def simulated(flow: Flow, chance: random.Random, rate: float = 1.5, late_s: float = 0.0) -> list[Message]:
    """An hour of records with faults, those of a service in one partition; some messages are no records.

    They come up to 20 s out of order, and every 50th so much later as `late_s` says.
    """
    about: dict[str, Any] = {"begin": BEGIN, "duration_s": 3600.0, "rate": rate, "anomalies": ["all"], "seed": 11}
    if flow is WEB:
        lines = [*access_lines(found := simulate_requests(**about).table)]
    else:
        lines = [*message_lines(found := simulate_messages(**about).table)]
    services = found["service"].to_pylist()
    come = [
        time.timestamp() + chance.uniform(0, 20) + (late_s if number % 50 == 7 else 0.0)
        for number, time in enumerate(found["time"].to_pylist())
    ]
    sent: list[Message] = []
    for number in sorted(range(len(lines)), key=come.__getitem__):
        key = services[number].encode()
        part = sum(key) % PARTS
        sent += [(key, lines[number], part)]
        if number % 97 == 0:
            sent += [(key, UNFIT[number % len(UNFIT)], part)]
    return sent


def store_all(home: Home, flow: Flow, messages: int) -> str:
    """Store the topic; every message is a row or a dead letter, once."""
    while ingest(home.store, home.settings, flow.topic).messages:
        pass
    rows = home.rows(f"SELECT count(*), count(DISTINCT (source_id, position)) FROM {flow.table}")[0]
    letters = home.rows("SELECT count(*), count(DISTINCT (source_id, position)) FROM dead_letters")[0]
    assert rows[0] == rows[1] and letters[0] == letters[1], "each once"
    assert rows[0] + letters[0] == messages
    assert home.rows(f"""SELECT count(*) FROM {flow.table} SEMI JOIN dead_letters USING (source_id, position)""") == [
        (0,)
    ]
    return f"{messages:,} messages = {rows[0]:,} rows + {letters[0]} dead letters"


def said_by_store(home: Home, name: str) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Verdicts of a batch over what is stored, by item and detector."""
    domain = domain_named(name)
    domain.derive(home.store, home.settings)
    for detector in ready_detectors(home.settings, domain):
        score_items(home.store, home.settings, domain, detector)
        publish_anomalies(home.store, home.settings, domain, detector)
    rows = home.rows(
        "SELECT item, detector, score, kind, reason, entity, first_time FROM anomalies WHERE domain = ?", name
    )
    return {row[:2]: (*row[2:6], row[6].astimezone(UTC)) for row in rows}


def said_by_stream(home: Home, name: str) -> dict[tuple[str, str], tuple[Any, ...]]:
    """The last word on each item of a domain, where it stands."""
    found: dict[tuple[str, str], Verdict] = {}
    for message in read_topic(home.settings, ANOMALIES):
        verdict = decode_verdict(message.value(), message.key(), item_readers())
        if verdict.domain == name:
            found[verdict.item, verdict.detector] = verdict
    return {
        key: (each.score, each.kind, each.reason, each.entity, each.first_time)
        for key, each in found.items()
        if each.status != "withdrawn"
    }


def windows_of_store(home: Home) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Windows with requests, by service, endpoint and minute."""
    domain_named("traffic").derive(home.store, home.settings)
    rows = home.rows(f"SELECT service, endpoint, minute, {', '.join(_COUNTS)} FROM request_windows WHERE requests > 0")
    return {(*row[:2], row[2].astimezone(UTC)): row[3:] for row in rows}


def windows_of_stream(home: Home) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The last word on each window, where it has requests."""
    found = {}
    for message in read_topic(home.settings, REQUEST_WINDOWS):
        for row in decode_windows(message.value())[0].to_pylist():
            found[row["service"], row["endpoint"], row["minute"]] = tuple(row[name] for name in _COUNTS)
    return {key: row for key, row in found.items() if row[0]}


def difference(one: dict[Any, Any], other: dict[Any, Any]) -> str:
    """What two say otherwise: how much, and some of it."""
    keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    some = "\n".join(f"{key}: {one.get(key)} | {other.get(key)}" for key in keys[:10])
    return f"{len(one)} and {len(other)}, {len(keys)} differ:\n{some}"


def until_equal(home: Home, ask: Callable[[Home], dict[Any, Any]], wanted: dict[Any, Any], limit_s: float) -> None:
    """Until the stream says what is wanted; tells the difference where it does not."""
    last: list[dict[Any, Any]] = [{}]

    def equal() -> bool:
        last[0] = ask(home)
        return {key: last[0].get(key) for key in wanted} == wanted

    try:
        wait_for(equal, limit_s)
    except AssertionError:
        logs = "\n".join(path.read_text(errors="replace")[-3000:] for path in home.settings.home.glob("worker.*.log"))
        raise AssertionError(f"{difference(last[0], wanted)}\n{logs}") from None


def reconcile(home: Home, flow: Flow, messages: int, limit_s: float = 120.0) -> str:
    """Rows and dead letters of a topic, and the verdicts and windows of its workers against those of the store."""
    told = store_all(home, flow, messages)
    wanted = said_by_store(home, flow.domain)
    assert wanted
    until_equal(home, lambda home: said_by_stream(home, flow.domain), wanted, limit_s)
    assert said_by_stream(home, flow.domain) == wanted, "no verdict more"
    told += f"; {len(wanted)} verdicts as those of the store"
    if flow is WEB:
        windows = windows_of_store(home)
        until_equal(home, windows_of_stream, windows, limit_s)
        told += f"; {len(windows)} windows as those of the store"
    return told


def learned(folder: Path) -> Home:
    """A home with templates and a model of messages, since rules alone find little in them."""
    home, domain = open_home(folder / "home"), domain_named(APP.domain)
    log = folder / "messages.jsonl"
    log.write_bytes(b"\n".join(value or b"" for _, value, _ in simulated(APP, random.Random(3))))
    domain.read(home.store, home.settings, [str(log)])
    domain.prepare(home.store, home.settings)
    detector = domain.default_detector
    data = domain.features(home.store, home.settings, families(domain, [detector]))
    save_model(fit(data, domain, detector, home.settings), home.settings)
    return home


def slices(messages: Sequence[Message], count: int) -> list[list[Message]]:
    """Messages in so many pieces, in their order."""
    cuts = [len(messages) * at // count for at in range(count + 1)]
    return [[*messages[begin:end]] for begin, end in pairwise(cuts)]


def copies(home: Home, topic: str) -> int:
    """Messages of a topic that repeat the key of another one."""
    keys = Counter(message.key() for message in read_topic(home.settings, topic))
    return sum(keys.values()) - len(keys)
