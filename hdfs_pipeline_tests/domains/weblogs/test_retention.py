"""Requests leave by retention, and a file that grows afterwards is read on from where it ended."""

from datetime import UTC, datetime
from pathlib import Path

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline_tests.homes import Home

WEBLOGS = domain_named("weblogs")
NOW = datetime(2026, 12, 1, tzinfo=UTC)


def line(day: int, month: str, number: int) -> str:
    return f'10.0.0.1 - - [{day:02d}/{month}/2026:10:00:{number:02d} +0000] "GET /page/{number} HTTP/1.1" 200 5\n'


def test_the_last_request_of_a_file_stays_and_it_is_read_on_from_there(home: Home, tmp_path: Path) -> None:
    old, new = tmp_path / "old.log", tmp_path / "new.log"
    old.write_text("".join(line(1, "Oct", n) for n in range(20)))
    new.write_text("".join(line(30, "Nov", n) for n in range(5)))
    WEBLOGS.read(home.store, home.settings, [str(old), str(new)])
    (rule,) = WEBLOGS.retention(home.store, home.settings, NOW)
    assert rule.rows == 19 == WEBLOGS.prune(home.store, home.settings, NOW)
    assert home.rows("SELECT records FROM sources ORDER BY 1") == [(1,), (5,)]
    assert WEBLOGS.prune(home.store, home.settings, NOW) == 0
    with old.open("a") as file:
        file.write("".join(line(1, "Oct", n) for n in range(20, 23)))
    read = WEBLOGS.read(home.store, home.settings, [str(old)])
    assert read.records == 3
    assert home.rows("SELECT path FROM requests WHERE time < '2026-11-01' ORDER BY time") == [
        (f"/page/{n}",) for n in range(19, 23)
    ]
    assert home.rows("SELECT sum(records)::INT FROM sources") == home.rows("SELECT count(*) FROM requests") == [(9,)]
