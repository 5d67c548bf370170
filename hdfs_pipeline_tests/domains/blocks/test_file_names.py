"""Who wrote a log, by the name of its file."""

import io
import os
import time
from pathlib import Path, PurePath

import pytest

from hdfs_pipeline.domains.blocks.file_names import SHAPES, Shape, daemon_in, writer
from hdfs_pipeline.sources.finding import find_files

POD = "d39254de-c138-45a1-9a49-da66e947e948"
ID = "3f4a" * 16


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_the_example_of_each_shape_is_read_by_it(shape: Shape) -> None:
    assert writer(PurePath(shape.example)) == shape.writer
    first = next(other for other in SHAPES if other.pattern.search(shape.example))
    assert first is shape, "no shape before it takes its names"


@pytest.mark.parametrize(
    ("name", "daemon", "host"),
    [
        ("hadoop-hdfs-namenode-nn1.example.com.log", "namenode", "nn1.example.com"),
        ("hadoop-hdfs-namenode-nn1.example.com.log.2", "namenode", "nn1.example.com"),
        ("hadoop-hdfs-datanode-dn-17.example.com.log.2024-11-01.gz", "datanode", "dn-17.example.com"),
        ("hadoop-root-secondarynamenode-vm.out", "secondarynamenode", "vm"),
        ("hadoop-hdfs-journalnode-10.0.0.7.log", "journalnode", "10.0.0.7"),
        ("hadoop-my-user-namenode-nn1.log", "namenode", "nn1"),
        ("hadoop-svc.hdfs-datanode-dn1.log", "datanode", "dn1"),
        ("hadoop-cmf-hdfs-NAMENODE-nn1.example.com.log.out", "namenode", "nn1.example.com"),
        ("hadoop-hdfs-kms-k1.log", "kms", "k1"),
        ("hadoop-hdfs-namenode-my.logger.example.com.log", "namenode", "my.logger.example.com"),
        ("hadoop-hdfs-datanode-datanode-7.log", "datanode", "datanode-7"),
        # rotated by logrotate: by date, before or after the suffix, packed
        ("hadoop-hdfs-datanode-dn1.example.com.log-20170120.gz", "datanode", "dn1.example.com"),
        ("hadoop-hdfs-datanode-dn1.example.com.log.2.bz2", "datanode", "dn1.example.com"),
        ("hadoop-hdfs-datanode-dn1.example.com.log-20250601-1700000000.xz", "datanode", "dn1.example.com"),
        ("hadoop-hdfs-datanode-dn1.example.com-20250601.log", "datanode", "dn1.example.com"),
        ("hadoop-hdfs-datanode-dn1.out.1", "datanode", "dn1"),
        # without an ident string
        ("hadoop--datanode-dn1.log", "datanode", "dn1"),
        ("hadoop--datanode-dn1.example.com.log-20250601", "datanode", "dn1.example.com"),
        ("hadoop-datanode-dn1.log", "datanode", "dn1"),
        ("hadoop--kms-k1.log", "kms", "k1"),
        # secure DataNodes, YARN, EMR, Cloudera's services with other names
        ("hadoop-hdfs-root-datanode-dn1.log", "datanode", "dn1"),
        ("yarn-yarn-nodemanager-dn1.log", "nodemanager", "dn1"),
        ("i-0abc/applications/hadoop-hdfs/hadoop-hdfs-datanode-ip-172-31-1-2.log.2017-01-20-16.gz", "datanode",
         "ip-172-31-1-2"),
        ("hadoop-hdfs-namenode-ip-10-0-0-1.ec2.internal.log.gz", "namenode", "ip-10-0-0-1.ec2.internal"),
        ("hadoop-cmf-CD-HDFS-abcd-DATANODE-dn1.example.com.log.out.3", "datanode", "dn1.example.com"),
        ("hadoop-cmf-hdfs-FAILOVERCONTROLLER-nn1.log.out", "failovercontroller", "nn1"),
        ("hadoop-cmf-hdfs-SECONDARYNAMENODE-nn2.log.out-20250601.gz", "secondarynamenode", "nn2"),
        # audit logs
        ("hdfs-audit.log", "namenode", ""),
        ("hdfs-audit.log-20250601.gz", "namenode", ""),
        ("hdfs-audit.log.2025-06-01", "namenode", ""),
        ("hdfs-audit-nn1.example.com.log", "namenode", "nn1.example.com"),
        # pods and containers
        (f"pods/hdfs_hdfs-namenode-0_{POD}/hdfs/0.log", "namenode", "hdfs-namenode-0"),
        (f"pods/hdfs_hdfs-datanode-0_{POD}/hdfs/12.log.20250601-101112.gz", "datanode", "hdfs-datanode-0"),
        (f"pods/prod_simple-hdfs-namenode-default-0_{POD}/zkfc/0.log", "zkfc", "simple-hdfs-namenode-default-0"),
        (f"pods/prod_hadoop-hadoop-hdfs-dn-1_{POD}/main/0.log", "datanode", "hadoop-hadoop-hdfs-dn-1"),
        (f"pods/kube-system_coredns-7db6d8ff4d-x2x9z_{POD}/coredns/0.log", "coredns", "coredns-7db6d8ff4d-x2x9z"),
        (f"containers/hdfs-datanode-3_hdfs_hdfs-{ID}.log", "datanode", "hdfs-datanode-3"),
        (f"containers/my-hdfs-journalnode-1_prod_journalnode-{ID}.log", "journalnode", "my-hdfs-journalnode-1"),
        # docker-compose
        ("cluster_datanode_1.log", "datanode", "cluster_datanode_1"),
        ("cluster-namenode-1.log.gz", "namenode", "cluster-namenode-1"),
        ("hdfs-dn2-json.log", "datanode", "hdfs-dn2"),
        ("datanode_1.log.gz", "datanode", "datanode_1"),
        ("datanode2.out", "datanode", "datanode2"),
        ("namenode.log", "namenode", ""),
        ("NameNode.log-20250601", "namenode", ""),
        ("HDFS.log", "HDFS", ""),
        ("HDFS.log-20250601", "HDFS", ""),
        ("hadoop.log", "hadoop", ""),
        ("winner.log", "winner", ""),
        ("", "", ""),
    ],
)  # fmt: skip
def test_host_and_daemon_stand_in_names(name: str, daemon: str, host: str) -> None:
    assert writer(PurePath("/logs") / name if name else PurePath()) == (daemon, host)


@pytest.mark.parametrize(
    ("name", "daemon"),
    [
        ("hdfs-datanode-0", "datanode"),
        ("project-namenode-1", "namenode"),
        ("hadoop-hdfs-nn-0", "namenode"),
        ("snn", "secondarynamenode"),
        ("dn12", "datanode"),
        ("hdfs", ""),
        ("namenodes-are-here", ""),
        ("", ""),
    ],
)
def test_the_name_of_a_container_may_speak_of_a_daemon(name: str, daemon: str) -> None:
    assert daemon_in(name) == daemon


def test_a_name_that_is_no_utf8_can_be_shown() -> None:
    assert writer(PurePath(os.fsdecode(b"/logs/caf\xe9.log"))) == ("caf\ufffd", "")
    assert writer(PurePath("/logs/hadoop-hdfs-datanode-d\ud800.log")).daemon == "hadoop-hdfs-datanode-d\ufffd"


def test_standard_input_is_named_after_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"x")))
    (file,) = find_files(["-"], tmp_path).files
    assert writer(file.path) == ("stdin", "")


def test_a_long_hostile_name_is_read_at_once() -> None:
    begun = time.process_time()
    writer(PurePath("hadoop-a-datanode-" * 20_000))
    writer(PurePath("hadoop-" + "a-" * 200_000))
    assert time.process_time() - begun < 1
