"""What the fault tests share: a seed that can be set, brokers, and the lines that say what was reconciled."""

import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.streaming.conftest import broker, pytest_runtest_setup
from hdfs_pipeline_tests.streaming.workers import settle_in

__all__ = ["broker", "pytest_runtest_setup"]  # a fixture and a hook

VARIABLE = "HDFS_PIPELINE_FAULTS_SEED"
SEED = os.environ.setdefault(VARIABLE, str(random.SystemRandom().randrange(10**6)))  # of pytest-xdist's workers too


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Chance that a test can have again: set the variable to the seed that was printed."""
    return random.Random(f"{SEED}/{request.node.name}")


@pytest.fixture
def reconciled(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Takes a line that the end of the run shows."""
    return lambda line: record_property("reconciled", line)


@pytest.fixture
def home(broker: Home, trained: Home) -> Home:
    """A home with models on an empty broker: the real one where the environment names one."""
    settle_in(broker, trained)
    return broker


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    told = [
        f"{report.nodeid.split('::')[-1]}: {value}"
        for report in reports
        for key, value in report.user_properties
        if key == "reconciled" and report.when == "call"
    ]
    if told:
        terminalreporter.section(f"what was reconciled ({VARIABLE}={SEED})")
    for line in told:
        terminalreporter.write_line(line)
