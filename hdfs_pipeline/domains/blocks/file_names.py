"""Who wrote a log, according to Hadoop's own file names."""

import os
import re
from pathlib import PurePath
from typing import Final, NamedTuple

# hadoop-<user>-<daemon>-<host>.log; the user can hold a "-", as in Cloudera's hadoop-cmf-hdfs-NAMENODE-<host>.log.out.
_DAEMONS = "(?i:namenode|secondarynamenode|datanode|journalnode|zkfc|balancer|mover|nfs3|portmap|httpfs|dfsrouter)"
_DAEMON_FILE: Final = re.compile(
    rf"hadoop-(?:[\w.-]+?-(?={_DAEMONS}-)|\w+-)(?P<daemon>\w+)-(?P<host>[\w.-]+?)\.(?:log|out)(?:\.|$)"
)


class Writer(NamedTuple):
    """The daemon that wrote a log, and its host."""

    daemon: str
    host: str


def writer(path: PurePath) -> Writer:
    """Daemon and host from Hadoop's own file name; from any other name the part before the first dot, and no host."""
    if match := _DAEMON_FILE.match(path.name):
        return Writer(match["daemon"].lower(), match["host"])
    return Writer(os.fsencode(path.name).decode(errors="replace").split(".")[0], "")
