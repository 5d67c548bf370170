"""Packed files: the kind by their first bytes, and what they hold, as far as it can be read."""

import bz2
import lzma
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, Final, NamedTuple

HEAD_BYTES: Final = 512
"""Bytes from the beginning of a file by which its packing is told."""
_CONTROLS: Final = bytes({*range(0x20), 0x7F} - set(b"\t\n\v\f\r\x1b"))  # in no text
_STEP: Final = 1 << 16  # a step that meets a fault gives nothing, so steps are small
_CUT: Final = "the packed file ends early: it was cut short"


class DamagedError(Exception):
    """The rest of a packed file cannot be read; the text says why."""


def _fault(error: Exception) -> DamagedError:
    return DamagedError(f"cannot be unpacked to its end ({error})")


def _gunzip(raw: BinaryIO, size: int) -> Iterator[bytes]:
    """Like gzip.open, but keeps what stands before a cut, and all but the last 64 KiB before a fault."""
    from isal import isal_zlib

    unpack, data, inside = isal_zlib.decompressobj(wbits=31), b"", False
    done: list[bytes] = []  # steps are gathered to pieces of `size`
    step, length, fault = min(size, _STEP), 0, None
    try:
        while data := data or raw.read(1 << 18):
            data = data if inside else data.lstrip(b"\0")  # padding between members
            if not data:
                continue
            done.append(unpack.decompress(data, step))
            length += len(done[-1])
            if length > size - step:
                yield b"".join(done)
                done, length = [], 0
            inside = not unpack.eof
            data = unpack.unconsumed_tail
            if unpack.eof:
                data = unpack.unused_data
                unpack = isal_zlib.decompressobj(wbits=31)
        if inside:
            done.append(unpack.flush())
            fault = None if unpack.eof else DamagedError(_CUT)
    except isal_zlib.error as error:  # type: ignore[misc]  # the stub takes the class for an object of it
        fault = _fault(error)
    if last := b"".join(done):
        yield last
    if fault:
        raise fault


def _unzstd(raw: BinaryIO, size: int) -> Iterator[bytes]:
    import zstandard

    packer = zstandard.ZstdDecompressor()
    unpack, data, inside = packer.decompressobj(), b"", False
    try:
        # Few bytes at a time: each four of them may unpack to 128 KiB, so these give 16 MiB at most.
        while data := data or raw.read(1 << 9):
            chunk = unpack.decompress(data)
            yield from (chunk[at : at + size] for at in range(0, len(chunk), size))
            inside, data = not unpack.eof, b""
            if unpack.eof:
                data = unpack.unused_data
                unpack = packer.decompressobj()
    except zstandard.ZstdError as error:
        raise _fault(error) from None
    if inside:
        raise DamagedError(_CUT)


Unpack = Callable[[BinaryIO, int], Iterator[bytes]]


def ahead(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same pieces, of which the next is unpacked on a thread of its own while the caller works on the last."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, pieces, None)
        while (piece := coming.result()) is not None:
            coming = thread.submit(next, pieces, None)
            yield piece


def _stepwise(new: Callable[[], Any], faults: tuple[type[Exception], ...]) -> Unpack:
    """Unpacks with objects that have the methods of `bz2.BZ2Decompressor`, one for each stream of a file."""

    def unpack(raw: BinaryIO, size: int) -> Iterator[bytes]:
        unpacker, data, inside = new(), b"", False
        done, step = bytearray(), min(size, _STEP)

        def more(packed: bytes) -> None:
            try:
                done.extend(unpacker.decompress(packed, step))
            except faults as error:
                raise _fault(error) from None

        fault = None
        try:
            while (inside and not unpacker.needs_input) or (data := data or raw.read(1 << 18)):
                if not inside and not (data := data.lstrip(b"\0")):  # padding between streams
                    continue
                more(data)
                if len(done) > size - step:
                    yield bytes(done)
                    done.clear()
                inside, data = not unpacker.eof, b""
                if unpacker.eof:
                    unpacker, data = new(), unpacker.unused_data or b""
            fault = DamagedError(_CUT) if inside else None
        except DamagedError as error:
            fault = error
        if done:
            yield bytes(done)
        if fault:
            raise fault

    return unpack


def _lz4() -> Any:
    from lz4.frame import LZ4FrameDecompressor

    return LZ4FrameDecompressor()


class Packing(NamedTuple):
    """A kind of packed file: its suffix, its first bytes, and how its bytes are unpacked in pieces of at most a size.

    `unpack` raises DamagedError at the end of what can be read.
    """

    suffix: str
    magics: tuple[bytes, ...]
    unpack: Unpack


PACKINGS: Final = (
    Packing(".gz", (b"\x1f\x8b\x08",), _gunzip),
    Packing(
        ".bz2",
        tuple(b"BZh%d" % level + block for level in range(1, 10) for block in (b"1AY&SY", b"\x17rE8P\x90")),
        _stepwise(bz2.BZ2Decompressor, (OSError, EOFError)),
    ),
    Packing(".xz", (b"\xfd7zXZ\0",), _stepwise(lzma.LZMADecompressor, (lzma.LZMAError, EOFError))),
    Packing(".zst", (b"\x28\xb5\x2f\xfd",), _unzstd),
    Packing(".lz4", (b"\x04\x22\x4d\x18",), _stepwise(_lz4, (RuntimeError, EOFError))),
)


def packing_of(head: bytes, suffix: str) -> Packing | None:
    """The packing of a file by its first `HEAD_BYTES` bytes; None of a plain one.

    The suffix of its name counts where the bytes show nothing: they are too few, or damaged. Text under such a name is
    plain.
    """
    for packing in PACKINGS:
        if head.startswith(packing.magics):
            return packing
    named = next((packing for packing in PACKINGS if packing.suffix == suffix.lower()), None)
    if named and head and (any(magic.startswith(head) for magic in named.magics) or not _is_text(head)):
        return named
    return None


def _is_text(head: bytes) -> bool:
    return len(head.translate(None, _CONTROLS)) == len(head)
