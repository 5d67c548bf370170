"""PSI: zero for the same, symmetric, finite, growing with the shift, and quiet where chance alone speaks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.monitoring.stability import (
    Sides,
    bin_names,
    edges,
    noise,
    share_shift,
    shift,
    shift_of,
    stability_index,
    stretches,
)

COUNTS = st.lists(st.integers(0, 60), min_size=2, max_size=12)


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 99), min_size=n, max_size=n)] * 2)))
def test_symmetric_finite_and_never_negative(pair: tuple[list[int], list[int]]) -> None:
    before, after = (np.array(side) + (np.arange(len(side)) == 0) for side in pair)
    found = stability_index(before, after)
    assert np.isfinite(found)
    assert found >= 0
    assert found == pytest.approx(stability_index(after, before), abs=1e-12)
    assert stability_index(before, before) == 0


@given(COUNTS, st.integers(2, 50))
def test_a_larger_sample_of_the_same_shares_is_alike(counts: list[int], factor: int) -> None:
    before = np.array(counts) + 1
    assert stability_index(before, before * factor) <= noise(before, before * factor)


def test_it_grows_with_the_shift() -> None:
    before = np.array([900, 80, 20])
    found = [stability_index(before, np.array([900 - moved, 80 + moved, 20])) for moved in (0, 10, 50, 200, 800)]
    assert found[0] == 0
    assert found == sorted(found)
    assert stability_index(np.array([1000, 0]), np.array([0, 1000])) > 10


def test_the_usual_formula() -> None:
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.35, 0.25])
    exact = ((p - q) * np.log(p / q)).sum()
    assert stability_index(p * 1e7, q * 1e7) == pytest.approx(exact, rel=1e-5)


def test_a_frequent_value_has_a_bin_of_its_own_and_so_has_what_is_new() -> None:
    reference = np.repeat([0.0, 3.0, 4.0], [300, 600, 100])
    names = bin_names(edges(reference))
    assert names == ["< 0", "0", "0 … 3", "3", "3 … 4", "4", "> 4"]
    fewer = shift("E5", reference, np.repeat([0.0, 2.0, 4.0], [300, 600, 100]), 0.25)
    assert fewer.drifted
    assert [name for name, _, after in fewer.bins if after > 0.5] == ["0 … 3"]
    assert shift("E5", np.zeros(500), np.full(500, 7.0), 0.25).drifted
    assert shift("E5", np.zeros(500), np.zeros(500), 0.25).value == 0


def test_values_without_end_fall_into_about_ten_bins() -> None:
    values = np.random.default_rng(1).normal(size=5000)
    upper = edges(values)
    shares = np.bincount(np.searchsorted(upper, values)) / len(values)
    assert len(shares) == 10
    assert shares.max() < 0.12
    mixed = edges(np.concatenate([np.zeros(5000), values]))
    assert len(mixed) == pytest.approx(6, abs=2), "a value of its own, and five bins for the other half"


@pytest.mark.parametrize("size", [60, 200, 1000])
def test_small_samples_of_one_population_do_not_cry_wolf(size: int) -> None:
    draw = np.random.default_rng(size)
    population = draw.choice([0, 1, 2, 3, 4, 9], p=[0.02, 0.08, 0.1, 0.7, 0.08, 0.02], size=200_000)
    raw, beyond = [], 0
    for _ in range(200):
        reference, current = draw.choice(population, 4000), draw.choice(population, size)
        found = shift("E5", reference, current, 0.02)
        raw.append(found.value > 0.02)
        beyond += found.drifted
    assert beyond <= 1
    if size < 1000:
        assert sum(raw) > 5, "the limit alone would have told a drift that there is not"


def test_what_varied_before_may_vary_again() -> None:
    """Bursts in the reference: a burst is usual. The same burst is drift where the reference never had one."""
    burst = np.where(np.arange(4000) // 500 % 2 == 0, 3.0, 5.0)
    current = np.full(500, 5.0)
    usual = shift("E5", burst, current, 0.25)
    assert usual.value > 0.25
    assert usual.usual > usual.value * 0.9
    assert not usual.drifted
    assert shift("E5", np.where(np.arange(4000) % 2 == 0, 3.0, 5.0), current, 0.25).drifted


def test_one_odd_block_is_no_rise_of_a_share() -> None:
    whole, odd = np.full(1500, 20.0), np.zeros(1500)
    items = (np.arange(1500) < 1000).astype(int), (np.arange(1500) >= 1000).astype(int)
    whole[1007] = odd[1007] = 2000.0
    found = share_shift("unknown", odd, whole, items, 0.01)
    assert found.after > 0.15
    assert not found.drifted
    every = share_shift("unknown", items[1].astype(float), np.full(1500, 20.0), items, 0.01)
    assert every.drifted
    assert every.value == pytest.approx(0.05)


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, 2.5, 3.0, 9.0, 11.0]), st.integers(0, 90)), min_size=1), st.data())
def test_counted_values_are_as_many_values_one_by_one(counted: list[tuple[float, int]], data: st.DataObject) -> None:
    """Bins, means and the usual size of rows that repeat, as of all items, one after the other."""
    values, items = (np.array(side) for side in zip(*counted, strict=True))
    items[data.draw(st.integers(0, len(items) - 1))] += 1
    each = np.repeat(values, items)
    assert np.array_equal(edges(values, items), edges(each))
    frequent, counts = np.unique(each, return_counts=True)
    rest = each[np.isin(each, frequent[counts < 0.05 * len(each)])]
    parts = round(10 * len(rest) / len(each))
    if parts > 1:
        assert set(np.quantile(rest, np.arange(1, parts) / parts, method="lower")) <= set(edges(each))
    draw = np.random.default_rng(len(each))
    before, after = (draw.choice(len(values), 300, p=items / items.sum()) for _ in range(2))
    found = shift_of("E5", values, Sides(before, after, len(values)), 0.25)
    assert found == shift("E5", values[before], values[after], 0.25)
    assert (found.before, found.after) == pytest.approx((values[before].mean(), values[after].mean()))
    upper = edges(values[before])
    bins = np.searchsorted(upper, values[before])
    whole = np.bincount(bins, minlength=len(upper) + 1)
    usual = [np.bincount(bins[part], minlength=len(upper) + 1) for part in stretches(300, 300)]
    assert found.usual == max(0.0, *(stability_index(whole - part, part) for part in usual))


@given(st.integers(1, 500), st.integers(1, 500))
def test_stretches_lie_inside_and_are_no_longer_than_half(reference: int, current: int) -> None:
    for each in stretches(reference, current):
        assert 0 <= each.start < each.stop <= reference
        assert each.stop - each.start == max(1, min(current, reference // 2))
