"""The page of a NameNode as HTML: what each state of a home shows, and what an address that means nothing is told."""

import csv
import io
import re
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from hdfs_pipeline.domains.namenode.detectors import MAIN
from hdfs_pipeline.serving.pages import namenode
from hdfs_pipeline.serving.pages.charts import number, spread, table_rows
from hdfs_pipeline_tests.domains.namenode.watched import NAMENODE, QUICK, faults, learn, watch
from hdfs_pipeline_tests.homes import Home, open_home
from hdfs_pipeline_tests.serving.conftest import Connect, application
from hdfs_pipeline_tests.serving.routes.test_namenode import WINDOW, when

HTML = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    home = open_home(tmp_path_factory.mktemp("namenode") / "home", **QUICK)
    watch(home)
    learn(home, end=when(faults()["listing_storm"].start))
    with TestClient(application(home), "http://127.0.0.1:8000", headers=HTML, follow_redirects=False) as client:
        yield client


def shown(client: TestClient, **asked: object) -> str:
    answer = client.get("/namenode", params=asked)
    assert answer.status_code == 200, answer.text
    assert "style=" not in answer.text and " onclick" not in answer.text
    return answer.text


def test_a_new_home_says_what_to_type(home: Home, connect: Connect) -> None:
    page = shown(connect(home))
    assert "No NameNode was polled yet" in page and "hdfs-pipeline collect http" in page


def test_without_a_model_the_baseline_comes_first(home: Home, connect: Connect) -> None:
    watch(home)
    client = connect(home)
    assert "Health of this baseline" in shown(client)
    report = shown(client, step="report")
    assert "No model has learned yet" in report and "Choose a baseline and train" in report


def test_the_report_is_in_the_address(asking: TestClient) -> None:
    window = {"from": WINDOW["from_ts"], "to": WINDOW["to_ts"]}
    plain = shown(asking, **window)
    (link,) = re.findall(r'id="permalink" href="([^"]+)"', plain)
    again = asking.get(link.replace("&amp;", "&")).text
    for part in (r"<h1>.*?</h1>", r'<ol class="ranked">.*?</ol>', r'<output id="count".*?</output>'):
        (first,), (second,) = (re.findall(part, text, re.DOTALL) for text in (plain, again))
        assert first == second
    strict = shown(asking, **window, threshold="1000000")  # static rules have limits of their own
    assert plain.count("<li><details") == 5 > strict.count("<li><details") == strict.count("by static_rules")


def test_a_long_window_is_checked_after_the_page(asking: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namenode, "_AT_ONCE", 10)
    page = shown(asking, step="baseline", **{"from": "1h"})
    assert "95 polls are looked at" in page and 'hx-trigger="load"' in page
    assert "can be learned from" in shown(asking, step="baseline", check="true", **{"from": "1h"})


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"from": "soon"}, 400),
        ({"from": "2026-11-22", "to": "2026-11-21"}, 400),
        ({"threshold": "much"}, 400),
        ({"threshold": "nan"}, 400),
        ({"metric": "Nonsense"}, 422),
        ({"line": "Nonsense"}, 422),
        ({"namenode": "other:9870"}, 404),
        ({"step": "dance"}, 422),
    ],
)
def test_an_address_that_means_nothing_is_told(asking: TestClient, asked: dict[str, str], status: int) -> None:
    assert asking.get("/namenode", params=asked).status_code == status


def test_the_report_as_a_file(asking: TestClient) -> None:
    window = {"from": WINDOW["from_ts"], "to": WINDOW["to_ts"]}
    whole = asking.get("/namenode/export", params=window | {"format": "json"})
    table = asking.get("/namenode/export", params=window | {"format": "csv"})
    assert 'filename="namenode-20261121T' in table.headers["content-disposition"]
    rows = [*csv.DictReader(io.StringIO(table.text))]
    assert len(rows) == whole.json()["steps"] and rows[0]["time"] == whole.json()["times"][0]
    over = sum(int(row[f"{MAIN} reaches its threshold"]) for row in rows)
    assert over == whole.json()["detectors"][MAIN]["steps_over"] > 0


def test_a_training_that_cannot_begin_is_told(asking: TestClient) -> None:
    fields = {"namenode": NAMENODE, "from": "2026-11-22", "to": "2026-11-21"}
    assert asking.post("/namenode/train", data=fields).status_code == 400
    assert asking.post("/namenode/train", data=fields | {"to": "2026-11-23", "namenode": "x"}).status_code == 422
    assert asking.get("/namenode/training/nonsense").status_code == 404


def test_numbers_and_tables_of_pictures() -> None:
    assert [number(value) for value in (None, 0.0, 0.1234, 12.34, 4070.3)] == ["–", "0", "0.123", "12.3", "4,070"]
    assert spread([None, 1.0, 2.0], [None, 3.0, 2.5]) == "1 to 3" and spread([None], [None]) == "–"
    rows = table_rows([0.0, 60.0, 120.0], [([1.0, None, 3.0], [1.0, None, 4.0])], most=2)
    assert rows == [["1970-01-01 00:00:00", "1"], ["1970-01-01 00:02:00", "3 to 4"]]
