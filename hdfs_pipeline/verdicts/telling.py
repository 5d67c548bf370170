"""The telling words of a raw record: what in it says why it belongs to an incident."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

_GRAVE: Final = r"\b(?:WARN(?:ING)?|ERROR|FATAL|SEVERE)\b"
# The name of an exception with its message, up to the end of the sentence or line.
_EXCEPTION: Final = r"\b(?:[a-z][\w.$]*\.)?[A-Z]\w*(?:Exception|Error)\b(?:: [^\n;]{1,200})?"
# Beginnings of words of trouble, by themselves or within a name.
_TROUBLE: Final = (
    r"(?i:\b(?:abandon|abort|bad\b|cannot|corrupt|checksum error|damag|dead\b|denied|error|exceed|expired|fail|invalid|"
    r"length mismatch|lost\b|mismatch|missing|no space|not (?:found|valid|been closed)|recover|refus|slow|timed? ?out|"
    r"unable|unreachable|hang|hung|shutting)\w*)"
)
_LEAST: Final = 4  # letters of a word that tells
_STEM: Final = 6  # letters in which forms of one word agree: recover, recovery, recovering
_WORD: Final = re.compile(rf"\b[a-z]{{{_LEAST},}}")  # in small letters: names of classes tell nothing
_CODE: Final = re.compile(r"`([^`\n]{3,60})`")
_COMMON: Final = frozenset(
    (
        "after",
        "before",
        "from",
        "have",
        "into",
        "more",
        "that",
        "their",
        "them",
        "then",
        "there",
        "they",
        "this",
        "were",
    )
)


class Part(NamedTuple):
    """A piece of a record, and whether it tells."""

    text: str
    telling: bool


def telling_parts(incident: Mapping[str, Any], line: str) -> list[Part]:
    """A record in pieces, in order; joined they are the record.

    Telling are its level where that is grave, an exception with its message, words of trouble, the incident's entity,
    the words of its kinds, and what its next steps set as code.
    """
    exact = [incident["entity"], *(code for step in incident["next_steps"] for code in _CODE.findall(step))]
    words = {word for kind in [incident["kind"], *incident["kinds"]] for word in _WORD.findall(kind or "")}
    patterns = [_EXCEPTION, _GRAVE, _TROUBLE]
    if known := sorted({re.escape(name) for name in exact if name}, key=len, reverse=True):
        patterns.append(rf"(?<![\w.])(?:{'|'.join(known)})(?!\w)")
    if forms := sorted({_forms(word) for word in words - _COMMON}):
        patterns.append(rf"(?i:\b(?:{'|'.join(forms)})\b)")
    parts, at = [], 0
    for found in re.finditer("|".join(patterns), line):
        parts += [Part(line[at : found.start()], False), Part(found[0], True)]
        at = found.end()
    return [part for part in (*parts, Part(line[at:], False)) if part.text]


def _forms(word: str) -> str:
    """A pattern for the forms of a word; a short one may be the beginning of quite another."""
    return rf"{word}s?" if len(word) < _STEM else rf"{word[:_STEM]}[a-z]*"
