"""Copies that were cut short: known as the beginning of a file that was read, and not read twice."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from hdfs_pipeline.domains.blocks.ingest import ingest
from hdfs_pipeline_tests.homes import Home

HEAD = b"2026-11-21 14:37:5%d,%03d INFO org.apache.hadoop.hdfs.DataNode: "
LOG = b"".join(
    [
        HEAD % (1, 100) + b"Scheduling blk_1073741830_1006 replica\r\n  getNumBytes()     = 4322\r\n  in blk_7\r\n",
        HEAD % (2, 200) + b"caf\xc3\xa9 \xff blk_2_3\n",
        b"2026-13-01 00:00:00,000 INFO a: no such month blk_5\n more\n",
        HEAD % (3, 300) + b"java.io.IOException: x\n\n\tat A(A.java:1)\n\tat B(B.java:2)\n",
        HEAD % (3, 300) + b"no block\n",
        HEAD % (4, 400) + b"the last one names blk_9_9\n",
    ]
)
SECOND = LOG.index(HEAD % (2, 200))


def put(folder: Path, name: str, data: bytes) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def stored(home: Home) -> list[tuple[object, ...]]:
    return home.rows(
        """SELECT source_id, position, message, more FROM raw_logs UNION ALL
        SELECT source_id, position, text, reason FROM dead_letters ORDER BY ALL"""
    )


CUTS = [*range(SECOND + 1, len(LOG), 7), len(LOG) - 1]


def test_every_copy_that_was_cut_behind_its_first_record_is_known(home: Home, tmp_path: Path) -> None:
    whole = put(tmp_path, "dn.log", LOG)
    ingest(home.store, home.settings, [whole])
    before = stored(home)
    copies = [put(tmp_path, f"copies/{cut}.log", LOG[:cut]) for cut in CUTS]
    done = ingest(home.store, home.settings, copies)
    assert (done.files, done.records, len(done.skipped), done.unread) == (0, 0, len(CUTS), [])
    assert done.notes[0] == f"{CUTS[0]}.log: no more than the beginning of {whole}, which was read"
    assert stored(home) == before
    assert home.rows("SELECT count(*) FROM sources") == [(1,)]


def test_a_packed_copy_that_was_cut_is_known(home: Home, tmp_path: Path) -> None:
    many = b"".join(b"081109 203615 %d INFO dfs.DataNode: line of blk_%d\n" % (n, n) for n in range(9000))
    ingest(home.store, home.settings, [put(tmp_path, "dn.log", many)])
    before = stored(home)
    packed = gzip.compress(many)
    done = ingest(home.store, home.settings, [put(tmp_path, "dn.log.gz", packed[: len(packed) // 2])])
    assert (done.files, len(done.skipped)) == (0, 1)
    assert stored(home) == before


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
@pytest.mark.parametrize("cut", [SECOND + 60, len(LOG) // 2, len(LOG) - 3])
def test_within_one_ingest_it_does_not_matter_which_is_read_first(
    home: Home, tmp_path: Path, names: tuple[str, str], cut: int
) -> None:
    put(tmp_path, f"logs/{names[0]}.log", LOG)
    put(tmp_path, f"logs/{names[1]}.log", LOG[:cut])
    done = ingest(home.store, home.settings, [str(tmp_path / "logs")])
    (source,) = home.rows("SELECT bytes, records FROM sources")
    assert source == (len(LOG), 6)
    assert (done.records, len(stored(home))) == (6, 6)


def test_a_copy_of_a_log_that_grows_in_the_same_ingest_is_known(home: Home, tmp_path: Path) -> None:
    path = put(tmp_path, "logs/a.log", LOG[: SECOND + 20])
    ingest(home.store, home.settings, [path])
    put(tmp_path, "logs/a.log", LOG)
    put(tmp_path, "logs/b.log", LOG[:-20])
    ingest(home.store, home.settings, [str(tmp_path / "logs")])
    assert home.rows("SELECT bytes, records FROM sources") == [(len(LOG), 6)]
    assert len(stored(home)) == 6


CHANGED: list[tuple[Callable[[bytes], bytes], int]] = [
    (lambda log: log.replace(b"no block", b"no brick")[:-20], 6),
    (lambda log: log.replace(b"B.java:2", b"C.java:2")[:-20], 6),
    (lambda log: log.replace(b"blk_5", b"blk_6")[:-20], 6),
    (lambda log: log[: log.index(b"\tat B")] + b"\tat X(X.java:9)\n", 4),  # its last line is whole, and another one
    (lambda log: log[: log.index(b"the last")] + b"another one of blk_8\n", 6),
    (lambda log: log[: log.index(b"the last")] + b"another one that was c", 6),
    (lambda log: log + HEAD % (5, 500) + b"and more\n", 7),
    (lambda log: (HEAD % (0, 0) + b"before\n" + log)[:-20], 7),
]


@pytest.mark.parametrize(("change", "records"), CHANGED)
def test_a_file_that_differs_anywhere_is_read(
    home: Home, tmp_path: Path, change: Callable[[bytes], bytes], records: int
) -> None:
    ingest(home.store, home.settings, [put(tmp_path, "a.log", LOG)])
    other = change(LOG)
    done = ingest(home.store, home.settings, [put(tmp_path, "b.log", other)])
    assert done.skipped == []
    ((total,),) = home.rows("SELECT sum(records) FROM sources")
    assert total == (records if other.startswith(LOG) else 6 + records)
    assert len(stored(home)) == total


def test_one_file_may_be_the_beginning_of_several(home: Home, tmp_path: Path) -> None:
    ends = [HEAD % (6, number) + b"end %d\n" % number for number in range(3)]
    paths = [put(tmp_path, f"{number}.log", LOG + end) for number, end in enumerate(ends)]
    ingest(home.store, home.settings, paths)
    done = ingest(home.store, home.settings, [put(tmp_path, "copy.log", LOG)])
    assert (done.files, len(done.skipped)) == (0, 1)
