"""A first severity for a message that nobody has judged yet, for a person to confirm.

It is that of the first rule of a table whose patterns are found in the message's level, logger and text. The rules are
data; each says why it holds of any Hadoop. Where none holds, the message is routine.
"""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Final, NamedTuple

from hdfs_pipeline.scoring.explain import SEVERITIES

ROUTINE, NOTABLE, FAILURE = SEVERITIES


class Rule(NamedTuple):
    """What is proposed where all three patterns are found, in whatever case; '' is found everywhere."""

    proposal: str
    level: str
    logger: str
    text: str
    reason: str


_TROUBLE: Final = (
    r"exception|error\b|\bfail(s|ed|ure)?\b|corrupt|\bbad(block(s)?)?\b|reportbad|mismatch|\bpremature|\bdamaged"
    r"|\btim(ed|es?)[ -]?out\b|timeout|\binterrupted\b|\bunable\b|\bcan(not|'t)\b|\bcould(n't| not)\b"
    r"|(?<!as )\binvalid\b|\bno space\b|\bout of (space|memory)\b|\brefused\b|\bunreachable\b|\baborted\b|\blost\b"
)
_CALM: Final = "^(info|debug|trace|)$"
SEVERITY_RULES: Final = (
    Rule(NOTABLE, "", "", r"already ?exists|already ?being|recovery ?in ?progress", "the work is done, or under way"),
    Rule(NOTABLE, "", "", r"exception while (serving|sending)", "readers close a connection once they have enough"),
    Rule(NOTABLE, _CALM, "", r"delet.*\bnot found", "what is to be deleted may have been deleted before"),
    Rule(NOTABLE, _CALM, "", r"^recover(?!.*exception)", "a recovery mends a failure told of before"),
    Rule(NOTABLE, _CALM, "", r"corrupt \w+[:=] ?(<\*>|\d)", "a count of corrupt replicas, which may be none"),
    Rule(NOTABLE, "debug|trace", "", _TROUBLE, "what is worth no more than a debug message is no failure"),
    Rule(FAILURE, "error|fatal|severe|critical", "", "", "the program calls it an error"),
    Rule(FAILURE, "", "", _TROUBLE, "an exception, or a word of things that went wrong"),
    Rule(NOTABLE, "warn", "", "", "the program warns"),
    Rule(NOTABLE, "", "Recovery", "", "recoveries follow a client or a DataNode that went away"),
    Rule(NOTABLE, "", "", r"recover|commitBlockSynchronization|^truncat", "a replica or a file is mended"),
    Rule(NOTABLE, "", "", r"updatePipeline|generation ?stamp", "a pipeline was rebuilt, or a file appended to"),
    Rule(NOTABLE, "", "", r"replicate\b|\btransfer|transmitted|reconstruct", "copies are made where replicas lack"),
    Rule(NOTABLE, "", "", r"^received .*src: .*dest: ", "a copy from another DataNode came in"),
    Rule(NOTABLE, "", "", r"temporary|BeingWritten|ToBeRecovered|UnderRecovery|\bRBW\b|\bRWR\b", "it is unfinished"),
    Rule(NOTABLE, "", "", r"redundant|duplicate|excess|\bignor|postpon|\bstale\b|\bretry", "more or later than usual"),
    Rule(NOTABLE, "", "", r"\bappending\b|\breopen|\bchanging\b|empty packet", "a finished or written replica changes"),
    Rule(NOTABLE, "", "", r"\bnot\b|\bwithout\b|\bmissing\b|\bslow\b|\brestart", "something is not as it usually is"),
)


class Proposals:
    """Rules with their patterns compiled once, when the first message is assessed."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules

    @cached_property
    def _compiled(self) -> list[tuple[str, list[tuple[re.Pattern[str], int]]]]:
        return [
            (rule.proposal, [(re.compile(p, re.IGNORECASE), at) for at, p in enumerate(rule[1:4]) if p])
            for rule in self._rules
        ]

    def first(self, otherwise: str, *fields: str) -> str:
        """The proposal of the first rule whose patterns are found in level, logger and text."""
        for proposal, patterns in self._compiled:
            if all(pattern.search(fields[at]) for pattern, at in patterns):
                return proposal
        return otherwise


_SEVERITIES: Final = Proposals(SEVERITY_RULES)


def severity_of(text: str, level: str = "", logger: str = "", thrown: str = "") -> str:
    """The severity, one of `SEVERITIES`, that a message and the class of an exception logged with it speak for."""
    return _SEVERITIES.first(ROUTINE, level, logger, f"{text} {thrown}")
