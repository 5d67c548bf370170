"""Adding a detector is one file and one row: a new one is written here, and everything else finds it."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hdfs_pipeline import detectors
from hdfs_pipeline.detectors import DETECTORS, Row
from hdfs_pipeline.learning.training import fit, judge, train
from hdfs_pipeline.scoring.contracts import Detector
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.models import load_model
from hdfs_pipeline.scoring.thresholds import Quantile
from hdfs_pipeline.settings import load_settings
from hdfs_pipeline_tests import test_docs
from hdfs_pipeline_tests.detectors.conftest import WIDTH, Blocks
from hdfs_pipeline_tests.detectors.test_conformance import CHECKS, Case, make_case, trained
from hdfs_pipeline_tests.homes import BLOCKS

NAME = "far_from_the_mean"
FILE = '''
"""Squared distance from the mean of normal blocks, in deviations."""
import numpy as np
from hdfs_pipeline.scoring.contracts import Detector, reading
from hdfs_pipeline.scoring.normals import normal_rows


class FarFromTheMean(Detector):
    """Score: summed squared differences from the mean normal vector."""

    name = "far_from_the_mean"
    learns_from = "normals"
    additive = True

    def fit(self, values, labels, weights):
        rows, blocks = normal_rows(values, labels, weights)
        order = np.lexsort(rows.T[::-1])
        rows, blocks = rows[order].astype(np.float64), blocks[order]
        self.mean = np.average(rows, axis=0, weights=blocks)
        self.deviation = np.sqrt(np.average((rows - self.mean) ** 2, axis=0, weights=blocks)) + 0.1
        return self

    def score(self, values):
        return self.parts(values).sum(axis=1)

    def parts(self, values):
        return np.ascontiguousarray(((values - self.mean) / self.deviation) ** 2)

    def explain(self, values, nearest):
        parts = self.parts(values)
        return parts / np.maximum(parts.sum(axis=1, keepdims=True), 1e-300)

    def save(self, folder):
        from safetensors.numpy import save_file

        save_file({"mean": self.mean, "deviation": self.deviation}, folder / "model.safetensors")

    @classmethod
    def load(cls, folder):
        from safetensors.numpy import load

        path, detector = folder / "model.safetensors", cls()
        with reading(cls.name, path):
            found = load(path.read_bytes())
            detector.mean, detector.deviation = found["mean"], found["deviation"]
        return detector
'''
ROW = Row(f"{NAME}:FarFromTheMean", lambda _: Quantile(0.999), "squared distance from the mean normal block")


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder with the new detector's file, which stands beside the others, and its row."""
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / f"{NAME}.py").write_text(FILE)
    monkeypatch.setattr(detectors, "__path__", [*detectors.__path__, str(folder)])
    monkeypatch.setitem(DETECTORS, NAME, ROW)
    yield folder
    sys.modules.pop(f"{detectors.__name__}.{NAME}", None)


@pytest.mark.parametrize("promise", CHECKS, ids=[function.__name__ for function in CHECKS])
def test_the_checks_take_it(
    added: Path, train: Blocks, held_out: Blocks, tmp_path: Path, promise: Callable[[Case], None]
) -> None:
    others: dict[str, Detector] = {name: trained(name, train) for name in ("exact_match", "keywords", NAME)}
    also_there = (
        f"from hdfs_pipeline import detectors; detectors.__path__.append({str(added)!r})\n"
        f"detectors.DETECTORS[{NAME!r}] = detectors.Row({ROW.path!r}, None, '')"
    )
    promise(make_case(NAME, others, train, held_out, tmp_path / "model", also_there))


def dataset(blocks: Blocks) -> Dataset:
    """Planted blocks as a home would give them."""
    count = len(blocks.labels)
    keys, columns = np.arange(count), tuple(f"E{at}" for at in range(WIDTH))
    matrices = {
        "events": FeatureMatrix(blocks.values, keys, columns, "planted.v1"),
        "keywords": FeatureMatrix(blocks.values[:, -1:], keys, ("alarms",), "keywords"),
    }
    time = np.random.default_rng(1).permutation(count).astype(np.int64)
    return Dataset("blocks", matrices, time, blocks.labels.astype(np.int8), np.full(count, "", object))


def test_it_is_trained_judged_and_saved_with_a_card(
    added: Path, train_blocks: Dataset, held_out: Blocks, tmp_path: Path
) -> None:
    settings = load_settings(tmp_path / "home").model_copy(update={"bootstrap_samples": 0})
    found = train(train_blocks, BLOCKS, NAME, settings)
    card = found.scorer.card
    assert (card.detector, card.version, card.rule) == (NAME, 1, "quantile 0.999 of the training scores")
    assert set(card.metrics) == {"random", "chronological"}
    loaded = load_model(ROW.cls, settings, "blocks")
    assert loaded.card == card
    data = dataset(held_out)
    assert judge(loaded, data, settings).evaluation.f1 > 0.9
    scores = fit(train_blocks, BLOCKS, NAME, settings).score(data.matrix("events"))
    np.testing.assert_array_equal(loaded.score(data.matrix("events")), scores)


@pytest.fixture
def train_blocks(train: Blocks) -> Dataset:
    """The blocks to learn from as a Dataset."""
    return dataset(train)


def test_it_is_a_partition_of_the_models(added: Path) -> None:
    from hdfs_pipeline.defs.learning.models import detector_partitions, standard_range

    partitions = detector_partitions(BLOCKS)
    assert NAME in partitions.get_partition_keys()
    assert NAME not in standard_range(BLOCKS).values()


def test_the_docs_have_to_tell_of_it(added: Path) -> None:
    rows = test_docs.test_the_docs_name_every_detector
    (names,) = (mark.args[1] for mark in rows.pytestmark if mark.name == "parametrize")
    assert NAME in names, "the test goes through DETECTORS"
    with pytest.raises(AssertionError):
        rows(NAME)
