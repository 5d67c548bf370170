"""One comparison that several modules look at."""

from dataclasses import dataclass

import pytest

from hdfs_pipeline.experiments.comparison import compare
from hdfs_pipeline.experiments.figures import Comparison
from hdfs_pipeline.experiments.sides import Sides, home_sides
from hdfs_pipeline_tests.homes import BLOCKS, FAST, Excerpt, Home, fill, open_home


@dataclass(frozen=True)
class Compared:
    """A home, the two sides of its blocks, and what came of them."""

    home: Home
    sides: Sides
    found: Comparison


@pytest.fixture(scope="session")
def compared(excerpt: Excerpt, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """The fast detectors on the blocks of `excerpt`, whose labels have kinds, without one of them."""
    folder = tmp_path_factory.mktemp("compared")
    rows = ["block_id,label,kind"]
    for number, (block, label) in enumerate(excerpt.labels.items()):
        rows.append(f"{block},{label.lower()},{label.lower()} <{number % 3}>")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    home = open_home(folder / "a <script>alert(1)</script> home")
    fill(home, [excerpt.log], folder / "labels.csv")
    sides = home_sides(home.store, home.settings, BLOCKS, FAST, "random")
    return Compared(home, sides, compare(sides, BLOCKS, FAST, home.settings, without=["anomaly <1>"]))
