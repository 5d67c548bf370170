"""What there is to know of detectors and versions, also where a model is missing or damaged."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

from hdfs_pipeline.domains import all_domains
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.learning.retraining import roll_back
from hdfs_pipeline.scoring.models import model_folder, save_model
from hdfs_pipeline.verdicts.models import (
    choice_of,
    detectors_of,
    earlier_version,
    history_of,
    judged_on,
    serving_card,
    versions_of,
)
from hdfs_pipeline_tests.homes import BLOCKS, Home, copy_home
from hdfs_pipeline_tests.scoring.test_models import make_scorer


def test_every_detector_of_every_domain_is_told_in_a_new_home(home: Home) -> None:
    for domain in all_domains():
        found = detectors_of(home.settings, domain)
        assert [each["detector"] for each in found] == list(domain.detectors)
        assert all(each["about"] and each["rule"] and each["trained_by"] for each in found)
        assert [each["detector"] for each in found if each["serves"]] == [domain.day_one] * bool(domain.day_one)
        assert {each["version"] for each in found if each["ready"]} <= {0}
        assert choice_of(home.settings, domain)["choice"] is None


def test_a_damaged_version_is_left_out(trained: Home, tmp_path: Path) -> None:
    home = copy_home(trained, tmp_path / "home")
    (version,) = versions_of(home.settings, BLOCKS, ["exact_match"])
    assert version.serves and judged_on(version.card) == ("chronological", version.card.metrics["chronological"])
    (model_folder(home.settings, "blocks", "exact_match") / "vectors.safetensors").write_bytes(b"damaged")
    assert versions_of(home.settings, BLOCKS, ["exact_match"]) == []
    assert serving_card(home.settings, BLOCKS, "exact_match") is None
    (told,) = [each for each in detectors_of(home.settings, BLOCKS) if each["detector"] == "exact_match"]
    assert told["version"] is None and told["ready"]


def test_what_served_is_told_the_latest_first(trained: Home, tmp_path: Path) -> None:
    home = copy_home(trained, tmp_path / "home")
    assert earlier_version(home.settings, BLOCKS, "exact_match") is None
    save_model(make_scorer(2), home.settings)
    assert earlier_version(home.settings, BLOCKS, "exact_match") == 1
    roll_back(home.settings, BLOCKS, "exact_match", by="ada", note="worse")
    served = history_of(home.settings, BLOCKS, "exact_match")
    assert [(each["version"], each["by"], each["note"]) for each in served] == [
        (1, "ada", "worse"),
        (2, "", ""),
        (1, "", ""),
    ]
    assert history_of(home.settings, BLOCKS, "pca") == []


def test_of_several_who_change_what_serves_at_once_each_changes_something_or_is_told(
    trained: Home, tmp_path: Path
) -> None:
    home = copy_home(trained, tmp_path / "home")
    for version in (2, 3):
        save_model(make_scorer(version), home.settings)
    before = len(history_of(home.settings, BLOCKS, "exact_match"))

    def change(to: int) -> int:
        try:
            return roll_back(home.settings, BLOCKS, "exact_match", to).now
        except DataError:
            return 0

    with ThreadPoolExecutor(8) as pool:
        done = [version for version in pool.map(change, [1, 2] * 12) if version]
    served = [each["version"] for each in history_of(home.settings, BLOCKS, "exact_match")]
    assert len(served) == before + len(done) and sorted(served[: len(done)]) == sorted(done)
    assert all(later != earlier for later, earlier in pairwise(served))
