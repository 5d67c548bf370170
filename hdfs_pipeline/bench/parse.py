"""How fast a log file becomes an event matrix, beside DuckDB's own line count, LogLead, Drain3 and a naive script.

The same of the file packed by gzip, beside the line count of what gzip unpacks.

The file repeats a sample with fresh block ids, so that it has as many blocks as a log of its length. Every run is a
process of its own, so that its peak memory can be measured. The runs of one round follow each other, so that a busy
machine slows all of them; the best round of each contender counts. The file was just written: all read it from the page
cache.
"""

import json
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from hdfs_pipeline.bench.peers import Watch, peak_mb
from hdfs_pipeline.bench.samples import BenchFile, machine, make_file
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.catalogue import WILDCARD
from hdfs_pipeline.settings import PROJECT, Settings

PEERS: Final = PROJECT / ".venv-peers" / "bin" / "python"
"""Python of the peers' environment."""
NOT_MEASURED: Final = "not measured: run `make bench-peers`"
ROUNDS: Final = 3
LIMIT_S: Final = 20.0
"""Drain3 and the naive script are judged by their lines per second, from as many lines as they get through in it."""
_RUN_LIMIT_S = 1800.0
_PATTERNS: Final = "patterns.json"  # in the folder of a run
LABELS: Final = {
    "ours": "hdfs_pipeline: file to matrix",
    "read_csv": "DuckDB read_csv: count(*) of the lines",
    "ours_gz": "hdfs_pipeline: gzipped file to matrix",
    "gzip": "gzip -dc FILE | wc -l",
    "loglead_tip": "LogLead, tip: file to matrix",
    "loglead_drain": "LogLead, drain: file to matrix",
    "drain3": "Drain3: line to template, no matrix",
    "naive": "a naive Python script: file to counts per block",
}
_OF_PEERS: Final = ("loglead_tip", "loglead_drain", "drain3")  # those that need the peers' environment


def bench_parse(
    path: Path,
    *,
    lines: int = 2_000_000,
    peers: bool = True,
    settings: Settings,
    rounds: int = ROUNDS,
    limit_s: float = LIMIT_S,
    contenders: Collection[str] = tuple(LABELS),
) -> dict[str, Any]:
    """Measure file to matrix on `path` repeated to `lines` lines (see `bench.make_file`), and the peers on that file.

    What is timed in each: ours from the first byte to the table of counts per block (numba's compiled code lies
    on disk, written by a run before; loading it is not timed, as imports are not anywhere); DuckDB the count of lines;
    LogLead from loading to its sparse count matrix; Drain3 messages to templates, for `limit_s` of each round at most,
    its lines per second then standing for the whole file; so long too a script as most people write it, with a regular
    expression for each of our templates. LogLead's drain variant runs in the first round only. LogLead
    and Drain3 find templates, where we match known ones: they do more. LogLead uses only the first block of a line
    and Drain3 none: they do less. Peers that are not among `contenders` are left out.

    Returns a JSON-able dict: the file, `runs` by contender (seconds of the best round and of all; cpu_s, the processor
    seconds of the best round; lines/s; MB/s of 10^6 bytes; peak_mb, the most memory the process held; `ratio`, our
    lines/s over its; `cpu_ratio`, its processor time per line over ours, which other work on the machine disturbs
    less), `targets`, by the clock, and `machine`.
    """
    from hdfs_pipeline.domains.blocks.catalogue import catalogues
    from hdfs_pipeline.domains.blocks.records import LogFormat, split_records
    from hdfs_pipeline.domains.tally import Tally

    with tempfile.TemporaryDirectory(prefix="bench.") as folder:
        made = make_file(path, lines, Path(folder) / "bench.log", settings.seed)
        with made.path.open("rb") as file:
            sample = file.read(1 << 20)
        tally = Tally()
        batches = list(split_records([sample], LogFormat.of(settings), tally))
        if not tally.layouts:
            raise DataError(f"{path}: no line of it begins as a known layout says")
        layout = tally.layouts.most_common(1)[0][0]
        catalogue = _choose(batches, settings)
        job = _job(made.path, catalogue, settings)
        templates = catalogues(settings.catalogues)[catalogue].templates
        (Path(folder) / _PATTERNS).write_text(json.dumps([(each.event_id, _pattern(each.text)) for each in templates]))
        others = [*_OF_PEERS] * PEERS.exists() + ["naive"]
        names = ["ours", "read_csv"] + ["ours_gz", "gzip"] * _packed(made.path)
        names += [name for name in others if peers and name in contenders]
        small = Path(folder) / "head.log"
        small.write_bytes(sample)
        _worker("ours", {**job, "path": str(small)}, folder)  # compiles, where nothing is compiled
        tries: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        for number in range(rounds):
            for name in names:
                if name in _OWN:
                    tries[name].append(_worker(name, job, folder))
                elif number == 0 or (name != "loglead_drain" and "failed" not in tries[name][0]):
                    tries[name].append(_peer(name, made.path, layout, folder, limit_s))
    result = {
        "sample": path.name,
        "layout": layout,
        "catalogue": catalogue,
        "lines": made.lines,
        "records": tries["ours"][0]["records"],
        "blocks": tries["ours"][0]["blocks"],
        "bytes": made.bytes,
        "repetitions": made.repetitions,
        "rounds": rounds,
        "runs": {
            name: _best(tries.get(name, []), made, _missing(name, peers and name in contenders)) for name in LABELS
        },
        "machine": machine(),
    }
    ours = result["runs"]["ours"]
    for run in result["runs"].values():
        if "lines_per_s" in run:
            run["ratio"] = ours["lines_per_s"] / run["lines_per_s"]
            run["cpu_ratio"] = run["cpu_s"] / run["lines"] / (ours["cpu_s"] / ours["lines"])
    return {**result, "targets": _targets(result["runs"])}


def file_to_matrix(path: Path, catalogue: str, settings: Settings, rounds: int = ROUNDS) -> dict[str, Any]:
    """Our run alone, on the file as it is: the best of some rounds, each a process of its own (see `bench_parse`)."""
    with tempfile.TemporaryDirectory(prefix="bench.") as folder:
        tries = [_worker("ours", _job(path, catalogue, settings), folder) for _ in range(rounds)]
    return min(tries, key=lambda run: run["seconds"])


def _job(path: Path, catalogue: str, settings: Settings) -> dict[str, Any]:
    """What a worker is told."""
    return {
        "path": str(path),
        "catalogue": catalogue,
        "max_bytes": settings.max_record_bytes,
        "home_catalogues": str(settings.catalogues),
    }


def _choose(batches: Sequence[Any], settings: Settings) -> str:
    """Label of the catalogue that the settings name, or else of the one that matches most of the sample's records."""
    import pyarrow as pa

    from hdfs_pipeline.domains.blocks.catalogue import catalogues
    from hdfs_pipeline.domains.blocks.parse import best_catalogue

    if settings.catalogue != "auto":
        return settings.catalogue
    return best_catalogue(pa.Table.from_batches(batches), catalogues(settings.catalogues)).label


def _pattern(template: str) -> str:
    """The regular expression of a template that `re.match` is to find."""
    pattern = ".*?".join(re.escape(part) for part in template.split(WILDCARD))
    return pattern.removesuffix(".*?") if template.endswith(WILDCARD) else f"{pattern}$"


def _worker(name: str, job: dict[str, Any], folder: str) -> dict[str, Any]:
    code = "import sys; from hdfs_pipeline.bench import parse; parse.work(*sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, name, json.dumps(job)], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise DataError(f"the benchmark of {LABELS[name]} failed: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _peer(name: str, path: Path, layout: str, folder: str, limit_s: float) -> dict[str, Any]:
    """What a peer's process printed; {"failed": why} where it did not end well, since we are not judged by that."""
    python = str(PEERS) if name in _OF_PEERS else sys.executable
    command = [python, str(Path(__file__).with_name("peers.py")), name, str(path), layout, str(limit_s), _PATTERNS]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=_RUN_LIMIT_S)
        return json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {_RUN_LIMIT_S:.0f} s"}
    except (OSError, ValueError, IndexError) as error:
        why = done.stderr.strip().splitlines()[-1:] if isinstance(error, (ValueError, IndexError)) else [str(error)]
        return {"failed": why[0] if why else f"ended with status {done.returncode}"}


def work(name: str, job: str) -> None:
    """Run one of our own contenders once in this process and print what it gave as JSON."""
    result = _OWN[name](json.loads(job))
    print("\n" + json.dumps({**result, "peak_mb": peak_mb()}))  # DuckDB may have left a progress bar on the line


def _ours(job: dict[str, Any]) -> dict[str, Any]:
    from hdfs_pipeline.domains.blocks.catalogue import catalogues
    from hdfs_pipeline.domains.blocks.kernel import count_events
    from hdfs_pipeline.domains.blocks.layouts import known_layouts
    from hdfs_pipeline.domains.blocks.pools import Pool
    from hdfs_pipeline.domains.blocks.records import LogFormat
    from hdfs_pipeline.domains.pieces import CHUNK_BYTES
    from hdfs_pipeline.domains.tally import Tally
    from hdfs_pipeline.sources.files import LogFile

    catalogue = catalogues(Path(job["home_catalogues"]))[job["catalogue"]]
    log_format = LogFormat(known_layouts(), "UTC", {}, Pool())
    count_events([b"x\n"], log_format, catalogue, job["max_bytes"])  # loads the compiled code
    watch = Watch()
    file, tally = LogFile(Path(job["path"])), Tally()
    matrix = count_events(file.chunks(CHUNK_BYTES), log_format, catalogue, job["max_bytes"], tally)
    times = watch.read()
    return {**times, "lines": tally.lines, "records": tally.records, "blocks": len(matrix)}


def _read_csv(job: dict[str, Any]) -> dict[str, Any]:
    from hdfs_pipeline.domains.blocks.kernel import connect
    from hdfs_pipeline.store.quoting import one_file

    watch = Watch()
    with connect() as con:
        lines = con.execute(
            """SELECT count(*) FROM read_csv(?, columns = {'line': 'VARCHAR'}, header = false, delim = '\x01',
            quote = '', escape = '', comment = '', auto_detect = false, strict_mode = false)""",
            [one_file(job["path"])],
        ).fetchall()[0][0]
    return {**watch.read(), "lines": lines}


def _ours_gz(job: dict[str, Any]) -> dict[str, Any]:
    return _ours({**job, "path": f"{job['path']}.gz"})


def _gzip(job: dict[str, Any]) -> dict[str, Any]:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = ["sh", "-c", 'gzip -dc "$0" | wc -l', f"{job['path']}.gz"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu_s": cpu_s, "lines": int(done.stdout)}


_OWN: Final[Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "ours": _ours,
    "read_csv": _read_csv,
    "ours_gz": _ours_gz,
    "gzip": _gzip,
}


def _packed(path: Path) -> bool:
    """Whether the file now lies packed beside itself, by gzip, where this machine has that."""
    gzip = shutil.which("gzip")
    if gzip is None:
        return False
    subprocess.run([gzip, "--keep", str(path)], check=True)
    return True


def _missing(name: str, peers: bool) -> str:
    if name in _OWN:
        return "not measured: there is no gzip here"
    return NOT_MEASURED if peers else "left out"


def _best(tries: list[dict[str, Any]], made: BenchFile, missing: str) -> dict[str, Any]:
    if not tries:
        return {"missing": missing}
    if "failed" in tries[0]:
        return {"missing": f"failed: {tries[0]['failed']}"}
    tries = [run for run in tries if "failed" not in run]
    best = max(tries, key=lambda run: run.get("lines", made.lines) / run["seconds"])
    speed = best.get("lines", made.lines) / best["seconds"]
    return {
        **best,
        "lines": best.get("lines", made.lines),
        "all_seconds": [run["seconds"] for run in tries],
        "lines_per_s": speed,
        "mb_per_s": speed * made.bytes / made.lines / 1e6,
        "peak_mb": max(run["peak_mb"] for run in tries),
    }


def _targets(runs: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What is aimed at, what came out, and whether that is enough (None: not measured)."""
    ours, theirs = (runs[name].get("seconds") for name in ("ours_gz", "gzip"))
    packed = ours / theirs if ours and theirs else None
    aims = [
        ("times LogLead (tip), at least", runs["loglead_tip"].get("ratio"), 30.0, True),
        ("times Drain3, at least", runs["drain3"].get("ratio"), 90.0, True),
        ("times a naive script, at least", runs["naive"].get("ratio"), 10.0, True),
        ("times as long as read_csv, at most", 1 / runs["read_csv"]["ratio"], 2.5, False),
        ("gzipped: times as long as gzip -dc | wc -l, at most", packed, 1.3, False),
        ("MB of memory, at most", runs["ours"]["peak_mb"], 1000.0, False),
    ]
    return [
        {"what": what, "value": value, "aim": aim, "met": None if value is None else (value >= aim) is least}
        for what, value, aim, least in aims
    ]
