"""The choice of the detector that serves, if the setting `champion` is `best`.

Only retrainings choose, and they compare on labelled items that no candidate has learned:
docs/decisions/08-retraining.md.
"""

from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from hdfs_pipeline.domains.champions import BEST, load_scorer, serving_detector
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import PipelineError
from hdfs_pipeline.learning.judgement import METRICS, beyond_chance, figure, leads, policy_sentence, too_few
from hdfs_pipeline.learning.training import judge
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.features import held
from hdfs_pipeline.scoring.models import champion_version, keep_choice, marked_items, trained_detectors
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store


@dataclass(frozen=True)
class Choice:
    """Which detector serves, and why.

    `before` is the detector that served until now. `figures` holds each detector's version and the policy's figure, on
    `items` items of which `anomalies` are anomalies. With `decided` False nothing could be compared, and nothing
    changes.
    """

    detector: str
    before: str
    decided: bool
    verdict: str
    decided_at: str
    metric: str
    margin: float
    items: int = 0
    anomalies: int = 0
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def choose_detector(store: Store, settings: Settings, domain: Domain) -> Choice | None:
    """Judge the serving versions of all detectors on the same items, and let the best one serve if it leads enough.

    It must lead the serving detector as a challenger must lead a champion. None if the settings name a detector.
    Raises: DataError if nothing was ingested yet.
    """
    if domain.champion(settings) != BEST:
        return None
    serving = serving_detector(settings, domain)
    decided_at = datetime.now(UTC).isoformat(timespec="seconds")
    about: tuple[str, str, float] = (decided_at, settings.champion_metric, settings.champion_margin)
    scorers = _candidates(settings, domain)
    test = _unlearned(domain.features(store, settings), scorers, settings)
    few = too_few(test, settings)
    if few or not scorers:
        why = f"{few}; no candidate has learned any of these" if scorers else "there is no model"
        return Choice(serving, serving, False, f"{serving} serves on, nothing can be chosen: {why}", *about)
    metric = settings.champion_metric
    tested = {name: judge(scorer, test, settings) for name, scorer in scorers.items()}
    figures = {
        name: {"version": scorers[name].card.version, metric: figure(judged, metric)} for name, judged in tested.items()
    }
    best = max(figures, key=lambda name: (figures[name][metric], name == serving))
    compared = ", ".join(f"{name} {figures[name][metric]:.3f}" for name in figures)
    chosen = best
    if best != serving and serving in tested:
        sides = [(tested[name], scorers[name].card.threshold) for name in (best, serving)]
        found = leads(sides[0], sides[1], settings)
        chosen = best if beyond_chance(found, settings) else serving
        compared += f", where chance gives {best} such a lead in {found.p:.1%} of cases,"
    anomalies = next(iter(tested.values())).evaluation.anomalies
    sentence = f"{chosen} serves{' on' if chosen == serving else f', in place of {serving}'}"
    sentence += f": {METRICS[metric]} {compared}"
    sentence += f" on {len(test):,} {domain.item.plural}, {anomalies:,} of them anomalies"
    sentence += f" (policy: {policy_sentence(settings, domain.item.plural)})"
    choice = Choice(chosen, serving, True, sentence, *about, len(test), anomalies, figures)
    keep_choice(settings, domain.name, choice.to_json())
    return choice


def _candidates(settings: Settings, domain: Domain) -> dict[str, Scorer]:
    """The serving models that the stream can use too: it keeps counts of events, not their order."""
    scorers = {}
    trained = trained_detectors(settings, domain.name)
    for name in [name for name in domain.detectors if name in trained]:
        if not domain.row(name).cls.sequential:
            with suppress(PipelineError):  # a damaged model is no candidate
                scorers[name] = load_scorer(settings, domain, name)
    return scorers


def _unlearned(data: Dataset, scorers: dict[str, Scorer], settings: Settings) -> Dataset:
    """Labelled items that none of the models has learned and that have no feedback."""
    rows = (data.labels >= 0) & ~data.with_feedback
    for name, scorer in scorers.items():
        if scorer.detector.learns_from != "nothing":
            version = champion_version(settings, data.domain, name) or 0
            known = marked_items(settings, data.domain, name, version)
            rows &= ~held(data.marks(scorer.card.family), known[0]) if known is not None else False
    return data.take(rows)
