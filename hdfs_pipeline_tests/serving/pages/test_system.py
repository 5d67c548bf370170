"""The pages of the system: what they say, what their forms do, and what is said where something is away."""

import re
from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline.serving.home import COOKIE
from hdfs_pipeline.serving.tokens import Tokens
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.serving.pages.test_incidents import HOSTILE, asks
from hdfs_pipeline_tests.serving.routes.test_state import written
from hdfs_pipeline_tests.verdicts.test_requeue import read, streamed, waiting  # noqa: F401 - fixtures

PATHS = ("", "/health", "/topics", "/store", "/schedules", "/dead-letters", "/settings", "/tokens")


@pytest.mark.parametrize("path", PATHS)
def test_a_new_home_has_every_page(path: str, new_home: Any) -> None:
    shown = asks(new_home(bare=True, dagster_port=1))(f"/system{path}")
    assert shown.status_code == 200
    assert "<script>" not in shown.text and "style=" not in shown.text and " onclick" not in shown.text


def test_a_new_home_says_what_to_do(new_home: Any) -> None:
    ask = asks(new_home(bare=True, dagster_port=1))
    overview = ask("/system").text
    empty = ask("/system/store").text
    assert "There is no store yet" in empty and "hdfs-pipeline ingest" in empty
    assert "No server is polled yet" in overview and "hdfs-pipeline collect" in overview
    assert "<code>hdfs-pipeline broker</code>" in ask("/system/topics").text
    assert "<code>hdfs-pipeline up</code> starts it" in ask("/system/schedules").text
    assert "All that came could be used" in ask("/system/dead-letters").text


def test_what_takes_long_comes_later_and_without_javascript_by_a_link(home: Home) -> None:
    shown = asks(home)("/system").text
    for part in ("health", "topics", "store", "schedules"):
        assert f'hx-get="/system/{part}" hx-trigger="load" hx-select="#{part}"' in shown
        assert f'<a href="/system/{part}">' in shown
        assert f'<section id="{part}"' in asks(home)(f"/system/{part}").text


def test_a_store_that_is_held_is_told_at_once(new_home: Any) -> None:
    home = new_home(lock_timeout_s=30.0)
    ask = asks(home)
    with written(home):
        shown = ask("/system")
        assert shown.status_code == 200 and "The store cannot be read now" in shown.text and "in use by" in shown.text
        assert "1 of " in ask("/system/health").text and "do not work" not in ask("/system/health").text


def test_the_parts_are_told_in_one_sentence(home: Home) -> None:
    shown = asks(home)("/system/health").text
    assert re.search(r'<p class="why" role="status">All parts that are in use work \(\d+ of \d+\)\.</p>', shown)


def test_a_letter_is_opened_put_back_and_remembers_it(read: tuple[Home, Path]) -> None:  # noqa: F811 - the fixture
    home, log = read
    ask, (letter,) = asks(home), waiting(home)
    overview = ask("/system").text
    assert "<strong>1</strong> message" in overview and f"/system/dead-letters/{letter['id']}" in overview
    shown = ask(f"/system/dead-letters/{letter['id']}").text
    assert str(log) in shown and "&lt;INFO&gt; {dn7}" in shown and "Put it back</button>" in shown
    told = ask(f"/system/dead-letters/{letter['id']}", by="ada")
    assert told.status_code == 303 and told.headers["location"] == f"/system/dead-letters/{letter['id']}"
    after = ask(told.headers["location"]).text
    assert "by ada" in after and "still no record" in after and "Put it back</button>" not in after
    again = ask(f"/system/dead-letters/{letter['id']}", by="ben")
    assert again.status_code == 409 and "put back already by ada" in again.text
    (new,) = waiting(home)
    assert f"/system/dead-letters/{new['id']}" in ask("/system/dead-letters").text
    assert "1 dead letter put back" in ask("/system/dead-letters?state=requeued").text
    assert ask("/system/dead-letters/nothing").status_code == 404
    assert ask("/system/dead-letters?state=odd").status_code == 400


def test_the_list_keeps_the_question_over_its_pages(home: Home) -> None:
    with home.store.write() as con:
        con.execute("INSERT INTO dead_letters SELECT 1, '/a', n, 'a & b', 'x', now() FROM range(120) t(n)")
    ask = asks(home)
    first = ask("/system/dead-letters?reason=a+%26&state=all")
    assert "120 dead letters" in first.text and "Page 1 of 3" in first.text
    (older,) = re.findall(r'rel="next" href="([^"]+)"', first.text)
    assert older == "/system/dead-letters?state=all&amp;reason=a+%26&amp;page=2"
    assert "Page 2 of 3" in ask(older.replace("&amp;", "&")).text
    assert "There are 3 pages" in ask("/system/dead-letters?page=9").text
    assert "No dead letter fits" in ask("/system/dead-letters?reason=other").text


def test_nothing_hostile_gets_into_a_page(home: Home) -> None:
    with home.store.write() as con:
        con.execute("INSERT INTO dead_letters SELECT 1, $1, 1, $1, $1, now()", [HOSTILE])
    ask, (letter,) = asks(home), waiting(home)
    for path in ("", "/dead-letters", f"/dead-letters/{letter['id']}"):
        shown = ask(f"/system{path}").text
        assert "<script>alert" not in shown and "<img" not in shown and "\x1b" not in shown
    shown = ask("/system/tokens", name=HOSTILE, scope="read")
    assert shown.status_code == 400 and "<script>alert" not in shown.text


def test_a_token_is_shown_once_and_revoked(home: Home) -> None:
    ask = asks(home)
    made = ask("/system/tokens", name="dash", scope="read", days="")
    (text,) = re.findall(r"hdfsp_[\w-]+", made.text)
    assert made.status_code == 200 and made.headers["cache-control"] == "no-store"
    assert Tokens(home.settings).find(text) is not None
    listed = ask("/system/tokens").text
    assert text not in listed and "Revoke dash" in listed and "never" in listed
    assert "already" in ask("/system/tokens", name="dash", scope="read").text
    assert "is no number of days" in ask("/system/tokens", name="other", scope="read", days="soon").text
    assert ask("/system/tokens", name="other", scope="all").status_code == 400
    assert ask("/system/tokens", revoke="dash").status_code == 303
    assert Tokens(home.settings).all() == []
    assert ask("/system/tokens", revoke="dash").status_code == 404


def test_who_may_only_read_sees_neither_settings_nor_tokens(new_home: Any) -> None:
    home = new_home(serve_tokens=True, webhook_secret="hunter2")
    tokens = Tokens(home.settings)
    reader, admin = asks(home, **{COOKIE: tokens.make("r", "read")}), asks(home, **{COOKIE: tokens.make("a", "admin")})
    assert reader("/system").status_code == 200 and reader("/system/dead-letters").status_code == 200
    assert reader("/system/settings").status_code == 403 and reader("/system/tokens").status_code == 403
    assert reader("/system/tokens", name="x", scope="admin").status_code == 403
    shown = admin("/system/settings")
    assert shown.status_code == 200 and "webhook_secret" in shown.text and "hunter2" not in shown.text
