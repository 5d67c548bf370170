"""Who wrote a log, according to the name of its file: a table of the shapes that distributions and containers use."""

import re
from functools import lru_cache
from pathlib import PurePath
from typing import Final, NamedTuple

_DAEMON: Final = (
    "(?:secondarynamenode|namenode|datanode|journalnode|backupnode|zkfc|failovercontroller|balancer|mover|diskbalancer|"
    "nfs3|nfsgateway|portmap|httpfs|dfsrouter|resourcemanager|nodemanager)"
)
_HOST: Final = r"(?P<host>[\w.-]+?)"
_END: Final = r"(?:-(?:19|20)\d{6}(?:-\d+)?)?\.(?:log|out)(?=$|[.~]|[-_]\d{6})"
"""The end of a name, with logrotate's date before or after the suffix."""


class Writer(NamedTuple):
    """The daemon that wrote a log, and its host; '' where it is not known."""

    daemon: str
    host: str


class Shape(NamedTuple):
    """How the paths of some logs look: a pattern on their end, an example, and who wrote that.

    Its groups are `daemon` and `host`, or `container` and `pod`, of which the first that speaks of a daemon names it.
    """

    name: str
    pattern: re.Pattern[str]
    example: str
    writer: Writer


def _shape(name: str, pattern: str, example: str, writer: Writer) -> Shape:
    return Shape(name, re.compile(rf"(?:^|/)(?i:{pattern})"), example, writer)


SHAPES: Final = (
    _shape(
        "Kubernetes, the log of a pod's container",
        r"[^/_]+_(?P<pod>[^/_]+)_[^/_]+/(?P<container>[^/]+)/\d+\.log(?:$|[.-])",
        "/var/log/pods/hdfs_hdfs-datanode-0_d39254de-c138-45a1-9a49-da66e947e948/hdfs/0.log",
        Writer("datanode", "hdfs-datanode-0"),
    ),
    _shape(
        "Kubernetes, the link to it",
        r"(?P<pod>[^/_]+)_[^/_]+_(?P<container>[^/_]+)-[0-9a-f]{12,64}\.log(?:$|[.-])",
        "/var/log/containers/simple-hdfs-namenode-default-0_prod_zkfc-0123456789abcdef.log",
        Writer("zkfc", "simple-hdfs-namenode-default-0"),
    ),
    _shape(
        "Cloudera Manager",
        rf"hadoop-cmf-[\w.-]+?-(?P<daemon>{_DAEMON})-{_HOST}{_END}",
        "hadoop-cmf-HDFS-1-NAMENODE-nn1.example.com.log.out",
        Writer("namenode", "nn1.example.com"),
    ),
    _shape(
        # The user is often empty (HADOOP_IDENT_STRING), and can hold a "-".
        "Hadoop's scripts, as in Apache, BigTop, HDP and Ambari, and EMR",
        rf"(?:hadoop|yarn|mapred|hdfs)-(?:[\w.-]*?-)??(?P<daemon>{_DAEMON})-{_HOST}{_END}",
        "hadoop-hdfs-datanode-dn1.example.com.log",
        Writer("datanode", "dn1.example.com"),
    ),
    _shape(
        "Hadoop's scripts, any other daemon",
        rf"(?:hadoop|yarn|mapred|hdfs)-\w*-(?P<daemon>\w+)-{_HOST}{_END}",
        "hadoop-hdfs-kms-k1.log",
        Writer("kms", "k1"),
    ),
    _shape(
        "the NameNode's audit log",
        r"(?P<audit>hdfs-audit)(?:-(?P<host>[\w.-]+?))?\.log(?=$|[.~]|[-_]\d{6})",
        "hdfs-audit.log",
        Writer("namenode", ""),
    ),
    _shape(
        "containers of docker-compose and others, named after their service",
        r"(?P<container>[\w.-]+?)(?:-json)?\.(?:log|out)(?=$|[.~]|[-_]\d{6})",
        "/logs/cluster-datanode-2.log",
        Writer("datanode", "cluster-datanode-2"),
    ),
)
_LONGEST: Final = 255  # characters: no file's name is longer, but the path that a shipper sends can be
_DEPTH: Final = 4  # parts at the end of a path that a shape may look at
_NO_TEXT: Final = re.compile("[\ud800-\udfff]")  # bytes of a name that are not UTF-8, and half characters of JSON
_DAEMON_WORD: Final = re.compile(rf"(?i)(?:^|[-_.])({_DAEMON}|nn|snn|dn|jn)(?=$|[-_.]|\d+(?:$|[-_.]))")
_SHORT: Final = {"nn": "namenode", "snn": "secondarynamenode", "dn": "datanode", "jn": "journalnode"}


@lru_cache(4096)  # a stream asks for each message
def writer(path: PurePath) -> Writer:
    """Daemon and host from the path of a log; from a name of no known shape what stands before the first dot."""
    parts = re.split(r"[/\\]", _NO_TEXT.sub("\ufffd", str(path)))  # a shipper may run on Windows
    text = "/".join(part[:_LONGEST] for part in parts[-_DEPTH:])
    for shape in SHAPES:
        if (match := shape.pattern.search(text)) and (found := _of(match.groupdict())):
            return found
    return Writer(text.rpartition("/")[2].split(".")[0], "")


def daemon_in(name: str) -> str:
    """The daemon that the name of a container, pod or service speaks of, such as `hdfs-datanode-0`; '' if none."""
    words = _DAEMON_WORD.findall(name)
    return _SHORT.get(words[-1].lower(), words[-1].lower()) if words else ""


def _of(groups: dict[str, str | None]) -> Writer | None:
    pod, container, host = (groups.get(name) or "" for name in ("pod", "container", "host"))
    if daemon := groups.get("daemon"):
        return Writer(daemon.lower(), host)
    if "audit" in groups:
        return Writer("namenode", host)
    daemon = daemon_in(container) or daemon_in(pod)
    if pod:
        return Writer(daemon or container, pod)
    # A name that is the daemon's own, such as `namenode.log`, says nothing of the host.
    return Writer(daemon, "" if container.lower() == daemon else container) if daemon else None
