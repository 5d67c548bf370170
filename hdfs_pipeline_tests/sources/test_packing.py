"""Packed files: told by their bytes, read as far as they can be."""

import bz2
import gzip
import lzma
import random
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from threading import Event, get_ident

import lz4.frame
import pytest
import zstandard

from hdfs_pipeline.sources.files import LogFile
from hdfs_pipeline.sources.packing import PACKINGS, DamagedError, ahead

PACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
    ".lz4": lz4.frame.compress,
}
NOISE = random.Random(8).randbytes(5 << 18)  # longer than a block of bzip2, and than a piece
LINES = b"".join(b"081109 203615 %d INFO dfs.DataNode: line\n" % number for number in range(3_000))
MOST_LOST = {".gz": 1 << 17, ".bz2": 1 << 20, ".xz": 1 << 18, ".zst": 1 << 18, ".lz4": 1 << 18}
"""Bytes that a cut may cost beside what is missing: bzip2 has blocks of 900 kB."""


@cache
def packed_noise(suffix: str) -> bytes:
    return PACK[suffix](NOISE)


def put(folder: Path, name: str, data: bytes) -> LogFile:
    (folder / name).write_bytes(data)
    return LogFile(folder / name)


def read(file: LogFile, size: int = 1 << 20) -> bytes:
    pieces = list(file.chunks(size))
    assert max(map(len, pieces), default=0) <= size
    return b"".join(pieces)


def test_each_kind_is_tried_here() -> None:
    assert [packing.suffix for packing in PACKINGS] == list(PACK)


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("size", [1 << 12, 4 << 20])
def test_each_kind_is_read_in_pieces_also_where_files_were_joined(tmp_path: Path, suffix: str, size: int) -> None:
    pack = PACK[suffix]
    for packed in (packed_noise(suffix), pack(NOISE[:1000]) + pack(b"") + pack(NOISE[1000:])):
        file = put(tmp_path, f"a.log{suffix}", packed)
        assert read(file, size) == NOISE
        assert file.problem is None
    file = put(tmp_path, f"zeros.log{suffix}", pack(bytes(3 << 20)))
    assert read(file, size) == bytes(3 << 20)


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("share", [0.0001, 0.5, 0.9999])
def test_what_stands_before_a_cut_is_kept_and_the_cut_is_told(tmp_path: Path, suffix: str, share: float) -> None:
    packed = packed_noise(suffix)
    file = put(tmp_path, f"a.log{suffix}", packed[: int(len(packed) * share)])
    kept = read(file)
    assert NOISE.startswith(kept)
    assert len(kept) > len(NOISE) * share - MOST_LOST[suffix]
    assert file.problem == "the packed file ends early: it was cut short"


@pytest.mark.parametrize("suffix", PACK)
def test_what_stands_before_a_damage_is_kept_and_the_damage_is_told(tmp_path: Path, suffix: str) -> None:
    packed = packed_noise(suffix)
    half = len(packed) // 2
    file = put(tmp_path, f"a.log{suffix}", packed[:half] + bytes(64) + packed[half + 64 :])
    kept = read(file)
    assert file.problem is not None
    assert len(kept) > len(NOISE) // 2 - MOST_LOST[suffix]
    if suffix != ".bz2":  # it tells a damaged block only at its end
        assert kept[: 1 << 18] == NOISE[: len(kept)][: 1 << 18]


@pytest.mark.parametrize("suffix", PACK)
def test_a_file_is_read_by_its_bytes_where_its_name_misleads(tmp_path: Path, suffix: str) -> None:
    for name in ("a.log", "a.log.1", "a.log.gz", "a.log.xz", "a.log-20250601"):
        assert read(put(tmp_path, name, PACK[suffix](LINES))) == LINES
    plain = put(tmp_path, f"plain.log{suffix}", LINES)
    assert (read(plain), plain.problem) == (LINES, None)


@pytest.mark.parametrize("suffix", PACK)
def test_one_byte_of_a_packed_file_is_one_that_was_cut(tmp_path: Path, suffix: str) -> None:
    file = put(tmp_path, f"a.log{suffix}", PACK[suffix](LINES)[:1])
    assert read(file) == b""
    assert file.problem == "the packed file ends early: it was cut short"


def test_a_piece_is_unpacked_by_another_thread_while_the_one_before_is_worked_on() -> None:
    threads, began = [], [Event() for _ in range(4)]

    def pieces() -> Iterator[bytes]:
        for number, event in enumerate(began):
            threads.append(get_ident())
            event.set()
            yield bytes([number])
        raise DamagedError("the rest is missing")

    coming = ahead(pieces())
    assert not began[0].is_set()  # nothing is read before somebody asks
    assert next(coming) == b"\0"
    assert began[1].wait(10)
    assert not began[2].is_set()  # one piece ahead, and no more
    found = []
    with pytest.raises(DamagedError, match="rest is missing"):  # in its place: after all that could be read
        found += [next(coming), next(coming), next(coming)]
        next(coming)
    assert found == [b"\1", b"\2", b"\3"]
    assert get_ident() not in threads
