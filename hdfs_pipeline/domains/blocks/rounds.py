"""A log in rounds, each with block ids of its own and with later times."""

import random
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains.blocks import scan
from hdfs_pipeline.domains.blocks.layouts import shape_of
from hdfs_pipeline.domains.blocks.scan import CODES

_ID: Final = re.compile(rb"(?<=blk_)-?\d{1,19}(?!\d)")
_BEYOND: Final = 2**63
_LONG: Final = 10  # digits from which an id keeps its length; shorter ones are too few to be fresh for long
_SECOND: Final = 1_000_000
_LONGEST: Final = 32 << 20  # bytes of a line that are kept together


@dataclass(frozen=True)
class Lapse:
    """A time lapse: what happened from `first` on happens from `begin` on, `speed` times as fast; microseconds.

    Texts are right to the second, for a stamp keeps the fraction that it has.
    """

    first: int
    begin: int
    speed: float

    def moved(self, times: Any) -> Any:
        """Times (a number or an array) as the time lapse has them."""
        return self.begin + np.asarray((times - self.first) // self.speed, np.int64)


class Rounds:
    """What changes from round to round: block ids everywhere in the text, and time stamps.

    In the first round ids change only with `fresh`, and times stay. An id keeps its sign and its number of digits (ids
    with fewer than 10 get 19). Ids that daemons count up stay neighbours; those of a round follow those of the round
    before. Ids drawn from all 64 bits are moved at random, which repeats none in practice. Times move by a round's
    span and `pause_s`, so that what closes blocks by idle time sees the rounds apart. With a `lapse` times are other
    ones in the first round already.
    """

    def __init__(
        self, *, fresh: bool = False, pause_s: float = 0.0, lapse: "Lapse | None" = None, seed: int | None = None
    ) -> None:
        self.number = 0
        self._fresh = fresh
        self._pause = int(np.ceil(pause_s)) * _SECOND
        self._lapse = lapse
        self._random = random.Random(f"{seed} {time.time_ns()}" if seed is None else seed)  # noqa: S311 - no secret
        self._base = {digits: self._random.randrange(_size(digits)) if fresh else 0 for digits in range(_LONG, 20)}
        self._spans: dict[int, tuple[int, int]] = {}  # of the numbers with so many digits
        self._shifts = dict(self._base)
        self._short = self._random.randrange(_size(19))
        self._first, self._last = _BEYOND - 1, -1

    def next(self) -> None:
        """Begin another round."""
        self.number += 1
        for digits, base in self._base.items():
            smallest, biggest = self._spans.get(digits, (0, 0))
            span, size = biggest - smallest + 1, _size(digits)
            dense = span * (self.number + 1) < size
            self._shifts[digits] = base + self.number * span if dense else self._random.randrange(size)
        self._short = self._random.randrange(_size(19))

    def saw(self, times: np.ndarray, ids: np.ndarray) -> None:
        """Learn from the first round what the next ones must not repeat: times and ids (n,) int64."""
        if self.number:
            return
        known = times[times >= 0]
        if len(known):
            self._first = min(self._first, int(known.min()))
            self._last = max(self._last, int(known.max()))
        sizes = np.abs(ids[ids > -(2**63)])
        digits = np.searchsorted(10 ** np.arange(1, 19, dtype=np.int64), sizes, side="right") + 1
        for count in np.unique(digits):
            same_length = sizes[digits == count]
            smallest, biggest = self._spans.get(int(count), (_BEYOND, 0))
            self._spans[int(count)] = min(smallest, int(same_length.min())), max(biggest, int(same_length.max()))

    @property
    def _delay(self) -> int:
        """Microseconds by which the present round is later than the first: whole seconds, so that fractions stay."""
        span = max(self._last - self._first, 0)
        return self.number * (-(-span // _SECOND) * _SECOND + self._pause)

    def moved(self, times: Any) -> Any:
        """Times (microseconds, a number or an array) as the present round has them."""
        return self._lapse.moved(times + self._delay) if self._lapse else times + self._delay

    def fresh(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The text of a file, which comes in chunks, with the block ids of the present round."""
        if not (self.number or self._fresh):
            yield from chunks
            return
        carry = b""
        for chunk in chunks:
            data = carry + chunk
            cut = data.rfind(b"\n") + 1  # no id is cut in two, but where a line is longer than any record
            if not cut and len(data) > _LONGEST:
                cut = len(data)
            carry = data[cut:]
            if cut:
                yield self.with_fresh_ids(data[:cut])
        if carry:
            yield self.with_fresh_ids(carry)

    def with_fresh_ids(self, text: bytes) -> bytes:
        """The text with the block ids of the present round."""
        buffer = np.frombuffer(text, np.uint8).copy()
        shifts = np.array([self._shifts.get(digits, 0) for digits in range(20)], np.uint64)
        if scan.move_ids(buffer, _LOWS, _SIZES, shifts):
            return buffer.tobytes()
        return _ID.sub(lambda match: self._new(match[0]), text)  # ids that get longer

    def _new(self, old: bytes) -> bytes:
        number = int(old)
        size = abs(number)
        if size >= _BEYOND:
            return old  # no block id
        digits = len(str(size))
        if digits < _LONG:
            fresh = 10**18 + (size + self._short) % _size(19)
        else:
            fresh = 10 ** (digits - 1) + (size - 10 ** (digits - 1) + self._shifts[digits]) % _size(digits)
        return b"-%d" % fresh if number < 0 else b"%d" % fresh

    def with_moved_times(
        self, text: bytes, places: np.ndarray, times: np.ndarray, form: np.ndarray, forms: Sequence[str]
    ) -> bytes:
        """The text with the time stamps of the present round.

        `places` (n,) is where they stand (-1: none), `times` (n,) what they say, `form` (n,) their index in `forms`.
        """
        if not (self.number or self._lapse) or not (places >= 0).any():
            return text
        buffer = np.frombuffer(text, np.uint8).copy()
        for code in np.unique(form[places >= 0]):
            own = (places >= 0) & (form == code)
            _write(buffer, places[own], self.moved(times[own]), shape_of(forms[code]))
        return buffer.tobytes()


def _size(digits: int) -> int:
    """How many numbers with so many digits are block ids without sign."""
    return min(10**digits, _BEYOND) - 10 ** (digits - 1)


_LOWS: Final = np.array([0, *(10 ** (digits - 1) for digits in range(1, 20))], np.uint64)
_SIZES: Final = np.array([_size(digits) if digits >= _LONG else 0 for digits in range(20)], np.uint64)


def _write(buffer: np.ndarray, starts: np.ndarray, times: np.ndarray, shape: np.ndarray) -> None:
    """Write time stamps of a shape: `times` (n,) in microseconds at `starts` (n,) of `buffer`."""
    stamps = times.astype("datetime64[us]")
    days, months, years = (stamps.astype(f"datetime64[{unit}]") for unit in "DMY")
    month = (months - years.astype("datetime64[M]")).astype(np.int64) + 1
    parts = {
        "y": years.astype(np.int64) + 1970,
        "m": month,
        "d": (days - months.astype("datetime64[D]")).astype(np.int64) + 1,
        "H": times // (3600 * _SECOND) % 24,
        "M": times // (60 * _SECOND) % 60,
        "S": times // _SECOND % 60,
        "f": times // 1000 % 1000,
    }
    for name, values in parts.items():
        rest = values
        for place in reversed(np.flatnonzero(shape == CODES[name]).tolist()):
            buffer[starts + place] = ord("0") + rest % 10
            rest = rest // 10
    for letter, place in enumerate(np.flatnonzero(shape == CODES["b"]).tolist()):
        buffer[starts + place] = _MONTHS[month, letter]


_MONTHS: Final = np.frombuffer(b"   JanFebMarAprMayJunJulAugSepOctNovDec", np.uint8).reshape(13, 3)
