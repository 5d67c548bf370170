"""The choice between detectors, where the setting `champion` is `best`: which of them serves.

Decided by retrainings only, on labelled blocks that no candidate has learned: docs/decisions/08-retraining.md.
"""

from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from hdfs_pipeline.detectors import DETECTORS
from hdfs_pipeline.domains.blocks.features import load_dataset
from hdfs_pipeline.errors import PipelineError
from hdfs_pipeline.learning.judgement import METRICS, figure, policy_sentence, too_few
from hdfs_pipeline.learning.training import judge
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.models import BEST, champion_version, keep_choice, marked_blocks, trained_detectors
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.score import load_scorer, serving_detector


@dataclass(frozen=True)
class Choice:
    """Which detector serves, and why.

    `before` served until now; `figures` are by detector its version and the policy's figure, on `blocks` blocks with
    `anomalies`. Where `decided` is False nothing could be told apart, and all stays as it was.
    """

    detector: str
    before: str
    decided: bool
    verdict: str
    decided_at: str
    metric: str
    margin: float
    blocks: int = 0
    anomalies: int = 0
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def choose_detector(store: Store, settings: Settings) -> Choice | None:
    """Hold the serving versions of all detectors against the same blocks and let the best one serve, if it leads.

    It must lead the one that serves by more than `champion_margin`. None where the settings name a detector.
    Raises: DataError where nothing was ingested yet.
    """
    if settings.champion != BEST:
        return None
    now = serving_detector(settings)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    about: tuple[str, str, float] = (at, settings.champion_metric, settings.champion_margin)
    scorers = _candidates(settings)
    test = _unlearned(load_dataset(store, settings), scorers, settings)
    few = too_few(test, settings)
    if few or not scorers:
        why = f"{few.rstrip(',')}, none of which a candidate has learned" if scorers else "without a model"
        return Choice(now, now, False, f"{now} serves on: {why}, nothing can be chosen", *about)
    metric = settings.champion_metric
    tested = {name: judge(scorer, test, settings) for name, scorer in scorers.items()}
    figures = {
        name: {"version": scorers[name].card.version, metric: figure(found, metric)} for name, found in tested.items()
    }
    best = max(figures, key=lambda name: (figures[name][metric], name == now))
    lead = figures[best][metric] - figures.get(now, {}).get(metric, -np.inf)
    chosen = best if lead > settings.champion_margin else now
    told = ", ".join(f"{name} {found[metric]:.3f}" for name, found in figures.items())
    anomalies = next(iter(tested.values())).evaluation.anomalies
    verdict = f"{chosen} serves{' on' if chosen == now else f', in place of {now}'}: {METRICS[metric]} {told}"
    verdict += f" on {len(test):,} blocks, {anomalies:,} of them anomalies (policy: {policy_sentence(settings)})"
    choice = Choice(chosen, now, True, verdict, *about, len(test), anomalies, figures)
    keep_choice(settings, choice.to_json())
    return choice


def _candidates(settings: Settings) -> dict[str, Scorer]:
    """The serving models that the stream can use too, which keeps counts and no order."""
    found = {}
    for name in [name for name in DETECTORS if name in trained_detectors(settings)]:
        cls = DETECTORS[name].cls
        if cls.features != "sequences":
            with suppress(PipelineError):  # a damaged one serves nobody
                found[name] = load_scorer(settings, name)
    return found


def _unlearned(data: Dataset, scorers: dict[str, Scorer], settings: Settings) -> Dataset:
    """Labelled blocks that none of the models has learned and nobody gave a verdict on."""
    rows = (data.labels >= 0) & ~data.said
    for name, scorer in scorers.items():
        if scorer.detector.learns_from != "nothing":
            known = marked_blocks(settings, name, champion_version(settings, name) or 0)
            rows &= ~np.isin(data.marks(scorer.card.family), known[0]) if known is not None else False
    return data.take(rows)
