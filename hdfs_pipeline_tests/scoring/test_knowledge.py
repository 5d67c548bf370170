"""Rules: their file, their conditions, and what an item breaks for certain where records may be missing."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.features import Partly, Unfinished
from hdfs_pipeline.scoring.knowledge import DISPUTED, Knowledge, Rule, compile_rules, failed, heeded, read_rules, worst

COLUMNS = ("A", "B", "C", "D")
GROUPS = {"early": np.array([1, 1, 0, 0], bool), "bad": np.array([0, 0, 0, 1], bool)}
RULE = """[[rule]]
id = "gone"
kind = "lost"
severity = "failure"
when = ["A >= 1", "C = 0"]
sentence = "it was begun and never ended"
hint = "look at its end"
reason = "What begins should end."
"""


def rule(*when: str, name: str = "r", severity: str = "failure", disputed: bool = False) -> Rule:
    return Rule(name, f"kind of {name}", severity, "it broke", "look", "because", when, disputed=disputed)


def compiled(*rules: Rule) -> Knowledge:
    return compile_rules(rules, COLUMNS, GROUPS, GROUPS["bad"])


def broken(text: str, *rows: list[int]) -> list[bool]:
    values = np.array(rows, np.float32)
    return compiled(rule(text)).broken(values)[:, 0].tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A >= 1", [False, True, True]),
        ("A = 0", [True, False, False]),
        ("A < 2", [True, True, False]),
        ("A <= 1", [True, True, False]),
        ("A > B", [False, True, True]),
        ("2*A - B + 1 >= 4", [False, False, True]),
        ("early = 3", [False, False, True]),
        ("3 <= A + B", [False, False, True]),
        (" A-B>0 ", [False, True, True]),
    ],
)
def test_conditions_compare_sums_of_counts(text: str, expected: list[bool]) -> None:
    assert broken(text, [0, 0, 0, 0], [1, 0, 9, 9], [2, 1, 0, 0]) == expected


@pytest.mark.parametrize("text", ["A", "A >= ", ">= 1", "A >= 1 >= B", "A B >= 1", "A >= x1", "A ! 1", "A >= 1.5", ""])
def test_what_is_no_condition_is_told_with_the_rule(text: str) -> None:
    with pytest.raises(DataError, match="rule r: "):
        compiled(rule(text))


counts = st.lists(st.integers(0, 5), min_size=4, max_size=4)


@given(st.lists(counts, min_size=1, max_size=20))
def test_all_conditions_of_a_rule_must_be_met(rows: list[list[int]]) -> None:
    values = np.array(rows, np.float32)
    knowledge = compiled(rule("A >= 1", "C = 0", name="one"), rule("B > D", name="two"))
    by_hand = [[a >= 1 and c == 0, b > d] for a, b, c, d in rows]
    assert knowledge.broken(values).tolist() == by_hand


@given(counts, st.lists(st.booleans(), min_size=4, max_size=4), counts)
def test_no_missing_record_makes_a_broken_rule_whole(seen: list[int], outside: list[bool], missing: list[int]) -> None:
    """What is broken for certain stays broken, whatever records come to light."""
    values = np.array([seen], np.float32)
    later = values + np.array(missing) * np.array(outside)
    kinds = (Partly("end missing", np.array(outside)),)
    knowledge = compiled(rule("A >= 1", "C = 0", name="one"), rule("B > D", "early <= 4", name="two"))
    sure = knowledge.broken(values, Unfinished(np.ones(1, np.int8), kinds))
    assert not (sure & ~knowledge.broken(later)).any()


def test_an_item_at_rest_is_judged_as_it_is() -> None:
    kinds = (Partly("to come", np.ones(4, bool), cut=False),)
    knowledge = compiled(rule("A >= 1", "C = 0"))
    values = np.array([[1, 0, 0, 0]], np.float32)
    assert knowledge.broken(values, Unfinished(np.ones(1, np.int8), kinds)).all()


def test_the_gravest_rule_comes_first_and_gives_the_kind() -> None:
    knowledge = compiled(
        rule("A >= 1", name="small", severity="notable"), rule("B >= 1", name="bad"), rule("A >= 1", name="worse")
    )
    assert [one.id for one in knowledge.rules] == ["bad", "worse", "small"]
    grades = knowledge.grades(np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]], np.float32))
    assert grades.tolist() == [[0, 2, 1], [2, 2, 1], [0, 0, 0]]
    assert worst(grades).tolist() == [1, 0, -1]
    assert failed(grades).tolist() == [True, True, False]
    only_notable = compiled(rule("A >= 1", severity="notable"))
    assert failed(only_notable.grades(np.ones((1, 4), np.float32))).tolist() == [False]


def test_what_people_dismissed_hides_no_other_trouble() -> None:
    """Of the dismissed kind only what was broken beside it when people spoke is silent; elsewhere only the rule."""
    rules = ("one", "two", "three")
    grades = np.array([[2, 2, 0], [2, 0, 2], [2, 0, 0], [0, 2, 0]], np.float32)
    left = heeded(grades, rules, {"one": ["one", "two"], "gone": ["gone"]})
    assert left.tolist() == [[0, 0, 0], [0, 0, 2], [0, 0, 0], [0, 2, 0]]
    assert heeded(grades, rules, {}).tolist() == grades.tolist()
    assert heeded(grades, rules, {"two": ["two"]})[:, 1].tolist() == [0, 0, 0, 0]


def test_a_rule_of_another_version_of_the_catalogue_is_left_out() -> None:
    """Any other strange name is a slip of the pen."""
    assert compiled(rule("A >= 1", name="here"), rule("E99 >= 1", name="there")).by_id.keys() == {"here"}
    with pytest.raises(DataError, match="rule r: erly is no event"):
        compiled(rule("erly >= 1"))


def test_records_that_show_a_rule_are_failures_or_what_it_counts() -> None:
    knowledge = compiled(
        rule("A + bad >= 1", name="fails"), rule("A >= 1", "C = 0", name="lacks"), rule("C = 0", name="none")
    )
    assert knowledge.columns_of("fails") == ("D",)
    assert knowledge.columns_of("lacks") == ("A",)
    assert knowledge.columns_of("none") == ()


def test_rules_are_left_out_by_id_and_the_disputed_ones_together() -> None:
    rules = (
        rule("A >= 1", name="one"),
        rule("B >= 1", "C = 0", name="two", disputed=True),
        rule("D >= 1", name="three"),
    )
    knowledge = compiled(*rules)
    values = np.array([[1, 1, 0, 0], [0, 0, 0, 1]], np.float32)
    for left_out, kept in ((["two"], [0, 2]), ([DISPUTED], [0, 2]), (["one", DISPUTED], [2]), ([], [0, 1, 2])):
        rest = knowledge.without(left_out)
        assert [one.id for one in rest.rules] == [rules[at].id for at in kept]
        assert (rest.broken(values) == knowledge.broken(values)[:, kept]).all()
        assert rest.telling.shape == (len(kept), 4)
    assert not knowledge.without(["one", "two", "three"]).grades(values).any()


def test_a_file_of_rules_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "x.rules.toml"
    path.write_text(RULE + 'faults = ["a", "b"]\ndisputed = true\n')
    (read,) = read_rules(path)
    assert (read.id, read.kind, read.severity, read.when) == ("gone", "lost", "failure", ("A >= 1", "C = 0"))
    assert (read.faults, read.disputed) == (("a", "b"), True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[rule", "not a file of rules"),
        (RULE.replace('hint = "look at its end"\n', ""), "rule 1: lacks hint"),
        (RULE + RULE, "rule 2: the id gone is taken"),
        (RULE.replace('"failure"', '"routine"'), "severity 'routine' is none of notable, failure"),
        (RULE + "wen = []\n", "not wen"),
        (RULE.replace('["A >= 1", "C = 0"]', "[]"), "lacks when"),
        (RULE.replace('["A >= 1", "C = 0"]', '"A >= 1"'), "when is a list of texts"),
        (RULE.replace('"lost"', "3"), "kind is a text"),
        ("rule = 3", "not a file of rules"),
        ("", "not a file of rules"),
        (RULE.replace("[[rule]]", "[[rules]]"), "not a file of rules"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "x.rules.toml"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read_rules(path)
