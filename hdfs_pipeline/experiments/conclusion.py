"""The conclusion of a comparison: sentences, made from its figures by rules.

Two detectors are compared on the same items. The interval is that of the difference of their F1, from resampled items
(paired bootstrap; Efron and Tibshirani, 1993), since two intervals that overlap say little.
"""

from typing import Final

import numpy as np

from hdfs_pipeline.experiments.figures import Comparison, Judged
from hdfs_pipeline.settings import Settings

BARS: Final = {"exact_match": "the bar without labels", "keywords": "what a search of the logs finds"}
"""The detectors that every other one is compared with, and what they stand for."""
_SAMPLES = 1000
_REPEATED = 0.5  # share of judged items that repeat a vector of training, above which a warning says so
_FEW = 50  # anomalies to judge on, below which a single one weighs much
_OVERLOOKED, _OF_KIND = 0.5, 5
_MISPLACED = 0.1


def lead(first: Judged, second: Judged, settings: Settings) -> tuple[float, float, float]:
    """The difference of F1, `first` less `second`, and both ends of its 95 % interval."""
    anomaly = first.tested.labels == 1
    flags = [tested.scores >= tested.evaluation.threshold for tested in (first.tested, second.tested)]
    cells = np.bincount(anomaly * 4 + flags[0] * 2 + flags[1] * 1, minlength=8)
    samples = min(_SAMPLES, max(settings.bootstrap_samples, 1))
    drawn = np.random.default_rng(settings.seed).multinomial(int(cells.sum()), cells / cells.sum(), samples)
    low, high = np.percentile(_difference(drawn), (2.5, 97.5))
    return float(_difference(cells[None])[0]), float(low), float(high)


def _difference(cells: np.ndarray) -> np.ndarray:
    """F1 of the first detector less F1 of the second (k,), from numbers of items (k, 8) by anomaly and both flags."""
    anomalies = cells[:, 4:].sum(1)
    flagged = [cells[:, [2, 3, 6, 7]].sum(1), cells[:, [1, 3, 5, 7]].sum(1)]
    hits = [cells[:, [6, 7]].sum(1), cells[:, [5, 7]].sum(1)]
    one, other = (2 * hit / np.maximum(flag + anomalies, 1) for hit, flag in zip(hits, flagged, strict=True))
    return one - other


def conclude(comparison: Comparison, settings: Settings) -> tuple[list[str], list[str]]:
    """Sentences about who is best and by how much, and sentences about what weakens that."""
    return _sentences(comparison, settings), _warnings(comparison)


def _sentences(comparison: Comparison, settings: Settings) -> list[str]:
    ranked, plural = comparison.ranked, comparison.plural
    best = ranked[0]
    figures = best.evaluation
    sentences = [
        f"Best by F1 is {best.detector}: {_figure(figures.f1)}{_interval(figures.intervals.get('f1'))}. It finds "
        f"{figures.confusion['true_positives']:,} of {figures.anomalies:,} anomalies, with "
        f"{_count(figures.confusion['false_positives'], 'false alarm')} among "
        f"{figures.items - figures.anomalies:,} normal {plural}."
    ]
    sentences += _said(comparison)
    if len(ranked) > 1 and ranked[1].detector not in BARS:
        sentences.append(f"The next is {ranked[1].detector}: {_lead(best, ranked[1], plural, settings)}.")
    bars = [entry for bar in BARS for entry in ranked[1:] if entry.detector == bar]
    sentences += [
        f"Against {bar.detector}, {BARS[bar.detector]}: {_lead(best, bar, plural, settings)}." for bar in bars
    ]
    sentences += _free_of_labels(ranked, settings)
    told = str(comparison.reach)
    sentences.append(f"{told[0].upper()}{told[1:]}.")
    if best.kinds:
        sentences.append(f"Of what {best.detector} finds, {best.kinds}.")
    return [*sentences, f"{best.detector} costs {_cost(best, plural)}{_cheaper(best, ranked, plural, settings)}."]


def _said(comparison: Comparison) -> list[str]:
    """What the simulated person said; nothing in a split without one."""
    if "groups" not in comparison.data:
        return []
    said, plural = comparison.data["groups"], comparison.plural
    answers = said["answers"]
    if not answers:
        return [f"No label and no word was learned: all {comparison.data['learned']['items']:,} {plural} had neither."]
    by_word: dict[str, list[str]] = {}
    for answer in answers:
        by_word.setdefault(answer["verdict"], []).append(f"{answer['kind']} ({answer['items']:,})")
    told = "; ".join(f"{verdict}: {', '.join(kinds)}" for verdict, kinds in by_word.items())
    right = sum(answer["right"] for answer in answers)
    return [
        f"No label was learned, but words on {_count(len(answers), 'group')}, which are words on {said['items']:,} of "
        f"{comparison.data['learned']['items']:,} {plural}, right for {right:,} of them. {told}."
    ]


def _lead(first: Judged, second: Judged, plural: str, settings: Settings) -> str:
    """Both F1, and whether they differ by more than chance."""
    by, low, high = lead(first, second, settings)
    both = f"F1 {_figure(first.evaluation.f1)} against {_figure(second.evaluation.f1)}"
    if not by:
        return f"{both}, no difference" + ("" if low < 0 < high else f" at all on these {plural}")
    beyond = "more than chance" if low > 0 or high < 0 else "within chance"
    return f"{both}, {beyond} (95 % interval of the difference {low:+.3f} to {high:+.3f})"


def _free_of_labels(ranked: list[Judged], settings: Settings) -> list[str]:
    """Which detectors that need no labelled anomaly are above the bar, by more than chance or not."""
    bar = next((entry for entry in ranked if entry.detector == next(iter(BARS))), None)
    others = [entry for entry in ranked if entry.learns_from != "labels" and entry.detector not in BARS]
    if bar is None or not others:
        return []
    leads = {entry.detector: lead(entry, bar, settings) for entry in others}
    surely = [name for name, (_, low, _) in leads.items() if low > 0]
    maybe = [name for name, (by, _, _) in leads.items() if by > 0 and name not in surely]
    sentence = f"Of the detectors that need no labelled anomaly, {_listed(surely) or 'none'} "
    sentence += f"{'is' if len(surely) < 2 else 'are'} better than {bar.detector} by more than chance"
    sentence += f"; {_listed(maybe)} {'lies' if len(maybe) < 2 else 'lie'} above it within chance" if maybe else ""
    rest = [name for name in leads if name not in surely + maybe]
    end = f"; {_listed(rest)} {'does' if len(rest) < 2 else 'do'} not reach beyond it." if rest else "."
    return [sentence + end]


def _cheaper(best: Judged, ranked: list[Judged], plural: str, settings: Settings) -> str:
    """The fastest detector that is not worse by more than chance, where it saves half of the training or more."""
    equal = [entry for entry in ranked[1:] if lead(best, entry, settings)[1] <= 0]
    if not equal:
        return ""
    least = min(equal, key=lambda entry: entry.cost.train_s)
    if least.cost.train_s > best.cost.train_s / 2:
        return ""
    return f"; {least.detector}, not worse by more than chance, costs {_cost(least, plural)}"


def _cost(entry: Judged, plural: str) -> str:
    seconds, speed = entry.cost.train_s, entry.cost.rows_per_s
    return f"{seconds:.2g} s of training and scores {float(f'{speed:.2g}'):,.0f} {plural} a second"


def _warnings(comparison: Comparison) -> list[str]:
    judged, plural, warnings = comparison.data["judged"], comparison.plural, []
    repeated = f"{_share(judged['repeated'])} of the judged {plural} repeat a count vector of training"
    if comparison.split == "random" and judged["repeated"] > _REPEATED:
        warnings.append(
            f"{repeated}: a random split measures memory. Read it beside `--split chronological` and `--split unseen`."
        )
    elif comparison.split == "unseen":
        warnings.append(
            "No vector to judge on occurs in training, which is harder than life, where most "
            f"{plural} repeat old ones. {plural.capitalize()} of one vector share their score: "
            f"{judged['items']:,} {plural} are {judged['vectors']:,} vectors, "
            "so the intervals are too narrow, and another seed gives other figures."
        )
    elif judged["repeated"] > _REPEATED:
        warnings.append(f"{repeated}; the column “unseen” leaves them out.")
    if judged["anomalies"] < _FEW:
        share = 1 / judged["anomalies"]
        warnings.append(
            f"Only {judged['anomalies']} anomalies to judge on: one of them is {_share(share)} of the recall."
        )
    warnings += _overlooked(comparison) + _misplaced(comparison)
    return [*warnings, *(f"{entry.detector} was not judged: {entry.reason}" for entry in comparison.left_out)]


def _overlooked(comparison: Comparison) -> list[str]:
    """A warning for each kind of anomaly of which no detector finds half."""
    kinds = [entry.evaluation.recall_by_kind for entry in comparison.ranked]
    warnings = []
    for kind, facts in kinds[0].items():
        most = max(by_kind[kind]["flagged"] for by_kind in kinds)
        if len(kinds[0]) > 1 and most < _OVERLOOKED and facts["items"] >= _OF_KIND and kind not in comparison.without:
            finds = f"more than {_share(most)} of the" if most else "any of the"
            warnings.append(
                f"No detector finds {finds} {facts['items']:,} {comparison.plural} of kind {kind}: see what is left "
                f"with `--without {kind}`."
            )
    return warnings


def _misplaced(comparison: Comparison) -> list[str]:
    """A warning of detectors whose order of the items is much better than their threshold."""
    from hdfs_pipeline.learning.curves import curve

    away = {}
    for entry in comparison.ranked:
        precision, recall, _ = curve(entry.tested.scores, entry.tested.labels)
        most = float((2 * precision * recall / np.maximum(precision + recall, 1e-12)).max())
        if most - entry.tested.evaluation.f1 >= _MISPLACED:
            away[entry.detector] = f"{entry.detector} {_figure(most)} instead of {_figure(entry.tested.evaluation.f1)}"
    if not away:
        return []
    return [
        "Order better than threshold: with the threshold that is best in hindsight F1 would be "
        f"{_listed(list(away.values()))}. Nothing in training says where it lies."
    ]


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _figure(value: float) -> str:
    return f"{value:.3f}"


def _interval(interval: tuple[float, float] | None) -> str:
    return f" (95 % interval {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
