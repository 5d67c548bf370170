"""How plain lines begin: the layouts of YARN, HBase, Hive, Spark and others, as patterns of log4j, compiled.

A pattern becomes a regular expression over the head of a line; what follows it is the message. A home may add a pattern
of its own (setting `app_format`), which is tried first.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from hdfs_pipeline.errors import SetupError

_CONVERSION: Final = re.compile(r"%(?:%|[-.\d]*(?P<name>[A-Za-z]+)(?P<braces>(?:\{[^}]*\})*))|(?P<text>[^%]+|%)")
_ISO: Final = r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|[+-]\d\d:?\d\d))?"
_SHORT: Final = r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
_LEVELS: Final = r"(?i:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|SEVERE|CRITICAL|FATAL)"
_PARTS: Final = {
    ("p", "le", "level"): rf"\s*(?P<level>{_LEVELS})\s*",
    ("c", "lo", "logger", "C", "class"): r"\s*(?P<logger>[\w$][\w.$\[\]/-]*)\s*",
    ("t", "tn", "thread", "threadName"): r"(?P<thread>.*?)",
    ("x", "NDC", "X", "mdc", "MDC", "marker"): r".*?",
    ("h", "host", "hostName"): r"(?P<host>[\w.:-]+)",
    ("F", "file", "M", "method", "l", "location", "L", "line"): r"\S*?",
    ("r", "relative", "pid", "processId", "tid", "threadId", "T", "sn"): r"\s*\d+",
}
_PART_OF: Final = {name: part for names, part in _PARTS.items() for name in names}
_MESSAGE: Final = ("m", "msg", "message")
_NOTHING: Final = ("n", "ex", "exception", "throwable", "xEx", "wEx", "rEx")
_STAMPS: Final = {"yy/MM/dd HH:mm:ss": _SHORT}
_NAMED: Final = re.compile(r"(?:|ISO8601|DEFAULT|DATE|yyyy-MM-dd.*HH:mm:ss.*)")
STAMPED: Final = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d|\d\d/\d\d/\d\d \d\d:\d\d:")
"""What a line begins with that is a record of its own, although its layout is none of these."""


@dataclass(frozen=True)
class Layout:
    """A layout: its name, its pattern as log4j and logback write it, a line that it fits, and who writes so."""

    name: str
    pattern: str
    example: str
    about: str

    @cached_property
    def head(self) -> re.Pattern[str]:
        """The head of a line, with the groups time, level, logger, thread and host as far as the pattern has them."""
        return re.compile(_expression(self.pattern))


LAYOUTS: Final = (
    Layout(
        "yarn",
        "%d{ISO8601} %p %c: %m%n",
        "2026-11-30 10:15:00,123 INFO org.apache.hadoop.yarn.server.resourcemanager.ClientRMService: Allocated new "
        "applicationId: 17",
        "YARN's ResourceManager and NodeManager, and all of Hadoop by its log4j.properties",
    ),
    Layout(
        "hbase",
        "%d{ISO8601} %-5p [%t] %c{2}: %m%n",
        "2026-11-30 10:15:00,123 INFO  [RS_OPEN_REGION-worker3:16020-0] regionserver.HRegion: Onlined 1588230740",
        "HBase's Master and RegionServer, Hive's HiveServer2 and Metastore, MapReduce's ApplicationMaster",
    ),
    Layout(
        "spark",
        "%d{yy/MM/dd HH:mm:ss} %p %c{1}: %m%n",
        "26/11/30 10:15:00 INFO BlockManagerInfo: Added broadcast_3_piece0 in memory on worker3:34567",
        "Spark's drivers, executors, master, workers and history server",
    ),
    Layout(
        "hive",
        "%d{ISO8601} %-5p %c{2} (%F:%M(%L)) - %m%n",
        "2026-11-30 10:15:00,123 INFO  ql.Driver (Driver.java:compile(392)) - Semantic Analysis Completed",
        "older releases of Hive and HBase, and Hadoop's daemons with event counters",
    ),
    Layout(
        "logback",
        "%d [%t] %-5level %logger{36} - %m%n",
        "2026-11-30 10:15:00.123 [main] INFO  com.example.Shop - order 17 was paid",
        "programs that log through logback or log4j 2 as their manuals show it",
    ),
    Layout(
        "spring",
        "%d %5p %pid --- [%t] %-40.40c{39} : %m%n",
        "2026-11-30T10:15:00.123+01:00  INFO 4711 --- [           main] com.example.Shop      : order 17 was paid",
        "Spring Boot",
    ),
    Layout(
        "plain",
        "%d %p %m%n",
        "2026-11-30 10:15:00,123 INFO order 17 was paid",
        "programs that name no logger",
    ),
)


def layouts_of(own: str) -> tuple[Layout, ...]:
    """The known layouts, after the pattern `own` where there is one. Raises: SetupError for one that cannot be used."""
    if not own:
        return LAYOUTS
    mine = Layout("own", own, "", "this home, by the setting app_format")
    assert mine.head
    return (mine, *LAYOUTS)


def _expression(pattern: str) -> str:
    parts: list[str] = []
    ended = stamped = False
    for part in _CONVERSION.finditer(pattern.rstrip()):
        name, text = part["name"], part["text"] if part["text"] is not None else "%"
        if name in _NOTHING or (ended and name is None and text.isspace()):
            continue
        if ended:
            raise SetupError(f"setting app_format: {pattern!r}: nothing but the end of the line may follow %m")
        if name is None:
            parts += (r"\s+" if piece.isspace() else re.escape(piece) for piece in re.findall(r"\s+|\S+", text))
        elif name in ("d", "date"):
            parts.append(f"(?P<time>{_stamp(pattern, part['braces'] or '')})")
            stamped = True
        elif name in _MESSAGE:
            ended = True
        elif name in _PART_OF:
            parts.append(_PART_OF[name])
        else:
            raise SetupError(
                f"setting app_format: {pattern!r}: %{name} is not known here; there are %d %p %c %t %h %F %M %L %X %m"
            )
    if not (stamped and ended):
        raise SetupError(f"setting app_format: {pattern!r} needs %d for the time, and %m at its end")
    # Blanks around a level that is padded are taken by the level, so that those beside it may be missing.
    head = "".join(parts).replace(r"\s+\s*", r"\s*").replace(r"\s*\s+", r"\s*")
    return re.sub(r"\\s\+$", r"(?:\\s+|$)", head)


def _stamp(pattern: str, braces: str) -> str:
    form, *zone = re.findall(r"\{([^}]*)\}", braces) or [""]
    if zone:
        raise SetupError(f"setting app_format: {pattern!r}: give the time zone by the setting log_timezone")
    if form in _STAMPS:
        return _STAMPS[form]
    if _NAMED.fullmatch(form):
        return _ISO
    raise SetupError(
        f"setting app_format: {pattern!r}: the time {form!r} is not known here; there are ISO8601 (the default), "
        "yyyy-MM-dd HH:mm:ss with a fraction or a zone, and yy/MM/dd HH:mm:ss"
    )
