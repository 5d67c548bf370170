"""What every detector promises: each row of DETECTORS is put through each check below."""

import io
import os
import pickletools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hdfs_pipeline
from hdfs_pipeline.detectors import DETECTORS, make_detector
from hdfs_pipeline.detectors.message_forest import COLUMNS as MESSAGE_COLUMNS
from hdfs_pipeline.detectors.seasonal import LAYOUT as WINDOW_COLUMNS
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.scoring.contracts import Detector
from hdfs_pipeline.scoring.scorer import Card, Scorer
from hdfs_pipeline.settings import load_settings
from hdfs_pipeline_tests.detectors.conftest import CONSTANT, PLANTED, Blocks, Steps, World, make_blocks

PROJECT = Path(hdfs_pipeline.__file__).parent.parent
CHECKS: list[Callable[["Case"], None]] = []
STEPS = 64
"""Events of a block that a matrix of sequences holds here."""
MADE_WITH: dict[str, dict[str, Any]] = {
    "autoencoder": {"steps": 300, "lr": 0.01},
    "lstm": {"steps": 100},
    "transformer": {"steps": 200},
    "majority": {"epochs": 3},
    "lstm_autoencoder": {"epochs": 3},
    "static_rules": {"limits": {f"c{PLANTED}": 1.0}},
}
"""How detectors are made here, where that is not as by default: rules need limits, and less learning is enough."""
SCORES_WITH = {"majority": {"torch"}, "lstm_autoencoder": {"torch"}}
"""Training libraries that scoring needs all the same: the LSTM autoencoder's network has no ONNX graph."""


@dataclass(frozen=True)
class Case:
    """One detector among all (trained) ones, with its view of the blocks and a folder to write into."""

    name: str
    others: dict[str, Detector]
    train: World
    held_out: World
    folder: Path

    @property
    def detector(self) -> Detector:
        """The detector in question, trained."""
        return self.others[self.name]

    before_it_loads: str = ""
    """Python that a fresh process runs first: what makes a detector known that is not among the project's."""

    def planted(self, values: np.ndarray) -> np.ndarray:
        """Where the planted cause stands in rows of this detector's matrix: (n, d) bool."""
        if self.detector.features == "sequences":
            return values == 1 + PLANTED
        if self.detector.features == "messages":
            return np.arange(values.shape[1])[None] == MESSAGE_COLUMNS.index("failures")
        if self.detector.features == "windows":
            return np.arange(values.shape[1])[None] == WINDOW_COLUMNS.index("error_share")
        one = self.detector.features in ("keywords", "rules")
        return np.arange(values.shape[1])[None] == (0 if one else PLANTED)

    def scorer(self) -> Scorer:
        """The detector with a card, as it serves."""
        columns = tuple(f"c{at}" for at in range(self.train.values.shape[1]))
        facts: dict[str, Any] = {field.name: None for field in fields(Card) if field.default is MISSING}
        facts |= {"detector": self.name, "family": self.detector.features, "columns": columns}
        facts |= {"source": "here.v1", "threshold": 0.5}
        return Scorer(self.detector, Card(**facts), self.train.values, self.train.values)

    def again(self, inputs: Any, labels: np.ndarray, weights: np.ndarray) -> Detector:
        """Another detector of the same kind and seed, trained on what is given."""
        return untrained(self.name).fit(inputs, labels, weights)

    @property
    def file(self) -> Path:
        """The one file of the saved model."""
        self.detector.save(self.folder)
        (file,) = self.folder.iterdir()
        return file


def view(blocks: Blocks, features: str) -> World:
    """What a detector with these features reads; the planted column plays the part of the alarms, and of a rule."""
    if features == "series":
        return Steps.of(blocks)
    if features == "sequences":
        return Blocks(in_order(blocks.values), blocks.labels)
    if features == "rules":
        return Blocks(2 * (blocks.values[:, [PLANTED]] > 0).astype(np.float32), blocks.labels)
    if features == "messages":
        return Blocks(as_messages(blocks.values), blocks.labels)
    if features == "windows":
        return Blocks(as_windows(blocks.values), blocks.labels)
    return (
        blocks if features in ("events", "minutes", "requests") else Blocks(blocks.values[:, [PLANTED]], blocks.labels)
    )


def as_messages(counts: np.ndarray) -> np.ndarray:
    """Messages (n, k) float32 of two services, with as many words of failure as blocks have planted events."""
    values = np.zeros((len(counts), len(MESSAGE_COLUMNS)), np.float32)
    place = {name: at for at, name in enumerate(MESSAGE_COLUMNS)}
    values[:, place["service"]] = counts[:, 0]
    for at, name in enumerate(("template", "level", "warnings", "hour"), start=5):
        values[:, place[name]] = counts[:, at]
    values[:, place["length"]] = 40 + 5 * counts[:, 9]
    values[:, place["failures"]] = counts[:, PLANTED]
    return values


def as_windows(counts: np.ndarray) -> np.ndarray:
    """Minutes (n, k) float32 of one service on two days; of a hundred requests as many fail as there are planted."""
    values = np.zeros((len(counts), len(WINDOW_COLUMNS)), np.float32)
    place = {name: at for at, name in enumerate(WINDOW_COLUMNS)}
    values[:, place["group"]], values[:, place["requests"]] = 7, 100 + counts[:, 0]
    values[:, place["hour_of_week"]] = np.arange(len(counts)) % 48
    values[:, place["errors"]] = np.minimum(30 * counts[:, PLANTED], 90)
    values[:, place["error_share"]] = values[:, place["errors"]] / values[:, place["requests"]]
    values[:, place["timed"]] = values[:, place["requests"]]
    for at, name in enumerate(("mean_ms", "sd_ms", "p50_ms", "p95_ms"), start=5):
        values[:, place[name]] = 40 + counts[:, at]
    return values


def in_order(counts: np.ndarray) -> np.ndarray:
    """Events (n, STEPS) float32 of blocks with these counts (n, d), one column's after the other's, then 0."""
    values = np.zeros((len(counts), STEPS), np.float32)
    for row, each in zip(values, counts.astype(np.int64), strict=True):
        events = np.repeat(np.arange(1, len(each) + 1), each)
        row[: len(events)] = events
    return values


@pytest.fixture(scope="module")
def all_trained(train: Blocks) -> dict[str, Detector]:
    """Every detector, trained once for all checks."""
    return {name: trained(name, train) for name in DETECTORS}


def trained(name: str, blocks: Blocks) -> Detector:
    """A detector that has learned its view of the blocks."""
    detector = untrained(name)
    return detector.fit(*view(blocks, detector.features).distinct)


def untrained(name: str) -> Detector:
    """A detector that has not learned yet."""
    return make_detector(name, load_settings(), **MADE_WITH.get(name, {}))


def make_case(
    name: str, others: dict[str, Detector], train: Blocks, held_out: Blocks, folder: Path, before_it_loads: str = ""
) -> Case:
    """The case of a detector among others, with a new folder."""
    features = others[name].features
    folder.mkdir(parents=True)
    return Case(name, others, view(train, features), view(held_out, features), folder, before_it_loads)


def check(function: Callable[[Case], None]) -> Callable[[Case], None]:
    """Make a function one of the checks."""
    CHECKS.append(function)
    return function


@check
def a_fresh_process_gives_the_same_scores(case: Case) -> None:
    """Saved here, loaded and scored there, bit by bit, and without a library that is for training."""
    folder, apart = case.file.parent, case.folder.parent
    case.held_out.write(apart)
    libraries = {"torch", "sklearn", "skl2onnx"} - SCORES_WITH.get(case.name, set())
    program = (
        f"{case.before_it_loads}\n"
        "import sys, pathlib, numpy; from hdfs_pipeline.detectors import detector_row\n"
        f"{case.held_out.READ}\n"
        "name, folder = sys.argv[1], pathlib.Path(sys.argv[2])\n"
        "scores = detector_row(name).cls.load(folder).score(inputs)\n"
        "numpy.save('scores.npy', scores)\n"
        f"assert not {libraries} & set(sys.modules), 'scoring needs no training library'\n"
    )
    command = [sys.executable, "-c", program, case.name, str(folder)]
    subprocess.run(command, check=True, timeout=60, cwd=apart, env={**os.environ, "PYTHONPATH": str(PROJECT)})
    scores = np.load(apart / "scores.npy")
    np.testing.assert_array_equal(scores, case.detector.score(case.held_out.inputs))


@check
def a_loaded_detector_can_be_saved_again(case: Case) -> None:
    """What is loaded writes the same file."""
    before = case.file.read_bytes()
    type(case.detector).load(case.folder).save(case.folder)
    assert case.file.read_bytes() == before


@check
def no_pickle_is_saved(case: Case) -> None:
    """The file has a data format's name, and does not disassemble as a pickle."""
    assert case.file.name in {"model.onnx", "model.safetensors"}
    with pytest.raises((ValueError, KeyError, IndexError)):
        pickletools.dis(case.file.read_bytes(), out=io.StringIO())


@check
def the_same_seed_gives_the_same_model(case: Case) -> None:
    """Trained again, on the same rows in another order (steps in time keep theirs): the same bytes."""
    before = case.file.read_bytes()
    inputs, labels, weights = case.train.distinct
    if not case.detector.ordered:
        order = np.random.default_rng(1).permutation(len(labels))
        inputs, labels, weights = inputs[order], labels[order], weights[order]
    case.again(inputs, labels, weights).save(case.folder)
    assert case.file.read_bytes() == before


@check
def learning_goes_on_from_a_saved_model(case: Case) -> None:
    """From old and new blocks together, as a trained model loaded again would: the same each time, and good at both."""
    from sklearn.metrics import roc_auc_score

    both = case.train.followed_by(case.held_out)
    before = type(case.detector).load(case.file.parent)
    one, same = (untrained(case.name).resume(before, *both.distinct) for _ in range(2))
    scores = one.score(both.inputs)
    np.testing.assert_array_equal(same.score(both.inputs), scores)
    # Among all blocks, a twentieth of them alike in what is wrong, what is wrong is less odd than among normal ones.
    assert roc_auc_score(both.labels, scores) >= (0.9 if one.learns_from == "all" else 0.95)


@check
def weights_mean_repetition(case: Case) -> None:
    """Repeated rows of weight 1 train the same model as distinct rows with weights."""
    if case.detector.ordered:
        pytest.skip(f"{case.name} learns steps in time: each stands for itself, and none is given once with a weight")
    repeated = case.again(case.train.values, case.train.labels, np.ones(len(case.train.labels)))
    np.testing.assert_array_equal(repeated.score(case.held_out.values), case.detector.score(case.held_out.values))


@check
def a_row_scores_the_same_in_any_company(case: Case) -> None:
    """Neither the order of the rows nor their number changes a score: thresholds sit next to scores.

    A step in time is scored by the window that it ends: what comes before a break changes no score after it.
    """
    scores = case.detector.score(case.held_out.inputs)
    if case.detector.ordered:
        later = np.arange(Steps.BREAK, len(scores))
        alone = case.detector.score(case.held_out.take(later).inputs)
        np.testing.assert_allclose(alone, scores[later], rtol=1e-5)
        return
    values = case.held_out.values
    np.testing.assert_array_equal(case.detector.score(values[::-1])[::-1], scores)
    alone = np.concatenate([case.detector.score(values[row : row + 1]) for row in range(50)])
    np.testing.assert_array_equal(alone, scores[:50])
    many = np.tile(values, (20, 1))
    np.testing.assert_array_equal(case.detector.score(many), np.tile(scores, 20))


@check
def no_rows_give_no_scores(case: Case) -> None:
    """An empty matrix is scored and explained."""
    empty = case.held_out.take(np.arange(0))
    assert case.detector.score(empty.inputs).shape == (0,)
    assert case.detector.score(empty.inputs).dtype == np.float64
    assert case.detector.explain(empty.inputs, empty.values).shape == empty.values.shape


@check
def scores_are_finite_numbers(case: Case) -> None:
    """Float64, one per row, finite, also for counts far beyond training, or nothing but an event never seen."""
    beyond = 1 + CONSTANT if case.detector.features == "sequences" else 1e6
    row = case.held_out.take(np.arange(1)).changed(lambda values: np.full_like(values, beyond))
    world = case.held_out.followed_by(row)
    scores = case.detector.score(world.inputs)
    assert scores.shape == (len(world.labels),)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()


@check
def high_means_anomalous(case: Case) -> None:
    """Planted anomalies come before held-out normals."""
    from sklearn.metrics import roc_auc_score

    assert roc_auc_score(case.held_out.labels, case.detector.score(case.held_out.inputs)) >= 0.9


@check
def the_input_is_left_alone(case: Case) -> None:
    """Neither scoring nor explaining writes into its input (which may be shared memory)."""
    world = case.held_out.frozen()
    case.detector.score(world.inputs)
    case.detector.explain(world.inputs, world.values)
    np.testing.assert_array_equal(world.values, case.held_out.values)


@check
def other_layouts_score_the_same(case: Case) -> None:
    """Column-major and strided matrices are read as what they hold."""
    expected = case.detector.score(case.held_out.inputs)
    for change in (np.asfortranarray, lambda values: np.repeat(values, 2, axis=0)[::2]):
        np.testing.assert_array_equal(case.detector.score(case.held_out.changed(change).inputs), expected)


@check
def the_planted_column_explains_most(case: Case) -> None:
    """Shares have the matrix's shape, are not negative and sum to 1; the cause has the largest."""
    normals = make_blocks(3).normals[:40]
    changed = normals.copy()
    changed[:, PLANTED] += 4
    world, nearest = (view(Blocks(rows, np.zeros(40)), case.detector.features) for rows in (changed, normals))
    shares = case.detector.explain(world.inputs, nearest.values)
    assert shares.shape == world.values.shape
    assert shares.dtype == np.float64
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    largest = shares == shares.max(axis=1, keepdims=True)
    assert (largest & case.planted(world.values)).any(axis=1).all()


@check
def shares_of_a_normal_row_sum_to_one_or_nothing(case: Case) -> None:
    """A row that is its own nearest normal has shares too, or none at all."""
    normals = case.train.normals
    total = case.detector.explain(normals, getattr(normals, "values", normals)).sum(axis=1)
    assert (np.isclose(total, 1) | (total == 0)).all()


@check
def shares_are_parts_of_the_score_where_that_is_claimed(case: Case) -> None:
    """Of an additive detector: parts add up to the score, and share × score is each column's part."""
    values = case.held_out.values
    if not case.detector.additive:
        with pytest.raises(NotImplementedError):
            case.detector.parts(case.held_out.inputs)
        return
    parts, scores = case.detector.parts(values), case.detector.score(values)
    assert (parts >= 0).all()
    assert scores.max() > 1
    np.testing.assert_allclose(parts.sum(axis=1), scores, rtol=1e-6, atol=1e-8)
    shares = case.detector.explain(values, values)
    np.testing.assert_allclose(shares * scores[:, None], parts, rtol=1e-5, atol=1e-8)
    assert case.detector.parts(values[:0]).shape == values[:0].shape


@check
def pieces_teach_what_the_whole_does(case: Case) -> None:
    """Of an online detector: pieces of any size, and of one kind; put away and loaded again on the way."""
    from sklearn.metrics import roc_auc_score

    train, held_out = case.train, case.held_out
    if not case.detector.online:
        with pytest.raises(NotImplementedError):
            case.detector.partial_fit(train.inputs, train.labels, np.ones(len(train.labels)))
        return
    draw = np.random.default_rng(2)
    mixed = draw.permutation(len(train.labels))
    by_label = np.argsort(train.labels, kind="stable")
    cuts = np.sort(draw.choice(np.arange(1, len(mixed)), 12, replace=False))
    for order, where in ((mixed, cuts), (mixed, [1, 2, 3]), (by_label, [300, 600]), (by_label[::-1], [20])):
        one = make_detector(case.name, load_settings())
        for rows in np.split(order, where):
            one = one.partial_fit(train.values[rows], train.labels[rows], np.ones(len(rows)))
            kept = type(one)
            one.save(case.folder)
            one, before = kept.load(case.folder), one.score(held_out.values)
            np.testing.assert_array_equal(one.score(held_out.values), before)
        assert roc_auc_score(held_out.labels, one.score(held_out.values)) >= 0.95, where


@check
def other_columns_are_refused_by_name(case: Case) -> None:
    """Missing, unexpected, in another order: the scorer says which."""
    scorer, world = case.scorer(), case.held_out
    columns = scorer.card.columns
    assert len(scorer.score(world.matrix(columns, "here.v1"))) == len(world.labels)
    with pytest.raises(DataError, match="unexpected .*'more'"):
        scorer.score(
            world.matrix((*columns, "more"), "here.v1", lambda values: np.column_stack([values, values[:, 0]]))
        )
    with pytest.raises(DataError, match=f"missing .*'{columns[-1]}'"):
        scorer.score(world.matrix(columns[:-1], "here.v1", lambda values: values[:, :-1]))
    with pytest.raises(DataError, match=r"here\.v1"):
        scorer.score(world.matrix(columns, "there.v1"))


@check
def a_missing_model_is_named(case: Case) -> None:
    """The message says what to run."""
    with pytest.raises(NotTrainedError, match=f"hdfs-pipeline train --detector {case.name}"):
        type(case.detector).load(case.folder / "nowhere")


@check
def a_damaged_model_is_refused(case: Case) -> None:
    """Cut off anywhere, emptied, or filled with something else."""
    file = case.file
    whole = file.read_bytes()
    cuts = {int(len(whole) * share) for share in (0, 0.01, 0.3, 0.5, 0.9, 0.99)} | {len(whole) - 1, len(whole) - 8}
    for content in [whole[:cut] for cut in sorted(cuts)] + [b"garbage" * 100, bytes(len(whole)), whole[::-1]]:
        file.write_bytes(content)
        with pytest.raises(NotTrainedError, match=f"hdfs-pipeline train --detector {case.name}"):
            type(case.detector).load(case.folder)


@check
def another_detectors_model_is_refused(case: Case) -> None:
    """A file that got into the wrong folder is not scored with."""
    for name, other in case.others.items():
        folder = case.folder / name
        folder.mkdir()
        other.save(folder)
        if name == case.name:
            type(case.detector).load(folder)
            continue
        with pytest.raises(NotTrainedError):
            type(case.detector).load(folder)


@pytest.mark.parametrize("promise", CHECKS, ids=[function.__name__ for function in CHECKS])
@pytest.mark.parametrize("name", DETECTORS)
def test_conformance(
    all_trained: dict[str, Detector],
    train: Blocks,
    held_out: Blocks,
    tmp_path: Path,
    name: str,
    promise: Callable[[Case], None],
) -> None:
    """One check of one detector."""
    promise(make_case(name, all_trained, train, held_out, tmp_path / "model"))
