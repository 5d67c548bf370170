"""Which detector of a domain serves, and its model."""

from collections.abc import Collection, Iterable
from dataclasses import replace

import numpy as np

from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import NotTrainedError
from hdfs_pipeline.scoring.models import champion_version, load_model, read_card, read_choice, trained_detectors
from hdfs_pipeline.scoring.scorer import Card, Scorer
from hdfs_pipeline.settings import Settings

BEST = "best"
"""What a domain's `champion` says where retrainings are to choose the detector."""


def load_scorer(settings: Settings, domain: Domain, name: str, version: int | None = None) -> Scorer:
    """A version of a detector's model, its champion by default; version 0 of one that needs no training.

    Raises: DataError for a detector that the domain has not, NotTrainedError where it is not trained.
    """
    cls = domain.row(name).cls
    if not version and champion_version(settings, domain.name, name) is None:
        if name in domain.untrained:
            return _untrained(settings, domain, name)
        raise _not_trained(settings, domain, name)
    scorer = load_model(cls, settings, domain.name, version)
    return with_knowledge(scorer, domain, settings)


def serving_version(settings: Settings, domain: Domain, name: str) -> int:
    """Which version of a detector `load_scorer` gives, by its card and the digests of its files: no model is loaded.

    Raises: as `load_scorer`.
    """
    version = champion_version(settings, domain.name, name)
    if version is not None:
        return read_card(settings, domain.name, name, version).version
    if name in domain.untrained:
        return 0
    raise _not_trained(settings, domain, name)


def _not_trained(settings: Settings, domain: Domain, name: str) -> NotTrainedError:
    return NotTrainedError(f"no {name} model in {settings.home}: run `{domain.trained_by.format(name)}`")


def with_knowledge(scorer: Scorer, domain: Domain, settings: Settings) -> Scorer:
    """A scorer whose labels were made by rules, with these; any other as it is."""
    if not scorer.card.weak or scorer.card.family not in domain.countable:
        return scorer
    return replace(scorer, knowledge=domain.knowledge(settings, scorer.card.source))


def _untrained(settings: Settings, domain: Domain, name: str) -> Scorer:
    """A detector that learns nothing, as it serves without a model: its card has no columns, for it takes any."""
    detector = domain.make(settings, name)
    none, nothing = np.zeros(0), np.zeros((0, 0), np.float32)
    threshold, words = domain.threshold(settings, name).fit(none, None, none)
    card = Card(
        domain=domain.name,
        detector=name,
        family=detector.features,
        columns=(),
        source="",
        threshold=threshold,
        rule=words,
        seed=settings.seed,
        params=dict(detector.params),
        items=0,
        anomalies=None,
        fingerprint="",
        created_at="",
        libraries={},
    )
    return Scorer(detector, card, nothing, nothing)


def named_champion(settings: Settings, domain: Domain) -> str:
    """The detector that is to serve, by the settings or, where they say `best`, by the latest choice.

    Before the first choice that is the domain's default.
    """
    named = domain.champion(settings)
    if named != BEST:
        return named
    return str((read_choice(settings, domain.name) or {}).get("detector", domain.default_detector))


def serving_detector(settings: Settings, domain: Domain) -> str:
    """The champion (`named_champion`); where it has no model, the first detector that has one stands in.

    A detector that reads events in their order stands in for nobody: not every way into a domain keeps the order.
    Before any training the domain's detector of day one serves, where it has one.
    """
    trained, champion = trained_detectors(settings, domain.name), named_champion(settings, domain)
    if champion in trained or champion == domain.day_one:
        return champion
    stand_ins = (name for name in domain.detectors if name in trained and not domain.row(name).cls.sequential)
    return next(stand_ins, domain.day_one or champion)


def ready_detectors(settings: Settings, domain: Domain) -> list[str]:
    """The domain's detectors that can serve: those with a model, and those that need none; in their order."""
    trained = trained_detectors(settings, domain.name)
    return [name for name in domain.detectors if name in trained or name in domain.untrained]


def families(domain: Domain, names: Iterable[str]) -> tuple[str, ...]:
    """The families of features that detectors read, each once."""
    return tuple(dict.fromkeys(domain.row(name).cls.features for name in names))


def named_detectors(domain: Domain, asked: Iterable[str], trained: Collection[str] | None = None) -> list[str]:
    """The domain's detectors of names, `standard` or `all`, each once, in the order of `DETECTORS`.

    Of `standard` and `all` only those that are `trained`, where that is given. Raises: DataError for an unknown name.
    """
    groups = {"all": domain.detectors, "standard": standard_detectors(domain)}
    chosen: set[str] = set()
    for name in asked:
        if name in groups:
            chosen.update(member for member in groups[name] if trained is None or member in trained)
        else:
            domain.row(name)  # an unknown one is told here
            chosen.add(name)
    return [name for name in domain.detectors if name in chosen]


def standard_detectors(domain: Domain) -> tuple[str, ...]:
    """The detectors that the main job of a domain trains."""
    return tuple(name for name in domain.detectors if domain.row(name).standard)
