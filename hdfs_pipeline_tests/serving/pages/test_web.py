"""The page of web traffic as a browser without JavaScript gets it: what each state shows, and where links lead."""

import re
from datetime import timedelta
from html import unescape

import pytest

from hdfs_pipeline.serving.pages.spans import PER_PAGE
from hdfs_pipeline.serving.pages.web import _octaves
from hdfs_pipeline_tests.domains.weblogs.written import put, rows_of
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.serving.pages.test_incidents import HOSTILE, Ask, asks
from hdfs_pipeline_tests.serving.web_home import BEGIN, HOURS, SHOP


@pytest.fixture
def ask(read_web: Home) -> Ask:
    return asks(read_web)


def test_a_new_home_says_what_to_type_and_has_no_link(home: Home) -> None:
    shown = asks(home)("/web")
    assert shown.status_code == 200 and "hdfs-pipeline ingest --domain weblogs PATH" in shown.text
    assert 'href="/web"' not in asks(home)("/").text


def test_a_home_with_requests_has_links_to_the_page(ask: Ask) -> None:
    now = ask("/").text
    assert now.count('href="/web"') == 2 and now.count('href="/applogs"') == 2
    assert '<a href="/web" aria-current="page">' in ask("/web").text


def test_the_page_shows_windows_incidents_endpoints_and_requests(ask: Ask) -> None:
    shown = ask("/web").text
    assert re.search(r"<h1>Web traffic: \d+ incidents in this window</h1>", shown)
    for chart in ("requests", "errors", "times"):
        assert f'id="{chart}-summary"' in shown and f'id="{chart}-table"' in shown and f'id="{chart}-data"' in shown
    assert "style=" not in shown.replace("-style", "") and " onclick" not in shown
    assert shown.count('<th scope="row"><a href="/items/weblogs/req-') == PER_PAGE
    assert "anomalous windows of a minute" in shown and 'href="/items/traffic/2026-11-20T' in shown
    assert f"service={SHOP}&amp;endpoint=" in shown and 'hx-trigger="refresh"' in shown


def test_the_next_page_and_the_anomalous_ones_keep_the_question(ask: Ask) -> None:
    first = ask(f"/web?service={SHOP}&show=anomalous").text
    assert f"Web traffic of {SHOP}" in first
    rows = re.findall(r'<tr class="odd"><th scope="row"><a href="(/items/weblogs/[^"]+)"', first)
    assert rows and first.count('<th scope="row"><a href="/items/weblogs/') == len(rows)
    assert "scan" in ask(rows[0]).text
    older = re.search(r'rel="next" href="([^"]+)"', ask(f"/web?service={SHOP}").text)
    assert older is not None and f"service={SHOP}" in older[1] and "page=2" in older[1]
    assert 'rel="prev"' in ask(unescape(older[1])).text


def test_counts_of_requests_come_by_an_address_of_their_own(ask: Ask) -> None:
    link = re.search(r'id="more" hx-get="([^"]+)"', ask(f"/web?service={SHOP}").text)
    assert link is not None and link[1] == f"/web/more?service={SHOP}"
    more = ask(unescape(link[1])).text
    for caption in ("How long answers took", "How requests were answered", "Clients with the most requests"):
        assert caption in more
    assert f'href="/web?service={SHOP}"' in more and '<th scope="row">503</th>' in more


def test_a_window_with_a_fixed_end_does_not_follow(ask: Ask) -> None:
    begin, end = BEGIN + timedelta(hours=1), BEGIN + timedelta(hours=HOURS / 2)
    shown = ask(f"/web?from={begin:%Y-%m-%dT%H:%M:%S}&to={end:%Y-%m-%dT%H:%M:%S}").text
    assert "This window has a fixed end" in shown and 'id="pause"' not in shown
    assert 'id="pause" hidden' in ask("/web?from=30m").text
    empty = ask("/web?from=2020-01-01&to=2020-01-02").text
    assert "No requests are known of this window" in empty


@pytest.mark.parametrize(
    ("query", "status"),
    [("from=soon", 400), ("from=2026-11-22&to=2026-11-21", 400), ("show=some", 422), ("page=0", 422), ("more=1", 422)],
)
def test_an_address_that_means_nothing_is_told(ask: Ask, query: str, status: int) -> None:
    assert ask(f"/web?{query}").status_code == status


def test_an_unknown_service_or_endpoint_is_nothing_and_stays_in_the_fields(ask: Ask) -> None:
    shown = ask("/web?service=nobody.example&endpoint=/nothing").text
    assert "<option selected>nobody.example</option>" in shown and "<option selected>/nothing</option>" in shown
    assert "0 requests, the newest first" in shown and "These logs tell no response times" in shown


def test_requests_that_mean_harm_do_none(home: Home) -> None:
    at = BEGIN
    put(
        home,
        rows_of(
            [{"time": at, "path": HOSTILE, "client": HOSTILE, "agent": HOSTILE, "service": HOSTILE, "query": HOSTILE}]
        ),
    )
    for address in ("/web", "/web/more"):
        shown = asks(home)(address)
        assert shown.status_code == 200 and "<script>alert" not in shown.text and "<img" not in shown.text
    assert "Nobody has judged these minutes yet" in asks(home)("/web").text


def test_response_times_are_put_together_by_octaves() -> None:
    fine = [{"from_ms": 2 ** (step / 2), "to_ms": 2 ** ((step + 1) / 2), "requests": 1} for step in range(-24, 5)]
    found = _octaves(fine)
    assert sum(row["requests"] for row in found) == len(fine)
    assert found[0] == {"from_ms": 0.0, "to_ms": 0.125, "requests": 18}
    assert [(row["from_ms"], row["to_ms"]) for row in found[1:]] == [(2.0**at, 2.0 ** (at + 1)) for at in range(-3, 3)]
