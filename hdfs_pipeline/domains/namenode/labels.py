"""Labels of a NameNode's time, from people's words and incidents. Nothing is learned from either."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from hdfs_pipeline.domains.namenode.frames import HOLD_S, Span
from hdfs_pipeline.domains.namenode.item import WINDOW, namenode_and_time
from hdfs_pipeline.scoring.feedback import Word, words_of
from hdfs_pipeline.scoring.labels import AMBIGUOUS, FALSE_ALARM, UNLABELLED
from hdfs_pipeline.store.store import Store

DOMAIN: Final = "namenode"
_INCIDENTS: Final = """SELECT epoch(started_at), epoch(ended_at) FROM incidents
    WHERE domain = ? AND entity = ? AND status <> 'suppressed' ORDER BY started_at"""

Stretch = tuple[Span, str]
"""A span of time, and why it is left out of what is learned: the word on it, or `incident`."""


def words(store: Store) -> list[Word]:
    """People's words on NameNodes' time and windows, the oldest first."""
    with store.read() as con:
        return words_of(con, DOMAIN, WINDOW.parse)


def left_out(store: Store, namenode: str, since: float, until: float, *, with_incidents: bool = False) -> list[Stretch]:
    """The stretches of a NameNode's time that nothing is learned from, in order.

    With `with_incidents` incidents may be learned from, and only stretches that people marked are left out.
    """
    stretches = [(_span(word), word.verdict) for word in words(store) if _entity(word) in ("", namenode)]
    if not with_incidents:
        with store.read() as con:
            rows = con.execute(_INCIDENTS, [DOMAIN, namenode]).fetchall()
        # The time after an incident is not usual either: values are held, and the queue drains.
        stretches += [((float(begin), float(end) + HOLD_S), "incident") for begin, end in rows]
    return sorted(stretch for stretch in stretches if stretch[0][1] >= since and stretch[0][0] <= until)


def _entity(word: Word) -> str:
    return word.entity if word.key is None else namenode_and_time(word.key)[0]


def _span(word: Word) -> Span:
    if word.key is None:
        return word.begin / 1e6, word.end / 1e6
    at = namenode_and_time(word.key)[1]
    return at, at + 1e-3


def labels_and_kinds(times: np.ndarray, stretches: Sequence[Stretch]) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,) int8 and kinds (n,) str objects of steps at `times` (n,), Unix seconds."""
    labels, kinds = np.full(len(times), UNLABELLED, np.int8), np.full(len(times), "", object)
    for (start, end), why in sorted(stretches, key=lambda stretch: stretch[1] == FALSE_ALARM):
        inside = within(times, [(start, end)])
        labels[inside], kinds[inside] = AMBIGUOUS, why
    return labels, kinds


def within(times: np.ndarray, spans: Sequence[Span]) -> np.ndarray:
    """Which of `times` (n,) lie in a span: (n,) bool."""
    inside = np.zeros(len(times), bool)
    for start, end in spans:
        inside |= (times >= start) & (times <= end)
    return inside
