"""`incidents follow` as a process: what is read into its home is told, and it ends when it is asked to."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hdfs_pipeline.cli.tables.incidents import change_line
from hdfs_pipeline.verdicts.incidents import incident_json
from hdfs_pipeline_tests.homes import Excerpt, Home
from hdfs_pipeline_tests.streaming.conftest import command, run_command, wait_for
from hdfs_pipeline_tests.verdicts.made_incidents import NOW, incident

LIMIT_S = 120.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_read_is_told_once(
    new_home: Callable[..., Home], excerpt: Excerpt, tmp_path: Path, number: signal.Signals
) -> None:
    home = new_home("home", bare=False)
    line, environment = command(home, "incidents", "follow", "--json")
    out = tmp_path / "out"
    with out.open("wb") as file:
        process = subprocess.Popen(line, env=environment, stdout=file, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None and b"none is open" in process.stderr.readline()
        assert run_command(home, "ingest", str(excerpt.log), limit_s=LIMIT_S).returncode == 0
        there = {row[0] for row in home.rows("SELECT id FROM incidents")}
        assert there

        def ids() -> list[str]:
            return [json.loads(line)["incident"]["id"] for line in out.read_text().splitlines()]

        wait_for(lambda: set(ids()) >= there, LIMIT_S, "all incidents")
        assert len(ids()) == len(set(ids()))
        process.send_signal(number)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("what", "differing", "told"),
    [
        ("opened", {}, "07:00:00 opened  [dark_orange]major[/]  disk \\[full] on dn7"),
        ("opened", {"status": "resolved"}, "07:00:00 over    [dark_orange]major[/]  disk \\[full] on dn7, lasted 90 s"),
        ("grew", {}, "07:01:30 grew    [dark_orange]major[/]  disk \\[full] on dn7, for 90 s"),
        ("ended", {"status": "resolved"}, "07:01:30 ended   [dark_orange]major[/]  disk \\[full] on dn7, after 90 s"),
        ("ended", {"status": "expired"}, "07:01:30 ended   [dark_orange]major[/]  disk \\[full] on dn7, after 90 s"),
    ],
)  # fmt: skip
def test_a_line(what: str, differing: dict[str, str], told: str) -> None:
    row = incident_json(incident(0x3F2A91C0, title="disk [full] on dn7", **differing))
    line, _, command = change_line(what, row, NOW.date().isoformat()).partition("   [dim]")
    assert (
        line == told + " (expired)" * (row["status"] == "expired")
        and command == "hdfs-pipeline incidents show 3f2a91c0[/]"
    )
    assert change_line(what, row, "2026-12-01").startswith("2026-11-22 07:0")
