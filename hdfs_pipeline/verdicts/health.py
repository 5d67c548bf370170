"""Whether the parts of a home work: its store, the broker, what judges, who sends data, and what waits to be stored."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from hdfs_pipeline.domains import all_domains
from hdfs_pipeline.domains.champions import load_scorer, serving_detector
from hdfs_pipeline.errors import NotTrainedError, PipelineError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import bootstrap_servers, is_embedded
from hdfs_pipeline.sources.ranges import reachable, watermarks
from hdfs_pipeline.store.offsets import offsets
from hdfs_pipeline.store.store import Store

WELL, ILL, OFF = "well", "ill", "off"
"""A part works, does not, or is not in use."""
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
    """Whether the store can be read. One that nobody has made yet is off, not ill."""
    if not settings.store_path.is_file():
        return Part("store", OFF, "nothing was read into this home yet")
    try:
        with store.read() as con:
            con.execute("SELECT 1 FROM meta").fetchall()
    except PipelineError as error:
        return Part("store", ILL, str(error))
    return Part("store", WELL, "can be read")


def health_of(store: Store, settings: Settings) -> Health:
    """Look at every part. Takes seconds at most, also where a broker is away."""
    parts, lag, dead = [store_part(store, settings)], {}, 0
    broker = _broker(settings)
    parts.append(broker)
    if parts[0].state == WELL:
        with store.read() as con:
            dead = int(con.execute("SELECT count(*) FROM dead_letters").fetchall()[0][0])
        if broker.state == WELL:
            lag = dict(_lag(store, settings))
    parts += _models(settings)
    parts += _senders(store) if parts[0].state == WELL else []
    return Health(parts, lag, dead)


def _broker(settings: Settings) -> Part:
    try:
        if reachable(settings, _ANSWER_S):
            return Part("broker", WELL, f"answers at {bootstrap_servers(settings)}")
    except PipelineError as error:
        if is_embedded(settings):
            return Part("broker", OFF, "the embedded broker does not run: nothing is streamed")
        return Part("broker", ILL, str(error))
    return Part("broker", ILL, f"no broker answers at {settings.kafka_bootstrap_servers}")


def _lag(store: Store, settings: Settings) -> Iterator[tuple[tuple[str, int], int]]:
    for topic in (topic for domain in all_domains() for topic in domain.topics if topic.sink is not None):
        with suppress(PipelineError):  # a topic that nobody has made yet
            marks = watermarks(settings, topic.name, _ANSWER_S)
            with store.read() as con:
                stored = offsets(con, topic.name, cluster_id=marks.cluster_id, topic_id=marks.topic_id)
            for part, end in marks.high.items():
                yield (topic.name, part), end - min(max(stored.get(part, 0), marks.low[part]), end)


def _models(settings: Settings) -> Iterator[Part]:
    for domain in all_domains():
        name = serving_detector(settings, domain)
        try:
            card = load_scorer(settings, domain, name).card
        except NotTrainedError as error:
            yield Part(f"model of {domain.name}", OFF, str(error))
        except PipelineError as error:
            yield Part(f"model of {domain.name}", ILL, str(error))
        else:
            yield Part(f"model of {domain.name}", WELL, f"{name}, version {card.version}")


def _senders(store: Store) -> Iterator[Part]:
    """The servers that are asked for data. Of logs that come in files nobody knows when the next is due."""
    for domain in all_domains():
        for each in domain.heard(store):
            if each.asked:
                asked = datetime.fromtimestamp(each.asked, UTC).isoformat(timespec="seconds")
                state = ILL if each.note else WELL
                yield Part(each.server, state, f"asked at {asked}: {each.note or 'answered'}")
