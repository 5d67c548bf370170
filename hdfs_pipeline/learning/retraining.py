"""Retraining: a challenger learns what is new, is held against the champion, and serves only if it is not worse.

The rules, and why they are so: docs/decisions/08-retraining.md.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
from filelock import FileLock, Timeout

from hdfs_pipeline.detectors import detector_row, families
from hdfs_pipeline.domains.blocks.features import load_dataset
from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.learning.judgement import compare, latest
from hdfs_pipeline.learning.tracking import log_training, move_alias, publish_evaluations, publish_model
from hdfs_pipeline.learning.training import Trained, fit, learnable, taught
from hdfs_pipeline.scoring.dataset import NORMAL, UNLABELLED, Dataset
from hdfs_pipeline.scoring.feedback import VERDICTS, feedback_figures
from hdfs_pipeline.scoring.models import (
    champion_version,
    known_verdicts,
    marked_blocks,
    model_folder,
    previous_version,
    promote_model,
    read_card,
    save_model,
)
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.score import load_scorer, serving_detector

_SCORED_NORMAL = "SELECT block_id FROM scores WHERE detector = $serving AND NOT is_anomaly"
Status = Literal["promoted", "kept", "waiting", "nothing to learn"]


@dataclass(frozen=True)
class Retraining:
    """What a retraining of one detector came to, `verdict` in plain words.

    `status`: promoted (the challenger serves), kept (the champion serves on), waiting (too few blocks are new), or
    nothing to learn. `new` blocks came since the newest version, or have another label or other counts since then.
    `champion` and `challenger` are versions, the champion the one from before; `judgement` is that of the challenger's
    card; `run_id` its run in MLflow; `feedback` how it does by the verdicts of people (`feedback.feedback_figures`).
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
    """Blocks that a detector can learn from, and which of them (n,) have a label from outside to be judged by."""

    data: Dataset
    judged_by: np.ndarray

    @classmethod
    def of(cls, store: Store, settings: Settings, name: str) -> "Material":
        """The home's. Unlabelled blocks that the serving detector calls normal count so where others have labels."""
        given = load_dataset(store, settings, families([name]))
        data = taught(given, name, settings)
        labels = data.labels.copy()
        if (labels >= 0).any() and detector_row(name).cls.learns_from == "normals":
            with store.read() as con:
                rows = con.execute(_SCORED_NORMAL, {"serving": serving_detector(settings)}).fetchnumpy()
            scored = np.isin(data.matrix("events").keys, rows["block_id"])
            labels[(labels == UNLABELLED) & scored] = NORMAL
        kept = learnable(labels, detector_row(name).cls.learns_from)
        # Verdicts on blocks that are left out, as real ones are without labels, rule their vectors all the same.
        material = replace(replace(data, labels=labels).take(kept), feedback=data.feedback)
        return cls(material, given.labels[kept] >= 0)


def waiting_blocks(store: Store, settings: Settings, name: str) -> int:
    """About how many blocks are new to a detector's newest version, by counting: for what looks every minute.

    Blocks whose label or counts have changed are not seen; `retrain` itself compares block by block.
    Raises: NotTrainedError where the newest version cannot be read.
    """
    if detector_row(name).cls.learns_from == "nothing":
        return 0
    with store.read() as con:
        known, other, scored = con.execute(
            f"""SELECT count(*) FILTER (label IN ('normal', 'anomaly')), count(*) FILTER (label IS NULL),
            count(*) FILTER (label IS NULL AND block_id IN ({_SCORED_NORMAL}))
            FROM event_matrix LEFT JOIN labels USING (block_id)""",
            {"serving": serving_detector(settings)},
        ).fetchall()[0]
    if detector_row(name).cls.learns_from == "all":
        known += other
    if detector_row(name).cls.learns_from == "normals":
        known = known + scored if known else other
    card = read_card(settings, name, _newest(store, settings, name))
    return max(0, known - card.blocks - card.judgement.get("blocks", 0))


def changed_verdicts(store: Store, settings: Settings, name: str) -> int:
    """How many verdicts of people came, changed or were withdrawn since a detector's newest version.

    Raises: NotTrainedError where the newest version cannot be read.
    """
    if detector_row(name).cls.learns_from == "nothing":
        return 0
    with store.read() as con:
        rows = con.execute("SELECT block_id, verdict FROM feedback SEMI JOIN event_matrix USING (block_id)").fetchall()
    now = {(block_id, VERDICTS[verdict]) for block_id, verdict in rows}
    then = set(known_verdicts(settings, name, _newest(store, settings, name)).items())
    return len({block_id for block_id, _ in now ^ then})


def retrain(
    store: Store,
    settings: Settings,
    name: str,
    *,
    at_least: int | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Retraining:
    """Train a challenger where `at_least` blocks are new (`retrain_batch_size`), and judge it beside the champion.

    As news count `retrain_feedback` verdicts of people, too.

    It is saved, recorded in `models` and in MLflow, and becomes the champion only if it is not worse. Whatever goes
    wrong on the way, the champion serves on.

    Raises: NotTrainedError where there is no champion; DataError where the blocks do not fit it or allow no judgement;
    SetupError where another retraining is under way.
    """
    model_folder(settings, name)
    least = settings.retrain_batch_size if at_least is None else at_least
    try:
        with FileLock(settings.models / ".retraining.lock", timeout=settings.lock_timeout_s):
            return _retrain(store, settings, name, least, on_step)
    except Timeout:
        raise SetupError(f"another retraining of {settings.home} is under way: wait until it has ended") from None


def _retrain(store: Store, settings: Settings, name: str, least: int, on_step: Callable[[str], None]) -> Retraining:
    champion = load_scorer(settings, name)
    version, family = champion.card.version, champion.card.family
    if champion.detector.learns_from == "nothing":
        return Retraining(name, "nothing to learn", 0, f"{name} learns nothing: there is nothing to retrain", version)
    on_step(f"{name}: looking for new blocks")
    given = Material.of(store, settings, name)
    given.data.matrix(family).require(champion.card.columns, champion.card.source, champion.card.source_fingerprint)
    marks = given.data.marks(family)
    new = _new_blocks(settings, name, _newest(store, settings, name), marks)
    said = changed_verdicts(store, settings, name)
    if new < least and said < settings.retrain_feedback:
        verdict = (
            f"{new:,} new blocks of the {least:,} that a retraining waits for"
            + (f", {said:,} changed verdicts of the {settings.retrain_feedback:,}" if said else "")
            + ": nothing to do (--force does it now)"
        )
        return Retraining(name, "waiting", new, verdict, version)
    on_step(f"{name}: training a challenger on what is new")
    known = marked_blocks(settings, name, version)
    fresh = np.zeros(len(marks), bool) if known is None else ~np.isin(marks, known[0])
    held = latest(given.data, given.judged_by, fresh, settings)
    challenger = fit(given.data.take(~held), name, settings, before=champion)
    on_step(f"{name}: judging it beside version {version}")
    judgement, tests = compare(champion, challenger, given.data, held, settings)
    judgement["known_to_champion"] = None if known is None else int((held & ~fresh).sum())
    metrics = {split: tested.evaluation.to_json() for split, tested in tests.items()}
    figures = feedback_figures(given.data.feedback, challenger, champion)
    card = replace(challenger.card, metrics=metrics, judgement=judgement, feedback=figures)
    saved = save_model(replace(challenger, card=card), settings, promote=False, judged_on=marks[held])
    return _record(store, settings, Trained(saved, tests), version, new, on_step)


def _newest(store: Store, settings: Settings, name: str) -> int:
    """The newest version that was made to the end: one whose process was killed before that is as if it were not."""
    with store.read() as con:
        recorded = con.execute("SELECT max(version) FROM models WHERE detector = ?", [name]).fetchall()[0][0]
    return max(recorded or 0, int(model_folder(settings, name).name))


def _new_blocks(settings: Settings, name: str, newest: int, marks: np.ndarray) -> int:
    """Blocks by their marks that the version `newest` has neither learned nor been judged on."""
    before = marked_blocks(settings, name, newest)
    if before is None:  # a model of an older release: all that is known is how many it learned
        return max(0, len(marks) - read_card(settings, name, newest).blocks)
    return int((~np.isin(marks, np.concatenate(before))).sum())


def _record(
    store: Store, settings: Settings, trained: Trained, champion: int, new: int, on_step: Callable[[str], None]
) -> Retraining:
    """Tell the store and MLflow of a saved challenger; make it the champion if its judgement says so."""
    card = trained.scorer.card
    name, judged = card.detector, card.judgement
    on_step(f"{name}: recording")
    tags = {"promoted": judged["passed"], "verdict": judged["verdict"], "champion_version": champion}
    for side in ("champion", "challenger"):
        tags |= {f"{side}_{figure}": value for figure, value in judged[side].items() if value is not None}
    run_id = log_training(trained, settings, champion=False, tags=tags)
    if judged["passed"]:
        promote_model(settings, name, card.version, instead_of=champion)
        move_alias(settings, name, card.version)
        publish_evaluations(store, card)
    publish_model(store, settings, card)  # last: it says that all of this was done
    status: Status = "promoted" if judged["passed"] else "kept"
    return Retraining(name, status, new, judged["verdict"], champion, card.version, judged, run_id, card.feedback)


@dataclass(frozen=True)
class RolledBack:
    """Which version of a detector's model served before and which does now, and whether MLflow knows that one."""

    detector: str
    before: int | None
    now: int
    alias_moved: bool


def roll_back(settings: Settings, name: str, to: int | None = None) -> RolledBack:
    """Let the version serve that served before the champion, or version `to`; in MLflow too.

    Raises: NotTrainedError where there is no such version, or it is damaged; DataError where none served before, or
    where it serves already.
    """
    detector_row(name)
    version = previous_version(settings, name) if to is None else to
    if version == champion_version(settings, name):
        raise DataError(f"version {version} of {name} serves already: `hdfs-pipeline models` shows what there is")
    before = promote_model(settings, name, version, back=True)
    return RolledBack(name, before, version, move_alias(settings, name, version))
