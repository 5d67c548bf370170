"""How long garbage collection has stopped a NameNode, told by the kind of each of its collectors.

Java names a collector, and says of it how long it worked (`CollectionTime` of java.lang:type=GarbageCollector). What
that is depends on the collector: Serial, Parallel, ParNew and G1 stop the program for all of it, while ZGC and
Shenandoah have one bean for the pauses and one for the cycles, which run beside the program (JDK-8265136; generational
ZGC has both twice). CMS counts its concurrent sweep into the time of `ConcurrentMarkSweep`.

JvmMetrics sums all of them up as `GcTimeMillis`; HADOOP-19371 leaves out the cycles of ZGC, but no version says whether
it does. So that sum is no pause. JvmMetrics also has the time of each collector as `GcTimeMillis<collector>`, but
`/jmx` leaves out attributes with a blank in their names, which is most of them.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

YOUNG: Final = "GcTimeMillisParNew"
OLD: Final = "GcTimeMillisConcurrentMarkSweep"

# Remark and cleanup of G1's concurrent cycle are the pauses that "G1 Concurrent GC" counts (JDK-8297247).
_STOPS = re.compile(
    r"Copy|MarkSweepCompact|ParNew|PS Scavenge|PS MarkSweep|G1 (?:Young Generation|Old Generation|Concurrent GC)"
    r"|.+ Pauses"
)
_RUNS_BESIDE = re.compile(r"ConcurrentMarkSweep|.+ Cycles")
_PREFIX = "GcTimeMillis"


def gc_times(jvm: Mapping[str, Any], collectors: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The two metrics of collections, ms since the process began; without those that nothing tells.

    `jvm` is the bean JvmMetrics, `collectors` the beans of java.lang:type=GarbageCollector by name. With ParNew and CMS
    each metric is the time of its own collector. With others both are the time for which all collections together
    stopped the program; of a collector that is not known here, nobody can say.
    """
    times = {name.strip('"'): bean.get("CollectionTime") for name, bean in collectors.items()} or {
        name.removeprefix(_PREFIX): time for name, time in jvm.items() if name.startswith(_PREFIX) and name != _PREFIX
    }
    stopped = [time for name, time in times.items() if _STOPS.fullmatch(name)]
    whole = [time for time in stopped if type(time) is int]
    known = all(_STOPS.fullmatch(name) or _RUNS_BESIDE.fullmatch(name) for name in times)
    found: dict[str, Any] = {}
    if stopped and known and len(whole) == len(stopped):
        found = dict.fromkeys((YOUNG, OLD), sum(whole))
    cms = times.get(OLD.removeprefix(_PREFIX))
    return found if cms is None else found | {OLD: cms}
