"""Tables of experiments on load."""

from collections.abc import Iterable

from rich.markup import escape

from hdfs_pipeline.cli.tables.style import Column, Listing, name, number
from hdfs_pipeline.experiments.load.findings import Side
from hdfs_pipeline.experiments.load.records import Record


def experiments_table(records: Iterable[Record]) -> Listing:
    """Experiments with what came of them."""
    columns = (name("experiment"), Column("load"), Column("status"), name("started (UTC)"), Column("measured on"))
    table = Listing("", columns)
    for record in records:
        told = record.status + (f": {record.reason}" if record.reason else "")
        host = f"{record.host.get('host')}, {record.host.get('cores')} cores, {record.host.get('broker')} broker"
        started = f"{record.started_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(escape(record.experiment), record.load.told, escape(told), started, escape(host))
    return table


def sides_table(found: Iterable[Side]) -> Listing:
    """Loads side by side, with what limited each."""
    figures = ("trials", "sent/s", "read/s", "95 %", "p50 · p99 ms", "unread")
    table = Listing("", (name("experiment"), Column("load"), *map(number, figures), Column("limited by")))
    for each in found:
        interval = f"{each.low:,.0f} to {each.high:,.0f}" if len(each.trials) > 1 else "–"
        ms = " · ".join("–" if value is None else f"{value:,.0f}" for value in (each.p50_ms, each.p99_ms))
        table.add_row(
            escape(each.name), each.load.told, str(len(each.trials)), f"{each.sent_per_s:,.0f}",
            f"{each.read_per_s:,.0f}", interval, ms, f"{each.unread:,.0f}", f"{each.limit}: {each.why}",
        )  # fmt: skip
    return table
