"""Feedback: what people said of blocks, which vectors that rules, and whether a model agrees.

Why a verdict rules its vector, whatever the detector: docs/decisions/12-feedback.md.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from hdfs_pipeline.scoring.dataset import AMBIGUOUS, ANOMALY, NORMAL, UNLABELLED, Dataset
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.scorer import Scorer

VERDICTS: Final = {"real": ANOMALY, "false": NORMAL, "expected": AMBIGUOUS}
"""What a verdict makes of its block: an anomaly, a normal one, or one that nothing is learned from."""
_WORDS: Final = {label: verdict for verdict, label in VERDICTS.items()}
_COMMON: Final = 0.01  # share of a home's blocks, as in the judgement without labels: more would flood the anomalies
_SHOWN: Final = 20


@dataclass(frozen=True)
class Feedback:
    """Verdicts on v blocks.

    `matrices` hold their rows by family; `said` (v,) int8 the labels that the verdicts stand for; `objections` (v,) str
    objects: '' where a verdict rules all blocks with the same events, else why it cannot.
    """

    matrices: dict[str, FeatureMatrix]
    said: np.ndarray
    objections: np.ndarray

    def __len__(self) -> int:
        return len(self.said)

    @property
    def keys(self) -> np.ndarray:
        """The block ids (v,) int64."""
        return self.matrices["events"].keys

    def without(self, keys: np.ndarray) -> "Feedback":
        """All but the verdicts on the blocks `keys`."""
        rows = ~np.isin(self.keys, keys)
        matrices = {family: matrix.take(rows) for family, matrix in self.matrices.items()}
        return Feedback(matrices, self.said[rows], self.objections[rows])

    def ruled(self, family: str) -> tuple[np.ndarray, np.ndarray]:
        """The distinct vectors (m, d) of a family that verdicts rule, and the label (m,) int8 of each.

        Expected blocks are among them as -1: they rule nothing, but what was learned from them has to go.
        """
        values = self.matrices[family].values
        rows = np.flatnonzero(self.objections == "")
        rows = rows[np.argsort(self.said[rows], kind="stable")]  # a verdict goes over `expected`, which is -1
        last = {values[row].tobytes(): row for row in rows}
        chosen = np.sort(np.fromiter(last.values(), np.int64, len(last)))
        return values[chosen], self.said[chosen]


def objections(data: Dataset, rows: np.ndarray, said: np.ndarray) -> np.ndarray:
    """Why the verdicts `said` (v,) on the blocks at `rows` (v,) of `data`, oldest first, cannot rule their vectors.

    Blocks with the same events are all flagged or none is. So the greater number of those that are known, by a label or
    a verdict, decides, and the newest verdict where the two are even. And a vector that more than one block in a
    hundred has without being known is not flagged on one word.
    """
    known = data.labels.copy()
    known[rows] = said
    group = data.matrix("events").distinct.inverse
    counts = {label: np.bincount(group, known == label) for label in (NORMAL, ANOMALY, UNLABELLED)}
    newest = {int(group[row]): label for row, label in zip(rows, said.tolist(), strict=True) if label != AMBIGUOUS}
    found = []
    for at, label in zip(group[rows].tolist(), said.tolist(), strict=True):
        normal, anomalous, unknown = (int(counts[each][at]) for each in (NORMAL, ANOMALY, UNLABELLED))
        if label == AMBIGUOUS:
            found.append("")
        elif normal == anomalous and newest[at] != label:
            found.append("a newer verdict on a block with the same events says otherwise")
        elif (normal > anomalous) == (label == ANOMALY) and normal != anomalous:
            many, what = (normal, "normal") if label == ANOMALY else (anomalous, "anomalous")
            found.append(f"{many:,} block{'s' * (many != 1)} with the same events known to be {what}")
        elif label == ANOMALY and unknown > _COMMON * len(data):
            found.append(f"{unknown:,} of {len(data):,} blocks have the same events, too many to flag on one word")
        else:
            found.append("")
    return np.array(found, object)


@dataclass(frozen=True)
class Agreement:
    """What a model says of a block with a verdict. `agrees` is None for an expected block; `why` it does not, if so."""

    block_id: int
    verdict: str
    score: float
    flagged: bool
    agrees: bool | None
    why: str


def agreement(scorer: Scorer, feedback: Feedback) -> list[Agreement]:
    """Each verdict beside what a model says. Raises: DataError for a model of other columns."""
    matrix = feedback.matrices[scorer.card.family]
    scores, ruled = scorer.score(matrix), scorer.said(matrix.values)
    found = []
    for at, (block_id, label) in enumerate(zip(matrix.keys.tolist(), feedback.said.tolist(), strict=True)):
        flagged = bool(scores[at] >= scorer.card.threshold)
        agrees = None if label == AMBIGUOUS else flagged == (label == ANOMALY)
        why = "" if agrees is not False else _why(scorer, feedback.objections[at], ruled[at] == label)
        found.append(Agreement(block_id, _WORDS[label], float(scores[at]), flagged, agrees, why))
    return found


def _why(scorer: Scorer, objection: str, ruled: bool) -> str:
    if scorer.detector.learns_from == "nothing":
        return f"{scorer.card.detector} learns nothing"
    return objection or ("the model says so" if ruled else f"not known to version {scorer.card.version} yet")


def feedback_figures(feedback: Feedback | None, scorer: Scorer, before: Scorer | None) -> dict[str, Any]:
    """For a model's card: verdicts by kind, with how many it agrees and its predecessor did; {} without verdicts.

    Keys: verdicts, real, false, expected, judged (real and false), agrees, before (its version and agrees, or None),
    disagrees (the first 20: block_id, verdict, why).
    """
    if not feedback:
        return {}
    now = agreement(scorer, feedback)
    kinds = Counter(each.verdict for each in now)
    then = None
    if before is not None and before.card.columns == scorer.card.columns and before.card.source == scorer.card.source:
        agreed = sum(each.agrees is True for each in agreement(before, feedback))
        then = {"version": before.card.version, "agrees": agreed}
    return {
        "verdicts": len(now),
        **{verdict: kinds[verdict] for verdict in VERDICTS},
        "judged": len(now) - kinds["expected"],
        "agrees": sum(each.agrees is True for each in now),
        "before": then,
        "disagrees": [
            {"block_id": f"blk_{each.block_id}", "verdict": each.verdict, "why": each.why}
            for each in now
            if each.agrees is False
        ][:_SHOWN],
    }


def feedback_sentence(figures: Mapping[str, Any]) -> str:
    """The same in words; '' without verdicts."""
    if not figures:
        return ""
    kinds = ", ".join(f"{figures[verdict]:,} {verdict}" for verdict in VERDICTS)
    told = f"{figures['verdicts']:,} verdict{'s' * (figures['verdicts'] != 1)} used ({kinds})"
    told += f"; the new model agrees with {figures['agrees']:,} of {figures['judged']:,}"
    told += f", the one before with {figures['before']['agrees']:,}" if figures["before"] else ""
    first = next(iter(figures["disagrees"]), None)
    if first is not None:
        more = figures["judged"] - figures["agrees"] - 1
        state = "still flagged" if first["verdict"] == "false" else "not flagged"
        told += f"; {first['block_id']} is {state}: {first['why']}" + (f"; and {more:,} more" if more else "")
    return told
