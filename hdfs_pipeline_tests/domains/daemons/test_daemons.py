"""Daemons' minutes in a home: counted as they come, judged untrained and by what was learned, explained and grouped."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hdfs_pipeline.domains.contract import Selection
from hdfs_pipeline.domains.daemons.counting import records_wait
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.learning.training import fit
from hdfs_pipeline.scoring.models import save_model
from hdfs_pipeline.verdicts.explain import explain_item
from hdfs_pipeline.verdicts.files import score_home
from hdfs_pipeline.verdicts.groups import report_groups
from hdfs_pipeline_tests.cli.test_cli import Run, run
from hdfs_pipeline_tests.domains.daemons.written import (
    BEGIN,
    DAEMONS,
    DN1,
    DN2,
    NN,
    TROUBLE,
    Line,
    line,
    read,
    usual,
    write,
)
from hdfs_pipeline_tests.homes import BLOCKS, Filled, Home, open_home

__all__ = ["run"]
STARTUP = "STARTUP_MSG: \n/************************************************************"
PAUSE = "datanode 10.0.0.1:9866 2026-11-21T00:30Z jvm"
LOST = "datanode 10.0.0.2:9866 2026-11-21T00:50Z heartbeat"
TABLES = ("daemon_minutes", "daemon_addresses", "daemon_sources")


def found(home: Home, detector: str | None = None) -> dict[str, str]:
    """The kinds of the anomalies of a home by item."""
    score_home(home.store, home.settings, DAEMONS, detector)
    return dict(home.rows("SELECT item, kind FROM anomalies WHERE domain = 'daemons'"))


def with_records(folder: Path, further: dict[str, list[Line]], minutes: range = range(30)) -> Home:
    """A home with some minutes, and further records."""
    home = open_home(folder / "home")
    read(home, write(folder / "logs", minutes, further))
    return home


def at(minute: float, text: str, level: str = "INFO") -> Line:
    return line(minute * 60 + 30, text, level)


def test_without_a_model_what_is_known_is_found_where_and_when_it_was(daemons_filled: Filled, tmp_path: Path) -> None:
    home = daemons_filled.copied(tmp_path / "home").home
    assert found(home) == {PAUSE: "JVM pause", LOST: "heartbeat lost"}
    rows = home.rows("SELECT item, entity, first_time, last_time, path FROM anomalies ORDER BY item")
    paused, lost = BEGIN + timedelta(minutes=150, seconds=20), BEGIN + timedelta(minutes=170, seconds=1.5)
    assert [row[:4] for row in rows] == [
        (PAUSE, "10.0.0.1:9866", paused, paused),
        (LOST, "10.0.0.2:9866", lost, lost),  # the node at fault, not the NameNode that tells of it
    ]
    assert [Path(row[4]).name for row in rows] == [DN1, NN]
    report = explain_item(home.store, home.settings, DAEMONS, LOST, "lifecycle")
    assert [record["line"].endswith("lost heartbeat from 10.0.0.2:9866") for record in report.lines] == [True]
    assert (report.host, report.findings[0].records, report.findings[0].daemon) == ("10.0.0.2:9866", 1, "namenode")
    assert report.explanation.broken[0].records == 1
    _, groups = report_groups(home.store, home.settings, DAEMONS)
    assert {group.kind for group in groups if group.flagged} == {"JVM pause", "heartbeat lost"}


def test_troubles_of_one_minute_are_told_each(tmp_path: Path) -> None:
    full = "The volume[file:/d/] with the available space (=0 B) is less than the block size (=8 B)."
    more = {DN1: [at(20, TROUBLE[DN1][0][2], "WARN"), at(20.2, full, "WARN"), at(20.3, STARTUP)]}
    home = with_records(tmp_path, more)
    assert {item.rpartition(" ")[2]: kind for item, kind in found(home).items()} == {
        "jvm": "JVM pause",
        "space": "disk full",
        "start": "restarted without a shutdown",
    }


@pytest.mark.parametrize("stop", ["SHUTDOWN_MSG: \n/****", ""])
def test_a_restart_is_told_apart_from_a_crash(tmp_path: Path, stop: str) -> None:
    home = with_records(tmp_path, {DN1: [*([at(20, stop)] if stop else []), at(21, STARTUP)], NN: [at(-0.6, STARTUP)]})
    item = "datanode 10.0.0.1:9866 2026-11-20T22:21Z start"
    assert found(home) == ({} if stop else {item: "restarted without a shutdown"})
    rules = {group.kind for group in report_groups(home.store, home.settings, DAEMONS)[1]}
    assert "restarted" in rules if stop else "restarted" not in rules


def test_two_starts_in_a_daemons_first_minute_are_one_crash(tmp_path: Path) -> None:
    home = with_records(tmp_path, {DN1: [line(-50, STARTUP), line(-20, STARTUP)]})
    assert list(found(home).values()) == ["restarted without a shutdown"]


@pytest.mark.parametrize(("stop", "kinds"), [("", ["daemon silent"]), ("RECEIVED SIGNAL 15: SIGTERM", [])])
def test_silence_is_found_and_a_stop_is_none(tmp_path: Path, stop: str, kinds: list[str]) -> None:
    """Silence begins with the last record, and counts only the minutes in which others wrote."""
    home = open_home(tmp_path / "home")
    paths = write(tmp_path / "logs", range(30))
    kept = [text for text in paths[1].read_text().splitlines(keepends=True) if text < "2026-11-20 22:22"]
    paths[1].write_text("".join([*kept, f"2026-11-20 22:21:50,000 INFO a.b: {stop}\n"] if stop else kept))
    read(home, paths)
    assert list(found(home).values()) == kinds
    if kinds:
        ((item, first),) = home.rows("SELECT item, first_time FROM anomalies")
        assert item == "datanode 10.0.0.1:9866 2026-11-20T22:21Z"
        assert first == BEGIN + timedelta(minutes=21, seconds=9)


def test_records_of_no_known_daemon_tell_of_no_silence_and_no_restart(tmp_path: Path) -> None:
    """They came without a host, from any number of daemons."""
    home = open_home(tmp_path / "home")
    paths = write(tmp_path / "logs", range(30), {DN1: [at(12, STARTUP)]})
    lines = paths[1].read_text().splitlines(keepends=True)
    kept = [text for text in lines if not "2026-11-20 22:22" < text < "3" and "dest: /" not in text]
    paths[1].write_text("".join(kept))
    BLOCKS.read(home.store, home.settings, [str(path) for path in paths])
    with home.store.write() as con:
        ((source,),) = con.execute("SELECT source_id FROM sources WHERE path LIKE '%dn1.log'").fetchall()
        con.execute("UPDATE sources SET source_id = -source_id, host = '' WHERE source_id = ?", [source])
        for table in ("raw_logs", "changed_minutes"):
            con.execute(f"UPDATE {table} SET source_id = -source_id WHERE source_id = ?", [source])
    DAEMONS.derive(home.store, home.settings)
    anomalies = found(home)
    assert home.rows("SELECT count(*) FROM scores WHERE item LIKE '% unknown %'") != [(0,)]
    assert not {kind for item, kind in anomalies.items() if " unknown " in item}


def test_a_file_of_which_no_daemon_is_known_tells_of_no_silence_and_no_restart(tmp_path: Path) -> None:
    """The records of a whole cluster may lie in it."""
    home = open_home(tmp_path / "home")
    paths = write(tmp_path / "logs", range(30))
    lines = [f"{text}\n" for text in paths[0].read_text().splitlines() if text < "2026-11-20 22:20"]
    whole = tmp_path / "logs" / "all.log"
    whole.write_text("".join([*lines, f"2026-11-20 22:20:00,000 INFO a.b: {STARTUP}\n"]))
    read(home, [whole, *paths[1:]])
    assert not {kind for item, kind in found(home).items() if item.startswith("daemon ")}


def test_incidents_show_the_record_that_tells(daemons_filled: Filled, tmp_path: Path) -> None:
    home = daemons_filled.copied(tmp_path / "home").home
    found(home)
    ((starts,),) = home.rows("SELECT list(details ->> '$.lines[0]' ORDER BY started_at) FROM incidents")
    assert starts == [
        "2026-11-21 00:30:20 10.0.0.1:9866 WARN JvmPauseMonitor: Detected pause in JVM or host machine (eg GC): pause "
        "of approximately 20422ms GC pool 'PS MarkSweep' had collection(s): count=1 time=20301ms",
        "2026-11-21 00:50:01 nn1 INFO StateChange: BLOCK* removeDeadDatanode: lost heartbeat from 10.0.0.2:9866",
    ]
    rows = home.rows("SELECT told_from = first_time, told_to = last_time, blamed FROM anomalies ORDER BY item")
    assert rows == [(True, True, None)] * 2, "times and daemon are as they were"


def test_a_daemon_that_pauses_often_is_not_silent(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    paths = write(tmp_path / "logs", range(60))
    minutes = {f"2026-11-20 22:{minute:02}" for minute in range(0, 60, 4)}
    kept = [text for text in paths[1].read_text().splitlines(keepends=True) if text[:16] in minutes]
    paths[1].write_text("".join(kept))
    read(home, paths)
    assert found(home) == {}


@settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 1500), min_size=1, max_size=2).map(sorted))
def test_counting_in_pieces_is_counting_at_once(tmp_path_factory: pytest.TempPathFactory, cuts: list[int]) -> None:
    """A log that grows, cut anywhere, in the middle of a line too."""
    folder = tmp_path_factory.mktemp("pieces")
    paths = write(folder / "logs", range(4), {NN: [at(1, STARTUP)], DN1: [at(2, "Removing volume", "WARN")]})
    paths = paths[:2]
    whole = [path.read_bytes() for path in paths]
    at_once, in_pieces = open_home(folder / "once"), open_home(folder / "pieces")
    read(at_once, paths)
    for cut in [*cuts, 1 << 20]:
        for path, content in zip(paths, whole, strict=True):
            path.write_bytes(content[: cut or 1])
        read(in_pieces, paths)
    for table in TABLES:
        columns = "* EXCLUDE (source_id, revision)" if table == "daemon_minutes" else "* EXCLUDE (source_id)"
        sql = f"SELECT path, {columns} FROM {table} JOIN (SELECT source_id, path FROM sources) USING (source_id)"
        assert sorted(in_pieces.rows(sql)) == sorted(at_once.rows(sql)), table


def test_only_what_is_new_is_counted(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    paths = write(tmp_path / "logs", range(30))
    read(home, paths)
    assert not records_wait(home.store)
    assert DAEMONS.derive(home.store, home.settings) == 0
    with paths[0].open("a") as file:
        file.write("2026-11-20 22:30:01,000 INFO a.b.C: BLOCK* removeDeadDatanode: lost heartbeat from 10.0.0.2:9866\n")
    BLOCKS.read(home.store, home.settings, [str(paths[0])])
    assert records_wait(home.store)
    assert DAEMONS.derive(home.store, home.settings) == 2, "the new minute, and the one that the last record was in"


def test_an_update_judges_what_changed_and_no_more(tmp_path: Path) -> None:
    """What was written before stays as it is; a silence that begins is told of the minute before it, up to an hour."""
    home = open_home(tmp_path / "home")
    paths = write(tmp_path / "logs", range(20))
    read(home, paths)
    found(home)

    def judged_after(minutes: range) -> set[str]:
        ((before,),) = home.rows("SELECT max(scored_at) FROM scores")
        for path in paths[::2]:
            lines = write(tmp_path / "more", minutes)[paths.index(path)].read_text()
            path.write_text(path.read_text() + lines)
        read(home, paths)
        found(home)
        rows = home.rows(f"SELECT item FROM scores WHERE domain = 'daemons' AND scored_at > '{before}'")
        return {" ".join(item.split()[1:]) for (item,) in rows}

    late = judged_after(range(20, 23))
    assert {item for item in late if item.startswith("nn1")} == {f"nn1 2026-11-20T22:{m}Z" for m in range(19, 23)}
    assert not {item for item in late if item.startswith("10.0.0.1")}, "it may go on to write"
    silent = "10.0.0.1:9866 2026-11-20T22:19Z"
    assert silent in judged_after(range(23, 40))
    assert silent in judged_after(range(40, 100))
    assert home.rows("SELECT number FROM daemon_lives WHERE event_id = 'SILENT'") == [(60,)]
    assert silent not in judged_after(range(100, 103))


def test_a_home_whose_daemons_have_no_names_yet_is_brought_up_to_date(tmp_path: Path) -> None:
    """It comes from an older release."""
    home = with_records(tmp_path, {DN1: [at(21, STARTUP)]})
    before = found(home)
    with home.store.write() as con:
        con.execute("UPDATE daemon_sources SET daemon = NULL; DELETE FROM daemon_lives; DELETE FROM scores")
        con.execute("DELETE FROM judged; DELETE FROM anomalies")
    assert before
    assert found(home) == before


def test_the_verdicts_on_items_that_are_no_more_go(tmp_path: Path) -> None:
    """The record of a minute was cut off, and became a trouble, which is an item of its own."""
    home = open_home(tmp_path / "home")
    paths = write(tmp_path / "logs", range(5), {DN1: TROUBLE[DN1]})
    whole = paths[1].read_text()
    paths[1].write_text(whole[: whole.index("tected pause")])
    read(home, paths)
    found(home)
    cut = PAUSE.rpartition(" ")[0]
    assert home.rows(f"SELECT count(*) FROM scores WHERE item = '{cut}'") == [(1,)]
    paths[1].write_text(whole)
    read(home, paths)
    assert found(home) == {PAUSE: "JVM pause"}
    assert home.rows(f"SELECT item FROM scores WHERE item IN ('{cut}', '{PAUSE}')") == [(PAUSE,)]


def test_daemons_go_by_their_address_once_it_is_told(tmp_path: Path) -> None:
    """And by their host before that, or by the name of the file."""
    home = open_home(tmp_path / "home")
    paths = write(tmp_path / "logs", range(1))
    paths[2].write_text("2026-11-20 22:00:01,000 INFO a.b.C: Balancing bandwidth is 1 bytes/s\n")
    (tmp_path / "logs" / "namenode.log").write_text("2026-11-20 22:00:02,000 INFO a.b.C: HA Enabled: false\n")
    read(home, [*paths, tmp_path / "logs" / "namenode.log"])
    keys = DAEMONS.features(home.store, home.settings).keys.tolist()
    names = [key.rpartition(" ")[0] for key in keys]
    assert names == ["datanode 10.0.0.1:9866", "datanode dn2", "namenode namenode", "namenode nn1"]


def test_what_is_new_has_stopped_or_doubled_is_found_by_what_was_learned(
    daemons_filled: Filled, tmp_path: Path
) -> None:
    home = daemons_filled.copied(tmp_path / "home").home
    early = DAEMONS.features(home.store, home.settings)
    model = fit(early.take(early.time < early.time.min() + 140 * 60_000_000), DAEMONS, "rhythm", home.settings)
    save_model(model, home.settings)
    lines = [*usual(DN1, 210), at(210, "SomethingNew happened at the disk 7")]
    noisy = [line(211 * 60 + second, usual(NN, 211)[0][2]) for second in range(20)]
    quiet = [each for minute in range(212, 214) for each in usual(DN2, minute)[:1]]
    folder = tmp_path / "later"
    paths = write(folder, (), {DN1: lines, NN: noisy, DN2: quiet})
    read(home, paths)
    kinds = found(home, "rhythm")
    assert {item.split()[1][:8]: kind for item, kind in kinds.items() if item[-6:] > "01:29Z"} == {
        "10.0.0.1": "new pattern: a message that no template matches",
        "10.0.0.2": "pattern stopped: volume scanner with nothing to scan",
        "nn1": "pattern doubled: edits counted",
    }
    clean = [item for item in kinds if item.split()[2] < "2026-11-21T00:30Z"]
    assert clean == [], "what is as it was is quiet"


def test_it_reads_no_files_of_its_own(daemons_filled: Filled) -> None:
    with pytest.raises(DataError, match="come from no files of their own"):
        DAEMONS.read(daemons_filled.home.store, daemons_filled.home.settings, ["a.log"])
    assert len(daemons_filled.data(where=Selection(items=[PAUSE]))) == 1


@pytest.mark.parametrize(
    "text", ["", "a b", "datanode x 2026-11-20T22:61Z", "a b 2026-11-20T22:01Z colour", "a b c d e"]
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="one looks like datanode 10"):
        DAEMONS.item.parse(text)


def test_the_commands_know_it_in_a_fresh_home(run: Run, tmp_path: Path) -> None:
    """What was ingested for blocks is there for daemons, and files can be scored without being taken in."""
    paths = write(tmp_path / "logs", range(20), {DN1: [at(5, TROUBLE[DN1][0][2], "WARN")]})
    home = ("--home", tmp_path / "home")
    assert run(*home, "ingest", *paths).code == 0
    scored = run(*home, "score", "--domain", "daemons", "--json").json
    item = "datanode 10.0.0.1:9866 2026-11-20T22:05Z jvm"
    assert (scored["anomalies"], [kind["kind"] for kind in scored["kinds"]]) == (1, ["JVM pause"])
    told = run(*home, "explain", "--domain", "daemons", item).out
    assert "JVM pause" in told
    assert "approximately 20422ms" in told
    assert "JVM pause: 1 daemon minute (failure)" in run(*home, "groups", "--domain", "daemons").out
    apart = run("--home", tmp_path / "apart", "score", "--domain", "daemons", "--json", *paths).json
    assert apart["anomalies"] == 1
