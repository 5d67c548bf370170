"""What the command line shows of NameNode models and incidents."""

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
    for name, found in status["detectors"].items():
        opens = "yes" if found["opens_incidents"] else "second opinion"
        table.add_row(name, _number(found["threshold"]), found["rule"], opens, found["about"])
    limits = ", ".join(f"{name} {limit:g}" for name, limit in status["rules"].items())
    table.add_row("static_rules", "1", "a limit is reached", "yes", limits)
    versions = ", ".join(str(version) for version in status["versions"])
    table.caption = f"versions: {versions}; `hdfs-pipeline namenode rollback` goes back to the one that served before"
    return table


def findings_text(findings: list[dict[str, Any]]) -> str:
    """What is odd about a baseline, a line each."""
    return "\n".join(
        f"{'!' if each['serious'] else '-'} baseline {each['kind']}: {each['message']}" for each in findings
    )


def window_table(report: dict[str, Any]) -> "Table":
    """A report: each detector's threshold and what it saw."""
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
    for name, found in report["detectors"].items():
        over = str(found["steps_over"])
        table.add_row(name, _number(found["threshold"]), found["threshold_rule"], _number(found["highest"]), over)
    return table


def incidents_table(incidents: list[dict[str, Any]]) -> "Table":
    """Incidents, one a line."""
    from rich.table import Table

    table = Table("start (UTC)", "lasted", "status", "severity", "likely cause", "most unusual", title="Incidents")
    for each in incidents:
        top = ", ".join(metric["metric"] for metric in each["metrics"][:3])
        colour = _COLOURS.get(each["severity"], "white")
        severity = f"[{colour}]{each['severity']}[/]"
        lasted = f"{each['duration_s']:.0f} s"
        table.add_row(each["started_at"][:19], lasted, each["status"], severity, each["cause"], top)
    return table


def show_incident(console: "Console", incident: dict[str, Any]) -> None:
    """One incident in full: cause, who saw it, metrics, users. Takes a stored one or one of a report."""
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
    saw = (
        f"{name} {_number(seen['score'])} (threshold {_number(seen['threshold'])}"
        f"{'' if seen['opened'] else ', agrees'})"
        for name, seen in incident["detectors"].items()
    )
    console.print(f"  seen by {', '.join(saw)}", highlight=False, soft_wrap=True)
    table = Table("metric", "share", "actual", "expected", "", "calls/s", "usual")
    for each in incident["metrics"]:
        arrow = {"up": "↑", "down": "↓"}[each["direction"]]
        rates = (_number(each["rate"]), _number(each["usual_rate"])) if each["usual_rate"] is not None else ("", "")
        share = f"{each['share']:.0%}"
        table.add_row(each["metric"], share, _number(each["actual"]), _number(each["expected"]), arrow, *rates)
    console.print(table)
    for each in incident["users"]:
        console.print(
            f"  {escape(each['user'])}: {each['calls']:,.0f} {escape(each['operation'])} a minute, usually "
            f"{each['usual']:,.0f}",
            highlight=False,
        )


def series_table(found: dict[str, Any]) -> "Table":
    """Every detector on a labelled recording."""
    from rich.table import Table

    base = found["baseline"]
    table = Table(
        "detector",
        "threshold",
        "faults found",
        "delay s",
        "false incidents",
        "an hour of quiet",
        "AP",
        "VUS-PR",
        title=f"{found['faults']} faults; trained on {base['steps']} steps ({base['seconds'] / 60:.0f} minutes)",
        caption="point-wise AP and VUS-PR, no point adjustment; "
        + ("; ".join(each["message"] for each in base["findings"]) or "nothing odd about the baseline"),
    )
    for name, each in found["detectors"].items():
        table.add_row(
            name,
            _number(each["threshold"]),
            f"{each['found']} of {each['of']}",
            _number(each["delay_s"]),
            f"{each['false_incidents']} in {found['quiet_hours']:.2f} h",
            _number(each["false_per_hour"]),
            _decimal(each["ap"]),
            _decimal(each["vus_pr"]),
        )
    return table


def faults_table(found: dict[str, Any]) -> "Table":
    """Each fault as the incidents tell of it."""
    from rich.table import Table

    table = Table("fault", "found", "delay s", "likely cause", "top metrics", "rank of the expected")
    for each in found["detectors"]["incidents"]["faults"]:
        if not each["found"]:
            table.add_row(each["fault"], "[red]no[/]", "", "", "", "")
            continue
        ranks = ", ".join(f"{name} {rank or '–'}" for name, rank in each["ranks"].items())
        delay = f"{each['delay_s']:.0f}"
        table.add_row(each["fault"], "yes", delay, each["cause"], ", ".join(each["top"]), ranks)
    return table


def machine_table(found: dict[str, Any]) -> "Table":
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
        title=f"{found['steps']:,} steps of {found['metrics']} metrics, {found['anomalous']:.1%} anomalous; "
        f"seed {found['seed']}",
        caption=f"point-wise, no point adjustment; every score is a moving average over {found['smoothing']} steps; "
        f"{found['explained']} anomalies are explained",
    )
    for name, each in found["detectors"].items():
        hits = each["root_cause"] or {}
        shares = ("–" if (hit := hits.get(key)) is None else f"{hit:.1%}" for key in ("hit_100", "hit_150"))
        seconds = (f"{each[key]:.1f}" for key in ("train_s", "score_s"))
        table.add_row(name, _decimal(each["ap"]), _decimal(each["vus_pr"]), *shares, *seconds)
    return table
