"""Isolation forest on messages: how rare what each says is, for the service that says it.

Categories have no order that a tree could cut, and 3 o'clock is odd only for a service that sleeps then. So what is
learned first are tables: how often each service writes, each template of it, at which hours, how long each template is,
how many words of trouble and how many errors in a minute it usually has. By these every column of a message becomes a
surprise, -log10 of the share of the service's messages that were as odd; the forest is grown on the surprises.
"""

import base64
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np

from hdfs_pipeline.detectors.isolation_forest import IsolationForest
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.contracts import reading, share_by_replacement

COLUMNS: Final = (
    "service", "template", "level", "length", "fatal", "failures", "warnings", "weekday", "hour", "minute",
    "messages", "errors",
)  # fmt: skip
"""What a row says of a message. `service` and `template` are codes (0: of none that is known), `level` rises with its
gravity, `length` is in characters, `fatal`, `failures` and `warnings` count words, `weekday` (0: Monday), `hour` and
`minute` are the clock's, `messages` and `errors` are those of its service in the minute so far."""
_SERVICE, _TEMPLATE, _LEVEL, _LENGTH, _FATAL, _FAILURES, _WARNINGS = range(7)
_WEEKDAY, _HOUR, _MINUTE, _MESSAGES, _ERRORS = range(7, 12)
_TAILS: Final = (_LEVEL, _FATAL, _FAILURES, _WARNINGS, _ERRORS)
"""Columns in which more than usual is odd."""
_WORDS: Final = (_FATAL, _FAILURES, _WARNINGS)
_BINS: Final = 64
_DAYS, _HOURS, _SLOTS, _SLOT_MINUTES = 7, 24, 12, 5
_GRAVE: Final = 5.0  # level from which a message counts among the errors of its minute
_UNIT: Final = 16  # steps of a decimal digit of surprise
_MOST: Final = 6.0  # decimal digits
_LEAST: Final = 2.0  # one message in a hundred is no surprise
_LEAST_WORD: Final = 1.0  # a word of trouble in one message of ten is none
_RARER: Final = 10.0  # times fewer messages than expected at a time make it an odd one
_WIDE: Final = 3.0  # standard deviations of a length that are no surprise
_NARROWEST: Final = 0.1  # of a length's standard deviation, in doublings
_WHOLE_DAY: Final = 0.5  # share of an average day's messages that a day needs to count as seen
_PAIR: Final = np.int64(1 << 24)


class MessageForest(IsolationForest):
    """Score as `IsolationForest`, of the surprises of a row of `COLUMNS`: sixteenths of a digit, 0 for what is usual.

    A few rows beyond all that was seen, one for each column, are learned with the messages: without them a column that
    never varied in training could not be cut, and the first message of an unknown service would not be odd (half-space
    trees widen their range for the same reason; Tan, Ting and Liu, "Fast Anomaly Detection for Streaming Data", 2011).
    """

    name = "message_forest"
    features = "messages"
    LARGEST: ClassVar[int] = 20_000
    BEYOND: ClassVar[float] = 0.001
    """Share of the messages that each of these rows stands for."""

    _tables: dict[str, np.ndarray]

    def fit(self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Learn the tables, then grow the trees on the surprises. See `Detector.fit`; `labels` are not looked at."""
        if not len(values):
            raise DataError("no messages to learn from: read more logs")
        weights = weights.astype(np.float64)
        self._tables = _learn(values.astype(np.float64), weights)
        surprises = self.surprises(values)
        beyond = np.diag(np.full(values.shape[1], _MOST * _UNIT, np.float32))
        beyond[_MESSAGES] = 0
        each = np.full(len(beyond), max(1.0, np.round(self.BEYOND * weights.sum())))
        return super().fit(np.concatenate([surprises, beyond]), None, np.concatenate([weights, each]))

    def surprises(self, values: np.ndarray) -> np.ndarray:
        """How surprising each column of rows (n, d) is: (n, d) float32, whole numbers from 0 on."""
        digits = _digits(values.astype(np.float64), self._tables)
        return np.round(np.clip(digits, 0, _MOST) * _UNIT).astype(np.float32)

    def score(self, values: np.ndarray) -> np.ndarray:
        """Scores (n,) float64 in (0, 1]."""
        _ = self.session  # without a model there are no tables
        return super().score(self.surprises(values))

    def explain(self, values: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        """Shares by replacement with no surprise, of the columns that differ from the nearest row. See `Detector`."""
        surprises = self.surprises(values)
        return share_by_replacement(super().score, surprises, np.where(values != nearest, 0, surprises))

    def nearest(self, values: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """The rows with what is usual for the service in place of each column that is a surprise. See `Detector`."""
        usual = _usual(values.astype(np.float64), self._tables)
        # What one in a hundred has is a surprise that may be as high as the highest usual count.
        usual[:, _TAILS] = np.minimum(usual[:, _TAILS], np.maximum(values[:, _TAILS] - 1, 0))
        return np.where(self.surprises(values) > 0, usual, values).astype(np.float32)

    def known_by(self, values: np.ndarray) -> np.ndarray:
        """The surprises: no two messages have the same hour, number in their minute and all. See `Detector`."""
        return self.surprises(values)

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Surprises as they are: each digit is a tenfold rarity."""
        return values.astype(np.float32)

    def unscaled(self, cuts: np.ndarray) -> np.ndarray:
        """See `IsolationForest.unscaled`."""
        return np.floor(cuts) + 0.5

    def _about(self) -> dict[str, str]:
        from safetensors.numpy import save

        return {"tables": base64.b64encode(save(dict(sorted(self._tables.items())))).decode()}

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `model.onnx`. Raises: NotTrainedError where it is missing, damaged or another detector's."""
        from safetensors.numpy import load

        detector = super().load(folder)
        with reading(cls.name, folder / "model.onnx"):
            about: dict[str, Any] = detector.session.get_modelmeta().custom_metadata_map
            detector._tables = load(base64.b64decode(about["tables"], validate=True))
        return detector


def _learn(values: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """The tables: rows of S + 1 services, of which the last one is all of them together."""
    services, own = np.unique(values[:, _SERVICE].astype(np.int64), return_inverse=True)
    pairs, pair = np.unique(own * _PAIR + values[:, _TEMPLATE].astype(np.int64), return_inverse=True)
    count = len(services)
    lengths = _length(values)
    tables = {
        "services": services,
        "service_rows": np.append(np.bincount(own, weights, count), weights.sum()),
        "pairs": pairs,
        "pair_rows": np.bincount(pair, weights),
        "pair_lengths": _spread(pair, lengths, weights, len(pairs)),
        "service_lengths": np.concatenate(
            [_spread(own, lengths, weights, count), _spread(np.zeros_like(own), lengths, weights, 1)]
        ),
        "days": _counted(own, values[:, _WEEKDAY].astype(np.int64) % _DAYS, weights, count, _DAYS),
        "hours": _counted(own, values[:, _HOUR].astype(np.int64) % _HOURS, weights, count, _HOURS),
        "minutes": _counted(own, _slot(values), weights, count, _SLOTS),
    }
    for column in _TAILS:
        counts = _counted(own, _bin(_told(values, column)), weights, count, _BINS)
        tables[f"tail_{COLUMNS[column]}"] = counts[:, ::-1].cumsum(axis=1)[:, ::-1]
    return {name: np.ascontiguousarray(table) for name, table in tables.items()}


def _counted(own: np.ndarray, place: np.ndarray, weights: np.ndarray, services: int, width: int) -> np.ndarray:
    """Weights by service and place, and below them those of all services: (services + 1, width)."""
    counts = np.bincount(own * width + place, weights, services * width).reshape(services, width)
    return np.concatenate([counts, counts.sum(axis=0, keepdims=True)])


def _spread(group: np.ndarray, lengths: np.ndarray, weights: np.ndarray, groups: int) -> np.ndarray:
    """Mean and standard deviation of lengths by group: (groups, 2)."""
    total = np.maximum(np.bincount(group, weights, groups), 1e-9)
    # Sums of whole numbers do not depend on the order of the rows.
    fine = np.round(lengths * 4096)
    mean = np.bincount(group, weights * fine, groups) / total
    square = np.bincount(group, weights * fine**2, groups) / total
    spread = np.sqrt(np.maximum(square - mean**2, 0))
    return np.column_stack([mean, spread]) / 4096


def _length(values: np.ndarray) -> np.ndarray:
    return np.log2(1 + np.maximum(values[:, _LENGTH], 0))


def _slot(values: np.ndarray) -> np.ndarray:
    return (values[:, _MINUTE].astype(np.int64) // _SLOT_MINUTES) % _SLOTS


def _told(values: np.ndarray, column: int) -> np.ndarray:
    """A column of counts as it counts: of the errors of a minute those before a message that is one itself."""
    told = values[:, column]
    return np.where(values[:, _LEVEL] >= _GRAVE, np.maximum(told - 1, 0), 0) if column == _ERRORS else told


def _bin(counts: np.ndarray) -> np.ndarray:
    """The bin (n,) of each count: up to 16 each its own, then four to a doubling."""
    counts = np.maximum(counts, 0)
    many = 16 + np.floor(4 * np.log2(np.maximum(counts, 16) / 16) + 1e-9)
    return np.minimum(np.where(counts <= 16, np.floor(counts), many), _BINS - 1).astype(np.int64)


def _places(values: np.ndarray, tables: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The row of each message's service (the last one for one that is not known), and of its pair, -1 for none."""
    own, known = _found(values[:, _SERVICE].astype(np.int64), tables["services"])
    own = np.where(known, own, len(tables["services"]))
    pair, paired = _found(own * _PAIR + values[:, _TEMPLATE].astype(np.int64), tables["pairs"])
    return own, np.where(paired & known, pair, -1), known


def _found(keys: np.ndarray, ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    places = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    return places, ordered[places] == keys


def _surprise(count: np.ndarray, rows: np.ndarray, least: float = _LEAST) -> np.ndarray:
    """Decimal digits of surprise at what `count` of `rows` were like, 0 for fewer digits than `least`."""
    digits = -np.log10((count + 0.5) / (rows + 1))
    return np.where(digits >= least, digits, 0.0)


def _digits(values: np.ndarray, tables: dict[str, np.ndarray]) -> np.ndarray:
    """The surprise (n, d) of each column in decimal digits."""
    own, pair, known = _places(values, tables)
    rows = tables["service_rows"][own]
    digits = np.zeros(values.shape)
    total = tables["service_rows"][-1]
    digits[:, _SERVICE] = _surprise(np.where(known, rows, 0), np.full(len(own), total))
    seen = np.where(pair >= 0, tables["pair_rows"][np.maximum(pair, 0)], 0)
    # Of a service that is not known nobody knows what it usually writes.
    digits[:, _TEMPLATE] = np.where(known, _surprise(seen, rows), 0.0)
    digits[:, _LENGTH] = np.where(known, _length_digits(values, own, pair, tables), 0.0)
    digits[:, _WEEKDAY] = _time_digits(values[:, _WEEKDAY].astype(np.int64) % _DAYS, own, tables["days"], _WHOLE_DAY)
    digits[:, _HOUR] = _time_digits(values[:, _HOUR].astype(np.int64) % _HOURS, own, tables["hours"])
    digits[:, _MINUTE] = _time_digits(_slot(values), own, tables["minutes"])
    for column in _TAILS:
        told = _bin(_told(values, column))
        tail = tables[f"tail_{COLUMNS[column]}"][own, told]
        least = _LEAST_WORD if column in _WORDS else _LEAST
        digits[:, column] = np.where(told > 0, _surprise(tail, rows, least), 0.0)
    return digits


def _length_digits(values: np.ndarray, own: np.ndarray, pair: np.ndarray, tables: dict[str, np.ndarray]) -> np.ndarray:
    """Of lengths beyond three standard deviations of their template's, or their service's: a digit for each two."""
    known = (pair >= 0) & (tables["pair_rows"][np.maximum(pair, 0)] >= 10) & (values[:, _TEMPLATE] > 0)
    usual = np.where(known[:, None], tables["pair_lengths"][np.maximum(pair, 0)], tables["service_lengths"][own])
    away = np.abs(_length(values) - usual[:, 0]) / np.maximum(usual[:, 1], _NARROWEST)
    return np.where(away > _WIDE, _LEAST + (away - _WIDE) / 2, 0.0)


def _time_digits(time: np.ndarray, own: np.ndarray, counts: np.ndarray, least: float = 0.0) -> np.ndarray:
    """How much rarer a service's messages are at a time, a column of counts (S + 1, k), than those of all services.

    Nothing is odd at times of which all of them together have less than the share `least` of what they have on average:
    nobody was there to see what is usual then.
    """
    of_all = counts[-1]
    seen = of_all >= least * of_all.sum() / max((of_all > 0).sum(), 1)
    share = np.where(seen, of_all / max(of_all.sum(), 1), 0.0)
    return _rarer(counts[own, time], counts[own].sum(axis=1) * share[time])


def _rarer(count: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Decimal digits of how unlikely so low a count is, where it is tenfold lower than expected; else 0.

    That of a Poisson variable, by the bound of Chernoff: messages come in crowds, so the ratio decides first.
    """
    some = np.maximum(count, 1e-9)
    unlikely = (expected - count + count * np.log(some / np.maximum(expected, 1e-9))) / np.log(10)
    return np.where(_RARER * (count + 1) <= expected + 1, unlikely, 0.0)


def _usual(values: np.ndarray, tables: dict[str, np.ndarray]) -> np.ndarray:
    """What is usual (n, d) for the service of each row."""
    own, pair, _ = _places(values, tables)
    usual = np.zeros(values.shape)
    known = (pair >= 0) & (values[:, _TEMPLATE] > 0)
    lengths = np.where(known, tables["pair_lengths"][np.maximum(pair, 0), 0], tables["service_lengths"][own, 0])
    usual[:, _LENGTH] = np.round(np.exp2(lengths) - 1)
    usual[:, _WEEKDAY] = tables["days"][own].argmax(axis=1)
    usual[:, _HOUR] = tables["hours"][own].argmax(axis=1)
    usual[:, _MINUTE] = tables["minutes"][own].argmax(axis=1) * _SLOT_MINUTES
    usual[:, _MESSAGES] = values[:, _MESSAGES]
    for column in _TAILS:
        # The highest count that one message in a hundred has.
        common = tables[f"tail_{COLUMNS[column]}"] >= tables["service_rows"][:, None] / 100
        highest = np.where(common.any(axis=1), _BINS - 1 - common[:, ::-1].argmax(axis=1), 0)
        usual[:, column] = np.minimum(highest, 16)[own]
    return usual
