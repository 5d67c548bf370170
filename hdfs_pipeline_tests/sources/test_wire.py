"""Messages that all domains share: what is written is read, and what is wrong is said."""

import json
from datetime import UTC, datetime

import pytest

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.sources.wire import DeadLetter, Verdict, decode_verdict, encode, encode_verdict, excerpt

TIME = datetime(2008, 11, 9, 20, 36, tzinfo=UTC)
VERDICT = Verdict(
    "letters", "A-5", "final", "random_forest", 3, 0.9, 0.75, "no x", {"reason": "no x"}, 25, TIME, None, "counts", 7,
    120, 188, datetime(2026, 1, 1, tzinfo=UTC), "idle", "odd", "here", {"letter": "A", "alphabet": ["A", "B"]},
)  # fmt: skip


def letter(text: str) -> str:
    if not text.upper().startswith(("A", "B")):
        raise DataError(f"{text!r} is no letter")
    return text.upper()


ITEMS = {"letters": letter, "numbers": str}


def test_a_verdict_comes_back_with_what_its_domain_added() -> None:
    assert decode_verdict(encode_verdict(VERDICT), None, ITEMS) == VERDICT


def test_a_message_of_an_older_release_names_neither_kind_nor_entity() -> None:
    before = json.loads(encode_verdict(VERDICT))
    del before["kind"], before["entity"]
    found = decode_verdict(json.dumps(before).encode(), None, ITEMS)
    assert (found.kind, found.entity, found.more) == ("", "", VERDICT.more)


def test_the_json_is_as_documented() -> None:
    found = json.loads(encode_verdict(VERDICT))
    assert found["v"] == 1
    assert found["first_time"] == "2008-11-09T20:36:00Z" and found["last_time"] is None
    assert (found["domain"], found["item"], found["letter"]) == ("letters", "A-5", "A")
    assert "more" not in found


def test_what_a_domain_adds_hides_no_field() -> None:
    found = json.loads(encode_verdict(Verdict(**vars(VERDICT) | {"more": {"score": 0.1, "v": 7}})))
    assert (found["score"], found["v"]) == (0.9, 1)


def test_a_message_without_a_domain_is_of_the_first_and_its_key_is_the_item() -> None:
    before = json.loads(encode_verdict(VERDICT))
    del before["domain"], before["item"]
    found = decode_verdict(json.dumps(before).encode(), b"a-5", ITEMS)
    assert found == VERDICT
    with pytest.raises(DataError, match="is no letter"):
        decode_verdict(json.dumps(before).encode(), b"5", ITEMS)
    with pytest.raises(DataError):
        decode_verdict(json.dumps(before).encode(), None, ITEMS)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"v": 2}, "version 2"),
        ({"v": None}, "version None"),
        ({"domain": "words"}, "domain 'words': there are letters, numbers"),
        ({"domain": None}, "domain"),
        ({"item": "5"}, "'5' is no letter"),
        ({"item": 5}, "item 5 is not of type str"),
        ({"status": "perhaps"}, "status 'perhaps': there are final, provisional and withdrawn"),
        ({"score": "high"}, "score"),
        ({"version": True}, "version"),
        ({"explanation": []}, "explanation"),
        ({"first_time": "yesterday"}, "no time"),
        ({"first_time": "2008-11-09T20:36:00"}, "no time zone"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, object], why: str) -> None:
    message = json.dumps({**json.loads(encode_verdict(VERDICT)), **change}).encode()
    with pytest.raises(DataError, match=why):
        decode_verdict(message, None, ITEMS)


@pytest.mark.parametrize("name", ["item", "status", "scored_at"])
def test_a_missing_field_is_named(name: str) -> None:
    good = json.loads(encode_verdict(VERDICT))
    del good[name]
    with pytest.raises(DataError, match=f"{name} is missing"):
        decode_verdict(json.dumps(good).encode(), b"A", ITEMS)


@pytest.mark.parametrize("value", [None, b"", b"x", b"[]", b"\xff\xfe", b'{"v":1', b"[" * 100_000])
def test_what_is_no_message_at_all(value: bytes | None) -> None:
    with pytest.raises(DataError):
        decode_verdict(value, b"A", ITEMS)


def test_a_dead_letter_has_a_key_and_an_excerpt() -> None:
    long = "ä".encode() * 5000
    dead = DeadLetter("raw", 3, 17, "too long", excerpt(long), TIME)
    assert dead.key == b"raw/3/17"
    found = json.loads(encode(dead))
    assert found == {
        "v": 1, "topic": "raw", "partition": 3, "offset": 17, "reason": "too long", "text": "ä" * 1000,
        "seen_at": "2008-11-09T20:36:00Z",
    }  # fmt: skip
    assert excerpt(None) == "" and excerpt(b"\xff") == "\ufffd"
