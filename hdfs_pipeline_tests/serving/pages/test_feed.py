"""The page of the feed: first filled from the store, the newest on top, and where to go on."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from starlette.testclient import TestClient

from hdfs_pipeline.serving.live import parse_id
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.serving.test_anomalies import NOW, anomaly
from hdfs_pipeline_tests.verdicts.made_incidents import put


def test_the_newest_of_the_store_stand_there_once_each(watched: Home, client: TestClient) -> None:
    rows = [anomaly(f"blk_{n}", scored_at=NOW + timedelta(seconds=n)) for n in range(120)]
    again = anomaly(
        "blk_5", scored_at=datetime.now(UTC), status="withdrawn", origin="aggregated_events", entity="<dn1>"
    )
    put(watched, "anomalies", *rows, again, anomaly("blk_500", scored_at=None, last_time=None, score=None))
    page = client.get("/feed").text
    shown = re.findall(r'data-key="blocks (blk_\d+) lifecycle"', page)
    assert shown == ["blk_5", *(f"blk_{n}" for n in range(119, 20, -1))]
    assert '<span class="status withdrawn">withdrawn</span>' in page and "&lt;dn1&gt;" in page
    at = re.search(r'data-at="([^"]+)"', page)
    assert at and parse_id(at[1].replace("&#43;", "+"))[1] is not None


def test_a_new_home_says_that_there_is_none(new_home: Callable[..., Home], connect: Callable[..., TestClient]) -> None:
    page = connect(new_home(bare=True)).get("/feed").text
    assert "No anomaly so far" in page and "says how to begin" in page
