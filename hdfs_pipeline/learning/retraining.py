"""Retraining: a challenger learns what is new, is judged beside the champion, and serves only if it is shown better.

The rules, and why they are so: docs/decisions/08-retraining.md.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import numpy as np
from filelock import FileLock, Timeout

from hdfs_pipeline.domains.champions import families, load_scorer, serving_detector
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import DataError, NotTrainedError, SetupError
from hdfs_pipeline.learning.challenge import challenge, record
from hdfs_pipeline.learning.tracking import move_alias
from hdfs_pipeline.learning.training import learnable, train, whole_ones, with_labels_for
from hdfs_pipeline.learning.weak import WEAK, dismissed
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.features import held
from hdfs_pipeline.scoring.feedback import words_of
from hdfs_pipeline.scoring.labels import AMBIGUOUS, NORMAL, UNLABELLED, WORDS
from hdfs_pipeline.scoring.models import (
    champion_version,
    known_feedback,
    marked_items,
    model_folder,
    previous_version,
    promote_model,
    read_card,
)
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store

_SCORED_NORMAL = "SELECT item FROM scores WHERE domain = $domain AND detector = $serving AND NOT is_anomaly"
_PIECE = 100_000  # items
Status = Literal["promoted", "kept", "waiting", "nothing to learn"]


@dataclass(frozen=True)
class Retraining:
    """The outcome of a retraining of one detector; `verdict` says it in plain words.

    `status`: promoted (the challenger serves), kept (the champion serves on), waiting (too few items are new), or
    nothing to learn. `new` counts items that came since the newest version, or whose label or features have changed
    since then. `champion` is the version that served before the retraining, `challenger` the new version. `judgement`
    is that of the challenger's card, `run_id` its run in MLflow, `feedback` how well it agrees with people's words
    (`feedback.feedback_figures`).
    """

    detector: str
    status: Status
    new: int
    verdict: str
    champion: int
    challenger: int | None = None
    judgement: dict[str, Any] = field(default_factory=dict)
    run_id: str | None = None
    feedback: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Material:
    """Items that a detector can learn from; `judged_by` (n,) bool marks those with a label from outside."""

    data: Dataset
    judged_by: np.ndarray

    @classmethod
    def of(cls, store: Store, settings: Settings, domain: Domain, name: str) -> "Material":
        """The home's items. If some have labels, unlabelled ones that the serving detector calls normal are normal."""
        domain.prepare(store, settings)
        loaded = domain.features(store, settings, families(domain, [name]))
        data = with_labels_for(loaded, domain, name, settings)
        labels = data.labels.copy()
        unlabelled = labels == UNLABELLED
        if (labels >= 0).any() and unlabelled.any() and domain.row(name).cls.learns_from == "normals":
            labels[unlabelled & held(data.keys, _scored_normal(store, settings, domain))] = NORMAL
        cls_of = domain.row(name).cls
        # Items whose beginning or end lies outside the records were not learned before either: they are no news.
        # All steps of a series stay: those that are not learned lie between others, and are judged on false alarms.
        kept = np.ones(len(labels), bool)
        if not cls_of.ordered:
            rare = (labels == UNLABELLED) & (WEAK in data.facts)
            kept = whole_ones(learnable(labels, cls_of.learns_from) | rare, data.cut)
        # Feedback also rules the vectors of items that are left out, as real ones are in a home without labels.
        material = replace(replace(data, labels=labels).take(kept), feedback=data.feedback)
        return cls(material, loaded.labels[kept] >= 0)


def _scored_normal(store: Store, settings: Settings, domain: Domain) -> np.ndarray:
    """The keys (m,), in their order, of the items that the serving detector calls normal."""
    keys = []
    with store.read() as con:
        about = {"domain": domain.name, "serving": serving_detector(settings, domain)}
        rows = con.execute(_SCORED_NORMAL, about)
        while piece := rows.fetchmany(_PIECE):
            keys.append(np.array([domain.item.parse(item) for (item,) in piece]))
    return np.sort(np.concatenate(keys)) if keys else np.zeros(0, np.int64)


def waiting_items(store: Store, settings: Settings, domain: Domain, name: str) -> int:
    """About how many items are new to a detector's newest version. It only counts, so a sensor may ask every minute.

    It misses items whose label or features have changed; `retrain` itself compares item by item.
    Raises: NotTrainedError if the newest version cannot be read.
    """
    learns_from = domain.row(name).cls.learns_from
    if learns_from == "nothing":
        return 0
    known, other, scored = domain.learnable(store, serving_detector(settings, domain))
    if learns_from == "all":
        known += other
    if learns_from == "normals":
        known = known + scored if known else other
    card = read_card(settings, domain.name, name, _newest(store, settings, domain, name))
    if learns_from == "labels" and card.weak:
        known = known + other
    return max(0, known - card.items - card.judgement.get("items", 0))


def changed_feedback(store: Store, settings: Settings, domain: Domain, name: str) -> int:
    """How many items have feedback that was given, changed or withdrawn since a detector's newest version.

    Raises: NotTrainedError if the newest version cannot be read.
    """
    if domain.row(name).cls.learns_from == "nothing":
        return 0
    with store.read() as con:
        words = {
            word.key: WORDS[word.verdict]
            for word in words_of(con, domain.name, domain.item.parse)
            if word.key is not None
        }
        present = domain.facts(store, list(words))  # an item that only the stream has read cannot be learned yet
        now = {(key, label) for key, label in words.items() if key in present}
    then = set(known_feedback(settings, domain.name, name, _newest(store, settings, domain, name)).items())
    return len({key for key, _ in now ^ then})


def retrain(
    store: Store,
    settings: Settings,
    domain: Domain,
    name: str,
    *,
    at_least: int | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Retraining:
    """Train a challenger if `at_least` items are new (`retrain_batch_size`), and judge it beside the champion.

    It is also trained if people gave, changed or withdrew feedback on `retrain_feedback` items. It is saved, recorded
    in `models` and in MLflow, and becomes the champion only if it passes (`judgement.compare`). Whatever goes wrong on
    the way, the champion serves on.

    Raises: NotTrainedError if there is no champion; DataError if the items do not fit it or allow no judgement;
    SetupError if another retraining is under way.
    """
    if name not in domain.untrained:
        model_folder(settings, domain.name, name)
    least = settings.retrain_batch_size if at_least is None else at_least
    try:
        with FileLock(settings.models / ".retraining.lock", timeout=settings.lock_timeout_s):
            return _retrain(store, settings, domain, name, least, on_step)
    except Timeout:
        raise SetupError(f"another retraining of {settings.home} is under way: wait until it has ended") from None


def _retrain(
    store: Store, settings: Settings, domain: Domain, name: str, least: int, on_step: Callable[[str], None]
) -> Retraining:
    champion = load_scorer(settings, domain, name)
    version, family, plural = champion.card.version, champion.card.family, domain.item.plural
    if champion.detector.learns_from == "nothing":
        return _with_dismissals(store, settings, domain, champion)
    on_step(f"{name}: looking for new {plural}")
    material = Material.of(store, settings, domain, name)
    data = material.data
    data.matrix(family).require(champion.card.columns, champion.card.source, champion.card.source_fingerprint)
    marks = data.marks(family)
    new = _new_items(settings, domain, name, _newest(store, settings, domain, name), data, marks)
    changed = changed_feedback(store, settings, domain, name)
    if new < least and changed < settings.retrain_feedback:
        verdict = (
            f"{new:,} new {plural} of the {least:,} that a retraining waits for"
            + (f", {changed:,} changed verdicts of the {settings.retrain_feedback:,}" if changed else "")
            + ": nothing to do (--force does it now)"
        )
        return Retraining(name, "waiting", new, verdict, version)
    trained = challenge(champion, data, material.judged_by, domain, settings, on_step, resume=True)
    on_step(f"{name}: recording")
    run_id = record(store, settings, trained, champion)
    card = trained.scorer.card
    status: Status = "promoted" if card.judgement["passed"] else "kept"
    verdict = card.judgement["verdict"]
    return Retraining(name, status, new, verdict, version, card.version, card.judgement, run_id, card.feedback)


def _with_dismissals(store: Store, settings: Settings, domain: Domain, champion: Scorer) -> Retraining:
    """A new version of a detector of rules, if people dismissed other rules than it knows; it serves at once."""
    name, version = champion.card.detector, champion.card.version
    nothing = Retraining(name, "nothing to learn", 0, f"{name} learns nothing: there is nothing to retrain", version)
    if not champion.detector.any_columns:
        return nothing
    data = domain.features(store, settings, families(domain, [name]))
    gone = dismissed(data, domain, settings)
    if gone == champion.card.weak.get("dismissed", {}):
        return nothing
    trained = train(data, domain, name, settings)
    run_id = record(store, settings, trained, None)
    verdict = f"rules that people dismissed flag nothing any more: {', '.join(gone) or 'none'}"
    card = trained.scorer.card
    return Retraining(name, "promoted", len(data.feedback or ()), verdict, version, card.version, {}, run_id)


def _newest(store: Store, settings: Settings, domain: Domain, name: str) -> int:
    """The newest version that was recorded. One whose process was killed before that does not count."""
    with store.read() as con:
        recorded = con.execute(
            "SELECT max(version) FROM models WHERE domain = ? AND detector = ?", [domain.name, name]
        ).fetchall()[0][0]
    return max(recorded or 0, int(model_folder(settings, domain.name, name).name))


def _new_items(settings: Settings, domain: Domain, name: str, newest: int, data: Dataset, marks: np.ndarray) -> int:
    """How many items to learn from, by their `marks`, the version `newest` has neither learned nor been judged on."""
    before = marked_items(settings, domain.name, name, newest)
    if before is not None:
        marks = marks[data.labels != AMBIGUOUS]
        return int((~(held(marks, before[0]) | held(marks, before[1]))).sum())
    card = read_card(settings, domain.name, name, newest)  # a model of an older release, which kept no marks
    if domain.row(name).cls.ordered:
        return int((data.time > datetime.fromisoformat(card.created_at).timestamp() * 1e6).sum())
    return max(0, len(marks) - card.items)


@dataclass(frozen=True)
class RolledBack:
    """The version that served `before`, the one that serves `now`, and whether MLflow knows the latter."""

    detector: str
    before: int | None
    now: int
    alias_moved: bool


def roll_back(
    settings: Settings, domain: Domain, name: str, to: int | None = None, *, by: str = "", note: str = ""
) -> RolledBack:
    """Let version `to` serve, by default the one that served before the champion, also in MLflow.

    `by` says who wants it, and `note` why.

    Raises: NotTrainedError if there is no such version, or it is damaged; DataError if none served before, if it serves
    already, or if somebody else changes meanwhile which one does.
    """
    domain.row(name)  # refuses an unknown detector
    serving = champion_version(settings, domain.name, name)  # first: what is found out below is of this state
    version = previous_version(settings, domain.name, name) if to is None else to
    if version == serving:
        raise DataError(f"version {version} of {name} serves already: `hdfs-pipeline models` shows what there is")
    before = promote_model(settings, domain.name, name, version, instead_of=serving, back=True, by=by, note=note)
    return RolledBack(name, before, version, move_alias(settings, domain.name, name))


def roll_back_all(settings: Settings, domain: Domain) -> list[RolledBack]:
    """Roll back each trained detector of a domain that has an earlier version which served.

    Raises: NotTrainedError if nothing is trained, or a version is damaged; DataError if no detector has such a version.
    """
    versions: dict[str, int] = {}
    reasons: list[DataError] = []
    trained = [name for name in domain.detectors if champion_version(settings, domain.name, name) is not None]
    if not trained:
        command = domain.trained_by.format(domain.default_detector)
        raise NotTrainedError(f"no model of {domain.item.plural} in {settings.home}: run `{command}`")
    for name in trained:
        try:
            versions[name] = previous_version(settings, domain.name, name)
        except DataError as error:
            reasons.append(error)
    if not versions:
        raise reasons[0]
    for name, version in versions.items():
        read_card(settings, domain.name, name, version)  # before anything is changed
    return [roll_back(settings, domain, name) for name in versions]
