"""One small home on which the main job has run, and the definitions."""

import csv
import gzip
import os
import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.champions import standard_detectors
from hdfs_pipeline.settings import PROJECT, Settings, load_settings
from hdfs_pipeline.store.store import Store

SAMPLE = PROJECT / "data" / "sample" / "hdfs_v1"
LINES = 8_000
BLOCKS = domain_named("blocks")
STANDARD = standard_detectors(BLOCKS)
TAUGHT = [name for name in STANDARD if name not in BLOCKS.untrained]


@dataclass(frozen=True)
class Ran:
    """A home, its log and label files, and the run of `blocks_job` on them."""

    settings: Settings
    store: Store
    log: Path
    labels: Path
    run: dg.DagsterRun
    heard: list[tuple[str, int, int]]


@pytest.fixture(scope="session")
def excerpt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The first lines of the shipped sample, and its labels."""
    if not SAMPLE.is_dir():
        pytest.skip(f"no sample at {SAMPLE}")
    folder = tmp_path_factory.mktemp("excerpt")
    log, labels = folder / "HDFS.log", folder / "labels.csv"
    with gzip.open(SAMPLE / "HDFS.log.gz", "rt") as file:
        log.write_text("".join(islice(file, LINES)))
    with (SAMPLE / "labels.csv").open(newline="") as file, labels.open("w", newline="") as out:
        csv.writer(out).writerows(csv.reader(file))
    return log, labels


@pytest.fixture(scope="session")
def definitions() -> dg.Definitions:
    from hdfs_pipeline.definitions import defs

    return defs()


@pytest.fixture(scope="session")
def ran_once(excerpt: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """`blocks_job` on the excerpt, as the demo runs it."""
    from hdfs_pipeline.running.orchestration import run_main_job

    with pytest.MonkeyPatch.context() as patch:
        home = lean_home(tmp_path_factory.mktemp("ran"), patch)
        log, labels = excerpt
        heard: list[tuple[str, int, int]] = []
        settings = load_settings(home)
        assert run_main_job(settings, "blocks", [str(log)], str(labels), lambda *told: heard.append(told))
        with dg.DagsterInstance.get() as instance:
            (run,) = instance.get_runs()
        return Ran(settings, Store.open(settings), log, labels, run, heard)


@pytest.fixture
def ran(ran_once: Ran, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ran]:
    """The home of the one run, named by the environment; its store is put back as it was."""
    lean_home(ran_once.settings.home, monkeypatch)
    before = ran_once.settings.home / "before.duckdb"
    ran_once.store.backup(before)
    yield ran_once
    before.replace(ran_once.store.path)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An empty home, the one that the environment names."""
    return load_settings(lean_home(tmp_path / "home", monkeypatch))


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def sensor(name: str) -> Any:
    """A sensor of the definitions, to be called with a context and its resources."""
    from hdfs_pipeline.definitions import defs

    return defs().resolve_sensor_def(name)


def schedule(name: str) -> Any:
    """A schedule of the definitions."""
    from hdfs_pipeline.definitions import defs

    return defs().resolve_schedule_def(name)


class Automation:
    """The sensor `automation` in the home that the environment names, by a clock of its own."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self._definitions, self._instance = definitions, instance
        self._now = datetime.now(UTC).replace(minute=1, second=0, microsecond=0) + timedelta(hours=1)
        self._last: Any = None
        self.after(timedelta(0))

    def after(self, time: timedelta) -> set[str]:
        """Names of the assets that are asked for once so much time has passed."""
        self._now += time
        self._last = dg.evaluate_automation_conditions(
            self._definitions,
            self._instance,
            evaluation_time=self._now,
            cursor=self._last.cursor if self._last is not None else None,
        )
        keys = [spec.key for spec in self._definitions.resolve_all_asset_specs()]
        return {key.to_user_string() for key in keys if self._last.get_num_requested(key)}

    def soon(self) -> set[str]:
        """The same five minutes later, with a look on the way: what waits is asked for at the clock's next tick."""
        return self.after(timedelta(seconds=30)) | self.after(timedelta(minutes=4, seconds=30))


@contextmanager
def later_home(
    ran: Ran, folder: Path, patch: pytest.MonkeyPatch, settings: str, statements: Iterable[str]
) -> Iterator[Settings]:
    """A copy of the home of the one run in `folder`, with `settings` and after SQL `statements` on its store."""
    shutil.copytree(ran.settings.home, folder, ignore=shutil.ignore_patterns("dagster", "*.lock"))
    lean_home(folder, patch)
    (folder / "settings.toml").write_text(settings)
    load_settings.__globals__["_load"].cache_clear()
    with Store(folder / "hdfs.duckdb").write() as con:
        for statement in statements:
            con.execute(statement)
    yield load_settings(folder)
    load_settings.__globals__["_load"].cache_clear()


def lean_home(home: Path, patch: pytest.MonkeyPatch) -> Path:
    """An empty home named by the environment, and short trainings."""
    for name in [name for name in os.environ if name.startswith("HDFS_PIPELINE_")]:
        patch.delenv(name)
    patch.setenv("HDFS_PIPELINE_HOME", str(home))
    patch.setenv("DAGSTER_HOME", str(home / "dagster"))  # which `prepare_instance` sets: patched to be put back
    home.mkdir(parents=True, exist_ok=True)
    # Less learning, since what is learned is not the question here.
    patch.setattr("hdfs_pipeline.detectors.autoencoder.Autoencoder.DEFAULTS", {"steps": 60, "lr": 0.01})
    (home / "settings.toml").write_text("bootstrap_samples = 20\n")
    return home
