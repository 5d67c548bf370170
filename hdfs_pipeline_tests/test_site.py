"""The site of the documentation: it builds without a warning, its links lead somewhere, and every page is in it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hdfs_pipeline.settings import PROJECT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_every_page_is_there(site: Path) -> None:
    pages = [path.relative_to(PROJECT / "docs") for path in (PROJECT / "docs").rglob("*.md")]
    for page in pages:
        at = page.with_name("index.html") if page.name == "README.md" else page.with_suffix(".html")
        assert (site / at).is_file(), page


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|link)[^>]+(?:src|href)=\"(https?://[^\"]+)\"", page.read_text())
        assert loaded == [], page


def test_the_parts_are_those_that_readers_look_for() -> None:
    text = re.sub(r"!!\S+", "", (PROJECT / "mkdocs.yml").read_text())
    parts = [next(iter(part)) for part in yaml.safe_load(text)["nav"]]
    assert parts == ["Start", "Tutorial", "How to", "Reference", "Explanation", "Operations"]
