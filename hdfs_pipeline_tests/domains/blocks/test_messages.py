"""Messages become the same records as the lines of a file."""

import gzip
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfs_pipeline.domains.blocks.messages import MessageRecords, Shipped, read_messages
from hdfs_pipeline.domains.blocks.records import NO_DATE, NO_STAMP, split_records
from hdfs_pipeline.settings import PROJECT
from hdfs_pipeline_tests.domains.blocks.formats import log_format

FORMAT = log_format()
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
    head = len("081109 203518 " if layout == "hdfs_v1" else "2026-11-21 14:16:19,172 ")
    for line in data.splitlines():
        is_head = (
            len(line) > head and line[:6].isdigit() if layout == "hdfs_v1" else line[:4].isdigit() and line[4:5] == b"-"
        )
        if is_head or not found:
            found.append([])
        found[-1].append(line)
    return [b"\n".join(record) for record in found]


def read(
    values: list[bytes | None], limit: int = LIMIT
) -> tuple[MessageRecords, list[tuple[int, str]], dict[int, Any]]:
    return read_messages(values, limit, FORMAT)


def rows(batches: Any) -> list[dict[str, Any]]:
    return [{**row, "position": 0} for batch in batches for row in batch.to_pylist()]


@pytest.mark.parametrize("layout", SAMPLES)
def test_messages_and_files_give_the_same_records(layout: str) -> None:
    given_texts = texts(layout, 4000)
    part, bad, shipped = read(given_texts)
    assert (bad, shipped) == ([], {})
    assert part.message.tolist() == list(range(len(given_texts)))
    file = split_records([b"\n".join(given_texts) + b"\n"], FORMAT)
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
    part, bad, shipped = read(values)
    assert sorted(part.message.tolist()) == [at for at, k in enumerate(order) if k in (0, 1, 5)]
    assert [at for at, _ in bad] == [at for at, k in enumerate(order) if k in (2, 3, 4)]
    assert sorted(shipped) == [at for at, k in enumerate(order) if k == 5]
    for at, row in zip(part.message.tolist(), part.batch.to_pylist(), strict=True):
        assert row["block_ids"] == ([7] if order[at] == 1 else [-1608999687919862906])
        assert row["more"] == (" at a\n at b" if order[at] == 1 else "")


def test_several_records_in_one_message_all_count() -> None:
    found, bad, _ = read([LINE + b"\n" + LINE, LINE])
    assert bad == []
    assert found.message.tolist() == [0, 0, 1]


def test_a_message_is_taken_whole_or_not_at_all() -> None:
    found, bad, _ = read([LINE + b"\n081109 999999 1 INFO a: b", LINE])
    assert bad == [(0, NO_DATE)]
    assert found.message.tolist() == [1]


def test_what_is_bad_says_why() -> None:
    values = [
        None,
        b"",
        b"garbage",
        b"{",
        b"{}",
        b"x" * 100,
        b"081109 999999 1 INFO a: b",
        LINE[:20],
        b'{"a": {}, "b": 1}',
    ]
    _, bad, _ = read(values, 99)
    nothing = "say where the line is by the setting json_fields"
    assert bad == [
        (0, "no value"), (1, NO_STAMP), (2, NO_STAMP), (3, "neither a log line nor JSON"),
        (4, f"JSON of no known shipper: it holds nothing; {nothing}"),
        (5, "longer than 99 bytes"), (6, NO_DATE), (7, FORMAT.strange),
        (8, f"JSON of no known shipper: it holds `a`, `b`; {nothing}"),
    ]  # fmt: skip


def test_one_shapeless_message_takes_no_lines_from_the_one_before() -> None:
    found, bad, _ = read([LINE, b"\tat java.lang.Thread.run", LINE])
    assert (found.batch["more"].to_pylist(), found.message.tolist()) == (["", ""], [0, 2])
    assert bad == [(1, NO_STAMP)]


def test_a_prefix_that_begins_with_digits_is_taken_off() -> None:
    value = b"2025-06-01T19:30:54.163456789Z stdout F " + LINE
    found, bad, shipped = read([LINE, value])
    assert (bad, found.batch["block_ids"].to_pylist()) == ([], [[-1608999687919862906]] * 2)
    assert shipped == {1: Shipped(LINE, kind="cri")}


def test_a_mark_before_a_message_hides_no_record() -> None:
    found, bad, _ = read([b"\xef\xbb\xbf" + LINE])
    assert (bad, found.batch["block_ids"].to_pylist()) == ([], [[-1608999687919862906]])


def test_half_a_surrogate_pair_is_replaced() -> None:
    sent = b'{"message": "' + LINE + b'\\ud800", "host": "\\ud800h", "file": "/a\\udfff"}'
    found, bad, shipped = read([sent])
    assert bad == []
    assert (shipped[0].host, shipped[0].path) == ("?h", "/a?")
    assert found.batch["message"][0].as_py().endswith("b?")


def test_json_that_is_deep_or_odd_is_refused_in_words() -> None:
    values = [b'{"a":' * 50_000, b'{"message": 5}', b"{1}", b'{"message": "x", "host": ' + b"9" * 5000 + b"}"]
    _, bad, _ = read(values)
    assert [index for index, reason in bad if "JSON" in reason or reason == NO_STAMP] == [0, 1, 2, 3]
