"""One bad message among many: it is found and told of, and the others are worked on in their order."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.sources.halves import by_halves

KINDS = (ValueError, UnicodeError, RecursionError, KeyError, AttributeError, SystemError, DataError)


@given(st.integers(0, 40), st.sets(st.integers(0, 40)), st.integers(0, 5))
def test_whatever_messages_raise_is_theirs_alone(count: int, bad: set[int], start: int) -> None:
    draw = random.Random(len(bad))

    def work(begin: int, end: int) -> list[int]:
        for at in range(begin, end):
            if at in bad:
                raise draw.choice(KINDS)("why")
        return list(range(begin, end))

    done, told = by_halves(work, start, count)
    assert [at for part in done for at in part] == [at for at in range(start, count) if at not in bad]
    assert [at for at, _ in told] == [at for at in range(start, count) if at in bad]
    assert all("why" in reason for _, reason in told)


@pytest.mark.parametrize("error", [SetupError("the store is locked"), OSError("disk full"), MemoryError()])
def test_what_is_no_messages_fault_ends_the_work(error: Exception) -> None:
    def work(begin: int, end: int) -> None:
        raise error

    with pytest.raises(type(error)):
        by_halves(work, 0, 3)
