"""Files into the store: nothing lost, nothing doubled, whatever the files are and whenever it is interrupted."""

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard
from filelock import FileLock

from hdfs_pipeline.domains.blocks.ingest import Ingested, ingest
from hdfs_pipeline.domains.blocks.parse import parse
from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.sources.files import LogFile
from hdfs_pipeline_tests.homes import Home

GOLDEN = Path(__file__).parents[2] / "golden"
V1 = (
    b"081109 203615 148 INFO dfs.DataNode$PacketResponder: PacketResponder 1 for block blk_38865049064139660 end\n"
    b"081109 203807 222 INFO dfs.DataNode$PacketResponder: PacketResponder 0 for block blk_-6952295868487656571 end\n"
    b"081109 204005 35 INFO dfs.FSNamesystem: BLOCK* NameSystem.addStoredBlock: blockMap updated: x is added to blk_7\n"
)
LOG4J = (
    b"2026-11-21 14:37:55,869 INFO org.apache.hadoop.hdfs.DataNode: Scheduling blk_1073741830_1006 replica\r\n"
    b"  getNumBytes()     = 4322\r\n"
    b"  getBlockURI()     = file:/srv/blk_1073741999\r\n"
    b"2026-11-21 14:37:56,000 WARN datanode.DataNode: caf\xc3\xa9 \xff\xfe blk_2_3\n"
    b"\n"
    b"java.io.IOException: x\n"
    b"2026-11-21 14:37:57,000 INFO datanode.DataNode: no block\n"
)
ACCESS = b'83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /x HTTP/1.1" 200 203023\n'


def put(folder: Path, name: str, data: bytes) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def run(home: Home, *paths: str) -> Ingested:
    return ingest(home.store, home.settings, paths)


def records(home: Home) -> list[tuple[Any, ...]]:
    return home.rows("SELECT source_id, position, time, origin, message, more, block_ids FROM raw_logs ORDER BY 1, 2")


def dead(home: Home) -> list[tuple[Any, ...]]:
    return home.rows("SELECT source_id, position, reason, text FROM dead_letters ORDER BY 1, 2, 3")


def sources(home: Home) -> list[tuple[Any, ...]]:
    return home.rows("SELECT source_id, sha256, bytes, layout, lines, records FROM sources ORDER BY 1")


def everything(home: Home) -> tuple[Any, ...]:
    return records(home), dead(home), sources(home)


def assert_all_accounted_for(home: Home) -> None:
    """Each source's records are its rows in `raw_logs` and `dead_letters`, no two of them the same."""
    counted = (
        "SELECT source_id, count(*) FROM (SELECT source_id FROM raw_logs UNION ALL SELECT source_id FROM dead_letters)"
    )
    assert dict(home.rows(f"{counted} GROUP BY 1")) == dict(
        home.rows("SELECT source_id, records FROM sources WHERE records > 0")
    )
    assert home.rows("SELECT source_id, position FROM raw_logs GROUP BY ALL HAVING count(*) > 1") == []


def test_both_layouts_are_kept_as_they_were_written(home: Home, tmp_path: Path) -> None:
    done = run(home, put(tmp_path, "v1.log", V1), put(tmp_path, "today.log", LOG4J))
    assert (done.files, done.lines, done.records, done.dead_letters, done.notes) == (2, 10, 6, 0, [])
    found = records(home)
    assert [(row[1], row[6]) for row in found] == [
        (1, [38865049064139660]),
        (2, [-6952295868487656571]),
        (3, [7]),
        (1, [1073741830, 1073741999]),
        (4, [2]),
        (7, []),
    ]
    assert found[0][2] == datetime(2008, 11, 9, 20, 36, 15, tzinfo=UTC)
    assert found[3][2] == datetime(2026, 11, 21, 14, 37, 55, 869000, tzinfo=UTC)
    assert found[3][5] == "  getNumBytes()     = 4322\r\n  getBlockURI()     = file:/srv/blk_1073741999"
    assert found[4][4:6] == ("café \ufffd\ufffd blk_2_3", "\njava.io.IOException: x")
    assert [row[3:] for row in sources(home)] == [("hdfs_v1", 3, 3), ("log4j", 7, 3)]
    assert_all_accounted_for(home)


def test_time_stamps_are_read_in_the_time_zone_of_the_settings(new_home: Callable[..., Home], tmp_path: Path) -> None:
    home = new_home(log_timezone="Europe/Berlin")
    run(home, put(tmp_path, "today.log", LOG4J))
    assert records(home)[0][2] == datetime(2026, 11, 21, 13, 37, 55, 869000, tzinfo=UTC)


def test_a_time_zone_that_there_is_not_is_refused_in_plain_words(new_home: Callable[..., Home], tmp_path: Path) -> None:
    home = new_home(log_timezone="Mars/Olympus")
    with pytest.raises(SetupError, match="log_timezone: no time zone 'Mars/Olympus'"):
        run(home, put(tmp_path, "today.log", LOG4J))


FAULTY = [
    (b"one\ntwo\n" + V1, [(1, "no log record", "one"), (2, "no log record", "two")], 3),
    (LOG4J + b"2026-13-01 00:00:00,000 : x\n" + LOG4J, [(8, "no log record", "2026-13-01 00:00:00,000 : x")], 6),
    (b"2026-02-30 00:00:00,000 a: x\n" + LOG4J, [(1, "no log record", "2026-02-30 00:00:00,000 a: x")], 3),
    (b"2026-02-03 25:00:00,000 a: x\nmore\n" + LOG4J, [(1, "no log record", "2026-02-03 25:00:00,000 a: x")], 3),
    (LOG4J + b"2026-11-21 14:37:57,000 INFO no end", [(8, "no log record", "2026-11-21 14:37:57,000 INFO no end")], 3),
    (V1.rstrip(b"\n"), [], 3),
    (V1.replace(b"\n", b"\r\n"), [], 3),
    (V1.replace(b"end", b"e\0nd"), [], 3),
    (V1 + b"\0" * 5000, [], 3),
]  # fmt: skip


@pytest.mark.parametrize(("data", "letters", "good"), FAULTY)
def test_what_is_no_record_becomes_a_dead_letter_and_the_rest_stays(
    home: Home, tmp_path: Path, data: bytes, letters: list[tuple[int, str, str]], good: int
) -> None:
    done = run(home, put(tmp_path, "a.log", data))
    assert [(at, reason.split(":")[0], text) for _, at, reason, text in dead(home)] == letters
    assert len(records(home)) == good
    assert (done.dead_letters, done.records) == (len(letters), good + len(letters))
    assert done.lines == sources(home)[0][4] == data.count(b"\n") + (not data.endswith(b"\n"))
    assert_all_accounted_for(home)


def test_a_line_of_ten_megabytes_is_one_dead_letter_and_its_neighbours_stay(home: Home, tmp_path: Path) -> None:
    head, *rest = V1.splitlines(keepends=True)
    long = b"081109 203616 1 INFO dfs.DataNode: " + b"blk_9 " * ((10 << 20) // 6) + b"\n"
    done = run(home, put(tmp_path, "a.log", b"".join([head, long, *rest])))
    ((_, position, reason, text),) = dead(home)
    assert (position, reason) == (2, f"longer than {1 << 20} bytes")
    assert len(text) == 1000
    assert [row[1] for row in records(home)] == [1, 3, 4]
    assert (done.lines, done.records) == (4, 4)


def test_an_empty_file_is_a_source_without_records(home: Home, tmp_path: Path) -> None:
    done = run(home, put(tmp_path, "a.log", b""), put(tmp_path, "b.log", b""))
    assert (done.records, done.notes, len(done.skipped)) == (0, ["a.log: empty"], 1)
    assert sources(home)[0][2:] == (0, "", 0, 0)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_text_in_utf_16_is_named_with_the_next_step(home: Home, tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.log").write_text("2025-06-01 19:30:54,123 INFO a: blk_1\n" * 3, encoding=encoding)
    ingest(home.store, home.settings, [str(tmp_path / "a.log")])
    ((_, position, reason, *_),) = dead(home)
    assert (position, "iconv -f UTF-16 -t UTF-8" in reason) == (1, True)


def test_a_binary_file_is_one_dead_letter(home: Home, tmp_path: Path) -> None:
    done = run(home, put(tmp_path, "a.log", os.urandom(1 << 16) + b"\0" * 100 + b"\n" * 50), put(tmp_path, "b.log", V1))
    assert [row[1:3] for row in dead(home)] == [(1, "a binary file")]
    assert done.notes == ["a.log: 1 dead letters (a binary file)"]
    assert len(records(home)) == 3
    assert_all_accounted_for(home)


def test_a_file_of_another_program_is_a_dead_letter_per_line(home: Home, tmp_path: Path) -> None:
    done = run(home, put(tmp_path, "logs/access.log", ACCESS * 40), put(tmp_path, "logs/dn.log", V1))
    assert len(dead(home)) == done.dead_letters == 40
    assert {row[3] for row in dead(home)} == {ACCESS.decode().rstrip("\n")}
    assert [row[1] for row in dead(home)] == list(range(1, 41))
    assert done.notes == ["access.log: 40 dead letters (the line does not begin with a time stamp in a known form)"]
    assert len(records(home)) == 3


def test_tens_of_thousands_of_junk_lines_are_counted_one_by_one(home: Home, tmp_path: Path) -> None:
    done = run(home, put(tmp_path, "junk.log", b"x\n" * 50_000))
    assert done.dead_letters == done.lines == len(dead(home)) == 50_000


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_packed_logs_are_read_like_plain_ones(home: Home, tmp_path: Path, suffix: str) -> None:
    packed = gzip.compress(V1[:150]) + gzip.compress(V1[150:])
    if suffix == "zst":
        packed = zstandard.ZstdCompressor().compress(V1[:150]) + zstandard.ZstdCompressor().compress(V1[150:])
    done = run(home, put(tmp_path, f"a.log.{suffix}", packed))
    assert (done.records, done.dead_letters, done.notes) == (3, 0, [])


def test_the_layout_is_told_by_more_than_the_first_frame_of_a_packed_log(home: Home, tmp_path: Path) -> None:
    pack = zstandard.ZstdCompressor().compress
    run(home, put(tmp_path, "a.log.zst", pack(b"no head\n") + pack(V1)))
    assert sources(home)[0][3:] == ("hdfs_v1", 4, 4)
    assert (len(records(home)), len(dead(home))) == (3, 1)


def test_a_gz_cut_short_keeps_what_stands_before_and_says_so(home: Home, tmp_path: Path) -> None:
    data = V1 * 3000
    packed = gzip.compress(data, compresslevel=1)
    done = run(home, put(tmp_path, "a.log.gz", packed[: len(packed) // 2]))
    *_, last = dead(home)
    assert last[2:] == ("the packed file ends early: it was cut short", "")
    assert done.notes[0].endswith("(the packed file ends early: it was cut short)")
    assert len(records(home)) > 1000
    assert last[1] == done.lines + 1
    assert_all_accounted_for(home)
    again = run(home, put(tmp_path, "whole.log.gz", packed))  # then the whole file comes: a log that has grown
    assert [row[4] for row in records(home)] == [line.split(": ", 1)[1] for line in data.decode().splitlines()]
    assert dead(home) == []
    assert (done.lines + again.lines, done.records + again.records) == (9000, 9000)
    assert done.dead_letters + again.dead_letters == 0
    assert_all_accounted_for(home)


def test_the_same_content_is_read_once_whatever_its_name_and_packing(home: Home, tmp_path: Path) -> None:
    first = run(home, put(tmp_path, "a.log", V1))
    before = everything(home)
    again = run(
        home,
        put(tmp_path, "a.log", V1),
        put(tmp_path, "copy.log", V1),
        put(tmp_path, "a.log.gz", gzip.compress(V1)),
        put(tmp_path, "a.log.zst", zstandard.ZstdCompressor().compress(V1)),
    )
    assert (first.files, again.files, again.records, len(again.skipped)) == (1, 0, 0, 4)
    assert everything(home) == before


def test_copies_within_one_ingest_are_read_once(home: Home, tmp_path: Path) -> None:
    put(tmp_path, "logs/a.log", V1)
    put(tmp_path, "logs/b.log", V1)
    done = run(home, str(tmp_path / "logs"))
    assert (done.files, done.records, len(done.skipped)) == (1, 3, 1)


GROWING = b"\xff junk before\n" + LOG4J + b"2026-13-01 00:00:00,000 INFO a: x\n more blk_5\n" + LOG4J.rstrip(b"\n")
CUTS = sorted(
    # in the junk, after it, in a head, before, in and after continuation lines, inside CRLF and inside a character
    {3, 14, 20, 115, 116, 124, 144, 192, 244, 257, 258, 268, 281, 372, 384, 690}
)


@pytest.mark.parametrize("cuts", [CUTS[k::2] for k in range(2)], ids=str)
def test_a_log_that_grows_in_whatever_steps_is_as_if_read_at_once(
    new_home: Callable[..., Home], tmp_path: Path, cuts: list[int]
) -> None:
    at_once, growing = new_home("at_once"), new_home("growing")
    run(at_once, put(tmp_path, "nn.log", GROWING))
    parse(at_once.store, at_once.settings)
    steps = []
    for cut in [*cuts, len(GROWING)]:
        steps.append(run(growing, put(tmp_path, "nn.log", GROWING[:cut])))
        parse(growing.store, growing.settings)
        assert_all_accounted_for(growing)
    assert everything(growing) == everything(at_once)
    events = "SELECT source_id, position, event_id, block_ids, alarm FROM parsed_events ORDER BY ALL"
    assert growing.rows(events) == at_once.rows(events)
    (source,) = sources(growing)
    assert sum(step.lines for step in steps) == source[4] == GROWING.count(b"\n") + 1
    assert sum(step.records for step in steps) == source[5]
    assert sum(step.dead_letters for step in steps) == len(dead(growing))


def test_a_log_that_grew_and_was_renamed_and_packed_is_read_on(home: Home, tmp_path: Path) -> None:
    run(home, put(tmp_path, "nn.log", V1))
    done = run(home, put(tmp_path, "nn.log.1.gz", gzip.compress(V1 + V1)), put(tmp_path, "nn.log", b""))
    assert (done.records, done.lines) == (3, 3)
    assert [row[1] for row in records(home)] == [1, 2, 3, 4, 5, 6]
    assert home.rows("SELECT path FROM sources WHERE bytes > 0") == [(str(tmp_path / "nn.log.1.gz"),)]


def test_a_log_that_grows_in_another_layout_is_read_on(home: Home, tmp_path: Path) -> None:
    run(home, put(tmp_path, "a.log", b"2026-11-21 14:37:57,000 INFO a: one\n"))
    run(home, put(tmp_path, "a.log", b"2026-11-21 14:37:57,000 INFO a: one\n" + V1))
    assert [row[1] for row in records(home)] == [1, 2, 3, 4]
    assert sources(home)[0][3:] == ("hdfs_v1 + log4j", 4, 4)
    assert_all_accounted_for(home)


def test_what_is_written_while_a_file_is_read_waits_for_the_next_ingest(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path) -> None:
        with path.open("ab") as file:
            file.write(V1)

    path = put(tmp_path, "a.log", V1)
    between_hash_and_staging(monkeypatch, write)
    first = run(home, path)
    monkeypatch.undo()
    assert (first.records, len(records(home))) == (3, 3)
    second = run(home, path)
    assert (second.records, len(records(home))) == (3, 6)
    assert_all_accounted_for(home)


def test_logs_of_several_daemons_keep_their_continuation_lines_apart(home: Home, tmp_path: Path) -> None:
    head, tail = LOG4J.splitlines(keepends=True)[:1], LOG4J.splitlines(keepends=True)[1:]
    run(home, put(tmp_path, "1.log", b"".join(head)), put(tmp_path, "2.log", b"".join(tail)))
    assert records(home)[0][5:] == ("", [1073741830])
    assert [row[:2] for row in dead(home)] == [(2, 1), (2, 2)]


def test_host_and_daemon_of_hadoops_file_names_are_kept(home: Home, tmp_path: Path) -> None:
    put(tmp_path, "logs/hadoop-hdfs-namenode-nn1.example.com.log.2", V1)
    put(tmp_path, "logs/hadoop-hdfs-datanode-dn7.log.2024-11-01.gz", gzip.compress(LOG4J))
    put(tmp_path, "logs/labels.csv", b"block_id,label\n")
    put(tmp_path, "logs/README", b"about\n")
    run(home, str(tmp_path / "logs"))
    assert home.rows("SELECT daemon, host FROM sources ORDER BY daemon") == [
        ("datanode", "dn7"),
        ("namenode", "nn1.example.com"),
    ]


@pytest.mark.parametrize(
    "name", ["it's a log.log", 'say "log" %s {x}.log', "日志.log", "a;b--.log", os.fsdecode(b"caf\xe9.log")]
)
def test_names_of_any_kind_do_no_harm(new_home: Callable[..., Home], tmp_path: Path, name: str) -> None:
    home = new_home(f"home of {name}" if name.isprintable() else "home")
    put(tmp_path, name, V1 + b"081399 203615 148 INFO a: x\n")
    done = run(home, str(tmp_path / name))
    assert (done.records, done.dead_letters) == (4, 1)
    ((path,),) = home.rows("SELECT path FROM sources")
    assert path == os.fsencode(tmp_path / name).decode(errors="replace")


# For each case (home, at_once, table, number, after) a child that publishes `at_once` files in one transaction and
# kills itself when the `number`th rows of `table` are to be written, before (0) or after (1) it wrote them.
KILLER = """
import json, os, signal, sys
from hdfs_pipeline.domains import staged
from hdfs_pipeline.domains.blocks import ingest
from hdfs_pipeline.settings import load_settings
from hdfs_pipeline.store.store import Store

paths = sys.argv[2:]

def run(home, at_once, table, number, after):
    seen = 0
    def deadly(write):
        def written(con, name, *arguments, **options):
            nonlocal seen
            seen += name == table
            if name == table and seen == number:
                if after:
                    write(con, name, *arguments, **options)
                os.kill(os.getpid(), signal.SIGKILL)
            return write(con, name, *arguments, **options)
        return written
    ingest.put = deadly(ingest.put)
    staged.publish_into, staged._FILES = deadly(staged.publish_into), at_once
    settings = load_settings(home)
    ingest.ingest(Store.open(settings), settings, paths)

for case in json.loads(sys.argv[1]):
    if not (child := os.fork()):
        run(*case)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
KILLS = [(1, "raw_logs", 1, 0), (1, "raw_logs", 2, 1), (1, "sources", 3, 1), (2, "sources", 2, 1), (9, "sources", 1, 1)]
KEPT = [0, 1, 2, 2, 0]  # files that the killed ingest had published


def test_an_ingest_that_was_killed_and_run_again_is_as_if_run_once(
    new_home: Callable[..., Home], tmp_path: Path
) -> None:
    paths = [put(tmp_path, "a.log", V1), put(tmp_path, "b.log", LOG4J), put(tmp_path, "c.log", ACCESS * 3)]
    once, killed = new_home("once"), [new_home(f"killed {number}") for number in range(len(KILLS))]
    run(once, *paths)
    cases = json.dumps([[str(home.settings.home), *kill] for home, kill in zip(killed, KILLS, strict=True)])
    command = [sys.executable, "-c", KILLER, cases, *paths]
    said = subprocess.run(command, timeout=100, check=True, capture_output=True, text=True).stdout
    assert said.split() == [str(-signal.SIGKILL.value)] * len(KILLS)
    for home, kept in zip(killed, KEPT, strict=True):
        assert [path for path in home.settings.home.iterdir() if path.is_dir()], "it was killed amid its work"
        done = run(home, *paths)
        assert everything(home) == everything(once)
        assert (done.files, len(done.skipped)) == (3 - kept, kept)
        assert [path for path in home.settings.home.iterdir() if path.is_dir()] == []


def test_a_second_ingest_at_the_same_time_is_refused_in_plain_words(
    new_home: Callable[..., Home], tmp_path: Path
) -> None:
    home = new_home(lock_timeout_s=0.1)
    run(home, put(tmp_path, "a.log", V1))
    with (
        FileLock(home.settings.home / "ingest.lock"),
        pytest.raises(SetupError, match=r"another ingest into .* is under way"),
    ):
        run(home, put(tmp_path, "b.log", LOG4J))
    assert run(home, str(tmp_path / "b.log")).records == 3


def test_where_nothing_is_there_to_read_nothing_is_left_behind(new_home: Callable[..., Home], tmp_path: Path) -> None:
    home = new_home(bare=True)
    with pytest.raises(DataError, match=r"absent\.log: no such file; .*gone\.log: no such file"):
        run(home, str(tmp_path / "absent.log"), str(tmp_path / "gone.log"))
    assert not home.settings.store_path.exists()


def test_what_cannot_be_read_is_named_and_the_rest_is_stored(home: Home, tmp_path: Path) -> None:
    (tmp_path / "circle.log").symlink_to(tmp_path / "circle.log")
    paths = [str(tmp_path / "absent.log"), put(tmp_path, "a.log", V1), str(tmp_path / "circle.log")]
    done = run(home, *paths, put(tmp_path, "b.log", LOG4J))
    assert (done.files, done.records) == (2, 6)
    assert done.unread == [
        f"{tmp_path}/absent.log: no such file",
        f"{tmp_path}/circle.log: Too many levels of symbolic links",
    ]


def test_what_a_scan_leaves_out_is_listed(home: Home, tmp_path: Path) -> None:
    for name in ("a.log", "labels.csv", "README", "x.log.tmp"):
        put(tmp_path, f"logs/{name}", V1)
    done = run(home, str(tmp_path / "logs"))
    assert (done.files, done.unread) == (1, [])
    assert [Path(left.path).name for left in done.left_out] == ["README", "labels.csv", "x.log.tmp"]
    assert done.notes == [
        "left out: README, labels.csv: neither .log nor .out in its name; name the file itself to read it",
        "left out: x.log.tmp: a temporary name",
    ]


Hook = Callable[[Path], None]


def between_hash_and_staging(monkeypatch: pytest.MonkeyPatch, what: Hook, times: int = 1) -> None:
    """Let `what` happen to the first files, `times` times, after they were hashed and before they are staged."""
    digests, left = LogFile.prefix_digests, [times]

    def and_then(file: LogFile, *arguments: Any) -> dict[int, str]:
        found = digests(file, *arguments)
        if left[0]:
            left[0] -= 1
            what(file.path)
        return found

    monkeypatch.setattr(LogFile, "prefix_digests", and_then)


def rotated_by_name(path: Path) -> None:
    path.rename(path.with_name(f"{path.name}.1"))
    path.write_bytes(LOG4J)


def copied_and_truncated(path: Path) -> None:
    path.with_name(f"{path.name}.1").write_bytes(path.read_bytes())
    path.write_bytes(LOG4J)


def overwritten_in_place(path: Path) -> None:
    path.with_name(f"{path.name}.1").write_bytes(path.read_bytes())
    with path.open("r+b") as file:
        file.write(LOG4J + V1[len(LOG4J) :] if len(LOG4J) < len(V1) else LOG4J)


@pytest.mark.parametrize("what", [rotated_by_name, copied_and_truncated, overwritten_in_place])
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_moves_between_hash_and_staging_loses_nothing(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: Hook, packed: bool
) -> None:
    put(tmp_path, "logs/a.log", gzip.compress(V1 * 5000) if packed else V1 * 5000)
    between_hash_and_staging(monkeypatch, what)
    done = run(home, str(tmp_path / "logs"))
    monkeypatch.undo()
    again = run(home, str(tmp_path / "logs"))  # the file that has taken the other's name may have come too late
    stored = dict(home.rows("SELECT sha256, bytes FROM sources"))
    there = [b"".join(LogFile(path).chunks(1 << 20)) for path in (tmp_path / "logs").iterdir()]
    assert stored == {hashlib.sha256(data).hexdigest(): len(data) for data in there}
    assert V1 * 5000 in there
    assert (done.unread, again.unread, done.records + again.records) == ([], [], len(records(home)) + len(dead(home)))
    assert_all_accounted_for(home)


def test_a_file_that_changes_each_time_it_is_read_is_left_with_a_word_and_the_others_are_stored(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shrink(path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-150])

    path = put(tmp_path, "a.log", V1 * 50)
    between_hash_and_staging(monkeypatch, shrink, times=1000)
    done = run(home, path)
    monkeypatch.undo()
    assert (done.files, records(home), sources(home)) == (0, [], [])
    assert done.unread == [
        f"{path}: it changed each of the 3 times that it was read, and nothing of it was stored; read it again when it "
        "is no longer cut or overwritten"
    ]
    assert run(home, path, put(tmp_path, "b.log", LOG4J)).unread == []


def test_a_file_that_vanishes_before_its_turn_is_named_and_one_that_took_another_name_is_read(
    home: Home, tmp_path: Path
) -> None:
    for name, data in (("a.log", V1), ("b.log", LOG4J), ("c.log", ACCESS * 3)):
        put(tmp_path, f"logs/{name}", data)

    def on_file(number: int, of: int, path: Path) -> None:
        if path.name == "a.log":
            (tmp_path / "logs/b.log").rename(tmp_path / "logs/b.log.1")
            (tmp_path / "logs/c.log").unlink(missing_ok=True)

    done = ingest(home.store, home.settings, [str(tmp_path / "logs")], on_file)
    assert (done.files, done.records) == (2, 6)
    assert done.unread == [
        f"{tmp_path}/logs/b.log: No such file or directory",
        f"{tmp_path}/logs/c.log: No such file or directory",
    ]


def test_logs_that_are_rotated_before_their_turn_are_all_read(home: Home, tmp_path: Path) -> None:
    for name, data in (("0.log", ACCESS), ("a.log", V1), ("a.log.1", LOG4J)):
        put(tmp_path, f"logs/{name}", data)

    def on_file(number: int, of: int, path: Path) -> None:
        if path.name == "0.log":
            (tmp_path / "logs/a.log.1").rename(tmp_path / "logs/a.log.2")
            rotated_by_name(tmp_path / "logs/a.log")
            put(tmp_path, "logs/a.log", LOG4J.replace(b"14:", b"15:"))

    done = ingest(home.store, home.settings, [str(tmp_path / "logs")], on_file)
    assert (done.files, done.records, done.unread) == (4, 10, [])


@pytest.mark.parametrize("data", [V1, LOG4J])
def test_lines_that_end_with_a_carriage_return_are_lines(home: Home, tmp_path: Path, data: bytes) -> None:
    run(home, put(tmp_path, "a.log", data))
    before = records(home)
    old = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r")
    done = run(home, put(tmp_path, "b.log", old))
    assert done.lines == data.count(b"\n")
    found = [row[1:5] + row[6:] for row in records(home) if row[0] == 2]
    assert found == [row[1:5] + row[6:] for row in before]
    assert_all_accounted_for(home)


def test_a_home_that_is_a_file_is_refused_in_plain_words(new_home: Callable[..., Home], tmp_path: Path) -> None:
    put(tmp_path, "taken", b"")
    for name in ("taken", "taken/below"):
        with pytest.raises(SetupError, match="is no folder"):
            run(new_home(name, bare=True), put(tmp_path, "a.log", V1))


def test_progress_is_told_before_each_file(home: Home, tmp_path: Path) -> None:
    heard: list[tuple[int, int, str]] = []
    paths = [put(tmp_path, "a.log", V1), put(tmp_path, "b.log", V1)]
    ingest(home.store, home.settings, paths, lambda number, of, path: heard.append((number, of, path.name)))
    assert heard == [(1, 2, "a.log"), (2, 2, "b.log")]


@pytest.mark.parametrize(("names", "files"), [("hdfs_v1*.log", 1), ("hadoop_2.7*.log", 2), ("hadoop_3.4*.log", 2)])
def test_real_excerpts_leave_no_dead_letter(home: Home, names: str, files: int) -> None:
    done = run(home, str(GOLDEN / names))
    assert (done.files, done.dead_letters) == (files, 0)
    assert done.lines == sum(path.read_bytes().count(b"\n") for path in GOLDEN.glob(names))
