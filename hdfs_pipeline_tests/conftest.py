"""What several test modules share: the real data, and homes with a store of their own."""

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from filelock import FileLock

from hdfs_pipeline.settings import load_settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline_tests import homes
from hdfs_pipeline_tests.homes import Home

# A busy machine is slow, not wrong.
hypothesis.settings.register_profile("hdfs_pipeline", deadline=None)
hypothesis.settings.load_profile("hdfs_pipeline")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data: HDFS_PIPELINE_SHARED, or `shared` beside the repository."""
    folder = Path(os.environ.get("HDFS_PIPELINE_SHARED", Path(__file__).parents[2] / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set HDFS_PIPELINE_SHARED")
    return folder


Once = Callable[[str, Callable[[Path], object]], Path]
"""`once(name, make)`: the folder of that name that `make` has filled, one for all of pytest-xdist's processes."""


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """What takes long and is only read afterwards is made by the process that needs it first; the others wait."""
    base = tmp_path_factory.getbasetemp()
    common = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "once"
    common.mkdir(exist_ok=True)

    def found(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = common / name, common / f"{name}.done"
        with FileLock(common / f"{name}.lock", timeout=600):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a try that failed
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return found


@pytest.fixture(scope="session")
def empty_store(once: Once) -> Path:
    """The file of a store without rows, to be copied: making its tables takes half a second."""

    def make(folder: Path) -> None:
        with Store(folder / "hdfs.duckdb").write():
            pass

    return once("store", make) / "hdfs.duckdb"


@pytest.fixture
def new_home(tmp_path: Path, empty_store: Path) -> Callable[..., Home]:
    """Makes a home: `new_home("name", setting=value)`; with an empty store in it, unless `bare`."""

    def make(name: str = "home", *, bare: bool = False, **settings: Any) -> Home:
        plain = {"lock_timeout_s": 60.0, "memory_limit": "500MB", **settings}
        found = load_settings(tmp_path / name).model_copy(update=plain)
        if not bare:
            found.home.mkdir(parents=True)
            shutil.copy(empty_store, found.store_path)
        return Home(found, Store(found.store_path, lock_timeout_s=found.lock_timeout_s, memory_limit="500MB"))

    return make


@pytest.fixture
def home(new_home: Callable[..., Home]) -> Home:
    return new_home()


@pytest.fixture(scope="session")
def mlflow_db(once: Once) -> Path:
    """MLflow's SQLite file without experiments of ours, to be copied: making its tables takes many seconds."""

    def make(folder: Path) -> None:
        import mlflow

        mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
        mlflow.search_experiments()

    return once("mlflow", make) / "mlflow.db"


def _excerpt(once: Once, name: str, **chosen: int) -> homes.Excerpt:
    folder = once(name, lambda folder: homes.excerpt(folder, **chosen))
    with (folder / "labels.csv").open(newline="") as file:
        labels = {row["BlockId"]: row["Label"] for row in csv.DictReader(file)}
    return homes.Excerpt(folder / "hdfs.log", folder / "labels.csv", labels)


@pytest.fixture(scope="session")
def excerpt(once: Once) -> Any:
    """400 blocks of the HDFS_v1 sample, 40 of them anomalous (homes.Excerpt)."""
    return _excerpt(once, "excerpt", normal=360, anomalous=40)


@pytest.fixture(scope="session")
def unseen(once: Once) -> Any:
    """60 other blocks of the sample, 20 of them anomalous (homes.Excerpt)."""
    return _excerpt(once, "unseen", normal=40, anomalous=20, part=1)


@pytest.fixture(scope="session")
def trained(once: Once, excerpt: Any, mlflow_db: Path) -> Home:
    """A home with the blocks of `excerpt` and models of the fast detectors. To be read; `homes.copy_home` copies it."""
    return homes.open_home(once("trained", lambda folder: homes.trained_home(folder, excerpt, mlflow_db)))
