"""Who wrote a log, by the name of its file."""

import io
import os
from pathlib import Path, PurePath

import pytest

from hdfs_pipeline.domains.blocks.file_names import writer
from hdfs_pipeline.sources.files import find_files


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
        ("datanode_1.log.gz", "datanode_1", ""),
        ("HDFS.log", "HDFS", ""),
        ("hadoop.log", "hadoop", ""),
    ],
)
def test_host_and_daemon_stand_in_hadoops_file_names(name: str, daemon: str, host: str) -> None:
    assert writer(PurePath("/logs") / name) == (daemon, host)


def test_a_name_that_is_no_utf8_can_be_shown() -> None:
    assert writer(PurePath(os.fsdecode(b"/logs/caf\xe9.log"))) == ("caf\ufffd", "")


def test_standard_input_is_named_after_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"x")))
    (file,) = find_files(["-"], tmp_path)
    assert writer(file.path) == ("stdin", "")
