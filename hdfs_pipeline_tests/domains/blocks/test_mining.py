"""Learned catalogues, and the shipped one for today's Hadoop."""

import gzip
import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hdfs_pipeline.domains.blocks.assess import stage_of
from hdfs_pipeline.domains.blocks.catalogue import SHIPPED, STAGES
from hdfs_pipeline.scoring import mining
from hdfs_pipeline.scoring.catalogue import UNKNOWN, Catalogue, Template, read_catalogue
from hdfs_pipeline.scoring.matching import matcher_of
from hdfs_pipeline.scoring.mining import covers, difference, mask, name_of

propose = partial(mining.propose, stage_of=stage_of)
EMPTY = Catalogue("learned", 0, ())
SHARED = Path(os.environ.get("HDFS_PIPELINE_SHARED", Path(__file__).parents[4] / "shared"))
HEAD = re.compile(r"\S+ [\d:,]{12} (?P<level>[A-Z]+) +(?P<logger>\S+?): (?P<message>.*)")

POOL = "BP-1547070468-127.0.0.1-1795271860490"
OLD_POOL = "BP-445579791-127.0.0.1-1795233412840"
UNDER_CONSTRUCTION = (
    "{UCState=UNDER_CONSTRUCTION, truncateBlock=null, primaryNodeIndex=-1, "
    "replicas=[ReplicaUC[[DISK]DS-7b9f970b-14f9-4451-824b-17189241f92b:NORMAL:127.0.0.1:50010|RBW]]}"
)
# Lines of Hadoop 3.4.2 and, with short logger names, of 2.7.3: (logger, message, name in the shipped catalogue).
DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"
GOLDEN = (
    (
        "org.apache.hadoop.hdfs.StateChange",
        "BLOCK* allocate blk_1073741825_1001, replicas=127.0.0.1:9896, 127.0.0.1:9906 for /data/in/t0/part-00000",
        "block allocated for a file",
    ),
    (
        DATANODE,
        f"Receiving {POOL}:blk_1073741828_1004 src: /127.0.0.1:45610 dest: /127.0.0.1:9876",
        "DataNode receiving the block",
    ),
    (
        f"{DATANODE}.clienttrace",
        (
            "src: /127.0.0.1:45610, dest: /127.0.0.1:9876, volume: /srv/hdfs/data/datanode_1, bytes: 16384, "
            "op: HDFS_WRITE, cliID: DFSClient_NONMAPREDUCE_1375183682_22, offset: 0, "
            f"srvID: ec648353-c8a1-496e-a817-20204520df98, blockid: {POOL}:blk_1073741828_1004, duration(ns): 117346306"
        ),
        "write finished, with byte count and duration",
    ),
    (
        DATANODE,
        f"PacketResponder: {POOL}:blk_1073741836_1012, type=LAST_IN_PIPELINE terminating",
        "last DataNode of the pipeline finished",
    ),
    (
        DATANODE,
        (
            f"PacketResponder: {POOL}:blk_1073741835_1011, type=HAS_DOWNSTREAM_IN_PIPELINE, "
            "downstreams=2:[127.0.0.1:9886, 127.0.0.1:9916] terminating"
        ),
        "earlier DataNode of the pipeline finished",
    ),
    (
        "org.apache.hadoop.hdfs.server.datanode.fsdataset.impl.FsDatasetAsyncDiskService",
        "Scheduling blk_1073741857_1072 replica FinalizedReplica, blk_1073741857_1072, FINALIZED",
        "finished replica scheduled for deletion",
    ),
    (
        "org.apache.hadoop.hdfs.server.datanode.fsdataset.impl.FsDatasetAsyncDiskService",
        (
            f"Deleted {POOL} blk_1073741857_1072 URI file:/srv/hdfs/data/datanode_1/current/{POOL}/current/finalized/"
            "subdir0/subdir0/blk_1073741857"
        ),
        "replica deleted from disk",
    ),
    (
        "org.apache.hadoop.hdfs.server.namenode.FSNamesystem",
        "BLOCK* blk_1073741848_1024 is COMMITTED but not COMPLETE(numNodes= 0 <  minimum = 1) in file /data/in/t4/p-0",
        "NameNode not yet told of enough replicas",
    ),
    (
        DATANODE,
        (
            "DatanodeRegistration(127.0.0.1:9876, datanodeUuid=ec648353-c8a1-496e-a817-20204520df98, infoPort=9874, "
            "infoSecurePort=0, ipcPort=9877, storageInfo=lv=-57;cid=CID-efb64f07-1194-4493-a9e2-016a0891df19;"
            "nsid=1866312415;c=1795271860490):sendBlock() :  Offset 68683 and length 1354 don't match block "
            f"{POOL}:blk_1073750960_10730 ( blockLen 3784 )"
        ),
        "read refused: beyond the block's end",
    ),
    (
        DATANODE,
        "127.0.0.1:9876:DataXceiver error processing READ_BLOCK operation  src: /127.0.0.1:51794 dst: /127.0.0.1:9876",
        "error handling a client or DataNode request",
    ),
    (
        DATANODE,
        f"opWriteBlock {POOL}:blk_1073751794_11638 received exception java.net.ConnectException: Connection refused",
        "write failed: next DataNode refused the connection",
    ),
    (
        DATANODE,
        (
            f"opWriteBlock {POOL}:blk_1073743229_2474 received exception java.io.IOException: "
            "Premature EOF from inputStream"
        ),
        "write failed: sender's connection ended early",
    ),
    (
        DATANODE,
        (
            "BlockRecoveryWorker: NameNode at localhost/127.0.0.1:8020 calls "
            f"recoverBlock({POOL}:blk_1073759643_20019, "
            "targets=[DatanodeInfoWithStorage[127.0.0.1:9906,null,null], "
            "DatanodeInfoWithStorage[127.0.0.1:9916,null,null]], newGenerationStamp=21606, newBlock=null, "
            "isStriped=false)"
        ),
        "DataNode told to recover the block",
    ),
    (
        "hdfs.StateChange",
        f"BLOCK* allocate blk_1073741825_1001{UNDER_CONSTRUCTION} for /load/t0/f237",
        "block allocated for a file",
    ),
    (
        "DataNode.clienttrace",
        (
            "src: /127.0.0.1:41682, dest: /127.0.0.1:50010, bytes: 512, op: HDFS_WRITE, "
            "cliID: DFSClient_NONMAPREDUCE_1894790067_23, offset: 0, srvID: 682a57b4-47bb-4561-b999-155d83454a61, "
            f"blockid: {OLD_POOL}:blk_1073741826_1002, duration: 271251955"
        ),
        "write finished, with byte count and duration",
    ),
    (
        "datanode.DataNode",
        f"PacketResponder: {OLD_POOL}:blk_1073741826_1002, type=LAST_IN_PIPELINE, downstreams=0:[] terminating",
        "last DataNode of the pipeline finished",
    ),
    (
        "BlockStateChange",
        (
            "BLOCK* addStoredBlock: blockMap updated: 127.0.0.1:50010 is added to "
            f"blk_1073741826_1002{UNDER_CONSTRUCTION} size 512"
        ),
        "replica stored, reported by a DataNode",
    ),
    ("BlockStateChange", "BLOCK* addToInvalidates: blk_1_1 127.0.0.1:50010 ", "replica added to the list of deletions"),
    (
        "BlockStateChange",
        "BLOCK* BlockManager: ask 127.0.0.1:50010 to delete [blk_1073741835_1011, blk_1073741837_1013]",
        "DataNode asked to delete the block",
    ),
)
MESSAGES = [(logger, "INFO", message, count) for count, (logger, message, _) in enumerate(GOLDEN, start=1)]


def matches(template: Template, message: str, *, floating: bool) -> bool:
    """The documented meaning of a template, as a regular expression instead of LIKE."""
    tail = ".*" if template.text.endswith("<*>") else ""
    pattern = (".*" if floating else "") + ".*".join(re.escape(part) for part in template.literals) + tail
    return re.fullmatch(pattern, message, re.DOTALL) is not None


def event_of(catalogue: Catalogue, message: str) -> str:
    begin = [t.event_id for t in catalogue.templates if matches(t, message, floating=False)]
    anywhere = [t.event_id for t in catalogue.templates if t.floats and matches(t, message, floating=True)]
    return (begin + anywhere + [UNKNOWN])[0]


def first_lines(folder: Path) -> Iterator[tuple[str, str, str]]:
    """(logger, level, message) of records whose first line has a block id; skips the test where there is no data."""
    if not folder.is_dir():
        pytest.skip(f"needs the recordings in {folder}")
    for path in sorted(folder.glob("*.log.gz")):
        with gzip.open(path, "rt") as file:
            for line in file:
                if "blk_" in line and (found := HEAD.match(line)):
                    yield found["logger"], found["level"], found["message"]


def share_matched(catalogue: Catalogue, lines: Counter[tuple[str, str, str]]) -> float:
    """Share of the lines that a template matches."""
    events = matcher_of(catalogue).strings(pa.array([message for _, _, message in lines], pa.string()))
    return float(np.average(events != len(catalogue.templates), weights=list(lines.values())))


@pytest.fixture
def shipped() -> Catalogue:
    return read_catalogue(SHIPPED / "hdfs_3.v1.csv", STAGES)


@pytest.mark.parametrize(("_logger", "message", "name"), GOLDEN)
def test_shipped_names_real_lines(shipped: Catalogue, _logger: str, message: str, name: str) -> None:
    assert shipped.describe(event_of(shipped, message)) == name


def test_shipped_separates_what_means_different_things(shipped: Catalogue) -> None:
    block = f"{POOL}:blk_1_2"
    texts = (
        f"PacketResponder: {block}, type=LAST_IN_PIPELINE: Thread is interrupted.",
        f"PacketResponder: {block}, type=LAST_IN_PIPELINE",
        f"PacketResponder: {block}, type=HAS_DOWNSTREAM_IN_PIPELINE, downstreams=1:[127.0.0.1:9886]",
        f"Deleted {POOL} ReplicaBeingWritten, blk_1_2, RBW",
        f"Deleted {POOL} blk_1_2 URI file:/a/blk_1",
        "updatePipeline(blk_1_2 => blk_1_3) success",
        "updatePipeline(blk_1_2, newGS=3, newLength=0, newNodes=[127.0.0.1:9], client=DFSClient_NONMAPREDUCE_1_1)",
        f"Received {block} src: /127.0.0.1:1 dest: /127.0.0.1:2 volume: /a of size 9",
        "Received an RBW replica for blk_1_2 on 127.0.0.1:9: ignoring it, since it is complete with the same genstamp",
        f"opWriteBlock {block} received exception java.io.IOException: Broken pipe",
        f"DataNode{{data=x}}:Exception transferring block {block} to mirror 127.0.0.1:9",
        f"DataNode{{data=x}}:Exception transfering {block} to mirror 127.0.0.1:9- continuing without the mirror",
    )
    events = [event_of(shipped, text) for text in texts]
    assert UNKNOWN not in events
    assert len(set(events)) == len(texts)


def test_shipped_is_well_formed(shipped: Catalogue) -> None:
    ids = [t.event_id for t in shipped.templates]
    assert ids == [f"E{number}" for number in range(1, len(ids) + 1)]
    for unique in ([t.name for t in shipped.templates], [t.text for t in shipped.templates]):
        assert len(set(unique)) == len(unique)
    for template in shipped.templates:
        # Addresses, ids, paths and sizes belong to one cluster.
        assert not re.search(r"\d|(?<![\w])/\w|localhost", template.text), template
        assert "<*><*>" not in template.text
        assert len(template.name.split()) <= 8


def test_shipped_and_learned_shadow_nothing(shipped: Catalogue) -> None:
    for catalogue in (shipped, propose(MESSAGES, EMPTY)):
        for index, later in enumerate(catalogue.templates):
            assert [t.text for t in catalogue.templates[:index] if covers(t, later)] == [], later


def test_learned_matches_what_it_was_learned_from() -> None:
    learned = propose(MESSAGES, EMPTY)
    assert (learned.name, learned.version) == ("learned", 1)
    assert sum(t.count for t in learned.templates) == sum(count for *_, count in MESSAGES)
    for _, _, message, _ in MESSAGES:
        assert event_of(learned, message) != UNKNOWN, message
    messages = [message for _, _, message, _ in MESSAGES]
    events = matcher_of(learned).strings(pa.array(messages, pa.string()))
    assert [learned.columns[event] for event in events] == [event_of(learned, message) for message in messages]


def test_learned_is_the_same_in_any_order() -> None:
    learned = propose(MESSAGES, EMPTY)
    for seed in range(5):
        shuffled = random.Random(seed).sample(MESSAGES, len(MESSAGES))
        assert propose(iter(shuffled), EMPTY) == learned
    halves = [(logger, level, message, 1) for logger, level, message, count in MESSAGES for _ in range(count)]
    assert propose(halves, EMPTY) == learned


def test_learned_generalises() -> None:
    learned = propose(MESSAGES, EMPTY)
    others = (
        "BLOCK* allocate blk_9_8, replicas=10.0.0.1:1, 10.0.0.2:1, 10.0.0.3:1, 10.0.0.4:1 for /b",
        (
            "PacketResponder: BP-1-dn7.example.com-2:blk_9_8, type=HAS_DOWNSTREAM_IN_PIPELINE, downstreams=1:[dn8:1] "
            "terminating"
        ),
        (
            "BlockRecoveryWorker: NameNode at nn/10.0.0.9:8020 calls recoverBlock(BP-1-10.0.0.1-2:blk_9_8, "
            "targets=[DatanodeInfoWithStorage[10.0.0.1:1,null,null]], newGenerationStamp=1, newBlock=null, "
            "isStriped=false)"
        ),
    )
    for message in others:
        assert event_of(learned, message) != UNKNOWN, message


def test_extends_a_catalogue() -> None:
    current = Catalogue("mine", 4, (Template("E1", "a", "Receiving <*>", 3), Template("E7", "b", "Deleted <*>", 1)))
    new = [("X", "INFO", f"Lost replica {number} of blk_{number}_1  on  disk", 1) for number in range(20)]
    learned = propose(new, current)
    assert (learned.label, learned.templates[:2]) == ("mine.v5", current.templates)
    (lost,) = difference(current, learned)
    assert (lost.event_id, lost.name) == ("E8", "lost replica of on disk")
    assert (lost.text, lost.count, lost.severity) == ("Lost replica <*> of <*>  on  disk", 20, "failure")


def test_learns_nothing_from_known_or_wordless_messages() -> None:
    current = Catalogue("mine", 4, (Template("E1", "a", "Receiving <*>"), Template("E2", "b", "<*>got lost<*>")))
    assert propose([], current) is current
    assert propose([("X", "INFO", text, 5) for text in ("12 of 13: /a/b", "", "  ")], current) is current
    assert propose([("X", "INFO", "Receiving blk_1 from somewhere", 5)], current) is current
    assert difference(current, current) == []


def test_specific_before_general() -> None:
    messages = [
        ("X", "INFO", "writing block failed <*>", 9),
        ("Y", "INFO", "writing block failed with a time-out blk_1", 1),
    ]
    texts = [t.text for t in propose(messages, EMPTY).templates]
    assert texts == ["writing block failed with a time-out <*>", "writing block failed <*>"]


@pytest.mark.parametrize(
    ("general", "specific", "expected"),
    [
        ("a<*>b<*>", "a<*>b<*>c", True),
        ("a<*>b", "a<*>b<*>c", False),
        ("a<*>b", "a<*>bc<*>b", True),
        ("b<*>", "a<*>b<*>", False),
        ("<*>b<*>", "<*>a b c", True),
        ("<*>b<*>", "a b<*>", False),
        ("a<*>", "<*>a<*>", False),
        ("ab<*>ba", "aba", False),
    ],
)
def test_covers(general: str, specific: str, expected: bool) -> None:
    assert covers(Template("", "", general), Template("", "", specific)) is expected


def test_white_space_at_the_ends_and_line_breaks_do_not_matter() -> None:
    texts = [" Checking the replica blk_1_1 \nof blk_2", "Checking the replica blk_3_1"]
    messages = [("X", "INFO", text, 1) for text in texts]
    learned = propose(messages, EMPTY)
    for message in texts:
        assert event_of(learned, message.split("\n")[0]) != UNKNOWN


@pytest.mark.parametrize(
    ("message", "form"),
    [
        ("at localhost/127.0.0.1:8020 calls", "at * calls"),
        ("on dn1.example.com:9866, /10.0.0.1:1", "on *"),
        ("file:/a/b-1.txt and hdfs://nn:8020/x I/O", "* and * I/O"),
        ("x[1, 2], y[a[1,null], a[2,null]] z[]", "x[*], y[*] z[]"),
        ("numNodes= 0 <  minimum = 1", "numNodes= * <  minimum = *"),
        ("a.b.C$D: id=0xff", "a.b.C$D: id=*"),
    ],
)
def test_mask(message: str, form: str) -> None:
    found = mask(message).replace("\x1a", "*")
    assert re.sub(r"\*(:\*|/\*)*", "*", found) == form


def test_name_of() -> None:
    assert name_of("op <*> received java.io.IOException: No space left.") == "op received ioexception no space left"


def test_tens_of_thousands_of_messages_are_quick() -> None:
    messages = [
        (logger, level, re.sub(r"blk_\d+", f"blk_{number}", message), 1)
        for number in range(2000)
        for logger, level, message, _ in MESSAGES
    ]
    start = time.process_time()
    learned = propose(messages, EMPTY)
    assert time.process_time() - start < 30  # about 1 s; a quadratic step would take minutes
    assert len(learned.templates) <= len(MESSAGES)


@pytest.mark.parametrize("folder", ["hdfs_3.4", "hdfs_modern"])
def test_recordings_are_covered(shipped: Catalogue, folder: str) -> None:
    lines = Counter(first_lines(SHARED / "data" / folder))
    assert share_matched(shipped, lines) >= 0.99
    learned = propose(((logger, level, text, count) for (logger, level, text), count in lines.items()), EMPTY)
    assert share_matched(learned, lines) >= 0.99
    assert len(learned.templates) < 100


def test_a_learned_template_gets_a_stage_and_a_severity_to_confirm() -> None:
    scanner = "org.apache.hadoop.hdfs.server.datanode.VolumeScanner"
    messages = [
        ("a.DataNode", "INFO", "Reviving the replica blk_1", 9),
        ("a.DataNode", "ERROR", "Reviving the replica blk_2", 1),  # the gravest level counts
        ("a.DataNode", "INFO", "Closing the pipe of blk_1\njava.io.IOException: Broken pipe", 2),
        ("a.DataNode", "INFO", "Closing the pipe of blk_1\n  of a kind", 7),
        ("a.DataNode", "INFO", "Describing the block blk_1\ngetNumBytes", 4),
        (scanner, "INFO", "Looked through the block blk_1", 3),
    ]
    learned = propose(messages, EMPTY)
    assert {(t.text, t.count, t.stage, t.severity) for t in learned.templates} == {
        ("Reviving the replica <*>", 10, "", "failure"),
        ("Closing the pipe of <*>", 9, "", "failure"),
        ("Describing the block <*>", 4, "", "routine"),
        ("Looked through the block <*>", 3, "verify", "routine"),
    }
    for seed in range(5):
        assert propose(random.Random(seed).sample(messages, len(messages)), EMPTY) == learned


def test_of_several_loggers_the_one_that_wrote_most_tells_the_stage() -> None:
    messages = [
        ("a.VolumeScanner", "INFO", "Looked through blk_1", 2),
        ("a.DataNode", "INFO", "Looked through blk_1", 1),
    ]
    assert [t.stage for t in propose(messages, EMPTY).templates] == ["verify"]


@pytest.mark.parametrize(
    "piece",
    [
        "BP-",
        "[",
        "[[x]",
        "[1 [",
        "a.",
        "a-",
        "1.1.",
        "/a:",
        "a:",
        "1,  ",
        "\x1a, ",
        "<*>",
        "DFSClient_",
        "0",
        "x",
        " ",
        "é[",
    ],
)
def test_a_hostile_line_costs_no_more_than_its_beginning(piece: str) -> None:
    line = f"word {piece * (1_000_000 // len(piece))}{']' * 1000} end"
    start = time.process_time()
    propose([("X", "INFO", line, 1), ("X", "INFO", f"{line} again", 1), ("X", "INFO", f"x\n{line}", 1)], EMPTY)
    assert time.process_time() - start < 2  # some milliseconds; what grows with the square of it would take hours


def test_templates_end_where_messages_are_cut() -> None:
    long = "Receiving a very long list of " + "words " * 5000
    learned = propose([("X", "INFO", long, 3)], EMPTY)
    assert [event_of(learned, long)] == ["E1"]
    assert learned.templates[0].text.endswith("<*>")


def test_only_so_many_templates_are_learned_and_those_seen_most() -> None:
    words = random.Random(5)
    messages = [
        ("X", "INFO", "".join(words.choices("abcdefghijklmnop", k=12)) + f" {'xyz' * (n % 7)}", n)
        for n in range(1, 3001)
    ]
    learned = propose(messages, EMPTY)
    assert len(learned.templates) == 1000
    assert min(t.count for t in learned.templates) > 1900
    full = Catalogue("full", 1, tuple(Template(f"E{n}", "", f"known {n}<*>") for n in range(1, 2001)))
    assert propose(messages, full) is full, "a catalogue cannot be read with more templates"
