"""Log files as a stream of records: each with its original bytes, several files merged by time.

A record is what `records.split_records` takes for one, its continuation lines included. Only what a sender needs is
taken from the compiled scan, and nothing goes through Arrow.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Final, NamedTuple

import numpy as np

from hdfs_pipeline.domains.blocks import scan
from hdfs_pipeline.domains.blocks.file_names import writer
from hdfs_pipeline.domains.blocks.records import CHUNK_BYTES, LAYOUTS, Layout, Tally, detect_layout, pieces
from hdfs_pipeline.domains.blocks.rounds import Rounds
from hdfs_pipeline.domains.contract import Outgoing
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.files import LogFile

_SAMPLE: Final = 1 << 20  # bytes that tell a file's layout, as when files are read into the store
_AT_ONCE: Final = 64 << 20  # bytes that the chunks of files that overlap in time may take together
_NO_KEY: Final = (None,)
_NO_LAYOUT: Final = LAYOUTS["hdfs_v1"]  # in a file without any head, every line is garbage by whatever layout


class Record(NamedTuple):
    """A record: `time` in microseconds as its daemon wrote it; the time of the record before where it has none.

    `text` is as it stands in the file but for the last line end. `block_ids`, each once, are empty where it names none
    or is no good record. `line` is its first line's number in the file, from 1.
    """

    time: int
    line: int
    text: bytes
    block_ids: Sequence[int]


@dataclass
class Source:
    """A log file to be replayed, with the layout and the time of its first record; 0 where there is none."""

    file: LogFile
    layout: Layout = field(init=False)
    begins: int = field(init=False)

    def __post_init__(self) -> None:
        sample = self.file.sample(_SAMPLE)
        self.layout = detect_layout(sample) or _NO_LAYOUT
        buffer = np.frombuffer(sample, np.uint8)
        times = scan.scan(buffer, len(buffer), self.layout.codes)[1]
        known = times[times >= 0]
        self.begins = int(known[0]) if len(known) else 0

    def records(self, rounds: Rounds, chunk_bytes: int = CHUNK_BYTES) -> Iterator[Record]:
        """Its records in the order of the file, as the present round of `rounds` has them."""
        tally, latest, done = Tally(), rounds.moved(self.begins), 0
        for data, end in pieces(self.file.chunks(chunk_bytes), self.layout, tally):
            # A piece that is cut short holds the beginning of the next one's first record.
            text = data if end == len(data) else data[:end]
            cut = Cut(rounds.with_fresh_ids(text), self.layout)
            text = rounds.with_moved_times(cut.text, cut.starts, cut.times, self.layout)
            rounds.saw(cut.times, cut.ids)
            times = np.maximum.accumulate(np.where(cut.times >= 0, rounds.moved(cut.times), latest))
            times = np.maximum(times, latest)
            make, returns = tuple.__new__, b"\r" in text  # a named tuple's own constructor takes three times as long
            good, ids, offsets = (cut.times >= 0).tolist(), cut.ids.tolist(), cut.offsets.tolist()
            for row, (time, line, start, stop) in enumerate(
                zip(times.tolist(), (cut.lines + (done + 1)).tolist(), cut.starts.tolist(), cut.stops, strict=True)
            ):
                block_ids = ids[offsets[row] : offsets[row + 1]] if good[row] else ()
                if len(block_ids) > scan.WINDOW:
                    block_ids = list(dict.fromkeys(block_ids))  # the scan leaves repetitions in longer lists
                body = text[start:stop].removesuffix(b"\r") if returns else text[start:stop]
                yield make(Record, (time, line, body, block_ids))
            latest = int(times[-1]) if len(times) else latest
            done += cut.count


class Cut:
    """Where the records of a text stand: starts and stops (n,), lines before each (n,), times (n,), ids and offsets."""

    def __init__(self, text: bytes, layout: Layout) -> None:
        buffer = np.frombuffer(text, np.uint8)
        self.text = text
        self.lines, self.times, _, _, _, _, self.offsets, self.ids, self.count = scan.scan(
            buffer, len(buffer), layout.codes
        )
        ends = np.flatnonzero(buffer == ord("\n"))
        self.starts = np.concatenate(([0], ends + 1))[self.lines]
        last = len(text) - text.endswith(b"\n")
        self.stops: list[int] = [*(self.starts[1:] - 1).tolist(), last][: len(self.starts)]


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

    def __init__(self, settings: Settings, files: Sequence[LogFile], *, fresh: bool) -> None:
        self._sources = [Source(file) for file in files]
        self._rounds = Rounds(fresh=fresh, pause_s=settings.stream_idle_s + 1)

    def records(self) -> Iterator[Outgoing]:
        """See `Replay.records`. A record that names no block, and what is no record, has no key."""
        about = {id(source): _about(source, self._rounds.number) for source in self._sources}
        make = tuple.__new__
        for source, record in merged(self._sources, self._rounds):
            name, where = about[id(source)]
            time, line, text, block_ids = record
            if len(block_ids) == 1:  # nearly always, and a list costs more than the key
                keys: Sequence[bytes | None] = (b"blk_%d" % block_ids[0],)
            else:
                keys = [b"blk_%d" % block_id for block_id in block_ids] or _NO_KEY
            yield make(Outgoing, (time, text, keys, [("record", b"%s:%d" % (name, line)), *where]))

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
