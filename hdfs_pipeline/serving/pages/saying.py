"""A word that a form of a page gives: on an item, or on all items of a group."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from fastapi import Request

from hdfs_pipeline.errors import UsageError
from hdfs_pipeline.scoring.labels import WORDS
from hdfs_pipeline.serving.home import speaker

WITHDRAW: Final = "withdraw"
"""In place of a verdict: take the word back."""
_NOTE: Final = 2000  # characters that are kept of a note
_NAME: Final = 200


class Word(NamedTuple):
    """What somebody says: one of `WORDS`, or `WITHDRAW`; why; and who it is."""

    verdict: str
    note: str
    by: str


def word_of(request: Request, fields: Mapping[str, str], what: str) -> Word:
    """The word in the fields of a form on `what`. Raises: UsageError where it is none."""
    verdict = fields.get("verdict", "")
    if verdict not in (*WORDS, WITHDRAW):
        raise UsageError(f"{verdict!r} is no word on a {what}; there are {', '.join(WORDS)}")
    return Word(verdict, fields.get("note", "")[:_NOTE], speaker(request, fields.get("by", "")[:_NAME]))
