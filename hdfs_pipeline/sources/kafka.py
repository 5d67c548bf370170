"""What every part of the project needs of Kafka: the brokers' address, the client's settings, its log."""

import gc
import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import methodcaller
from typing import TYPE_CHECKING, Any, Final

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import BOOTSTRAP, Settings
from hdfs_pipeline.shown import HIDDEN, is_secret, without_secrets

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message, Producer, TopicPartition

ANOMALIES: Final = "anomalies"
DEAD_LETTERS: Final = "dead_letters"
INCIDENTS: Final = "incidents"
"""The topics of all domains; each domain has others of its own."""

Headers = list[tuple[str, bytes | None]]
"""The headers of a message: names and values, in their order."""

ADDRESS_FILE: Final = "address"  # in `Settings.broker`, written by the embedded broker once it answers
_HEADERS: Final = methodcaller("headers")


def is_embedded(settings: Settings) -> bool:
    """Whether the home uses its embedded broker."""
    return not settings.kafka_bootstrap_servers


def bootstrap_servers(settings: Settings) -> str:
    """Address of the brokers. Raises: SetupError where the embedded broker is meant, and does not run."""
    if settings.kafka_bootstrap_servers:
        return settings.kafka_bootstrap_servers
    try:
        address = embedded_address(settings)
        host, port = address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=5):  # one that was killed leaves its address behind
            return address
    except (OSError, ValueError):
        raise SetupError(
            f"no Kafka broker: set {BOOTSTRAP}, or start the embedded one of {settings.home} with "
            "`hdfs-pipeline broker` (`hdfs-pipeline up` starts it too)"
        ) from None


def client_config(settings: Settings, **extra: Any) -> dict[str, Any]:
    """Settings of a librdkafka client: the address, what the setting `kafka` passes through, then `extra`.

    In `extra`, `_` stands for `.` but in the names of callbacks: `linger_ms=5`, `on_delivery=…`, `error_cb=…`. Keys are
    partitioned as Java's clients do, so that producers of both kinds agree on a key's partition.
    """
    config = {
        "bootstrap.servers": bootstrap_servers(settings),
        "client.id": "hdfs-pipeline",
        "partitioner": "murmur2_random",
        "logger": logging.getLogger("hdfs_pipeline.kafka"),
        **settings.kafka,
    }
    callbacks = {name for name in extra if name.startswith("on_") or name.endswith("_cb")}
    return config | {name if name in callbacks else name.replace("_", "."): value for name, value in extra.items()}


def embedded_address(settings: Settings) -> str:
    """The address that the home's embedded broker wrote down; '' where none did, or where it has ended since."""
    try:
        return (settings.broker / ADDRESS_FILE).read_text().strip()
    except OSError:
        return ""


@contextmanager
def fewer_collections() -> Iterator[None]:
    """Let Python look for cycles once in a great many objects.

    Messages come by the hundred thousand and hold no cycles: at Python's own threshold, looking for them would take a
    third to half of a reader's time.
    """
    before = gc.get_threshold()
    gc.freeze()  # the present objects stay: they need not be visited again
    gc.set_threshold(200_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def producer(settings: Settings, **extra: Any) -> "Producer":
    """A producer with `client_config`. Raises: SetupError for settings that librdkafka refuses."""
    from confluent_kafka import KafkaException, Producer

    try:
        return Producer(client_config(settings, **extra))
    except (KafkaException, TypeError, ValueError) as error:
        raise explained(error, settings=settings) from None


def consumer(settings: Settings, **extra: Any) -> "Consumer":
    """A consumer with `client_config`. Raises: SetupError for settings that librdkafka refuses."""
    from confluent_kafka import Consumer, KafkaException

    config = client_config(settings, **extra)
    config.pop("partitioner", None)  # a producer's; librdkafka would warn of it
    try:
        return Consumer(config)
    except (KafkaException, TypeError, ValueError) as error:
        raise explained(error, settings=settings) from None


def headers_of(message: "Message") -> Headers:
    """The headers of a message; none where the name of one is no UTF-8."""
    try:
        # For such a name the client sets an error and returns a list all the same, with names that are no objects. A
        # plain call would let that pass once Python has specialised it; this one is always checked.
        return _HEADERS(message) or []
    except (SystemError, UnicodeDecodeError):
        message.set_headers([])  # it keeps that list
        return []


def each_headers(messages: "Sequence[Message]") -> list[Headers]:
    """`headers_of` each message. A message is asked once: the client would show a list that it has refused before."""
    found: list[Headers | None] = []
    asked = map(_HEADERS, messages)  # a loop in C; what it gave before an error stays in the list
    while len(found) < len(messages):
        try:
            found.extend(asked)
        except (SystemError, UnicodeDecodeError):
            messages[len(found)].set_headers([])
            found.append(None)
    return [headers or [] for headers in found]


def committed(client: "Consumer", places: list["TopicPartition"], limit_s: float = 30.0) -> list["TopicPartition"]:
    """What a group has committed of `places`. A broker that has just started is asked again, for `limit_s`.

    Raises: SetupError where it goes on refusing.
    """
    from confluent_kafka import KafkaException

    def passes(error: BaseException) -> bool:
        return isinstance(error, KafkaException) and (error.args[0].retriable() or "oordinator" in error.args[0].str())

    retrying = Retrying(
        retry=retry_if_exception(passes), stop=stop_after_delay(limit_s), wait=wait_fixed(0.2), reraise=True
    )
    try:
        positions = retrying(client.committed, places, timeout=limit_s)
    except KafkaException as error:
        raise explained(error, "the group's offsets") from None
    for place in positions:
        if place.error is not None:
            raise SetupError(f"the group's offsets of {place.topic}/{place.partition}: {place.error.str()}")
    return list(positions)


def explained(error: Exception, what: str = "Kafka", *, settings: Settings | None = None) -> SetupError:
    """An error of Kafka in words for people, without the secrets of `settings`."""
    from confluent_kafka import KafkaError

    cause = error.args[0] if error.args else error
    code = cause.code() if isinstance(cause, KafkaError) else KafkaError._INVALID_ARG
    text = cause.str() if isinstance(cause, KafkaError) else str(error)
    text = without_secrets(text, settings.secrets if settings else ())
    unreachable = (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE)
    if code in unreachable:
        text += f"; is the broker running, and does {BOOTSTRAP} (or the setting kafka_bootstrap_servers) name it?"
    elif code == KafkaError._INVALID_ARG:
        text += "; see the setting `kafka`"
    return SetupError(f"{what}: {text}")


def masked(kafka: dict[str, str]) -> dict[str, str]:
    """The setting `kafka` with its secrets hidden."""
    return {name: HIDDEN if is_secret(name) else value for name, value in kafka.items()}
