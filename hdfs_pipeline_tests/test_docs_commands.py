"""Every command line of the README and the docs, run as it is written, on a home such as its page speaks of."""

import gzip
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
import typer.main

from hdfs_pipeline.cli import _arrange, app
from hdfs_pipeline.settings import PREFIX, PROJECT
from hdfs_pipeline_tests.domains.namenode.watched import watch
from hdfs_pipeline_tests.homes import SAMPLE, Excerpt, Home, copy_home, fill, open_home

PAGES = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), *PROJECT.glob("data/sample/*/README.md")])
_COMMAND = re.compile(r"(?:export |[A-Z_]+=\S+ )*(?:hdfs-pipeline|make|docker|\.venv/bin/\S+|\.ci/run|export)\b")
_SHELL = {"", "sh", "bash", "console"}
_LIMIT_S = 300.0

NOT_RUN = {
    r"docker compose ": "needs an engine for containers; hdfs_pipeline_tests/deploy runs its commands as processes",
    r"make ": "installs from a package index, or runs this suite; `.ci/run` runs it on a clean clone",
    r".*http://nn1:9870": "NameNodes of somebody else; the line after it polls one that is at hand",
    r"HDFS_PIPELINE_NAMENODE_URLS=http://namenode:9870": "a NameNode of somebody else; `up` has tests of its own",
    r"export KAFKA_BOOTSTRAP_SERVERS=kafka:9092": "a broker of somebody else; the embedded one stands in for it",
    r".*machine-1-6\.npz": "a data set that does not ship with the project",
    r"hdfs-pipeline incidents judge": "faults of a recording; hdfs_pipeline_tests/verdicts/test_faults.py has some",
    r"hdfs-pipeline explain --domain daemons \"": "a minute of somebody else's DataNode",
    r"hdfs-pipeline bench namenode": "minutes of a benchmark; hdfs_pipeline_tests/bench runs it on less",
}
"""Lines that no test can run, by a pattern, and why."""
ENDLESS = re.compile(
    r".*hdfs-pipeline (?:--home \S+ )?"
    r"(?:broker|serve|stream|route|watch|incidents follow|collect (?!--once)|namenode replay)\b"
)


def written(page: str) -> list[str]:
    """The command lines of a page: in blocks of the shell, and in lines that are set off by four spaces."""
    lines, fence = [], None
    for line in (PROJECT / page).read_text().splitlines():
        if line.startswith("```"):
            fence = line[3:].strip() if fence is None else None
        elif fence in _SHELL or (fence is None and line.startswith("    ")):
            lines.append(line.strip().removeprefix("$ "))
    return [line for line in lines if _COMMAND.match(line)]


def runnable(page: str) -> list[str]:
    """Those that a test can run."""
    return [line for line in written(page) if not any(re.match(pattern, line) for pattern in NOT_RUN)]


@dataclass
class World:
    """A folder to run command lines in, with a home below it, and what is still running there."""

    folder: Path
    swaps: dict[str, str] = field(default_factory=dict)
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / "bin").mkdir(parents=True)
        script = self.folder / "bin" / "hdfs-pipeline"
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m hdfs_pipeline "$@"\n')
        script.chmod(0o755)
        (self.folder / "data").mkdir()
        (self.folder / "data" / "sample").symlink_to(PROJECT / "data" / "sample")

    @property
    def environment(self) -> dict[str, str]:
        """Our program on the path, `~` below the folder, and no port or broker that others use."""
        own = {name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "KAFKA_"))}
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        fast = {
            f"{PREFIX}METRICS_PORT": "0",
            f"{PREFIX}SERVE_PORT": "0",
            f"{PREFIX}BOOTSTRAP_SAMPLES": "20",
            f"{PREFIX}KAFKA_PARTITIONS": "4",
        }
        return own | {"PATH": path, "HOME": str(self.folder), "PYTHONPATH": str(PROJECT), "COLUMNS": "80"} | fast

    def run(self, line: str) -> None:
        """Run a line; one that never ends by itself is started, and runs until `stop`."""
        for text, other in self.swaps.items():
            line = line.replace(text, other)
        if ENDLESS.match(line):
            self._start(line.split(" #")[0].strip().removesuffix("&"))
            return
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"

    def _start(self, line: str) -> None:
        log = self.folder / f"{len(self.running)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {line}"], cwd=self.folder, env=self.environment, stdout=file, stderr=file
            )
        self.running.append(process)
        quiet = "route" in line  # says nothing before it has work
        deadline = time.monotonic() + 60
        while not quiet and not log.stat().st_size:
            assert process.poll() is None, f"{line}\n{log.read_text()}"
            assert time.monotonic() < deadline, f"{line} said nothing"
            time.sleep(0.1)

    def stop(self) -> None:
        """End what runs, the last first; each must still be there, and end at the signal."""
        codes = []
        for process in reversed(self.running):
            codes.append(process.poll())
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            process.wait(60)
        ends = [process.returncode for process in self.running]
        logs = [path.read_text() for path in sorted(self.folder.glob("[0-9]*.log"))]
        self.running.clear()
        assert set(codes) <= {None}, f"ended by itself: {logs}"
        assert set(ends) <= {0, 130, 143}, logs


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "world")
    yield made
    for process in made.running:
        process.kill()


def lines_of(source: Path, wanted: set[bytes]) -> bytes:
    """The lines of a packed log that name one of the blocks."""
    lines = gzip.decompress(source.read_bytes()).splitlines(keepends=True)
    return b"".join(line for line in lines if wanted & set(re.findall(rb"blk_-?\d+", line)))


@pytest.fixture(scope="module")
def of_2008(tmp_path_factory: pytest.TempPathFactory, trained: Home, mlflow_db: Path) -> Path:
    """A home as after `make demo`, of fewer blocks: three versions of the forest, and scores of every block."""
    folder = tmp_path_factory.mktemp("docs") / "home"
    home = copy_home(trained, folder)
    shutil.copy(mlflow_db, folder)
    named = set(re.findall(r"blk_-\d+|blk_\d{12,}", (PROJECT / "docs" / "feedback.md").read_text()))
    extra = folder.parent / "more.log"
    extra.write_bytes(lines_of(SAMPLE / "HDFS.log.gz", {block.encode() for block in named}))
    fill(home, [extra])
    again = {f"{PREFIX}BOOTSTRAP_SAMPLES": "20", "PYTHONPATH": str(PROJECT)}
    for command in ("train --detector random_forest", "train --detector random_forest", "score"):
        subprocess.run(
            [sys.executable, "-m", "hdfs_pipeline", "--home", str(folder), *command.split()],
            env=os.environ | again,
            check=True,
            capture_output=True,
        )
    return folder


@pytest.fixture(scope="module")
def of_today(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs of one block in fourteen of a Hadoop 3.4 cluster, and their labels, in the files that the README names."""
    folder = tmp_path_factory.mktemp("today")
    sample = PROJECT / "data" / "sample" / "hdfs_3.4"
    head, *rows = (sample / "labels.csv").read_text().splitlines()
    parts = {"": rows[::14], "other": rows[7::42], "b": rows[7::42], "a": rows[::14]}
    wanted = {name: {row.split(",")[0].encode() for row in part} for name, part in parts.items()}
    for source in sample.glob("*.log.gz"):
        lines = gzip.decompress(source.read_bytes()).splitlines(keepends=True)
        blocks = [set(re.findall(rb"blk_-?\d+", line)) for line in lines]
        for name, part in wanted.items():
            path = folder / (name or "logs") / source.name.removesuffix(".gz")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"".join(line for line, named in zip(lines, blocks, strict=True) if named & part))
    for name, part in parts.items():
        (folder / f"{name or 'labels'}.csv").write_text("\n".join([head, *part]) + "\n")
    packed = b"".join(path.read_bytes() for path in sorted((folder / "other").iterdir()))
    (folder / "new.log.gz").write_bytes(gzip.compress(packed))
    return folder


def with_files(world: World, of_today: Path) -> None:
    shutil.copytree(of_today, world.folder, dirs_exist_ok=True)
    world.swaps["/var/log/hadoop-hdfs/"] = f"{world.folder}/logs/"


def with_home(world: World, home: Path) -> None:
    shutil.copytree(home, world.folder / "data", dirs_exist_ok=True, ignore=shutil.ignore_patterns("mlflow.db"))


@pytest.mark.parametrize(
    "page", [f"docs/{name}.md" for name in ("feedback", "backtest", "status", "api", "experiments", "tutorial")]
)
def test_pages_on_the_home_of_the_demo(world: World, of_2008: Path, page: str) -> None:
    with_home(world, of_2008)
    for line in runnable(page):
        world.run(line)
    world.stop()


def test_drift_where_blocks_have_come_since(world: World, of_2008: Path, unseen: Excerpt) -> None:
    with_home(world, of_2008)
    (world.folder / "data" / "settings.toml").write_text("drift_min_blocks = 50\n")
    world.run(f"hdfs-pipeline ingest {unseen.log}")
    for line in runnable("docs/drift.md"):
        world.run(line)


def test_a_recorded_namenode(world: World) -> None:
    port = free_port()
    world.swaps |= {"127.0.0.1:9870": f"127.0.0.1:{port}", "replay --speed 10": f"replay --speed 10 --port {port}"}
    pages = ("docs/namenode.md", "data/sample/namenode/README.md", "docs/hdfs-state.md")
    for line in (line for page in pages for line in runnable(page)):
        world.run(line)
    world.stop()
    world.run("hdfs-pipeline collect --help")


def with_simulated(world: World) -> None:
    """Logs of simulated web servers and applications, in the folders that the pages name."""
    for name, folder in (("web", "nginx"), ("app", "app")):
        path = world.folder / "var" / folder
        path.mkdir(parents=True)
        world.swaps[f"/var/log/{folder}/"] = f"{path}/"
        made = f"produce {name} --duration 2h --rate 1 --begin 2026-11-30T10:00:00 --anomalies all"
        world.run(f"hdfs-pipeline {made} --output {path}/shop-access.log")


@pytest.mark.slow
@pytest.mark.parametrize("page", ["docs/weblogs.md", "docs/applogs.md"])
def test_web_and_application_logs(world: World, page: str) -> None:
    """The page's part on files, then its stream on the embedded broker."""
    with_simulated(world)
    lines = runnable(page)
    broker = next(at for at, line in enumerate(lines) if line.endswith(" topics"))
    for line in [*lines[:broker], "hdfs-pipeline broker &", *lines[broker:]]:
        world.run(line)
    world.stop()


def test_daemons(world: World, of_today: Path) -> None:
    with_files(world, of_today)
    for line in runnable("docs/daemons.md"):
        world.run(line)


@pytest.mark.slow
def test_the_models_of_a_namenode(world: World) -> None:
    """The recorded quarter of an hour, moved to each time that the page names, and once to now; trained before."""
    home = open_home(world.folder / "data")
    now = datetime.now(UTC) - timedelta(minutes=20)
    begins = ("2026-11-20T23:40", "2026-11-21T08:00", "2026-11-21T09:00", now.isoformat())
    for begin in begins:
        watch(home, begin=datetime.fromisoformat(begin).replace(tzinfo=UTC))
    before = "hdfs-pipeline namenode train --from 2026-11-21T08:00 --to 2026-11-21T08:06"
    for line in (before, *runnable("docs/namenode-models.md")):
        world.run(line)


@pytest.mark.slow
def test_streaming(world: World, of_2008: Path) -> None:
    with_home(world, of_2008)
    for line in runnable("docs/streaming.md"):
        world.run(line)
    world.stop()


@pytest.mark.slow
def test_verdicts_and_the_readme(world: World, of_today: Path) -> None:
    """From the first logs to feedback; the stream's part on the embedded broker."""
    with_files(world, of_today)
    with_simulated(world)
    readme = runnable("README.md")
    broker = next(at for at, line in enumerate(readme) if " topics" in line)
    for line in [*readme[:broker], "hdfs-pipeline --home ~/cluster-a broker &", *readme[broker:]]:
        world.run(line)
    world.stop()
    shutil.copytree(world.folder / "cluster-a", world.folder / "data", dirs_exist_ok=True)
    for page in ("docs/verdicts.md", "docs/compare.md"):
        for line in runnable(page):
            world.run(line)


RUN = {"README.md", *(f"docs/{name}.md" for name in ("verdicts", "compare", "feedback", "backtest", "drift", "status"))}
RUN |= {"docs/streaming.md", "docs/namenode.md", "docs/namenode-models.md", "data/sample/namenode/README.md"}
RUN |= {"docs/daemons.md", "docs/hdfs-state.md", "docs/api.md", "docs/weblogs.md", "docs/applogs.md"}
RUN |= {"docs/experiments.md", "docs/tutorial.md"}


@pytest.mark.parametrize("page", [str(page.relative_to(PROJECT)) for page in PAGES])
def test_every_page_with_commands_is_run(page: str) -> None:
    assert not runnable(page) or page in RUN


@pytest.mark.parametrize("pattern", NOT_RUN)
def test_what_is_not_run_is_there(pattern: str) -> None:
    assert any(re.match(pattern, line) for page in PAGES for line in written(str(page.relative_to(PROJECT))))


def spoken_of() -> list[tuple[str, str]]:
    """Every command that prose sets as code, by page; with capitals and … where a person puts a word."""
    texts = ((page, re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)) for page in PAGES)
    return [
        (str(page.relative_to(PROJECT)), " ".join(span.split()))
        for page, text in texts
        for span in re.findall(r"`((?:\.venv/bin/)?hdfs-pipeline [^`]+)`", text)
    ]


@pytest.mark.parametrize(("page", "span"), spoken_of())
def test_commands_in_prose_are_understood(page: str, span: str) -> None:
    """Their names and options are there; whether a word may be left out is not looked at."""
    words = shlex.split(re.sub(r"\[.*?\]|…", "", span))[1:]
    command: Any = typer.main.get_command(app)
    arguments = _arrange(words)
    while arguments and isinstance(command, click.Group | typer.core.TyperGroup):
        if arguments[0].startswith("-"):
            arguments = arguments[2:]
            continue
        assert arguments[0] in command.commands or arguments[0].isupper(), f"{page}: {span}"
        if arguments[0].isupper():  # `hdfs-pipeline COMMAND --help`
            return
        command = command.commands[arguments.pop(0)]
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help", "--"}
    assert {word.split("=")[0] for word in arguments if word.startswith("--")} <= known, f"{page}: {span}"
