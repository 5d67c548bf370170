"""A small filled home of each domain, `<name>_filled`: what the conformance of domains (`test_contract.py`) needs."""

import pytest

from hdfs_pipeline_tests.domains.daemons.written import DAEMONS, TROUBLE, read, write
from hdfs_pipeline_tests.domains.namenode.watched import NAMENODES, QUICK, watch
from hdfs_pipeline_tests.homes import BLOCKS, Excerpt, Filled, fill, open_home


@pytest.fixture(scope="session")
def blocks_filled(tmp_path_factory: pytest.TempPathFactory, excerpt: Excerpt) -> Filled:
    """400 labelled blocks of three days."""
    home = open_home(tmp_path_factory.mktemp("blocks") / "home")
    fill(home, [excerpt.log], excerpt.csv)
    return Filled(BLOCKS, home, (excerpt.log,), excerpt.csv)


@pytest.fixture(scope="session")
def daemons_filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """Three daemons over 200 minutes, with midnight among them and two troubles at the end."""
    folder = tmp_path_factory.mktemp("daemons")
    home = open_home(folder / "home")
    read(home, write(folder / "logs", range(200), TROUBLE))
    return Filled(DAEMONS, home)


@pytest.fixture(scope="session")
def namenode_filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """A recorded NameNode: a quarter of an hour, quiet for five minutes, with midnight in a fault."""
    home = open_home(tmp_path_factory.mktemp("namenode") / "home", **QUICK)
    watch(home)
    with home.store.write() as con:
        con.execute("UPDATE namenode_metrics SET polled_at = polled_at + INTERVAL '19:46:50'")
    return Filled(NAMENODES, home)
