"""Incidents are computed from what was flagged alone, and are the same as from all scores."""

from typing import Any

import numpy as np
import pytest

from hdfs_pipeline.scoring.incidents import Flagged, Incident, find_incidents
from hdfs_pipeline.scoring.runs import Persistence, find_runs, step_seconds

RULE = Persistence()
Scores = dict[str, tuple[np.ndarray, float]]
"""Scores (n,) of all steps, NaN where there are none, and the threshold, by detector."""
FIELDS = ("start", "end", "peak", "opened", "duration_s", "status", "severity", "items", "detectors")


def flagged(times: np.ndarray, scores: Scores) -> list[Flagged]:
    """What is left of the scores once only steps over a threshold are kept."""
    parts = []
    for name, (values, threshold) in scores.items():
        rows = np.flatnonzero(np.nan_to_num(values, nan=-np.inf) >= threshold)
        parts.append(Flagged(name, times[rows], values[rows], threshold, 3, [f"step {row}" for row in rows]))
    return parts


def incidents_of(times: np.ndarray, scores: Scores, openers: tuple[str, ...], **named: Any) -> list[Incident]:
    step_s, until = step_seconds(times), float(times[-1])
    names = {"domain": "toys", "entity": "toy 1", **named}
    return find_incidents(flagged(times, scores), RULE, step_s=step_s, until=until, openers=openers, **names)


def from_all_scores(times: np.ndarray, scores: Scores, openers: tuple[str, ...]) -> list[dict[str, Any]]:
    """The plain way, with every step's score at hand: masks over all steps, the highest ratio over each incident."""
    step = step_seconds(times)
    over = {name: np.nan_to_num(values, nan=-np.inf) >= threshold for name, (values, threshold) in scores.items()}
    ratio = {name: np.nan_to_num(values) / threshold for name, (values, threshold) in scores.items()}
    opening = [name for name in scores if name in openers]
    own = {name: find_runs(times, over[name], RULE, step_s=step) for name in opening}
    sure = np.zeros(len(times), bool)
    for name in opening:
        for run in own[name]:
            sure[run.first : run.last + 1] |= over[name][run.first : run.last + 1]
    rows = []
    for run in find_runs(times, sure, RULE, step_s=step):
        inside = slice(run.first, run.last + 1)
        ratios = np.max([ratio[name][inside] for name in opening], axis=0)
        began = {
            name: [single.opened for single in own[name] if run.first <= single.first <= run.last] for name in opening
        }
        rows.append(
            {
                "start": times[run.first],
                "end": times[run.last],
                "peak": times[run.first + int(ratios.argmax())],
                "opened": times[min(at for steps in began.values() for at in steps)],
                "duration_s": times[run.last] - times[run.first] + step,
                "status": "ongoing" if times[-1] - times[run.last] <= RULE.gap_s else "resolved",
                "severity": "critical" if ratios.max() >= 10 else "major" if ratios.max() >= 3 else "warning",
                "items": tuple(
                    f"step {at}" for at in range(run.first, run.last + 1) if any(over[name][at] for name in scores)
                ),
                "detectors": {
                    name: {
                        "score": np.nanmax(values[inside]),
                        "threshold": threshold,
                        "version": 3,
                        "opened": bool(began.get(name)),
                    }
                    for name, (values, threshold) in scores.items()
                    if over[name][inside].any()
                },
            }
        )
    return rows


@pytest.mark.parametrize("seed", range(40))
def test_what_is_flagged_tells_as_much_as_all_scores(seed: int) -> None:
    draw = np.random.default_rng(seed)
    n = int(draw.integers(20, 200))
    times = 1.7e9 + np.cumsum(draw.choice([4.99, 5.0, 5.01, 40.0], n, p=[0.2, 0.5, 0.25, 0.05]))
    scores = {}
    for name, threshold in (("first", 2.5), ("second", 0.7), ("third", 1.0)):
        values = draw.exponential(0.4, n) * threshold
        for start in draw.integers(0, n, 3):
            values[start : start + int(draw.integers(1, 12))] *= draw.choice([3.0, 30.0])
        values = np.round(values, 2)  # equal scores: of several peaks the first one counts
        values[draw.random(n) < 0.1] = np.nan
        scores[name] = values, threshold
    openers = ("first", "third")
    plain = from_all_scores(times, scores, openers)
    incidents = [vars(incident) for incident in incidents_of(times, scores, openers)]
    assert [{name: row[name] for name in FIELDS} for row in incidents] == plain
    assert seed or plain, "the first draw holds an incident"


def steps(*over: int, n: int = 60) -> tuple[np.ndarray, Scores]:
    values = np.zeros(n)
    values[list(over)] = 4.0
    return np.arange(n) * 5.0, {"first": (values, 1.0)}


def test_an_incident_from_beginning_to_end() -> None:
    (incident,) = incidents_of(*steps(*range(20, 30)), ("first",))
    assert incident == Incident(
        id="accb962bd7b0d7ca",
        domain="toys",
        entity="toy 1",
        kind="",
        start=100.0,
        end=145.0,
        peak=100.0,
        opened=115.0,
        duration_s=50.0,
        status="resolved",
        severity="major",
        items=tuple(f"step {at}" for at in range(20, 30)),
        detectors={"first": {"score": 4.0, "threshold": 1.0, "version": 3, "opened": True}},
    )


def test_the_id_is_that_of_its_beginning() -> None:
    """Of the same entity, kind and start, however it goes on; of nothing else."""
    times, scores = steps(*range(20, 30))
    (incident,) = incidents_of(times, scores, ("first",))
    (longer,) = incidents_of(*steps(*range(20, 40)), ("first",))
    assert longer.end > incident.end and longer.id == incident.id
    others = [
        *incidents_of(*steps(*range(21, 30)), ("first",)),
        *(
            other
            for name in ("domain", "entity", "kind")
            for other in incidents_of(times, scores, ("first",), **{name: "another"})
        ),
    ]
    assert len({incident.id, *(other.id for other in others)}) == 5


def test_steps_of_different_detectors_do_not_add_up() -> None:
    values, later = np.zeros(60), np.zeros(60)
    values[20:23], later[23:26] = 4, 4
    scores = {"first": (values, 1.0), "second": (later, 1.0)}
    assert incidents_of(np.arange(60) * 5.0, scores, ("first", "second")) == []


def test_nothing_flagged_is_no_incident() -> None:
    assert incidents_of(*steps(), ("first",)) == []
    assert find_incidents([], RULE, step_s=5, until=0, openers=("first",), domain="toys", entity="") == []
