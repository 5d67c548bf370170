"""Telling words: of each kind of trouble those that say why, and nothing is lost of the record."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.verdicts.telling import telling_parts


def about(kind: str = "write failed: disk full", **differing: Any) -> dict[str, Any]:
    return {"kind": kind, "kinds": {kind: 3}, "entity": "10.0.0.7:9866", "next_steps": []} | differing


def marked(incident: dict[str, Any], line: str) -> list[str]:
    return [part.text for part in telling_parts(incident, line) if part.telling]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("x INFO DataNode: opWriteBlock received exception java.io.IOException: No space left on device",
         ["java.io.IOException: No space left on device"]),
        ("2026 10.0.0.7:9866 WARN FsDatasetImpl: as corrupt due to length mismatch",
         ["10.0.0.7:9866", "WARN", "corrupt", "length mismatch"]),
        ("ERROR DataNode: Checksum error in block", ["ERROR", "Checksum error"]),
        ("to /10.0.0.7:9866 and 110.0.0.7:98667", ["10.0.0.7:9866"]),
        ("INFO DataNode: Received block of size 91178", []),
    ],
)  # fmt: skip
def test_what_says_why_is_marked(line: str, words: list[str]) -> None:
    assert marked(about(), line) == words


def test_words_of_the_kind_in_all_their_forms_and_what_the_next_steps_quote() -> None:
    lease = about("lease recovered: the writer died", entity="", next_steps=["look at `newNodes` of the record"])
    assert marked(lease, "Lease recovery of a lease; newNodes=0, writers") == [
        "Lease",
        "recovery",
        "lease",
        "newNodes",
        "writers",
    ]


@given(st.text(max_size=200), st.text(max_size=30), st.text(max_size=30), st.lists(st.text(max_size=30), max_size=3))
def test_pieces_joined_are_the_record(line: str, kind: str, entity: str, steps: list[str]) -> None:
    parts = telling_parts(about(kind, entity=entity, next_steps=steps), line)
    assert "".join(part.text for part in parts) == line
    assert all(part.text for part in parts)
