"""The page of experiments on load: what it says, in every state of a home, and what it never lets through."""

import re
from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest

from hdfs_pipeline.experiments.load.records import begun, ended
from hdfs_pipeline.experiments.load.shapes import Load
from hdfs_pipeline.serving.pages.experiments import MOST_LAGS
from hdfs_pipeline_tests.experiments.load.made import HOST, LOADS, completed, fill
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.serving.pages.test_incidents import HOSTILE, asks


def test_the_page_compares_and_draws(home: Home) -> None:
    fill(home.store)
    shown = asks(home)("/experiments").text
    assert "7 experiments, the latest first" in shown and "52,000 messages a second" in shown
    assert "10,720 to 29,780" in shown and "worker&nbsp;3.20" in shown and "worker-1 ended by itself" in shown
    assert shown.index("broken.") < shown.rindex("baseline."), "the latest first"
    pictures = re.findall(r"<svg.*?</svg>", shown, re.DOTALL)
    assert len(pictures) == 3 + len(LOADS)
    for picture in pictures:
        ET.fromstring(picture)
    assert '<a href="/experiments" aria-current="page">Experiments</a>' in shown


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("completed", "6 experiments"),
        ("failed", "there is nothing to recommend"),
        ("running", "No experiment is running"),
    ],
)
def test_a_status_narrows_it(status: str, said: str, home: Home) -> None:
    fill(home.store)
    shown = asks(home)(f"/experiments?status={status}")
    assert shown.status_code == 200 and said in shown.text and f"<option selected>{status}</option>" in shown.text


def test_what_is_no_status_is_refused(home: Home) -> None:
    assert asks(home)("/experiments?status=lost").status_code == 400


@pytest.mark.parametrize("bare", [True, False])
def test_a_home_without_experiments_says_what_to_do(bare: bool, new_home: Callable[..., Home]) -> None:
    ask = asks(new_home(bare=bare))
    shown = ask("/experiments")
    assert shown.status_code == 200 and "hdfs-pipeline experiment run baseline" in shown.text
    assert 'href="/experiments"' not in ask("/").text, "nothing to see: no link"


def test_names_from_outside_stay_text(home: Home) -> None:
    load, host = Load("sly", detector=HOSTILE), HOST | {"host": HOSTILE, "broker": HOSTILE}
    completed(home.store, load, 100.0, host)
    ended(home.store, begun(home.store, load, {}), "failed", HOSTILE)
    shown = asks(home)("/experiments").text
    assert shown.count("&lt;script&gt;alert(1)") == 5
    assert "<script>alert" not in shown and "<img" not in shown and "\x1b" not in shown


def test_lag_is_drawn_of_the_latest(home: Home) -> None:
    for _ in range(MOST_LAGS + 1):
        completed(home.store, Load("again", partitions=1), 100.0)
    assert asks(home)("/experiments").text.count('aria-label="Lag of ') == MOST_LAGS
