"""The Kafka topic `incidents`: the latest message of an incident under its id."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hdfs_pipeline.alerting.messages import Letter, News, envelope
from hdfs_pipeline.alerting.target import OutageError
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import INCIDENTS, bootstrap_servers, is_embedded, producer
from hdfs_pipeline.sources.ranges import reachable, watermarks
from hdfs_pipeline.streaming.topics import ensure_topics

if TYPE_CHECKING:
    from confluent_kafka import Producer

KEY_HEADER = "idempotency-key"


class IncidentsTopic:
    """The topic `incidents` of the home's brokers. A topic that is made anew is told everything anew."""

    name = "kafka"
    batch = 100
    forgets = False

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open: tuple[str, str, Producer] | None = None  # brokers, place and client

    def place(self) -> str:
        """Its name with the ids of cluster and topic."""
        servers = bootstrap_servers(self._settings)
        if self._open is None or self._open[0] != servers:
            self.close()
            self._open = (servers, *self._connect(servers))
        return self._open[1]

    def _connect(self, servers: str) -> "tuple[str, Producer]":
        if not reachable(self._settings):  # a client would wait for longer
            raise OutageError(f"no Kafka broker answers at {servers}")
        limit_s = self._settings.notify_timeout_s
        try:
            marks = watermarks(self._settings, INCIDENTS, limit_s)
        except SetupError:
            ensure_topics(self._settings, [INCIDENTS])
            marks = watermarks(self._settings, INCIDENTS, limit_s)
        client = producer(
            self._settings,
            enable_idempotence=True,
            linger_ms=5,
            compression_type="lz4",
            delivery_timeout_ms=int(limit_s * 1000),
        )
        return f"{self.name}/{marks.cluster_id}/{marks.topic_id}", client

    def body(self, news: News, last: str) -> str:
        """The documented JSON."""
        return envelope(news, last, self._settings.pages_url)

    def send(self, letters: Sequence[Letter]) -> list[str]:
        """Produce messages and wait for the brokers to have them; see `Target.send`."""
        from confluent_kafka import KafkaError, KafkaException

        assert self._open is not None
        client = self._open[2]
        heard: dict[str, Any] = {}
        for letter in letters:
            try:
                client.produce(
                    self._settings.topic(INCIDENTS),
                    letter.body.encode(),
                    letter.incident.encode(),
                    headers=[(KEY_HEADER, letter.key.encode())],
                    on_delivery=lambda error, _, incident=letter.incident: heard.update({incident: error}),
                )
            except (BufferError, KafkaException) as refusal:
                heard[letter.incident] = refusal.args[0]
        client.flush(self._settings.notify_timeout_s + 1.0)
        refusals = []
        for letter in letters:
            error = heard.get(letter.incident, "no answer")
            if isinstance(error, KafkaError) and error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                refusals.append(f"the brokers refuse the message: {error.str()}")
            elif error is not None:
                self.close()
                why = error.str() if isinstance(error, KafkaError) else str(error)
                taken = [each for each in letters if heard.get(each.incident, "no answer") is None]
                raise OutageError(f"Kafka does not take messages of {INCIDENTS}: {why}", taken=taken)
            else:
                refusals.append("")
        return refusals

    def close(self) -> None:
        """Drop the client, and what it may still hold: a message that comes late would come out of its order."""
        if self._open is not None:
            self._open[2].purge()
            self._open[2].flush(0)
        self._open = None


def has_brokers(settings: Settings) -> bool:
    """Whether the home has brokers: such as are configured, or its own embedded one, and that runs."""
    if not is_embedded(settings):
        return True
    try:
        return bool(bootstrap_servers(settings))
    except SetupError:
        return False
