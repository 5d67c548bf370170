"""Steps become incidents: how long, how bad, which metrics, who, and why."""

import numpy as np
import pytest

from hdfs_pipeline.domains.namenode.causes import Reading, likely_cause
from hdfs_pipeline.domains.namenode.detectors import Deviation
from hdfs_pipeline.domains.namenode.incidents import Judged, callers, find_incidents, usual_callers
from hdfs_pipeline.domains.namenode.runs import Persistence, calibrate, find_runs
from hdfs_pipeline.domains.namenode.windows import Frame
from hdfs_pipeline_tests.domains.namenode.watched import noise

RULE = Persistence()


def over(*numbers: int, n: int = 40) -> np.ndarray:
    found = np.zeros(n, bool)
    found[list(numbers)] = True
    return found


def test_a_run_needs_to_last_and_may_pause() -> None:
    times = np.arange(40) * 5.0
    assert find_runs(times, over(3, 4, 5), RULE) == [], "15 s are one value of a bean that is refreshed every 15 s"
    (run,) = find_runs(times, over(3, 4, 5, 9, 10), RULE)
    assert (run.first, run.last, run.opened) == (3, 10, 9), "a pause of 15 s does not end it"
    assert len(find_runs(times, over(*range(3, 8), *range(12, 17)), RULE)) == 2, "one of 20 s does"
    (slow,) = find_runs(np.arange(40) * 10.0, over(3, 4), RULE)
    assert slow.opened == 4, "two polls, where they come every 10 s"


def test_a_threshold_keeps_its_baseline_quiet() -> None:
    times, draw = np.arange(200) * 5.0, np.random.default_rng(1)
    scores = draw.exponential(1, 200)
    plain, said = calibrate(times, scores, 95, 2, RULE)
    assert plain == pytest.approx(2 * np.percentile(scores, 95)) and "2 times the 95 %" in said
    few, _ = calibrate(times, scores, 95, 2, RULE, few=30)
    assert few == pytest.approx(plain * (1 + 30 / 200))
    scores[50:55] = 3 * plain
    raised, said = calibrate(times, scores, 95, 2, RULE)
    assert raised > scores[50] and "raised" in said
    scores[50:55] = 100 * plain
    held, _ = calibrate(times, scores, 95, 2, RULE)
    assert held < 8 * plain, "an incident in the baseline does not blind the detector"


@pytest.fixture(scope="module")
def quiet() -> tuple[Frame, Deviation]:
    frame = noise(200)
    return frame, Deviation.fit(frame, {}, 0)


def judged(detector: Deviation, frame: Frame, threshold: float = 3.0) -> Judged:
    found = detector.residuals(frame)
    return Judged("deviation", found.mean(), threshold, found)


def test_an_incident_tells_all_of_it(quiet: tuple[Frame, Deviation]) -> None:
    frame, detector = noise(100, seed=4), quiet[1]
    listing, calls = (frame.columns.index(name) for name in ("GetListingAvgTime", "GetListingRate"))
    frame.values[40:50, listing] += 300
    frame.values[40:50, calls] *= 400
    frame.weight[:] = 1
    usual = usual_callers([{"listStatus": [("etl", 20)]}, {"listStatus": [("etl", 40), ("ann", 2)]}])
    users = [{"listStatus": [("ann", 9000), ("etl", 31)]} if 40 <= at < 50 else {} for at in range(100)]
    (found,) = find_incidents(frame, [judged(detector, frame)], detector.scale, RULE, users=users, usual_users=usual)
    assert (found.start, found.end) == (frame.times[40], frame.times[49]) and found.duration_s == 50
    assert frame.times[43] == found.opened and found.status == "resolved" and found.severity in ("major", "critical")
    assert found.cause.name == "listing storm" and "GetListingRate" in found.cause.evidence
    assert [metric.metric for metric in found.metrics[:2]] == ["GetListingRate", "GetListingAvgTime"]
    first, second = found.metrics[:2]
    assert first.direction == "up" and first.actual > 1000 and first.expected == pytest.approx(10, abs=1)
    assert second.rate == pytest.approx(first.actual, rel=0.5) and second.usual_rate == pytest.approx(10, abs=1)
    assert sum(metric.share for metric in found.metrics) <= 1.0001 and first.share + second.share > 0.8
    assert found.detectors == {
        "deviation": {
            "score": pytest.approx(found.detectors["deviation"]["score"]),
            "threshold": 3.0,
            "version": 0,
            "opened": True,
        }
    }
    assert [(each.user, each.calls, each.usual) for each in found.users] == [("ann", 9000, 1.0), ("etl", 31, 30.0)]
    text = found.to_json()
    assert text["start"].endswith("+00:00") and text["cause"]["name"] == "listing storm"


def test_ongoing_until_it_ends(quiet: tuple[Frame, Deviation]) -> None:
    frame, detector = noise(60, seed=4), quiet[1]
    frame.values[50:, 5] += 400
    frame.weight[:] = 1
    assert [each.status for each in find_incidents(frame, [judged(detector, frame, 2.0)], detector.scale, RULE)] == [
        "ongoing"
    ]
    early = frame.rows(np.arange(55))
    assert len(find_incidents(early, [judged(detector, early, 2.0)], detector.scale, RULE)) == 1


def test_a_second_opinion_opens_nothing_but_is_told(quiet: tuple[Frame, Deviation]) -> None:
    frame, detector = noise(60, seed=4), quiet[1]
    frame.values[20:30, 5] += 400
    frame.weight[:] = 1
    first = judged(detector, frame, 2.0)
    second = Judged("pca_residual", first.scores, 1.0, first.residuals)
    assert find_incidents(frame, [second], detector.scale, RULE) == []
    (found,) = find_incidents(frame, [first, second], detector.scale, RULE)
    assert found.detectors["deviation"]["opened"] and not found.detectors["pca_residual"]["opened"]


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


def test_callers_leave_out_the_sum_where_more_is_known() -> None:
    users = [{"*": [("ann", 100)], "mkdirs": [("ann", 90)]}]
    assert [each.operation for each in callers(users, {})] == ["mkdirs"]
    assert [each.operation for each in callers([{"*": [("ann", 100)]}], {})] == ["*"]
