"""Log files into `raw_logs`: a message for each block that a record names."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

from hdfs_pipeline.domains.blocks.replay import Source, merged
from hdfs_pipeline.domains.blocks.rounds import Rounds
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.files import find_files
from hdfs_pipeline.sources.kafka import RAW_LOGS, fewer_collections, is_embedded
from hdfs_pipeline.streaming.send.pace import Pace, Throttle
from hdfs_pipeline.streaming.send.sender import LINGER_MS, LOW_LINGER_MS, LOW_RATE, Headers, Report, Sender, Tell
from hdfs_pipeline.streaming.topics import ensure_topics


def produce_raw(
    settings: Settings,
    paths: Sequence[str],
    *,
    stopped: Event,
    rate: float | None = None,
    speed: float | None = None,
    loop: bool = False,
    fresh: bool = False,
    group: str | None = None,
    on_progress: Callable[[Report], None] = lambda _: None,
    say: Tell = lambda _: None,
) -> Report:
    """Send the records of log files into `raw_logs`, those of several files by time.

    A record goes once for each block that it names, with the block as key; one that names none, and what is no record,
    goes once without a key. `rate` is in records a second; `speed` 10 is ten times as fast as they were written. With
    `loop` it goes on until `stopped` is set, each round with block ids of its own and later times (see `Rounds`);
    `fresh` gives the first round fresh ids too. The sender stays behind the consumer group `group`, which is by default
    the workers' where the broker is the embedded one.

    Raises: DataError where there is nothing to read; SetupError where there is no broker.
    """
    ensure_topics(settings, [RAW_LOGS])
    slow = speed is not None or (rate is not None and rate <= LOW_RATE)
    group = group or (settings.stream_group if is_embedded(settings) else None)
    rounds = Rounds(fresh=fresh, pause_s=settings.stream_idle_s + 1)
    with tempfile.TemporaryDirectory(prefix="stdin.") as spool:
        sources = [Source(file) for file in find_files(paths, Path(spool))]
        linger = LOW_LINGER_MS if slow else LINGER_MS
        sender = Sender(settings, RAW_LOGS, stopped, linger_ms=linger, on_progress=on_progress)
        try:
            if group:
                sender.throttle = Throttle(settings, RAW_LOGS, group, stopped=stopped, idle=sender.idle, say=say)
            pace = Pace(stopped, sender.idle, rate, speed) if rate is not None or speed is not None else None
            with fewer_collections():
                _send_rounds(sender, sources, rounds, pace, stopped, loop=loop)
        finally:
            report = sender.close()
    report.problems = [f"{source.file.shown}: {source.file.problem}" for source in sources if source.file.problem]
    return report


def _send_rounds(
    sender: Sender, sources: Sequence[Source], rounds: Rounds, pace: Pace | None, stopped: Event, *, loop: bool
) -> None:
    report, send = sender.report, sender.send
    while not stopped.is_set():
        before = report.records
        about = {id(source): _about(source, rounds.number) for source in sources}
        for source, record in merged(sources, rounds):
            if stopped.is_set():
                break
            if pace:
                pace.wait(record.time)
            name, where = about[id(source)]
            headers = [("record", b"%s:%d" % (name, record.line)), *where]
            for block_id in record.block_ids:
                send(record.text, b"blk_%d" % block_id, headers)
            if not record.block_ids:
                send(record.text, None, headers)
            report.records += 1
        report.rounds += 1
        if not loop or report.records == before:
            return
        rounds.next()


def _about(source: Source, number: int) -> tuple[bytes, Headers]:
    """How a file's records are named in the round `number`, and the headers that all of them have."""
    name = source.file.shown + f"#{number + 1}" * (number > 0)
    known = (("host", source.file.host), ("daemon", source.file.daemon))
    return name.encode(), [(header, value.encode()) for header, value in known if value]
