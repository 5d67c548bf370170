"""The pages of incidents as a browser without JavaScript gets them: what they say, and what they never let through."""

import asyncio
import csv
import io
import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from hdfs_pipeline.serving.app import create_app, guarded
from hdfs_pipeline.serving.home import COOKIE
from hdfs_pipeline.serving.pages.incidents import PER_PAGE
from hdfs_pipeline.serving.tokens import Tokens
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.verdicts.made_incidents import ago, incident, put
from hdfs_pipeline_tests.verdicts.test_incidents import anomaly, cluster, incidents, record
from hdfs_pipeline_tests.verdicts.test_trend import BEGAN, LASTS
from hdfs_pipeline_tests.verdicts.test_trend import anomaly as of_an_incident

HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(2)>\x1b[31m"""
ADDRESS = "http://127.0.0.1:8000"
AS_PAGE = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}

Ask = Callable[..., httpx.Response]


def asks(home: Home, **cookies: str) -> Ask:
    """Asks the application for a page, as a browser does."""
    app = guarded(create_app(home.settings))

    def ask(path: str, **form: Any) -> httpx.Response:
        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            browser: dict[str, Any] = {"base_url": ADDRESS, "headers": AS_PAGE, "cookies": cookies}
            async with httpx.AsyncClient(transport=transport, **browser) as client:
                return await (client.post(path, data=form) if form else client.get(path))

        return asyncio.run(go())

    return ask


@pytest.fixture
def cluster_home(tmp_path: Path) -> Home:
    """Three incidents of one DataNode and of none, made of anomalies."""
    return cluster(tmp_path / "home")


def test_the_list_shows_what_fits_and_keeps_the_question(home: Home) -> None:
    put(home, "incidents", incident(1), incident(2, status="resolved", kind="JVM pause", title="JVM pause on dn9"))
    ask = asks(home)
    everything = ask("/incidents").text
    assert "2 incidents, the latest first" in everything
    assert everything.index("/incidents/00000001") > 0 and "JVM pause on dn9" in everything
    some = ask("/incidents?status=resolved&kind=pause&entity=&domain=&since=").text
    assert "1 incident, the latest first" in some and "/incidents/00000001" not in some
    assert re.search(r'value="resolved" checked', some) and 'name="kind" value="pause"' in some


def test_each_page_of_the_list_leads_to_the_next(home: Home) -> None:
    rows = [incident(n, began=ago(minutes=n)) for n in range(1, 2 * PER_PAGE)]
    put(home, "incidents", *rows)
    ask = asks(home)
    found, link, pages = set[str](), "/incidents?status=open", 0
    while link:
        text = ask(link).text
        found |= set(re.findall(r'href="/incidents/([0-9a-f]{16})"', text))
        following = re.search(r'rel="next" href="([^"]+)"', text)
        link, pages = following[1].replace("&amp;", "&") if following else "", pages + 1
    assert (pages, len(found)) == (2, len(rows))
    assert "This page of the list is empty" in ask("/incidents?page=7").text


@pytest.mark.parametrize(
    ("path", "says"),
    [("/incidents", "There was no incident so far"), ("/incidents?kind=x", "No incident fits")],
)
def test_an_empty_list_says_what_to_do_next(home: Home, path: str, says: str) -> None:
    assert says in asks(home)(path).text


def test_a_new_installation_says_how_to_begin(new_home: Callable[..., Home]) -> None:
    ask = asks(new_home(bare=True))
    assert "There are no records yet" in ask("/incidents").text
    answer = ask("/incidents/abc")
    assert answer.status_code == 404 and "no incidents yet" in answer.text


@pytest.mark.parametrize("path", ["/incidents?status=gone", "/incidents?domain=nothing", "/incidents?since=yesterday"])
def test_a_wrong_question_is_answered_with_a_page(home: Home, path: str) -> None:
    answer = asks(home)(path)
    assert answer.status_code == 400 and answer.headers["content-type"].startswith("text/html")
    assert "<h1>Bad Request</h1>" in answer.text


def test_an_unknown_incident_has_a_page_that_leads_on(home: Home) -> None:
    put(home, "incidents", incident(1), incident(2))
    ask = asks(home)
    for text, why in (("ffff", "No incident has an id that begins with"), ("0000000", "2 incidents have ids")):
        answer = ask(f"/incidents/{text}")
        assert answer.status_code == 404 and why in answer.text and 'href="/incidents"' in answer.text


def test_an_incident_says_what_where_since_when_why_and_what_next(cluster_home: Home) -> None:
    rows = [anomaly(n, at_s=n) | {"line": "WARN DataNode: java.io.IOException: No space left"} for n in range(12)]
    (row,) = incidents(cluster_home, *rows)
    text = asks(cluster_home)(f"/incidents/{row['id'][:6]}").text
    for part in (row["title"], row["entity"], "12 blocks", "Do next", "12 in all", "This server against its peers"):
        assert part in text
    assert "<mark>java.io.IOException: No space left</mark>" in text and "<mark>WARN</mark>" in text
    peers = re.findall(r'<th scope="row">(10\.[^<]+)</th><td[^>]*>(\d+)<', text)
    assert peers[0] == (row["entity"], "12") and [count for _, count in peers[1:]] == ["0"] * 4
    assert f'href="/incidents/{row["id"]}"' in text
    groups, *logs = re.findall(r'href="(/(?:groups|logs)[?][^"]*)"', text)
    assert groups.startswith("/groups?domain=blocks#")
    assert [asks(cluster_home)(unescape(link)).status_code for link in logs] == [200, 200]
    assert "from=" in logs[0] and f"host={quote(row['entity'], safe='')}" in logs[1]
    assert [name in text for name in ("format=json", "format=csv", "format=markdown")] == [True] * 3


@pytest.mark.parametrize(
    ("does", "status", "said"),
    [
        ("acknowledge", "acknowledged", "acknowledged"),
        ("resolve", "resolved", "resolved"),
        ("suppress", "suppressed", "suppressed"),
        ("false_alarm", "suppressed", "false alarm: because"),
    ],
)
def test_a_form_says_what_is_done_and_by_whom(cluster_home: Home, does: str, status: str, said: str) -> None:
    (row,) = incidents(cluster_home, *(anomaly(n) for n in range(3)))
    ask = asks(cluster_home)
    answer = ask(f"/incidents/{row['id']}/{does}", note="because", by="ada")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/incidents/{row['id']}")
    text = ask(answer.headers["location"]).text
    assert f'<span class="status {status}">' in text and said in text and "by ada" in text and "because" in text
    words = cluster_home.rows("SELECT DISTINCT verdict, was_anomaly, count(*) FROM feedback GROUP BY ALL")
    assert words == ([("false", True, 3)] if does == "false_alarm" else [])
    ask(f"/incidents/{row['id']}/reopen", note="")
    assert cluster_home.rows("SELECT status FROM incidents") == [("open",)]


def test_what_cannot_be_done_is_refused(home: Home) -> None:
    put(home, "incidents", incident(1))
    ask = asks(home)
    assert ask("/incidents/00000001/delete", note="").status_code == 400
    assert ask("/incidents/00000001/resolve", note="x" * 2001).status_code == 400
    assert ask("/incidents/ffffffff/resolve", note="").status_code == 404
    assert home.rows("SELECT status FROM incidents") == [("open",)]


def test_nothing_hostile_reaches_a_browser(cluster_home: Home) -> None:
    rows = [
        anomaly(n, blamed=[HOSTILE], kind=HOSTILE) | {"line": HOSTILE, "reason": HOSTILE, "item": f"{HOSTILE}{n}"}
        for n in range(3)
    ]
    place = {"name": HOSTILE, "items": 3, "share": 1.0, "usual": 0.1}
    differing = {"title": HOSTILE, "entity": HOSTILE, "evidence": f"{HOSTILE}; {HOSTILE}", "kind": HOSTILE}
    differing |= {"next_steps": [f"look at `{HOSTILE}`"], "kinds": {HOSTILE: 3}, "related": [f"{2:08x}00000000"]}
    differing["details"] = {"lines": [f"WARN {HOSTILE}"], "where": {HOSTILE: [place]}}
    whole = incident(1, began=rows[0]["told_from"], lasted=timedelta(seconds=9), **differing)
    put(cluster_home, "incidents", whole, incident(2, title=HOSTILE))
    record(cluster_home, rows)
    ask = asks(cluster_home)
    ask("/incidents/00000001/acknowledge", note=HOSTILE, by=HOSTILE)
    said = quote(HOSTILE, safe="")
    for path in ("/", "/incidents", f"/incidents?kind={said}", "/incidents/00000001", f"/incidents/{said}", f"/{said}"):
        answer = ask(path)
        assert answer.status_code in (200, 404, 405), path
        assert "<script>alert" not in answer.text and "<img" not in answer.text and "\x1b" not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_the_export_for_a_spreadsheet_holds_no_formula(cluster_home: Home) -> None:
    rows = [anomaly(n) | {"reason": "=cmd|' /C calc'!A0", "item": f"blk_{n}"} for n in range(3)]
    (row,) = incidents(cluster_home, *rows)
    answer = asks(cluster_home)(f"/api/incidents/{row['id']}/export?format=csv")
    assert answer.headers["content-disposition"] == f'attachment; filename="incident-{row["id"][:8]}.csv"'
    table = [*csv.DictReader(io.StringIO(answer.text))]
    assert [each["item"] for each in table] == ["blk_0", "blk_1", "blk_2"]
    assert {each["reason"][:2] for each in table} == {"'="}


def test_the_name_of_a_token_stands_for_whoever_shows_it(new_home: Callable[..., Home]) -> None:
    home = new_home(serve_tokens=True)
    put(home, "incidents", incident(1))
    made = {scope: Tokens(home.settings).make(f"{scope}-ada", scope, None) for scope in ("read", "operate")}
    reads, operates = (asks(home, **{COOKIE: made[scope]}) for scope in ("read", "operate"))
    assert asks(home)("/incidents/00000001").headers["location"].startswith("/login?next=")
    assert "Your name" not in reads("/incidents/00000001").text
    refused = reads("/incidents/00000001/resolve", note="", by="eve")
    assert refused.status_code == 403 and "operate" in refused.text
    assert operates("/incidents/00000001/resolve", note="", by="eve").status_code == 303
    assert home.rows("SELECT given_by FROM incident_words") == [("operate-ada",)]


def test_lists_say_the_trend(home: Home) -> None:
    put(home, "incidents", incident(1, began=BEGAN, lasted=LASTS), incident(2, began=BEGAN - timedelta(days=1)))
    put(home, "anomalies", *(of_an_incident(number, 100 + number) for number in range(9)))
    for page in ("/incidents", f"/?since={BEGAN - timedelta(days=9):%Y-%m-%d}"):
        shown = asks(home)(page).text
        assert shown.count('class="spark growing"') == 1 and "</svg> growing</td>" in shown
        assert shown.count('data-label="Trend">–</td>') == 1
