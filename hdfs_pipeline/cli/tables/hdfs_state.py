"""Tables about the state of HDFS."""

from typing import TYPE_CHECKING, Any

from rich.markup import escape

from hdfs_pipeline.cli.tables.style import Column, Listing, name, number

if TYPE_CHECKING:
    from rich.console import Console

_COLOURS = {"warning": "yellow", "major": "dark_orange", "critical": "red"}
_GIB = 1024**3


def show_state(console: "Console", report: dict[str, Any]) -> None:
    """Print a report of the state: troubles, figures, DataNodes, and what is not known."""
    role, at = report["role"], report["polled_at"][:19]
    console.print(f"{escape(report['namenode'])}, {role}, as of {at} UTC", highlight=False)
    if report["safe_mode"]:
        console.print(f"[yellow]{escape(report['safe_mode'])}[/]", highlight=False, soft_wrap=True)
    console.print(
        _troubles(report["troubles"]) if report["troubles"] else "[green]nothing is wrong that it tells of[/]"
    )
    console.print(_figures(report["state"]))
    if report["datanodes"]:
        console.print(_datanodes(report["datanodes"]))
    for absent in report["absent"]:
        text = f"not told: {absent['name']} (looked for {absent['looked_for']})"
        console.print(f"[dim]{escape(text)}[/]", highlight=False, soft_wrap=True)
    verified = report["replicas_verified"]
    if verified is not None:
        text = f"replicas that the DataNodes' volume scanners have looked at since they were started: {verified:,}"
        console.print(text, highlight=False, soft_wrap=True)
    console.print("\nWhat cannot be seen from here:", highlight=False)
    for sentence in report["unseen"]:
        console.print(f"- {escape(sentence)}", highlight=False)


def _troubles(troubles: list[dict[str, Any]]) -> Listing:
    columns = (name("since (UTC)"), name("severity"), name("of"), Column("what"), Column("look at next"))
    table = Listing(f"{len(troubles):,} trouble{'s' * (len(troubles) != 1)}", columns)
    for trouble in troubles:
        colour = _COLOURS[trouble["severity"]]
        what = f"{trouble['kind']}: {trouble['reason']}"
        table.add_row(
            trouble["since"][:19],
            f"[{colour}]{trouble['severity']}[/]",
            escape(trouble["entity"]),
            escape(what),
            escape(trouble["hint"]),
        )
    return table


def _figures(state: dict[str, Any]) -> Listing:
    table = Listing("HDFS", (name("figure"), number("value"), Column("what it is")))
    for own, figure in state.items():
        value, unit = figure["value"], figure["unit"]
        shown = f"{value / _GIB:,.1f} GiB" if unit == "bytes" else f"{value:,.0f}"
        if unit == "ms":
            continue  # a moment, which `namenode state --json` has
        table.add_row(own, shown, escape(figure["about"]))
    return table


def _datanodes(nodes: list[dict[str, Any]]) -> Listing:
    figures = (number("blocks"), number("full"), number("failed volumes"), number("threads"), Column("its own /jmx"))
    title = "DataNodes (blocks and room as of ten minutes ago at most)"
    table = Listing(title, (name("DataNode"), name("is"), name("service"), name("last heard (UTC)"), *figures))
    for node in nodes:
        colour = "green" if node["state"] == "live" else "red"
        full = "–" if not node["capacity"] or node["remaining"] is None else _percent(node)
        threads = node["metrics"].get("xceivers")
        table.add_row(
            escape(node["entity"]),
            f"[{colour}]{node['state']}[/]",
            escape(node["admin"]),
            "" if node["state"] == "live" else (node["heard_at"] or "–")[:19],
            _count(node["blocks"]),
            full,
            _count(node["failed_volumes"]),
            _count(threads),
            escape(node["metrics_note"] or ("polled" if node["metrics_at"] else "not polled")),
        )
    return table


def _percent(node: dict[str, Any]) -> str:
    return f"{100 * (1 - node['remaining'] / node['capacity']):.0f} %"


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"
