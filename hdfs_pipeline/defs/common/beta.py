"""Parts of Dagster that are in beta: its packages are pinned to one version, so their warnings say nothing new."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg


@contextmanager
def beta() -> Iterator[None]:
    """Silence the warning that a part is in beta, inside the block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        yield
