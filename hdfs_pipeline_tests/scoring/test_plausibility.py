"""Shares of alarms that cannot be: what is said of them."""

import json

import numpy as np
import pytest

from hdfs_pipeline.domains.champions import load_scorer
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.knowledge import failed
from hdfs_pipeline.scoring.plausibility import doubts
from hdfs_pipeline.settings import Settings
from hdfs_pipeline_tests.homes import BLOCKS, Home


@pytest.fixture(scope="module")
def data(trained: Home) -> Dataset:
    return BLOCKS.features(trained.store, trained.settings, ["rules"])


def told(settings: Settings, domain: Domain, data: Dataset, flagged: np.ndarray) -> str:
    scorer = load_scorer(settings, domain, "lifecycle")
    knowledge = domain.knowledge(settings, data.main.source)
    (doubt,) = doubts(scorer, data, flagged.astype(float), settings, "", knowledge)
    return doubt.text


def test_the_likely_reasons_are_said_with_the_rule_that_most_break(trained: Home, data: Dataset) -> None:
    scorer = load_scorer(trained.settings, BLOCKS, "lifecycle")
    broken = scorer.score(data.matrix("rules")) >= scorer.card.threshold
    bad = data.take(np.flatnonzero(broken))
    text = told(trained.settings, BLOCKS, bad, np.ones(len(bad)))
    for words in ("another version of Hadoop than hdfs_v1.v1 knows", "only a part of the daemons", "whole cluster"):
        assert words in text
    assert " are of the kind '" in text
    left = text.partition("(rules_left_out = ")[2].partition(" leaves")[0]
    without = trained.settings.model_copy(update={"rules_left_out": tuple(json.loads(left))})
    fewer = BLOCKS.knowledge(without, data.main.source)
    assert fewer is not None
    still = failed(fewer.grades(bad.main.values, bad.main.unfinished))
    assert not still.all(), "the setting that is named takes alarms away"


def test_alarms_that_break_no_rule_are_the_model_s(trained: Home, data: Dataset) -> None:
    scorer = load_scorer(trained.settings, BLOCKS, "lifecycle")
    good = data.take(np.flatnonzero(scorer.score(data.matrix("rules")) == 0))
    text = told(trained.settings, BLOCKS, good, np.ones(len(good)))
    assert "a model that does not know this cluster, for 100% of the flagged blocks break no rule" in text


def test_without_rules_nobody_knows_more(trained: Home, data: Dataset) -> None:
    scorer = load_scorer(trained.settings, BLOCKS, "lifecycle")
    (doubt,) = doubts(scorer, data, np.ones(len(data)), trained.settings, "")
    assert doubt.text.endswith("either much is wrong at once, or the model does not fit these records")
