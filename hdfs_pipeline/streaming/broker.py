"""The embedded Kafka broker: librdkafka's mock cluster, in a process of its own, for trials and tests.

It speaks Kafka's protocol to any client on this machine and keeps its messages in memory, 5 MiB a partition: beyond
that the oldest batches are dropped silently, and all messages are lost when the process ends. Transactions are accepted
but not kept. It makes topics by itself when it starts; admin calls fail at once. Data that must last need a real broker
(docs/streaming.md).
"""

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.processes.signals import stop_on_signals
from hdfs_pipeline.settings import BOOTSTRAP, Settings
from hdfs_pipeline.sources.kafka import ADDRESS_FILE, is_embedded
from hdfs_pipeline.streaming.topics import all_topics

LOCK_FILE: Final = "lock"  # held by the broker that runs; the system releases a killed one's
_PRODUCER: Final = 0  # RD_KAFKA_PRODUCER: the mock cluster needs a client to live in
_ANSWER_S: Final = 10.0
_REBALANCE_DELAY_MS: Final = 100  # 3 s by default, which every start of a consumer group would wait


def run_broker(settings: Settings, *, with_parent: bool = False, say: Callable[[str], None] = print) -> int:
    """Serve the home's embedded broker until SIGINT, SIGTERM or SIGHUP; the exit code.

    `<home>/broker/address` holds its address while it answers. With `with_parent` it also ends when the process that
    started it has gone. Raises: SetupError where the home uses another broker, or its own runs already.
    """
    if not is_embedded(settings):
        raise SetupError(
            f"{settings.home} uses the broker {settings.kafka_bootstrap_servers}: unset {BOOTSTRAP} (or the setting "
            "kafka_bootstrap_servers) for the embedded one"
        )
    parent = os.getppid()
    with (
        stop_on_signals() as stopped,
        _only_one(settings.broker),
        mock_cluster(settings.kafka_partitions, settings.kafka_topic_prefix) as address,
    ):
        _wait_until_it_answers(address, settings)
        with _address_file(settings.broker / ADDRESS_FILE, address):
            say(address)
            while not stopped.wait(0.2):
                if with_parent and os.getppid() != parent:
                    break
    return 0


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK_FILE)
        with lock.acquire(timeout=0):
            yield
    except Timeout:
        with suppress(OSError):
            address = (folder / ADDRESS_FILE).read_text().strip()
            raise SetupError(f"the broker of this home runs already, at {address}") from None
        raise SetupError("the broker of this home is being started already") from None
    except OSError as error:
        raise SetupError(f"{folder}: {error.strerror}; choose another home (HDFS_PIPELINE_HOME)") from None


@contextmanager
def _address_file(path: Path, address: str) -> Iterator[None]:
    """Write the address into its file, in place of what a killed broker left, and remove the file at the end."""
    new = path.with_suffix(".new")
    new.write_text(f"{address}\n")
    new.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def mock_cluster(partitions: int, prefix: str = "") -> Iterator[str]:
    """A mock cluster of one broker with every topic that there is, named with a prefix; its address on the loopback.

    librdkafka's public settings offer no number of partitions, so its own functions (rdkafka_mock.h) are called in the
    library that confluent_kafka brings.
    """
    library = _library()
    error = ctypes.create_string_buffer(512)
    config = library.rd_kafka_conf_new()
    library.rd_kafka_conf_set(config, b"log_level", b"3", error, len(error))  # errors; a client without brokers warns
    client = library.rd_kafka_new(_PRODUCER, config, error, len(error))
    if not client:
        raise SetupError(f"librdkafka does not start: {error.value.decode(errors='replace')}")
    cluster = library.rd_kafka_mock_cluster_new(client, 1)
    if not cluster:
        raise SetupError("the embedded broker does not start: no free port on the loopback?")
    library.rd_kafka_mock_set_controller_id(cluster, 1)  # without one, each admin call burns its whole timeout
    library.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, _REBALANCE_DELAY_MS)
    for topic in all_topics():
        if library.rd_kafka_mock_topic_create(cluster, f"{prefix}{topic}".encode(), partitions, 1):
            raise SetupError(f"the embedded broker refuses the topic {topic} with {partitions} partitions")
    try:
        yield library.rd_kafka_mock_cluster_bootstraps(cluster).decode()
    finally:
        library.rd_kafka_mock_cluster_destroy(cluster)
        library.rd_kafka_destroy(client)


def _library() -> ctypes.CDLL:
    """The librdkafka of confluent_kafka, with the functions' types."""
    from confluent_kafka import cimpl

    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    types: dict[str, tuple[type | None, list[type]]] = {
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_conf_set": (number, [pointer, text, text, text, ctypes.c_size_t]),
        "rd_kafka_new": (pointer, [number, pointer, text, ctypes.c_size_t]),
        "rd_kafka_mock_cluster_new": (pointer, [pointer, number]),
        "rd_kafka_mock_set_controller_id": (number, [pointer, ctypes.c_int32]),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [pointer, ctypes.c_int32]),
        "rd_kafka_mock_topic_create": (number, [pointer, text, number, number]),
        "rd_kafka_mock_cluster_bootstraps": (text, [pointer]),
        "rd_kafka_mock_cluster_destroy": (None, [pointer]),
        "rd_kafka_destroy": (None, [pointer]),
    }
    try:
        # The wheel links librdkafka as a library beside the module; symbols of both are found through the module.
        library = ctypes.CDLL(cimpl.__file__)
        for name, (result, arguments) in types.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise SetupError(
            f"this confluent-kafka ({sys.platform}) has no mock cluster ({error}): use a real broker, {BOOTSTRAP}"
        ) from None
    return library


def _wait_until_it_answers(address: str, settings: Settings) -> None:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    try:
        topics = AdminClient({"bootstrap.servers": address}).list_topics(timeout=_ANSWER_S).topics
    except KafkaException as error:
        raise SetupError(f"the embedded broker does not answer: {error.args[0].str()}") from None
    partitions = settings.kafka_partitions
    if any(len(topics[settings.topic(topic)].partitions) != partitions for topic in all_topics()):
        raise SetupError(f"the embedded broker did not make {partitions} partitions of each topic")
