"""Whose log a file is, by the name that the start scripts of Hadoop, HBase, Hive and Spark give it."""

import re
from typing import Final, NamedTuple

_ENDING: Final = re.compile(
    r"(?:\.(?:log|out|json|jsonl|ndjson|txt|gz|bz2|xz|zst)|[.-]\d{4}-?\d\d-?\d\d(?:-\d\d)?|\.\d+)+$"
)
_SPARK: Final = re.compile(r"spark-[^-]+-(?:[\w$]+\.)*(?P<service>[A-Za-z]\w*)-\d+-(?P<host>[\w.-]+)")
_DAEMON: Final = re.compile(
    r"(?P<project>yarn|hbase|hive|hadoop|mapred|kms)-[^-]+-(?P<service>[a-z][a-z0-9]*)-(?P<host>[\w.-]+)"
)


class Written(NamedTuple):
    """Who wrote a file: service, and host; '' where the name does not tell."""

    service: str
    host: str = ""


def written_by(path: str) -> Written:
    """Service and host by a file's name: `hbase-hdfs-regionserver-worker3.log` is `hbase-regionserver` on `worker3`.

    A name in no known form is the service itself, without what rotation appends.
    """
    name = _ENDING.sub("", path.replace("\\", "/").rsplit("/", 1)[-1])
    if spark := _SPARK.fullmatch(name):
        service = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", spark["service"]).lower()
        return Written(f"spark-{service.removeprefix('spark-')}", spark["host"])
    if daemon := _DAEMON.fullmatch(name):
        return Written(f"{daemon['project']}-{daemon['service']}", daemon["host"])
    return Written(re.sub(r"\s+", "_", name))
