"""Tables of the benchmarks."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.markup import escape

from hdfs_pipeline.bench.parse import LABELS
from hdfs_pipeline.bench.samples import describe
from hdfs_pipeline.bench.stream import LATENCY_RATE
from hdfs_pipeline.cli.tables.style import Column, Listing, name, number
from hdfs_pipeline.domains.course import PARTS

_AIMED = (Column("figure"), number("measured"), number("aim"), name("outcome"))


def parse_table(result: Mapping[str, Any]) -> Listing:
    """The figures of `bench_parse`; its aims, and what was not measured, below."""
    figures = ("seconds", "CPU s", "lines/s", "MB/s", "peak MB", "ours is faster by", "by CPU")
    table = Listing(
        escape(
            f"{result['sample']}, {result['repetitions']} times: {result['lines']:,} lines, {result['records']:,} "
            f"records, {result['blocks']:,} blocks, {result['bytes'] / 1e6:,.0f} MB; best of {result['rounds']}"
        ),
        (Column("program"), *map(number, figures)),
    )
    for program, run in result["runs"].items():
        if "missing" in run:
            continue
        part = "" if run["lines"] == result["lines"] else f" ({run['lines']:,} lines)"
        table.add_row(
            f"{LABELS[program]}{part}",
            f"{run['seconds']:.2f}",
            f"{run['cpu_s']:.2f}",
            f"{run['lines_per_s']:,.0f}",
            f"{run['mb_per_s']:.1f}",
            f"{run['peak_mb']:,.0f}",
            f"{run['ratio']:.2f}",
            f"{run['cpu_ratio']:.2f}",
        )
    missing = (f"{LABELS[program]}: {run['missing']}" for program, run in result["runs"].items() if "missing" in run)
    table.caption = escape("\n".join([*missing, *_aims(result), describe(result["machine"])]))
    return table


def _aims(result: Mapping[str, Any]) -> Iterator[str]:
    words = {True: "met", False: "MISSED", None: "not measured"}
    for target in result["targets"]:
        value = "" if target["value"] is None else f"{target['value']:,.1f}, "
        yield f"{target['what']} {target['aim']:g}: {value}{words[target['met']]}"


def score_table(result: Mapping[str, Any]) -> Listing:
    """The figures of `bench_score`."""
    table = Listing(
        f"Random forest on {result['sample_blocks']:,} blocks ({result['anomalies']:,} anomalies, "
        f"{result['distinct_rows']:,} distinct rows); {result['blocks']:,} resampled blocks",
        _AIMED,
        escape(describe(result["machine"])),
    )
    for target in result["targets"]:
        outcome = "met" if target["met"] else "MISSED"
        table.add_row(target["what"], f"{target['value']:,.5g}", f"{target['aim']:g}", outcome)
    table.add_row("ms for one row (p50)", f"{result['row_p50_ms']:.3f}", "", "")
    table.add_row("blocks/s without deduplication", f"{result['blocks_per_s_without_dedup']:,.0f}", "", "")
    table.add_row("seconds to train", f"{result['fit_s']:.2f}", "", "")
    return table


def stream_table(result: Mapping[str, Any]) -> Listing:
    """The figures of `bench_stream`."""
    names = list(result["brokers"])
    columns = (Column("figure"), *(number(f"{broker} broker") for broker in names))
    table = Listing("One worker, one producer, one broker", columns)

    def row(label: str, value: Callable[[dict[str, Any]], str]) -> None:
        table.add_row(label, *(value(result["brokers"][broker]) for broker in names))

    row(f"lines/s held ({result['rate_asked']:,} asked)", lambda b: f"{b['throughput']['lines_per_s']:,}")
    row("blocks closed and scored/s", lambda b: f"{b['throughput']['blocks_per_s']:,}")
    row("lag, begin → end", lambda b: "{lag_at_begin:,} → {lag_at_end:,}".format(**b["throughput"]))
    for part in ("worker", "producer", "broker"):
        row(
            f"CPU s per 100,000 lines: {part}",
            lambda b, part=part: str(b["throughput"]["cpu_s_per_100k_lines"].get(part, "not ours")),  # type: ignore[misc]
        )
    row("worker's memory, MB", lambda b: f"{b['throughput']['worker_rss_mb']:,}")
    row(f"ms to the anomaly at {LATENCY_RATE:,} lines/s, p50", lambda b: _lines(b["latency"]["p50_ms"]))
    row("p99, each of 10 s", lambda b: _lines(b["latency"]["p99_ms"]))
    row("anomalies behind it", lambda b: _lines(b["latency"]["anomalies"]))
    for part in PARTS:
        row(f"ms, mean · of the slowest 1 %: {part}", lambda b, part=part: _part(b["latency"], part))  # type: ignore[misc]
    row("cores used by worker · producer · broker", lambda b: " · ".join(map(str, b["latency"]["cpu_share"].values())))
    table.caption = escape(
        "\n".join([*(f"{part}: {about}" for part, about in PARTS.items()), describe(result["machine"])])
    )
    return table


def _part(latency: Mapping[str, Any], part: str) -> str:
    return f"{latency['parts_ms'][part]:g} · {latency['slowest_parts_ms'][part]:g}"


def _lines(values: list[float]) -> str:
    """Values, four a line: ten side by side fit into no terminal."""
    return "\n".join("  ".join(f"{value:g}" for value in values[at : at + 4]) for at in range(0, len(values), 4))


def namenode_table(result: Mapping[str, Any]) -> Listing:
    """The figures of `bench_namenode`."""
    title = f"{result['steps']:,} steps of {result['metrics']} metrics, every detector"
    table = Listing(title, _AIMED, escape(describe(result["machine"])))
    for target in result["targets"]:
        outcome = "met" if target["met"] else "MISSED"
        table.add_row(target["what"], f"{target['value']:.1f}", f"{target['aim']:g}", outcome)
    for detector, facts in result["detectors"].items():
        table.add_row(f"seconds to train {detector}", f"{facts['train_s']:.1f}", "", "")
    table.add_row("steps scored in a second", f"{result['steps_per_s']:,.0f}", "", "")
    return table


def incidents_table(result: Mapping[str, Any]) -> Listing:
    """The figures of `bench_incidents`."""
    title = f"{result['incidents']:,} incidents; {result['records']:,} records of {result['blocks']:,} blocks"
    table = Listing(title, _AIMED, escape(describe(result["machine"])))
    for target in result["targets"]:
        outcome = "met" if target["met"] else "MISSED"
        table.add_row(target["what"], f"{target['value']:.2f}", f"{target['aim']:g}", outcome)
    return table


def serve_table(result: Mapping[str, Any]) -> Listing:
    """The figures of `bench_serve`."""
    title = (
        f"The server on a home with {result['home_blocks']:,} blocks; {result['writes']:,} batches written meanwhile"
    )
    table = Listing(title, _AIMED, escape(describe(result["machine"])))
    for target in result["targets"]:
        outcome = "met" if target["met"] else "MISSED"
        table.add_row(target["what"], f"{target['value']:,.5g}", f"{target['aim']:g}", outcome)
    table.add_row("ms for one block (p50)", f"{result['one_p50_ms']:.2f}", "", "")
    table.add_row("ms for the list of incidents (p50)", f"{result['list_p50_ms']:.2f}", "", "")
    table.add_row("answers to these a second", f"{result['list_per_s']:,.0f}", "", "")
    for path, p95_ms in result["pages_p95_ms"].items():
        table.add_row(f"ms for the page {path} (p95)", f"{p95_ms:.1f}", "", "")
    table.add_row("ms from a verdict to its event (p50)", f"{result['feed_p50_ms']:.1f}", "", "")
    return table
