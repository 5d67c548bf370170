"""Messages and batches that our own producers cannot make: of clients in other languages, damaged ones, bombs."""

import ctypes
import socket
import struct
from collections.abc import Sequence

from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import bootstrap_servers, producer

_TEXT = ctypes.c_char_p


def send_with_headers(
    settings: Settings, topic: str, part: int, key: bytes, value: bytes, headers: Sequence[tuple[bytes, bytes]]
) -> None:
    """A message whose headers' names are any bytes: Python's producer takes text only."""
    from confluent_kafka import cimpl

    library, pointer = ctypes.CDLL(cimpl.__file__), ctypes.c_void_p
    library.rd_kafka_conf_new.restype = library.rd_kafka_new.restype = library.rd_kafka_headers_new.restype = pointer
    library.rd_kafka_conf_set.argtypes = [pointer, _TEXT, _TEXT, _TEXT, ctypes.c_size_t]
    library.rd_kafka_new.argtypes = [ctypes.c_int, pointer, _TEXT, ctypes.c_size_t]
    library.rd_kafka_headers_new.argtypes = [ctypes.c_size_t]
    library.rd_kafka_header_add.argtypes = [pointer, _TEXT, ctypes.c_ssize_t, _TEXT, ctypes.c_ssize_t]
    library.rd_kafka_flush.argtypes = [pointer, ctypes.c_int]
    library.rd_kafka_destroy.argtypes = [pointer]
    error = ctypes.create_string_buffer(512)
    config = library.rd_kafka_conf_new()
    library.rd_kafka_conf_set(config, b"bootstrap.servers", bootstrap_servers(settings).encode(), error, 512)
    client = library.rd_kafka_new(0, config, error, 512)
    made = library.rd_kafka_headers_new(len(headers))
    for name, text in headers:
        library.rd_kafka_header_add(made, name, len(name), text, len(text))
    number, size = ctypes.c_int, ctypes.c_size_t
    arguments = (
        *(number(1), _TEXT(topic.encode())),  # RD_KAFKA_VTYPE_TOPIC
        *(number(3), ctypes.c_int32(part)),
        *(number(4), _TEXT(value), size(len(value))),
        *(number(5), _TEXT(key), size(len(key))),
        *(number(7), number(2)),  # copy the value
        *(number(10), pointer(made)),
        number(0),
    )
    assert library.rd_kafka_producev(pointer(client), *arguments) == 0
    assert library.rd_kafka_flush(client, 20_000) == 0
    library.rd_kafka_destroy(client)


def send_bomb(settings: Settings, topic: str, part: int, messages: int = 1, size: int = 90_000_000) -> None:
    """One batch of a few kilobytes that unpacks to more than any client takes."""
    limits = {
        "message_max_bytes": 500_000_000,
        "batch_size": 500_000_000,
        "linger_ms": 60_000,
    }  # one batch, sent by `flush`
    sender = producer(settings, compression_type="zstd", **limits)
    for _ in range(messages):
        sender.produce(topic, b"x" * (size // messages), b"blk_1", partition=part)
    assert sender.flush(60) == 0


def damaged(messages: int, compression: int) -> bytes:
    """A batch (format 2) of so many messages that does not decompress."""
    tail = struct.pack(">hiqqqhii", compression, messages - 1, 0, 0, -1, -1, -1, messages) + b"\xff" * 50
    head = struct.pack(">ibI", 0, 2, 0) + tail
    return struct.pack(">qi", 0, len(head)) + head


def send_as_it_is(settings: Settings, topic: str, part: int, batch: bytes) -> None:
    """A batch for the embedded broker, which keeps what it gets; a real one refuses damaged ones."""
    host, port = bootstrap_servers(settings).rsplit(":", 1)
    name = topic.encode()
    body = struct.pack(">hhi", -1, 1, 5000) + struct.pack(">ih", 1, len(name)) + name
    body += struct.pack(">iii", 1, part, len(batch)) + batch
    request = struct.pack(">hhih", 0, 7, 1, 1) + b"t" + body  # Produce, version 7
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        assert connection.recv(4096)
