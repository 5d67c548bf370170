"""Windows: requests of each service and endpoint group, minute by minute in event time; pure, for batch and stream.

A service's windows close once its watermark has passed their end: the latest event time that was seen of it, less the
allowed lateness. Requests that come later still change their window, which is then given once more and counts them as
late. Batch and stream add up the same whole numbers (`window_cells`), so that the same requests make the same windows
in whichever order and pieces they come, as long as none comes too late.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.weblogs.texts import text_hashes
from hdfs_pipeline.domains.weblogs.window_cells import (
    BYTES,
    CLIENT_ERRORS,
    CLIENTS,
    ERRORS,
    FIRST,
    LAST,
    LATE,
    MINUTE_US,
    REQUESTS,
    SQUARES,
    TIMED,
    TOOK,
    Cells,
)
from hdfs_pipeline.domains.weblogs.window_usual import COLUMNS, HISTORY, WHOLE, usual_windows
from hdfs_pipeline.scoring.compiled import uncounted

ALL: Final = "*"
"""The endpoint of a window that counts all requests of its service."""
OTHER: Final = "other"
"""The endpoint of what has no window of its own."""
ENDPOINTS: Final = 200
"""Endpoint groups of a service that have windows of their own on a day: the first ones in the order of arrival."""
NAMELESS: Final = "-"
"""The service of requests that name none."""
_KEPT: Final = 15
"""Minutes for which a closed window can still change."""
_APART_US: Final = 10 * MINUTE_US
"""A partition that is behind another one by more than this does not hold a service's watermark back."""
_DAY_MINUTES: Final = 1440
_BLANKS: Final = re.compile(r"[\x00-\x20\x7f]")
_TIME: Final = pa.timestamp("us", "UTC")
_SHARES: Final = (0.5, 0.95, 0.99)
WINDOWS: Final = pa.schema(
    [
        pa.field("service", pa.string()),
        pa.field("endpoint", pa.string()),
        pa.field("minute", _TIME),
        *(pa.field(name, pa.int64()) for name in ("requests", "errors", "client_errors", "bytes", "clients", "timed")),
        *(pa.field(name, pa.float64()) for name in ("mean_ms", "sd_ms", "p50_ms", "p95_ms", "p99_ms")),
        pa.field("late", pa.int64()),
        *(pa.field(name, pa.int64() if name in WHOLE else pa.float64()) for name in COLUMNS),
        pa.field("first_time", _TIME),
        pa.field("last_time", _TIME),
    ]
)
"""The columns of windows; see `tables.txt` of the domain `traffic`."""
NEEDED: Final = ("time", "service", "endpoint", "status", "bytes", "response_us", "client")
"""The columns of requests that windows are made of."""


class Group(NamedTuple):
    """A service and one of its endpoint groups."""

    service: str
    endpoint: str


class History(NamedTuple):
    """The minutes of a group that had requests, in order: `minutes` since 1970, what was counted, and times.

    Each is (n,): int64 `requests`, `errors` and `clients`, and float64 of the `mean` and the `middle` (median) response
    time in ms, NaN where none is known.
    """

    minutes: np.ndarray
    requests: np.ndarray
    errors: np.ndarray
    clients: np.ndarray
    mean: np.ndarray
    middle: np.ndarray

    def since(self, minute: int) -> "History":
        """The part from a minute on."""
        first = int(np.searchsorted(self.minutes, minute))
        return History(*(part[first:] for part in self)) if first else self

    def with_(self, rows: "History") -> "History":
        """With other minutes, which take the place of the same ones."""
        if not len(self.minutes) or (len(rows.minutes) and rows.minutes[0] > self.minutes[-1]):
            return History(*(np.concatenate(parts) for parts in zip(self, rows, strict=True)))
        both = History(*(np.concatenate(parts) for parts in zip(rows, self, strict=True)))
        _, first = np.unique(both.minutes, return_index=True)
        return History(*(part[first] for part in both))

    def requests_of(self, minute: int) -> int:
        """The requests of a minute; 0 where there were none."""
        at = int(np.searchsorted(self.minutes, minute))
        return int(self.requests[at]) if at < len(self.minutes) and self.minutes[at] == minute else 0


_NONE, _NO_TIMES = np.zeros(0, np.int64), np.zeros(0)
_NO_HISTORY: Final = History(_NONE, _NONE, _NONE, _NONE, _NO_TIMES, _NO_TIMES)


def named(text: str) -> str:
    """A service or endpoint as ids of windows write it: without blanks, and never empty."""
    return _BLANKS.sub("_", text) or NAMELESS


class Names:
    """Which endpoint groups of a service have windows of their own on a UTC day: the first `ENDPOINTS` that come."""

    def __init__(self) -> None:
        self._named: dict[tuple[str, int], set[str]] = {}

    def endpoint(self, service: str, endpoint: str, minute: int) -> str:
        """The endpoint under which a request counts."""
        known = self._named.setdefault((service, minute // _DAY_MINUTES), set())
        if endpoint in known or endpoint in (OTHER, ALL):
            return endpoint if endpoint != ALL else OTHER
        if len(known) >= ENDPOINTS:
            return OTHER
        known.add(endpoint)
        return endpoint

    def restore(self, windows: Iterable[tuple[str, str, int]]) -> None:
        """Take up the names of windows: service, endpoint and minute of each."""
        for service, endpoint, minute in windows:
            self.endpoint(service, endpoint, minute)

    def forget(self, before: int) -> None:
        """Forget the days before a minute."""
        self._named = {key: value for key, value in self._named.items() if key[1] >= before // _DAY_MINUTES}


@uncounted
def _late(pair, time, marks, lateness_us, late):
    """Mark requests whose minute was over, by the latest time of their source and service before them."""
    for row in range(len(time)):
        end = (time[row] // 60_000_000 + 1) * 60_000_000
        late[row] = end + lateness_us <= marks[pair[row]]
        marks[pair[row]] = max(marks[pair[row]], time[row])


class Sums:
    """Cells of windows by group and minute, with what arrived late in each."""

    def __init__(self, lateness_s: float, names: Names | None = None) -> None:
        self.lateness_us = round(lateness_s * 1e6)
        self.names = names or Names()
        self.cells = Cells()
        self.slots: dict[str, dict[int, dict[str, int]]] = {}  # by service, minute and endpoint
        self.marks: dict[tuple[int, str], int] = {}  # latest time by source and service
        self.touched: set[tuple[str, int, str]] = set()  # cells that changed since `take_touched`

    def add(
        self,
        requests: pa.Table | pa.RecordBatch,
        sources: np.ndarray | None = None,
        least: Mapping[str, int] | None = None,
    ) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Add requests with the columns `NEEDED`; `sources` (n,) say which partition or file each came from.

        Those without a time are left out, and so are those of minutes before `least` of their service. Returns, by
        request, the number of its service (-1 for one that was left out) and its minute, both (n,) int64, and the
        services by their number.
        """
        time = _numbers(requests["time"], np.iinfo(np.int64).min)
        services, service = _codes(requests["service"])
        minute = time // MINUTE_US
        floor = np.array([(least or {}).get(name, -(1 << 40)) for name in services] or [0], np.int64)
        keep = minute >= floor[service]
        if not keep.any():
            return np.full(len(time), -1), minute, services
        rows = np.flatnonzero(keep)
        source = np.zeros(len(time), np.int64) if sources is None else sources.astype(np.int64)
        late = self._late(services, service[rows], source[rows], time[rows])
        slots = self._slots(requests["endpoint"], services, service[rows], minute[rows], rows)
        status, size, response = (_numbers(requests[name], -1)[rows] for name in ("status", "bytes", "response_us"))
        client = text_hashes(requests["client"])[rows]
        self.cells.add(slots, status, np.maximum(size, 0), response, time[rows], client, late)
        return np.where(keep, service, -1), minute, services

    def _late(self, services: list[str], service: np.ndarray, source: np.ndarray, time: np.ndarray) -> np.ndarray:
        late = np.zeros(len(time), np.int64)
        pairs, inverse = np.unique(source * len(services) + service, return_inverse=True)
        keys = [(int(pair) // len(services), services[int(pair) % len(services)]) for pair in pairs]
        marks = np.array([self.marks.get(key, -(1 << 62)) for key in keys], np.int64)
        _late(inverse.reshape(-1), time, marks, self.lateness_us, late)
        self.marks.update(zip(keys, marks.tolist(), strict=True))
        return late

    def _slots(
        self, endpoint: Any, services: list[str], service: np.ndarray, minute: np.ndarray, rows: np.ndarray
    ) -> np.ndarray:
        """The two cells (2, n) of each request: that of its endpoint, and that of its service."""
        endpoints, own = _codes(endpoint)
        least = int(minute.min())
        width = int(minute.max()) - least + 1
        code = (service * len(endpoints) + own[rows]) * width + (minute - least)
        combinations, first, inverse = np.unique(code, return_index=True, return_inverse=True)
        cells = np.empty((2, len(combinations)), np.int64)
        for at in np.argsort(first).tolist():  # in the order of arrival, by which endpoints get their names
            rest, at_minute = divmod(int(combinations[at]), width)
            name, text = services[rest // len(endpoints)], endpoints[rest % len(endpoints)]
            at_minute += least
            by_endpoint = self.slots.setdefault(name, {}).setdefault(at_minute, {})
            for which, group in enumerate((self.names.endpoint(name, text, at_minute), ALL)):
                cell = by_endpoint.get(group)
                if cell is None:
                    cell = by_endpoint[group] = self.cells.new()
                self.touched.add((name, at_minute, group))
                cells[which, at] = cell
        return cells[:, inverse.reshape(-1)]

    def forget(self, service: str, minute: int) -> None:
        """Give the cells of a service's minute back."""
        for cell in self.slots[service].pop(minute).values():
            self.cells.give_back(cell)

    def history(self, cells: list[int], minutes: list[int]) -> History:
        """Some cells, of these minutes, as minutes of a history."""
        sums = self.cells.sums[cells]
        timed = sums[:, TIMED]
        mean = np.divide(sums[:, TOOK] / 10, timed, out=np.full(len(cells), np.nan), where=timed > 0)
        middle = self.cells.percentiles(np.array(cells, np.int64), (0.5,))[:, 0]
        requests, errors, clients = (sums[:, column].copy() for column in (REQUESTS, ERRORS, CLIENTS))
        return History(np.array(minutes, np.int64), requests, errors, clients, mean, middle)

    def counted(self, cells: np.ndarray) -> dict[str, Any]:
        """The columns of windows that cells hold; a cell of -1 is a window without requests."""
        there = cells >= 0
        sums = np.where(there[:, None], self.cells.sums[cells] if len(self.cells.sums) else 0, 0)
        timed, took, squares = sums[:, TIMED], sums[:, TOOK].astype(np.float64), sums[:, SQUARES].astype(np.float64)
        safe = np.maximum(timed, 1)
        mean = took / 10 / safe
        deviation = np.sqrt(np.maximum(squares - took * took / safe, 0) / safe) / 10
        ranks = np.full((len(cells), len(_SHARES)), np.nan)
        ranks[there] = self.cells.percentiles(cells[there], _SHARES)
        unknown = timed == 0
        return {
            "requests": sums[:, REQUESTS], "errors": sums[:, ERRORS], "client_errors": sums[:, CLIENT_ERRORS],
            "bytes": sums[:, BYTES], "clients": sums[:, CLIENTS], "timed": timed,
            "mean_ms": pa.array(mean, mask=unknown), "sd_ms": pa.array(deviation, mask=unknown),
            **{name: pa.array(ranks[:, at], mask=unknown) for at, name in enumerate(("p50_ms", "p95_ms", "p99_ms"))},
            "late": sums[:, LATE],
            "first_time": pa.array(sums[:, FIRST], pa.int64(), mask=~there).cast(_TIME),
            "last_time": pa.array(sums[:, LAST], pa.int64(), mask=~there).cast(_TIME),
        }  # fmt: skip


def usual_columns(usual: np.ndarray) -> dict[str, Any]:
    """The columns of windows that a baseline (k, 14) holds (see `window_usual.COLUMNS`)."""
    return {
        name: own.astype(np.int64) if name in WHOLE else pa.array(own, mask=np.isnan(own))
        for name, own in zip(COLUMNS, np.ascontiguousarray(usual.T), strict=True)
    }


def with_baselines(
    histories: Mapping[Group, History], spans: Mapping[Group, tuple[int, int]]
) -> tuple[list[Group], np.ndarray, np.ndarray]:
    """The windows of some groups from one minute to another: group and minute (k,) of each, and baselines (k, 14)."""
    groups = list(spans)
    own = [histories.get(group, _NO_HISTORY) for group in groups]
    starts = np.concatenate([[0], np.cumsum([len(each.minutes) for each in own])]).astype(np.int64)
    parts = [np.concatenate(columns) for columns in zip(*own, strict=True)] if own else [*_NO_HISTORY]
    begins, ends = (np.array([spans[group][side] for group in groups], np.int64) for side in (0, 1))
    group, minute, _, usual = usual_windows(starts, *parts, begins, ends)
    return [groups[at] for at in group.tolist()], minute, usual


def joined_histories(first: Mapping[Group, History], then: Mapping[Group, History], least: int) -> dict[Group, History]:
    """The histories of groups from minute `least` on; what both have counts as `then` says."""
    both = {group: first.get(group, _NO_HISTORY).since(least) for group in (*first, *then)}
    for group, history in then.items():
        both[group] = both[group].with_(history)
    return {group: history for group, history in both.items() if len(history.minutes)}


def minutes_of(windows: pa.Table) -> np.ndarray:
    """The minute (n,) int64 since 1970 of each window."""
    return _numbers(windows["minute"], 0) // MINUTE_US


def histories_of(windows: pa.Table) -> tuple[list[tuple[str, str, int]], dict[Group, History]]:
    """Of windows in any order, that hold requests, service, endpoint and minute of each, and the histories of groups.

    Of several windows of the same minute the one with the most requests counts.
    """
    import pyarrow.compute as pc

    order = [(name, "ascending") for name in ("service", "endpoint", "minute", "requests")]
    rows = windows.filter(pc.greater(windows["requests"], 0)).sort_by(order)
    minutes = minutes_of(rows)
    named = list(zip(rows["service"].to_pylist(), rows["endpoint"].to_pylist(), minutes.tolist(), strict=True))
    keep = np.array([at + 1 == len(named) or named[at] != named[at + 1] for at in range(len(named))], bool)
    named = [each for each, kept in zip(named, keep.tolist(), strict=True) if kept]
    counts = [_numbers(rows[name], 0)[keep] for name in ("requests", "errors", "clients")]
    times = [
        rows[name].combine_chunks().cast(pa.float64()).to_numpy(zero_copy_only=False)[keep]
        for name in ("mean_ms", "p50_ms")
    ]
    begins = [at for at in range(len(named)) if not at or named[at][:2] != named[at - 1][:2]]
    parts = (minutes[keep], *counts, *times)
    histories = {
        Group(*named[begin][:2]): History(*(part[begin:end] for part in parts))
        for begin, end in zip(begins, [*begins[1:], len(named)], strict=False)
    }
    return named, histories


def _numbers(column: Any, missing: int) -> np.ndarray:
    """A column of whole numbers or times as int64 (n,), with `missing` in place of NULL."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_timestamp(whole.type):
        whole = whole.cast(pa.timestamp("us", whole.type.tz))
    found: np.ndarray = whole.cast(pa.int64()).fill_null(missing).to_numpy(zero_copy_only=False)
    return found


def _codes(column: Any) -> tuple[list[str], np.ndarray]:
    """The distinct names (`named`) of a column of texts, and which of them each row has, (n,) int64."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if not pa.types.is_dictionary(whole.type):
        whole = whole.cast(pa.string()).fill_null("").dictionary_encode()
    places: dict[str, int] = {}
    own = np.array([places.setdefault(named(text or ""), len(places)) for text in whole.dictionary.to_pylist()] or [0])
    missing = places.setdefault(NAMELESS, len(places)) if whole.indices.null_count else 0
    indices = whole.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    return list(places), np.where(indices >= 0, own[indices], missing).astype(np.int64)


class Windows:
    """The windows of a stream of requests, each once it has closed and again whenever late requests change it.

    What closed windows need is bounded: the cells of 15 minutes, and of each group the hour that is its baseline.
    Requests of still earlier minutes are left out, and counted in `dropped`.
    """

    def __init__(self, lateness_s: float) -> None:
        self.dropped = 0
        self._sums = Sums(lateness_s)
        self._done: dict[str, int] = {}  # of each service the first minute that is open
        self._clock: dict[str, int] = {}  # µs up to which `advance` says that nothing more comes
        self._histories: dict[str, dict[str, History]] = {}  # by service and endpoint
        self._offsets: dict[int, dict[tuple[str, int], int]] = {}  # by source: first offset of each minute that is kept

    def add(
        self,
        requests: pa.Table | pa.RecordBatch,
        sources: np.ndarray | None = None,
        offsets: np.ndarray | None = None,
    ) -> None:
        """Add n requests with the columns `NEEDED`, in the order of each source.

        `sources` (n,) are the partitions that they came from, `offsets` (n,) int64 where they stand there.
        """
        if not len(requests):
            return
        least = {service: done - _KEPT for service, done in self._done.items()}
        service, minute, services = self._sums.add(requests, sources, least)
        self.dropped += int((service < 0).sum())
        if offsets is not None:
            self._note_offsets(service, minute, services, sources, offsets)

    def _note_offsets(
        self, service: np.ndarray, minute: np.ndarray, services: list[str], sources: Any, offsets: np.ndarray
    ) -> None:
        rows = np.flatnonzero(service >= 0)
        if not len(rows):
            return
        source = np.zeros(len(rows), np.int64) if sources is None else sources[rows].astype(np.int64)
        least, lowest = int(minute[rows].min()), int(source.min())
        width = int(minute[rows].max()) - least + 1
        code = ((source - lowest) * len(services) + service[rows]) * width + (minute[rows] - least)
        distinct, inverse = np.unique(code, return_inverse=True)
        first = np.full(len(distinct), np.iinfo(np.int64).max)
        np.minimum.at(first, inverse.reshape(-1), offsets[rows])
        for place, offset in zip(distinct.tolist(), first.tolist(), strict=True):
            rest, at = divmod(place, width)
            part, name = rest // len(services) + lowest, services[rest % len(services)]
            if at + least >= self._done.get(name, -(1 << 40)) - _KEPT:
                known = self._offsets.setdefault(part, {})
                known[name, at + least] = min(known.get((name, at + least), offset), offset)

    def advance(self, time_us: int, services: Iterable[str] | None = None) -> None:
        """Close what ended before a time (µs since 1970, less the allowed lateness) although its service says nothing.

        The caller knows that nothing earlier is to come of these services, all by default: its partitions were read to
        their end, or other services are further.
        """
        for service in [*self._sums.slots] if services is None else services:
            self._clock[service] = max(self._clock.get(service, 0), time_us)

    def watermark(self, service: str) -> int:
        """Up to when a service's windows are closed, µs since 1970: of its partitions the one that is behind counts."""
        own = [mark for (_, name), mark in self._sums.marks.items() if name == service]
        latest = max(own, default=0)
        mark = min((each for each in own if each > latest - _APART_US), default=0)
        return max(mark, self._clock.get(service, 0)) - self._sums.lateness_us

    def over(self) -> bool:
        """Whether a minute of a service is over that `closed` has not given yet."""
        return any(
            self.watermark(service) // MINUTE_US > self._done.get(service, min(minutes, default=1 << 40))
            for service, minutes in self._sums.slots.items()
        )

    def closed(self) -> pa.Table:
        """The windows that have closed since the last call, and those closed ones that changed: schema `WINDOWS`.

        They come by service, minute and endpoint.
        """
        late, fresh = self._changed(), dict[Group, tuple[int, int]]()
        for service in self._sums.slots:
            done = self.watermark(service) // MINUTE_US
            fresh |= self._close(service, done)
        histories = {
            Group(service, endpoint): history
            for service in {group.service for group in (*late, *fresh)}
            for endpoint, history in self._histories.get(service, {}).items()
        }
        tables = [self._rows(histories, fresh)]
        for nth in range(max(map(len, late.values()), default=0)):  # one minute of each group at a time
            spans = {group: (own[nth], own[nth] + 1) for group, own in late.items() if nth < len(own)}
            tables.append(self._rows(histories, spans))
        self._forget()
        found = pa.concat_tables(tables)
        return found.sort_by([(name, "ascending") for name in ("service", "minute", "endpoint")])

    def _changed(self) -> dict[Group, list[int]]:
        """The closed minutes that changed, by group; the baselines know them from now on."""
        found: dict[Group, list[int]] = {}
        for service, minute, endpoint in sorted(self._sums.touched):
            if minute >= self._done.get(service, minute):
                continue
            cell = self._sums.slots[service][minute][endpoint]
            known = self._histories.setdefault(service, {})
            before = known.get(endpoint, _NO_HISTORY)
            # What is read again after a restart may be a part of what was published.
            if self._sums.cells.sums[cell, REQUESTS] > before.requests_of(minute):
                known[endpoint] = before.with_(self._sums.history([cell], [minute]))
                found.setdefault(Group(service, endpoint), []).append(minute)
        self._sums.touched = {place for place in self._sums.touched if place[1] >= self._done.get(place[0], place[1])}
        return found

    def _close(self, service: str, done: int) -> dict[Group, tuple[int, int]]:
        """Close a service's minutes before `done`; the span of new windows of each of its groups."""
        by_minute = self._sums.slots[service]
        begin = self._done.get(service)
        if begin is None:
            begin = min(by_minute, default=done)
        if done <= begin:
            return {}
        cells: dict[str, tuple[list[int], list[int]]] = {}
        for minute in sorted(minute for minute in by_minute if begin <= minute < done):
            for endpoint, cell in by_minute[minute].items():
                own = cells.setdefault(endpoint, ([], []))
                own[0].append(cell)
                own[1].append(minute)
        known = self._histories.setdefault(service, {})
        for endpoint, rows in cells.items():
            known[endpoint] = known.get(endpoint, _NO_HISTORY).with_(self._sums.history(*rows))
        self._done[service] = done
        return {Group(service, endpoint): (begin, done) for endpoint in known}

    def _rows(self, histories: Mapping[Group, History], spans: Mapping[Group, tuple[int, int]]) -> pa.Table:
        if not spans:
            return WINDOWS.empty_table()
        groups, minutes, usual = with_baselines(histories, spans)
        slots = self._sums.slots
        cells = [
            slots[group.service].get(minute, {}).get(group.endpoint, -1)
            for group, minute in zip(groups, minutes.tolist(), strict=True)
        ]
        return window_table(groups, minutes, self._sums.counted(np.array(cells, np.int64)), usual)

    def _forget(self) -> None:
        """Forget what no window to come can need."""
        for service, done in self._done.items():
            for minute in [minute for minute in self._sums.slots.get(service, {}) if minute < done - _KEPT]:
                self._sums.forget(service, minute)
            least = done - _KEPT - HISTORY - 1
            kept = {endpoint: history.since(least) for endpoint, history in self._histories.get(service, {}).items()}
            self._histories[service] = {endpoint: each for endpoint, each in kept.items() if len(each.minutes)}
        self._sums.touched = {place for place in self._sums.touched if place[1] in self._sums.slots.get(place[0], {})}
        for known in self._offsets.values():
            for place in [place for place in known if place[1] < self._done.get(place[0], place[1]) - _KEPT]:
                del known[place]
        if self._done:
            self._sums.names.forget(min(self._done.values()) - _DAY_MINUTES)

    def leave(self, sources: Iterable[int], services: Iterable[str] = ()) -> None:
        """Forget the services of sources that are another worker's now, and others that were restored for it."""
        gone = {*sources}
        services = {*services, *(service for source, service in self._sums.marks if source in gone)}
        for service in services:
            for minute in [*self._sums.slots.get(service, {})]:
                self._sums.forget(service, minute)
            for known in (self._sums.slots, self._done, self._clock, self._histories):
                known.pop(service, None)
        self._sums.touched = {place for place in self._sums.touched if place[0] not in services}
        self._sums.marks = {key: mark for key, mark in self._sums.marks.items() if key[1] not in services}
        for source in gone:
            self._offsets.pop(source, None)

    def floors(self, *, kept: bool = False) -> dict[int, int]:
        """By source the first offset whose minute is open, from which a successor must read; none where all closed.

        With `kept` that of the minutes that can still change: a successor that reads from there misses no late request.
        """
        found = {}
        for source, known in self._offsets.items():
            own = [at for (name, minute), at in known.items() if kept or minute >= self._done.get(name, minute)]
            if own:
                found[source] = min(own)
        return found

    def restore(self, windows: pa.Table) -> None:
        """Take up windows that were published (schema `WINDOWS`), as a successor that begins at `floors`.

        It goes on with their baselines and names, and publishes none of them again unless it has more requests of them
        than were published: what it reads of minutes that closed before is less, unless it reads them whole.
        """
        groups, histories = histories_of(windows)
        for service, minute in zip(windows["service"].to_pylist(), minutes_of(windows).tolist(), strict=True):
            self._done[service] = max(self._done.get(service, minute + 1), minute + 1)
            self._sums.slots.setdefault(service, {})
        self._sums.names.restore(groups)
        for group, history in histories.items():
            self._histories.setdefault(group.service, {})[group.endpoint] = history
        for service, done in self._done.items():
            self._clock[service] = done * MINUTE_US + self._sums.lateness_us


def window_table(groups: list[Group], minutes: np.ndarray, counted: dict[str, Any], usual: np.ndarray) -> pa.Table:
    """Windows of the schema `WINDOWS` from their groups and minutes, what was counted, and their baselines."""
    columns = counted | usual_columns(usual)
    columns["service"] = pa.array([group.service for group in groups], pa.string())
    columns["endpoint"] = pa.array([group.endpoint for group in groups], pa.string())
    columns["minute"] = pa.array(minutes * MINUTE_US, pa.int64()).cast(_TIME)
    return pa.table([pa.array(columns[name]) if not isinstance(columns[name], pa.Array) else columns[name]
                     for name in WINDOWS.names], schema=WINDOWS)  # fmt: skip
