"""Log files as a stream of records: each with its original bytes, several files merged by time.

A record is what `records.split_records` takes for one, its continuation lines included. Only what a sender needs is
taken from the compiled scan, and nothing goes through Arrow.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import islice, repeat
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from hdfs_pipeline.domains.blocks.file_names import writer
from hdfs_pipeline.domains.blocks.records import Cut, LogFormat, scans
from hdfs_pipeline.domains.blocks.rounds import Lapse, Rounds
from hdfs_pipeline.domains.blocks.scan import WINDOW, Scan
from hdfs_pipeline.domains.contract import Outgoing
from hdfs_pipeline.domains.pieces import CHUNK_BYTES
from hdfs_pipeline.domains.tally import Tally
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.files import LogFile
from hdfs_pipeline.sources.line_ends import with_line_feeds

_SAMPLE: Final = 1 << 20  # bytes in which a file's first record is looked for
_AT_ONCE: Final = 64 << 20  # bytes that the chunks of files that overlap in time may take together
_AT_A_TIME: Final = 500  # records: what is made of them stays in the processor's cache until it is sent
_NO_KEY: Final = (None,)


class Record(NamedTuple):
    """A record: `time` in microseconds as its daemon wrote it; the time of the record before where it has none.

    `text` is as it stands in the file but for the last line end, and for what another program put around its lines;
    bytes that are not UTF-8 have become U+FFFD.
    `block_ids`, each once, are empty where it names none or is no good record. `line` is its first line's number in the
    file, from 1.
    """

    time: int
    line: int
    text: bytes
    block_ids: Sequence[int]


@dataclass
class Source:
    """A log file to be replayed, and the time of its first record; 0 where there is none."""

    file: LogFile
    log_format: LogFormat
    begins: int = field(init=False)

    def __post_init__(self) -> None:
        sample = b"".join(with_line_feeds([self.file.sample(_SAMPLE)]))
        times = next((cut.times for cut in self._cuts([sample])), np.zeros(0, np.int64))
        known = times[times >= 0]
        self.begins = int(known[0]) if len(known) else 0

    def _cuts(self, chunks: Iterable[bytes]) -> Iterator[Cut]:
        for scan in scans(chunks, self.log_format, Tally()):
            scanned = scan()
            text = scanned.text if scanned.end == len(scanned.text) else scanned.text[: scanned.end]
            yield Cut(text, scanned.scan, scanned.lines, scanned.numbers)

    def records(self, rounds: Rounds, chunk_bytes: int = CHUNK_BYTES) -> Iterator[Record]:
        """Its records in the order of the file, as the present round of `rounds` has them."""
        latest, done = rounds.moved(self.begins), 0
        forms = self.log_format.layouts.forms
        for cut in self._cuts(rounds.fresh(with_line_feeds(self.file.chunks(chunk_bytes)))):
            scanned, good = cut.scan, cut.times >= 0
            rounds.saw(cut.times, scanned.ids)
            text = rounds.with_moved_times(cut.text, scanned.place, scanned.time, scanned.head % len(forms), forms)
            times = np.maximum.accumulate(np.where(good, rounds.moved(cut.times), latest))
            times = np.maximum(times, latest)
            lines = scanned.number + done if cut.numbers is None else cut.numbers[scanned.number]
            bodies: Iterator[bytes] = map(text.__getitem__, map(slice, cut.starts.tolist(), cut.stops))
            if b"\r" in text:
                bodies = (body.removesuffix(b"\r") for body in bodies)
            rows = zip(times.tolist(), (lines + 1).tolist(), bodies, _block_ids(scanned, good), strict=True)
            # A named tuple's own constructor takes three times as long.
            yield from map(partial(tuple.__new__, Record), rows)
            latest = int(times[-1]) if len(times) else latest
            done += cut.lines


def _block_ids(scanned: Scan, good: np.ndarray) -> Iterator[Sequence[int]]:
    """The ids that each record names, each once; none of what is no good record."""
    ids, offsets = tuple(scanned.ids.tolist()), scanned.offsets
    counts = np.diff(offsets)
    if good.all() and (counts == 1).all():
        return zip(ids, strict=True)
    lists = map(ids.__getitem__, map(slice, offsets[:-1].tolist(), offsets[1:].tolist()))
    # The scan leaves repetitions in longer lists.
    return (
        (named if len(named) <= WINDOW else tuple(dict.fromkeys(named))) if known else ()
        for named, known in zip(lists, good.tolist(), strict=True)
    )


def merged(sources: Sequence[Source], rounds: Rounds) -> Iterator[tuple[Source, Record]]:
    """Records of all files by time; those of one file stay in its order, whatever their times.

    A file is opened when its first record is due and closed after its last, so that few rotated logs are open.
    """
    if len(sources) == 1:
        yield from zip(repeat(sources[0]), sources[0].records(rounds))
        return
    chunk = min(CHUNK_BYTES, max(_AT_ONCE // max(len(sources), 1), 1 << 16))
    waiting: list[tuple[int, int, Record | None]] = [
        (rounds.moved(source.begins), index, None) for index, source in enumerate(sources)
    ]
    heapq.heapify(waiting)
    opened: dict[int, Iterator[Record]] = {}
    while waiting:
        _, index, record = waiting[0]
        if record is None:
            opened[index] = sources[index].records(rounds, chunk)
        else:
            yield sources[index], record
        following = next(opened[index], None)
        if following is None:
            del opened[index]
            heapq.heappop(waiting)
        else:
            heapq.heapreplace(waiting, (following.time, index, following))


class LogReplay:
    """Log files as records, each once for each block that it names. See `Replay`."""

    def __init__(self, settings: Settings, files: Sequence[LogFile], *, fresh: bool, speed: float | None) -> None:
        log_format = LogFormat.of(settings)
        self._sources = [Source(file, log_format) for file in files]
        lapse = None
        if speed is not None:
            written = datetime.now(ZoneInfo(settings.log_timezone)).replace(tzinfo=UTC)  # the digits of its clocks
            first = min((source.begins for source in self._sources if source.begins), default=0)
            lapse = Lapse(first, int(written.timestamp() * 1e6), speed)
        self._rounds = Rounds(fresh=fresh, pause_s=settings.stream_idle_s + 1, lapse=lapse)

    def records(self) -> Iterator[list[Outgoing]]:
        """See `Replay.records`. A record that names no block, and what is no record, has no key."""
        about = {id(source): _about(source, self._rounds.number) for source in self._sources}
        found, make = merged(self._sources, self._rounds), tuple.__new__
        while some := list(islice(found, _AT_A_TIME)):
            outgoing = list[Outgoing]()
            for source, (time, line, text, block_ids) in some:
                name, where = about[id(source)]
                if len(block_ids) == 1:  # nearly always, and a list costs more than the key
                    keys: Sequence[bytes | None] = (b"blk_%d" % block_ids[0],)
                else:
                    keys = [b"blk_%d" % block_id for block_id in block_ids] or _NO_KEY
                outgoing.append(make(Outgoing, (time, text, keys, [("record", b"%s:%d" % (name, line)), *where])))
            yield outgoing

    def next_round(self) -> None:
        """See `Replay.next_round`, and `Rounds`."""
        self._rounds.next()

    def problems(self) -> list[str]:
        """See `Replay.problems`."""
        files = (source.file for source in self._sources)
        return [f"{file.shown}: {file.problem}" for file in files if file.problem]


def _about(source: Source, number: int) -> tuple[bytes, list[tuple[str, bytes]]]:
    """How a file's records are named in the round `number`, and the headers that all of them have."""
    name, author = source.file.shown + f"#{number + 1}" * (number > 0), writer(source.file.path)
    known = (("host", author.host), ("daemon", author.daemon))
    return name.encode(), [(header, value.encode()) for header, value in known if value]
