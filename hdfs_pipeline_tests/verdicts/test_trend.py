"""The trend of incidents: counts over their time by one query, and a word."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.verdicts.listing import Wanted, list_incidents
from hdfs_pipeline.verdicts.members import members_of
from hdfs_pipeline.verdicts.trend import STEPS, with_trends
from hdfs_pipeline_tests.homes import Home, open_home
from hdfs_pipeline_tests.verdicts.made_incidents import ago, incident, put

BEGAN = ago(hours=1)
LASTS = timedelta(seconds=120)
DISK = "write failed: disk full"


def anomaly(item: int, after_s: float, **differing: Any) -> dict[str, Any]:
    time: datetime = BEGAN + timedelta(seconds=after_s)
    plain = {"domain": "blocks", "item": f"blk_{item}", "detector": "lifecycle", "kind": DISK, "status": "final"}
    plain |= {"entity": "dn7", "first_time": time, "last_time": time, "told_from": time, "score": 1.0}
    return plain | {"blamed": ["10.0.0.7:9866"]} | differing


def trends(home: Home) -> dict[str, Any]:
    rows = list_incidents(home.store, Wanted())[1]
    return {row["id"][:8]: row["trend"] for row in with_trends(home.store, rows)}


@pytest.mark.parametrize(
    ("times", "status", "word"),
    [
        ([5, 45, 85, 95, 105, 115, 120], "open", "growing"),
        ([1, 2, 41, 42, 43, 44, 119], "acknowledged", "fading"),
        ([5, 45, 50, 85, 119], "open", "steady"),
        ([0, 120], "open", "steady"),
        ([5, 45, 85, 95, 105, 115, 120], "resolved", "over"),
    ],
)
def test_the_word_says_what_the_counts_show(home: Home, times: list[float], status: str, word: str) -> None:
    put(home, "incidents", incident(1, began=BEGAN, lasted=LASTS, status=status))
    put(home, "anomalies", *(anomaly(number, after_s) for number, after_s in enumerate(times)))
    found = trends(home)["00000001"]
    assert found["word"] == word
    assert [sum(found["counts"][:4]), sum(found["counts"])] == [sum(t < 40 for t in times), len(times)]


def test_each_incident_counts_its_own_items_once(home: Home) -> None:
    other = incident(2, began=BEGAN, lasted=LASTS, entity="10.0.0.8:9866")
    of_a_series = incident(3, began=BEGAN, lasted=LASTS, domain="namenode", entity="nn", kind="", kinds={})
    put(home, "incidents", incident(1, began=BEGAN, lasted=LASTS), other, of_a_series, incident(4, began=ago(days=9)))
    put(
        home,
        "anomalies",
        anomaly(1, 5),
        anomaly(1, 5, detector="random_forest"),
        anomaly(2, 5, blamed=["10.0.0.8:9866"]),
        anomaly(3, 5, status="withdrawn"),
        anomaly(4, 5, kind="copy failed"),
        anomaly(5, 500),
        anomaly(6, 118, domain="namenode", entity="nn", kind="", blamed=None),
    )
    counts = {name: found and found["counts"] for name, found in trends(home).items()}
    first, last = [1] + [0] * (STEPS - 1), [0] * (STEPS - 1) + [1]
    assert counts == {"00000001": first, "00000002": first, "00000003": last, "00000004": None}


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 120), st.booleans()), max_size=30))
def test_the_counts_are_those_of_the_members(judged_once: Home, rows: list[tuple[int, float, bool]]) -> None:
    home = judged_once
    with home.store.write() as con:
        con.execute("DELETE FROM anomalies")
    made = {item: anomaly(item, after_s, blamed=["10.0.0.7:9866"] if own else []) for item, after_s, own in rows}
    if made:
        put(home, "anomalies", *made.values())
    (row,) = list_incidents(home.store, Wanted())[1]
    with home.store.read() as con:
        members = members_of(con, row)
    (found,) = with_trends(home.store, [row])
    assert (sum(found["trend"]["counts"]) if found["trend"] else 0) == len(members)


@pytest.fixture(scope="module")
def judged_once(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with one incident, whose anomalies change."""
    home = open_home(tmp_path_factory.mktemp("trend") / "home")
    put(home, "incidents", incident(1, began=BEGAN, lasted=LASTS))
    return home


def test_no_incidents_have_no_trends(home: Home) -> None:
    assert with_trends(home.store, []) == []
