"""`status` and `incidents` on the command line: from logs to what happened, and what people say of it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from rich.cells import cell_len

from hdfs_pipeline.cli.tables.incidents import incident_lines
from hdfs_pipeline.cli.tables.status import status_parts
from hdfs_pipeline.cli.terminal import SafeConsole
from hdfs_pipeline.settings import PROJECT
from hdfs_pipeline.verdicts.listing import whole_incident
from hdfs_pipeline.verdicts.status import home_status, parse_since
from hdfs_pipeline.verdicts.words import say
from hdfs_pipeline_tests.cli.test_cli import Run, run
from hdfs_pipeline_tests.homes import Excerpt, Home
from hdfs_pipeline_tests.verdicts.made_incidents import NOW, ago, heard, incident, put

__all__ = ["run"]
GOLDEN = PROJECT / "hdfs_pipeline_tests" / "golden"


@pytest.fixture
def morning(new_home: Callable[..., Home]) -> Home:
    """A home with something of everything that a screen shows."""
    home = new_home("home", bare=False)
    for number, minutes in ((1, 1), (2, 25), (3, 1)):
        heard(home, number, ago(minutes=minutes))
    lost = {"kind": "DataNode dead", "entity": "10.0.0.2:9866", "title": "DataNode dead on 10.0.0.2:9866 (dn2)"}
    near = [f"{3:08x}00000000"]
    put(
        home,
        "incidents",
        incident(0x3F2A0000, severity="critical", began=ago(minutes=25), related=near, **lost),
        incident(2, severity="warning", status="acknowledged", began=ago(hours=9), lasted=timedelta(hours=8)),
        incident(3, began=ago(minutes=24), details={
            "where": {"server": [{"name": "10.0.0.7:9866", "items": 12, "share": 1.0, "usual": 0.2}]},
            "examples": ["blk_-5"],
            "lines": ["2026-11-22 07:36:00 10.0.0.7:9866 WARN DataNode: [x] DiskOutOfSpaceException"],
        }, kinds={"write failed: disk full": 10, "write went on without a DataNode": 2}),
        incident(4, status="resolved", began=ago(hours=5), entity="", title="read after the deletion: 24 blocks"),
        incident(5, status="expired", began=ago(hours=30), lasted=timedelta(hours=8)),
    )  # fmt: skip
    anomaly = {"domain": "blocks", "item": "blk_-5", "detector": "lifecycle", "kind": "write failed: disk full"}
    anomaly |= {"score": 0.9, "status": "final", "origin": "batch", "blamed": ["10.0.0.7:9866"]}
    put(home, "anomalies", anomaly | {"told_from": ago(minutes=24), "last_time": ago(minutes=1)})
    say(home.store, "00000003", "ack", note="disk is ordered", by="Ann", now=ago(minutes=5))
    return home


def screen(home: Home, columns: int) -> str:
    """What `status` shows on a terminal of so many columns, at the time of the tests."""
    found = home_status(home.store, home.settings, parse_since("24h", NOW), now=NOW, most=40)
    console = SafeConsole(width=columns, file=StringIO())
    for part in status_parts(replace(found, home="/srv/cluster-a")):
        console.print(part, highlight=False, soft_wrap=isinstance(part, str))
    text = str(console.file.getvalue())  # type: ignore[attr-defined]
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


@pytest.mark.parametrize("columns", [80, 120])
def test_the_screen(morning: Home, columns: int) -> None:
    shown = screen(morning, columns)
    assert shown == (GOLDEN / f"status_{columns}.txt").read_text()
    commands = [line for line in shown.splitlines() if "hdfs-pipeline" in line]
    assert max(cell_len(line) for line in shown.splitlines() if line not in commands) <= columns
    assert all(len(line.split("hdfs-pipeline")) == 2 for line in commands), "a command stays on its line"
    assert len(shown.splitlines()) <= 32, "one screen"


def test_an_incident_in_full(morning: Home) -> None:
    console = SafeConsole(width=200, file=StringIO())
    for line in incident_lines(whole_incident(morning.store, "00000003")):
        console.print(line, highlight=False, soft_wrap=True)
    told = str(console.file.getvalue())  # type: ignore[attr-defined]
    assert told == (GOLDEN / "incident.txt").read_text()


def test_from_logs_to_what_happened(run: Run, excerpt: Excerpt) -> None:
    read = run("--home", "h", "ingest", excerpt.log, "--json").json
    assert read["verdicts"]["detector"] == "lifecycle" and read["verdicts"]["incidents"] > 0
    found = run("--home", "h", "status", "--json", "--since", "52w").json
    assert found["finished"] and found["number_ended"] + found["number_open"] == read["verdicts"]["incidents"]
    listed = run("--home", "h", "incidents", "list", "--json").json
    assert len(listed) == read["verdicts"]["incidents"]
    first = listed[0]
    told = run("--home", "h", "incidents", "show", first["id"][:8])
    assert told.code == 0 and first["title"] in told.out
    for command in (*found["commands"], *(line.strip() for line in told.out.splitlines() if "explain" in line)):
        words = command[command.index("hdfs-pipeline") :].split()[1:]
        assert "train" in words or run(*(["--home", "h"] if "--home" not in words else []), *words).code == 0, command
    again = run("--home", "h", "ingest", excerpt.log)
    assert f"{read['verdicts']['incidents']} incidents: `hdfs-pipeline status` tells them" in again.out
    assert run("--home", "h", "incidents", "list", "--json").json == listed, "the same logs give the same incidents"


def test_ingest_without_verdicts(run: Run, excerpt: Excerpt) -> None:
    read = run("--home", "h", "ingest", "--no-verdicts", excerpt.log, "--json").json
    assert read["verdicts"] is None
    found = run("--home", "h", "status", "--json").json
    assert [lack["kind"] for lack in found["lacks"]] == ["unscored", "untrained"]
    assert found["commands"][0] == "hdfs-pipeline --home h score"


def test_a_home_without_records(run: Run, home: Home) -> None:
    told = run("--home", home.settings.home, "status")
    assert told.code == 0 and "hdfs-pipeline --home" in told.out and "ingest /var/log/hadoop-hdfs/" in told.out
    assert run("--home", home.settings.home, "status", "--check").code == 0


def test_the_check_of_a_cron_job(run: Run, home: Home) -> None:
    at = ("--home", home.settings.home)
    put(home, "incidents", incident(1, severity="warning", began=datetime.now(UTC)))
    assert run(*at, "status", "--check").code == 0
    put(home, "incidents", incident(2, began=datetime.now(UTC)))
    assert run(*at, "status").code == 0
    assert run(*at, "status", "--check", "--json").code == 1
    assert run(*at, "incidents", "resolve", "00000002").code == 0
    assert run(*at, "status", "--check").code == 0


def test_what_people_say(run: Run, home: Home) -> None:
    at = ("--home", home.settings.home)
    put(home, "incidents", incident(1, entity="dn[7]"), incident(0x1F))
    assert run(*at, "incidents", "ack", "0").code == 4, "two begin so"
    said = run(*at, "incidents", "ack", "00000001", "--note", "on [it]", "--by", "Ann")
    assert said.out == "00000001 write failed: disk full on dn[7]: open → acknowledged\n"
    assert "stays acknowledged; only an open incident" in run(*at, "incidents", "ack", "00000001").out
    done = run(*at, "incidents", "suppress", "00000001", "--json").json
    assert (done["before"], done["status"]) == ("acknowledged", "suppressed")
    assert "on [it]" in run(*at, "incidents", "show", "00000001").out
    assert [row["id"][:8] for row in run(*at, "incidents", "list", "--status", "open", "--json").json] == ["0000001f"]
    assert "suppressed → open" in run(*at, "incidents", "reopen", "00000001").out
    told = run(*at, "incidents", "list", "--limit", "1").out
    assert "2 incidents (1 more: --limit)" in told
    assert "no such incident" in run(*at, "incidents", "list", "--kind", "nothing").out


def test_a_home_that_cannot_be_judged_is_read_all_the_same(run: Run, excerpt: Excerpt, tmp_path: Path) -> None:
    (tmp_path / "h").mkdir()
    (tmp_path / "h" / "settings.toml").write_text('champion = "exact_match"\n')
    done = run("--home", "h", "ingest", excerpt.log, "--json")
    assert done.json["verdicts"]["detector"] == "lifecycle", "until it is trained"


def test_an_incident_goes_into_a_ticket_and_can_be_a_false_alarm(morning: Home, run: Run) -> None:
    ticket = run("--home", str(morning.settings.home), "incidents", "export", "00000003").out
    assert "- **Severity:** major" in ticket and "DiskOutOfSpaceException" in ticket and "disk is ordered" in ticket
    table = run("--home", str(morning.settings.home), "incidents", "export", "00000003", "--format", "csv").out
    assert "blk_-5" in table.splitlines()[1]
    said = run("--home", str(morning.settings.home), "incidents", "false-alarm", "00000003", "--by", "Ann")
    assert "acknowledged → suppressed" in said.out
    assert morning.rows("SELECT item, verdict, given_by FROM feedback") == [("blk_-5", "false", "Ann")]
