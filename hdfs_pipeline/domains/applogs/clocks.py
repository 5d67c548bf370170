"""When messages were written: the times of JSON and of plain lines as microseconds."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

_ISO: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d)")
_SHORT: Final = re.compile(r"(\d\d)/(\d\d)/(\d\d) (\d\d):(\d\d)")
_REST: Final = re.compile(r"(?::([0-5]\d|60)(?:[.,:](\d{1,9}))?)?\s?(?:(Z|UTC|GMT)|([+-])(\d\d):?(\d\d)?)?")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_CACHED: Final = 20_000
_UNITS: Final = ((1e11, 1_000_000.0), (1e14, 1_000.0), (1e17, 1.0), (1e20, 0.001))
"""Below which a number counts seconds, milliseconds, microseconds or nanoseconds, and a unit of it in microseconds."""
_EARLIEST: Final = 0
_LATEST: Final = 253_402_300_799_000_000  # the end of 9999


class Clock:
    """Reads times; those without a zone are in `zone` (IANA name). Of an hour that comes twice the later is meant."""

    def __init__(self, zone: str) -> None:
        self._zone = ZoneInfo(zone)
        self._minutes: dict[str, tuple[int | None, int | None]] = {}
        self._rests: dict[str, tuple[int, int | None] | None] = {}

    def micros(self, written: Any) -> int | None:
        """A time as it is `written` (text or number), in microseconds since 1970 UTC; None for what is no time."""
        if isinstance(written, str):
            return self._text(written)
        if isinstance(written, (int, float)) and not isinstance(written, bool):
            return self._number(written)
        return None

    def _text(self, text: str) -> int | None:
        cut = 16 if text[4:5] == "-" else 14
        minute = self._minutes.get(text[:cut]) or self._minute(text[:cut])
        rest = self._rests.get(text[cut:]) or self._rest(text[cut:])
        if rest is None:
            number = text.strip()
            return self._number(float(number) if "." in number else int(number)) if _is_number(number) else None
        begin = minute[0] if rest[1] is None else minute[1]
        if begin is None:
            number = text.strip()
            return self._number(float(number) if "." in number else int(number)) if _is_number(number) else None
        micros = begin + rest[0] - (rest[1] or 0)
        return micros if micros > _EARLIEST else None

    def _minute(self, text: str) -> tuple[int | None, int | None]:
        """The beginning of a minute in the zone of this clock, and in UTC; None for what is none."""
        if len(self._minutes) >= _CACHED:
            self._minutes.clear()
        found: tuple[int | None, int | None] = (None, None)
        if match := _ISO.fullmatch(text) or _SHORT.fullmatch(text):
            year, month, day, hour, minute = map(int, match.groups())
            try:
                local = datetime(year + 2000 * (year < 100), month, day, hour, minute, fold=1, tzinfo=self._zone)
                found = (local - _EPOCH) // _MICROSECOND, (local.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
            except (ValueError, OverflowError):
                pass
        self._minutes[text] = found
        return found

    def _rest(self, text: str) -> tuple[int, int | None] | None:
        """Microseconds after the minute, and those that its zone is ahead of UTC, None without a zone."""
        if len(self._rests) >= _CACHED:
            self._rests.clear()
        match = _REST.fullmatch(text.rstrip())
        found = None
        if match is not None:
            second, fraction, utc, sign, hours, minutes = match.groups()
            after = int(second or 0) * 1_000_000 + int((fraction or "0")[:6].ljust(6, "0"))
            ahead = (int(hours) * 60 + int(minutes or 0)) * 60_000_000 * (1 if sign == "+" else -1) if sign else None
            found = (after, 0 if utc else ahead)
        self._rests[text] = found
        return found

    def _number(self, number: float) -> int | None:
        for limit, unit in _UNITS:
            if abs(number) < limit:
                whole = number // 1000 if isinstance(number, int) and unit < 1 else round(number * unit)
                return int(whole) if _EARLIEST < whole < _LATEST else None
        return None


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isascii() and text.replace(".", "", 1).isdigit() and len(text) < 24
