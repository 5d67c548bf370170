"""Dead letters of access logs and application logs: lines of files that become records once a setting has changed."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.wire import EXCERPT
from hdfs_pipeline.verdicts.letters import WAITING, Asked, list_letters
from hdfs_pipeline.verdicts.requeue import requeue
from hdfs_pipeline_tests.homes import Home, open_home


class Kind(NamedTuple):
    """A domain, a good line of it, an odd one, what reads that, and what a row says of it."""

    domain: str
    good: str
    odd: str
    fixed: dict[str, Any]
    said: str


KINDS = [
    Kind(
        "weblogs",
        '10.0.0.1 - - [30/Nov/2026:10:00:00 +0000] "GET /a HTTP/1.1" 200 5',
        "10.0.0.2|30/Nov/2026:10:00:01 +0000|404|GET /b HTTP/1.1",
        {"web_format": "%h|%{%d/%b/%Y:%H:%M:%S %z}t|%>s|%r"},
        "SELECT position, path FROM requests ORDER BY position",
    ),
    Kind(
        "applogs",
        '{"timestamp": "2026-11-30T10:00:00Z", "service": "shop", "level": "INFO", "message": "/a"}',
        "<ERROR> 2026-11-30 10:00:01,000 shop.Cart: /b",
        {"app_format": "<%p> %d{ISO8601} %c: %m%n"},
        "SELECT position, message FROM app_logs ORDER BY position",
    ),
]
TABLES = {"weblogs": "requests", "applogs": "app_logs"}


def waiting(home: Home) -> list[dict[str, Any]]:
    return list_letters(home.store, Asked(state=WAITING), 100)[1]


def conserved(home: Home, kind: Kind) -> bool:
    """Records read = records stored + dead letters, of each source."""
    return home.rows(f"""SELECT count(*) FROM sources s WHERE records <> (SELECT count(*) FROM {TABLES[kind.domain]} r
        WHERE r.source_id = s.source_id) + (SELECT count(*) FROM dead_letters d WHERE d.source_id = s.source_id)
    """) == [(0,)]


def with_format(home: Home, kind: Kind) -> Settings:
    return home.settings.model_copy(update=kind.fixed)


@pytest.fixture(params=KINDS, ids=[kind.domain for kind in KINDS])
def read(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Home, Kind, Path]:
    """A home that has read a file whose first line is in no known layout."""
    kind, home, log = request.param, open_home(tmp_path / "home"), tmp_path / "shop-access.log"
    log.write_text(f"{kind.odd}\n{kind.good}\n")
    domain_named(kind.domain).read(home.store, home.settings, [str(log)])
    return home, kind, log


def test_a_line_is_read_once_more_by_its_own_domain(read: tuple[Home, Kind, Path]) -> None:
    home, kind, _ = read
    domain = domain_named(kind.domain)
    before = domain.last_change(home.store) or 0
    (letter,) = waiting(home)
    assert requeue(home.store, home.settings, letter["id"])["became"].startswith("still no record: ")
    (again,) = waiting(home)
    assert again["text"] == kind.odd and again["id"] != letter["id"] and conserved(home, kind)
    assert domain.last_change(home.store) == before
    assert requeue(home.store, with_format(home, kind), again["id"])["became"].startswith("read: ")
    assert waiting(home) == [] and conserved(home, kind)
    assert home.rows(kind.said) == [(1, "/b"), (2, "/a")]
    assert len(domain.changed(home.store, before)) == 1, "it is judged as a new one"


def test_the_record_is_the_one_that_reading_the_file_again_gives(read: tuple[Home, Kind, Path], tmp_path: Path) -> None:
    home, kind, log = read
    fixed = with_format(home, kind)
    requeue(home.store, fixed, waiting(home)[0]["id"])
    other = open_home(tmp_path / "other")
    domain_named(kind.domain).read(other.store, fixed, [str(log)])
    rows = f"SELECT * EXCLUDE (revision) FROM {TABLES[kind.domain]} ORDER BY position"
    assert home.rows(rows) == other.rows(rows)


def test_of_a_file_that_is_gone_the_kept_text_is_read(read: tuple[Home, Kind, Path]) -> None:
    home, kind, log = read
    log.unlink()
    assert "gone or has changed" in requeue(home.store, with_format(home, kind), waiting(home)[0]["id"])["became"]
    assert home.rows(kind.said) == [(1, "/b"), (2, "/a")]
    with home.store.write() as con:
        con.execute(f"INSERT INTO dead_letters SELECT 1, $1, 9, 'longer', repeat('x', {EXCERPT}), now()", [str(log)])
    with pytest.raises(DataError, match="only the beginning"):
        requeue(home.store, home.settings, waiting(home)[0]["id"])


def test_a_stack_trace_counts_towards_the_longest_record(tmp_path: Path) -> None:
    home, log = open_home(tmp_path / "home", max_record_bytes=2000), tmp_path / "app.log"
    long = "2026-11-30 10:00:00,000 ERROR shop.Cart: failed\n" + "\tat shop.Cart.add(Cart.java:1)\n" * 100
    log.write_text(long + "2026-11-30 10:00:01,000 INFO shop.Cart: fine\n")
    domain_named("applogs").read(home.store, home.settings, [str(log)])
    assert home.rows("SELECT message FROM app_logs") == [("fine",)]
    (letter,) = waiting(home)
    assert letter["reason"] == "longer than 2000 bytes"
    longer = home.settings.model_copy(update={"max_record_bytes": 20_000})
    requeue(home.store, longer, letter["id"])
    assert home.rows("SELECT length(more) > 2000 FROM app_logs ORDER BY position") == [(True,), (False,)]
