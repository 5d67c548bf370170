"""How fast an access log becomes requests with their endpoint groups, beside DuckDB's own line count of the same file.

Each run is a process of its own; the runs of one round follow each other, so that a busy machine slows all of them, and
the best round of each counts. The file was just written: all read it from the page cache.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from hdfs_pipeline.bench.peers import Watch, peak_mb
from hdfs_pipeline.bench.samples import machine
from hdfs_pipeline.errors import DataError

AIM: Final = 400_000
"""Lines a second, from file to Arrow batches, on two cores."""
ROUNDS: Final = 3
LABELS: Final = {
    "ours": "hdfs_pipeline: access log to requests",
    "read_csv": "DuckDB read_csv: count(*) of the lines",
    "read_fields": "DuckDB read_csv and a regular expression: the same fields",
}
_AGENTS: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "curl/8.5.0",
)
_SECTIONS: Final = ("blog", "api/v1/users", "products", "static/css", "images", "search", "docs/guide", "cart")
_ENDS: Final = ("", "/{}", "/{}/edit", "/site.css", "/logo-{}.png", "?q=word{}", "/page-{}.html", "/app.js")
_STATUSES: Final = (200, 200, 200, 200, 200, 200, 304, 301, 404, 500)
_PATTERN: Final = (
    r'^(\S+) \S+ (\S+) \[([^\]]+)\] "(\S+) ([^ ?"]*)\??([^ "]*) ?([^"]*)" (\d+) (\S+) "((?:[^"\\]|\\.)*)"'
    r' "((?:[^"\\]|\\.)*)"'
)
_FIELDS: Final = (
    "client",
    "account",
    "time",
    "method",
    "path",
    "query",
    "protocol",
    "status",
    "bytes",
    "referer",
    "agent",
)


def bench_web(
    path: Path | None = None, *, lines: int = 1_000_000, seed: int = 7, rounds: int = ROUNDS
) -> dict[str, Any]:
    """Measure access log to requests on `path` repeated to `lines` lines, or on a made-up log in Combined.

    What is timed: ours from the first byte to Arrow batches of schema `RECORDS`, with the endpoint groups (numba's
    compiled code lies on disk, written by a run before; loading it is not timed); DuckDB the count of lines, and
    the fields of each by a regular expression, whose columns it counts.

    Returns a JSON-able dict: the file, `runs` by contender (seconds, cpu_s, lines/s, MB/s of 10^6 bytes, peak_mb,
    `ratio`: our lines/s over its), `targets` and `machine`. Raises: DataError where nothing of it is an access line.
    """
    with tempfile.TemporaryDirectory(prefix="bench.") as folder:
        made = Path(folder) / "access.log"
        count = _repeated(path, lines, made) if path is not None else _made_up(lines, made, seed)
        size = made.stat().st_size
        small = Path(folder) / "head.log"
        with made.open("rb") as file:
            small.write_bytes(file.read(1 << 16).rpartition(b"\n")[0] + b"\n")
        if not _worker("ours", small)["good"]:  # compiles too, where nothing is compiled
            raise DataError(
                f"{path}: no line of its beginning is an access line; `web_format` takes a pattern of one's own"
            )
        tries: dict[str, list[dict[str, Any]]] = {name: [] for name in LABELS}
        for _ in range(rounds):
            for name in LABELS:
                tries[name].append(_worker(name, made))
    runs = {name: _best(each, count, size) for name, each in tries.items()}
    for run in runs.values():
        run["ratio"] = runs["ours"]["lines_per_s"] / run["lines_per_s"]
    speed = runs["ours"]["lines_per_s"]
    return {
        "sample": path.name if path is not None else "made-up log in Combined",
        "lines": count,
        "bytes": size,
        "good": tries["ours"][0]["good"],
        "endpoints": tries["ours"][0]["endpoints"],
        "rounds": rounds,
        "runs": runs,
        "targets": [{"what": "access lines/s, at least", "value": speed, "aim": AIM, "met": speed >= AIM}],
        "machine": machine(),
    }


def _repeated(path: Path, lines: int, target: Path) -> int:
    """Write a log (.gz and .zst too) so often that there are `lines` lines; how many there are."""
    from hdfs_pipeline.sources.files import LogFile

    data = b"".join(LogFile(path).chunks(1 << 20))
    if not data:
        raise DataError(f"{path}: nothing in it to measure on")
    data += b"\n" * (not data.endswith(b"\n"))
    repetitions = -(-lines // data.count(b"\n"))
    with target.open("wb") as file:
        for _ in range(repetitions):
            file.write(data)
    return repetitions * data.count(b"\n")


def _made_up(lines: int, target: Path, seed: int) -> int:
    """Write a log in Combined: ten requests a second of clients who ask for some hundred thousand addresses."""
    draw = np.random.default_rng(seed)
    with target.open("w") as file:
        for begin in range(0, lines, 10_000):
            n = min(10_000, lines - begin)
            drawn = draw.integers(0, 2**31, (n, 6)).tolist()
            file.writelines(_line(begin + row, *numbers) for row, numbers in enumerate(drawn))
    return lines


def _line(at: int, client: int, section: int, end: int, number: int, status: int, size: int) -> str:
    second = at // 10
    address = f"10.{client % 7}.{client // 7 % 256}.{client // 1792 % 256}"
    clock = f"{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}"
    path = f"/{_SECTIONS[section % len(_SECTIONS)]}{_ENDS[end % len(_ENDS)].format(number % 100_000)}"
    return (
        f"{address} - - [{1 + second // 86_400 % 30:02}/Nov/2026:{clock}"
        f' +0000] "GET {path} HTTP/1.1" {_STATUSES[status % len(_STATUSES)]} {size % 200_000}'
        f' "https://www.example.com/{_SECTIONS[number % len(_SECTIONS)]}" "{_AGENTS[client % len(_AGENTS)]}"\n'
    )


def _worker(name: str, path: Path) -> dict[str, Any]:
    code = "import sys; from hdfs_pipeline.bench import web; web.work(*sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, name, str(path)], cwd=path.parent, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise DataError(f"the benchmark of {LABELS[name]} failed: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout.splitlines()[-1])


def work(name: str, path: str) -> None:
    """Run one contender once in this process and print what it gave as JSON."""
    print("\n" + json.dumps({**_OWN[name](path), "peak_mb": peak_mb()}))


def _ours(path: str) -> dict[str, Any]:
    from hdfs_pipeline.domains.tally import Tally
    from hdfs_pipeline.domains.weblogs.formats import layouts_of
    from hdfs_pipeline.domains.weblogs.records import CHUNK_BYTES, AccessFormat, read_messages, split_records
    from hdfs_pipeline.sources.files import LogFile

    log_format = AccessFormat(layouts_of("auto"), "UTC")
    read_messages([b'::1 - - [30/Nov/2026:10:15:00 +0000] "GET / HTTP/1.1" 200 5'], log_format)  # loads compiled code
    watch, tally, groups = Watch(), Tally(), 0
    for batch in split_records(LogFile(Path(path)).chunks(CHUNK_BYTES), log_format, tally):
        groups = max(groups, len(batch["endpoint"].unique()))
    return {**watch.read(), "lines": tally.lines, "good": tally.layouts.total(), "endpoints": groups}


def _of_duckdb(path: str, query: str) -> dict[str, Any]:
    """Run a query over `{lines}`, which stands for a relation of the file's lines."""
    import duckdb

    from hdfs_pipeline.store.quoting import one_file

    lines = """read_csv(?, columns = {'line': 'VARCHAR'}, header = false, delim = '\x01', quote = '', escape = '',
        comment = '', auto_detect = false, strict_mode = false)"""
    watch = Watch()
    with duckdb.connect() as con:
        con.execute(query.replace("{lines}", lines), [one_file(path)]).fetchall()
    return watch.read()


def _read_csv(path: str) -> dict[str, Any]:
    return _of_duckdb(path, "SELECT count(*) FROM {lines}")


def _read_fields(path: str) -> dict[str, Any]:
    names = ", ".join(f"'{field}'" for field in _FIELDS)
    counts = ", ".join(f"count(fields.{field})" for field in _FIELDS)
    return _of_duckdb(
        path, f"SELECT {counts} FROM (SELECT regexp_extract(line, '{_PATTERN}', [{names}]) AS fields FROM {{lines}})"
    )


_OWN: Final[Mapping[str, Callable[[str], dict[str, Any]]]] = {
    "ours": _ours,
    "read_csv": _read_csv,
    "read_fields": _read_fields,
}


def _best(tries: list[dict[str, Any]], lines: int, size: int) -> dict[str, Any]:
    best = min(tries, key=lambda run: run["seconds"])
    return {
        **best,
        "lines": lines,
        "all_seconds": [run["seconds"] for run in tries],
        "lines_per_s": lines / best["seconds"],
        "mb_per_s": size / best["seconds"] / 1e6,
        "peak_mb": max(run["peak_mb"] for run in tries),
    }
