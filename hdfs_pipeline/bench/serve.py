"""How fast the server answers: one block, many, what many clients poll while a process writes, the live feed."""

import asyncio
import multiprocessing
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import numpy as np
import orjson
import pyarrow as pa

from hdfs_pipeline.bench.feed import embedded_broker, feed_times
from hdfs_pipeline.bench.samples import machine
from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.settings import PREFIX, Settings
from hdfs_pipeline.store.store import Store

CLIENTS: Final = 50
_ROUNDS: Final = 3
_WARM_UP: Final = 20
_PAUSE_S: Final = 0.2  # of the writer between two batches
_ROWS: Final = 1_000
_LIMIT_S: Final = 120.0
_ONE_MS, _MANY_PER_S, _LIST_MS, _PAGE_MS, _FEED_MS = 10.0, 3e5, 50.0, 200.0, 1e3
_LIST: Final = "/api/incidents"
_LINK: Final = re.compile(r'<li><a href="(/[a-z]*)"')
_ADDRESSES: Final = """SELECT '/incidents/' || (SELECT id FROM incidents ORDER BY items DESC, id LIMIT 1)
    UNION ALL SELECT '/items/' || domain || '/' || (SELECT item FROM anomalies WHERE domain = $domain LIMIT 1)
    FROM (SELECT $domain AS domain)"""
_ARROW: Final = "application/vnd.apache.arrow.stream"
_WRITE: Final = f"""INSERT INTO scores BY NAME SELECT 'bench' AS domain, '' AS entity, 'item' || i AS item,
    now() AS time, 'bench' AS detector, 0 AS version, 0 AS score, .5 AS threshold, false AS is_anomaly,
    now() AS scored_at, '' AS unfinished FROM range({_ROWS}) t(i)"""


def bench_serve(
    settings: Settings,
    *,
    seconds: float = 60.0,
    blocks: int = 300_000,
    calls: int = 1_000,
    clients: int = CLIENTS,
    verdicts: int = 100,
) -> dict[str, Any]:
    """Start the server on a copy of a home's store and measure it over REST.

    Args:
        settings: the home's; its blocks are what is sent to be judged.
        seconds: for which `clients` ask for the list of incidents, each again at once, while a process writes; and
            for as long again for pages, in turn.
        blocks: how many are judged in one request, drawn from the home's with replacement.
        calls: how many single blocks are judged, one request each.
        clients: connections at once.
        verdicts: how many are produced to an embedded broker, one after the other, while a process writes.

    Returns a JSON-able dict: `one_p50_ms`, `one_p99_ms`; `many_per_s`, best of three; `list_p50_ms`, `list_p95_ms`,
    `list_per_s`; `pages_p95_ms` by address; `errors` among these answers; `feed_p50_ms`, `feed_p95_ms` from producing
    a verdict to its event; `writes` committed meanwhile; `targets`; `machine`. Raises: DataError where the home has no
    blocks, SetupError where the server or the broker does not start.
    """
    store = Store.open(settings)
    domain = domain_named("blocks")
    matrix = domain.features(store, settings).main
    draw = np.random.default_rng(settings.seed)
    with _copied(settings, store) as home, embedded_broker(home), _served(home) as address:
        one = asyncio.run(_one(address, matrix, draw, calls))
        many_s = asyncio.run(_many(address, matrix, draw, blocks))
        with _written(home) as writes:
            polled, errors = asyncio.run(_polled(address, [_LIST], seconds, clients))
            pages, more_errors = asyncio.run(_polled(address, _pages(address, store), seconds, clients))
            own = settings.model_copy(update={"home": home, "kafka_bootstrap_servers": ""})
            feed = feed_times(own, domain, address, verdicts)
    times = polled[_LIST]
    result = {
        "home_blocks": len(matrix),
        "calls": calls,
        "one_p50_ms": float(np.percentile(one, 50)),
        "one_p99_ms": float(np.percentile(one, 99)),
        "blocks": blocks,
        "many_per_s": blocks / many_s,
        "clients": clients,
        "seconds": seconds,
        "list_p50_ms": float(np.percentile(times, 50)),
        "list_p95_ms": float(np.percentile(times, 95)),
        "list_per_s": len(times) / seconds,
        "pages_p95_ms": {path: float(np.percentile(took, 95)) for path, took in pages.items()},
        "errors": errors + more_errors,
        "verdicts": verdicts,
        "feed_p50_ms": float(np.percentile(feed, 50)),
        "feed_p95_ms": float(np.percentile(feed, 95)),
        "writes": writes.value,
        "machine": machine(),
    }
    return result | {"targets": _targets(result)}


@contextmanager
def _copied(settings: Settings, store: Store) -> Iterator[Path]:
    """A home with a copy of the store, to be written, and the models and catalogues of this one."""
    with TemporaryDirectory(prefix="bench") as folder:
        home = Path(folder)
        store.backup(home / store.path.name)
        for path in settings.home.resolve().iterdir():
            if not path.name.startswith(store.path.name) and path != settings.broker.resolve():
                (home / path.name).symlink_to(path)
        yield home


@contextmanager
def _served(home: Path) -> Iterator[str]:
    """The address of the home's server, a process of its own."""
    given = {"serve_port": "0", "serve_host": "127.0.0.1", "serve_tokens": "false", "kafka_bootstrap_servers": ""}
    process = subprocess.Popen(
        [sys.executable, "-m", "hdfs_pipeline", "--home", str(home), "serve"],
        env=os.environ | {f"{PREFIX}{name.upper()}": value for name, value in given.items()},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        if "http://" not in said:
            raise SetupError(f"the server did not start: {said.strip() or 'its messages stand above'}")
        yield said[said.index("http://") :].strip()
    finally:
        process.terminate()
        process.wait(_LIMIT_S)


@contextmanager
def _written(home: Path) -> Iterator["Synchronized[int]"]:
    """The number of batches that another process has written into the store so far."""
    context = multiprocessing.get_context("spawn")
    writes, begun, end = context.Value("q", 0), context.Event(), context.Event()
    process = context.Process(target=_write, args=(home, writes, begun, end))
    process.start()
    try:
        if not begun.wait(_LIMIT_S):
            raise SetupError("the process that writes did not start")
        yield writes
    finally:
        end.set()
        process.join(_LIMIT_S)


def _write(home: Path, writes: "Synchronized[int]", begun: Event, end: Event) -> None:
    store = Store(home / "hdfs.duckdb")
    while not end.wait(_PAUSE_S):
        with store.write() as con:
            con.execute(_WRITE)
        writes.value += 1
        begun.set()


class _Client:
    """One connection that asks again and again; httpx would take longer than the server."""

    def __init__(self, address: str) -> None:
        self._place = urlsplit(address)

    async def __aenter__(self) -> "_Client":
        self._reader, self._writer = await asyncio.open_connection(self._place.hostname, self._place.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> tuple[float, int]:
        """Seconds until the whole answer was there, and its status."""
        began = time.perf_counter()
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._place.netloc}\r\nContent-Type: {kind}\r\n"
        self._writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await self._writer.drain()
        lines = (await self._reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
        await self._reader.readexactly(length)
        return time.perf_counter() - began, int(lines[0].split()[1])


async def _one(address: str, matrix: FeatureMatrix, draw: np.random.Generator, calls: int) -> np.ndarray:
    """Milliseconds (calls,) of one block each."""
    rows = matrix.values[draw.integers(0, len(matrix), calls + _WARM_UP)].astype(int).tolist()
    times = []
    async with _Client(address) as client:
        for row in rows:
            counts = {name: n for name, n in zip(matrix.columns, row, strict=True) if n}
            body = {"vectors": [{"id": "blk_1", "counts": counts}], "catalogue": matrix.source}
            seconds, status = await client.ask("POST", "/api/score", orjson.dumps(body))
            _require(status)
            times.append(seconds * 1e3)
    return np.array(times[_WARM_UP:])


async def _many(address: str, matrix: FeatureMatrix, draw: np.random.Generator, blocks: int) -> float:
    """Seconds of the fastest request with so many blocks."""
    values = matrix.values[draw.integers(0, len(matrix), blocks)]
    kind = np.uint8 if values.max(initial=0) < 256 else np.int32
    table = pa.table({name: values[:, at].astype(kind) for at, name in enumerate(matrix.columns)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    path, body = f"/api/score/arrow?catalogue={matrix.source}", sink.getvalue().to_pybytes()
    async with _Client(address) as client:
        found = [await client.ask("POST", path, body, _ARROW) for _ in range(_ROUNDS)]
    for _, status in found:
        _require(status)
    return min(seconds for seconds, _ in found)


async def _polled(
    address: str, paths: Sequence[str], seconds: float, clients: int
) -> tuple[dict[str, list[float]], int]:
    """Milliseconds of each answer, by path, to clients that ask for them in turn, and how many answers were errors."""
    times: dict[str, list[float]] = {path: [] for path in paths}
    errors = 0
    end = time.perf_counter() + seconds

    async def poll(first: int) -> None:
        nonlocal errors
        async with _Client(address) as client:
            for path in islice(cycle(paths), first % len(paths), None):
                took, status = await client.ask("GET", path)
                times[path].append(took * 1e3)
                errors += status != 200
                if time.perf_counter() > end:
                    return

    await asyncio.gather(*(poll(number) for number in range(clients)))
    return {path: took for path, took in times.items() if took}, errors


def _pages(address: str, store: Store) -> list[str]:
    """The pages that the first one leads to, and where there are any those of an incident and of an anomalous item."""
    listed = _LINK.findall(httpx.get(address, timeout=_LIMIT_S).raise_for_status().text)
    with store.read() as con:
        found = con.execute(_ADDRESSES, {"domain": domain_named().name}).fetchall()
    return [*listed, *(path for (path,) in found if path)]


def _require(status: int) -> None:
    if status != 200:
        raise SetupError(f"the server answered {status}; its messages stand above")


def _below(value: float, aim: float) -> dict[str, Any]:
    return {"value": value, "aim": aim, "met": value < aim}


def _targets(result: dict[str, Any]) -> list[dict[str, Any]]:
    p99, speed, p95, errors = (result[name] for name in ("one_p99_ms", "many_per_s", "list_p95_ms", "errors"))
    pages = result["pages_p95_ms"]
    slowest = max(pages, key=pages.__getitem__)
    polled = f"GET {_LIST} by {result['clients']} clients while a process writes"
    feed = result["feed_p95_ms"]
    return [
        {"what": "ms for one block (p99), below", **_below(p99, _ONE_MS)},
        {"what": "blocks/s in one request, at least", "value": speed, "aim": _MANY_PER_S, "met": speed >= _MANY_PER_S},
        {"what": f"ms for {polled} (p95), below", **_below(p95, _LIST_MS)},
        {"what": f"ms for the slowest page ({slowest}) likewise (p95), below", **_below(pages[slowest], _PAGE_MS)},
        {"what": "errors among these", "value": errors, "aim": 0, "met": errors == 0},
        {"what": "ms from a verdict to its event (p95), below", "value": feed, "aim": _FEED_MS, "met": feed < _FEED_MS},
    ]
