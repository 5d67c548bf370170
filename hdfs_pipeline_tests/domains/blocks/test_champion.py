"""What the serving model says of blocks that come more than once, and of models that change under it."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdfs_pipeline.detectors import detector_row, make_detector
from hdfs_pipeline.domains.blocks.champion import FINAL, WITHDRAWN, Champion, Counted
from hdfs_pipeline.domains.blocks.stage import counting_catalogue
from hdfs_pipeline.domains.blocks.topics import AGGREGATED_EVENTS
from hdfs_pipeline.domains.blocks.wire import Vector
from hdfs_pipeline.domains.champions import families
from hdfs_pipeline.errors import DataError, NotTrainedError, SetupError
from hdfs_pipeline.learning.training import fit
from hdfs_pipeline.scoring.models import load_model, promote_model, save_model
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline_tests.homes import BLOCKS, Home, copy_home, open_home
from hdfs_pipeline_tests.streaming.workers import batch_flagged


def test_several_vectors_of_one_block_are_judged_in_their_order(trained: Home) -> None:
    """As a start reads them back."""
    champion = Champion(trained.settings, BLOCKS, "random_forest")
    catalogue = counting_catalogue(trained.settings, champion)
    matrix = BLOCKS.features(trained.store, trained.settings).matrix("events")
    wanted = batch_flagged(trained)
    odd = next(row for key, row in zip(matrix.keys, matrix.values, strict=True) if int(key) in wanted)
    plain = next(row for key, row in zip(matrix.keys, matrix.values, strict=True) if int(key) not in wanted)
    vector = Vector(1, catalogue.label, {}, partition=0, first_offset=0)
    other = replace(vector, first_offset=50)

    def judge(*blocks: tuple[Vector, np.ndarray]) -> list[tuple[int, str]]:
        counted = Counted([block for block, _ in blocks], np.array([row for _, row in blocks], np.int32))
        found = champion.judge(counted, catalogue, AGGREGATED_EVENTS)
        return [(verdict.first_offset, verdict.status) for verdict in found]

    assert judge((vector, odd), (vector, plain), (vector, plain)) == [(0, FINAL), (0, WITHDRAWN)]
    assert judge((vector, plain)) == []
    assert judge((vector, plain), (vector, odd)) == [(0, FINAL)]
    assert judge((vector, plain), (other, plain)) == [(0, WITHDRAWN)]
    assert judge((vector, odd), (other, plain), (vector, plain)) == [(0, FINAL), (0, WITHDRAWN)]


def test_a_fresh_home_is_judged_at_once_and_a_model_takes_over(trained: Home, tmp_path: Path) -> None:
    """What is known beforehand serves before any training, and speaks beside what has learned."""
    home = open_home(tmp_path / "home")
    champion = Champion(home.settings, BLOCKS)
    assert (champion.label, champion.beside, champion.catalogue) == ("lifecycle version 0", (), None)
    assert not champion.refresh() and champion.refused == ""
    shutil.copytree(trained.settings.models, home.settings.models)
    assert champion.refresh()
    assert (champion.label, champion.beside) == ("random_forest version 1", ("lifecycle",))
    assert champion.catalogue is not None and champion.catalogue.label == "hdfs_v1.v1"
    assert not champion.refresh()
    alone = Champion(home.settings, BLOCKS, "random_forest")
    assert (alone.label, alone.beside) == ("random_forest version 1", ())


def test_rules_that_people_dismissed_are_silent_in_the_stream_too(trained: Home, tmp_path: Path) -> None:
    """A training of the detector that needs none keeps their words; the worker takes it up as any other model."""
    home = copy_home(trained, tmp_path / "home")
    known = next(iter(batch_flagged(home, "lifecycle")))
    data = BLOCKS.features(home.store, home.settings)
    counts = data.main.values[data.main.keys == known].astype(np.int32)
    vector = Vector(known, data.main.source, {}, partition=0, first_offset=0)
    champion = Champion(home.settings, BLOCKS)
    assert champion.catalogue is not None

    def heard(who: Champion) -> set[str]:
        assert who.catalogue is not None
        verdicts = who.judge(Counted([vector], counts), who.catalogue, AGGREGATED_EVENTS)
        return {verdict.detector for verdict in verdicts if verdict.status == FINAL}

    assert "lifecycle" in heard(champion)
    model = fit(data, BLOCKS, "lifecycle", home.settings)
    knowledge = BLOCKS.knowledge(home.settings, data.main.source)
    assert knowledge is not None
    card = replace(model.card, weak={"dismissed": {rule: list(knowledge.by_id) for rule in knowledge.by_id}})
    save_model(replace(model, card=card), home.settings)
    assert champion.refresh() and "lifecycle" not in heard(champion)


def test_each_detector_withdraws_what_it_said(trained: Home) -> None:
    champion = Champion(trained.settings, BLOCKS)
    catalogue = champion.catalogue
    assert catalogue is not None
    known = next(iter(batch_flagged(trained) & batch_flagged(trained, "lifecycle")))
    matrix = BLOCKS.features(trained.store, trained.settings).matrix("events")
    both = matrix.values[matrix.keys == known][0]
    normal = next(key for key in matrix.keys.tolist() if not {key} & batch_flagged(trained))
    plain = matrix.values[matrix.keys == normal][0]
    vector = Vector(1, catalogue.label, {}, partition=0, first_offset=0, host="dn2")

    def judge(row: np.ndarray, who: Champion = champion) -> set[tuple[str, str, bool, str]]:
        found = who.judge(Counted([vector], row[None].astype(np.int32)), catalogue, AGGREGATED_EVENTS)
        return {(verdict.detector, verdict.status, bool(verdict.kind), verdict.entity) for verdict in found}

    assert judge(both) == {("random_forest", FINAL, True, "dn2"), ("lifecycle", FINAL, True, "dn2")}
    assert judge(plain) == {
        ("random_forest", WITHDRAWN, False, "dn2"), ("lifecycle", WITHDRAWN, False, "dn2"),
    }  # fmt: skip
    assert judge(plain) == set()
    # A worker that knows both verdicts from before, and runs with one detector alone, withdraws both in its name.
    alone = Champion(trained.settings, BLOCKS, "lifecycle")
    for verdict in champion.judge(Counted([vector], both[None].astype(np.int32)), catalogue, AGGREGATED_EVENTS):
        alone.remember(verdict)
    assert judge(plain, alone) == {("lifecycle", WITHDRAWN, False, "dn2")}


def test_a_damaged_model_that_is_made_anew_under_its_number_is_taken_up(trained: Home, tmp_path: Path) -> None:
    home = copy_home(trained, tmp_path / "home")
    cls = detector_row("random_forest").cls
    champion = Champion(home.settings, BLOCKS, "random_forest")
    broken = home.settings.models / BLOCKS.name / "random_forest" / "0002"
    save_model(load_model(cls, home.settings, BLOCKS.name), home.settings)
    shutil.rmtree(broken)
    assert not champion.refresh() and champion.scorer.card.version == 1
    save_model(load_model(cls, home.settings, BLOCKS.name, 1), home.settings, promote=False)
    assert broken.is_dir()
    promote_model(home.settings, BLOCKS.name, "random_forest", 2)
    assert champion.refresh() and champion.scorer.card.version == 2


def test_a_detector_on_sequences_is_refused_and_the_message_says_what_to_do(trained: Home, tmp_path: Path) -> None:
    """Named, and as the champion of the settings."""
    home = copy_home(trained, tmp_path / "home")
    data = BLOCKS.features(home.store, home.settings, families(BLOCKS, ["lstm"]))
    detector = make_detector("lstm", home.settings, steps=2)
    matrix = data.matrix("sequences")
    detector.fit(matrix.values, None, np.ones(len(matrix)))
    card = replace(Champion(home.settings, BLOCKS, "random_forest").scorer.card, detector="lstm", family="sequences")
    save_model(Scorer(detector, card, matrix.values, matrix.values), home.settings)
    with pytest.raises(SetupError, match="lstm reads the events .* in their order.*--detector or the setting"):
        Champion(home.settings, BLOCKS, "lstm")
    chosen = home.settings.model_copy(update={"champion": "lstm"})
    with pytest.raises(SetupError, match="name a detector on counts, such as random_forest"):
        Champion(chosen, BLOCKS)


class Odd:
    """A detector that loads well and then does what `score` does; all else is a real one's."""

    def __init__(self, inner: Any, score: Callable[[np.ndarray], np.ndarray]) -> None:
        self._inner, self.score = inner, score

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def fails(_rows: np.ndarray) -> np.ndarray:
    raise RuntimeError("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT")


ODD_SCORES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "not a number": lambda rows: np.full(len(rows), np.nan),
    "without end": lambda rows: np.full(len(rows), np.inf),
    "too few": lambda rows: np.zeros(1),
    "a table": lambda rows: np.zeros((len(rows), 2)),
    "none at all": fails,
}


@pytest.mark.parametrize("kind", ODD_SCORES)
def test_a_successor_that_cannot_serve_is_refused_before_it_serves(
    trained: Home, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its files are the ones that were saved: what is wrong shows only when it is asked."""
    home = copy_home(trained, tmp_path / "home")
    cls = detector_row("random_forest").cls
    champion = Champion(home.settings, BLOCKS, "random_forest")
    save_model(load_model(cls, home.settings, BLOCKS.name), home.settings)
    load = cls.load
    with monkeypatch.context() as patch:
        patch.setattr(cls, "load", lambda folder: Odd(load(folder), ODD_SCORES[kind]))
        with caplog.at_level(logging.ERROR):
            assert not champion.refresh() and not champion.refresh()
        assert champion.label == "random_forest version 1" and "random_forest version 2" in champion.refused
        (record,) = caplog.records  # once
        assert "random_forest version 1 goes on serving" in record.getMessage()
        with pytest.raises(NotTrainedError, match="what it has learned.*hdfs-pipeline train"):
            Champion(home.settings, BLOCKS, "random_forest")
    save_model(load_model(cls, home.settings, BLOCKS.name), home.settings)
    assert champion.refresh() and champion.refused == ""
    assert champion.scorer.card.version == 3


def test_a_threshold_that_is_no_number_is_refused(trained: Home) -> None:
    with pytest.raises(DataError, match="a threshold of nan"):
        Champion(trained.settings, BLOCKS, "random_forest", float("nan"))
