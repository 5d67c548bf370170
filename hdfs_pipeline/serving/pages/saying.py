"""What people say in a form of a page: a note and who gives it, and a word on an item or on all items of a group."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from fastapi import Request

from hdfs_pipeline.errors import UsageError
from hdfs_pipeline.scoring.labels import WORDS
from hdfs_pipeline.serving.home import speaker

WITHDRAW: Final = "withdraw"
"""In place of a verdict: take the word back."""
_NOTE: Final = 2000  # characters of a note
_NAME: Final = 200


class Word(NamedTuple):
    """What somebody says: one of `WORDS`, or `WITHDRAW`; why; and who it is."""

    verdict: str
    note: str
    by: str


def note_of(request: Request, fields: Mapping[str, str]) -> tuple[str, str]:
    """The note in the fields of a form, and who gives it. Raises: UsageError where either is too long."""
    note, by = (fields.get(name, "").strip() for name in ("note", "by"))
    if len(note) > _NOTE or len(by) > _NAME:
        raise UsageError(f"a note has at most {_NOTE:,} characters, and a name at most {_NAME:,}")
    return note, speaker(request, by)


def word_of(request: Request, fields: Mapping[str, str], what: str) -> Word:
    """The word in the fields of a form on `what`. Raises: UsageError where it is none, and as `note_of` does."""
    verdict = fields.get("verdict", "")
    if verdict not in (*WORDS, WITHDRAW):
        raise UsageError(f"{verdict!r} is no word on a {what}; there are {', '.join(WORDS)}")
    return Word(verdict, *note_of(request, fields))
