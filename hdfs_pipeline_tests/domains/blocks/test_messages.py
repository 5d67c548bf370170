"""Messages become the same records as the lines of a file."""

import gzip
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfs_pipeline.domains.blocks.messages import NO_HEAD, Shipped, read_messages, unwrap
from hdfs_pipeline.domains.blocks.records import LAYOUTS, split_records
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.settings import PROJECT

V1, LOG4J = LAYOUTS["hdfs_v1"], LAYOUTS["log4j"]
SAMPLES = {
    "hdfs_v1": PROJECT / "data" / "sample" / "hdfs_v1" / "HDFS.log.gz",
    "log4j": PROJECT / "data" / "sample" / "hdfs_3.4" / "namenode.log.gz",
}
LIMIT = 1 << 20
LINE = b"081109 203518 143 INFO dfs.DataNode$DataXceiver: Receiving block blk_-1608999687919862906 src: /a dest: /b"


def texts(layout: str, lines: int) -> list[bytes]:
    """The first records of a sample, each with its continuation lines."""
    with gzip.open(SAMPLES[layout]) as file:
        data = b"".join(next(file) for _ in range(lines))
    found: list[list[bytes]] = []
    head = len(LAYOUTS[layout].head)
    for line in data.splitlines():
        is_head = (
            len(line) > head and line[:6].isdigit() if layout == "hdfs_v1" else line[:4].isdigit() and line[4:5] == b"-"
        )
        if is_head or not found:
            found.append([])
        found[-1].append(line)
    return [b"\n".join(record) for record in found]


def rows(batches: Any) -> list[dict[str, Any]]:
    return [{**row, "position": 0} for batch in batches for row in batch.to_pylist()]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_messages_and_files_give_the_same_records(layout: str) -> None:
    given_texts = texts(layout, 4000)
    found, bad, shipped = read_messages(given_texts, LIMIT)
    assert (bad, shipped) == ([], {})
    (part,) = found
    assert part.message.tolist() == list(range(len(given_texts)))
    file = split_records([b"\n".join(given_texts) + b"\n"], LAYOUTS[layout])
    assert rows([part.batch]) == rows(file)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    order=st.lists(st.integers(0, 5), max_size=30),
    ends=st.lists(st.sampled_from([b"", b"\n", b"\r\n"]), min_size=30, max_size=30),
)
def test_every_message_is_a_record_or_bad_and_says_which(order: list[int], ends: list[bytes]) -> None:
    kinds: list[bytes | None] = [
        LINE,
        b"2026-11-21 14:16:19,172 WARN BlockStateChange: blk_7 is lost\n at a\n at b",
        b"no head",
        None,
        b'{"x": 1}',
        json.dumps({"message": LINE.decode(), "host": {"name": "dn1"}}).encode(),
    ]
    values = [None if kinds[k] is None else kinds[k] + ends[at] for at, k in enumerate(order)]
    found, bad, shipped = read_messages(values, LIMIT)
    good = sorted(np.concatenate([part.message for part in found]).tolist()) if found else []
    assert good == [at for at, k in enumerate(order) if k in (0, 1, 5)]
    assert [at for at, _ in bad] == [at for at, k in enumerate(order) if k in (2, 3, 4)]
    assert sorted(shipped) == [at for at, k in enumerate(order) if k == 5]
    for part in found:
        for at, row in zip(part.message.tolist(), part.batch.to_pylist(), strict=True):
            assert row["block_ids"] == ([7] if order[at] == 1 else [-1608999687919862906])
            assert row["more"] == (" at a\n at b" if order[at] == 1 else "")


def test_several_records_in_one_message_all_count() -> None:
    found, bad, _ = read_messages([LINE + b"\n" + LINE, LINE], LIMIT)
    assert bad == []
    assert found[0].message.tolist() == [0, 0, 1]


def test_a_message_is_taken_whole_or_not_at_all() -> None:
    found, bad, _ = read_messages([LINE + b"\n081109 999999 1 INFO a: b", LINE], LIMIT)
    assert bad == [(0, NO_HEAD)]
    assert found[0].message.tolist() == [1]


def test_what_is_bad_says_why() -> None:
    values = [None, b"", b"garbage", b"{", b"{}", b"x" * 100, b"081109 999999 1 INFO a: b", LINE[:20]]
    _, bad, _ = read_messages(values, 99)
    assert bad == [
        (0, "no value"), (1, NO_HEAD), (2, NO_HEAD), (3, "neither a log line nor JSON"), (4, "JSON without `message`"),
        (5, "longer than 99 bytes"), (6, NO_HEAD), (7, NO_HEAD),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "host", "path"),
    [  # as the Kafka outputs of Filebeat 8, Vector 0.4x and Fluent Bit 3 write
        ({"@timestamp": "…", "host": {"name": "dn1"}, "log": {"file": {"path": "/v/a.log"}}}, "dn1", "/v/a.log"),
        ({"timestamp": "…", "host": "dn1", "file": "/v/a.log", "source_type": "file"}, "dn1", "/v/a.log"),
        ({"@timestamp": 1795270579.172, "host": "dn1", "filename": "/v/a.log"}, "dn1", "/v/a.log"),
        ({}, "", ""),
    ],
)
def test_what_shippers_send(sent: dict[str, object], host: str, path: str) -> None:
    found = unwrap(json.dumps({**sent, "message": LINE.decode() + "\n"}).encode())
    assert (found.text, found.host, found.path) == (LINE, host, path)


def test_fluent_bits_own_name_of_the_line() -> None:
    assert unwrap(json.dumps({"log": LINE.decode()}).encode()).text == LINE


def test_half_a_surrogate_pair_is_replaced() -> None:
    sent = b'{"message": "x\\ud800", "host": "\\ud800h", "file": "/a\\udfff"}'
    assert unwrap(sent) == Shipped(b"x?", "?h", "/a?")


def test_json_that_is_deep_or_odd_is_refused_in_words() -> None:
    for value in (b'{"a":' * 50_000, b'{"message": 5}', b"{1}"):
        with pytest.raises(DataError, match="JSON"):
            unwrap(value)
