"""A home of the last release with NameNode models of their own: all of it opens, and its models score as they did."""

from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline.domains.champions import load_scorer
from hdfs_pipeline.domains.namenode.detectors import LEARNING, RULES
from hdfs_pipeline.domains.namenode.reports import list_incidents, model_status
from hdfs_pipeline.learning.retraining import roll_back_all
from hdfs_pipeline.verdicts.feedback import words
from hdfs_pipeline_tests.domains.namenode.watched import NAMENODE, NAMENODES, update
from hdfs_pipeline_tests.homes import Home, open_home
from hdfs_pipeline_tests.old_home import unpack

_SCORES = """SELECT item, detector, version, score, threshold, is_anomaly FROM scores
    WHERE domain = 'namenode' AND time >= (SELECT max(time) FROM scores WHERE domain = 'namenode') - INTERVAL 1 HOUR
    ORDER BY detector, time"""


@pytest.fixture
def old(tmp_path: Path) -> Home:
    home = open_home(unpack(tmp_path))
    with home.store.write():
        pass
    return home


def test_its_models_load(old: Home) -> None:
    status = model_status(old.settings)
    assert (status["serving"], status["versions"], status["namenode"]) == (2, [1, 2], NAMENODE)
    assert set(status["detectors"]) == set(LEARNING) and status["steps"] == 30 and status["role"] == "active"
    for name in LEARNING:
        scorer = load_scorer(old.settings, NAMENODES, name)
        assert (scorer.detector.params, scorer.detector.seed) == (scorer.card.params, scorer.card.seed)
    assert load_scorer(old.settings, NAMENODES, "lstm_autoencoder").detector.params["sequence_length"] == 30


def test_its_incidents_and_marks_are_there(old: Home) -> None:
    incidents = list_incidents(old.store)
    assert [incident["cause"] for incident in incidents[-5:]] == [
        *("metadata churn", "CPU starvation", "content-summary storm", "process pause", "listing storm")
    ]
    assert [incident["status"] for incident in incidents[-2:]] == ["false", "maintenance"]
    assert all(incident["metrics"] and incident["namenode"] == NAMENODE for incident in incidents)
    stretches = [(word["verdict"], word["entity"], word["item"]) for word in words(old.store, NAMENODES)]
    assert sorted(stretches) == [("false", NAMENODE, ""), ("maintenance", NAMENODE, "")]


def test_its_models_score_as_they_did(old: Home) -> None:
    """Digit by digit, and the incidents of the last hour come out the same, but for one word of their evidence."""

    def listed() -> list[dict[str, Any]]:
        words = ("collection took", "collection stopped it for")
        return [{**found, "evidence": found["evidence"].replace(*words)} for found in list_incidents(old.store)]

    before, incidents = old.rows(_SCORES), listed()
    with old.store.write() as con:
        con.execute(
            "DELETE FROM scores WHERE domain = 'namenode' AND time >= (SELECT started_at FROM incidents "
            "WHERE domain = 'namenode' ORDER BY started_at DESC LIMIT 1 OFFSET 4)"
        )
    done = update(old)
    assert done.version == 2 and len(done.incidents) >= 5 and {row[1] for row in before} == {*LEARNING, RULES}
    assert old.rows(_SCORES) == before and listed() == incidents
    flagged = [(row[0], row[1]) for row in before if row[-1]]
    told = old.rows("SELECT item, detector, reason FROM anomalies WHERE domain = 'namenode'")
    assert {row[:2] for row in told} <= set(flagged) and all(" instead of " in reason for *_, reason in told)


def test_its_models_are_rolled_back(old: Home) -> None:
    assert [(done.detector, done.before, done.now) for done in roll_back_all(old.settings, NAMENODES)] == [
        (name, 2, 1) for name in LEARNING
    ]
    assert model_status(old.settings)["serving"] == 1
