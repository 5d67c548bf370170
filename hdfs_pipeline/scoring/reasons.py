"""Reasons: why items are anomalous, led by the rules of an item's life that they break, and each anomaly's kind."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from hdfs_pipeline.scoring.explain import FAILURE, Broken, Explanation, Vocabulary
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.knowledge import RULES, Knowledge
from hdfs_pipeline.scoring.scorer import Scorer

NEW_HERE: Final = "new here"
"""Kind of an anomaly that breaks no rule, followed by what is new."""
_WHOLE: Final = "no rule of its life is broken"
_NAMED: Final = 2  # sentences of broken rules that a reason holds


def reasons(
    scorer: Scorer,
    matrices: Mapping[str, FeatureMatrix],
    vocabulary: Vocabulary,
    knowledge: Knowledge | None,
    rows: np.ndarray,
    flagged: np.ndarray,
) -> list[Explanation]:
    """Explanations of the items at `rows` (k,) of `matrices`, by family, the main one first.

    Those `flagged` (k,) bool are anomalous and get a kind: that of the first of the gravest rules that they break, or
    else "new here" and what is new. Without `knowledge` nobody knows the kind.
    """
    matrix = matrices[scorer.card.family]
    if knowledge is None:
        return scorer.explain(matrix, vocabulary, rows)
    if matrix.columns and scorer.card.family == RULES:
        known = knowledge.by_id
        vocabulary = replace(
            vocabulary,
            describe=lambda rule: known[rule].kind,
            severity=lambda rule: known[rule].severity,
            cause=lambda rule: known[rule].hint,
        )
    explanations = scorer.explain(matrix, vocabulary, rows)
    main = next(iter(matrices.values())).take(rows)
    grades = knowledge.grades(main.values, main.unfinished)
    by_rules = scorer.card.family == RULES
    return [
        _led(*item, knowledge, vocabulary, by_rules=by_rules)
        for item in zip(explanations, main.values, grades, flagged.tolist(), strict=True)
    ]


def _led(
    explanation: Explanation,
    counts: np.ndarray,
    grades: np.ndarray,
    flagged: bool,
    knowledge: Knowledge,
    vocabulary: Vocabulary,
    *,
    by_rules: bool,
) -> Explanation:
    """An explanation with the rules that an item with these counts (d,) and grades (k,) breaks, and its kind."""
    measured = dict(zip(knowledge.columns, counts.tolist(), strict=True)) if grades.any() else {}
    there = {column: int(count) for column, count in zip(knowledge.columns, counts, strict=True) if count}
    broken = tuple(
        Broken(
            rule=rule.id,
            kind=rule.kind,
            severity=rule.severity,
            sentence=rule.sentence if vocabulary.tell is None else vocabulary.tell(rule.id, measured),
            hint=rule.hint,
            columns=(shown := tuple(column for column in knowledge.columns_of(rule.id) if column in there)),
            records=sum(there[column] for column in shown),
        )
        for rule in (knowledge.rules[index] for index in np.argsort(-grades, kind="stable") if grades[index])
    )
    kind = "" if not flagged else broken[0].kind if broken else _new_here(explanation, vocabulary)
    return replace(
        explanation, reason=_reason(explanation, broken, knowledge, by_rules=by_rules), kind=kind, broken=broken
    )


def _new_here(explanation: Explanation, vocabulary: Vocabulary) -> str:
    first = next(iter(explanation.differences), None)
    if first is None or not explanation.differs:
        return NEW_HERE
    if vocabulary.new is not None:
        return vocabulary.new(first)
    return f"{NEW_HERE}: {'no ' if first.kind == 'missing' else ''}{first.name}"


def _reason(explanation: Explanation, broken: Sequence[Broken], knowledge: Knowledge, *, by_rules: bool) -> str:
    """People's word, the sentences of what is broken, and the detector's own reason if that says something else.

    A detector that goes `by_rules` has nothing to say where none is broken.
    """
    failures = [rule for rule in broken if rule.severity == FAILURE]
    sentences = list(dict.fromkeys(rule.sentence for rule in failures or broken))[:_NAMED]
    columns = {difference.event_id for difference in explanation.differences}
    own = explanation.reason.removeprefix(explanation.word)
    if by_rules and not broken:
        return explanation.word + _WHOLE
    if sentences and (not explanation.differs or columns <= knowledge.by_id.keys()):
        return explanation.word + "; ".join(sentences)
    return explanation.word + "; ".join([*sentences, own])
