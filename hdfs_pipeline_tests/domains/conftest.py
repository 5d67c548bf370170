"""A small filled home of each domain, `<name>_filled`: what the conformance of domains (`test_contract.py`) needs."""

import pytest

from hdfs_pipeline_tests.domains.applogs.filling import APPLOGS, simulated_lines
from hdfs_pipeline_tests.domains.daemons.written import DAEMONS, TROUBLE, read, write
from hdfs_pipeline_tests.domains.namenode.watched import NAMENODES, QUICK, watch
from hdfs_pipeline_tests.domains.traffic.written import TRAFFIC
from hdfs_pipeline_tests.domains.traffic.written import fill as fill_traffic
from hdfs_pipeline_tests.domains.weblogs.written import WEBLOGS, lines_of, some_days
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


@pytest.fixture(scope="session")
def applogs_filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """Two files of simulated services over an evening and a night, with some anomalies of each kind."""
    folder = tmp_path_factory.mktemp("applogs")
    home = open_home(folder / "home")
    lines = simulated_lines(seed=5, hours=8.0, rate=0.13)[:3000]
    files = []
    for name, part in {"one": lines[::2], "two": lines[1::2]}.items():
        files.append(folder / f"{name}.jsonl")
        files[-1].write_bytes(b"".join(line + b"\n" for line in part))
    filled = Filled(APPLOGS, home, tuple(files))
    filled.read(home)
    return filled


@pytest.fixture(scope="session")
def weblogs_filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """600 requests of two days, with a scan on the second."""
    folder = tmp_path_factory.mktemp("weblogs")
    (file := folder / "access.log").write_bytes(b"".join(line + b"\n" for line in lines_of(some_days())))
    filled = Filled(WEBLOGS, open_home(folder / "home"), (file,))
    filled.read(filled.home)
    return filled


@pytest.fixture(scope="session")
def traffic_filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """Two web services over 250 minutes, with midnight among them, a burst of errors, slow answers and a silence."""
    home = open_home(tmp_path_factory.mktemp("traffic") / "home")
    fill_traffic(home, range(250))
    return Filled(TRAFFIC, home)
