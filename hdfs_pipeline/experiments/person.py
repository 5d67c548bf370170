"""A simulated person: their labels answer for them when they are asked what the most worthwhile groups are.

Nothing else of the labels is learned, so that a comparison shows what a few words on groups are worth.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.feedback import Word, overlay
from hdfs_pipeline.scoring.labels import UNLABELLED, WORDS
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.verdicts.groups import known_groups

_UNSURE: Final = "expected"


@dataclass(frozen=True)
class Answer:
    """The word on a group of so many items, and for how many of them it is `right` by their labels."""

    kind: str
    verdict: str
    items: int
    right: int


def questioned(data: Dataset, domain: Domain, settings: Settings, count: int) -> tuple[Dataset, dict[str, Any]]:
    """`data` without its labels, but with words on the `count` most worthwhile of its groups; and what was said.

    Groups are formed with nothing trained. The word on one is what most of its items are by their labels: real,
    false, or expected for ambiguous ones, and where two are equally many or no item has a label. The facts are
    `answers`, in the order of the questions, and the number of `items` that they are on. Raises: DataError for a domain
    that knows nothing beforehand.
    """
    labels, kinds = np.full(len(data), UNLABELLED, np.int8), np.full(len(data), "", object)
    plain = replace(data, labels=labels, kinds=kinds, feedback=None)
    answers, words = [], []
    for group in known_groups(plain, settings, domain)[:count] if count else []:
        verdict, right = _word(data.labels[group.rows])
        answers.append(Answer(group.kind, verdict, len(group), right))
        words += [Word(verdict, key) for key in data.keys[group.rows].tolist()]
    return overlay(plain, words), {"answers": [asdict(answer) for answer in answers], "items": len(words)}


def _word(labels: np.ndarray) -> tuple[str, int]:
    """The word on items with these labels (m,), and for how many of them it is right."""
    counts = {verdict: int((labels == label).sum()) for verdict, label in WORDS.items()}
    most = [verdict for verdict, number in counts.items() if number == max(counts.values())]
    verdict = most[0] if len(most) == 1 else _UNSURE
    return verdict, counts[verdict]
