"""Feedback: people's words on items and on stretches of time, the vectors that they rule, and whether a model agrees.

Why a word rules its vector with every detector: docs/decisions/12-feedback.md.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from hdfs_pipeline.scoring.dataset import Dataset, Feedback
from hdfs_pipeline.scoring.features import held, taken
from hdfs_pipeline.scoring.labels import AMBIGUOUS, ANOMALY, FALSE_ALARM, NORMAL, STRETCHES, UNLABELLED, WORDS
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.store.store import Connection

KIND: Final = "feedback"
"""Kind of an item whose label comes from a person's word."""
_COMMON: Final = 0.01  # share of a home's items, as in the judgement without labels: more flags would be a flood
_SHOWN: Final = 20


@dataclass(frozen=True)
class Word:
    """A person's word: on the item `key`, or on an entity's time from `begin` to `end` (microseconds since 1970)."""

    verdict: str
    key: Any = None
    entity: str = ""
    begin: int = 0
    end: int = 0


def words_of(con: Connection, domain: str, parse: Callable[[str], Any]) -> list[Word]:
    """People's words on a domain's items, whose ids `parse` reads, and on stretches of time, the oldest first."""
    rows = con.execute(
        """SELECT verdict, item, entity, epoch_us(from_at), epoch_us(to_at) FROM feedback WHERE domain = ?
        ORDER BY given_at, item""",
        [domain],
    ).fetchall()
    return [
        Word(verdict, parse(item)) if item else Word(verdict, None, entity, begin, end)
        for verdict, item, entity, begin, end in rows
    ]


def overlay(data: Dataset, words: Sequence[Word]) -> Dataset:
    """`data` with labels replaced by people's words, which come oldest first; words on other items have no effect.

    If some items have labels, a word acts as a label. If none has, a few words must not become the only labels: real
    and expected items are then left out of what is learned as normal, and false ones stay among the others. A word on
    a stretch of time replaces the labels of all items that began in it, and a word on an item replaces that.
    """
    labelled = bool((data.labels >= 0).any())
    data = _with_stretches(data, [word for word in words if word.key is None], labelled)
    on_items = [word for word in words if word.key is not None]
    # Not with the dtype of `data.keys`: that would cut a longer text off, which would then name another item.
    keys = np.array([word.key for word in on_items])
    labels = np.array([WORDS[word.verdict] for word in on_items], np.int8)
    present = held(keys, data.keys)
    rows, labels = np.searchsorted(data.keys, keys[present]), labels[present]
    if not len(rows):
        return data
    replaced, kinds = data.labels.copy(), data.kinds.copy()
    replaced[rows] = labels if labelled else np.where(labels == NORMAL, UNLABELLED, AMBIGUOUS)
    kinds[replaced != data.labels] = KIND
    feedback = Feedback(taken(data.matrices, rows), labels, objections(data, rows, labels))
    return replace(data, labels=replaced, kinds=kinds, feedback=feedback)


def _with_stretches(data: Dataset, words: Sequence[Word], labelled: bool) -> Dataset:
    """`data` with words on stretches of time in place of the labels of the items that began in them."""
    if not words:
        return data
    labels, kinds = data.labels.copy(), data.kinds.copy()
    for word in words:
        inside = (data.time >= word.begin) & (data.time <= word.end) & (word.entity in ("", data.entity))
        label = STRETCHES[word.verdict]
        labels[inside] = UNLABELLED if label == NORMAL and not labelled else label
        if label == NORMAL and not labelled:
            kinds[inside] = FALSE_ALARM
    kinds[labels != data.labels] = KIND
    return replace(data, labels=labels, kinds=kinds)


def objections(data: Dataset, rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Why the words `labels` (v,) on the items at `rows` (v,) of `data`, oldest first, cannot rule their vectors.

    Items with the same vector are all flagged or none is. So the majority of those with a known label or word decides,
    and the newest word if normal and anomalous are equally many. A few words never flag a vector of which more than one
    item in a hundred has neither label nor word: more must be known to be anomalous than not known at all.
    """
    known = data.labels.copy()
    known[rows] = labels
    group = data.main.distinct.inverse
    counts = {label: np.bincount(group, known == label) for label in (NORMAL, ANOMALY, UNLABELLED)}
    newest = {int(group[row]): label for row, label in zip(rows, labels.tolist(), strict=True) if label != AMBIGUOUS}
    reasons = []
    for vector, label in zip(group[rows].tolist(), labels.tolist(), strict=True):
        normal, anomalous, unknown = (int(counts[kind][vector]) for kind in (NORMAL, ANOMALY, UNLABELLED))
        if label == AMBIGUOUS:
            reasons.append("")
        elif normal == anomalous and newest[vector] != label:
            reasons.append(f"a newer verdict on one of the {data.plural} with {data.alike} says otherwise")
        elif (normal > anomalous) == (label == ANOMALY) and normal != anomalous:
            count, kind = (normal, "normal") if label == ANOMALY else (anomalous, "anomalous")
            number = "one" if count == 1 else f"{count:,} {data.plural}"
            reasons.append(f"{number} with {data.alike} known to be {kind}")
        elif label == ANOMALY and unknown > max(_COMMON * len(data), anomalous):
            words = "one word" if anomalous == 1 else f"{anomalous:,} words"
            reasons.append(f"{unknown:,} of {len(data):,} {data.plural} have {data.alike}, too many to flag on {words}")
        else:
            reasons.append("")
    return np.array(reasons, object)


@dataclass(frozen=True)
class Agreement:
    """What a model says of an item with feedback. `agrees` is None for an expected item; `why` it does not agree."""

    key: Any
    verdict: str
    score: float
    flagged: bool
    agrees: bool | None
    why: str


def agreement(scorer: Scorer, feedback: Feedback) -> list[Agreement]:
    """Compare each word with what a model says. Raises: DataError for a model of other columns."""
    words = {label: word for word, label in WORDS.items()}
    matrix = feedback.matrices[scorer.card.family]
    scores, rulings = scorer.score(matrix), scorer.ruling(matrix.values)
    agreements = []
    for row, (key, label) in enumerate(zip(matrix.keys.tolist(), feedback.labels.tolist(), strict=True)):
        flagged = bool(scores[row] >= scorer.card.threshold)
        agrees = None if label == AMBIGUOUS else flagged == (label == ANOMALY)
        why = "" if agrees is not False else _why(scorer, feedback.objections[row], rulings[row] == label)
        agreements.append(Agreement(key, words[label], float(scores[row]), flagged, agrees, why))
    return agreements


def _why(scorer: Scorer, objection: str, ruled: bool) -> str:
    if scorer.detector.learns_from == "nothing":
        return (
            f"{scorer.card.detector} learns nothing" + "; it heeds words on a whole kind" * scorer.detector.any_columns
        )
    return objection or ("the model says so" if ruled else f"not known to version {scorer.card.version} yet")


def feedback_figures(
    feedback: Feedback | None, scorer: Scorer, before: Scorer | None, show: Callable[[Any], str]
) -> dict[str, Any]:
    """Figures for a model's card: words by kind, and with how many the model and its predecessor agree; {} without any.

    Keys: verdicts, real, false, expected, judged (real and false), agrees, before (its version and agrees, or None),
    disagrees (the first 20: item, verdict, why). `show` gives the text of an item's key.
    """
    if not feedback:
        return {}
    now = agreement(scorer, feedback)
    kinds = Counter(word.verdict for word in now)
    then = None
    if before is not None and before.card.columns == scorer.card.columns and before.card.source == scorer.card.source:
        agreed = sum(word.agrees is True for word in agreement(before, feedback))
        then = {"version": before.card.version, "agrees": agreed}
    return {
        "verdicts": len(now),
        **{verdict: kinds[verdict] for verdict in WORDS},
        "judged": len(now) - kinds["expected"],
        "agrees": sum(word.agrees is True for word in now),
        "before": then,
        "disagrees": [
            {"item": show(word.key), "verdict": word.verdict, "why": word.why} for word in now if word.agrees is False
        ][:_SHOWN],
    }


def feedback_sentence(figures: Mapping[str, Any]) -> str:
    """The figures of `feedback_figures` as a sentence; '' without any."""
    if not figures:
        return ""
    kinds = ", ".join(f"{figures[verdict]:,} {verdict}" for verdict in WORDS)
    sentence = f"{figures['verdicts']:,} verdict{'s' * (figures['verdicts'] != 1)} used ({kinds})"
    sentence += f"; the new model agrees with {figures['agrees']:,} of {figures['judged']:,}"
    sentence += f", the one before with {figures['before']['agrees']:,}" if figures["before"] else ""
    first = next(iter(figures["disagrees"]), None)
    if first is not None:
        more = figures["judged"] - figures["agrees"] - 1
        state = "still flagged" if first["verdict"] == "false" else "not flagged"
        sentence += f"; {first['item']} is {state}: {first['why']}" + (f"; and {more:,} more" if more else "")
    return sentence
