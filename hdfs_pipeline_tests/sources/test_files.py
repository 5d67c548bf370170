"""Log files: their bytes, packed or not, whole or cut, from one open file."""

import gzip
import hashlib
import os
import random
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.sources.files import LogFile
from hdfs_pipeline.sources.packing import packing_of

REPEATABLE = settings(derandomize=True, deadline=None, max_examples=40)
# 3 MB that compress little, so that packed files are longer than one read
NOISE = random.Random(7).randbytes(3 << 20)
LINES = b"".join(b"081109 203615 %d INFO dfs.DataNode: line\n" % number for number in range(60_000))


def log(folder: Path, name: str, data: bytes) -> LogFile:
    path = folder / name
    path.write_bytes(data)
    return LogFile(path)


def read(file: LogFile, size: int = 1 << 20) -> bytes:
    return b"".join(file.chunks(size))


def zst(data: bytes, *, streamed: bool = False) -> bytes:
    if not streamed:
        return zstandard.ZstdCompressor().compress(data)
    packer = zstandard.ZstdCompressor().compressobj()  # as `cat | zstd`: the frame does not tell its size
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("a.log", NOISE),
        ("a.log.gz", gzip.compress(NOISE)),
        ("a.log.gz", gzip.compress(NOISE[:1000]) + gzip.compress(b"") + gzip.compress(NOISE[1000:])),
        ("a.log.gz", gzip.compress(NOISE) + b"\0" * 600_000),
        ("a.log.gz", gzip.compress(NOISE[:9]) + b"\0" * 600_000 + gzip.compress(NOISE[9:])),
        ("a.log.zst", zst(NOISE)),
        ("a.log.zst", zst(NOISE, streamed=True)),
        ("a.log.zst", zst(NOISE[:1000]) + zst(b"") + zst(NOISE[1000:], streamed=True)),
    ],
    ids=["plain", "gz", "gz-members", "gz-padded", "gz-padded-inside", "zst", "zst-streamed", "zst-frames"],
)
@pytest.mark.parametrize("size", [1 << 16, 4 << 20])
def test_files_give_their_bytes_in_pieces_and_have_no_problem(
    tmp_path: Path, name: str, packed: bytes, size: int
) -> None:
    file = log(tmp_path, name, packed)
    pieces = list(file.chunks(size))
    assert b"".join(pieces) == NOISE
    assert max(map(len, pieces)) <= size
    assert file.problem is None


@pytest.mark.parametrize("name", ["a.log.gz", "a.log.zst"])
def test_a_small_file_that_unpacks_to_a_large_one_is_read_in_little_memory(tmp_path: Path, name: str) -> None:
    zeros = bytes(1 << 20)
    packer: Any = zlib.compressobj(wbits=31) if name.endswith(".gz") else zstandard.ZstdCompressor().compressobj()
    file = log(tmp_path, name, b"".join(packer.compress(zeros) for _ in range(256)) + packer.flush())
    assert file.path.stat().st_size < 1 << 19
    tracemalloc.start()
    try:
        assert sum(map(len, file.chunks(1 << 20))) == 256 << 20
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert file.problem is None


@pytest.mark.parametrize("name", ["a.log", "a.log.gz", "a.log.zst"])
def test_an_empty_file_is_empty(tmp_path: Path, name: str) -> None:
    file = log(tmp_path, name, b"")
    assert (read(file), file.problem, file.sample(10)) == (b"", None, b"")
    assert file.prefix_digests([0, 5], 10) == {0: hashlib.sha256().hexdigest()}


@pytest.mark.parametrize("share", [0.001, 0.3, 0.999])
def test_what_stands_before_the_cut_of_a_gz_is_kept(tmp_path: Path, share: float) -> None:
    packed = gzip.compress(NOISE)
    file = log(tmp_path, "a.log.gz", packed[: int(len(packed) * share)])
    kept = read(file)
    assert NOISE.startswith(kept)
    assert len(kept) > len(NOISE) * share - (1 << 17)
    assert file.problem == "the packed file ends early: it was cut short"


@pytest.mark.parametrize("missing", [1, 4, 8, 9])
def test_a_gz_that_lacks_only_its_last_bytes_gives_all_and_says_that_it_was_cut(tmp_path: Path, missing: int) -> None:
    file = log(tmp_path, "a.log.gz", gzip.compress(LINES)[:-missing])
    assert read(file) == LINES
    assert file.problem is not None


@REPEATABLE
@given(cut=st.integers(0, 400))
def test_no_cut_of_a_gz_goes_unnoticed(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    data = LINES[:3000]
    packed = gzip.compress(data)
    cut = min(cut, len(packed))
    file = log(tmp_path_factory.mktemp("cut"), "a.log.gz", packed[:cut])
    kept = read(file)
    assert data.startswith(kept)
    assert (file.problem is None) == (cut in (0, len(packed)))


@pytest.mark.parametrize("streamed", [False, True])
def test_what_stands_before_the_cut_of_a_zst_is_kept(tmp_path: Path, streamed: bool) -> None:
    packed = zst(NOISE, streamed=streamed)
    file = log(tmp_path, "a.log.zst", packed[: len(packed) // 2])
    kept = read(file)
    assert NOISE.startswith(kept)
    assert len(kept) > len(NOISE) // 2 - (1 << 18)
    assert file.problem == "the packed file ends early: it was cut short"


@pytest.mark.parametrize(
    ("name", "packed", "kept"),
    [
        ("a.log.gz", b"no \0 gzip at all\n", b""),
        ("a.log.zst", b"no \0 zst at all\n", b""),
        ("a.log.gz", gzip.compress(LINES) + b"trailing junk that is no member", LINES),
        ("a.log.zst", zst(LINES) + b"trailing junk that is no frame", LINES),
    ],
)
def test_a_damaged_file_gives_what_can_be_read_and_says_so(
    tmp_path: Path, name: str, packed: bytes, kept: bytes
) -> None:
    file = log(tmp_path, name, packed)
    assert read(file) == kept
    assert file.problem is not None
    assert file.problem.startswith("cannot be unpacked to its end (")


def test_a_gz_with_another_checksum_keeps_all_but_its_last_piece_and_says_so(tmp_path: Path) -> None:
    file = log(tmp_path, "a.log.gz", gzip.compress(LINES)[:-8] + b"\1" * 8)
    kept = read(file, 4 << 20)
    assert LINES.startswith(kept)
    assert len(kept) >= len(LINES) - (1 << 16)
    assert file.problem is not None
    assert "ncorrect checksum" in file.problem


def test_a_damage_in_the_middle_keeps_what_stands_before_it(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(LINES))
    packed[len(packed) // 2 : len(packed) // 2 + 64] = b"\xff" * 64
    file = log(tmp_path, "a.log.gz", bytes(packed))
    kept = read(file)
    assert file.problem is not None
    assert kept[:100_000] == LINES[:100_000]


@REPEATABLE
@given(size=st.integers(1, 70), stop=st.integers(0, 150), packed=st.booleans())
def test_no_more_is_read_than_asked_for(
    tmp_path_factory: pytest.TempPathFactory, size: int, stop: int, packed: bool
) -> None:
    data = bytes(range(100))
    folder = tmp_path_factory.mktemp("stop")
    file = log(folder, "a.log.gz", gzip.compress(data)) if packed else log(folder, "a.log", data)
    assert b"".join(file.chunks(size, stop=stop)) == data[:stop]
    assert file.sample(stop) == data[:stop]


def test_a_sample_spans_the_members_of_a_gz(tmp_path: Path) -> None:
    file = log(tmp_path, "a.log.gz", b"".join(gzip.compress(b"line %d\n" % number) for number in range(100)))
    assert file.sample(500) == b"".join(b"line %d\n" % number for number in range(100))[:500]


@REPEATABLE
@given(data=st.binary(max_size=200), lengths=st.lists(st.integers(0, 250), max_size=6), size=st.integers(1, 250))
def test_digests_are_those_of_the_prefixes(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, lengths: list[int], size: int
) -> None:
    assume(packing_of(data, ".log") is None)  # else its unpacked bytes count
    file = log(tmp_path_factory.mktemp("digests"), "a.log", data)
    wanted = {length for length in lengths if length <= len(data) and data} | {len(data)}
    assert file.prefix_digests(lengths, size) == {n: hashlib.sha256(data[:n]).hexdigest() for n in wanted}


def test_a_file_that_goes_away_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.log: No such file"):
        read(LogFile(tmp_path / "gone.log"))


def test_a_name_that_is_no_utf8_can_be_shown() -> None:
    assert LogFile(Path(os.fsdecode(b"/logs/caf\xe9.log"))).shown == "/logs/caf\ufffd.log"


def test_a_file_that_is_held_stays_itself_when_its_name_moves_to_another(tmp_path: Path) -> None:
    file = log(tmp_path, "a.log", b"old\n")
    with file.held() as identity:
        (tmp_path / "a.log").rename(tmp_path / "a.log.1")
        log(tmp_path, "a.log", b"new\n")
        assert (read(file), file.sample(3)) == (b"old\n", b"old")
        assert file.prefix_digests([2], 10)[4] == hashlib.sha256(b"old\n").hexdigest()
    with file.held() as other:
        assert read(file) == b"new\n"
    assert identity != other


def test_a_pipe_in_the_place_of_a_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.log")
    with pytest.raises(DataError, match=r"a\.log: no regular file"):
        read(LogFile(tmp_path / "a.log"))


def test_digests_of_many_beginnings_cost_little_more_than_one(tmp_path: Path) -> None:
    data = NOISE * 8
    file = log(tmp_path, "a.log", data)
    took = []
    for lengths in ([], range(len(data) - 5000, len(data))):
        begun = time.process_time()
        file.prefix_digests(lengths, 4 << 20)
        took.append(time.process_time() - begun)
    assert took[1] < 20 * took[0]  # hashing each beginning within its chunk anew took 200 times as long
