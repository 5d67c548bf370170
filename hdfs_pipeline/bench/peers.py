"""The peers of the parsing benchmark. Runs alone, in the environment of `deploy/bench-peers.txt`.

    python peers.py loglead_tip|loglead_drain|drain3|naive FILE hdfs_v1|log4j LIMIT_S PATTERNS

prints one JSON object: seconds on the clock and of all processors, and what was made of how many lines. Imports are not
timed. PATTERNS is a JSON file of pairs (event, regular expression), for `naive`, which needs no library.
"""

import json
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

_HEADS = {"hdfs_v1": r"^\d{6} \d{6} ", "log4j": r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} "}


class Watch:
    """Time since it was made: `seconds` on the clock, `cpu_s` of all threads of this process."""

    def __init__(self) -> None:
        self.start = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """Both times up to now."""
        return {"seconds": time.perf_counter() - self.start[0], "cpu_s": time.process_time() - self.start[1]}


def peak_mb() -> float:
    """The most memory that this process has held, in MB (10^6 bytes; /proc's VmHWM, Linux only; elsewhere 0).

    Not getrusage's maximum: that one counts what the parent held when it started this process.
    """
    status = Path("/proc/self/status")
    peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(peak[1]) * 1024 / 1e6 if peak else 0.0


def loglead(path: str, layout: str, parser: str) -> dict[str, Any]:
    """LogLead (Mäntylä et al., 2024), as its HDFS demo does: load, mask, event ids, events per block, count matrix.

    HDFS_v1 goes through its HDFSLoader, less the join with labels. For log4j's layout it has no loader that finds
    blocks: RawLoader cuts the time stamp and joins continuation lines, and the block is cut out as HDFSLoader does.
    """
    loaders, enhancers, lead = (import_module(f"loglead{name}") for name in (".loaders", ".enhancers", ""))
    import_module("tipping")
    import_module("loglead.parsers")
    pl: Any = import_module("polars")
    watch = Watch()
    if layout == "hdfs_v1":
        loader = loaders.HDFSLoader(path)
        loader.load()
        loader._split_and_unnest(["date", "time", "id", "level", "component", "m_message"])
        loader._extract_seq_id()
        loader._parse_datetimes()
    else:
        loader = loaders.RawLoader(
            path,
            timestamp_pattern=r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) ",
            timestamp_format="%Y-%m-%d %H:%M:%S,%3f",
            missing_timestamp_action="merge-message",
        )
        loader.load()
        loader.preprocess()
        loader.df = loader.df.with_columns(pl.col("m_message").str.extract(r"(blk_[-?\d]+)", 1).alias("seq_id"))
    enhancer = enhancers.EventLogEnhancer(loader.df)
    enhancer.mask()
    df = enhancer.parse_tip() if parser == "tip" else enhancer.parse_drain()
    blocks = df.select("seq_id").drop_nulls().unique()
    blocks = enhancers.SequenceEnhancer(df, blocks).events(f"e_event_{parser}_id")
    matrix, _, _ = lead.AnomalyDetector(item_list_col=f"e_event_{parser}_id")._prepare_data(blocks)
    return {**watch.read(), "blocks": matrix.shape[0], "events": matrix.shape[1]}


def drain3(path: str, layout: str, limit_s: float) -> dict[str, Any]:
    """Drain3 (He et al., "Drain", 2017): each message to its template; no blocks, no matrix.

    Settings and masks are those of Drain3's example `drain3.ini`, of which LogLead has a copy. Continuation lines are
    counted as lines, but not parsed. Stops after `limit_s` seconds.
    """
    from drain3 import TemplateMiner
    from drain3.template_miner_config import TemplateMinerConfig

    config = TemplateMinerConfig()
    parsers: Any = import_module("loglead.parsers")
    config.load(str(Path(parsers.__file__).parent / "drain3" / "drain3.ini"))
    miner = TemplateMiner(config=config)
    head = re.compile(_HEADS[layout])
    lines, watch = 0, Watch()
    with open(path, encoding="utf-8", errors="replace") as file:
        while watch.read()["seconds"] < limit_s:
            before = lines
            for line in islice(file, 10_000):
                lines += 1
                if head.match(line):
                    miner.add_log_message(line.partition(": ")[2].rstrip("\n"))
            if lines == before:
                break
    return {**watch.read(), "lines": lines, "events": len(miner.drain.clusters)}


def naive(
    path: str, layout: str, patterns: Sequence[tuple[str, str]], limit_s: float = float("inf")
) -> tuple[dict[str, Any], dict[str, Counter[str]]]:
    """A script as most people write one: each line tried against each regular expression, a Counter for each block.

    A message is the event whose pattern matches it first, else UNKNOWN. Lines that do not begin like a record are
    counted as lines and passed over. Stops after `limit_s` seconds. Returns what `main` prints, and the counts.
    """
    head, block = re.compile(_HEADS[layout]), re.compile(r"blk_-?\d+")
    compiled = [(event, re.compile(pattern)) for event, pattern in patterns]
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    lines, watch = 0, Watch()
    with open(path, encoding="utf-8", errors="replace") as file:
        while watch.read()["seconds"] < limit_s:
            before = lines
            for line in islice(file, 10_000):
                lines += 1
                if head.match(line):
                    message = line.partition(": ")[2].rstrip("\n")
                    event = next((event for event, pattern in compiled if pattern.match(message)), "UNKNOWN")
                    for name in set(block.findall(message)):
                        counts[name][event] += 1
            if lines == before:
                break
    return {**watch.read(), "lines": lines, "blocks": len(counts)}, counts


def main(name: str, path: str, layout: str, limit_s: str, patterns: str) -> None:
    """Run one peer and print what it gave."""
    runs: dict[str, Callable[[], dict[str, Any]]] = {
        "loglead_tip": lambda: loglead(path, layout, "tip"),
        "loglead_drain": lambda: loglead(path, layout, "drain"),
        "drain3": lambda: drain3(path, layout, float(limit_s)),
        "naive": lambda: naive(path, layout, json.loads(Path(patterns).read_text()), float(limit_s))[0],
    }
    result = runs[name]()
    versions = {package: version(package) for package in (("LogLead", "drain3", "polars") if name != "naive" else ())}
    print("\n" + json.dumps({**result, "peak_mb": peak_mb(), "versions": versions}))


if __name__ == "__main__":
    main(*sys.argv[1:])
