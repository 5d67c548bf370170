"""What can be asked for: loads, suites that are there, suites of one's own."""

from pathlib import Path

import pytest

from hdfs_pipeline.domains import all_domains
from hdfs_pipeline.errors import DataError, UsageError
from hdfs_pipeline.experiments.load.shapes import PAYLOADS, SUITES, Load, about_s, suite_named


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Upper"},
        {"name": ""},
        {"name": "../x"},
        {"name": "a", "producers": 0},
        {"name": "a", "consumers": 65},
        {"name": "a", "partitions": 0},
        {"name": "a", "duration_s": 0.5},
        {"name": "a", "rate": -1.0},
        {"name": "a", "payload": "metrics"},
    ],
)
def test_what_cannot_be_run_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Load(**wrong)  # type: ignore[arg-type]


def test_every_payload_has_a_topic_from_which_workers_begin() -> None:
    begins = {topic for domain in all_domains() for topic in domain.ways}
    assert {payload.topic for payload in PAYLOADS.values()} <= begins


def test_the_suites_have_what_they_say() -> None:
    standard, extended = SUITES["standard"], SUITES["extended"]
    assert {load.name for load in standard} < {load.name for load in extended}
    assert {load.consumers for load in standard} >= {1, 2, 3, 4}, "a curve of scaling needs four numbers"
    assert {load.duration_s for load in suite_named("standard", 7.0)} == {7.0}
    assert about_s(standard[:1], 1, 5.0) == standard[0].about_s
    assert about_s(standard[:2], 3, 5.0) == 6 * standard[0].about_s + 25.0


def test_a_suite_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("- {name: small, rate: 1000}\n- {name: wide, producers: 2, payload: web, duration_s: 60}\n")
    assert suite_named(str(path)) == (Load("small", rate=1000.0), Load("wide", 2, duration_s=60.0, payload="web"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "a list of experiments"),
        ("{name: a}", "a list of experiments"),
        ("- {producers: 2}", "has no name"),
        ("- {name: a, threads: 2}", "threads says nothing"),
        ("- {name: a, producers: two}", "wrong type"),
        ("- {name: a, producers: true}", "wrong type"),
        ("- {name: a, producers: 900}", "it can be 1 to 64"),
        ("- {name: a}\n- {name: a}", "the same name"),
        ("- [", "cannot be read as YAML"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=why):
        suite_named(str(path))


def test_a_suite_that_is_not_there_is_told() -> None:
    with pytest.raises(UsageError, match="standard, extended"):
        suite_named("nonsense")
