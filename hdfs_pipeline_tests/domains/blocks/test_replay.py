"""Log files as records: what is cut, in what order, and what a second round changes."""

import gzip
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from hdfs_pipeline.domains.blocks.records import batch_of, split_records
from hdfs_pipeline.domains.blocks.replay import Record, Source, merged
from hdfs_pipeline.domains.blocks.rounds import Lapse, Rounds
from hdfs_pipeline.settings import PROJECT
from hdfs_pipeline.sources.files import LogFile
from hdfs_pipeline.sources.finding import find_files
from hdfs_pipeline_tests.domains.blocks.formats import log_format

SAMPLES = PROJECT / "data" / "sample"
HEADS = {"hdfs_v1": "hdfs_v1/HDFS.log.gz", "log4j": "hdfs_3.4/datanode_1.log.gz"}
_BLOCK = re.compile(rb"blk_(-?\d+)")


def head_of(name: str, folder: Path, lines: int = 15_000) -> Path:
    """The first lines of a shipped sample, as a file of their own."""
    target = folder / Path(name).with_suffix("").name
    with gzip.open(SAMPLES / name) as file:
        target.write_bytes(b"".join(line for line, _ in zip(file, range(lines), strict=False)))
    return target


def replayed(paths: list[Path], rounds: Rounds | None = None) -> list[tuple[str, Record]]:
    sources = [Source(LogFile(path), log_format()) for path in paths]
    return [(source.file.path.name, record) for source, record in merged(sources, rounds or Rounds())]


@pytest.mark.parametrize("layout", HEADS)
def test_records_are_those_that_files_are_split_into(layout: str, tmp_path: Path) -> None:
    path = head_of(HEADS[layout], tmp_path)
    wanted = [row for b in split_records([path.read_bytes()], log_format()) for row in b.to_pylist()]
    found = [record for _, record in replayed([path])]
    assert [record.line for record in found] == [row["position"] for row in wanted]
    assert [list(record.block_ids) for record in found] == [row["block_ids"] for row in wanted]
    assert len({len(record.text.split(b"\n")) for record in found}) > 1 or layout == "hdfs_v1"
    assert b"\n".join(record.text for record in found) == path.read_bytes().removesuffix(b"\n")


def test_records_do_not_depend_on_the_pieces_read(tmp_path: Path) -> None:
    source = Source(LogFile(head_of(HEADS["log4j"], tmp_path, 5000)), log_format())
    whole, small = (list(source.records(Rounds(), size)) for size in (1 << 20, 1000))
    assert small == whole


def test_garbage_lines_are_records_without_blocks(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(
        b"what blk_1 is this\r\n\xff\xfe\n"
        b"081109 203615 148 INFO dfs.A: blk_38 done\r\n\tat blk_39\r\n"
        b"081399 203615 148 INFO dfs.A: blk_40 on no day\n"
        b"081109 203616 148 INFO dfs.A: blk_38 and blk_38 and blk_41"
    )
    found = [(r.line, r.text, list(r.block_ids)) for _, r in replayed([path])]
    assert found == [
        (1, b"what blk_1 is this", []),
        (2, "\ufffd\ufffd".encode(), []),
        (3, b"081109 203615 148 INFO dfs.A: blk_38 done\r\n\tat blk_39", [38, 39]),
        (5, b"081399 203615 148 INFO dfs.A: blk_40 on no day", []),
        (6, b"081109 203616 148 INFO dfs.A: blk_38 and blk_38 and blk_41", [38, 41]),
    ]


def line(second: int, text: str, day: str = "081109") -> str:
    return f"{day} 2036{second:02} 148 INFO dfs.A: {text}\n"


def test_files_are_merged_by_time_and_keep_their_own_order(tmp_path: Path) -> None:
    one, two, empty = (tmp_path / name for name in ("one.log", "two.log", "empty.log"))
    # The clock of `one` goes back: its order stays, and what follows waits for the later time before it.
    one.write_text(line(1, "a1") + line(5, "a2") + line(3, "a3") + line(7, "a4"))
    two.write_text("garbage\n" + line(2, "b1") + line(5, "b2") + line(6, "b3") + "\tmore\n")
    empty.write_text("")
    found = [
        (name, record.text.decode().split(": ")[-1].split("\n")[0]) for name, record in replayed([two, one, empty])
    ]
    assert [text for _, text in found] == ["a1", "garbage", "b1", "b2", "a2", "a3", "b3", "a4"]


def test_a_folder_of_daemons_is_merged(tmp_path: Path) -> None:
    names = ("namenode", "datanode_1", "datanode_2")
    paths = [head_of(f"hdfs_3.4/{name}.log.gz", tmp_path, 4000) for name in names]
    found = replayed([file.path for file in find_files([str(tmp_path)], tmp_path).files])
    times = [record.time for _, record in found]
    assert times == sorted(times)
    for path in paths:
        assert [r for name, r in found if name == path.name] == [r for _, r in replayed([path])]


def test_rotated_files_are_opened_when_they_are_due(tmp_path: Path) -> None:
    paths = []
    for day in range(1, 29):
        paths.append(tmp_path / f"x.log.{day}")
        paths[-1].write_text(line(1, "begin", f"0811{day:02}") + line(2, "end", f"0811{day:02}"))
    sources = [Source(LogFile(path), log_format()) for path in reversed(paths)]
    opened: list[str] = []
    for source in sources:
        source.records = lambda rounds, size, s=source: (
            opened.append(s.file.path.name),
            Source.records(s, rounds, size),
        )[1]
    for count, _ in enumerate(merged(sources, Rounds())):
        assert len(opened) <= count // 2 + 2, "one is read to its end before the next is opened"
    assert opened == [path.name for path in paths]


def vectors(records: list[bytes], layout: str) -> list[list[str]]:
    """What happens to each block, in the order in which blocks appear, without their ids."""
    batch = batch_of(b"\n".join(records) + b"\n", log_format())
    blocks: dict[int, list[str]] = {}
    for row in batch.to_pylist():
        for block in row["block_ids"]:
            blocks.setdefault(block, []).append(re.sub(r"blk_-?\d+", "blk", row["message"] + row["more"]))
    return list(blocks.values())


@pytest.mark.parametrize("layout", HEADS)
def test_a_round_has_other_blocks_of_the_same_vectors(layout: str, tmp_path: Path) -> None:
    path = head_of(HEADS[layout], tmp_path)
    rounds = Rounds(pause_s=61)
    texts, times, ids = [], [], []
    for _ in range(3):
        found = [record for _, record in replayed([path], rounds)]
        texts.append([record.text for record in found])
        times.append([record.time for record in found])
        ids.append({block for record in found for block in record.block_ids})
        rounds.next()
    assert not ids[0] & ids[1] and not ids[1] & ids[2] and not ids[0] & ids[2]
    assert len(ids[0]) == len(ids[1]) == len(ids[2]) > 1
    assert vectors(texts[0], layout) == vectors(texts[1], layout) == vectors(texts[2], layout)
    step = -((times[0][0] - times[0][-1]) // 1_000_000) * 1_000_000 + 61_000_000  # whole seconds
    assert all(later - time == step for time, later in zip(times[0], times[1], strict=True))
    assert all(later - time == step for time, later in zip(times[1], times[2], strict=True))
    assert [len(text) for text in texts[0]] == [len(text) for text in texts[1]], "an id keeps its digits"


def test_fresh_ids_leave_the_times(tmp_path: Path) -> None:
    path = head_of(HEADS["log4j"], tmp_path, 3000)
    plain = [record for _, record in replayed([path])]
    fresh, other = ([record for _, record in replayed([path], Rounds(fresh=True))] for _ in range(2))
    assert [r.time for r in plain] == [r.time for r in fresh]
    ids = [{block for r in records for block in r.block_ids} for records in (plain, fresh, other)]
    assert not ids[0] & ids[1] and not ids[1] & ids[2]
    assert [_BLOCK.sub(b"", r.text) for r in plain] == [_BLOCK.sub(b"", r.text) for r in fresh]


def test_many_rounds_of_counted_ids_repeat_none() -> None:
    ids = np.arange(1_073_741_825, 1_073_741_825 + 50)
    rounds, seen = Rounds(), set(ids.tolist())
    rounds.saw(np.array([0]), ids)
    text = b" ".join(b"blk_%d" % i for i in ids.tolist())
    for _ in range(200):
        rounds.next()
        new = {int(n) for n in _BLOCK.findall(rounds.with_fresh_ids(text))}
        assert len(new) == 50 and not new & seen
        seen |= new


@pytest.mark.parametrize("old", ["1", "-38", "9223372036854775807", "-9223372036854775807", "1000000000"])
def test_an_id_stays_a_block_id(old: str) -> None:
    for seed in range(50):
        new = Rounds(fresh=True, seed=seed).with_fresh_ids(f"x blk_{old}_1001 y".encode()).decode()
        number = int(re.fullmatch(r"x blk_(-?\d+)_1001 y", new)[1])
        assert -(2**63) <= number < 2**63 and (number < 0) == old.startswith("-")


@pytest.mark.parametrize(
    ("stamp", "moved"),
    [
        ("081231 235958", "090101 000002"),
        ("2008-12-31 23:59:58,999", "2009-01-01 00:00:02,999"),
        ("2008-12-31T23:59:58.9999Z", "2009-01-01T00:00:02.9999Z"),
        ("08/12/31 23:59:58", "09/01/01 00:00:02"),
        ("31 Dec 2008 23:59:58,001", "01 Jan 2009 00:00:02,001"),
        ("31-Dec-2008 23:59:58.001", "01-Jan-2009 00:00:02.001"),
        ("20081231T235958,999", "20090101T000002,999"),
    ],
)
def test_time_stamps_move_over_midnight_and_new_year(stamp: str, moved: str, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text(f"{stamp} INFO dfs.A: blk_38\n{stamp} INFO dfs.A: blk_38\n")
    rounds = Rounds(pause_s=3)
    replayed([path], rounds)
    rounds._last += 1_000_000
    rounds.next()
    assert [record.text.split(b" INFO")[0].decode() for _, record in replayed([path], rounds)] == [moved, moved]


@pytest.mark.parametrize("layout", HEADS)
def test_a_time_lapse_begins_now_and_keeps_the_order(layout: str, tmp_path: Path) -> None:
    path = head_of(HEADS[layout], tmp_path, 3000)
    plain = [record for _, record in replayed([path])]
    begin = int(datetime(2026, 12, 31, 23, 59, 58, tzinfo=UTC).timestamp()) * 1_000_000
    rounds = Rounds(pause_s=60, lapse=Lapse(plain[0].time, begin, 60))
    found = [record for _, record in replayed([path], rounds)]
    assert [record.time for record in found] == [begin + (record.time - plain[0].time) // 60 for record in plain]
    written = batch_of(b"\n".join(record.text for record in found) + b"\n", log_format())["time"].to_pylist()
    told = [datetime.fromtimestamp(record.time / 1e6, UTC) for record in found]
    assert all(abs(time - own) < timedelta(seconds=1) for own, time in zip(written, told, strict=True))
    rounds.next()
    later = [record for _, record in replayed([path], rounds)]
    assert 1_000_000 <= later[0].time - found[-1].time < 2_000_000, "a minute's pause, sixty times as fast"


def test_lines_of_a_container_are_sent_without_what_stands_around_them(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text(
        "2025-06-01T19:30:54.1Z stdout F 2025-06-01 19:30:54,001 WARN dfs.A: blk_38\n"
        "2025-06-01T19:30:54.1Z stdout F \tat a.b\n"
        "2025-06-01T19:30:54.1Z stdout F 2025-06-01 19:30:55,001 INFO dfs.A: blk_39\n"
    )
    found = [(record.line, record.text, list(record.block_ids)) for _, record in replayed([path])]
    assert found == [
        (1, b"2025-06-01 19:30:54,001 WARN dfs.A: blk_38\n\tat a.b", [38]),
        (3, b"2025-06-01 19:30:55,001 INFO dfs.A: blk_39", [39]),
    ]
