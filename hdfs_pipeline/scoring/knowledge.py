"""Knowledge: rules of an item's life that are known before anything was learned, judged on counts of events.

A rule is *broken* by an item whose counts meet all of the rule's conditions. A condition compares a sum of counts with
a whole number: ``allocate >= 1``, ``store = 0``, ``E18 > E16``, ``2*E3 - E12 >= 4``. Its names are columns, or groups
of columns that the domain knows, such as the stages of a block's life. Invariants over counts of events find faults
that no message tells of (Lou, Fu, Yang, Xu and Li, "Mining Invariants from Console Logs for System Problem Detection",
USENIX ATC 2010); here they come from people who know the system, not from data.
"""

import logging
import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.explain import FAILURE, SEVERITIES
from hdfs_pipeline.scoring.features import Unfinished
from hdfs_pipeline.scoring.severity import CRITICAL, MAJOR, WARNING, Kind
from hdfs_pipeline.scoring.severity import SEVERITIES as GRAVITY

_log = logging.getLogger(__name__)
RULES: Final = "rules"
"""The family of features whose columns are rules: see `Knowledge.grades`."""
DISPUTED: Final = "disputed"
"""Stands for all disputed rules where rules are left out by their ids."""
_CONDITION: Final = re.compile(r"(?P<left>[^<>=]+)(?P<sign>>=|<=|>|<|=)(?P<right>[^<>=]+)")
_TERM: Final = re.compile(
    r"\s*(?P<sign>[+-]?)\s*(?:(?P<factor>\d+)\s*\*\s*)?(?:(?P<name>[A-Za-z_][\w.]*)|(?P<number>\d+))\s*"
)
_EVENT: Final = re.compile(r"\bE\d+\b")
_TEXTS: Final = ("id", "kind", "sentence", "hint", "reason")
_LISTS: Final = ("when", "faults", "where", "follows")
_FLAGS: Final = ("disputed", "critical")
_FIELDS: Final = {*_TEXTS, *_LISTS, *_FLAGS, "severity", "least"}


@dataclass(frozen=True)
class Rule:
    """A rule: what breaks it, and what a person should know of an item that does.

    `kind` names the trouble, `sentence` says what happened to the item, `hint` what to look at next, and `reason` why
    this is trouble, or where that is written. `severity` is one of `explain.SEVERITIES` but the first. `when` are the
    conditions. `faults` are labels' kinds that the kind fits. `where` are the roles in which records name what is at
    fault, the surest first; the domain knows them. `follows` are ids of rules whose trouble causes this one's. Fewer
    than `least` items that break it at a time are no incident. A rule is `disputed` where it may be a habit of a data
    set, or of a cluster, more than knowledge, and `critical` where data or the whole service may be lost.
    """

    id: str
    kind: str
    severity: str
    sentence: str
    hint: str
    reason: str
    when: tuple[str, ...]
    faults: tuple[str, ...] = ()
    disputed: bool = False
    where: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    least: int = 1
    critical: bool = False


@dataclass(frozen=True)
class Knowledge:
    """Rules over counts in `columns`, the gravest first, compiled to linear conditions.

    Condition j belongs to rule `rule_of[j]` and is met where ``values @ weights[:, j] >= least[j]``; `weights` (d, m)
    and `least` (m,) float32. `telling` (k, d) bool are the columns whose records show that a rule is broken. `passing`
    (d,) bool are those of events that come and go with the use of any item, and say nothing of what became of it.
    """

    columns: tuple[str, ...]
    rules: tuple[Rule, ...]
    weights: np.ndarray
    least: np.ndarray
    rule_of: np.ndarray
    telling: np.ndarray
    passing: np.ndarray

    def broken(self, values: np.ndarray, unfinished: Unfinished | None = None) -> np.ndarray:
        """Which rules each row of counts `values` (n, d) breaks: (n, k) bool.

        Where records of an item may be missing, only what no missing record could change counts as broken.
        """
        met = values @ self.weights >= self.least
        if unfinished is not None:
            for code, kind in enumerate(unfinished.kinds, start=1):
                if kind.cut and (rows := np.flatnonzero(unfinished.code == code)).size:
                    unsure = (self.weights[kind.outside] < 0).any(axis=0)
                    met[np.ix_(rows, np.flatnonzero(unsure))] = False
        unmet: np.ndarray = (~met).astype(np.float32) @ self._conditions  # how many conditions of each rule
        return unmet == 0

    def grades(self, values: np.ndarray, unfinished: Unfinished | None = None) -> np.ndarray:
        """The severity of each rule that each row breaks, as an index into `SEVERITIES`; else 0: (n, k) float32."""
        return self.broken(values, unfinished) * self.severities

    @cached_property
    def _conditions(self) -> np.ndarray:
        """Which conditions are those of each rule: (m, k) float32."""
        return (self.rule_of[:, None] == np.arange(len(self.rules))).astype(np.float32)

    @cached_property
    def severities(self) -> np.ndarray:
        """The severity of each rule (k,) float32, as an index into `SEVERITIES`."""
        return np.array([SEVERITIES.index(rule.severity) for rule in self.rules], np.float32)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The rules' ids, in their order."""
        return tuple(rule.id for rule in self.rules)

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """What the rules say of each kind: its gravest severity, all hints, and what kinds it follows from."""
        known: dict[str, Kind] = {}
        for rule in self.rules:
            severity = CRITICAL if rule.critical else MAJOR if rule.severity == FAILURE else WARNING
            before = known.get(rule.kind, Kind(severity, rule.sentence))
            causes = {self.by_id[name].kind for name in rule.follows if name in self.by_id}
            known[rule.kind] = Kind(
                max(before.severity, severity, key=GRAVITY.index),
                before.sentence,
                tuple(dict.fromkeys((*before.hints, rule.hint))),
                before.follows | causes,
                before.faults | set(rule.faults),
                max(before.least, rule.least),
            )
        return known

    @cached_property
    def by_id(self) -> dict[str, Rule]:
        """The rules by id."""
        return {rule.id: rule for rule in self.rules}

    def columns_of(self, rule_id: str) -> tuple[str, ...]:
        """The columns whose records show that a rule is broken; none where only what is missing shows it."""
        shown = self.telling[self.ids.index(rule_id)]
        return tuple(column for column, shows in zip(self.columns, shown, strict=True) if shows)

    def without(self, ids: Collection[str]) -> "Knowledge":
        """The knowledge without some rules, by their ids; `DISPUTED` stands for all disputed ones."""
        kept = [not (rule.id in ids or (rule.disputed and DISPUTED in ids)) for rule in self.rules]
        if all(kept):
            return self
        places = np.cumsum(kept) - 1
        own = np.array(kept, bool)[self.rule_of]
        return replace(
            self,
            rules=tuple(rule for rule, keep in zip(self.rules, kept, strict=True) if keep),
            weights=self.weights[:, own],
            least=self.least[own],
            rule_of=places[self.rule_of[own]],
            telling=self.telling[kept],
        )


def read_rules(path: Path) -> list[Rule]:
    """The rules of a TOML file with tables ``[[rule]]``. Raises: DataError naming the file and the rule."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{path}: not a file of rules that can be read ({error})") from None
    given = document.get("rule", [])
    if not isinstance(given, list) or not given or document.keys() - {"rule"}:
        raise DataError(f"{path}: not a file of rules: it holds tables [[rule]], at least one, and nothing else")
    rules: list[Rule] = []
    for number, row in enumerate(given, start=1):
        if fault := _fault(row, {rule.id for rule in rules}):
            raise DataError(f"{path}, rule {number}: {fault}")
        lists = {name: tuple(row.get(name, ())) for name in _LISTS}
        rules.append(Rule(**(row | lists)))
    return rules


def _fault(row: Any, taken: Collection[str]) -> str:
    """Why a rule's table cannot be used; '' if it can."""
    return next(_faults(row, taken), "")


def _faults(row: Any, taken: Collection[str]) -> Iterator[str]:
    if not isinstance(row, dict):
        yield "a rule is a table [[rule]]"
        return
    for name in sorted(row.keys() - _FIELDS):
        yield f"a rule has the fields {', '.join(sorted(_FIELDS))}, not {name}"
    if missing := [name for name in (*_TEXTS, "severity", "when") if not row.get(name)]:
        yield f"lacks {', '.join(missing)}"
    for name in (*_TEXTS, "severity"):
        if not isinstance(row.get(name), str):
            yield f"{name} is a text, not {row.get(name)!r}"
    for name in _LISTS:
        if not isinstance(texts := row.get(name, []), list) or not all(isinstance(text, str) for text in texts):
            yield f"{name} is a list of texts"
    for name in _FLAGS:
        if not isinstance(row.get(name, False), bool):
            yield f"{name} is true or false"
    if type(row.get("least", 1)) is not int or row.get("least", 1) < 1:
        yield "least is a whole number from 1 up"
    if row.get("id") in taken:
        yield f"the id {row['id']} is taken"
    if row.get("severity") not in SEVERITIES[1:]:
        yield f"severity {row.get('severity')!r} is none of {', '.join(SEVERITIES[1:])}"


def compile_rules(
    rules: Iterable[Rule],
    columns: tuple[str, ...],
    groups: Mapping[str, np.ndarray],
    failures: np.ndarray,
    passing: np.ndarray | None = None,
) -> Knowledge:
    """Rules over `columns` (d,), whose conditions may name columns and `groups` of them (name → (d,) bool).

    Rules come out with the gravest first, otherwise in their order. `failures` (d,) bool are the columns of failures:
    where a rule counts some of them, their records show it before all others. `passing` (d,) bool: see
    `Knowledge`; by default none. A rule that names an event, such as E91, which is no column is left out: it is of
    another version of the catalogue. Raises: DataError for a condition that cannot be read, or names anything else.
    """
    rules = [rule for rule in rules if not _of_another_version(rule, columns)]
    ordered = sorted(rules, key=lambda rule: -SEVERITIES.index(rule.severity))
    weights: list[np.ndarray] = []
    least: list[float] = []
    rule_of: list[int] = []
    telling = np.zeros((len(ordered), len(columns)), bool)
    for index, rule in enumerate(ordered):
        for text in rule.when:
            for row, bound in _conditions(rule, text, columns, groups):
                weights.append(row)
                least.append(bound)
                rule_of.append(index)
                telling[index] |= (row > 0) & (bound > 0)
        if (telling[index] & failures).any():
            telling[index] &= failures
    matrix = np.array(weights, np.float32).reshape(-1, len(columns)).T
    return Knowledge(
        columns, tuple(ordered), np.ascontiguousarray(matrix), np.array(least, np.float32),
        np.array(rule_of, np.int64), telling,
        np.zeros(len(columns), bool) if passing is None else passing,
    )  # fmt: skip


def _of_another_version(rule: Rule, columns: tuple[str, ...]) -> bool:
    events = {event for text in rule.when for event in _EVENT.findall(text)} - set(columns)
    if events:
        _log.warning("rule %s is left out: this version of the catalogue has no %s", rule.id, ", ".join(sorted(events)))
    return bool(events)


def _conditions(
    rule: Rule, text: str, columns: tuple[str, ...], groups: Mapping[str, np.ndarray]
) -> Iterable[tuple[np.ndarray, float]]:
    """A condition as rows of weights (d,) and least sums; ``=`` makes two of them."""
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise DataError(f"rule {rule.id}: {text!r} compares no sums of counts, as `allocate >= 1` does")
    left, right = (_sum(rule, match[side], columns, groups) for side in ("left", "right"))
    row, constant = left[0] - right[0], right[1] - left[1]
    if match["sign"] in (">=", ">", "="):
        yield row, constant + (match["sign"] == ">")
    if match["sign"] in ("<=", "<", "="):
        yield -row, -constant + (match["sign"] == "<")


def _sum(rule: Rule, text: str, columns: tuple[str, ...], groups: Mapping[str, np.ndarray]) -> tuple[np.ndarray, float]:
    """Weights (d,) and the constant of a sum such as ``2*E3 - store + 1``."""
    weights, constant, end = np.zeros(len(columns)), 0.0, 0
    for term in _TERM.finditer(text):
        if term.start() != end or (end and not term["sign"]):
            break
        factor = float(term["factor"] or 1) * (-1 if term["sign"] == "-" else 1)
        end = term.end()
        if term["number"]:
            constant += factor * float(term["number"])
        elif term["name"] in groups:
            weights += factor * groups[term["name"]]
        elif term["name"] in columns:
            weights[columns.index(term["name"])] += factor
        else:
            raise DataError(f"rule {rule.id}: {term['name']} is no event and no group of events")
    if end != len(text) or not text.strip():
        raise DataError(f"rule {rule.id}: {text.strip()!r} is no sum of counts, as `E3 - 2*E12 + 1` is")
    return weights, constant


def heeded(grades: np.ndarray, rules: Sequence[str], dismissed: Mapping[str, Collection[str]]) -> np.ndarray:
    """Grades (n, k) of `rules`, by their ids, without those that people `dismissed`.

    By a dismissed rule stand the rules that items of its kind broke beside it when people spoke of them. Of an item
    that has this kind none of these is left, and of any other item just the rule itself is gone.
    """
    first, left = worst(grades), grades.copy()
    for rule, beside in dismissed.items():
        if rule in rules:
            index = rules.index(rule)
            left[:, index] = 0
            left[np.ix_(first == index, np.isin(np.array(rules, object), list(beside)))] = 0
    return left


def worst(grades: np.ndarray) -> np.ndarray:
    """The first of the gravest rules that each row of `grades` (n, k) breaks: (n,) int64, -1 where none is broken."""
    if not grades.shape[1]:
        return np.full(len(grades), -1)
    first: np.ndarray = np.where(grades.any(axis=1), grades.argmax(axis=1), -1)
    return first


def failed(grades: np.ndarray) -> np.ndarray:
    """Which rows of `grades` (n, k) break a rule whose severity is a failure: (n,) bool."""
    return np.asarray((grades >= SEVERITIES.index(FAILURE)).any(axis=1))
