"""Incidents of a NameNode: which metrics, who called, and why."""

import numpy as np
import pytest

from hdfs_pipeline.detectors.series.deviation import Deviation
from hdfs_pipeline.domains.namenode.explain import (
    Judged,
    Usual,
    callers,
    explained_incidents,
    incident_json,
    openers,
    usual_callers,
)
from hdfs_pipeline.scoring.frames import Frame
from hdfs_pipeline.scoring.runs import Persistence
from hdfs_pipeline_tests.domains.namenode.watched import noise

RULE = Persistence()


@pytest.fixture(scope="module")
def detector() -> Deviation:
    return Deviation().fit(noise(200), None, np.ones(200))


def judged(detector: Deviation, frame: Frame, threshold: float = 3.0) -> Judged:
    found = detector.residuals(frame)
    return Judged("deviation", found.mean(), threshold, found)


def test_an_incident_tells_all_of_it(detector: Deviation) -> None:
    frame = noise(100, seed=4)
    listing, calls = (frame.columns.index(name) for name in ("GetListingAvgTime", "GetListingRate"))
    frame.values[40:50, listing] += 300
    frame.values[40:50, calls] *= 400
    frame.weight[:] = 1
    usual = usual_callers([{"listStatus": [("etl", 20)]}, {"listStatus": [("etl", 40), ("ann", 2)]}])
    users = [{"listStatus": [("ann", 9000), ("etl", 31)]} if 40 <= at < 50 else {} for at in range(100)]
    (incident,) = explained_incidents(
        frame, [judged(detector, frame)], Usual(detector.scale, usual), RULE, namenode="nn:1", users=users
    )
    assert (incident.domain, incident.entity) == ("namenode", "nn:1")
    assert (incident.start, incident.end) == (frame.times[40], frame.times[49]) and incident.duration_s == 50
    assert frame.times[43] == incident.opened and incident.status == "resolved"
    assert incident.severity in ("major", "critical") and incident.items == tuple(frame.keys[40:50])
    assert incident.kind == "listing storm" and "GetListingRate" in incident.evidence
    metrics, first, second = incident.details["metrics"], *incident.details["metrics"][:2]
    assert [metric["metric"] for metric in (first, second)] == ["GetListingRate", "GetListingAvgTime"]
    assert first["direction"] == "up" and first["actual"] > 1000 and first["expected"] == pytest.approx(10, abs=1)
    assert second["rate"] == pytest.approx(first["actual"], rel=0.5)
    assert second["usual_rate"] == pytest.approx(10, abs=1)
    assert sum(metric["share"] for metric in metrics) <= 1.0001 and first["share"] + second["share"] > 0.8
    assert incident.detectors == {
        "deviation": {
            "score": pytest.approx(incident.detectors["deviation"]["score"]),
            "threshold": 3.0,
            "version": 0,
            "opened": True,
        }
    }
    people = [(caller["user"], caller["calls"], caller["usual"]) for caller in incident.details["users"]]
    assert people == [("ann", 9000, 1.0), ("etl", 31, 30.0)]
    text = incident_json(incident)
    assert text["start"].endswith("+00:00") and text["cause"]["name"] == "listing storm"
    assert text["metrics"] is metrics and len(text["users"]) == 2


def test_open_until_it_ends(detector: Deviation) -> None:
    frame = noise(60, seed=4)
    frame.values[50:, 5] += 400
    frame.weight[:] = 1
    (incident,) = explained_incidents(frame, [judged(detector, frame, 2.0)], Usual(detector.scale, {}), RULE)
    assert incident.status == "open" and incident.details["users"] == []
    early = frame.take(np.arange(55))
    assert len(explained_incidents(early, [judged(detector, early, 2.0)], Usual(detector.scale, {}), RULE)) == 1
    nothing = frame.take(np.zeros(60, bool))
    assert explained_incidents(nothing, [judged(detector, nothing, 2.0)], Usual(detector.scale, {}), RULE) == []


def test_a_second_opinion_opens_nothing_but_is_told(detector: Deviation) -> None:
    frame = noise(60, seed=4)
    frame.values[20:30, 5] += 400
    frame.weight[:] = 1
    first = judged(detector, frame, 2.0)
    second = Judged("pca_residual", first.scores, 1.0, first.residuals)
    assert explained_incidents(frame, [second], Usual(detector.scale, {}), RULE) == []
    (incident,) = explained_incidents(frame, [first, second], Usual(detector.scale, {}), RULE)
    assert incident.detectors["deviation"]["opened"] and not incident.detectors["pca_residual"]["opened"]


def test_who_opens_incidents_depends_on_what_is_trained() -> None:
    ready = ["majority", "lstm_autoencoder", "pca_residual", "deviation", "static_rules"]
    assert openers(ready) == ("majority", "static_rules")
    assert openers(ready[1:]) == ("lstm_autoencoder", "deviation", "static_rules")
    assert openers(["deviation"]) == ("deviation",)


def test_callers_leave_out_the_sum_where_more_is_known() -> None:
    users = [{"*": [("ann", 100)], "mkdirs": [("ann", 90)]}]
    assert [caller.operation for caller in callers(users, {})] == ["mkdirs"]
    assert [caller.operation for caller in callers([{"*": [("ann", 100)]}], {})] == ["*"]
