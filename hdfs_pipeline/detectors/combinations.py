"""Combinations: event counts that never come together in normal items, although each of them does.

A vector that was never seen is often only a new mixture of ordinary things (an append, a deletion, a replica copied),
and there are too many mixtures to see them all. Pairs and triples of counts are few enough: what counts is that two
events never come together, or that three counts do not although chance would have brought them together. After Das and
Schneider, "Detecting Anomalous Records in Categorical Datasets" (KDD 2007), who hold how often values occur together
against how often they would if they were independent.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from hdfs_pipeline.errors import NotTrainedError
from hdfs_pipeline.scoring.contracts import Detector, reading, row_shares
from hdfs_pipeline.scoring.features import distinct_rows
from hdfs_pipeline.scoring.normals import nearest_rows, normal_rows

_CHUNK = 256
"""Rows at once: each has some thousand triples."""


class Combinations(Detector):
    """Score u / (1 + u), u the evidence against an item; .5 means one whole piece of it.

    Each of these is one piece: an event that no normal item has; an event that is missing and that every normal item
    has; two events of which no normal item has both, or has the one without the other. The most telling three columns
    whose counts (0, 1, 2, more) no normal item has together are at most one piece: the number of normal items that
    would have them by chance, divided by `EXPECTED`. A vector that was never seen is up to `NOVELTY`, by its distance
    to the nearest normal one: too little to flag an item alone, but it ranks the items below the threshold.
    """

    name = "combinations"
    learns_from = "normals"
    CAP: ClassVar[int] = 3
    """Counts from here on are one value. HDFS makes three replicas; how many more there are is chance."""
    EXPECTED: ClassVar[float] = 3.0
    """Items expected by chance whose absence is a whole piece of evidence: fewer than one in twenty such are absent by
    chance (Poisson)."""
    NOVELTY: ClassVar[float] = 0.5
    COLUMNS: ClassVar[int] = 48
    """Most columns whose triples are counted: 17,000 triples, and 30 MB. Those that vary most come first."""

    normals: np.ndarray | None = None
    """Distinct normal vectors (k, d) float32."""
    items: np.ndarray | None = None
    """Items (k,) float64 behind each of them."""

    def fit(self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Keep the distinct normal vectors and how many items each has. See `Detector.fit`; `labels` may be None."""
        normals, items = normal_rows(values, labels, weights)
        order = np.lexsort(normals.T[::-1])  # one order for the same rows gives the same file
        return self._remember(normals[order], items[order])

    def _remember(self, normals: np.ndarray, items: np.ndarray) -> Self:
        self.normals, self.items = normals, items
        self.__dict__.pop("_known", None)
        return self

    @cached_property
    def _known(self) -> "_Known":
        if self.normals is None or self.items is None:
            raise NotTrainedError(f"{self.name} has not learned yet: `hdfs-pipeline train --detector {self.name}`")
        return _Known.of(self.normals, self.items, self.CAP, self.COLUMNS)

    def score(self, values: np.ndarray) -> np.ndarray:
        """Scores (n,) float64 in [0, 1). Each distinct vector is looked at once."""
        known = self._known
        if not len(values):
            return np.zeros(0)
        distinct = distinct_rows(values)
        evidence = self._evidence(known, values[distinct.first]).sum(axis=1)
        return (evidence / (1 + evidence))[distinct.inverse]

    def _evidence(self, known: "_Known", values: np.ndarray) -> np.ndarray:
        """The evidence that each column takes part in: (n, d) float64; its sum over a row is u."""
        index, distance = nearest_rows(values, known.normals)
        strange = np.flatnonzero(distance > 0)  # a vector that was seen has nothing against it
        rows = values[strange]
        parts = known.never_alone(rows) + known.never_together(rows)
        expected, columns = known.most_telling(rows)
        for place in range(3):
            np.add.at(parts, (np.arange(len(rows)), columns[:, place]), np.minimum(expected / self.EXPECTED, 1) / 3)
        far = distance[strange]
        differs = np.abs(rows - known.normals[index[strange]])
        parts += differs * (self.NOVELTY / (1 + far))[:, None]  # far / (1 + far) in all, far being the sum of `differs`
        evidence = np.zeros(values.shape)
        evidence[strange] = parts
        return evidence

    def explain(self, values: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        """Each column's share of the evidence. See `Detector.explain`."""
        if not len(values):
            return np.zeros(values.shape)
        parts = self._evidence(self._known, values)
        return row_shares(parts)

    def save(self, folder: Path) -> None:
        """Write the normal vectors as `model.safetensors`. Raises: NotTrainedError before `fit`."""
        from safetensors.numpy import save_file

        known = self._known
        arrays = {"normals": known.normals, "blocks": known.items}
        save_file(arrays, folder / "model.safetensors", {"detector": self.name})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `model.safetensors`. Raises: NotTrainedError where it is missing, damaged or another detector's."""
        from safetensors.numpy import load

        path = folder / "model.safetensors"
        with reading(cls.name, path):
            arrays = load(path.read_bytes())
            normals, items = arrays["normals"], arrays["blocks"]
            if normals.ndim != 2 or normals.dtype != np.float32 or not len(normals) or len(normals) != len(items):
                raise ValueError("not a matrix of normal vectors with their counts of items")
        return cls()._remember(normals, items)


@dataclass(frozen=True)
class _Known:
    """What normal items do and do not do.

    `seen` (d,) and `always` (d,) bool: events that some, and that all of them have. `never` (2s, 2s) float32: 1 for two
    of the s seen events' presences (first half) and absences (second) that no item joins. `columns` (a,) those whose
    triples are counted; `absent` (p, p, p) float32, p = a * (cap + 1): how many items would have three counts by
    chance that none has, else 0.
    """

    normals: np.ndarray
    items: np.ndarray
    cap: int
    seen: np.ndarray
    always: np.ndarray
    never: np.ndarray
    columns: np.ndarray
    absent: np.ndarray

    @classmethod
    def of(cls, normals: np.ndarray, items: np.ndarray, cap: int, most: int) -> Self:
        """Count over the distinct vectors `normals` (k, d) and the `items` (k,) of each."""
        seen = np.asarray(normals.any(axis=0))
        states = _states(normals[:, seen])
        together = (states * items[:, None]).T @ states
        alone = together.diagonal() > 0
        never = (together == 0) & alone & alone[:, None]
        counts = np.minimum(normals, cap).astype(np.int64)
        varied = np.flatnonzero(np.ptp(counts, axis=0) > 0)
        spread = np.array([(items @ (counts[:, at] == 0)) * (items @ (counts[:, at] > 0)) for at in varied])
        columns = np.sort(varied[np.argsort(-spread, kind="stable")[:most]])
        absent = _absent_triples(_one_hot(counts[:, columns], cap), items)
        always = np.asarray((normals > 0).all(axis=0))
        return cls(normals, items, cap, seen, always, never.astype(np.float32), columns, absent)

    def never_alone(self, rows: np.ndarray) -> np.ndarray:
        """1 for each event that no normal item has, or that all have and the row has not: (n, d)."""
        return (((rows > 0) & ~self.seen) | ((rows == 0) & self.always)).astype(np.float64)

    def never_together(self, rows: np.ndarray) -> np.ndarray:
        """Half a piece for each of two events that normal items never join so: (n, d)."""
        states = _states(rows[:, self.seen]).astype(np.float32)
        pairs = (states @ self.never) * states / 2
        parts = np.zeros(rows.shape)
        parts[:, self.seen] = pairs[:, : pairs.shape[1] // 2] + pairs[:, pairs.shape[1] // 2 :]
        return parts

    def most_telling(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each row's most expected triple that no normal item has: its expected items (n,) and its columns (n, 3).

        A row of which every triple was seen has 0 items and arbitrary columns.
        """
        triples = self._triples
        strongest, columns = np.zeros(len(rows)), np.zeros((len(rows), 3), np.int64)
        if triples.shape[1]:
            width = self.cap + 1
            tokens = np.minimum(rows[:, self.columns], self.cap).astype(np.int64)
            tokens += np.arange(len(self.columns)) * width
            for part in _parts(len(rows)):
                expected = self.absent[tuple(tokens[part][:, places] for places in triples)]
                best = expected.argmax(axis=1)
                strongest[part] = expected[np.arange(len(best)), best]
                columns[part] = self.columns[triples[:, best].T]
        return strongest, columns

    @cached_property
    def _triples(self) -> np.ndarray:
        """All triples of `columns` by their places: (3, t) int64."""
        triples = list(combinations(range(len(self.columns)), 3))
        return np.array(triples, np.int64).reshape(-1, 3).T


def _parts(rows: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, rows, _CHUNK))


def _states(rows: np.ndarray) -> np.ndarray:
    """Presence of each event, then absence of each: (n, 2 d) float64 of 0 and 1."""
    present = rows > 0
    return np.concatenate([present, ~present], axis=1).astype(np.float64)


def _one_hot(counts: np.ndarray, cap: int) -> np.ndarray:
    """A column per count from 0 to `cap` of each column of `counts` (k, a) int64: (k, a * (cap + 1)) float64."""
    flags = np.zeros((len(counts), counts.shape[1], cap + 1))
    np.put_along_axis(flags, counts[:, :, None], 1.0, axis=2)
    return flags.reshape(len(counts), -1)


def _absent_triples(tokens: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Items expected by chance to have three tokens that no item has together: (p, p, p) float32, else 0.

    If the second and third were independent given the first, n12 * n13 / n1 items would have all three. Each of the
    three is the first in turn; the least number counts.
    """
    pairs = (tokens * items[:, None]).T @ tokens
    single = np.maximum(pairs.diagonal(), 1e-9)
    given = pairs / single[:, None]  # given[i, j]: share of the items with i that have j
    absent = np.zeros((len(pairs), *pairs.shape), np.float32)
    for first in range(len(pairs)):
        rows = tokens[:, first] > 0
        together = (tokens[rows] * items[rows, None]).T @ tokens[rows]
        second = pairs[first]
        expected = np.minimum(second[:, None] * given[first], second[:, None] * given)
        expected = np.minimum(expected, second * given.T)
        absent[first] = np.where(together == 0, expected, 0)
    return absent
