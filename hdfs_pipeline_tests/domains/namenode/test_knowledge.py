"""Each cause from the readings that tell it."""

import pytest

from hdfs_pipeline.domains.namenode.knowledge import Reading, likely_cause


def up(actual: float, expected: float, spreads: float = 10) -> Reading:
    return Reading(actual, expected, spreads)


@pytest.mark.parametrize(
    ("cause", "readings"),
    [
        ("process pause", {"GcTotalExtraSleepTime": up(400, 1), "GetListingRate": up(90, 20)}),
        ("garbage collection pause", {"GcTotalExtraSleepTime": up(400, 1), "GcTimeMillisParNew": up(380, 1)}),
        ("listing storm", {"GetListingRate": up(230, 20), "GetContentSummaryRate": Reading(3, 3, 0)}),
        ("content-summary storm", {"GetContentSummaryRate": up(40, 1), "GetListingRate": up(60, 20)}),
        (
            "metadata churn",
            {"MkdirsRate": up(3700, 9), "DeleteRate": up(190, 12), "GetListingRate": Reading(20, 20, 0)},
        ),
        ("lock contention", {"ThreadsBlocked": up(9, 0), "RpcProcessingTimeAvgTime": up(9, 1)}),
        (
            "CPU starvation",
            {f"{name}AvgTime": up(20, 2) for name in ("Create", "Delete", "Mkdirs", "Fsync")}
            | {"CreateRate": Reading(9, 20, -4)},
        ),
        ("unclear", {"MemHeapUsedM": up(900, 100)}),
    ],
)
def test_causes(cause: str, readings: dict[str, Reading]) -> None:
    found = likely_cause(readings)
    assert found.name == cause and found.evidence


def test_a_pause_says_what_of_it_collections_were() -> None:
    slept = {"GcTotalExtraSleepTime": up(400, 1)}
    assert "garbage collection stopped it is unknown" in likely_cause(slept).evidence
    found = likely_cause(slept | {"GcTimeMillisParNew": Reading(0, 1, 0)})
    assert found.name == "process pause" and "stopped it for 0 ms/s" in found.evidence


def test_cycles_beside_the_program_are_no_cause() -> None:
    """CMS counts its concurrent sweep; a metric of its time alone tells of no pause."""
    assert likely_cause({"GcTimeMillisConcurrentMarkSweep": up(400, 1)}).name == "unclear"
