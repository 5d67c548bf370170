"""What is proposed for messages that nobody has judged: against the shipped catalogues, and for others of Hadoop's."""

import pytest

from hdfs_pipeline.domains.blocks.assess import STAGE_RULES, stage_of
from hdfs_pipeline.domains.blocks.catalogue import STAGES, catalogues
from hdfs_pipeline.scoring.explain import SEVERITIES
from hdfs_pipeline.scoring.proposals import SEVERITY_RULES, severity_of

DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"
DATASET = "org.apache.hadoop.hdfs.server.datanode.fsdataset.impl.FsDatasetImpl"
BLOCKS = "org.apache.hadoop.hdfs.server.blockmanagement.BlockManager"
CHANGE = "org.apache.hadoop.hdfs.StateChange"


def test_every_rule_has_a_proposal_that_exists_and_a_reason() -> None:
    assert {rule.proposal for rule in SEVERITY_RULES} <= set(SEVERITIES)
    assert {rule.proposal for rule in STAGE_RULES} == set(STAGES)
    assert all(rule.reason and (rule.level or rule.logger or rule.text) for rule in (*SEVERITY_RULES, *STAGE_RULES))


@pytest.mark.parametrize(
    ("logger", "level", "message", "stage", "severity"),
    [
        (DATANODE, "WARN", "Slow BlockReceiver write packet to mirror took 1020ms", "receive", "notable"),
        (DATANODE, "INFO", "Moved blk_1 from /10.0.0.1:3, delHint=abc", "replicate", "routine"),
        (DATANODE, "INFO", "Not able to copy block 1 to /a because threads quota is exceeded.", "", "notable"),
        (DATANODE, "DEBUG", "Error reading client status response. Will close connection.", "read", "notable"),
        (
            DATANODE,
            "INFO",
            "Block 1 has been invalidated.  Marking short-circuit slots as invalid",
            "delete",
            "routine",
        ),
        (DATANODE, "WARN", "IOException in BlockReceiver.run(): ", "receive", "failure"),
        (f"{DATANODE}.clienttrace", "INFO", "src: 1, dest: 2, op: REQUEST_SHORT_CIRCUIT_FDS", "read", "routine"),
        (f"{DATANODE}.clienttrace", "INFO", "src: 1, dest: 2, bytes: 3, op: HDFS_WRITE", "received", "routine"),
        (DATASET, "WARN", "Failed to delete replica blk_1: GenerationStamp not matched", "delete", "failure"),
        (DATASET, "INFO", "Failed to delete replica blk_1: ReplicaInfo not found.", "delete", "notable"),
        (DATASET, "ERROR", "Cannot find the meta file for blk_1", "", "failure"),
        (
            BLOCKS,
            "INFO",
            "BLOCK* addStoredBlock: blockMap updated: 1 is added to blk_1{truncateBlock=null}",
            "store",
            "routine",
        ),
        (BLOCKS, "INFO", "Block: blk_1, live replicas: 2, corrupt replicas: 0", "verify", "notable"),
        (BLOCKS, "WARN", "PendingReconstructionMonitor timed out blk_1", "replicate", "failure"),
        ("BlockStateChange", "INFO", "BLOCK* processReport: blk_1 on 1 does not belong to any file", "", "notable"),
        ("BlockStateChange", "INFO", "BLOCK* removeStoredBlock: blk_1 removed from node 1", "delete", "routine"),
        ("BlockStateChange", "INFO", "BLOCK* addToInvalidates: blk_1 127.0.0.1:50010", "delete", "routine"),
        ("a.VolumeScanner", "ERROR", "VolumeScanner(/d, DS-1) exiting because of exception", "verify", "failure"),
        ("a.BlockRecoveryWorker", "WARN", "recoverBlocks FAILED: blk_1", "recover", "failure"),
        ("a.LeaseManager", "INFO", "Recovering lease=[Lease.  Holder: x], src=/f", "recover", "notable"),
        (CHANGE, "INFO", "BLOCK* allocate blk_1, replicas=1, 2 for /f", "allocate", "routine"),
        (CHANGE, "INFO", "DIR* completeFile: /f is closed by DFSClient_1", "", "routine"),
        ("a.erasurecode.StripedBlockReconstructor", "WARN", "Failed to reconstruct blk_1", "replicate", "failure"),
        ("a.balancer.Dispatcher", "INFO", "Successfully moved blk_1 from a to b through c", "replicate", "routine"),
    ],
)
def test_messages_of_hadoop_that_no_shipped_template_names(
    logger: str, level: str, message: str, stage: str, severity: str
) -> None:
    assert (stage_of(message, level, logger), severity_of(message, level, logger)) == (stage, severity)


def test_an_exception_makes_a_failure_and_leaves_the_stage_to_the_message() -> None:
    said = ("Failed to send blk_1 to dn2", "INFO", DATANODE)
    assert severity_of("Bye blk_1", "INFO", DATANODE) == "routine"
    assert severity_of("Bye blk_1", "INFO", DATANODE, "org.apache.hadoop.fs.ChecksumException") == "failure"
    assert stage_of("Bye blk_1", *said[1:]) == ""
    refused = "org.apache.hadoop.hdfs.server.datanode.ReplicaAlreadyExistsException"
    assert severity_of("opWriteBlock blk_1 received exception", "INFO", DATANODE, refused) == "notable"


def test_the_words_alone_come_near_to_what_people_said_of_the_shipped_templates() -> None:
    """Without level and logger; what stands on a template's level alone, or in its continuation lines, is missed."""
    for catalogue in catalogues().values():
        called = [(t, severity_of(t.text), stage_of(t.text)) for t in catalogue.templates]
        assert [t.name for t, severity, _ in called if t.severity == "routine" != severity] == []
        missed = [t for t, severity, _ in called if t.severity == "failure" and severity == "routine"]
        assert len(missed) <= 0.12 * sum(t.severity == "failure" for t in catalogue.templates)
        assert sum(stage == t.stage for t, _, stage in called) >= 0.8 * len(called)
        assert sum(bool(stage) and stage != t.stage for t, _, stage in called) <= 0.05 * len(called)
