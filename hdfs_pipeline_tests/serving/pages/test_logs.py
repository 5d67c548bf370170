"""The page of logs without JavaScript: what it finds, marks and links, and what each state says to do."""

import re
from collections.abc import Callable
from urllib.parse import quote

import pytest

from hdfs_pipeline.serving.pages.logs import PER_PAGE, Piece, pieces
from hdfs_pipeline_tests.domains.daemons.written import DN1, NN, TROUBLE, line, read, write
from hdfs_pipeline_tests.homes import Home, open_home
from hdfs_pipeline_tests.serving.pages.test_incidents import HOSTILE, asks

BLOCK = "blk_1073741835"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Three daemons over 20 minutes, with two troubles later on, and a record that means harm. To be read."""
    folder = tmp_path_factory.mktemp("logs")
    home = open_home(folder / "home")
    trace = "\n".join(f"at a.b.C{number}(C.java)" for number in range(12))
    further = [line(30.0, f"{HOSTILE} harm\n{trace}", "ERROR")]
    read(home, write(folder / "logs", range(20), {NN: TROUBLE[NN], DN1: [*TROUBLE[DN1], *further]}))
    return home


def test_what_is_found_is_marked_and_leads_on(written: Home) -> None:
    shown = asks(written)("/logs?text=receiving&host=dn1&from=2026-11-20T22:10&to=2026-11-20T22:11").text
    assert "1 record that fit, the latest first" in shown and "<mark>Receiving</mark> BP-1" in shown
    assert f'href="/items/blocks/{BLOCK}"' in shown and re.search(r'href="/logs\?[^"]*template=blocks%2FE\d+', shown)
    assert 'name="text" value="receiving"' in shown and 'name="host" value="dn1"' in shown
    assert 'href="/logs?from=2026-11-20T22%3A09%3A36&amp;to=2026-11-20T22%3A10%3A36"' in shown
    pause = asks(written)("/logs?level=WARN").text
    assert 'href="/items/daemons/datanode%2010.0.0.1%3A9866%202026-11-21T00%3A30Z%20jvm"' in pause


def test_the_next_page_is_a_link_that_keeps_the_question(written: Home) -> None:
    ask, link, seen = asks(written), "/logs?logger=.", 0
    while link:
        shown = ask(link).text
        seen += shown.count('<p class="line meta">')
        assert 'name="logger" value="."' in shown
        found = re.search(r'rel="next" href="([^"]+)"', shown)
        link = found[1].replace("&amp;", "&") if found else ""
    assert seen == written.rows("SELECT count(*) FROM raw_logs")[0][0] > 2 * PER_PAGE


def test_a_record_that_means_harm_does_none_and_a_long_one_is_folded(written: Home) -> None:
    for query in ("text=harm", f"text={quote(HOSTILE[:20])}", f"regex={quote('<script>.*?onerror')}"):
        shown = asks(written)(f"/logs?{query}").text
        assert "<script>alert" not in shown and "<img" not in shown and "\x1b" not in shown
        assert "<summary>5 more lines</summary>" in shown
    assert "<details open>" in asks(written)("/logs?text=C11(").text


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("regex=a(b", 400, "is no regular expression (RE2): missing"),
        ("item=x", 400, "is no block id"),
        ("from=yesterday", 400, "is no time"),
        ("text=no+such+words", 200, "No record fits"),
        ("text=no+such+words", 200, "Take a condition away"),
        ("from=2001-01-01&to=2001-01-02", 200, "There are no records in this window"),
    ],
)
def test_each_state_says_what_to_do(written: Home, query: str, status: int, said: str) -> None:
    shown = asks(written)(f"/logs?{query}")
    assert shown.status_code == status and said in shown.text and '<form id="search"' in shown.text


def test_a_search_that_was_cut_short_says_so(written: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(
        "hdfs_pipeline.verdicts.logs.time", type("Clock", (), {"monotonic": lambda: float(next(clock)) / 10})
    )
    monkeypatch.setattr("hdfs_pipeline.serving.pages.logs._SECONDS", 0.4)
    monkeypatch.setattr("hdfs_pipeline.verdicts.logs._LOOK_S", 30.0)
    shown = asks(written)("/logs?text=no+such+words").text
    assert "Nothing was found so far" in shown and "Only a part was searched" in shown and 'rel="next"' in shown


def test_patterns_have_their_words_bars_and_links(written: Home) -> None:
    shown = asks(written)("/logs/patterns?from=2026-11-21T00:20").text
    assert "<strong>new</strong>" in shown and 'class="spark"' in shown and "failure" in shown
    assert "long pause of the JVM or its host" in shown and "template=daemons%2FE1" in shown
    for query in ("show=stopped", "from=2001-01-01&to=2001-01-02", ""):
        assert asks(written)(f"/logs/patterns?{query}").status_code == 200
    assert asks(written)("/logs/patterns?from=yesterday").status_code == 400


def test_an_empty_home_says_what_to_do(new_home: Callable[..., Home]) -> None:
    ask = asks(new_home(bare=True))
    for path in ("/logs", "/logs/patterns"):
        assert "There are no records yet" in ask(path).text and "hdfs-pipeline ingest" in ask(path).text


def test_a_line_is_cut_into_pieces_where_something_was_sought() -> None:
    assert pieces("abcdef", [[1, 2], [3, 5]], 0, 6) == [
        Piece("a", False), Piece("b", True), Piece("c", False), Piece("de", True), Piece("f", False)
    ]  # fmt: skip
    assert pieces("abcdef", [[1, 4]], 0, 3) == [Piece("a", False), Piece("bc", True)]
    assert pieces("abcdef", [[1, 4]], 3, 6) == [Piece("d", True), Piece("ef", False)]
