"""Tables and sentences about NameNode models and incidents."""

from math import isnan
from typing import TYPE_CHECKING, Any

from rich.markup import escape

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_COLOURS = {"warning": "yellow", "major": "dark_orange", "critical": "red"}


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:,.{digits}g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _decimal(value: float | None) -> str:
    return "–" if value is None or isnan(value) else f"{value:.3f}"


def status_table(status: dict[str, Any]) -> "Table":
    """The model that serves: detectors with their thresholds."""
    from rich.table import Table

    title = (
        f"Version {status['serving']} of {status['namenode']}: {status['steps']:,} steps "
        f"from {status['trained_from'][:19]} to {status['trained_to'][:19]} UTC, "
        f"{len(status['left_out'])} stretches left out"
    )
    table = Table("detector", "threshold", "is", "opens incidents", "score", title=escape(title))
    for name, detector in status["detectors"].items():
        opens = "yes" if detector["opens_incidents"] else "second opinion"
        table.add_row(name, _number(detector["threshold"]), detector["rule"], opens, detector["about"])
    limits = ", ".join(f"{name} {limit:g}" for name, limit in status["rules"].items())
    table.add_row("static_rules", "1", "a limit is reached", "yes", limits)
    versions = ", ".join(str(version) for version in status["versions"])
    table.caption = f"versions: {versions}; `hdfs-pipeline namenode rollback` goes back to the one that served before"
    return table


def findings_text(findings: list[dict[str, Any]]) -> str:
    """The findings about a baseline, a line each."""
    return "\n".join(
        f"{'!' if finding['serious'] else '-'} baseline {finding['kind']}: {finding['message']}" for finding in findings
    )


def window_table(report: dict[str, Any]) -> "Table":
    """A report: each detector's threshold, its highest score and the steps over the threshold."""
    from rich.table import Table

    span = f"{(report['from'] or '')[:19]} to {report['to'][:19]} UTC"
    table = Table(
        "detector",
        "threshold",
        "is",
        "highest",
        "steps over",
        title=escape(f"{report['namenode']}, {span}: {report['steps']:,} steps, {len(report['incidents'])} incidents"),
    )
    for name, detector in report["detectors"].items():
        over = str(detector["steps_over"])
        table.add_row(
            name, _number(detector["threshold"]), detector["threshold_rule"], _number(detector["highest"]), over
        )
    return table


def incidents_table(incidents: list[dict[str, Any]]) -> "Table":
    """Incidents, one a line."""
    from rich.table import Table

    table = Table("start (UTC)", "lasted", "status", "severity", "likely cause", "most unusual", title="Incidents")
    for incident in incidents:
        top = ", ".join(metric["metric"] for metric in incident["metrics"][:3])
        colour = _COLOURS.get(incident["severity"], "white")
        severity = f"[{colour}]{incident['severity']}[/]"
        lasted = f"{incident['duration_s']:.0f} s"
        table.add_row(incident["started_at"][:19], lasted, incident["status"], severity, incident["cause"], top)
    return table


def show_incident(console: "Console", incident: dict[str, Any]) -> None:
    """Print one incident in full: cause, detectors, metrics, users. It may be stored or from a report."""
    from rich.table import Table

    cause = incident["cause"]
    name, evidence = (cause, incident["evidence"]) if isinstance(cause, str) else (cause["name"], cause["evidence"])
    start = incident.get("started_at") or incident["start"]
    end = incident.get("ended_at") or incident["end"]
    colour = _COLOURS.get(incident["severity"], "white")
    console.print(
        f"[bold {colour}]{name}[/] {start[:19]} to {end[:19]} UTC, {incident['status']}, {incident['severity']}",
        highlight=False,
    )
    console.print(f"  {escape(evidence)}", highlight=False, soft_wrap=True)
    detectors = (
        f"{name} {_number(detector['score'])} (threshold {_number(detector['threshold'])}"
        f"{'' if detector['opened'] else ', agrees'})"
        for name, detector in incident["detectors"].items()
    )
    console.print(f"  seen by {', '.join(detectors)}", highlight=False, soft_wrap=True)
    table = Table("metric", "share", "actual", "expected", "", "calls/s", "usual")
    for metric in incident["metrics"]:
        arrow = {"up": "↑", "down": "↓"}[metric["direction"]]
        rates = (
            (_number(metric["rate"]), _number(metric["usual_rate"])) if metric["usual_rate"] is not None else ("", "")
        )
        share = f"{metric['share']:.0%}"
        table.add_row(metric["metric"], share, _number(metric["actual"]), _number(metric["expected"]), arrow, *rates)
    console.print(table)
    for user in incident["users"]:
        console.print(
            f"  {escape(user['user'])}: {user['calls']:,.0f} {escape(user['operation'])} a minute, usually "
            f"{user['usual']:,.0f}",
            highlight=False,
        )


def series_table(result: dict[str, Any]) -> "Table":
    """Every detector on a labelled recording."""
    from rich.table import Table

    base = result["baseline"]
    table = Table(
        "detector",
        "threshold",
        "faults found",
        "delay s",
        "false incidents",
        "an hour of quiet",
        "AP",
        "VUS-PR",
        title=f"{result['faults']} faults; trained on {base['steps']} steps ({base['seconds'] / 60:.0f} minutes)",
        caption="point-wise AP and VUS-PR, no point adjustment; "
        + ("; ".join(finding["message"] for finding in base["findings"]) or "nothing odd about the baseline"),
    )
    for name, figures in result["detectors"].items():
        table.add_row(
            name,
            _number(figures["threshold"]),
            f"{figures['found']} of {figures['of']}",
            _number(figures["delay_s"]),
            f"{figures['false_incidents']} in {result['quiet_hours']:.2f} h",
            _number(figures["false_per_hour"]),
            _decimal(figures["ap"]),
            _decimal(figures["vus_pr"]),
        )
    return table


def faults_table(result: dict[str, Any]) -> "Table":
    """Each fault, and the incident that found it."""
    from rich.table import Table

    table = Table("fault", "found", "delay s", "likely cause", "top metrics", "rank of the expected")
    for fault in result["detectors"]["incidents"]["faults"]:
        if not fault["found"]:
            table.add_row(fault["fault"], "[red]no[/]", "", "", "", "")
            continue
        ranks = ", ".join(f"{name} {rank or '–'}" for name, rank in fault["ranks"].items())
        delay = f"{fault['delay_s']:.0f}"
        table.add_row(fault["fault"], "yes", delay, fault["cause"], ", ".join(fault["top"]), ranks)
    return table


def machine_table(result: dict[str, Any]) -> "Table":
    """Every detector on a machine's labelled metrics."""
    from rich.table import Table

    table = Table(
        "detector",
        "AP",
        "VUS-PR",
        "HitRate@100 %",
        "HitRate@150 %",
        "train s",
        "score s",
        title=f"{result['steps']:,} steps of {result['metrics']} metrics, {result['anomalous']:.1%} anomalous; "
        f"seed {result['seed']}",
        caption=f"point-wise, no point adjustment; every score is a moving average over {result['smoothing']} steps; "
        f"{result['explained']} anomalies are explained",
    )
    for name, figures in result["detectors"].items():
        hits = figures["root_cause"] or {}
        shares = ("–" if (hit := hits.get(key)) is None else f"{hit:.1%}" for key in ("hit_100", "hit_150"))
        seconds = (f"{figures[key]:.1f}" for key in ("train_s", "score_s"))
        table.add_row(name, _decimal(figures["ap"]), _decimal(figures["vus_pr"]), *shares, *seconds)
    return table
