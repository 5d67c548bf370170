"""A first stage of a block's life for a message that nobody has judged yet, for a person to confirm.

It is that of the first rule of a table whose patterns are found in the message's level, logger and text. Where none
holds, the stage stays ''. The severity is `scoring.proposals`'s.
"""

from typing import Final

from hdfs_pipeline.scoring.proposals import Proposals, Rule

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

_STAGES: Final = Proposals(STAGE_RULES)


def stage_of(text: str, level: str = "", logger: str = "") -> str:
    """The stage of a block's life, one of `catalogue.STAGES`, that a message speaks for; '' where nothing says it.

    Exceptions do not tell: a checksum that is wrong ends writes, reads and copies.
    """
    return _STAGES.first("", level, logger, text)
