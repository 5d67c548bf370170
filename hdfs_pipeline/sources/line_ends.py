"""Line ends: a carriage return alone, as old systems write it, ends a line like a line feed."""

from collections.abc import Iterable, Iterator

import numpy as np

_CR, _LF = b"\r\n"


def with_line_feeds(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, with a line feed in the place of each carriage return that none follows.

    CRLF stays as it is, also where two chunks meet. Chunks without a carriage return pass as they are.
    """
    held = b""  # a carriage return at the end of a chunk: what follows says what it is
    for chunk in chunks:
        whole = held + chunk if held else chunk
        held = b"\r" if whole.endswith(b"\r") else b""
        if text := _replaced(whole[:-1] if held else whole):
            yield text
    if held:
        yield b"\n"


def _replaced(text: bytes) -> bytes:
    returns = text.count(b"\r")
    if not returns or returns == text.count(b"\r\n"):
        return text
    codes = np.frombuffer(text, np.uint8).copy()
    alone = codes == _CR
    alone[:-1] &= codes[1:] != _LF
    codes[alone] = _LF
    return codes.tobytes()
