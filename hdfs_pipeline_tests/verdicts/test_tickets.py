"""An incident as a file: whole in JSON, its anomalies in CSV, and for people in Markdown that nothing can break."""

import csv
import io
import json
from pathlib import Path

import pytest

from hdfs_pipeline.errors import NotFoundError, UsageError
from hdfs_pipeline.verdicts.listing import whole_incident
from hdfs_pipeline.verdicts.tickets import as_markdown, export
from hdfs_pipeline.verdicts.words import say
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.verdicts.made_incidents import incident, put
from hdfs_pipeline_tests.verdicts.test_incidents import anomaly, cluster, incidents


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return cluster(tmp_path / "home")


def test_json_is_all_of_it_with_its_anomalies(home: Home) -> None:
    (row,) = incidents(home, *(anomaly(n) for n in range(4)))
    name, text = export(home.store, row["id"][:6], "json")
    found = json.loads(text)
    assert name == f"incident-{row['id'][:8]}.json"
    assert {name: found[name] for name in row} == row
    assert sorted(each["item"] for each in found["anomalies"]) == [f"blk_{n}" for n in range(4)]


def test_csv_is_a_row_for_each_anomaly(home: Home) -> None:
    (row,) = incidents(home, *(anomaly(n) | {"reason": 'a "word", and\nanother'} for n in range(4)))
    rows = [*csv.DictReader(io.StringIO(export(home.store, row["id"], "csv")[1], newline=""))]
    assert [each["item"] for each in rows] == [f"blk_{n}" for n in range(4)]
    assert {each["incident"] for each in rows} == {row["id"]}
    assert {each["reason"] for each in rows} == {'a "word", and\nanother'}
    assert rows[0]["told_at"].endswith("+00:00")


def test_markdown_says_what_a_ticket_needs(home: Home) -> None:
    (row,) = incidents(home, *(anomaly(n) for n in range(4)))
    say(home.store, row["id"], "ack", note="on it", by="ada")
    name, text = export(home.store, row["id"], "markdown")
    assert name.endswith(".md")
    for part in ("# write failed: disk full", "**Severity:**", "**Status:** acknowledged", "## Why", "## Records",
                 "record of 0", "## Said", "ack by ada: on it", row["id"]):  # fmt: skip
        assert part in text


def test_markdown_of_others_is_text(home: Home) -> None:
    hostile = "# <img src=x> [a](javascript:b) ![c](d) | `e`\n\n## f"
    details = {"lines": ["```\n# not a heading", "plain"]}
    put(home, "incidents", incident(1, title=hostile, evidence=hostile, kind="k", details=details))
    text = as_markdown(whole_incident(home.store, "00000001"))
    headings = [line for line in text.splitlines() if line.startswith("#") and line != "# not a heading"]
    assert headings[0].startswith("# \\# \\<img src=x\\>") and headings[1:] == ["## Why", "## Records", "## Next"]
    assert text.count("````") == 2  # the records are fenced by more than they hold


def test_what_there_is_not_is_refused(home: Home) -> None:
    put(home, "incidents", incident(1))
    with pytest.raises(UsageError, match="json, csv"):
        export(home.store, "00000001", "pdf")
    with pytest.raises(NotFoundError):
        export(home.store, "ffff", "json")
