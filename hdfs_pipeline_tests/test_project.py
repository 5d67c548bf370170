"""The project's own files: dependencies, compose, Dagster's, make targets, and rules about imports."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hdfs_pipeline.domains import all_domains
from hdfs_pipeline.settings import PROJECT
from hdfs_pipeline.store.schema import read_tables

MODULES = sorted((PROJECT / "hdfs_pipeline").rglob("*.py"))


@pytest.fixture(scope="module")
def constraints() -> dict[str, str]:
    lines = (PROJECT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_constraints_are_plain_versions() -> None:
    """No addresses, no local builds: one `name==version` a line, each name once."""
    lines = [line for line in (PROJECT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9][\w.-]*==\d[\w.]*", line), line
    names = [normal(line.split("==")[0]) for line in lines]
    assert len(names) == len(set(names))


def test_constraints_cover_the_dependencies(constraints: dict[str, str]) -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    names = {normal(re.match(r"[\w.-]+", requirement)[0]) for requirement in wanted}
    assert names <= {normal(name) for name in constraints}


def test_constraints_meet_the_dependencies(constraints: dict[str, str]) -> None:
    from packaging.requirements import Requirement

    versions = {normal(name): version for name, version in constraints.items()}
    for text in tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(versions[normal(requirement.name)]), text


def parsed(name: str) -> Any:
    return yaml.safe_load((PROJECT / name).read_text())


def test_compose_publishes_on_the_loopback_only() -> None:
    services = parsed("docker-compose.yml")["services"]
    ports = [str(port) for service in services.values() for port in service.get("ports", [])]
    assert ports
    for port in ports:
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)
    for service in services.values():
        assert service.get("network_mode") != "host"
        assert not service.get("privileged")


def test_dagster_files_parse() -> None:
    workspace = parsed("workspace.yaml")["load_from"][0]["python_module"]
    tool = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    assert (PROJECT / (workspace["module_name"].replace(".", "/") + ".py")).is_file()
    assert workspace["location_name"] == tool["code_location_name"]
    assert parsed("dagster.yaml")["telemetry"] == {"enabled": False}


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", (PROJECT / "Makefile").read_text(), re.MULTILINE))


def told_targets() -> Iterator[tuple[str, str]]:
    for page in (*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), PROJECT / ".ci" / "run"):
        for words in re.findall(r"(?:`|^(?: {4}|\$ )?)make ((?:[a-z][a-z-]*\b ?)+)", page.read_text(), re.MULTILINE):
            yield from ((page.name, word) for word in words.split())


def test_make_targets_that_are_told_exist() -> None:
    told = set(told_targets())
    assert {("CONTRIBUTING.md", "test"), ("README.md", "demo"), ("run", "lint")} <= told
    assert {(page, word) for page, word in told if word not in targets()} == set()


def test_make_targets_are_phony_and_explained() -> None:
    text = (PROJECT / "Makefile").read_text()
    assert targets() == set(re.search(r"^\.PHONY: (.+)$", text, re.MULTILINE)[1].split())
    for target in targets():
        assert re.search(rf"^{target}:.*## \w", text, re.MULTILINE), target


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module or ""


def relative(path: Path) -> str:
    return path.relative_to(PROJECT / "hdfs_pipeline").as_posix()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_no_pickle_and_dagster_in_its_room_only(path: Path) -> None:
    roots = {name.split(".")[0] for name in imports(path)}
    assert not roots & {"pickle", "joblib", "cloudpickle", "dill", "shelve", "marshal"}
    if not relative(path).startswith("defs/") and relative(path) not in ("definitions.py", "running/orchestration.py"):
        assert not roots & {"dagster", "dagster_mlflow", "dagster_webserver"}


def test_dagster_is_imported_where_it_belongs() -> None:
    """The rule above would hold as well if it looked at nothing."""
    users = {relative(path) for path in MODULES if "dagster" in set(imports(path))}
    assert "definitions.py" in users
    assert any(name.startswith("defs/") for name in users)


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_file_says_which_idea_it_holds(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_package_data_is_shipped() -> None:
    data = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    shipped: set[Path] = set()
    for package, patterns in data.items():
        for pattern in patterns:
            files = set((PROJECT / package).glob(pattern))
            assert files, pattern
            shipped |= files
    there = {path for path in (PROJECT / "hdfs_pipeline").rglob("*") if path.is_file() and path.suffix != ".py"}
    left = re.compile(r"^(\.|__pycache__)")  # caches of Python and of tools
    own = {path for path in there if not any(left.match(part) for part in path.relative_to(PROJECT).parts)}
    assert own == shipped, "other files would not be installed"


DOMAIN_NAMED = re.compile(
    "|".join(
        rf"(?<![a-z_]){word}"
        for domain in all_domains()
        for word in {domain.name, *read_tables(PROJECT / "hdfs_pipeline" / "domains" / domain.name)}
        if word not in ("labels", "event_templates", "requests", "traffic")  # words of the field
    )
    + r"|block_id|(?<![a-z])blk_",
    re.IGNORECASE,
)
"""What names a single domain: its name, its tables, the column and the prefix of its items.

Settings and metrics that end in `_blocks` are older than the other domains, and keep their names.
"""
KEPT = {
    "settings.py": "settings of a domain carry its name",
    "domains/__init__.py": "the rows of `DOMAINS`",
    "scoring/models.py": '"blocks.safetensors"',
    "detectors/combinations.py": '"blocks"',
    "detectors/sgd.py": '"blocks"',
    "streaming/metrics.py": "blocks_closed",
    "experiments/load/shapes.py": '"blocks"|"raw_logs"|"web_logs"|"app_logs"',  # what can be sent
    "scoring/mining.py": "blk_",  # ids that vary by their form, whoever writes them
    "scoring/plausibility.py": "part of the daemons",
    "serving/app.py": "namenode|applogs",
    "serving/pages/render.py": 'Page("/namenode", "NameNode")|APPLOGS|applogs',
    "serving/sections.py": "APPLOGS|applogs|app_logs|request_windows",
    "verdicts/housekeeping.py": "block_id",  # a name of DuckDB's
}
"""Files that may name one: they say which there are, lead to its pages, or hold names that others read in models and
reports; several are kept apart by |."""


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_generic_files_name_no_domain(path: Path) -> None:
    """`bench/` measures the way of the logs, and `store/migration/` knows what older releases had."""
    name = relative(path)
    names = "|".join(domain.name for domain in all_domains())
    own = rf"(domains|defs)/({names})/|serving/(routes|pages|shapes)/(namenode|web|applogs)\.py$"
    if re.match(rf"{own}|cli/|bench/|store/migration/", name):
        pytest.skip("may name its domain")
    if name in ("settings.py", "domains/__init__.py"):
        pytest.skip(KEPT[name])
    text = path.read_text()
    for kept in KEPT.get(name, "\0").split("|"):
        text = text.replace(kept, "")
    lines = text.splitlines()
    assert [f"{at}: {line.strip()}" for at, line in enumerate(lines, 1) if DOMAIN_NAMED.search(line)] == []


@pytest.mark.parametrize("name", KEPT)
def test_exceptions_are_still_needed(name: str) -> None:
    assert DOMAIN_NAMED.search((PROJECT / "hdfs_pipeline" / name).read_text())
