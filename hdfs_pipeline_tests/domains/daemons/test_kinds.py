"""What real messages of Hadoop are known as: the kind of trouble, and the node that they speak of."""

from datetime import UTC, datetime

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from hdfs_pipeline.domains.daemons.catalogue import SHIPPED, TOPICS, described
from hdfs_pipeline.domains.daemons.knowledge import knowledge_of
from hdfs_pipeline.scoring.catalogue import UNKNOWN
from hdfs_pipeline.scoring.explain import FAILURE, SEVERITIES
from hdfs_pipeline.scoring.knowledge import read_rules
from hdfs_pipeline.settings import load_settings

GOLDEN = [
    (
        "JVM pause",
        "WARN",
        "Detected pause in JVM or host machine (eg GC): pause of approximately 20412ms\nNo GCs detected",
    ),
    (
        "JVM pause",
        "WARN",
        "Detected pause in JVM or host machine (eg GC): pause of approximately 11071ms\n"
        "GC pool 'PS MarkSweep' had collection(s): count=1 time=11034ms",
    ),
    (
        "short JVM pause",
        "INFO",
        "Detected pause in JVM or host machine (eg GC): pause of approximately 1512ms\nNo GCs detected",
    ),
    ("heartbeat lost", "INFO", "BLOCK* removeDeadDatanode: lost heartbeat from 10.0.0.4:9866"),
    (
        "heartbeat lost",
        "INFO",
        "BLOCK* removeDeadDatanode: lost heartbeat from 127.0.0.1:9876, removeBlocksFromBlockMap true",
    ),
    (
        "heartbeat lost",
        "WARN",
        "IOException in offerService\njava.net.ConnectException: Call From dn1/10.0.0.4 to nn1:8020 failed on "
        "connection exception: java.net.ConnectException: Connection refused",
    ),
    (
        "DataNode back",
        "INFO",
        "BLOCK* registerDatanode: from DatanodeRegistration(10.0.0.4:9866, datanodeUuid=aa, infoPort=9864, "
        "infoSecurePort=0, ipcPort=9867, storageInfo=lv=-57;cid=c;nsid=1;c=1) storage aa",
    ),
    ("volume failed", "WARN", "checkDiskErrorAsync callback got 1 failed volumes: [/data/3]"),
    ("volume failed", "INFO", "Removed volume: /data/3/dfs/dn from FsVolumeList"),
    ("volume failed", "WARN", "DataNode.handleVolumeFailures on: [/data/3] Keep Running: true"),
    ("storage given up by the NameNode", "INFO", "[DISK]DS-3a2f:NORMAL:10.0.0.4:9866 failed."),
    (
        "storage given up by the NameNode",
        "INFO",
        "Removed storage [DISK]DS-3a:FAILED:10.0.0.4:9866 from DataNode dn4",
    ),
    (
        "volume failed",
        "WARN",
        "dn4:9866:DataXceiver error processing READ_BLOCK operation  src: /10.0.0.9:5 dst: /10.0.0.4:9866\n"
        "org.apache.hadoop.util.DiskChecker$DiskErrorException: Directory is not readable: /data/3",
    ),
    (
        "disk full",
        "ERROR",
        "127.0.0.1:9916:DataXceiver error processing WRITE_BLOCK operation  src: /127.0.0.1:37642 dst: "
        "/127.0.0.1:9916\njava.io.IOException: No space left on device",
    ),
    (
        "disk full",
        "WARN",
        "The volume[file:/srv/dn5/] with the available space (=0 B) is less than the block size (=16384 B).",
    ),
    ("disk full", "WARN", "NameNode low on available disk space. Entering safe mode."),
    (
        "slow disk",
        "WARN",
        "Slow BlockReceiver write data to disk cost:1415ms (threshold=300ms), volume=file:/data/1/, blockId=1073741837",
    ),
    (
        "slow disk",
        "WARN",
        "Slow manageWriterOsCache took 312ms (threshold=300ms), volume=file:/data/1/, blockId=1073741837",
    ),
    ("slow disk", "WARN", "Slow flushOrSync took 402ms (threshold=300ms), isSync:false, flushTotalNanos=402000000ns"),
    (
        "slow network or peer",
        "WARN",
        "Slow BlockReceiver write packet to mirror took 2070ms (threshold=300ms), "
        "downstream DNs=[10.0.0.5:9866, 10.0.0.6:9866], blockId=1073741837, seqno=12",
    ),
    (
        "slow network or peer",
        "WARN",
        "Slow PacketResponder send ack to upstream took 310ms (threshold=300ms), PacketResponder: BP-1:blk_1_1",
    ),
    (
        "too many xceivers",
        "WARN",
        "dn4:9866:DataXceiverServer: \njava.io.IOException: Xceiver count 4097 exceeds the limit of concurrent "
        "xcievers: 4096",
    ),
    (
        "too many xceivers",
        "WARN",
        "dn4:9866:DataXceiverServer\njava.io.IOException: Xceiver count 4097 exceeds the limit of concurrent "
        "xceivers: 4096",
    ),
    ("safe mode on", "INFO", "STATE* Safe mode is ON.\nIt was turned on manually."),
    (
        "safe mode of a start, or its end",
        "INFO",
        "STATE* Safe mode ON. \nThe reported blocks 0 needs additional 5 blocks to reach the threshold 0.9990",
    ),
    ("safe mode of a start, or its end", "INFO", "STATE* Leaving safe mode after 31 secs"),
    ("safe mode of a start, or its end", "INFO", "STATE* Safe mode is OFF"),
    (
        "failover",
        "INFO",
        "Successfully transitioned NameNode at nn2/10.0.0.2:8020 to active state",
    ),
    ("failover", "INFO", "Entering state: SERVICE_NOT_RESPONDING"),
    (
        "failover",
        "WARN",
        "Transport-level exception trying to monitor health of NameNode at nn1/10.0.0.1:8020: "
        "java.net.SocketTimeoutException: 45000 millis timeout while waiting for channel",
    ),
    (
        "checkpoint failed",
        "ERROR",
        "Exception in doCheckpoint\njava.io.IOException: Unable to download to any storage directory",
    ),
    (
        "checkpoint failed",
        "ERROR",
        "Exception in standby checkpoint\n"
        "org.apache.hadoop.hdfs.server.namenode.TransferFsImage$HttpPutFailedException: ",
    ),
    (
        "JournalNode slow or gone",
        "WARN",
        "Took 2133ms to send a batch of 3 edits (512 bytes) to remote journal 10.0.0.7:8485",
    ),
    (
        "JournalNode slow or gone",
        "WARN",
        "Remote journal 10.0.0.7:8485 failed to write txns 7-7. Will try to write to this JN again after the next "
        "log roll.\njava.net.ConnectException: Connection refused",
    ),
    (
        "JournalNode slow or gone",
        "WARN",
        "Waited 18014 ms (timeout=20000 ms) for a response for sendEdits. Succeeded so far: [10.0.0.6:8485]",
    ),
    (
        "JournalNode slow or gone",
        "FATAL",
        "Error: flush failed for required journal (JournalAndStream(mgr=QJM to [10.0.0.6:8485], stream=x))",
    ),
    (
        "lease expired: a writer died",
        "INFO",
        "[Lease.  Holder: DFSClient_NONMAPREDUCE_1992524097_1, pending creates: 14] has expired hard limit",
    ),
    (
        "RPC trouble",
        "WARN",
        "Slow RPC : getListing took 30412 milliseconds to process from client Call#7 Retry#0",
    ),
    (
        "RPC trouble",
        "INFO",
        "FSNamesystem write lock held for 5023 ms via\njava.lang.Thread.getStackTrace(Thread.java:1559)",
    ),
    (
        "RPC trouble",
        "WARN",
        "Socket Reader #1 for port 8020: readAndProcess from client 10.0.0.9 threw exception\n"
        "org.apache.hadoop.ipc.RetriableException: Server too busy",
    ),
    ("out of memory", "ERROR", "Exception in thread main\njava.lang.OutOfMemoryError: Java heap space"),
    (
        "out of memory",
        "WARN",
        "DataNode is out of memory. Will retry in 30 seconds.\njava.lang.OutOfMemoryError: unable to create new "
        "native thread",
    ),
    ("too many open files", "WARN", "dn4:9866:DataXceiverServer: \njava.io.IOException: Too many open files"),
    (
        "address or name trouble",
        "ERROR",
        "Problem starting http server\njava.net.BindException: Port in use: 0.0.0.0:9864",
    ),
    (
        "address or name trouble",
        "WARN",
        "Block pool cannot start\njava.net.UnknownHostException: nn1.example.com",
    ),
    (
        "clocks differ",
        "WARN",
        "Exception encountered while connecting to the server\nGSSException: Clock skew too great (37)",
    ),
    (
        "DataNode refused by the NameNode",
        "WARN",
        "Incompatible clusterIDs in /data/1/dfs/dn: namenode clusterID = CID-1; datanode clusterID = CID-2",
    ),
    ("disk full", "WARN", "Block pool ended\njava.io.IOException: No space left on device"),
    ("checkpoint failed", "ERROR", "Exception in doCheckpoint\njava.io.IOException: No space left on device"),
    ("daemon ended with an error", "INFO", "Exiting with status 1: java.io.IOException: all volumes failed"),
    ("stopped", "ERROR", "RECEIVED SIGNAL 15: SIGTERM"),
    ("block report storm", "WARN", "Block report queue is full"),
]
NODES = [
    ("BLOCK* removeDeadDatanode: lost heartbeat from 10.0.0.4:9866", "10.0.0.4:9866"),
    ("BLOCK* removeDeadDatanode: lost heartbeat from 10.0.0.4:9866, removeBlocksFromBlockMap true", "10.0.0.4:9866"),
    ("Removing a node: /default-rack/10.0.0.4:9866", "10.0.0.4:9866"),
    ("[DISK]DS-3a2f7b91-dbd8:NORMAL:10.0.0.4:9866 failed.", "10.0.0.4:9866"),
    ("Removed storage [DISK]DS-3a:FAILED:10.0.0.4:9866 from DataNode 10.0.0.4:9866", "10.0.0.4:9866"),
    (
        "Slow BlockReceiver write packet to mirror took 2070ms (threshold=300ms), downstream DNs=[10.0.0.5:9866, "
        "10.0.0.6:9866], blockId=7",
        "10.0.0.5:9866",
    ),
    (
        "Slow BlockReceiver write packet to mirror took 2070ms (threshold=300ms), downstream "
        "DNs=[DatanodeInfoWithStorage[10.0.0.5:9866,DS-1,DISK]]",
        "10.0.0.5:9866",
    ),
    ("Took 2133ms to send a batch of 3 edits (512 bytes) to remote journal 10.0.0.7:8485", "10.0.0.7:8485"),
    ("Remote journal jn1/10.0.0.7:8485 failed to write txns 7-7. Will try", "10.0.0.7:8485"),
    ("Detected pause in JVM or host machine (eg GC): pause of approximately 20412ms", ""),
    ("Slow BlockReceiver write packet to mirror took 2070ms (threshold=300ms)", ""),
]


_TYPES = {"source_id": pa.int32(), "position": pa.int64(), "time": pa.timestamp("us", "UTC")}
_TYPES |= {"level": pa.string(), "message": pa.string(), "more": pa.string(), "block_ids": pa.list_(pa.int64())}
RECORDS = pa.schema(_TYPES | {"alarm": pa.bool_()})


CON = duckdb.connect()


def matched(level: str, text: str, block_ids: tuple[int, ...] = ()) -> tuple[str, str]:
    """The event and the node of one record."""
    message, _, more = text.partition("\n")
    row = {"source_id": 1, "position": 1, "time": datetime.now(UTC), "level": level, "message": message, "more": more}
    row |= {"block_ids": list(block_ids), "alarm": level in ("WARN", "ERROR", "FATAL")}
    CON.register("records", pa.Table.from_pylist([row], RECORDS))
    with described().named(CON, "records") as found:
        return found["event_id"][0].as_py(), found["node"][0].as_py()


def kinds(events: list[str]) -> list[str]:
    """The kinds of the rules that a minute with these events breaks, the gravest first."""
    known = described()
    counts = np.zeros((1, len(known.columns)), np.float32)
    for event in events:
        counts[0, known.columns.index(event)] += 1
    knowledge = knowledge_of(load_settings())
    return [rule.kind for rule, broken in zip(knowledge.rules, knowledge.broken(counts)[0], strict=True) if broken]


@pytest.mark.parametrize(("kind", "level", "text"), GOLDEN, ids=[f"{kind}: {text[:40]}" for kind, _, text in GOLDEN])
def test_a_message_is_known_as_its_kind(kind: str, level: str, text: str) -> None:
    assert kinds([matched(level, text)[0]]) == [kind]


@pytest.mark.parametrize(("text", "node"), NODES)
def test_the_node_at_fault_is_the_one_that_is_named(text: str, node: str) -> None:
    assert matched("WARN", text)[1] == node


@pytest.mark.parametrize("text", [text for kind, _, text in GOLDEN if kind in ("slow disk", "slow network or peer")])
def test_trouble_of_a_machine_is_seen_in_records_that_name_a_block_too(text: str) -> None:
    assert matched("WARN", text, (1073741837,))[0] == matched("WARN", text)[0]


def test_records_about_blocks_are_the_blocks_own() -> None:
    assert matched("INFO", "Receiving blk_1 src: /10.0.0.3:1 dest: /10.0.0.1:9866", (1,)) == ("BLOCKS", "")
    assert matched("WARN", "something about blk_1 that nobody knows", (1,)) == ("BLOCKS", "")
    assert matched("WARN", "something that nobody knows") == (UNKNOWN, "")


def test_a_storm_of_block_reports_is_many_in_a_minute() -> None:
    report = matched(
        "INFO", "BLOCK* processReport 0x7: from storage DS-1 node DatanodeRegistration(10.0.0.4:9866), blocks: 7"
    )[0]
    assert kinds([report] * 99) == []
    assert kinds([report] * 100) == ["block report storm"]


def test_the_end_of_the_active_state_alone_is_a_stop_and_no_failover() -> None:
    ended, standby = (
        matched("INFO", f"{text} state")[0]
        for text in ("Stopping services started for active", "Starting services required for standby")
    )
    assert kinds([ended]) == kinds([standby]) == []
    assert kinds([ended, standby]) == ["failover"]


def test_every_rule_has_a_message_here_or_is_of_a_daemons_life() -> None:
    shown = {kind for kind, *_ in GOLDEN}
    of_lives = {"restarted without a shutdown", "restarted", "daemon silent"}  # test_daemons.py
    rare = {"edits slow to sync"}
    assert {rule.kind for rule in read_rules(SHIPPED / "hdfs_daemons.rules.toml")} == shown | of_lives | rare


def test_every_failure_of_the_catalogue_breaks_a_rule() -> None:
    grave = [template for template in described().catalogue.templates if template.severity == FAILURE]
    assert len(grave) > 60
    assert [template.text for template in grave if not kinds([template.event_id])] == []
    for template in described().catalogue.templates:
        assert template.name.strip()
        assert template.severity in SEVERITIES
        assert template.stage in ("", *TOPICS)
