"""Which collectors stop the program, and what is said where nothing tells."""

from typing import Any

import pytest

from hdfs_pipeline.domains.namenode.gc_times import OLD, YOUNG, gc_times


def beans(**times: Any) -> dict[str, dict[str, Any]]:
    return {name.replace("_", " "): {"CollectionTime": time} for name, time in times.items()}


@pytest.mark.parametrize(
    ("collectors", "young", "old"),
    [
        (beans(Copy=5, MarkSweepCompact=6), 11, 11),
        (beans(PS_Scavenge=5, PS_MarkSweep=6), 11, 11),
        (beans(G1_Young_Generation=5, G1_Old_Generation=6), 11, 11),
        (beans(G1_Young_Generation=5, G1_Old_Generation=6, G1_Concurrent_GC=1), 12, 12),
        (beans(ParNew=5, ConcurrentMarkSweep=6), 5, 6),
        (beans(Shenandoah_Cycles=900, Shenandoah_Pauses=5), 5, 5),
        (beans(ZGC_Cycles=900, ZGC_Pauses=5), 5, 5),
        (beans(ZGC_Minor_Cycles=900, ZGC_Minor_Pauses=5, ZGC_Major_Cycles=800, ZGC_Major_Pauses=1), 6, 6),
        (beans(GPGC_New_Pauses=5, GPGC_Old_Pauses=1, GPGC_New_Cycles=900), 6, 6),
        (beans(ZGC=900), None, None),  # Java 11 to 16: the pauses in some, the cycles in others
        (beans(Shenandoah_Cycles=900), None, None),
        (beans(ZGC_Pauses=5, Something_New=900), None, None),
        (beans(ZGC_Pauses="5", ZGC_Cycles=900), None, None),
        (beans(ZGC_Pauses=None, ZGC_Cycles=900), None, None),
        ({}, None, None),
    ],
)
def test_by_kind_of_collector(collectors: dict[str, dict[str, Any]], young: int | None, old: int | None) -> None:
    found = gc_times({"GcTimeMillis": 10**6}, collectors)
    assert (found.get(YOUNG), found.get(OLD)) == (young, old)


def test_names_in_quotes_are_the_same() -> None:
    assert gc_times({}, {'"ZGC Pauses"': {"CollectionTime": 5}, '"ZGC Cycles"': {"CollectionTime": 900}})[YOUNG] == 5


def test_jvm_metrics_tell_where_the_java_machine_was_not_asked() -> None:
    """`/jmx` shows the times of collectors whose names hold no blank."""
    assert gc_times({"GcTimeMillisCopy": 5, "GcTimeMillisMarkSweepCompact": 6, "GcTimeMillis": 11}, {}) == {
        YOUNG: 11,
        OLD: 11,
    }
    assert gc_times({"GcTimeMillisZGC Pauses": 5, "GcTimeMillisZGC Cycles": 900, "GcTimeMillis": 905}, {})[YOUNG] == 5
    assert gc_times({"GcTimeMillis": 905}, {}) == {}
