import json

import pytest

from hdfs_pipeline.bench.page import HISTORY, page_of, read_history, record, write_page
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.settings import PROJECT

FOLDER = PROJECT / "docs" / "benchmarks"
MACHINE = {"processor": "A", "cores": 2, "memory_gb": 8.0, "load": 0.1, "python": "3.11.7", "duckdb": "2.0.0"}


def run(date: str, *parts: dict) -> dict:
    return {"date": date, "commit": "abc1234", "version": "0.1.0", "machine": MACHINE, "parts": list(parts)}


def part(name: str, **figures: float | None) -> dict:
    found = [
        {"what": what, "value": value, "aim": 2.0, "met": None if value is None else value <= 2}
        for what, value in figures.items()
    ]
    return {"part": name, "about": "What it is.", "peers": {"LogLead": "2.0.0"}, "figures": found}


def test_the_page_of_the_docs_is_made_of_the_recorded_runs():
    page = FOLDER.with_suffix(".md")
    assert page.read_text() == page_of(read_history(FOLDER / HISTORY), f"benchmarks/{HISTORY}"), (
        "make it anew: `python -c 'from pathlib import Path; from hdfs_pipeline.bench.page import write_page; "
        'write_page(Path("docs/benchmarks"))\'`'
    )


def test_the_latest_run_first_with_those_before_beside_it():
    first = run("2026-11-01T10:00:00+00:00", part("parse", fast=1.5, gone=12345.6), part("old", lasting=1.0))
    second = run("2026-11-02T10:00:00+00:00", part("parse", fast=2.5, none=None))
    text = page_of([first, second], "benchmarks/history.jsonl")
    lines = text.splitlines()
    assert "| figure | aim | 2026-11-02 10:00 | 2026-11-01 10:00 |" in lines
    assert "| fast | 2 | 2.5, **missed** | 1.5, met |" in lines
    assert "| gone | 2 |  | 12,346, **missed** |" in lines
    assert "| none | 2 | not measured |  |" in lines
    assert text.index("## parse") < text.index("## old"), "what the latest run has stands first"
    assert "Beside it: LogLead 2.0.0." in text and "python 3.11.7, duckdb 2.0.0" in text
    assert lines.index(
        "| 2026-11-02T10:00:00+00:00 | abc1234 | A, 2 cores, 8.0 GB, load 0.1; python 3.11.7, duckdb 2.0.0 |"
    )


def test_a_part_that_did_not_run_keeps_its_earlier_figures():
    first = run("2026-11-01T10:00:00+00:00", part("stream", fast=1.5))
    missing = {"part": "stream", "about": "What it is.", "missing": "no model | here"}
    text = page_of([first, run("2026-11-02T10:00:00+00:00", missing)], "history.jsonl")
    assert "Did not run: no model \\| here" in text and "| fast | 2 |  | 1.5, met |" in text


def test_five_runs_are_shown():
    runs = [run(f"2026-11-{day:02}T10:00:00+00:00", part("parse", fast=1.0)) for day in range(1, 9)]
    text = page_of(runs, "history.jsonl")
    assert "2026-11-04" in text and "2026-11-03" not in text


def test_runs_are_added(tmp_path):
    folder = tmp_path / "benchmarks"
    for day in (1, 2):
        page = record(run(f"2026-11-0{day}T10:00:00+00:00", part("parse", fast=1.0)), folder)
    assert page == tmp_path / "benchmarks.md"
    assert len(read_history(folder / HISTORY)) == 2
    before = page.read_text()
    assert "2026-11-01" in before and write_page(folder).read_text() == before


def test_a_line_that_is_no_run_is_named(tmp_path):
    (tmp_path / HISTORY).write_text(json.dumps(run("2026-11-01", part("parse"))) + "\n{}\n")
    with pytest.raises(DataError, match=r"history\.jsonl:2 is no run"):
        read_history(tmp_path / HISTORY)


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="--into"):
        record(run("2026-11-01", part("parse")), tmp_path / "file" / "below")
