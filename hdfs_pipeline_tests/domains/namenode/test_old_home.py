"""A home of the last release with NameNode models of their own: all of it opens, and its models score as they did."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline.detectors.series.majority import MEMBERS
from hdfs_pipeline.domains.champions import load_scorer
from hdfs_pipeline.domains.namenode.detectors import MAIN, RULES
from hdfs_pipeline.domains.namenode.reports import list_incidents, model_status
from hdfs_pipeline.learning.retraining import roll_back_all
from hdfs_pipeline.verdicts.feedback import words
from hdfs_pipeline_tests.domains.namenode.watched import NAMENODE, NAMENODES, QUICK, faults, learn, update
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
    assert set(status["detectors"]) == set(MEMBERS) and status["detector"] == "lstm_autoencoder"
    assert status["steps"] == 30 and status["role"] == "active"
    for name in MEMBERS:
        scorer = load_scorer(old.settings, NAMENODES, name)
        assert (scorer.detector.params, scorer.detector.seed) == (scorer.card.params, scorer.card.seed)
    assert load_scorer(old.settings, NAMENODES, "lstm_autoencoder").detector.params["sequence_length"] == 30


def test_its_incidents_and_marks_are_there(old: Home) -> None:
    incidents = list_incidents(old.store)
    assert [incident["cause"] for incident in incidents[-5:]] == [
        *("metadata churn", "CPU starvation", "content-summary storm", "process pause", "listing storm")
    ]
    assert [incident["status"] for incident in incidents[-2:]] == ["suppressed", "suppressed"]
    assert all(incident["metrics"] and incident["namenode"] == NAMENODE for incident in incidents)
    stretches = [(word["verdict"], word["entity"], word["item"]) for word in words(old.store, NAMENODES)]
    assert sorted(stretches) == [("false", NAMENODE, ""), ("maintenance", NAMENODE, "")]


def test_its_models_score_as_they_did(old: Home) -> None:
    """Digit by digit, and the incidents of the last hour come out the same, but for what is new about them."""

    def listed() -> list[dict[str, Any]]:
        words = ("collection took", "collection stopped it for")
        more = r"; (RpcQueueTimeAvgTime|GcTotalExtraSleepTime) [^;]*|; CPU steal and load of the host.*"
        rows = []
        for found in list_incidents(old.store):
            evidence = found["evidence"].replace(*words)
            if found["cause"] == "CPU starvation":
                evidence = re.sub(more, "", evidence)
            kept = {name: value for name, value in found.items() if name not in {"examples", "status"}}
            rows.append(kept | {"evidence": evidence})
        return rows

    before, incidents = old.rows(_SCORES), listed()
    with old.store.write() as con:
        con.execute(
            "DELETE FROM scores WHERE domain = 'namenode' AND time >= (SELECT started_at FROM incidents "
            "WHERE domain = 'namenode' ORDER BY started_at DESC LIMIT 1 OFFSET 4)"
        )
    done = update(old)
    assert done.version == 2 and len(done.incidents) >= 5 and {row[1] for row in before} == {*MEMBERS, RULES}
    assert old.rows(_SCORES) == before and listed() == incidents
    flagged = [(row[0], row[1]) for row in before if row[-1]]
    told = old.rows("SELECT item, detector, reason FROM anomalies WHERE domain = 'namenode'")
    assert {row[:2] for row in told} <= set(flagged) and all(" instead of " in reason for *_, reason in told)


def test_its_models_are_rolled_back(old: Home) -> None:
    assert [(done.detector, done.before, done.now) for done in roll_back_all(old.settings, NAMENODES)] == [
        (name, 2, 1) for name in MEMBERS
    ]
    assert model_status(old.settings)["serving"] == 1


def test_its_next_training_brings_the_majority_which_opens_incidents_from_then_on(old: Home) -> None:
    assert NAMENODES.grouping(old.settings).openers == ("lstm_autoencoder", "deviation", RULES)
    home = replace(old, settings=old.settings.model_copy(update=QUICK))
    status = learn(home, end=datetime.fromtimestamp(faults()["listing_storm"].start, UTC))
    assert (status["detector"], status["serving"], status["versions"]) == (MAIN, 1, [1])
    assert NAMENODES.grouping(old.settings).openers == (MAIN, RULES)
    assert update(home).version == 1
