"""Why an item is anomalous: failures first, then what differs from the nearest normal item, by share of the score."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hdfs_pipeline.scoring.normals import nearest_rows

SEVERITIES = ("routine", "notable", "failure")
"""What a column's event means to an operator, the gravest last."""
FAILURE = SEVERITIES[-1]
USUAL = "usual"
"""Kind of an event that is named although normal items have it just as often."""
_NAMED = 3  # differences that the one-line reason names
_LEAST_SHARE = 0.01  # of a step's score: every measurement differs somewhat from what was expected


@dataclass(frozen=True)
class Vocabulary:
    """What columns are called, the noun of the item, and what two items with the same row have in common.

    `codes` are the columns that the numbers 1, 2, … stand for in a matrix of sequences. `severity` is one of
    `SEVERITIES` and `cause` what is likely behind a column's event; '' where nobody knows. `new` gives an anomaly that
    breaks no rule its kind, by the weightiest difference; None where "new here" is all that is to be said. `say` puts a
    difference of measurements into words; None where columns count events. `tell` says of a broken rule, by its id,
    what happened to an item with these values by column; None where the rule's own sentence says all.
    """

    describe: Callable[[str], str]
    noun: str = "item"
    alike: str = "the same values"
    codes: tuple[str, ...] = ()
    severity: Callable[[str], str] = lambda _: ""
    cause: Callable[[str], str] = lambda _: ""
    new: "Callable[[Difference], str] | None" = None
    say: "Callable[[Difference], str] | None" = None
    tell: Callable[[str, Mapping[str, float]], str] | None = None


@dataclass(frozen=True)
class Difference:
    """One column in which an item differs from the nearest normal item. `share` of the score is 0 to 1.

    `count` and `expected` are whole numbers if the matrix holds counts, and any numbers if it holds measurements.
    `severity` and `cause` are what the vocabulary says of an event that the item has more of than the normal one.
    """

    event_id: str
    name: str
    kind: str
    count: float
    expected: float
    share: float
    severity: str = ""
    cause: str = ""

    def __str__(self) -> str:
        if self.kind == USUAL:
            return f"{self.count} × {self.name}"
        if self.kind == "off":
            return f"{self.name} {self.count} instead of {self.expected}"
        if self.kind == "extra":
            return f"{self.count} × {self.name}"
        if self.kind == "missing":
            return f"no {self.name} (normally {self.expected})"
        return f"{self.count} instead of {self.expected} × {self.name}"


@dataclass(frozen=True)
class Broken:
    """A rule of an item's life that it breaks: what happened, what to look at next, the columns of what shows it.

    `records` are how many events those columns count.
    """

    rule: str
    kind: str
    severity: str
    sentence: str
    hint: str
    columns: tuple[str, ...]
    records: int = 0


@dataclass(frozen=True)
class Explanation:
    """The differences of one item, the weightiest first, and the reason in one line.

    Without any difference they are the item's events, all of them `USUAL`. `kind` names the trouble of an anomalous
    item; '' where nobody knows. `broken` are the rules that it breaks, the gravest first. `word` is what people said of
    an item with the same row, as the beginning of the reason says it; '' for nothing.
    """

    reason: str
    differences: tuple[Difference, ...]
    kind: str = ""
    broken: tuple[Broken, ...] = ()
    word: str = ""

    @property
    def differs(self) -> bool:
        """Whether anything is not as in a normal item."""
        return any(difference.kind != USUAL for difference in self.differences)

    @property
    def telling(self) -> tuple[str, ...]:
        """The columns whose events tell why.

        Those behind the rule that gives the kind come first, then failures, then what the reason names and the item has
        too much of.
        """
        if self.broken and self.broken[0].severity == FAILURE and self.broken[0].columns:
            return self.broken[0].columns
        failures = tuple(each.event_id for each in self.differences if each.severity == FAILURE)
        named = self.differences[:_NAMED]
        return failures or tuple(each.event_id for each in named if each.count > each.expected)

    @property
    def marked(self) -> tuple[str, ...]:
        """The columns whose records a person should see: those that tell why, and those behind any broken failure."""
        behind = (column for rule in self.broken if rule.severity == FAILURE for column in rule.columns)
        return tuple(dict.fromkeys((*self.telling, *behind)))

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        # `asdict` copies each value deeply, which took a third of the time of a verdict.
        return {
            "reason": self.reason,
            "differences": tuple(dict(vars(each)) for each in self.differences),
            "kind": self.kind,
            "broken": tuple(dict(vars(each)) for each in self.broken),
            "word": self.word,
            "telling": list(self.telling),
        }


def nearest_normals(values: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """For each row of `values` (n, d) the nearest of `normals` (k, d) by L1 distance: (n, d).

    Among equally near rows the first wins; `normals` come with the most frequent first.
    """
    if not len(normals):
        return np.zeros_like(values)
    return normals[nearest_rows(values, normals)[0]]


def explain_rows(
    values: np.ndarray,
    nearest: np.ndarray,
    shares: np.ndarray,
    columns: Sequence[str],
    vocabulary: Vocabulary,
) -> list[Explanation]:
    """Explanations of rows `values` (n, d) against their `nearest` normal rows, with the columns' `shares` (n, d)."""
    return [_explain(*row, columns, vocabulary) for row in zip(values, nearest, shares, strict=True)]


def _explain(
    row: np.ndarray, normal: np.ndarray, shares: np.ndarray, columns: Sequence[str], vocabulary: Vocabulary
) -> Explanation:
    severities = [vocabulary.severity(column) if row[at] else "" for at, column in enumerate(columns)]
    failed = np.array([severity == FAILURE for severity in severities])
    shown = np.flatnonzero((row != normal) | failed)
    if not (row != normal).any():
        shown = np.flatnonzero(row)
    # An event that is missing, or rarer than usual, has no severity: whatever it means, it did not happen.
    weights = [SEVERITIES.index(severities[at] or SEVERITIES[0]) * (row[at] > normal[at] or failed[at]) for at in shown]
    order = shown[np.lexsort((-row[shown], -np.abs(row - normal)[shown], -shares[shown], -np.array(weights, np.int64)))]
    differences = tuple(
        Difference(
            event_id=columns[at],
            name=vocabulary.describe(columns[at]),
            kind=_kind(row[at], normal[at]),
            count=_plain(row[at]),
            expected=_plain(normal[at]),
            share=float(shares[at]),
            severity=severities[at],
            cause=vocabulary.cause(columns[at]) if row[at] > normal[at] or failed[at] else "",
        )
        for at in order
    )
    return _in_one_line(differences, vocabulary)


def _in_one_line(differences: tuple[Difference, ...], vocabulary: Vocabulary) -> Explanation:
    same = f"{vocabulary.alike} as a normal {vocabulary.noun}"
    if not differences:
        return Explanation(same, differences)
    more = len(differences) - _NAMED
    reason = "; ".join(map(vocabulary.say or str, differences[:_NAMED]))
    reason += f"; and {more} more" if more > 0 else ""
    first = differences[0]
    if first.severity == FAILURE and first.cause:
        reason += f" (likely cause: {first.cause})"
    explanation = Explanation(reason, differences)
    return explanation if explanation.differs else replace(explanation, reason=f"{same}: {reason}")


def explain_steps(
    values: np.ndarray, expected: np.ndarray, shares: np.ndarray, columns: Sequence[str], vocabulary: Vocabulary
) -> list[Explanation]:
    """Explanations of steps `values` (n, d) by the columns with at least a hundredth of the score."""
    return [_explain_step(*row, columns, vocabulary) for row in zip(values, expected, shares, strict=True)]


def _explain_step(
    row: np.ndarray, expected: np.ndarray, shares: np.ndarray, columns: Sequence[str], vocabulary: Vocabulary
) -> Explanation:
    known = np.flatnonzero((shares >= _LEAST_SHARE) & ~np.isnan(row) & ~np.isnan(expected))
    differences = tuple(
        Difference(
            event_id=columns[at],
            name=vocabulary.describe(columns[at]),
            kind="off",
            count=_plain(row[at]),
            expected=_plain(expected[at]),
            share=float(shares[at]),
        )
        for at in known[np.argsort(-shares[known], kind="stable")]
    )
    return _in_one_line(differences, vocabulary)


def _plain(value: float) -> float:
    """A whole number as int, any other to six digits, as people and JSON want it."""
    return int(value) if float(value).is_integer() else float(f"{value:.6g}")


def _kind(count: float, expected: float) -> str:
    if count == expected:
        return USUAL
    if expected == 0:
        return "extra"
    return "missing" if count == 0 else "out of proportion"
