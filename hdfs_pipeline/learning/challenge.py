"""A new version beside the one that serves: trained without the latest items, judged on them, and recorded.

Trainings and retrainings both come through here, so that no version takes another one's place unjudged.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains.champions import load_scorer
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.learning.judgement import compare, latest, policy
from hdfs_pipeline.learning.tracking import log_training, move_alias, publish_evaluations, publish_model
from hdfs_pipeline.learning.training import Tested, Trained, fit, judge_splits, train
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.features import held
from hdfs_pipeline.scoring.feedback import feedback_figures
from hdfs_pipeline.scoring.models import champion_version, known_feedback, marked_items, promote_model, save_model
from hdfs_pipeline.scoring.retention import forget_versions
from hdfs_pipeline.scoring.scorer import Card, Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store

PROVISIONAL: Final = {"by": "nothing", "verdict": "serves until the first training that is judged"}
"""The judgement of a model that only holds the place of the first one."""


def train_and_track(
    store: Store,
    data: Dataset,
    domain: Domain,
    name: str,
    settings: Settings,
    on_step: Callable[[str], None] = lambda _: None,
) -> tuple[Card, str]:
    """Train a detector, save it, and record it in `models` and in MLflow. Returns its card and the id of the run.

    The first version serves. A later one is judged beside the champion and serves if it passes (`judgement` of the
    card). One that serves no more, because its columns are others by now or its files are damaged, defends nothing.
    """
    champion = defending(settings, domain, name, data)
    if champion is None:
        trained = train(data, domain, name, settings, on_step)
    else:
        tests = judge_splits(data, domain, name, settings, on_step)
        try:
            trained = challenge(champion, data, data.labels >= 0, domain, settings, on_step, tests=tests)
        except DataError as error:
            trained = _unjudged(champion, data, domain, settings, tests, str(error))
    on_step(f"{name}: recording")
    return trained.scorer.card, record(store, settings, trained, champion)


def defending(settings: Settings, domain: Domain, name: str, data: Dataset) -> Scorer | None:
    """The champion, if it is a judged one and can judge `data`; None if a new version has nobody's place to take.

    A detector that learns nothing is what its settings say: there is nothing to hold one version against another.
    """
    if champion_version(settings, domain.name, name) is None or domain.row(name).cls.learns_from == "nothing":
        return None
    try:
        champion = load_scorer(settings, domain, name)
        card = champion.card
        if card.columns:
            data.matrix(card.family).require(card.columns, card.source, card.source_fingerprint)
    except (NotTrainedError, DataError):
        return None
    return None if card.judgement.get("by") == PROVISIONAL["by"] else champion


def challenge(
    champion: Scorer,
    data: Dataset,
    judged_by: np.ndarray,
    domain: Domain,
    settings: Settings,
    on_step: Callable[[str], None],
    *,
    resume: bool = False,
    tests: Mapping[str, Tested] | None = None,
) -> Trained:
    """Train a challenger on all but the latest items of `data`, judge it beside the champion, and save it.

    `judged_by` (n,) bool marks items whose label comes from outside. With `resume` it goes on from the champion where
    the detector can. `tests` are evaluations of other splits, for its card. Raises: DataError if items are too few.
    """
    version, name, family = champion.card.version, champion.card.detector, champion.card.family
    marks = data.marks(family)
    known = marked_items(settings, domain.name, name, version)
    fresh = np.zeros(len(marks), bool) if known is None else ~held(marks, known[0])
    kept_back = latest(data, judged_by, fresh, settings)
    on_step(f"{name}: training a challenger")
    challenger = fit(data.take(~kept_back), domain, name, settings, before=champion if resume else None)
    on_step(f"{name}: judging it beside version {version}")
    words = _changed_words(settings, champion.card, data)
    judgement, judged = compare(champion, challenger, data, kept_back, settings, words)
    judgement["known_to_champion"] = None if known is None else int((kept_back & ~fresh).sum())
    judged = {**(tests or {}), **judged}
    metrics = {split: tested.evaluation.to_json() for split, tested in judged.items()}
    figures = feedback_figures(data.feedback, challenger, champion, domain.item.show)
    card = replace(challenger.card, metrics=metrics, judgement=judgement, feedback=figures)
    saved = save_model(replace(challenger, card=card), settings, promote=False, judged_on=marks[kept_back])
    return Trained(saved, judged)


def _unjudged(
    champion: Scorer, data: Dataset, domain: Domain, settings: Settings, tests: Mapping[str, Tested], why: str
) -> Trained:
    """A version of all of `data`, which is too little to hold any of it back: saved, and not to serve by itself."""
    version = champion.card.version
    challenger = fit(data, domain, champion.card.detector, settings)
    judgement = {
        "by": "too few items",
        "items": 0,
        "anomalies": None,
        "passed": False,
        "verdict": f"not judged, so version {version} serves on: too little to learn from and be judged on ({why}); "
        "`rollback` with --to lets any version serve",
        "champion": {"version": version},
        "challenger": {},
        "policy": policy(settings),
        "words": _changed_words(settings, champion.card, data),
    }
    metrics = {split: tested.evaluation.to_json() for split, tested in tests.items()}
    figures = feedback_figures(data.feedback, challenger, champion, domain.item.show)
    card = replace(challenger.card, metrics=metrics, judgement=judgement, feedback=figures)
    return Trained(save_model(replace(challenger, card=card), settings, promote=False), dict(tests))


def _changed_words(settings: Settings, card: Card, data: Dataset) -> int:
    """On how many items people gave, changed or withdrew a word since a version learned."""
    then = set(known_feedback(settings, card.domain, card.detector, card.version).items())
    told = data.feedback
    now = set() if told is None else set(zip(told.keys.tolist(), told.labels.tolist(), strict=True))
    return len({key for key, _ in now ^ then})


def record(store: Store, settings: Settings, trained: Trained, champion: Scorer | None) -> str:
    """Put a saved version into the store and MLflow, and let it serve if its judgement says so.

    Versions that nobody needs any more are deleted. Returns the id of MLflow's run. Raises: DataError if another
    version serves by now than the one that it was judged beside.
    """
    card = trained.scorer.card
    judged, tags = card.judgement, dict[str, Any]()
    if champion is not None:
        tags = {"promoted": judged["passed"], "verdict": judged["verdict"], "champion_version": champion.card.version}
        for side in ("champion", "challenger"):
            tags |= {f"{side}_{figure}": value for figure, value in judged[side].items() if value is not None}
    run_id = log_training(trained, settings, champion=champion is None, tags=tags)
    if champion is not None and judged["passed"]:
        promote_model(settings, card.domain, card.detector, card.version, instead_of=champion.card.version)
        move_alias(settings, card.domain, card.detector)
        publish_evaluations(store, card)
    publish_model(store, settings, card)  # last: this row says that all the rest was done
    forget_versions(store, settings, card.domain, card.detector)
    return run_id
