"""Groups: items of one kind together, the most worth knowing first, so that one look and one word are on all of them.

Anomalies repeat: many items fail in the same way. What a person says of one of them holds for most of its kind, which
is why labelling groups costs far less than labelling items. Beside anomalies there are items that are worth asking
about: those that break a notable rule, and rare ones.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.explain import SEVERITIES
from hdfs_pipeline.scoring.features import Unfinished, distinct_rows
from hdfs_pipeline.scoring.knowledge import Knowledge, Rule
from hdfs_pipeline.scoring.reasons import NEW_HERE

_RARE: Final = 0.01  # share of the items below which a set of events is rare
_ANSWERED: Final = 0.5  # share of a group's items with a word above which the group is answered


@dataclass(frozen=True)
class Group:
    """Items of one kind: `rows` (m,) int64 are their indices, in the order of time; `flagged` counts the anomalies.

    `spoken` counts those that people gave a word on. `rule` is the rule that most of them break, None where they break
    none; `severity` is that of the kind's gravest rule, '' where there is none.
    """

    kind: str
    rows: np.ndarray
    flagged: int
    spoken: int
    severity: str = ""
    rule: Rule | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def answered(self) -> bool:
        """Whether people gave their word on most of its items."""
        return self.spoken > _ANSWERED * len(self)

    @property
    def in_doubt(self) -> bool:
        """Whether its items may well be something else than they seem.

        Some of them are flagged and others are not, or no rule says what they are, or a disputed one does.
        """
        return 0 < self.flagged < len(self) or self.rule is None or self.rule.disputed

    @property
    def worth(self) -> tuple[int, int, int, int]:
        """What comes first, by the least: anomalies, then the gravest, then what nobody has answered, then what is big.

        An item counts double where its group is in doubt: a word there teaches more.
        """
        grade = SEVERITIES.index(self.severity) if self.severity else 0
        return not self.flagged, -grade, self.answered, -len(self) * (1 + self.in_doubt)


def group_items(
    kinds: np.ndarray,
    first: np.ndarray,
    flagged: np.ndarray,
    spoken: np.ndarray,
    time: np.ndarray,
    knowledge: Knowledge | None,
) -> list[Group]:
    """The groups of n items, the most worth knowing first: each item with a kind is in exactly one.

    `kinds` (n,) str objects, '' for an item that belongs to no group; `first` (n,) int64 the rule that gives the kind,
    as an index into `knowledge.rules`, or -1; `flagged` and `spoken` (n,) bool; `time` (n,) int64.
    """
    rules = knowledge.rules if knowledge is not None else ()
    members = np.flatnonzero(kinds != "")
    places: dict[str, int] = {}  # not numpy's `unique`: it gives every row the width of the longest kind
    codes = np.array([places.setdefault(kind, len(places)) for kind in kinds[members].tolist()], np.int64)
    names = list(places)
    order = np.lexsort((time[members], codes))
    ends = np.cumsum(np.bincount(codes, minlength=len(names)))[:-1]
    groups = []
    for kind, rows in zip(names, np.split(members[order], ends), strict=bool(names)):
        of_kind = [rule for rule in rules if rule.kind == kind]
        broken = first[rows][first[rows] >= 0]
        groups.append(
            Group(
                kind=kind,
                rows=rows,
                flagged=int(flagged[rows].sum()),
                spoken=int(spoken[rows].sum()),
                severity=max((rule.severity for rule in of_kind), key=SEVERITIES.index, default=""),
                rule=rules[int(np.bincount(broken).argmax())] if len(broken) else next(iter(of_kind), None),
            )
        )
    return sorted(groups, key=lambda group: (group.worth, group.kind))


def rare_kinds(
    data: Dataset, unbroken: np.ndarray, knowledge: Knowledge, describe: Callable[[str], str]
) -> tuple[np.ndarray, np.ndarray]:
    """Kinds (n,) str objects of the rare items among the `unbroken` (n,) bool, '' for all others; and their column.

    An item is rare if less than one in a hundred has its set of events, those left out that come and go with the use of
    any item, and if it is no unfinished life of a common set. It is named after what it has and what it lacks against
    the nearest common set: the rarest event of the one, the most frequent of the other. The first of these is the
    column (n,) int64, an index into `knowledge.columns`; -1 where there is none. Nothing is rare among items of which
    none is common, or that were cut off by the beginning or the end of the records.
    """
    unfinished = data.main.unfinished
    counted = unbroken if unfinished is None else unbroken & ~unfinished.cut
    lasting = np.flatnonzero(~knowledge.passing)
    cases = data.main.cases
    once, items = data.main.take(cases.first), np.bincount(cases.inverse, counted, minlength=len(cases.first))
    present = once.values[:, lasting] > 0
    to_come = _to_come(once.unfinished, len(once), len(knowledge.columns))[:, lasting]
    sets = distinct_rows(np.column_stack([present, to_come]).astype(np.float32))
    support = np.bincount(sets.inverse, items, minlength=len(sets.first))
    order = np.argsort(-support, kind="stable")
    often = support[order] >= max(_RARE * items.sum(), 1)
    common, rare = order[often], order[~often & (support[order] > 0)]
    if not (len(common) and len(rare)):
        return np.full(len(data), "", object), np.full(len(data), -1)
    names, shown = np.full(len(sets.first), "", object), np.full(len(sets.first), -1)
    more, less = _apart(present[sets.first[rare]], to_come[sets.first[rare]], present[sets.first[common]])
    frequency = items @ present
    for place, new, gone in zip(rare, more, less, strict=True):
        events = [np.flatnonzero(new)[frequency[new].argmin()]] if new.any() else []
        lacks = [np.flatnonzero(gone)[frequency[gone].argmax()]] if gone.any() else []
        if events or lacks:
            said = [describe(knowledge.columns[lasting[at]]) for at in events]
            said += [f"no {describe(knowledge.columns[lasting[at]])}" for at in lacks]
            names[place], shown[place] = f"{NEW_HERE}: {', '.join(said)}", lasting[(events + lacks)[0]]
    own = sets.inverse[cases.inverse]
    return np.where(counted, names[own], ""), np.where(counted, shown[own], -1)


def _apart(own: np.ndarray, to_come: np.ndarray, ordinary: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each of the sets `own` (r, d) has more, and less, than the nearest of `ordinary` (c, d): each (r, d) bool.

    An event that may yet come (`to_come`, (r, d)) is not missing. Among equally near ones the first is taken.
    """
    absent = ~own & ~to_come
    distance = own.astype(np.float32) @ ~ordinary.T + absent.astype(np.float32) @ ordinary.T
    nearest = ordinary[distance.argmin(axis=1)]
    return own & ~nearest, absent & nearest


def _to_come(unfinished: Unfinished | None, count: int, width: int) -> np.ndarray:
    """Events (n, d) bool that may yet happen to an item, for its life goes on where the records end."""
    if unfinished is None:
        return np.zeros((count, width), bool)
    return np.array([np.zeros(width, bool), *(kind.outside for kind in unfinished.kinds)])[unfinished.code]
