"""Groups: each item with a kind is in one of them, and what is most worth knowing comes first."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.features import FeatureMatrix, Partly, Unfinished
from hdfs_pipeline.scoring.groups import Group, group_items, rare_kinds
from hdfs_pipeline.scoring.knowledge import Knowledge, Rule, compile_rules
from hdfs_pipeline.scoring.labels import UNLABELLED

COLUMNS = ("begin", "end", "odd", "read")


def rule(name: str, severity: str, when: str, *, kind: str = "", disputed: bool = False) -> Rule:
    return Rule(name, kind or f"kind of {name}", severity, "sentence", "hint", "reason", (when,), (), disputed)


def knowledge(*rules: Rule) -> Knowledge:
    passing = np.array([column == "read" for column in COLUMNS])
    return compile_rules(rules, COLUMNS, {}, np.zeros(len(COLUMNS), bool), passing)


def items(rows: Sequence[Sequence[int]], unfinished: Unfinished | None = None) -> Dataset:
    values, keys = np.array(rows, np.float32).reshape(-1, len(COLUMNS)), np.arange(len(rows))
    matrix = FeatureMatrix(values, keys, COLUMNS, unfinished=unfinished)
    labels, kinds = np.full(len(rows), UNLABELLED, np.int8), np.full(len(rows), "", object)
    return Dataset("any", {"events": matrix}, keys.astype(np.int64), labels, kinds)


def rare(data: Dataset, unbroken: np.ndarray | None = None) -> dict[int, str]:
    """The kinds of the rare items, by index."""
    whole = np.ones(len(data), bool) if unbroken is None else unbroken
    kinds, columns = rare_kinds(data, whole, knowledge(), str)
    assert ((columns >= 0) == (kinds != "")).all()
    return {row: kinds[row] for row in np.flatnonzero(kinds != "").tolist()}


def of(kinds: Sequence[str], flagged: Sequence[bool], spoken: Sequence[bool], *rules: Rule) -> list[Group]:
    count = len(kinds)
    first = np.full(count, -1)
    for row, kind in enumerate(kinds):
        first[row] = next((at for at, each in enumerate(rules) if each.kind == kind), -1)
    known = knowledge(*rules)
    return group_items(
        np.array(kinds, object), first, np.array(flagged, bool), np.array(spoken, bool), np.arange(count), known
    )


@given(st.lists(st.tuples(st.sampled_from(["", "a", "b", "new here: c"]), st.booleans(), st.booleans()), max_size=60))
def test_each_item_with_a_kind_is_in_exactly_one_group(rows: list[tuple[str, bool, bool]]) -> None:
    time = np.random.default_rng(len(rows)).permutation(len(rows))
    kinds = np.array([kind for kind, _, _ in rows], object)
    flagged, spoken = (np.array([row[at] for row in rows], bool) for at in (1, 2))
    groups = group_items(kinds, np.full(len(rows), -1), flagged, spoken, time, None)
    found = sorted(row for group in groups for row in group.rows.tolist())
    assert found == np.flatnonzero(kinds != "").tolist()
    for group in groups:
        assert set(kinds[group.rows]) == {group.kind}
        assert (np.diff(time[group.rows]) > 0).all(), "in the order of time"
        assert (group.flagged, group.spoken) == (flagged[group.rows].sum(), spoken[group.rows].sum())
    assert [group.worth for group in groups] == sorted(group.worth for group in groups)


def test_failures_come_first_then_what_nobody_answered_then_what_is_big() -> None:
    bad, mild = rule("bad", "failure", "odd >= 1", kind="bad"), rule("mild", "notable", "odd >= 1", kind="mild")
    worse = rule("worse", "failure", "odd >= 2", kind="worse")
    groups = of(
        ["mild"] * 9 + ["bad"] + ["worse"] * 2 + ["new"], [False] * 9 + [True] * 4, [False] * 13, bad, mild, worse
    )
    assert [group.kind for group in groups] == ["worse", "bad", "new", "mild"]
    answered = of(["bad"] + ["worse"] * 2, [True] * 3, [False, True, True], bad, worse)
    assert [(group.kind, group.answered) for group in answered] == [("bad", False), ("worse", True)]


def test_a_group_in_doubt_counts_double() -> None:
    sure = rule("sure", "failure", "odd >= 1", kind="sure")
    disputed = rule("disputed", "failure", "odd >= 2", kind="disputed", disputed=True)
    groups = of(["sure"] * 3 + ["disputed"] * 2, [True] * 5, [False] * 5, sure, disputed)
    assert [(group.kind, group.in_doubt) for group in groups] == [("disputed", True), ("sure", False)]
    mixed = of(["sure"] * 3, [True, False, True], [False] * 3, sure)
    assert mixed[0].in_doubt, "some are flagged and others are not"


def test_the_rule_that_most_items_break_speaks_for_a_kind_of_several_rules() -> None:
    one, other = rule("one", "failure", "odd >= 1", kind="k"), rule("other", "notable", "odd >= 2", kind="k")
    first = np.array([1, 0, 1])
    (group,) = group_items(
        np.array(["k"] * 3, object), first, np.ones(3, bool), np.zeros(3, bool), np.arange(3), knowledge(one, other)
    )
    assert group.rule is not None
    assert (group.rule.id, group.severity) == ("other", "failure"), "of the gravest severity among the kind's rules"


def test_a_rare_set_of_events_is_named_after_what_is_new() -> None:
    usual = [[1, 1, 0, 0]] * 300
    assert rare(items([*usual, [1, 1, 5, 0], [1, 0, 0, 0]])) == {300: "new here: odd", 301: "new here: no end"}
    assert rare(items([*usual, [1, 0, 1, 0]])) == {300: "new here: odd, no end"}, "what it has before what it lacks"
    assert rare(items([*usual, [1, 1, 0, 7], [3, 2, 0, 1]])) == {}, "reads come and go, and counts may differ"
    assert rare(items([*usual, *[[1, 1, 1, 0]] * 5])) == {}, "common"


def test_what_breaks_a_rule_or_was_cut_off_is_not_rare() -> None:
    rows = [*[[1, 1, 0, 0]] * 300, [1, 1, 1, 0], [1, 0, 0, 0]]
    unbroken = np.array([row[2] == 0 for row in rows])
    assert rare(items(rows), unbroken) == {301: "new here: no end"}
    code = np.array([0] * 301 + [1], np.int8)
    ends_outside = np.array([False, True, False, False])
    for cut in (True, False):
        unfinished = Unfinished(code, (Partly("end to come", ends_outside, cut=cut),))
        assert rare(items(rows, unfinished), unbroken) == {}, "its end may come yet"
    unfinished = Unfinished(code, (Partly("end to come", ~ends_outside, cut=False),))
    assert rare(items(rows, unfinished), unbroken) == {301: "new here: no end"}


def test_nothing_is_rare_where_nothing_is_common() -> None:
    assert rare(items([])) == {}
    assert rare(items([[1, 1, 0, 0]] * 3 + [[1, 1, 1, 0]])) == {}, "one of four is a quarter"


def test_the_nearest_common_set_is_the_most_frequent_of_equally_near_ones() -> None:
    few, many = [[1, 0, 0, 0]] * 100, [[0, 1, 0, 0]] * 200
    assert rare(items([*few, *many, [0, 0, 1, 0]])) == {300: "new here: odd, no end"}
