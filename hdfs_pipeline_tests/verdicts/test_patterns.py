"""Patterns of records: counted in steps, against the window before; what is new, rare, has stopped; what they tell."""

from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline.errors import UsageError
from hdfs_pipeline.verdicts.files import score_home
from hdfs_pipeline.verdicts.logs import Question, Search
from hdfs_pipeline.verdicts.patterns import report_patterns
from hdfs_pipeline_tests.domains.daemons.written import DAEMONS, DN1, NN, TROUBLE, line, read, write
from hdfs_pipeline_tests.homes import Home, open_home

STOPPED = [line(60.0 * minute, "Scheduling a check for /d1") for minute in range(100, 140)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Three daemons over 200 minutes; a message that came only from 23:40 to 0:20, a pause at 0:30."""
    folder = tmp_path_factory.mktemp("patterns")
    home = open_home(folder / "home")
    read(home, write(folder / "logs", range(200), {NN: TROUBLE[NN], DN1: [*TROUBLE[DN1], *STOPPED]}))
    score_home(home.store, home.settings, DAEMONS, None)
    return home


def report(home: Home, **asked: Any) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    told = report_patterns(home.store, home.settings, **asked)
    return told, {row["template"]: row for row in told["patterns"]}


def test_counts_are_those_of_a_search(written: Home) -> None:
    told, rows = report(written)
    assert told["records"] == sum(row["records"] for row in rows.values())
    assert len(rows) == told["total"] > 4 and told["step_s"] >= 60
    for template in ("blocks/E2", "daemons/E1", "daemons/E3"):
        row = rows[template]
        search = Search(written.store, written.settings, Question(template=template), 10_000, 30)
        assert row["records"] == sum(map(len, search.chunks())) == sum(row["counts"]) == row["total"]
    assert all(row["name"] and (row["text"] or row["template"] == "daemons/UNKNOWN") for row in rows.values())


def test_a_window_is_held_against_the_one_before(written: Home) -> None:
    told, rows = report(written, begin="2026-11-21T00:20", end="2026-11-21T01:00")
    assert (
        told["has_past"] and told["has_before"] and told["step_s"] == 100 and len(told["patterns"][0]["counts"]) == 24
    )
    pause = rows["daemons/E1"]
    assert (pause["new"], pause["records"], pause["before"], pause["change"]) == (True, 1, 0, None)
    assert pause["counts"][6] == 1  # ten minutes and twenty seconds after the beginning
    assert [row["before"] for row in rows.values() if row["stopped"]] == [40]
    assert told["patterns"][0]["new"] and not told["patterns"][-1]["new"]


def test_what_has_stopped_and_what_is_new_can_be_asked_for(written: Home) -> None:
    window = {"begin": "2026-11-21T00:20", "end": "2026-11-21T01:00"}
    everything, _ = report(written, **window)
    for show in ("new", "rare", "stopped"):
        told, rows = report(written, show=show, **window)
        assert all(row[show] for row in rows.values()) and told["total"] == everything["total"]
        assert len(rows) == sum(row[show] for row in everything["patterns"])
    assert {row["template"] for row in report(written, show="new", **window)[0]["patterns"]} >= {"daemons/E1"}


def test_a_pattern_leads_to_the_anomalies_that_it_tells_of(written: Home) -> None:
    _, rows = report(written, begin="2026-11-21T00:20", end="2026-11-21T01:00")
    (kind,) = rows["daemons/E1"]["telling"]
    assert kind == {"kind": "JVM pause", "items": 1, "item": "datanode 10.0.0.1:9866 2026-11-21T00:30Z jvm"}
    assert "daemons/E1" not in report(written, end="2026-11-21T00:00")[1]


def test_without_a_past_nothing_is_new(written: Home) -> None:
    told, rows = report(written, end="2026-11-20T22:10")
    assert not told["has_past"] and not told["has_before"]
    assert not any(row["new"] or row["stopped"] for row in rows.values())
    assert all(row["change"] is None for row in rows.values())


def test_an_empty_window_and_an_empty_home_have_none(written: Home, new_home: Any) -> None:
    assert report(written, begin="2001-01-01", end="2001-01-02")[0]["patterns"] == []
    for home in (new_home("bare", bare=True), new_home()):
        told, _ = report(home)
        assert told["patterns"] == [] and told["begin"] is None


def test_a_window_that_means_nothing_is_told(written: Home, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="before it begins"):
        report(written, begin="2026-11-22", end="2026-11-21")
    with pytest.raises(UsageError, match="no domain"):
        report(written, domain="nothing")
