"""Which detectors a domain has by name, which of them serves, and which features they read."""

from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline.detectors import DETECTORS, detector_row
from hdfs_pipeline.domains import DOMAINS, all_domains
from hdfs_pipeline.domains.champions import (
    BEST,
    families,
    load_scorer,
    named_champion,
    named_detectors,
    ready_detectors,
    serving_detector,
    standard_detectors,
)
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.scoring.models import detector_folder, keep_choice, trained_detectors
from hdfs_pipeline.settings import Settings
from hdfs_pipeline_tests.homes import BLOCKS, FAST, Home, copy_home

every_domain = pytest.mark.parametrize("domain", all_domains(), ids=DOMAINS)


@pytest.fixture
def home(trained: Home, tmp_path: Path) -> Home:
    return copy_home(trained, tmp_path / "home")


def with_champion(home: Home, name: str) -> Settings:
    return home.settings.model_copy(update={"champion": name})


def untrain(home: Home, *names: str) -> None:
    for name in names:
        (detector_folder(home.settings, "blocks", name) / "champion").unlink()


def test_names_and_groups_of_detectors() -> None:
    assert named_detectors(BLOCKS, ["keywords", "random_forest", "keywords"]) == ["random_forest", "keywords"]
    with pytest.raises(DataError, match="did you mean 'keywords'"):
        named_detectors(BLOCKS, ["keyword"])
    assert named_detectors(BLOCKS, []) == []


@every_domain
def test_groups_are_the_domains_own(domain: Domain) -> None:
    """In the order of DETECTORS; of a group only those that are trained, where that is asked for."""
    assert named_detectors(domain, ["all"]) == list(domain.detectors)
    assert named_detectors(domain, ["standard"]) == list(standard_detectors(domain))
    assert set(standard_detectors(domain)) <= set(domain.detectors) <= set(DETECTORS)
    assert list(domain.detectors) == [name for name in DETECTORS if name in domain.detectors]
    last = domain.detectors[-1]
    assert named_detectors(domain, ["all", "standard"], {last}) == [last]
    assert named_detectors(domain, ["standard", last], ()) == [last], "what is named is meant, trained or not"


@every_domain
def test_detectors_on_other_features_are_not_the_domains(domain: Domain) -> None:
    for name, row in DETECTORS.items():
        if row.cls.features in domain.families:
            assert domain.row(name).cls.name == name
            continue
        with pytest.raises(DataError, match=f"{name} reads no features of {domain.name}; there are "):
            named_detectors(domain, [name])


@every_domain
def test_the_default_detector_is_one_of_the_domain(domain: Domain) -> None:
    assert domain.row(domain.default_detector).cls.name == domain.default_detector


@every_domain
def test_families_are_those_that_detectors_read(domain: Domain) -> None:
    assert families(domain, []) == ()
    assert set(families(domain, domain.detectors)) <= set(domain.families)
    for name in domain.detectors:
        assert families(domain, [name, name]) == (detector_row(name).cls.features,)


def test_the_champion_of_the_settings_serves(home: Home) -> None:
    for name in FAST:
        settings = with_champion(home, name)
        assert named_champion(settings, BLOCKS) == serving_detector(settings, BLOCKS) == name


def test_the_best_is_the_one_that_was_chosen(home: Home) -> None:
    """Before the first choice that is the domain's default."""
    settings = with_champion(home, BEST)
    assert named_champion(settings, BLOCKS) == BLOCKS.default_detector
    keep_choice(settings, "blocks", {"detector": "exact_match"})
    assert named_champion(settings, BLOCKS) == serving_detector(settings, BLOCKS) == "exact_match"
    assert named_champion(with_champion(home, "keywords"), BLOCKS) == "keywords", "settings that name one decide"


def test_without_its_model_the_first_that_has_one_stands_in(home: Home) -> None:
    settings = with_champion(home, "autoencoder")
    assert serving_detector(settings, BLOCKS) == "random_forest"
    untrain(home, "random_forest")
    assert serving_detector(settings, BLOCKS) == "exact_match"
    untrain(home, "exact_match", "keywords")
    assert serving_detector(settings, BLOCKS) == "lifecycle", "which needs no model"


def test_a_detector_on_sequences_stands_in_for_nobody(home: Home) -> None:
    untrain(home, *FAST)
    folder = detector_folder(home.settings, "blocks", "lstm")
    folder.mkdir(parents=True)
    (folder / "champion").write_text("1")
    assert trained_detectors(home.settings, "blocks") == ["lstm"]
    assert serving_detector(home.settings, BLOCKS) == "lifecycle"
    assert ready_detectors(home.settings, BLOCKS) == ["lifecycle", "lstm"]
    assert serving_detector(with_champion(home, "lstm"), BLOCKS) == "lstm"


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("autoencoder", NotTrainedError, "hdfs-pipeline train --detector autoencoder"),
        ("random_forrest", DataError, "did you mean 'random_forest'"),
    ],
)
def test_a_scorer_that_there_is_not(trained: Home, name: str, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        load_scorer(trained.settings, BLOCKS, name)
    with pytest.raises(NotTrainedError, match="train --detector exact_match"):
        load_scorer(trained.settings, BLOCKS, "exact_match", 9)
