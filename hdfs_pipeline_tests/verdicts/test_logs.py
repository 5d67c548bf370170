"""A search of raw records: each condition, in order, page by page, within its limits, and ended when it is stopped."""

import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline.errors import DataError, UsageError
from hdfs_pipeline.verdicts.logs import Question, Search, read_cursor, searchable, write_cursor
from hdfs_pipeline_tests.domains.daemons.written import BEGIN, DN1, NN, TROUBLE, line, read, write
from hdfs_pipeline_tests.homes import Home, open_home

LIMIT_S = 30.0
BLOCK = "blk_1073741835"  # that of the tenth minute
ODD = line(100 * 60.0, "a word in É and (brackets) \\d+\nat a.b.C.run(C.java:1)", "ERROR", "x.y.Odd")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Three daemons over 200 minutes, with two troubles and a record of its own; to be read."""
    folder = tmp_path_factory.mktemp("logs")
    home = open_home(folder / "home")
    further = {NN: TROUBLE[NN], DN1: [*TROUBLE[DN1], ODD]}
    read(home, write(folder / "logs", range(200), further))
    return home


def found(home: Home, limit: int = 10_000, **conditions: Any) -> list[dict[str, Any]]:
    search = Search(home.store, home.settings, Question(**conditions), limit, seconds=LIMIT_S)
    records = [record for chunk in search.chunks() for record in chunk]
    assert search.ended in ("whole", "limit")
    return records


def test_without_a_condition_every_record_comes_the_latest_first(written: Home) -> None:
    records = found(written)
    assert len(records) == written.rows("SELECT count(*) FROM raw_logs")[0][0] > 1_200
    times = [record["time"] for record in records]
    assert times == sorted(times, reverse=True)
    logs = [path.read_text().split("\n") for path in written.settings.home.parent.glob("logs/*")]
    assert {record["line"].split("\n")[0] for record in records} <= {text for log in logs for text in log}


@pytest.mark.parametrize(
    ("conditions", "count"),
    [
        ({"text": "PAUSE IN jvm"}, 1),
        ({"text": "a word in é and (BRACKETS) \\D+"}, 1),
        ({"text": "c.java"}, 1),
        ({"text": "ERROR x.y.Odd: a word"}, 1),
        ({"text": "no such words"}, 0),
        ({"expression": r"pause of approximately \d{5}ms$"}, 0),
        ({"expression": r"pause of approximately \d{5}ms\n"}, 1),
        ({"expression": r"(?i)PAUSE of", "text": "collection(s)"}, 1),
        ({"expression": r"pause of", "text": "brackets"}, 0),
        ({"item": BLOCK}, 3),
        ({"item": BLOCK, "host": "nn1"}, 1),
        ({"levels": ("warn",)}, 1),
        ({"levels": ("WARN", "ERROR")}, 2),
        ({"host": "DN1", "levels": ("ERROR",)}, 1),
        ({"host": "namenode"}, 401),
        ({"host": "10.0.0.2:9866"}, 400),
        ({"host": "10.0.0.2"}, 400),
        ({"host": "nobody"}, 0),
        ({"logger": "jvmpause"}, 1),
        ({"template": "daemons/E1"}, 1),
        ({"template": "daemons/UNKNOWN", "levels": ("ERROR",)}, 1),
        ({"begin": "2026-11-20T22:10", "end": "2026-11-20T22:11"}, 6),
        ({"begin": "1m"}, 8),
        ({"begin": "2001-01-01", "end": "2001-01-02"}, 0),
    ],
    ids=str,
)
def test_each_condition_narrows(written: Home, conditions: dict[str, Any], count: int) -> None:
    assert len(found(written, **conditions)) == count


def test_a_record_is_told_with_its_template_its_items_and_what_was_sought(written: Home) -> None:
    (pause,) = found(written, text="pause in jvm", expression="GC pool '.*'")
    assert (pause["template"], pause["name"]) == ("daemons/E1", "long pause of the JVM or its host")
    assert pause["items"] == [{"domain": "daemons", "item": "datanode 10.0.0.1:9866 2026-11-21T00:30Z jvm"}]
    assert (pause["host"], pause["daemon"], pause["level"]) == ("dn1", "datanode", "WARN")
    assert [pause["line"][begin:end] for begin, end in pause["marks"]] == ["pause in JVM", "GC pool 'PS MarkSweep'"]
    received = found(written, item=BLOCK, host="dn1")[0]
    assert received["items"] == [{"domain": "blocks", "item": BLOCK}]
    assert received["template"].startswith("blocks/") and received["name"] and received["marks"] == []
    (odd,) = found(written, levels=("ERROR",))
    assert odd["template"] == "" and odd["items"][0]["domain"] == "daemons"


def test_a_template_finds_the_records_that_it_is_told_of(written: Home) -> None:
    templates = sorted({record["template"] for record in found(written)} - {""})
    assert len(templates) > 4
    for template in (templates[0], templates[-1]):
        assert {record["template"] for record in found(written, template=template)} == {template}


@pytest.mark.parametrize("limit", [1, 90, 501])
def test_pages_follow_each_other_without_a_gap_or_a_double(written: Home, limit: int) -> None:
    conditions = {"logger": "DataNode"} if limit == 90 else {} if limit > 1 else {"item": BLOCK}
    everything, pages, after = found(written, **conditions), list[dict[str, Any]](), ""
    while True:
        search = Search(written.store, written.settings, Question(after=after, **conditions), limit)
        page = [record for chunk in search.chunks() for record in chunk]
        assert len(page) <= limit and search.ended == ("limit" if search.after else "whole")
        pages += page
        if not search.after:
            break
        after = search.after
    assert pages == everything


def test_a_search_that_ends_early_says_so_and_another_one_goes_on(
    written: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = {record["line"] for record in found(written, text="Receiving")}
    clock = iter(range(10_000))
    monkeypatch.setattr("hdfs_pipeline.verdicts.logs._interrupted", lambda *_: threading.Lock())
    monkeypatch.setattr(
        "hdfs_pipeline.verdicts.logs.time", type("Clock", (), {"monotonic": lambda: float(next(clock))})
    )
    seen, after, searches = set[str](), "", 0
    while True:
        search = Search(written.store, written.settings, Question(text="Receiving", after=after), 1_000, seconds=3)
        seen |= {record["line"] for chunk in search.chunks() for record in chunk}
        searches += 1
        if not search.after:
            break
        assert search.ended == "seconds" and search.searched_from is not None
        assert search.searched_from > BEGIN and search.after != after
        after = search.after
    assert seen >= everything and searches > 3


def many(folder: Path, records: int) -> Home:
    """A home with so many records within a second."""
    home = open_home(folder / "many")
    with home.store.write() as con:
        con.execute(
            f"""INSERT INTO raw_logs BY NAME SELECT 1 AS source_id, i AS position, 'log4j' AS layout,
                TIMESTAMPTZ '2026-11-21 08:00:00+00' + to_microseconds(i) AS time, ' INFO a.B: ' AS origin,
                'INFO' AS level, 'a.B' AS logger, '' AS thread, '' AS more,
                md5(i::VARCHAR) || repeat(md5((7 * i)::VARCHAR), 9) AS message,
                []::BIGINT[] AS block_ids, []::BIGINT[] AS internal_ids, false AS alarm FROM range({records}) t(i)"""
        )
    return home


SLOW = "[0-7].{100}z"
"""Such an expression is looked for in many states at once."""


def test_a_search_that_is_stopped_really_ends(tmp_path: Path) -> None:
    home = many(tmp_path, 100_000)
    search = Search(home.store, home.settings, Question(expression=SLOW), 10, seconds=20 * LIMIT_S)
    ended = threading.Event()

    def run() -> None:
        list(search.chunks())
        ended.set()

    threading.Thread(target=run).start()
    assert not ended.wait(0.5)
    begun = time.monotonic()
    search.stop()
    assert ended.wait(LIMIT_S) and time.monotonic() - begun < LIMIT_S
    assert search.ended == "stopped" and search.after
    with home.store.write() as con:  # nobody holds the store any more
        con.execute("DELETE FROM raw_logs")


def test_what_cannot_be_searched_in_time_is_told(tmp_path: Path) -> None:
    home = many(tmp_path, 100_000)
    search = Search(home.store, home.settings, Question(expression=SLOW), 10, seconds=0.2)
    with pytest.raises(UsageError, match="name a shorter window"):
        list(search.chunks())


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        ({"expression": "a(b"}, "missing"),
        ({"expression": "a)(b"}, "unexpected"),
        ({"expression": "(a{1000}){1000}"}, "RE2"),
        ({"expression": "(?=a)"}, "RE2"),
        ({"expression": "((ab){9}c){20}"}, "repeat less"),
        ({"item": "nonsense"}, "no block id"),
        ({"template": "E5"}, "is no template"),
        ({"template": "blocks/E999"}, "no template 'E999'"),
        ({"template": "daemons/E9999"}, "no template 'E9999'"),
        ({"begin": "yesterday"}, "is no time"),
        ({"begin": "2026-11-22", "end": "2026-11-21"}, "before it begins"),
        ({"after": "soon"}, "no place to go on from"),
        ({"after": "999999999999999999.1.1"}, "no place to go on from"),
        ({"domain": "nothing"}, "no domain"),
    ],
    ids=str,
)
def test_a_condition_that_means_nothing_is_told(written: Home, conditions: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        found(written, **conditions)


def test_a_domain_without_records_says_so(written: Home) -> None:
    with pytest.raises(DataError, match="keeps no raw records"):
        found(written, domain="namenode")
    assert searchable().name == "blocks"


def test_a_home_without_records_has_nothing_to_search(new_home: Any) -> None:
    for home in (new_home("bare", bare=True), new_home()):
        search = Search(home.store, home.settings, Question(text="x"), 10)
        assert search.span is None and list(search.chunks()) == [] and search.after == ""


def test_a_cursor_is_read_as_it_was_written(written: Home) -> None:
    search = Search(written.store, written.settings, Question(), 1)
    ((first,),) = search.chunks()
    at = read_cursor(search.after)
    assert write_cursor(at) == search.after and at.time - timedelta(hours=3) > BEGIN
    assert at.time.isoformat(timespec="milliseconds") == first["time"]
