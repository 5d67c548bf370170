"""What several test modules share: the real data, and homes with a store of their own."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline.settings import Settings, load_settings
from hdfs_pipeline.store import Store


@dataclass(frozen=True)
class Home:
    """The settings and the store of one home."""

    settings: Settings
    store: Store

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self.store.read() as con:
            return con.execute(sql, list(parameters)).fetchall()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data: HDFS_PIPELINE_SHARED, or `shared` beside the repository."""
    folder = Path(os.environ.get("HDFS_PIPELINE_SHARED", Path(__file__).parents[2] / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set HDFS_PIPELINE_SHARED")
    return folder


@pytest.fixture
def new_home(tmp_path: Path) -> Callable[..., Home]:
    """Makes a home: `new_home("name", setting=value)`."""

    def make(name: str = "home", **settings: Any) -> Home:
        plain = {"lock_timeout_s": 60.0, "memory_limit": "500MB", **settings}
        found = load_settings(tmp_path / name).model_copy(update=plain)
        return Home(found, Store(found.store_path, lock_timeout_s=found.lock_timeout_s, memory_limit="500MB"))

    return make


@pytest.fixture
def home(new_home: Callable[..., Home]) -> Home:
    return new_home()
