"""Tables of the benchmarks."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.markup import escape

from hdfs_pipeline.bench.parse import LABELS
from hdfs_pipeline.bench.samples import describe
from hdfs_pipeline.bench.web import LABELS as WEB_LABELS
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


def web_table(result: Mapping[str, Any]) -> Listing:
    """The figures of `bench_web`; its aim below."""
    table = Listing(
        escape(
            f"{result['sample']}: {result['lines']:,} lines, {result['good']:,} requests, "
            f"{result['bytes'] / 1e6:,.0f} MB; best of {result['rounds']}"
        ),
        (Column("program"), *map(number, ("seconds", "CPU s", "lines/s", "MB/s", "peak MB", "ours is faster by"))),
    )
    for program, run in result["runs"].items():
        table.add_row(
            WEB_LABELS[program],
            f"{run['seconds']:.2f}",
            f"{run['cpu_s']:.2f}",
            f"{run['lines_per_s']:,.0f}",
            f"{run['mb_per_s']:.1f}",
            f"{run['peak_mb']:,.0f}",
            f"{run['ratio']:.2f}",
        )
    table.caption = escape("\n".join([*_aims(result), describe(result["machine"])]))
    return table


def detection_table(result: Mapping[str, Any]) -> Listing:
    """The figures of `bench_detection`."""
    seeds = ", ".join(map(str, result["seeds"]))
    columns = (name("domain"), Column("judged by"), Column("figure"), *map(number, ("measured", "95 % interval")))
    columns += (number("cases"), number("aim"), name("outcome"))
    table = Listing(f"Simulated days with faults, seeds {seeds}", columns, escape(describe(result["machine"])), keys=1)
    for figure in result["figures"]:
        table.add_row(
            figure["domain"],
            escape(figure["voice"]),
            escape(figure["what"]),
            f"{figure['value']:.3f}",
            f"{figure['low']:.3f} to {figure['high']:.3f}",
            f"{figure['cases']:,}",
            "" if figure["aim"] is None else f"{'≤' if figure['at_most'] else '≥'} {figure['aim']:g}",
            "" if figure["met"] is None else _outcome(figure),
        )
    return table


def _aims(result: Mapping[str, Any]) -> Iterator[str]:
    for target in result["targets"]:
        value = "" if target["value"] is None else f"{target['value']:,.1f}, "
        yield f"{target['what']} {target['aim']:g}: {value}{_outcome(target)}"


def all_tables(run: Mapping[str, Any]) -> Iterator[Listing]:
    """The figures of each part of `bench_all`; below the last one the machine."""
    for part in run["parts"]:
        table = Listing(escape(part["part"]), _AIMED, escape(part.get("missing", "")))
        for figure in part.get("figures", []):
            outcome = escape(figure.get("why", "")) if figure["value"] is None else _outcome(figure)
            table.add_row(escape(figure["what"]), _shown(figure["value"]), f"{figure['aim']:,g}", outcome)
        if part is run["parts"][-1]:
            table.caption = "\n".join(filter(None, [str(table.caption or ""), escape(describe(run["machine"]))]))
        yield table


def ingest_table(result: Mapping[str, Any]) -> Listing:
    """The figures of `bench_ingest`."""
    large = result["homes"][-1]
    title = f"{result['sample']}: {large['lines']:,} lines into a home of {large['blocks']:,} blocks"
    table = _aimed(title, result)
    table.add_row("seconds from file to matrix, nothing kept", f"{result['matrix_s']:.2f}", "", "")
    for home in result["homes"]:
        where = f"{home['blocks']:,} blocks"
        table.add_row(f"seconds to read {where} into a home", f"{home['read_s']:.2f}", "", "")
        table.add_row(f"seconds to judge {where} for the first time", f"{home['judged_s']:.2f}", "", "")
        table.add_row(f"seconds of new lines up to incidents, {where}", f"{home['new_s']:.2f}", "", "")
        table.add_row(f"CPU seconds of the same, {where}", f"{home['new_cpu_s']:.2f}", "", "")
        table.add_row(f"MB of the same, {where}", f"{home['new_peak_mb']:,.0f}", "", "")
    return table


def up_table(result: Mapping[str, Any]) -> Listing:
    """The figures of `bench_up`."""
    table = _aimed(f"`up` with {result['sample']}, {result['seconds']:g} s each", result)
    for load in result["loads"]:
        what = f"{load['rate']:,} lines/s" if load["rate"] else "idle"
        table.add_row(f"{what}: Dagster runs", str(load["runs"]), "", "")
        table.add_row(f"{what}: MB", f"{load['memory_mb']:,.0f}", "", "")
        for process, share in {"all": load["share"], **load["shares"]}.items():
            table.add_row(f"{what}: % of a core, {escape(process)}", f"{share:.1f}", "", "")
    return table


def _aimed(title: str, result: Mapping[str, Any]) -> Listing:
    """A table with what a benchmark aims at; its caption is the machine."""
    table = Listing(escape(title), _AIMED, escape(describe(result["machine"])))
    for target in result["targets"]:
        table.add_row(escape(target["what"]), _shown(target["value"]), f"{target['aim']:g}", _outcome(target))
    return table


def _outcome(target: Mapping[str, Any]) -> str:
    return {True: "met", False: "MISSED", None: "not measured"}[target["met"]]


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


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
    row(f"ms to the anomaly at {result['latency_rate']:,} lines/s, p50", lambda b: _lines(b["latency"]["p50_ms"]))
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
