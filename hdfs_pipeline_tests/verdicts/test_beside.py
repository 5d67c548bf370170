"""The nearest normal item: it is normal, none is nearer, and the steps that differ are marked in both lives."""

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.champions import load_scorer
from hdfs_pipeline.verdicts.beside import Steps, nearest_normal, surplus
from hdfs_pipeline.verdicts.explain import explain_item
from hdfs_pipeline.verdicts.feedback import give_feedback
from hdfs_pipeline_tests.homes import BLOCKS, Excerpt, Home, copy_home, fill, open_home


@pytest.fixture(scope="module")
def fresh(excerpt: Excerpt, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with logs, judged by what is known of a block's life."""
    home = open_home(tmp_path_factory.mktemp("beside") / "home")
    fill(home, [excerpt.log])
    return home


def flagged(home: Home, detector: str) -> list[str]:
    data = BLOCKS.features(home.store, home.settings)
    scorer = load_scorer(home.settings, BLOCKS, detector)
    rows = scorer.score(data.matrix(scorer.card.family)) >= scorer.card.threshold
    return [BLOCKS.item.show(key) for key in data.keys[rows].tolist()]


def beside(home: Home, item: str, detector: str) -> Any:
    return explain_item(home.store, home.settings, BLOCKS, item, detector, beside=True)


@pytest.mark.parametrize("detector", ["lifecycle", "random_forest", "exact_match", "keywords"])
def test_it_is_normal_and_its_counts_are_those_that_are_told(fresh: Home, trained: Home, detector: str) -> None:
    home = fresh if detector == "lifecycle" else trained
    found = flagged(home, detector)[:6]
    assert found
    for item in found:
        report = beside(home, item, detector)
        normal = beside(home, report.beside.item, detector)
        assert not normal.is_anomaly and not normal.findings and normal.beside is None
        own, other = (Counter(line["event_id"] for line in each) for each in (report.lines, report.beside.lines))
        assert {step.event: step.count for step in report.beside.extra} == dict(own - other)
        if not report.unfinished:
            assert {step.event: step.count for step in report.beside.missing} == dict(other - own)
        assert report.beside.records == len(report.beside.lines) == other.total()


def test_none_is_nearer(fresh: Home) -> None:
    item = flagged(fresh, "lifecycle")[0]
    lives = BLOCKS.lives_near(fresh.store, fresh.settings, BLOCKS.item.parse(item), 10_000)
    assert lives is not None and BLOCKS.item.show(lives.keys[0].item()) == item
    knowledge = BLOCKS.knowledge(fresh.settings, lives.source)
    assert knowledge is not None
    whole = ~knowledge.grades(lives.values, lives.unfinished).any(axis=1)
    apart = np.abs(lives.values - lives.values[0]).sum(axis=1)
    chosen = BLOCKS.item.parse(beside(fresh, item, "lifecycle").beside.item)
    assert apart[lives.keys == chosen][0] == apart[whole].min()


def test_what_people_call_real_is_no_normal_item(fresh: Home, tmp_path: Path) -> None:
    home = copy_home(fresh, tmp_path / "home")
    item = flagged(home, "lifecycle")[0]
    first = beside(home, item, "lifecycle").beside.item
    give_feedback(home.store, home.settings, BLOCKS, first, "real")
    assert beside(home, item, "lifecycle").beside.item not in ("", first)


def test_only_whole_items_of_the_day_around_are_looked_at_the_nearest_in_time_first(
    fresh: Home, tmp_path: Path
) -> None:
    home = copy_home(fresh, tmp_path / "home")
    (key, began), *others = home.rows("SELECT block_id, first_time FROM event_matrix ORDER BY first_time, block_id")
    with home.store.write() as con:
        con.execute("UPDATE event_matrix SET first_time = ?, unfinished = 'end missing'", [began])
        for number, (other, _) in enumerate(others[:4]):
            con.execute(
                "UPDATE event_matrix SET first_time = ?, unfinished = ? WHERE block_id = ?",
                [began + timedelta(hours=[30, 20, 10, 23][number]), ["", "", "deletion to come", ""][number], other],
            )
    lives = BLOCKS.lives_near(home.store, home.settings, key, 2)
    assert lives is not None and lives.keys.tolist() == [key, others[2][0], others[1][0]]


def test_items_without_a_life_have_nothing_beside_them(home: Home) -> None:
    namenode = domain_named("namenode")
    given: Any = None
    assert nearest_normal(home.store, home.settings, namenode, given, "x", given, 9) is None


@given(st.lists(st.sampled_from("abc"), max_size=20), st.dictionaries(st.sampled_from("abc"), st.integers(0, 5)))
def test_of_each_step_the_last_ones_are_marked(events: list[str], more: dict[str, int]) -> None:
    marked = surplus([{"event_id": event} for event in events], [Steps(name, name, n) for name, n in more.items()])
    assert len(marked) == len(events)
    for name in "abc":
        own = [mark for event, mark in zip(events, marked, strict=True) if event == name]
        count = min(more.get(name, 0), len(own))
        assert own == [False] * (len(own) - count) + [True] * count
