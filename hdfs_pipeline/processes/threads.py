"""How many threads numerical libraries take inside of one call."""

from contextlib import AbstractContextManager
from typing import Any, cast


def one_thread() -> AbstractContextManager[Any]:
    """The libraries that are loaded by now keep to one thread inside: sums then always run in the same order.

    Products of small matrices are done before threads could share them, and threads of BLAS go on turning for a while.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    return cast("AbstractContextManager[Any]", threadpool_limits(limits=1))
