"""The features of messages, the rules, and what an explanation says of each kind."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hdfs_pipeline.detectors.message_forest import COLUMNS
from hdfs_pipeline.domains.applogs import explain
from hdfs_pipeline.domains.applogs.features import FAMILY, matrices, quantised, service_code, template_code
from hdfs_pipeline.domains.applogs.knowledge import knowledge_of
from hdfs_pipeline.scoring.explain import Difference
from hdfs_pipeline.settings import Settings, load_settings

SETTINGS = load_settings(Path("nowhere"))


def message(**given: object) -> pa.Table:
    row = {
        "message_id": 7,
        "time": datetime(2026, 11, 30, 23, 58, 1, tzinfo=UTC),
        "service": "shop",
        "level": "ERROR",
        "message": "payment failed: Timeout",
        "template": "E12",
        "messages": 30,
        "errors": 2,
    }
    return pa.Table.from_pylist([row | given])


def row_of(table: pa.Table, settings: Settings = SETTINGS) -> dict[str, float]:
    values = matrices(table, settings)[FAMILY].values[0]
    return dict(zip(COLUMNS, values.tolist(), strict=True))


def test_what_a_message_says_of_itself() -> None:
    assert row_of(message()) == {
        "service": service_code("shop"),
        "template": 12,
        "level": 5,
        "length": quantised(np.array([23]), 8)[0],
        "fatal": 0,
        "failures": 2,
        "warnings": 0,
        "weekday": 0,
        "hour": 23,
        "minute": 55,
        "messages": quantised(np.array([30]), 4)[0],
        "errors": 2,
    }
    berlin = row_of(message(), SETTINGS.model_copy(update={"log_timezone": "Europe/Berlin"}))
    assert (berlin["weekday"], berlin["hour"], berlin["minute"]) == (1, 0, 55)


def test_numbers_are_whole_and_exact_in_float32() -> None:
    codes = [service_code(f"service {at}") for at in range(1000)]
    assert len({*codes}) == 1000
    assert all(0 < code < 1 << 24 for code in codes)
    assert [template_code(name) for name in ("E7", "UNKNOWN", "")] == [7, 0, 0]
    many = quantised(np.arange(1, 100_000), 4)
    assert (np.diff(many) >= 0).all() and (many == np.round(many)).all()
    assert len(np.unique(many)) < 80
    assert (many <= np.arange(1, 100_000)).all() and (many >= np.arange(1, 100_000) / 1.2 - 1).all()


RULES: dict[str, dict[str, object]] = {
    "error-burst": {"errors": 40, "messages": 60},
    "fatal-level": {"level": "FATAL"},
    "fatal-word": {"message": "java.lang.OutOfMemoryError: Java heap space", "level": "INFO"},
}


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_is_broken_by_what_it_tells_of(rule: str) -> None:
    knowledge = knowledge_of(SETTINGS)
    assert set(knowledge.ids) == set(RULES)
    grades = matrices(message(**RULES[rule]), SETTINGS)["rules"]
    assert [name for name, grade in zip(grades.columns, grades.values[0], strict=True) if grade] == [rule]
    assert knowledge.by_id[rule].kind in explain.KINDS
    assert not matrices(message(), SETTINGS)["rules"].values.any()


def test_every_difference_is_put_into_words_and_has_a_kind() -> None:
    vocabulary = explain.vocabulary(SETTINGS)
    assert vocabulary.say is not None and vocabulary.new is not None
    for column in COLUMNS:
        difference = Difference(column, vocabulary.describe(column), "out of proportion", 3, 1, 1.0)
        assert vocabulary.say(difference)
        assert vocabulary.new(difference) in explain.KINDS
