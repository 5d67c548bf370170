"""A first stage and severity for a message that nobody has judged yet, for a person to confirm.

Each is that of the first rule of a table whose patterns are found in the message's level, logger and text. The rules
are data; each says why it holds of any Hadoop. Where none holds, the stage stays '' and the severity is routine.
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
    r"exception|error\b|\bfail(s|ed|ure)?\b|corrupt|\bbad(blocks?)?\b|reportbad|mismatch|\bpremature|\bdamaged"
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
STAGE_RULES: Final = (
    Rule("read", "", "clienttrace", "HDFS_READ|SHORT_CIRCUIT", "DataNodes trace each read"),
    Rule("received", "", "clienttrace", "HDFS_WRITE", "DataNodes trace each replica that a client has finished"),
    Rule("verify", "", "Scanner", "", "block, volume and directory scanners verify replicas"),
    Rule("recover", "", "Recovery", "", "block and lease recovery have loggers of their own"),
    Rule("delete", "", "AsyncDiskService", "", "this service deletes replicas in the background"),
    Rule("store", "", "", r"addStoredBlock|blockMap", "the NameNode notes a replica"),
    Rule("recover", "", "", r"commitBlockSync|updatePipeline|generation ?stamp\(", "a file is mended, or appended to"),
    Rule("receive", "", "", r"writeBlock|WRITE_BLOCK|\bmirror\b", "a DataNode serves a write"),
    Rule("read", "", "", r"readBlock|READ_BLOCK|sendBlock", "a DataNode serves a read"),
    Rule("replicate", "", "", r"transferBlock|TRANSFER_BLOCK|(copy|replace)_?Block", "a DataNode copies a replica"),
    Rule("received", "", "", r"PacketResponder.*terminating", "a DataNode has acknowledged the last packet"),
    Rule("receive", "", "", r"PacketResponder|BlockReceiver|receiveBlock|packet\b", "packets belong to a write"),
    Rule("allocate", "", "", r"\ballocat", "the NameNode gives a file a block"),
    Rule("delete", "", "", r"delet|invalidat|invalidSet|unfinalized", "a replica is removed, or is to be"),
    Rule("replicate", "", "", r"(needed|pending)Re(plication|construction)", "queues of work"),
    Rule("recover", "", "", r"recover|\blease\b|generation ?stamp", "a file is mended, or appended to"),
    Rule("recover", "", "", r"^truncat|updateReplica|\breopen|to RBW\b", "a replica is mended"),
    Rule("store", "", "NameNode|BlockManage|BlockState|NameSystem", r"received|\bcomplete\b", "reports come in"),
    Rule("verify", "", "", r"verif|corrupt|checksum|\bbad\b|reportbad|\bscan", "a replica is checked"),
    Rule("replicate", "", "", r"replicat(e|ing|ed)\b|reconstruct|transfer|transmitted", "a DataNode copies a replica"),
    Rule("replicate", "", "", r"\b(moved|copied)\b", "the balancer and the mover have replicas copied"),
    Rule("replicate", "", "", r"^received .*src: .*dest: ", "only copies from another DataNode are told with both"),
    Rule("receive", "", "", r"\breceiving\b|\bappending\b", "a DataNode begins to receive"),
    Rule("received", "", "", r"\breceived (?!exception)", "a DataNode has received"),
    Rule("read", "", "", r"\bserv(ed|ing)\b|\bsen(t|ding)\b|\breading\b", "a DataNode sends data"),
    Rule("delete", "", "", r"\bremov(ed|ing)\b|removeStored", "a replica is taken off the lists"),
    Rule("store", "", "", r"\bstored\b|is added to", "a replica is noted"),
)
"""In this order: the operation first, because its exceptions name checksums, deletions and the like of all stages."""


class _Table:
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
        for proposal, patterns in self._compiled:
            if all(pattern.search(fields[at]) for pattern, at in patterns):
                return proposal
        return otherwise


_SEVERITIES, _STAGES = _Table(SEVERITY_RULES), _Table(STAGE_RULES)


def severity_of(text: str, level: str = "", logger: str = "", thrown: str = "") -> str:
    """The severity, one of `SEVERITIES`, that a message and the class of an exception logged with it speak for."""
    return _SEVERITIES.first(ROUTINE, level, logger, f"{text} {thrown}")


def stage_of(text: str, level: str = "", logger: str = "") -> str:
    """The stage of a block's life, one of `catalogue.STAGES`, that a message speaks for; '' where nothing says it.

    Exceptions do not tell: a checksum that is wrong ends writes, reads and copies.
    """
    return _STAGES.first("", level, logger, text)
