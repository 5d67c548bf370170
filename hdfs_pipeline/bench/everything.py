"""All benchmarks one after the other, each small: minutes on two cores. A part that cannot run says why in its place.

Every figure is a target of its benchmark: what it is, what came out, what is aimed at, and whether that is met.
"""

import re
import subprocess
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

from hdfs_pipeline.bench.parse import LABELS, PEERS, bench_parse
from hdfs_pipeline.bench.samples import machine
from hdfs_pipeline.errors import DataError, PipelineError
from hdfs_pipeline.settings import PROJECT, Settings

Say = Callable[[str], None]
Figures = list[dict[str, Any]]

SAMPLES: Final = {
    "hdfs_v1": PROJECT / "data" / "sample" / "hdfs_v1" / "HDFS.log.gz",
    "hdfs_3.4": PROJECT / "data" / "sample" / "hdfs_3.4",
}
_LINES: Final = 2_000_000  # fewer would measure what starts and ends each run
_HOMES: Final = (10_000, 100_000)
_STREAM_LINES, _LATENCY_MS = 160_000, 50.0  # lines a second to hold; from the closing record to the anomaly, p99
_DAY_STEPS, _TRAIN_S, _SCORE_S = 17_280, 180.0, 10.0  # the aims of `bench namenode`, here for each step
_SHOWN: Final = 300


@dataclass(frozen=True)
class Part:
    """One of the benchmarks: its name, what it measures, and what does it and returns its figures.

    A part that measures others beside us says in `peers` of which versions they are.
    """

    name: str
    about: str
    run: Callable[[Settings, Say], Figures]
    peers: Callable[[], dict[str, str]] = dict


def _parse(sample: str) -> Callable[[Settings, Say], Figures]:
    def run(settings: Settings, _say: Say) -> Figures:
        slow = "loglead_drain"  # half a minute for one figure without an aim
        result = bench_parse(
            SAMPLES[sample],
            lines=_LINES,
            settings=settings,
            rounds=2,
            limit_s=3.0,
            contenders=[name for name in LABELS if name != slow],
        )
        missing = {name: run["missing"] for name, run in result["runs"].items() if "missing" in run and name != slow}
        return [
            target | ({"why": next(iter(missing.values()))} if target["value"] is None and missing else {})
            for target in result["targets"]
        ]

    return run


def _peers() -> dict[str, str]:
    """The versions of what `make bench-peers` installs, where it has."""
    names = ("LogLead", "drain3", "polars")
    code = f"from importlib.metadata import version as v; print([v(name) for name in {names}])"
    try:
        done = subprocess.run([str(PEERS), "-c", code], capture_output=True, text=True, check=True, timeout=60)
        return dict(zip(names, re.findall(r"'(.+?)'", done.stdout), strict=True))
    except (OSError, subprocess.SubprocessError):
        return {}


def _ingest(settings: Settings, say: Say) -> Figures:
    from hdfs_pipeline.bench.ingest import bench_ingest

    return _targets(bench_ingest(settings, SAMPLES["hdfs_v1"], blocks=_HOMES, rounds=2, say=say))


def _score(settings: Settings, _say: Say) -> Figures:
    from hdfs_pipeline.bench.score import bench_score
    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.store.store import Store

    data = domain_named("blocks").features(Store.open(_home(settings)), settings).labelled()
    return _targets(bench_score(data.main, data.labels, blocks=100_000, calls=500, settings=settings))


def _stream(settings: Settings, say: Say) -> Figures:
    from hdfs_pipeline.bench.stream import LATENCY_RATE, bench_stream
    from hdfs_pipeline.sources.kafka import is_embedded

    own = _home(settings)
    embedded = own.model_copy(update={"kafka_bootstrap_servers": ""})
    brokers: dict[str, Any] = {}
    for each in [embedded] if is_embedded(own) else [embedded, own]:
        measured = bench_stream(each, SAMPLES["hdfs_v1"], rate=_STREAM_LINES, seconds=8.0, say=say)
        brokers |= measured["brokers"]
    return list(_of_stream(brokers, LATENCY_RATE))


def _of_stream(brokers: dict[str, Any], rate: int) -> Iterator[dict[str, Any]]:
    for name in ("embedded", "real"):
        held = p99 = None
        if name in brokers:
            held = brokers[name]["throughput"]["lines_per_s"]
            p99 = max(brokers[name]["latency"]["p99_ms"])
        why = {} if name in brokers else {"why": "no real broker: KAFKA_BOOTSTRAP_SERVERS names none"}
        yield _at_least(f"lines/s through producer, {name} broker, worker, at least", held, 1.0 * _STREAM_LINES) | why
        yield _at_most(f"ms to the anomaly at {rate:,} lines/s, {name} broker (p99), at most", p99, _LATENCY_MS) | why


def _incidents(settings: Settings, _say: Say) -> Figures:
    from hdfs_pipeline.bench.incidents import bench_incidents

    return _targets(bench_incidents(settings, anomalies=10_000, blocks=100_000))


def _serve(settings: Settings, _say: Say) -> Figures:
    from hdfs_pipeline.bench.serve import bench_serve

    return _targets(bench_serve(_home(settings), seconds=3.0, blocks=50_000, calls=200, verdicts=20))


def _namenode(settings: Settings, _say: Say) -> Figures:
    from hdfs_pipeline.bench.namenode import bench_namenode

    steps = _DAY_STEPS // 12
    result = bench_namenode(settings, steps=steps)
    return [
        _at_least("steps a second, every detector trained, at least", steps / result["train_s"], _DAY_STEPS / _TRAIN_S),
        _at_least("steps a second, scored, at least", result["steps_per_s"], _DAY_STEPS / _SCORE_S),
    ]


def _up(_settings: Settings, say: Say) -> Figures:
    from hdfs_pipeline.bench.up import bench_up

    return _targets(bench_up(SAMPLES["hdfs_v1"], rates=(0, 500), seconds=20.0, warm_s=10.0, say=say))


PARTS: Final = (
    Part("parse hdfs_v1", f"Raw file to event matrix: {_LINES:,} lines of HDFS_v1 (2008).", _parse("hdfs_v1"), _peers),
    Part("parse hdfs_3.4", f"Raw file to event matrix: {_LINES:,} lines of Hadoop 3.4.", _parse("hdfs_3.4"), _peers),
    Part("ingest", "Files into a home, small and large, and what a home of that size costs.", _ingest),
    Part("score", "Blocks through the random forest and through `lifecycle`.", _score),
    Part("stream", "Producer, broker and one worker.", _stream),
    Part("incidents", "Anomalies grouped, and the state of a home.", _incidents),
    Part("serve", "The server on a copy of the home, while a process writes.", _serve),
    Part("namenode", "Two hours of NameNode samples, every detector.", _namenode),
    Part("up", "What `up` costs while it is left on.", _up),
)
"""In the order in which they run."""


def bench_all(settings: Settings, only: Collection[str] = (), say: Say = lambda _: None) -> dict[str, Any]:
    """Run all parts, or those whose first word is among `only`. An unexpected error ends a part, not the run.

    Returns a JSON-able dict: `date` (UTC), `commit` of a checkout, `version`, `machine` (with its load before), and
    `parts`: of each `part`, `about`, `peers` with their versions, `seconds`, and `figures` (what, value, aim, met, and
    why there is no value) or, where it cannot run, `missing`, which says why. Raises: DataError for a part that there
    is not.
    """
    known = {part.name.split()[0] for part in PARTS}
    if odd := set(only) - known:
        raise DataError(f"no part {', '.join(sorted(odd))}; there are {', '.join(sorted(known))}")
    date = datetime.now(UTC).isoformat(timespec="seconds")
    own = {"date": date, "commit": _commit(), "version": version("hdfs_pipeline"), "machine": machine()}
    return own | {"parts": [_done(part, settings, say) for part in PARTS if not only or part.name.split()[0] in only]}


def _done(part: Part, settings: Settings, say: Say) -> dict[str, Any]:
    say(part.name)
    told: dict[str, Any] = {"part": part.name, "about": part.about}
    start = time.perf_counter()
    try:
        figures = part.run(settings, lambda line: say(f"{part.name}: {line}"))
    except PipelineError as error:
        return told | {"missing": _short(str(error))}
    except Exception as error:  # noqa: BLE001 - the other parts are worth having
        return told | {"missing": _short(f"{type(error).__name__}: {error}")}
    told |= {"peers": part.peers()}
    return told | {"seconds": round(time.perf_counter() - start, 1), "figures": [_rounded(each) for each in figures]}


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _SHOWN else f"{words[:_SHOWN]}…"


def _rounded(figure: dict[str, Any]) -> dict[str, Any]:
    """The figure with four digits of its value: more is noise."""
    return figure | {"value": None if figure["value"] is None else float(f"{figure['value']:.4g}")}


def _targets(result: dict[str, Any]) -> Figures:
    targets: Figures = result["targets"]
    return targets


def _at_least(what: str, value: float | None, aim: float) -> dict[str, Any]:
    return {"what": what, "value": value, "aim": aim, "met": None if value is None else value >= aim}


def _at_most(what: str, value: float | None, aim: float) -> dict[str, Any]:
    return {"what": what, "value": value, "aim": aim, "met": None if value is None else value <= aim}


def _home(settings: Settings) -> Settings:
    """The settings of a home that has blocks and models. Raises: DataError where there is none."""
    if not settings.store_path.exists():
        raise DataError(f"no home at {settings.home}: run `hdfs-pipeline demo` first")
    return settings


def _commit() -> str:
    """The checkout's commit, with + where files differ from it; '' where it is no checkout."""
    try:
        git = ["git", "-C", str(PROJECT), "describe", "--always", "--dirty=+", "--exclude=*"]
        return subprocess.run(git, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
