"""Our own messages: what is written is read, and what is wrong is said."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfs_pipeline.domains.blocks import wire
from hdfs_pipeline.domains.blocks.wire import Label, Vector
from hdfs_pipeline.errors import DataError

NUMBER = st.integers(-(2**63), 2**63 - 1)
TIME = st.integers(0, 4 * 10**15).map(lambda us: datetime.fromtimestamp(us / 1e6, UTC))
VECTOR = st.builds(
    Vector,
    block_id=NUMBER,
    catalogue=st.just("hdfs_v1.v1"),
    counts=st.dictionaries(st.text(min_size=1, max_size=5), st.integers(1, 2**31 - 1), max_size=4),
    lines=st.integers(0, 2**31),
    alarms=st.integers(0, 9),
    first_time=TIME | st.none(),
    last_time=TIME | st.none(),
    partition=st.integers(0, 49),
    first_offset=st.integers(0, 2**62),
    last_offset=st.integers(0, 2**62),
    closed_by=st.sampled_from(["idle", None]),
    label=st.none() | st.text(max_size=5),
    host=st.text(max_size=5),
)
REPEATABLE = settings(derandomize=True, deadline=None)


@REPEATABLE
@given(vector=VECTOR)
def test_a_vector_comes_back(vector: Vector) -> None:
    assert wire.decode_vector(wire.encode(vector)) == vector


def test_a_label_comes_back() -> None:
    label = Label(-(2**63), "anomaly", "block_lost")
    assert wire.decode_label(wire.encode(label)) == label


def test_the_json_is_as_documented() -> None:
    found = json.loads(wire.encode(Vector(-5, "c.v1", {}, first_time=datetime(2008, 11, 9, 20, 36, tzinfo=UTC))))
    assert found["v"] == 1
    assert found["block_id"] == "blk_-5", "a number would lose digits in JavaScript"
    assert found["first_time"] == "2008-11-09T20:36:00Z"


def test_a_vector_of_an_older_release_names_no_host() -> None:
    before = json.loads(wire.encode(Vector(1, "c.v1", {"E1": 2}, host="dn1")))
    del before["host"]
    assert wire.decode_vector(json.dumps(before).encode()) == Vector(1, "c.v1", {"E1": 2})


def test_fields_of_a_later_version_are_left_out() -> None:
    vector = Vector(1, "c.v1", {"E1": 2})
    more = {**json.loads(wire.encode(vector)), "new": [1]}
    assert wire.decode_vector(json.dumps(more).encode()) == vector


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"v": 2}, "version 2"),
        ({"v": None}, "version None"),
        ({"block_id": 5}, "no block id"),
        ({"block_id": "blk_99999999999999999999"}, "no block id"),
        ({"counts": {"E1": -1}}, "whole numbers"),
        ({"counts": {"E1": True}}, "whole numbers"),
        ({"counts": [1]}, "whole numbers"),
        ({"catalogue": None}, "catalogue"),
        ({"lines": "3"}, "lines"),
        ({"first_time": "yesterday"}, "no time"),
        ({"first_time": "2008-11-09T20:36:00"}, "no time zone"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, object], why: str) -> None:
    good = json.loads(wire.encode(Vector(1, "c.v1", {"E1": 2})))
    with pytest.raises(DataError, match=why):
        wire.decode_vector(json.dumps({**good, **change}).encode())


@pytest.mark.parametrize("value", [None, b"", b"x", b"[]", b"\xff\xfe", b'{"v":1', b"[" * 100_000])
def test_what_is_no_message_at_all(value: bytes | None) -> None:
    for decode in (wire.decode_vector, wire.decode_label):
        with pytest.raises(DataError):
            decode(value)


@pytest.mark.parametrize("name", ["block_id", "catalogue", "counts"])
def test_a_missing_field_is_named(name: str) -> None:
    good = json.loads(wire.encode(Vector(1, "c.v1", {"E1": 2})))
    del good[name]
    with pytest.raises(DataError, match=f"{name} is missing"):
        wire.decode_vector(json.dumps(good).encode())


def test_labels_are_known_ones() -> None:
    good = json.loads(wire.encode(Label(1, "normal")))
    with pytest.raises(DataError, match="perhaps"):
        wire.decode_label(json.dumps({**good, "label": "perhaps"}).encode())


@pytest.mark.parametrize(
    "key", [None, b"", b"blk_", b"blk_1_2", b"host1", b"blk_12x", b"blk_+1", b"blk_9223372036854775808"]
)
def test_other_keys_name_no_block(key: bytes | None) -> None:
    assert wire.parse_key(key) is None


@REPEATABLE
@given(number=NUMBER)
def test_keys_come_back_by_either_way(number: int) -> None:
    import numpy as np

    from hdfs_pipeline.domains.blocks import scan

    key = wire.block_key(number)
    assert wire.parse_key(key) == number
    ids, known = scan.block_keys(np.frombuffer(b"\n" + key + b"\nhost\n" + key + b"0x\n", np.uint8), 4)
    assert (ids[1], known.tolist()) == (number, [False, True, False, False])
