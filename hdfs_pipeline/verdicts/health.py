"""Whether the parts of a home work: its store, the broker, what judges, who sends data, and what waits to be stored."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from hdfs_pipeline.domains import all_domains
from hdfs_pipeline.domains.champions import serving_detector, serving_version
from hdfs_pipeline.errors import NotTrainedError, PipelineError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import bootstrap_servers, is_embedded
from hdfs_pipeline.sources.ranges import Watermarks, all_watermarks, reachable
from hdfs_pipeline.store.offsets import offsets
from hdfs_pipeline.store.store import Connection, Store
from hdfs_pipeline.streaming.topics import all_topics

WELL, ILL, OFF = "well", "ill", "off"
"""A part works, does not, or is not in use."""
STORE_S: Final = 1.5
"""Seconds within which the store must be there for a reader."""
_ANSWER_S: Final = 2.0  # for which a broker may think


class Part(NamedTuple):
    """A part of a home: its name, its state, and that in words."""

    name: str
    state: str
    text: str


@dataclass(frozen=True)
class Health:
    """The parts of a home; messages that its store has not taken yet, by topic and partition; its dead letters."""

    parts: list[Part]
    lag: dict[tuple[str, int], int] = field(default_factory=dict)
    dead_letters: int = 0

    @property
    def state(self) -> str:
        """`ill` where a part is."""
        return ILL if any(part.state == ILL for part in self.parts) else WELL

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "state": self.state,
            "parts": [part._asdict() for part in self.parts],
            "lag": [{"topic": topic, "partition": part, "messages": n} for (topic, part), n in self.lag.items()],
            "dead_letters": self.dead_letters,
        }


def store_part(store: Store, settings: Settings) -> Part:
    """Whether the store can be read, known within `STORE_S`. One that nobody has made yet is off, not ill."""
    if not settings.store_path.is_file():
        return Part("store", OFF, "nothing was read into this home yet")
    try:
        with store.read(STORE_S) as con:
            con.execute("SELECT 1 FROM meta").fetchall()
    except PipelineError as error:
        return Part("store", ILL, str(error))
    return Part("store", WELL, "can be read")


def health_of(store: Store, settings: Settings) -> Health:
    """Look at every part. Takes seconds at most, also where a broker is away."""
    parts, lag, dead = [store_part(store, settings)], {}, 0
    broker = _broker(settings)
    parts.append(broker)
    marks: dict[str, Watermarks] = {}
    with suppress(PipelineError):  # it has gone meanwhile
        marks = all_watermarks(settings, _sunk(), _ANSWER_S) if broker.state == WELL else {}
    senders: list[Part] = []
    if parts[0].state == WELL:
        try:
            with store.read(STORE_S) as con:
                dead = int(con.execute("SELECT count(*) FROM dead_letters").fetchall()[0][0])
                lag = sink_lag(con, marks)
                senders = [*_senders(store)]
        except PipelineError as error:  # a writer came between
            parts[0] = Part("store", ILL, str(error))
    return Health([*parts, *_models(settings), *senders], lag, dead)


def _broker(settings: Settings) -> Part:
    try:
        if reachable(settings, _ANSWER_S):
            return Part("broker", WELL, f"answers at {bootstrap_servers(settings)}")
    except PipelineError as error:
        if is_embedded(settings):
            return Part("broker", OFF, "the embedded broker does not run: nothing is streamed")
        return Part("broker", ILL, str(error))
    return Part("broker", ILL, f"no broker answers at {settings.kafka_bootstrap_servers}")


def _sunk() -> list[str]:
    """The topics whose messages the store keeps."""
    return [name for name, topic in all_topics().items() if topic.sink is not None]


def sink_lag(con: Connection, marks: Mapping[str, Watermarks]) -> dict[tuple[str, int], int]:
    """Messages that the store has not taken yet, by topic and partition."""
    lag = {}
    for topic, own in marks.items():
        stored = offsets(con, topic, cluster_id=own.cluster_id, topic_id=own.topic_id)
        for part, end in own.high.items():
            lag[topic, part] = end - min(max(stored.get(part, 0), own.low[part]), end)
    return lag


def _models(settings: Settings) -> Iterator[Part]:
    for domain in all_domains():
        name = serving_detector(settings, domain)
        try:
            version = serving_version(settings, domain, name)
        except NotTrainedError as error:
            yield Part(f"model of {domain.name}", OFF, str(error))
        except PipelineError as error:
            yield Part(f"model of {domain.name}", ILL, str(error))
        else:
            yield Part(f"model of {domain.name}", WELL, f"{name}, version {version}")


def _senders(store: Store) -> Iterator[Part]:
    """The servers that are asked for data. Of logs that come in files nobody knows when the next is due."""
    for domain in all_domains():
        for each in domain.heard(store):
            if each.asked:
                asked = f"{datetime.fromtimestamp(each.asked, UTC):%Y-%m-%d %H:%M:%S} UTC"
                state = ILL if each.note else WELL
                yield Part(each.server, state, f"asked at {asked}: {each.note or 'answered'}")
