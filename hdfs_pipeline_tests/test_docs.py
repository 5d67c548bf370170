"""Everything that there is has its row under its own heading in the docs; links lead somewhere; no machine is named."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from hdfs_pipeline.cli import app
from hdfs_pipeline.detectors import DETECTORS
from hdfs_pipeline.domains import DOMAINS
from hdfs_pipeline.domains.blocks.heads import LAYOUTS, STAMPS
from hdfs_pipeline.domains.blocks.wrappers import EVENTS, PREFIXES, SHIPPERS
from hdfs_pipeline.settings import PROJECT, Settings
from hdfs_pipeline.store.schema import TABLES
from hdfs_pipeline.streaming.topics import all_topics

PAGES = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("data/sample/**/*.md")])
IGNORED = {".git", ".venv", ".venv-peers", "__pycache__", "node_modules", "shared", "homes", "models", "mlartifacts"}
TEXT = {".md", ".py", ".toml", ".txt", ".yml", ".yaml", ".csv", ".cfg", ".sh", ".json", ""}


def commands() -> list[str]:
    group = typer.main.get_command(app)
    found = []
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        found += [f"{name} {each}" for each in inner] if inner else [name]
    return found


def rows_under(page: str, heading: str) -> dict[str, str]:
    """The rows of the tables under a heading of a page: what follows the first cell, by the first name set as code."""
    text = (PROJECT / page).read_text()
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, f"{page} has no heading {heading!r}"
    cells = re.findall(r"^\| `([^`]+)` \|(.*)\|$", section[1], re.MULTILINE)
    return {name: rest.strip() for name, rest in cells}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_docs_say_of_every_setting_what_the_code_says(name: str) -> None:
    rows = rows_under("docs/reference.md", "Settings")
    assert name in rows, f"docs/reference.md, Settings: no row for {name}"
    without_links = re.sub(r" See \[.*", "", rows[name].split("|", 1)[1]).strip()
    assert without_links == Settings.model_fields[name].description


def test_the_docs_name_no_setting_that_is_gone() -> None:
    assert set(rows_under("docs/reference.md", "Settings")) == set(Settings.model_fields)


@pytest.mark.parametrize("name", commands())
def test_the_docs_name_every_command(name: str) -> None:
    rows = rows_under("docs/reference.md", "Commands")
    assert any(row == name or row.startswith(f"{name} ") for row in rows)


@pytest.mark.parametrize("name", TABLES)
def test_the_docs_name_every_table(name: str) -> None:
    assert name in rows_under("docs/reference.md", "Tables")


@pytest.mark.parametrize("name", DETECTORS)
def test_the_docs_name_every_detector(name: str) -> None:
    assert name in rows_under("docs/reference.md", "Detectors")


@pytest.mark.parametrize("name", DOMAINS)
def test_the_docs_name_every_domain(name: str) -> None:
    assert name in rows_under("docs/domains.md", "What there is")


def test_the_docs_name_every_layout_and_what_stands_around_lines() -> None:
    layouts = rows_under("docs/reference.md", "Layouts of log lines")
    assert layouts.keys() == {row.name for row in (*LAYOUTS, *STAMPS)}
    around = (PROJECT / "docs/reference.md").read_text().split("## What stands around log lines")[1]
    for row in (*PREFIXES, *SHIPPERS, *EVENTS):
        assert f"| `{row.name}` |" in around or f"| {row.name} |" in around, row.name


def names_under(page: str, heading: str) -> set[str]:
    """All names that are set as code in the first cells of the tables under a heading."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", (PROJECT / page).read_text(), re.MULTILINE | re.DOTALL)
    assert section, f"{page} has no heading {heading!r}"
    return {
        name
        for cell in re.findall(r"^\| ([^|]*`[^|]*) \|", section[1], re.MULTILINE)
        for name in re.findall("`(.+?)`", cell)
    }


def test_the_docs_name_every_topic() -> None:
    assert names_under("docs/streaming.md", "Topics") == set(all_topics())


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page: Path) -> None:
    without_code = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)(?: \"[^\"]*\")?\)", without_code):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name}: {target}"
        assert found.is_relative_to(PROJECT), f"{page.name}: {target} leads out of the repository"
        if anchor:
            assert anchor in anchors(found), f"{page.name}: {target}"


def texts() -> Iterator[tuple[Path, str]]:
    """The repository's own text files: what tools and homes leave behind is not looked at."""
    waiting = [PROJECT]
    while waiting:
        for path in waiting.pop().iterdir():
            if path.name in IGNORED or path.name.endswith(("_cache", ".egg-info")) or path.name == ".hypothesis":
                continue
            if path.is_dir():
                waiting.append(path)
            elif path.suffix in TEXT and not path.name.startswith("hdfs.duckdb"):
                yield path, path.read_text(errors="replace")


def test_the_walk_meets_the_repository() -> None:
    names = {str(path.relative_to(PROJECT)) for path, _ in texts()}
    assert {"README.md", "Makefile", "hdfs_pipeline/cli/__init__.py", "docs/ARCHITECTURE.md", ".ci/run"} <= names


@pytest.mark.parametrize(
    "pattern",
    [
        r"/wor[k]/",
        r"/tmp/re[c]",
        r"/hom[e]/(?!hdfs|hadoop|user)\w+/",
        r"(?i)help[e]r agent|sub-?agen[t]\b",
        r"(?i)\b(this|another|an earlier|the next|my) sessio[n]\b",
        r"(?i)\bA[I] (assistant|model)|language mode[l]|\bclaud[e]\b|\bchatgp[t]\b|\banthropi[c]\b",
    ],
)
def test_nothing_names_one_machine_or_who_wrote_it(pattern: str) -> None:
    found = [f"{path.relative_to(PROJECT)}: {hit[0]}" for path, text in texts() for hit in re.finditer(pattern, text)]
    assert not found
