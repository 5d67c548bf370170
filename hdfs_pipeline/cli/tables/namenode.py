"""Tables and sentences about NameNode models and incidents."""

from math import isnan
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from hdfs_pipeline.cli.tables.incidents import COLOURS
from hdfs_pipeline.cli.tables.style import Column, Listing, name, number

if TYPE_CHECKING:
    from rich.console import Console


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:,.{digits}g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _decimal(value: float | None) -> str:
    return "–" if value is None or isnan(value) else f"{value:.3f}"


def _few(figures: dict[str, Any]) -> str:
    """False incidents where the time without faults is too short for a rate."""
    return "too little to tell" if not figures["false_incidents"] else f"{figures['false_incidents']}"


def status_table(status: dict[str, Any]) -> Listing:
    """The model that serves: detectors with their thresholds."""
    title = (
        f"Version {status['serving']} of {status['namenode']}: {status['steps']:,} steps "
        f"from {status['trained_from'][:19]} to {status['trained_to'][:19]} UTC, "
        f"{len(status['left_out'])} stretches left out"
    )
    about = (Column("is"), Column("opens incidents"), Column("score"))
    table = Listing(escape(title), (name("detector"), number("threshold"), *about))
    for own, detector in status["detectors"].items():
        opens = "yes" if detector["opens_incidents"] else "second opinion"
        table.add_row(own, _number(detector["threshold"]), escape(detector["rule"]), opens, escape(detector["about"]))
    limits = ", ".join(f"{rule} {limit:g}" for rule, limit in status["rules"].items())
    table.add_row("static_rules", "1", "a limit is reached", "yes", limits)
    versions = ", ".join(str(version) for version in status["versions"])
    table.caption = f"versions: {versions}; `hdfs-pipeline namenode rollback` goes back to the one that served before"
    return table


def findings_text(findings: list[dict[str, Any]]) -> str:
    """The findings about a baseline, a line each."""
    return "\n".join(
        f"{'!' if finding['serious'] else '-'} baseline {finding['kind']}: {finding['message']}" for finding in findings
    )


def window_table(report: dict[str, Any]) -> Listing:
    """A report: each detector's threshold, its highest score and the steps over the threshold."""
    span = f"{(report['from'] or '')[:19]} to {report['to'][:19]} UTC"
    table = Listing(
        escape(f"{report['namenode']}, {span}: {report['steps']:,} steps, {len(report['incidents'])} incidents"),
        (name("detector"), number("threshold"), Column("is"), number("highest"), number("steps over")),
    )
    for own, detector in report["detectors"].items():
        over = str(detector["steps_over"])
        table.add_row(
            own, _number(detector["threshold"]), detector["threshold_rule"], _number(detector["highest"]), over
        )
    return table


def show_incident(console: "Console", incident: dict[str, Any]) -> None:
    """Print one incident of a report in full: cause, detectors, metrics, users."""
    cause, colour = incident["cause"], COLOURS.get(incident["severity"], "white")
    span = f"{incident['start'][:19]} to {incident['end'][:19]} UTC, {incident['status']}, {incident['severity']}"
    console.print(f"[bold {colour}]{escape(cause['name'])}[/] {span}", highlight=False)
    console.print(f"  {escape(cause['evidence'])}", highlight=False, soft_wrap=True)
    detectors = (
        f"{own} {_number(detector['score'])} (threshold {_number(detector['threshold'])}"
        f"{'' if detector['opened'] else ', agrees'})"
        for own, detector in incident["detectors"].items()
    )
    console.print(f"  seen by {', '.join(detectors)}", highlight=False, soft_wrap=True)
    figures = (number("share"), number("actual"), number("expected"), name(""), number("calls/s"), number("usual"))
    table = Listing("", (name("metric"), *figures))
    for metric in incident["metrics"]:
        arrow = {"up": "↑", "down": "↓"}[metric["direction"]]
        rates = (
            (_number(metric["rate"]), _number(metric["usual_rate"])) if metric["usual_rate"] is not None else ("", "")
        )
        share = f"{metric['share']:.0%}"
        table.add_row(
            escape(metric["metric"]), share, _number(metric["actual"]), _number(metric["expected"]), arrow, *rates
        )
    console.print(table)
    for user in incident["users"]:
        console.print(
            f"  {escape(user['user'])}: {user['calls']:,.0f} {escape(user['operation'])} a minute, usually "
            f"{user['usual']:,.0f}",
            highlight=False,
        )


def series_table(result: dict[str, Any]) -> Listing:
    """Every detector on a labelled recording; no rate of false incidents where quiet was too short for one."""
    from hdfs_pipeline.domains.namenode.evaluate import LEAST_QUIET_H

    base, quiet_h = result["baseline"], result["quiet_hours"]
    figures_of = ("threshold", "faults found", "delay s", "false incidents", "per hour of quiet", "AP", "VUS-PR")
    caption = "point-wise AP and VUS-PR, no point adjustment; "
    caption += escape("; ".join(finding["message"] for finding in base["findings"])) or "nothing odd about the baseline"
    if quiet_h < LEAST_QUIET_H:
        caption += (
            f"; {quiet_h * 60:.0f} minutes of quiet are too few to tell how often alarms are false: a rate takes "
            f"{LEAST_QUIET_H:g} h"
        )
    table = Listing(
        f"{result['faults']} faults; trained on {base['steps']} steps ({base['seconds'] / 60:.0f} minutes)",
        (name("detector"), *map(number, figures_of)),
        caption,
    )
    for own, figures in result["detectors"].items():
        table.add_row(
            own,
            _number(figures["threshold"]),
            f"{figures['found']} of {figures['of']}",
            _number(figures["delay_s"]),
            f"{figures['false_incidents']} in {quiet_h:.1f} h" if quiet_h >= LEAST_QUIET_H else _few(figures),
            _number(figures["false_per_hour"]),
            _decimal(figures["ap"]),
            _decimal(figures["vus_pr"]),
        )
    return table


def faults_table(result: dict[str, Any]) -> Listing:
    """Each fault, and the incident that found it."""
    about = (Column("likely cause"), Column("top metrics"), Column("rank of the expected"))
    table = Listing("", (name("fault"), name("found"), number("delay s"), *about))
    for fault in result["detectors"]["incidents"]["faults"]:
        if not fault["found"]:
            table.add_row(escape(fault["fault"]), "[red]no[/]", "", "", "", "")
            continue
        ranks = ", ".join(f"{metric} {rank or '–'}" for metric, rank in fault["ranks"].items())
        delay = f"{fault['delay_s']:.0f}"
        cells = [escape(text) for text in (fault["fault"], fault["cause"], ", ".join(fault["top"]), ranks)]
        table.add_row(cells[0], "yes", delay, *cells[1:])
    return table


def machine_table(result: dict[str, Any]) -> Listing:
    """Every detector on a machine's labelled metrics."""
    figures_of = ("AP", "VUS-PR", "HitRate@100 %", "HitRate@150 %", "train s", "score s")
    table = Listing(
        f"{result['steps']:,} steps of {result['metrics']} metrics, {result['anomalous']:.1%} anomalous; "
        f"seed {result['seed']}",
        (name("detector"), *map(number, figures_of)),
        caption=f"point-wise, no point adjustment; every score is a moving average over {result['smoothing']} steps; "
        f"{result['explained']} anomalies are explained",
    )
    for own, figures in result["detectors"].items():
        hits = figures["root_cause"] or {}
        shares = ("–" if (hit := hits.get(key)) is None else f"{hit:.1%}" for key in ("hit_100", "hit_150"))
        seconds = (f"{figures[key]:.1f}" for key in ("train_s", "score_s"))
        table.add_row(own, _decimal(figures["ap"]), _decimal(figures["vus_pr"]), *shares, *seconds)
    return table
