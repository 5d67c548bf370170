"""Incidents are computed from what was flagged alone, and are the same as from all scores."""

from collections import Counter
from dataclasses import replace
from random import Random
from time import process_time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.scoring.incidents import Flagged, Grouping, Incident, Scope, find_incidents, merged, with_lone_ones
from hdfs_pipeline.scoring.runs import Persistence, find_runs, step_seconds
from hdfs_pipeline.scoring.severity import CRITICAL, MAJOR, WARNING, Kind

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
    names = {"domain": "toys", "entity": "toy 1", "kind": "", **named}
    grouping = Grouping(RULE, openers, steps=True)
    scope = Scope(**names, grouping=grouping, until=float(times[-1]), step_s=step_seconds(times))
    return find_incidents(flagged(times, scores), scope)


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
                "status": "open" if times[-1] - times[run.last] <= RULE.gap_s else "resolved",
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
    assert find_incidents([], Scope("toys", "", "", Grouping(RULE, ("first",)), until=0.0, step_s=5.0)) == []


KINDS = {
    "disk full": Kind(MAJOR, "a disk was full", ("free space",)),
    "data lost": Kind(CRITICAL, "data was lost", ("see fsck",)),
    "write failed": Kind(MAJOR, "a write failed", ("read the log", "free space"), frozenset({"disk full"})),
    "copy failed": Kind(WARNING, "a copy failed", ("see the target",), frozenset({"disk full", "write failed"})),
}


def event(kind: str, entity: str, start: float, seconds: float = 5.0, items: int = 3) -> Incident:
    names = tuple(f"{kind} {entity} {start + at}" for at in range(items))
    flagged = Flagged("rules", start + np.arange(items) * seconds / items, np.ones(items), 1.0, 0, names)
    scope = Scope("toys", entity, kind, Grouping(Persistence(0.0, 30.0)), until=start + 1e4)
    (incident,) = find_incidents([flagged], scope)
    return incident


def test_a_cause_takes_its_symptoms_on_the_same_entity() -> None:
    """Also those that nobody knows the entity of, where it is the only cause of that time."""
    parts = [
        event("write failed", "a", 100.0),
        event("disk full", "a", 103.0),
        event("copy failed", "", 110.0, items=2),
        event("write failed", "b", 100.0, items=7),
        event("data lost", "a", 101.0),
    ]
    joined = {(incident.kind, incident.entity): incident for incident in merged(parts, KINDS, 30.0)}
    assert set(joined) == {("disk full", "a"), ("write failed", "b"), ("data lost", "a")}
    whole = joined["disk full", "a"]
    assert (whole.start, whole.severity, len(whole.items)) == (100.0, "major", 8)
    assert whole.kinds == {"disk full": 3, "write failed": 3, "copy failed": 2}, "the leading kind first"
    assert whole.next_steps == ("free space", "read the log", "see the target")
    assert joined["data lost", "a"].severity == "critical"


def test_a_symptom_that_two_causes_explain_stays_by_itself() -> None:
    parts = [event("disk full", "a", 100.0), event("disk full", "b", 100.0), event("copy failed", "", 102.0)]
    assert len(merged(parts, KINDS, 30.0)) == 3


def test_ones_and_twos_are_one_incident_and_a_burst_is_its_own() -> None:
    times = np.array([0.0, 600.0, 610.0, 1500.0, 3000.0, 3001.0, 3002.0, 3003.0, 3600.0])
    flagged = Flagged("rules", times, np.ones(len(times)), 1.0, 0, [f"item {at:.0f}" for at in times])
    bursts = find_incidents([flagged], Scope("toys", "a", "slow", Grouping(Persistence(0.0, 30.0)), until=1e5))
    found = with_lone_ones([*bursts, event("slow", "b", 700.0, items=1)], {}, 1000.0)
    assert [(incident.start, incident.end, len(incident.items)) for incident in found] == [
        (0.0, 1500.0, 4),
        (700.0, 700.0, 1),
        (3000.0, 3003.0, 4),
        (3600.0, 3600.0, 1),
    ]


EVENTS = st.tuples(st.sampled_from(sorted(KINDS)), st.sampled_from(["", "a", "b"]), st.integers(0, 50))


@given(st.lists(EVENTS, max_size=12), st.randoms(use_true_random=False))
def test_merging_loses_nothing_and_minds_no_order(drawn: list[tuple[str, str, int]], random: Random) -> None:
    parts = [event(kind, entity, 20.0 * at, items=1 + at % 3) for kind, entity, at in dict.fromkeys(drawn)]
    shuffled = [*parts]
    random.shuffle(shuffled)
    joined = merged(parts, KINDS, 30.0)
    assert merged(shuffled, KINDS, 30.0) == joined
    assert Counter(item for part in parts for item in part.items) == Counter(
        item for incident in joined for item in incident.items
    )
    assert len({incident.id for incident in joined}) == len(joined)


@pytest.mark.parametrize(
    ("scores", "threshold", "peak", "severity"),
    [
        ([0.6, 0.9, 0.7], 0.5, 1.0, WARNING),
        ([0.5, 9.0, 1.0], 0.5, 1.0, CRITICAL),
        ([1e10, 1e300, 5.0], 5e-324, 1.0, CRITICAL),  # more than a number can say times the threshold
        ([0.0, 1.0, 0.5], 0.0, 1.0, WARNING),
        ([-0.4, -0.1, -0.3], -0.5, 1.0, WARNING),
        ([np.nan, 0.9, 0.7], 0.5, 1.0, WARNING),
        ([np.nan, np.nan, np.nan], 0.5, 0.0, WARNING),
        ([1.0, np.inf, 2.0], 0.5, 1.0, WARNING),
        ([np.inf, np.inf, np.inf], np.inf, 0.0, WARNING),
        ([1.0, 2.0, 1.0], np.nan, 1.0, WARNING),
    ],
)
@pytest.mark.filterwarnings("error")
def test_the_peak_of_scores_and_thresholds_that_are_odd_numbers(
    scores: list[float], threshold: float, peak: float, severity: str
) -> None:
    part = Flagged("one", np.arange(3.0), np.array(scores), threshold, 1, ["a", "b", "c"])
    (incident,) = find_incidents([part], Scope("toys", "toy 1", "", Grouping(Persistence(0.0, 30.0)), 3.0))
    assert (incident.peak, incident.severity) == (peak, severity)


def test_a_year_of_causes_and_symptoms_is_joined_as_each_hour_would_be() -> None:
    kinds = {"cause": Kind(), "symptom": Kind(follows=frozenset({"cause"}))}
    scope = Scope("toys", "toy 1", "", Grouping(Persistence(0.0, 30.0)), 1e9)
    times = {"cause": np.arange(3000) * 3000.0, "symptom": np.arange(3000) * 3000.0 + 20}
    found = [
        incident
        for kind, own in times.items()
        for incident in find_incidents(
            [Flagged("one", own, np.ones(3000), 0.5, 1, [f"{kind} {at}" for at in own])], replace(scope, kind=kind)
        )
    ]
    begun = process_time()
    joined = merged(found, kinds, 30.0)
    assert process_time() - begun < 3  # 20 s where each is held against each
    assert [dict(incident.kinds) for incident in joined] == [{"cause": 1, "symptom": 1}] * 3000
