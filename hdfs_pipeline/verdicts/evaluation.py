"""How well detectors do on what the home holds: figures at the fixed threshold, curves, and what another one changes.

Everything is counted in the store, by score: `scores`, with what is known of the items. A person's word stands above a
label, as in `monitoring.backtest`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains import option_of
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import NotFoundError
from hdfs_pipeline.scoring.evaluation import Evaluation, Steps, evaluate_steps
from hdfs_pipeline.scoring.labels import LABELS, STRETCHES, WORDS
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Connection, Store
from hdfs_pipeline.verdicts.models import serving_card

POINTS: Final = 200
"""Thresholds at most that a curve tells."""
BINS: Final = 40
"""Bins of a histogram at most."""
_TILES: Final = 1000  # steps of scores at most, on each side of each threshold; areas are right to three digits
_WIDE: Final = 10.0  # times the threshold: scores that reach further are told on a logarithmic scale
_NONE: Final[Mapping[str, float]] = MappingProxyType({})
_NAMES: Final = {value: name for name, value in LABELS.items()}


def _cases(column: str, labels: dict[str, int]) -> str:
    whens = " ".join(f"WHEN '{word}' THEN '{_NAMES[label]}'" for word, label in labels.items())
    return f"CASE {column} {whens} END"


_SCORED: Final = """SELECT detector, version, max(threshold) AS threshold FROM scores
    WHERE domain = $domain AND score IS NOT NULL AND isfinite(score) GROUP BY detector, version
    QUALIFY row_number() OVER (PARTITION BY detector ORDER BY max(scored_at) DESC, version DESC) = 1"""
_ONE: Final = """SELECT item, entity, time, score FROM scores WHERE domain = $domain AND detector = $detector
    AND version = $version AND score IS NOT NULL AND isfinite(score)"""
_STRETCHES: Final = """SELECT s.item, arg_max(f.verdict, f.given_at) AS verdict FROM scored s JOIN feedback f
    ON f.domain = $domain AND f.item = '' AND f.entity IN ('', s.entity) AND s.time BETWEEN f.from_at AND f.to_at
    GROUP BY s.item"""
_TOLD: Final = f"""SELECT s.score, l.label AS given,
    coalesce({_cases("w.verdict", WORDS)}, {_cases("t.verdict", STRETCHES)}, l.label, '') AS label
    FROM scored s LEFT JOIN feedback w ON w.domain = $domain AND w.item = s.item
    LEFT JOIN stretches t ON t.item = s.item LEFT JOIN ({{labelled}}) l ON l.item = s.item"""
# Scores that lie next to each other go into one tile; a tile begins at a score that there is, and ends at a threshold.
_STEPS: Final = f"""WITH scored AS ({_ONE}), stretches AS ({_STRETCHES}), told AS ({_TOLD}),
    steps AS (SELECT score, count(*) AS items, count(*) FILTER (label = 'anomaly') AS anomalies,
        count(*) FILTER (label = 'normal') AS normal, count(*) FILTER (given IN ('anomaly', 'normal')) AS given
        FROM told GROUP BY score),
    tiled AS (SELECT *, (score >= $threshold)::INT + (score >= $asked)::INT AS part FROM steps),
    numbered AS (SELECT *, ntile({_TILES}) OVER (PARTITION BY part ORDER BY score DESC) AS tile FROM tiled)
    SELECT min(score) AS score, max(score) AS most, sum(items)::BIGINT AS items, sum(anomalies)::BIGINT AS anomalies,
        sum(normal)::BIGINT AS normal, sum(given)::BIGINT AS given
    FROM numbered GROUP BY part, tile ORDER BY 1 DESC"""
_NO_LABELS: Final = "SELECT '' AS item, '' AS label WHERE false"
_WORDS: Final = f"""WITH scored AS ({_ONE}) SELECT f.verdict, count(*), count(*) FILTER (s.score >= $threshold)
    FROM feedback f JOIN scored s USING (item) WHERE f.domain = $domain AND f.verdict IN ('real', 'false') GROUP BY 1"""
_BESIDE: Final = f"""WITH scored AS ({_ONE}) SELECT count(*) FILTER (s.score >= $threshold AND o.is_anomaly),
    count(*) FILTER (s.score >= $threshold AND NOT o.is_anomaly),
    count(*) FILTER (s.score < $threshold AND o.is_anomaly)
    FROM scored s JOIN scores o ON o.item = s.item AND o.domain = $domain AND o.detector = $other"""


@dataclass(frozen=True)
class Told:
    """The scores of one version in the store by steps, the highest first: (k,) each.

    A step's items score from `least` to `most`; `anomalies` and `normal` of them are known to be so. `given` counts the
    labels from outside, without which figures would only tell what people happened to look at.
    """

    least: np.ndarray
    most: np.ndarray
    items: np.ndarray
    anomalies: np.ndarray
    normal: np.ndarray
    given: int

    @property
    def is_labelled(self) -> bool:
        """Whether figures can be told: there are labels from outside, of both kinds."""
        return bool(self.given and self.anomalies.sum() and self.normal.sum())

    @property
    def steps(self) -> Steps:
        """The known ones."""
        return Steps(self.least, self.anomalies.astype(np.float64), self.normal.astype(np.float64))


@dataclass(frozen=True)
class Report:
    """A detector on the scores that the store holds: see `to_json`."""

    detector: str
    version: int
    serves: int | None
    threshold: float
    asked: float | None
    told: Told
    evaluation: Evaluation | None
    asked_evaluation: Evaluation | None
    splits: dict[str, Any]
    words: dict[str, dict[str, int]]
    beside: dict[str, Any] | None

    def flagged(self, threshold: float) -> int:
        """Items that score at least the threshold; exact at the fixed and at the asked one."""
        return int(self.told.items[self.told.least >= threshold].sum())

    def to_json(self) -> dict[str, Any]:
        """Plain values: `figures` at the threshold are null where no labels of both kinds are known.

        `version` is the one whose scores the store holds, `serving_version` the one that serves. `splits` are figures
        on items that it had not learned; those here are on all items, among them what it learned from.
        """
        return {
            "detector": self.detector,
            "version": self.version,
            "serving_version": self.serves,
            "threshold": self.threshold,
            "items": int(self.told.items.sum()),
            "flagged": self.flagged(self.threshold),
            "known": {"anomaly": int(self.told.anomalies.sum()), "normal": int(self.told.normal.sum())},
            "figures": figures_of(self.evaluation),
            "splits": {split: figures_of(figures) for split, figures in self.splits.items()},
            "curve": curve_of(self),
            "histogram": histogram_of(self.told, self.threshold),
            "words": self.words,
            "beside": self.beside,
            "asked": None
            if self.asked is None
            else {
                "threshold": self.asked,
                "flagged": self.flagged(self.asked),
                "figures": figures_of(self.asked_evaluation),
            },
        }


def evaluations_of(
    store: Store,
    settings: Settings,
    domain: Domain,
    detector: str = "",
    asked: Mapping[str, float] = _NONE,
) -> list[Report]:
    """Each detector that has scores in the store, in the order of the domain's; or one alone.

    `asked` are thresholds, by detector, that are to be told beside the fixed ones. Raises: NotFoundError where the
    `detector` has no scores.
    """
    if detector:
        domain.row(detector)  # an unknown one is told here
    if not settings.store_path.is_file():
        return []
    with store.read() as con:
        rows = con.execute(_SCORED, {"domain": domain.name}).fetchall()
    scored = {name: (version, threshold) for name, version, threshold in rows}
    names = [name for name in domain.detectors if name in scored and detector in ("", name)]
    if detector and not names:
        raise NotFoundError(
            f"{detector} has scored no {domain.item.plural} of this home: "
            f"`hdfs-pipeline score --detector {detector}{option_of(domain.name)}`"
        )
    return [_report(store, settings, domain, name, *scored[name], asked.get(name)) for name in names]


def _report(
    store: Store, settings: Settings, domain: Domain, name: str, version: int, threshold: float, asked: float | None
) -> Report:
    own = {"domain": domain.name, "detector": name, "version": version, "threshold": threshold}
    with store.read() as con:  # no longer than for one detector: whoever writes waits
        told = _told(con, domain, own | {"asked": threshold if asked is None else asked})
        words = {verdict: {"items": items, "flagged": flagged} for verdict, items, flagged in _all(con, _WORDS, own)}
        beside = None
        if not told.is_labelled and domain.day_one not in ("", name):
            ((both, alone, other),) = _all(con, _BESIDE, own | {"other": domain.day_one})
            beside = {"detector": domain.day_one, "both": both, "this_alone": alone, "other_alone": other}
    card = serving_card(settings, domain, name)
    samples = settings.bootstrap_samples
    at = evaluate_steps(told.steps, threshold, samples=samples, seed=settings.seed) if told.is_labelled else None
    then = evaluate_steps(told.steps, asked) if told.is_labelled and asked is not None else None
    serves = None if card is None else card.version
    splits = card.metrics if card is not None and serves == version else {}
    return Report(name, version, serves, threshold, asked, told, at, then, splits, words, beside)


def _told(con: Connection, domain: Domain, parameters: dict[str, Any]) -> Told:
    query = _STEPS.format(labelled=domain.labelled or _NO_LABELS)
    rows: dict[str, np.ndarray] = con.execute(query, parameters).fetchnumpy()
    given = int(rows["given"].sum())
    return Told(rows["score"], rows["most"], rows["items"], rows["anomalies"], rows["normal"], given)


def _all(con: Connection, query: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = con.execute(query, parameters).fetchall()
    return found


def figures_of(evaluation: "Evaluation | dict[str, Any] | None") -> dict[str, Any] | None:
    """The figures of an evaluation that a page shows, with their 95 % intervals."""
    if evaluation is None:
        return None
    told = evaluation if isinstance(evaluation, dict) else evaluation.to_json()
    names = ("items", "anomalies", "precision", "recall", "f1", "pr_auc", "roc_auc", "false_alarms_per_10k")
    return {name: told[name] for name in names} | {
        "intervals": {name: list(interval) for name, interval in told["intervals"].items()}
    }


def curve_of(report: Report) -> list[dict[str, Any]]:
    """What each of at most `POINTS` thresholds would flag, the highest first: number, and with labels the figures.

    The points of precision over recall and of ROC (`false_share` of the normal items, against `recall`) are these. The
    fixed and the asked threshold are among them.
    """
    told, steps = report.told, report.told.steps
    if not len(told.least):
        return []
    precision, recall, share = steps.curve()
    false = told.normal.cumsum() / max(int(told.anomalies.sum() + told.normal.sum()), 1) * 10_000
    flagged = told.items.cumsum()
    must = [int((told.least >= level).sum()) - 1 for level in (report.threshold, report.asked) if level is not None]
    spread = np.linspace(0, len(told.least) - 1, min(POINTS - len(must), len(told.least))).round().astype(int)
    points = []
    for at in sorted({*spread.tolist(), *(at for at in must if at >= 0)}):
        point: dict[str, Any] = {"threshold": float(told.least[at]), "flagged": int(flagged[at])}
        known: dict[str, Any] = dict.fromkeys(("precision", "recall", "f1", "false_share", "false_alarms_per_10k"))
        if told.is_labelled:
            p, r = float(precision[at + 1]), float(recall[at + 1])
            known = {"precision": p, "recall": r, "f1": 2 * p * r / (p + r) if p + r else 0.0}
            known |= {"false_share": float(share[at + 1]), "false_alarms_per_10k": float(false[at])}
        points.append(point | known)
    return points


def histogram_of(told: Told, threshold: float) -> dict[str, Any]:
    """How many items score what: `edges` (k + 1) with the threshold among them, and k counts of each kind.

    On a `scale` that is logarithmic where some scores lie far beyond the threshold; then the first bin reaches down to
    the least score.
    """
    if not len(told.least):
        return {"scale": "linear", "edges": [], "anomaly": [], "normal": [], "unknown": []}
    low, high = float(told.least[-1]), float(told.most[0])
    wide = threshold > 0 and high > _WIDE * threshold
    if wide:
        edges = 10 ** _edges(*np.log10([max(low, threshold / 1000), threshold, high]).tolist())
        edges[0] = min(edges[0], low)
    else:
        edges = _edges(low, threshold, high)
    edges[np.abs(edges - threshold).argmin()] = threshold  # not what rounding makes of it
    place = np.clip(np.searchsorted(edges, told.least, side="right") - 1, 0, len(edges) - 2)
    anomaly, normal, items = (
        np.bincount(place, weights=part, minlength=len(edges) - 1).astype(int)
        for part in (told.anomalies, told.normal, told.items)
    )
    return {
        "scale": "logarithmic" if wide else "linear",
        "edges": edges.tolist(),
        "anomaly": anomaly.tolist(),
        "normal": normal.tolist(),
        "unknown": (items - anomaly - normal).tolist(),
    }


def _edges(low: float, threshold: float, high: float) -> np.ndarray:
    """Edges of bins of about one width from the least to the highest score, with the threshold between two bins."""
    low, high = min(low, threshold), max(high, threshold)
    width = (high - low) / BINS or 1.0
    below = max(round((threshold - low) / width), 1)
    above = max(BINS - below, 1)
    parts = (
        np.linspace(min(low, threshold - width / 2), threshold, below + 1),
        np.linspace(threshold, max(high, threshold + width / 2), above + 1),
    )
    return np.concatenate([parts[0], parts[1][1:]])
