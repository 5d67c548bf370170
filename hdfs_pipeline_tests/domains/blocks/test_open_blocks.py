"""Open blocks against a dictionary: whatever is added, closed, read again or forgotten, the counts are right."""

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfs_pipeline.domains.blocks.counting import OPEN
from hdfs_pipeline.domains.blocks.open_blocks import OpenBlocks, Records

WIDTH, PARTITIONS = 4, 3
SECOND = 1_000_000
Rows = list[tuple[int, int, int, int]]  # block, offset, second, event
REPEATABLE = settings(derandomize=True, deadline=None, max_examples=100)


def blocks(memory: int = 1 << 20) -> OpenBlocks:
    return OpenBlocks(WIDTH, PARTITIONS, memory)


def records(rows: Rows) -> Records:
    block, offset, second, event = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    partition = (block % PARTITIONS).astype(np.int32)
    return Records(block, partition, offset, second * SECOND, event, event == 3)


def add(found: OpenBlocks, rows: Rows, now: float = 0.0) -> int:
    return found.add(records(rows), now)


def counts(found: OpenBlocks) -> dict[int, Counter[int]]:
    slots = np.flatnonzero(found.used["state"] > 0)
    return {int(found.rows["block"][s]): Counter(dict(enumerate(found.counts[s].tolist()))) for s in slots}


def expected(rows: Rows) -> dict[int, Counter[int]]:
    found: dict[int, Counter[int]] = {}
    for block, _, _, event in rows:
        found.setdefault(block, Counter(dict.fromkeys(range(WIDTH), 0)))[event] += 1
    return found


ROWS = st.lists(st.tuples(st.integers(-20, 20), st.integers(0, 100), st.integers(0, WIDTH - 1)), min_size=1).map(
    lambda rows: [(block, offset, second, event) for offset, (block, second, event) in enumerate(rows)]
)


@REPEATABLE
@given(rows=ROWS, cuts=st.lists(st.integers(0, 100)))
def test_counts_do_not_depend_on_batches_nor_on_reading_again(rows: Rows, cuts: list[int]) -> None:
    found = blocks()
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    for start, end in pairwise(edges):
        add(found, rows[start:end])
        add(found, rows[: end // 2] or rows[:1])  # as after a rebalance: from somewhere before
    assert counts(found) == expected(rows)


@REPEATABLE
@given(data=st.data())
def test_what_is_forgotten_is_gone_and_the_rest_is_found(data: st.DataObject) -> None:
    found, alive, offset = blocks(6000), dict[int, Counter[int]](), 0
    for _ in range(data.draw(st.integers(1, 30))):
        names = data.draw(st.lists(st.integers(0, 25), min_size=1, max_size=8))
        rows = [(name, offset + at, 0, name % WIDTH) for at, name in enumerate(names)]
        offset += len(rows)
        assert add(found, rows) == len(rows)
        for name, counter in expected(rows).items():
            alive[name] = alive.get(name, Counter()) + counter
        gone = data.draw(st.sets(st.sampled_from(sorted(alive)), max_size=4))
        slots = np.flatnonzero((found.used["state"] > 0) & np.isin(found.used["block"], sorted(gone)))
        found.remove(slots)
        alive = {name: counter for name, counter in alive.items() if name not in gone}
        assert {name: +counter for name, counter in counts(found).items()} == alive
        assert len(found) == len(alive)


def test_a_block_closes_when_its_partition_has_moved_on() -> None:
    found = blocks()
    add(found, [(3, 0, 100, 0), (6, 1, 105, 1), (1, 2, 300, 0)])
    assert len(found.due(10 * SECOND, 100)[0]) == 0
    add(found, [(9, 3, 111, 0)])  # 3, 6 and 9 share a partition; 1 does not
    slots, full = found.due(10 * SECOND, 100)
    assert found.rows["block"][slots].tolist() == [3]
    assert not full.any()


def test_a_late_record_opens_it_again_and_counts_on() -> None:
    found = blocks()
    add(found, [(3, 0, 100, 0), (3, 1, 100, 1)])
    slot = int(np.flatnonzero(found.used["state"] == OPEN)[0])
    found.publish(np.array([slot]))
    assert found.floors(np.array([2, 0, 0])).tolist() == [2, 0, 0]
    add(found, [(3, 5, 101, 1)])
    assert found.counts[slot].tolist() == [1, 2, 0, 0]
    row = found.rows[slot]
    assert (row["first_offset"], row["since"], row["last_offset"], row["lines"]) == (0, 5, 5, 3)
    assert found.floors(np.array([6, 0, 0])).tolist() == [5, 0, 0]


def test_max_events_count_from_the_last_publication() -> None:
    found = blocks()
    add(found, [(3, at, 0, 0) for at in range(5)])
    slots, full = found.due(10 * SECOND, 5)
    assert full.tolist() == [True]
    found.publish(slots)
    add(found, [(3, 5 + at, 0, 0) for at in range(4)])
    assert len(found.due(10 * SECOND, 5)[0]) == 0
    add(found, [(3, 9, 0, 0)])
    assert len(found.due(10 * SECOND, 5)[0]) == 1


def test_the_clock_closes_only_where_all_was_read() -> None:
    found = blocks()
    add(found, [(3, 0, 0, 0), (1, 0, 0, 0)], now=100.0)
    caught_up = np.array([True, False, True])
    assert len(found.quiet(10, 109.0, caught_up)) == 0
    slots = found.quiet(10, 111.0, caught_up)
    assert found.rows["block"][slots].tolist() == [3]


def test_one_record_from_the_future_does_not_close_everything_for_ever() -> None:
    found = blocks()
    add(found, [(3, 0, 10**9, 0)])
    add(found, [(6, 1 + at, at // 100, 0) for at in range(1100)])
    assert found.watermark[0] == 10 * SECOND


def test_an_early_look_is_taken_once() -> None:
    found = blocks()
    add(found, [(3, 0, 0, 0), (3, 1, 0, 0), (6, 2, 0, 0)])
    assert len(found.reached(2)) == 1
    assert len(found.reached(2)) == 0


def test_records_of_one_message_all_count() -> None:
    found = blocks()
    add(found, [(3, 7, 0, 0), (3, 7, 0, 1)])
    add(found, [(3, 7, 0, 0), (3, 7, 0, 1)])  # read again
    assert counts(found)[3] == Counter({0: 1, 1: 1, 2: 0, 3: 0})


def test_memory_is_bounded_and_the_oldest_go_first() -> None:
    found = blocks(20_000)
    rows = [(block, block, 0, 0) for block in range(0, 3 * found.capacity, 3)]
    for at, row in enumerate(rows):
        assert add(found, [row], now=float(at)) == 1
    assert add(found, [(10**6, 10**6, 0, 0)]) == 0  # no room
    closed, still_open = found.crowd()
    assert len(closed) == 0
    assert found.rows["block"][still_open].max() == 3 * (len(still_open) - 1)
    found.publish(still_open[:2])
    closed, still_open = found.crowd()
    assert len(closed) == 2
    found.remove(np.concatenate([closed, still_open]))
    assert add(found, [(10**6, 10**6, 0, 0)]) == 1


@pytest.mark.slow
def test_two_million_open_blocks_stay_within_the_budget() -> None:
    import psutil

    def rss() -> float:
        return psutil.Process().memory_info().rss / 2**20

    small = blocks()  # what numba and LLVM take is not the blocks'
    add(small, [(3, 0, 0, 0)])
    small.remove(small.crowd()[1])
    before, budget = rss(), 256
    found = OpenBlocks(30, PARTITIONS, budget << 20)
    partial = 0
    for start in range(0, 2_000_000, 100_000):
        rows = np.arange(start, start + 100_000)
        zeros = np.zeros(len(rows), np.int64)
        given_rows = Records(rows, (rows % PARTITIONS).astype(np.int32), rows, zeros, zeros, zeros > 0)
        at = 0
        while (at := found.add(given_rows, float(start), at)) < len(rows):
            closed, still_open = found.crowd()
            partial += len(still_open)
            found.remove(np.concatenate([closed, still_open]))
    assert len(found) + partial == 2_000_000
    assert rss() - before < budget * 1.1


def test_restored_vectors_count_on() -> None:
    found = blocks()
    from hdfs_pipeline.domains.blocks.counting import ROW

    row: Any = np.zeros((), ROW)
    row["block"], row["partition"], row["first_offset"], row["last_offset"], row["lines"] = 3, 0, 10, 20, 2
    found.restore(row, np.array([1, 1, 0, 0], np.int32))
    add(found, [(3, 15, 0, 0), (3, 20, 0, 0), (3, 21, 0, 2)])  # the first two were counted before
    assert counts(found)[3] == Counter({0: 1, 1: 1, 2: 1, 3: 0})
    older = row.copy()
    older["last_offset"] = 12
    found.restore(older, np.array([1, 0, 0, 0], np.int32))
    assert counts(found)[3][2] == 1, "an older vector replaces nothing"


def of_hosts(rows: list[tuple[int, int, float, int]]) -> Records:
    """Records of (block, offset, second, host)."""
    block, offset, second, host = (np.array(column) for column in zip(*rows, strict=True))
    zero, times = np.zeros(len(rows), np.int64), (second * SECOND).astype(np.int64)
    partition = np.zeros(len(rows), np.int32)
    return Records(
        block.astype(np.int64), partition, offset.astype(np.int64), times, zero, zero > 0, host.astype(np.int32)
    )


def premature(lead_s: dict[int, float], share: dict[int, int], named: bool = True) -> int:
    """How often blocks of ten records, a second apart, are closed before their last one.

    Records come one a tenth of a second; `lead_s` says by how much a host's clock is ahead, `share` how often it logs.
    """
    found, early, alive = blocks(1 << 22), 0, dict[int, int]()
    turns = [host for host, times in share.items() for _ in range(times)]
    draw = np.random.default_rng(7)
    for step in range(6000):
        block = step // 100 * 10 + step % 10
        host = int(draw.choice(turns))
        alive[block] = alive.get(block, 0) + 1
        second = 1000 + step / 10 + lead_s.get(host, 0)
        found.add(of_hosts([(block, step, second, host if named else 0)]), 0.0)
        slots, _ = found.due(60 * SECOND, 10**6)
        early += sum(alive[int(name)] < 10 for name in found.rows["block"][slots])
        found.publish(slots)
    return early


@pytest.mark.parametrize(("lead_s", "share", "named"), [
    ({}, {1: 1, 2: 1, 3: 1}, True),
    ({1: 90}, {1: 7, 2: 31, 3: 31, 4: 31}, True),
    ({1: 90}, {1: 7, 2: 93}, False),  # nobody says which records are whose
    ({1: 90}, {1: 70, 2: 15, 3: 15}, True),  # the fast one logs the most
    ({1: 90}, {1: 1, 2: 1}, True),
    ({1: 3600, 2: 90}, {1: 1, 2: 1, 3: 1, 4: 1, 5: 1}, True),
    ({1: -90}, {1: 7, 2: 31, 3: 31}, True),  # one that is slow
    ({1: -3600}, {1: 1, 2: 1, 3: 1}, True),
])  # fmt: skip
def test_clocks_that_are_wrong_close_no_block_early(
    lead_s: dict[int, float], share: dict[int, int], named: bool
) -> None:
    assert premature(lead_s, share, named) == 0


def test_blocks_of_a_fast_host_close_like_all_others() -> None:
    found = blocks()
    rows = [(1, 0, 5000.0, 9)] + [(2, 1 + at, 100 + at, at % 3) for at in range(90)]
    found.add(of_hosts(rows[:40]), 0.0)
    found.add(of_hosts(rows[40:]), 0.0)
    slots, _ = found.due(30 * SECOND, 10**6)
    assert found.rows["block"][slots].tolist() == [1]


def test_a_host_that_falls_silent_holds_nothing_for_long() -> None:
    found = blocks()
    found.add(of_hosts([(1, at, 100.0 + at, at % 2) for at in range(20)]), 0.0)
    found.add(of_hosts([(2, 20 + at, 200.0 + at, 0) for at in range(70)]), 0.0)
    assert found.watermark[0] >= 250 * SECOND
    assert found.rows["block"][found.due(30 * SECOND, 10**6)[0]].tolist() == [1]


def test_the_clock_of_each_host_is_told() -> None:
    found = blocks()
    found.add(of_hosts([(1, at, 100.0 + at + 90 * (at % 3 == 0), at % 3) for at in range(30)]), 0.0)
    rows = {host: clock / SECOND for _, host, clock in found.host_clocks().tolist()}
    assert set(rows) == {0, 1, 2} and 200 < rows[0] < 220 and 115 < rows[1] < 130
