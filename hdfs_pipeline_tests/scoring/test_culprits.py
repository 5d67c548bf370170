"""Culprits: whoever stands out among what is blamed, and nobody where the blame is spread as the traffic is."""

from time import process_time

import numpy as np
import pytest

from hdfs_pipeline.scoring.culprits import settle

USUAL = dict.fromkeys("abcde", 0.2)


def settled(blamed: list[str], seconds: float = 1.0) -> list[str]:
    """The culprits of anomalies that blame one letter each, one anomaly every so many seconds; '-' blames nobody."""
    own = [[name for name in names if name != "-"] for names in blamed]
    return settle(np.arange(len(own)) * seconds, own, 30.0, USUAL)


def test_one_that_most_blame_is_the_culprit_of_all_about_the_same_time() -> None:
    assert settled(["b", "b", "-", "b", "c", "b"]) == ["b"] * 6


def test_a_single_anomaly_has_the_culprit_that_it_blames() -> None:
    assert settled(["d"]) == ["d"]


def test_two_at_once_have_their_own() -> None:
    assert settled(["a", "b"] * 8) == ["a", "b"] * 8


def test_of_several_that_one_blames_the_one_that_all_blame_counts() -> None:
    assert settled(["ab", "bc", "bd", "be"]) == ["b"] * 4


@pytest.mark.parametrize("seed", range(20))
def test_blame_that_is_spread_as_the_traffic_is_blames_nobody(seed: int) -> None:
    draw = np.random.default_rng(seed)
    assert settled([str(name) for name in draw.choice(list(USUAL), 27)]) == [""] * 27


def test_bursts_are_judged_apart() -> None:
    times = np.array([0.0, 1.0, 2.0, 100.0, 101.0, 102.0])
    assert settle(times, [["a"]] * 3 + [["b"]] * 3, 30.0, USUAL) == ["a"] * 3 + ["b"] * 3


def test_one_who_has_most_of_the_traffic_is_not_blamed_for_it() -> None:
    busy = USUAL | {"a": 0.8}
    assert settle(np.arange(10.0), [["a"]] * 8 + [["b"], ["c"]], 30.0, busy) == [""] * 10


def test_nobody_is_blamed_by_nothing() -> None:
    assert settle(np.zeros(0), [], 30.0, USUAL) == []
    assert settled(["-", "-"]) == ["", ""]


def test_the_nearest_in_time_decides_and_the_earlier_of_two() -> None:
    draw = np.random.default_rng(3)
    times = np.sort(draw.choice(np.arange(0.0, 400.0, 2.0), 300))
    own = [[str(name)] if name else [] for name in draw.choice(["a", "a", "b", "b", ""], 300)]
    found = settle(times, own, 30.0, USUAL)
    sure = [row for row, blamed in enumerate(own) if blamed]
    assert [found[row] for row in sure] == [own[row][0] for row in sure]
    for row in set(range(300)) - set(sure):
        near = min(sure, key=lambda other: (abs(times[other] - times[row]), other))
        assert found[row] == (own[near][0] if abs(times[near] - times[row]) <= 5 else "")


def test_a_hundred_thousand_at_once_take_no_time_for_each_pair() -> None:
    own = [["a"] if row % 2 else ["b"] if row % 3 else [] for row in range(100_000)]
    begun = process_time()
    found = settle(np.arange(100_000) / 1000, own, 30.0, USUAL)
    assert process_time() - begun < 10  # 50 s and more where each is held against each
    assert set(found) == {"a", "b"}
