"""How soon the live feed tells of a verdict that somebody has produced."""

import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, Queue
from typing import Final
from urllib.parse import urlsplit

import numpy as np
import orjson

from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import PREFIX, Settings
from hdfs_pipeline.sources.kafka import ANOMALIES, producer
from hdfs_pipeline.sources.wire import Verdict, encode_verdict

_LIMIT_S: Final = 60.0
_PAUSE_S: Final = 0.06  # between two verdicts: a listener is told of twenty in a second, each at once


@contextmanager
def embedded_broker(home: Path) -> Iterator[None]:
    """The embedded broker of a home, a process of its own, once it answers. Raises: SetupError where it does not."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hdfs_pipeline", "--home", str(home), "broker", "--with-parent"],
        env=os.environ | {f"{PREFIX}KAFKA_BOOTSTRAP_SERVERS": ""},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise SetupError("the embedded broker did not start: its messages stand above")
        yield
    finally:
        process.terminate()
        process.wait(_LIMIT_S)


def feed_times(settings: Settings, domain: Domain, address: str, verdicts: int) -> np.ndarray:
    """Milliseconds (verdicts,) from producing a verdict to its event at a listener of the server at `address`."""
    heard: Queue[str] = Queue()
    place = urlsplit(address)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=_LIMIT_S)
    connection.request("GET", "/api/live?events=anomaly")
    answer = connection.getresponse()
    threading.Thread(target=_listen, args=(answer, heard), daemon=True).start()
    client = producer(settings, linger_ms=0)
    times, number = list[float](), 0
    deadline = time.monotonic() + _LIMIT_S
    while len(times) < verdicts:
        if time.monotonic() > deadline:
            raise SetupError("the feed told of no verdict: the server's messages stand above")
        item, number = domain.item.show(10**15 + number), number + 1
        began = time.perf_counter()
        client.produce(settings.topic(ANOMALIES), encode_verdict(_verdict(domain, item)), item.encode())
        client.poll(0)
        try:  # the first ones are sent until the server reads the topic
            while heard.get(timeout=_LIMIT_S if times else 1.0) != item:
                pass
        except Empty:
            continue
        times.append((time.perf_counter() - began) * 1e3)
        time.sleep(_PAUSE_S)
    client.flush(_LIMIT_S)
    return np.array(times)


def _listen(answer: http.client.HTTPResponse, heard: "Queue[str]") -> None:
    """Put the item of each event into a queue, until the server ends."""
    try:
        for line in answer:
            if line.startswith(b"data: "):
                heard.put(str(orjson.loads(line[6:]).get("item", "")))
    except (OSError, http.client.HTTPException):
        return


def _verdict(domain: Domain, item: str) -> Verdict:
    now = datetime.now(UTC)
    return Verdict(
        domain.name, item, "final", domain.day_one, version=0, score=1.0, threshold=0.5, reason="made up",
        explanation={}, lines=1, first_time=now, last_time=now, origin=domain.records_topic, partition=0,
        first_offset=0, last_offset=0, scored_at=now, kind="made up",
    )  # fmt: skip
