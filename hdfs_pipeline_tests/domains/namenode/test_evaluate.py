"""The evaluation: its figures against plain versions of them, and what the shipped recording gives."""

from pathlib import Path

import numpy as np
import pytest

from hdfs_pipeline.detectors.series.majority import MEMBERS
from hdfs_pipeline.domains.namenode.detectors import MAIN, RULES
from hdfs_pipeline.domains.namenode.evaluate import (
    evaluate_machine,
    evaluate_series,
    hit_rates,
    read_faults,
    read_reasons,
)
from hdfs_pipeline.domains.namenode.replay import SAMPLE
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.learning.training import fit
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.scoring.vus import average_precision, ranges, vus_pr
from hdfs_pipeline.settings import Settings
from hdfs_pipeline_tests.domains.namenode.watched import LABELS, NAMENODES
from hdfs_pipeline_tests.homes import Home


def plain_vus(labels: np.ndarray, scores: np.ndarray, buffer: int) -> float:
    """VUS-PR word by word: every buffer, every threshold, every labelled range."""
    spans, n, volume = ranges(labels), len(labels), 0.0
    cuts = -np.sort(-scores)[np.linspace(0, n - 1, 250).astype(int)]
    for width in range(buffer + 1):
        soft = np.zeros(n)
        for at in range(n):
            for start, end in spans:
                if start <= at <= end:
                    soft[at] += 1
                elif 0 < (away := max(start - at, at - end)) <= width // 2:
                    soft[at] += np.sqrt(1 - away / width)
        soft = np.minimum(soft, 1)
        reach = np.zeros(n, bool)
        for start, end in spans:
            reach[max(0, start - width // 2) : end + width // 2 + 1] = True
        before, area = 0.0, 0.0
        for cut in cuts:
            flagged = scores >= cut
            hits = float((soft * flagged).sum())
            edge = float((soft * flagged)[labels == 0].sum())
            groups = ranges(reach)
            seen = sum(flagged[start : end + 1].any() for start, end in groups) / len(groups)
            recall = min(hits / (labels.sum() + edge / 2), 1) * seen
            area += (recall - before) * hits / flagged.sum()
            before = recall
        volume += area
    return volume / (buffer + 1)


@pytest.mark.parametrize("seed", range(6))
def test_vus_pr_and_ap_against_plain_versions(seed: int) -> None:
    from sklearn.metrics import average_precision_score

    draw = np.random.default_rng(seed)
    n = int(draw.integers(60, 200))
    labels = np.zeros(n, int)
    for start in draw.integers(0, n, 3):
        labels[start : start + int(draw.integers(1, 15))] = 1
    if seed == 1:
        labels[[0, -1]] = 1
    scores = np.round(draw.normal(size=n) + labels, 1 if seed % 2 else 6)
    assert vus_pr(labels, scores, 12) == pytest.approx(plain_vus(labels, scores, 12), abs=1e-9)
    assert average_precision(labels, scores) == pytest.approx(average_precision_score(labels, scores))


def test_nothing_labelled_is_no_figure() -> None:
    assert np.isnan(vus_pr(np.zeros(9), np.arange(9.0))) and np.isnan(average_precision(np.zeros(9), np.arange(9.0)))


def fitted(data: Dataset, name: str, settings: Settings) -> Scorer:
    return fit(data, NAMENODES, name, settings)


def test_every_fault_of_the_shipped_recording_is_found(home: Home) -> None:
    found = evaluate_series(SAMPLE, LABELS, home.settings, fitted)
    assert set(found["detectors"]) == {"incidents", MAIN, *MEMBERS, RULES}
    assert found["detectors"]["incidents"]["threshold_rule"] == "any of majority, static_rules"
    ours = found["detectors"]["incidents"]
    assert (ours["found"], ours["of"], ours["false_incidents"]) == (5, 5, 0)
    causes = {row["fault"]: row["cause"] for row in ours["faults"]}
    assert causes == {
        "listing_storm": "listing storm",
        "process_pause_like_gc": "process pause",
        "content_summary_storm": "content-summary storm",
        "cpu_starvation": "CPU starvation",
        "metadata_write_churn": "metadata churn",
    }
    for row in ours["faults"]:
        expected = {"process_pause_like_gc": "GcTotalExtraSleepTime"}.get(row["fault"])
        assert expected in row["top"] if expected else row["best_rank"] <= 5, row
        assert row["delay_s"] <= 45
    assert ours["ap"] > 0.75 and ours["vus_pr"] > 0.9
    kinds = {each["kind"] for each in found["baseline"]["findings"]}
    assert kinds == {"short", "idle operations"}


def test_a_baseline_that_is_too_short_is_told(home: Home) -> None:
    with pytest.raises(DataError, match="needs 30 steps without a gap, has 12"):
        evaluate_series(SAMPLE, LABELS, home.settings, fitted, baseline_s=115)


def machine(folder: Path) -> Path:
    """A machine whose metrics 2 and 5 leave the wave that all follow."""
    draw = np.random.default_rng(5)
    wave = 0.5 + 0.2 * np.sin(np.arange(900) / 20)[:, None] * np.ones(8)
    values = (wave + draw.normal(0, 0.02, wave.shape)).clip(0, 1).astype(np.float32)
    test, labels = values[600:].copy(), np.zeros(300, int)
    test[100:160, [2, 5]] += 0.3
    labels[100:160] = 1
    np.savez(folder / "m.npz", train=values[:600], test=test, label=labels)
    (folder / "m.interpretation_label.txt").write_text("100-159:3,6\n")
    return folder / "m.npz"


def test_a_machine_by_points_and_by_root_cause(tmp_path: Path, home: Home) -> None:
    settings = home.settings.model_copy(update={"namenode_epochs": 10})
    found = evaluate_machine(machine(tmp_path), settings, seed=3)
    assert found["explained"] == 1 and found["seed"] == 3 and found["anomalous"] == pytest.approx(60 / 300)
    assert set(found["detectors"]) == {MAIN, *MEMBERS}
    for name in (MAIN, "lstm_autoencoder", "pca_residual"):
        each = found["detectors"][name]
        assert each["ap"] > 0.6 and each["vus_pr"] > 0.6 and each["root_cause"]["hit_100"] == 1, name


def test_hit_rates_against_the_definition() -> None:
    errors = np.array([[1.0, 9, 5, 7], [1, 9, 5, 7], [0, 0, 0, 1]])
    assert hit_rates(errors, [(0, 1, (1, 2))]) == {"hit_100": 0.5, "hit_150": 1.0}
    assert hit_rates(errors, [(0, 1, (1, 3)), (2, 2, (0,))]) == {"hit_100": 0.5, "hit_150": 0.5}
    assert hit_rates(errors, []) is None


def test_files_that_are_something_else(tmp_path: Path, home: Home) -> None:
    (tmp_path / "x").write_text("nothing of the kind\n")
    for read in (read_faults, read_reasons):
        with pytest.raises(DataError):
            read(tmp_path / "x")
    np.savez(tmp_path / "y.npz", train=np.zeros((3, 2)))
    with pytest.raises(DataError, match="train, test and label"):
        evaluate_machine(tmp_path / "y.npz", home.settings)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [7, 1, 2])
@pytest.mark.parametrize("name", ["machine-1-6", "machine-2-1", "asd-omi-1"])
def test_the_majority_is_no_worse_than_the_best_of_its_members(name: str, seed: int, shared: Path, home: Home) -> None:
    found = evaluate_machine(shared / "server_metrics" / f"{name}.npz", home.settings, seed=seed)["detectors"]
    assert found[MAIN]["ap"] >= max(found[member]["ap"] for member in MEMBERS) - 0.02
