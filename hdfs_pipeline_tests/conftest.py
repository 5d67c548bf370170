"""What several test modules share: the real data, and homes with a store of their own."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

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


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a store without rows, to be copied: making its tables takes half a second."""
    store = Store(tmp_path_factory.mktemp("store") / "hdfs.duckdb")
    with store.write():
        pass
    return store.path


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
def mlflow_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's SQLite file without experiments of ours, to be copied: making its tables takes many seconds."""
    import mlflow

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.set_tracking_uri(f"sqlite:///{path}")
    mlflow.search_experiments()
    return path


@pytest.fixture(scope="session")
def excerpt(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """400 blocks of the HDFS_v1 sample, 40 of them anomalous (homes.Excerpt)."""
    return homes.excerpt(tmp_path_factory.mktemp("excerpt"), normal=360, anomalous=40)


@pytest.fixture(scope="session")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """60 other blocks of the sample, 20 of them anomalous (homes.Excerpt)."""
    return homes.excerpt(tmp_path_factory.mktemp("unseen"), normal=40, anomalous=20, part=1)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, excerpt: Any, mlflow_db: Path) -> Home:
    """A home with the blocks of `excerpt` and models of the fast detectors. To be read; `homes.copy_home` copies it."""
    return homes.trained_home(tmp_path_factory.mktemp("trained"), excerpt, mlflow_db)
