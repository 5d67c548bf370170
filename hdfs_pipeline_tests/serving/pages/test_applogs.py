"""The page of applications as a browser without JavaScript gets it: what each state shows, and what it filters."""

import re

import pytest

from hdfs_pipeline.serving.pages.spans import PER_PAGE
from hdfs_pipeline_tests.domains.applogs.filling import put
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.serving.pages.test_incidents import HOSTILE, Ask, asks


@pytest.fixture
def ask(read_web: Home) -> Ask:
    return asks(read_web)


def test_a_new_home_says_what_to_type_and_has_no_link(home: Home) -> None:
    shown = asks(home)("/applogs")
    assert shown.status_code == 200 and "hdfs-pipeline ingest --domain applogs" in shown.text
    assert 'href="/applogs"' not in asks(home)("/").text


def test_the_page_shows_services_patterns_and_messages(ask: Ask) -> None:
    shown = ask("/applogs").text
    assert re.search(r"<h1>Applications: \d+ incidents in this window</h1>", shown)
    for chart in ("messages", "errors"):
        assert f'id="{chart}-summary"' in shown and f'id="{chart}-table"' in shown
    assert shown.count('<th scope="row"><a href="/items/applogs/msg-') == PER_PAGE
    assert (
        "Patterns, those with the most errors first" in shown
        and "/logs?domain=applogs&amp;template=applogs%2FE" in shown
    )
    assert " onclick" not in shown and 'hx-trigger="refresh"' in shown


def test_a_pattern_leads_to_its_records(ask: Ask) -> None:
    link = re.search(r'href="(/logs\?domain=applogs&amp;template=[^"]+)"', ask("/applogs").text)
    assert link is not None
    found = ask(link[1].replace("&amp;", "&")).text
    assert '<p class="line meta">' in found and 'placeholder="msg-00c0ffee00c0ffee"' in found


def test_service_and_level_stand_in_the_address_and_narrow_the_page(ask: Ask) -> None:
    service = re.search(r'<th scope="row"><a href="/applogs\?service=([^"&]+)"', ask("/applogs").text)
    assert service is not None
    shown = ask(f"/applogs?service={service[1]}&level=ERROR&level=FATAL").text
    levels = set(re.findall(r"</span> (ERROR|WARN|FATAL|INFO)</span></td>", shown))
    assert levels in ({"ERROR"}, {"ERROR", "FATAL"})
    assert f"<h1>{service[1]}" in shown and shown.count(" checked>") == 2
    assert "Services, the busiest first" not in shown


def test_anomalous_ones_say_their_kind_and_reason(ask: Ask) -> None:
    shown = ask("/applogs?show=anomalous").text
    rows = re.findall(r'<tr class="odd"><th scope="row"><a href="(/items/applogs/[^"]+)"', shown)
    assert rows and shown.count('<th scope="row"><a href="/items/applogs/') == len(rows)
    assert "keyword" in ask(rows[0]).text
    assert "No messages are known of this window" in ask("/applogs?from=2020-01-01&to=2020-01-02").text


@pytest.mark.parametrize(
    ("query", "status"), [("from=soon", 400), ("show=some", 422), ("page=0", 422), ("more=1", 422)]
)
def test_an_address_that_means_nothing_is_told(ask: Ask, query: str, status: int) -> None:
    assert ask(f"/applogs?{query}").status_code == status


def test_messages_that_mean_harm_do_none(home: Home) -> None:
    text = HOSTILE.replace('"', '\\"').replace("\x1b", "")
    line = f'{{"timestamp": "2026-11-20T10:00:00Z", "service": "{text}", "level": "ERROR", "message": "{text}"}}'
    assert put(home, [line.encode()]) == 1
    shown = asks(home)("/applogs")
    assert shown.status_code == 200 and "<script>alert" not in shown.text and "<img" not in shown.text
    assert "Nobody has judged these messages yet" in shown.text
