"""What goes wrong outside of the program: plain words and an exit code, never a traceback; and no terminal obeys."""

import errno
import itertools
import logging
import os
import re
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from hdfs_pipeline.cli import failures, terminal
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.settings import PREFIX
from hdfs_pipeline_tests.cli.test_cli import MAIN, Run, log, run  # noqa: F401 - fixtures
from hdfs_pipeline_tests.homes import Excerpt, Home, copy_home

READING = (
    "feedback",
    "groups",
    "models",
    "drift",
    "backtest",
    "compare",
    "explain blk_1",
    "export x",
    "backup y",
    "retrain --force",
    "status",
    "incidents list",
    "incidents show 1",
    "incidents ack 1",
)
OF_NAMENODES = ("train", "status", "score", "report", "rollback", "mark 2026-01-01 2026-01-02 --as false")
COMMANDS = (
    *READING,
    "ingest some.log",
    "score some.log",
    "train",
    "settings",
    *(f"namenode {each}" for each in OF_NAMENODES),
)


def shell(command: str, home: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """A command line, in which `hp` is the program; its output as text."""
    program = f"{sys.executable} -c '{MAIN}' --home {home}"
    environment = os.environ | {f"{PREFIX}LOCK_TIMEOUT_S": "5"}
    line = re.sub(r"\bhp\b", lambda _: program, command)
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, errors="replace", env=environment, check=False, **more
    )


def refused(done: Any, code: int = 3) -> str:
    """What a command said that ended in plain words."""
    said = str(getattr(done, "err", None) or getattr(done, "stderr", ""))
    assert (getattr(done, "code", None) or getattr(done, "returncode", None)) == code, said
    assert "Traceback" not in said
    assert "hdfs-pipeline: " in said
    return said


@pytest.mark.parametrize("command", COMMANDS)
def test_a_home_that_is_a_file(run: Run, log: Path, tmp_path: Path, command: str) -> None:  # noqa: F811
    (tmp_path / "file").write_text("x")
    for home in (tmp_path / "file", tmp_path / "file" / "home"):
        done = run("--home", home, *command.split())
        assert "Traceback" not in done.err
        assert done.code in {0, 3, 4, 5}, done.err
        assert (tmp_path / "file").read_text() == "x"


def damaged(home: Home, tmp_path: Path, damage: Callable[[Path], object]) -> Path:
    copy = copy_home(home, tmp_path / "damaged").settings
    damage(copy.store_path)
    return copy.home


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.95])
@pytest.mark.parametrize(
    "command", ["feedback", "explain blk_1", "train --detector pca", "ingest some.log", "export x"]
)
def test_a_store_that_was_cut(run: Run, log: Path, trained: Home, tmp_path: Path, share: float, command: str) -> None:  # noqa: F811
    home = damaged(trained, tmp_path, lambda path: os.truncate(path, int(path.stat().st_size * share)))
    done = run("--home", home, *command.split())
    if done.code:  # what was cut off may not be needed
        assert re.search(r"damaged|not a DuckDB|no hdfs-pipeline store|no log of this home", refused(done, done.code))


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("mlflow.db", "train --detector pca"),
        ("mlflow.db", "compare --detector pca --detector keywords"),
        ("models/blocks/random_forest/served.jsonl", "rollback --detector random_forest"),
        ("models/blocks/random_forest/champion", "explain blk_1"),
        ("catalogues/x.v1.csv", "ingest some.log"),
        ("settings.toml", "settings"),
    ],
)
@pytest.mark.parametrize("junk", [b"junk\xff\xfe\n{\n[]\n5\n" * 300, None], ids=["junk", "folder"])
def test_files_of_a_home_that_are_junk(
    run: Run,  # noqa: F811
    log: Path,  # noqa: F811
    trained: Home,
    tmp_path: Path,
    name: str,
    command: str,
    junk: bytes | None,
) -> None:
    home = copy_home(trained, tmp_path / "junk").settings.home
    path = home / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(junk) if junk else path.mkdir()
    done = run("--home", home, *command.split())
    assert done.code in {3, 4, 5}, done.err
    refused(done, done.code)


def test_a_home_where_nothing_can_be_made(run: Run, log: Path) -> None:  # noqa: F811
    """Nothing can be written below /proc, not even by root."""
    assert "/proc/" in refused(run("--home", "/proc/self/home", "ingest", log))


def test_a_disk_that_is_full(log: Path, tmp_path: Path) -> None:  # noqa: F811
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    done = shell(f"hp ingest {log}", tmp_path / "home", preexec_fn=small_files)
    assert re.search(r"full|larger", refused(done))


def test_output_that_cannot_be_written(trained: Home) -> None:
    home = trained.settings.home
    for command in ("hp settings", "hp settings --json", "hp models"):
        assert "full" in refused(shell(f"{command} > /dev/full", home))
    assert shell("hp settings > /dev/full 2>&1", home).returncode == 3


def test_streams_that_are_closed(trained: Home, tmp_path: Path) -> None:
    home = trained.settings.home
    for redirected in (">&-", "2>&-", ">&- 2>&- <&-"):
        done = shell(f"hp models {redirected}", home)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert "standard input is closed" in refused(shell("hp ingest - <&-", tmp_path / "home"), 4)


def test_a_reader_that_stops_reading(trained: Home) -> None:
    for command in ("settings", "settings --json", "models"):
        done = shell(f"hp {command} | head -c 10", trained.settings.home)
        assert (done.returncode, done.stderr) == (0, "")


class LibraryError(Exception):
    """As MLflow wraps what SQLAlchemy wraps."""


LibraryError.__module__ = "mlflow.exceptions"


def chained(*errors: Exception) -> Exception:
    """The first of these errors, raised while the next was handled, and so on."""
    for outer, inner in itertools.pairwise(errors):
        outer.__context__ = inner
    return errors[0]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/a/b"), 3, "/a/b: the disk is full"),
        (OSError(errno.EROFS, "Read-only file system", "/a/b"), 3, "/a/b: the disk can only be read"),
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), 3, "/a/b: no permission"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/a/b"), 3, "a file stands where a folder is needed"),
        (OSError(errno.EFBIG, "File too large"), 3, "a file or stream: no file may grow larger"),
        (MemoryError(), 3, "not enough memory"),
        (DataError("such as this"), 4, "such as this"),
        (sqlite3.OperationalError("database or disk is full"), 3, "the disk is full"),
        (sqlite3.DatabaseError("database disk image is malformed"), 3, "it is damaged"),
        (
            chained(LibraryError("x"), sqlite3.OperationalError("attempt to write a readonly database")),
            3,
            "only be read",
        ),
        (chained(LibraryError("x"), LibraryError("y"), DataError("why")), 4, "why"),
        (duckdb.IOException("Could not write file: No space left on device"), 3, "the disk is full"),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"), 4, "not UTF-8"),
        (ValueError("a fault of ours"), 1, "Traceback"),
        (chained(KeyError("of ours"), FileNotFoundError(errno.ENOENT, "No such file", "x")), 1, "Traceback"),
    ],
)
def test_errors_become_words(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: Exception, code: int, said: str
) -> None:
    monkeypatch.setattr(terminal, "err", terminal.SafeConsole(width=110, file=sys.stderr))
    assert failures.tell(error) == code
    told = capfd.readouterr().err
    if code == 1:
        assert "Traceback" in told or type(error).__name__ in told
    else:
        assert said in told


def test_errors_that_lead_back_to_themselves_end(capfd: pytest.CaptureFixture[str]) -> None:
    one, other = LibraryError("one"), LibraryError("other")
    one.__context__, other.__context__ = other, one
    assert failures.tell(one) == 1


def test_passwords_of_the_settings_are_in_no_error(
    run: Run,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv(f"{PREFIX}NAMENODE_URLS", "http://hdfs:hu/s#h@nn:port")
    monkeypatch.setenv(f"{PREFIX}KAFKA", '{"sasl.password": "hush-2", "no.such": "x"}')
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    for command in ("collect --once", "collect --once http://u:hu/s#h@x:y", "topics", "settings", "explain hush-2"):
        done = run("--home", tmp_path / "home", *command.split())
        assert "hu/s#h" not in done.out + done.err
        assert "hush-2" not in done.out + done.err, command


EVIL = "\x1b]0;owned\x07\x1b[2J\r[red]x[/red]\x9b31m\u202e"


def shows_no_commands(text: str) -> bool:
    return not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


def test_no_terminal_obeys_what_logs_and_people_wrote(
    run: Run,  # noqa: F811
    trained: Home,
    tmp_path: Path,
    excerpt: Excerpt,
) -> None:
    settings = copy_home(trained, tmp_path / "home").settings
    block = next(iter(excerpt.labels))
    lines = [line for line in excerpt.log.read_text().splitlines() if block in line]
    path = tmp_path / f"{EVIL[:9]}[red].log"
    path.write_text("".join(f"{line} {EVIL}\n" for line in lines))
    assert run("--home", settings.home, "ingest", path).code == 0
    told = run("--home", settings.home, "feedback", block, "--verdict", "real", "--note", "[red]x[/]", "--by", EVIL)
    shown = [told, *(run("--home", settings.home, *each) for each in (["feedback"], ["explain", block], ["models"]))]
    shown += [
        run("--home", settings.home, "explain", f"blk_{EVIL}"),
        run("--home", settings.home, "ingest", f"no{EVIL}"),
    ]
    for done in shown:
        assert shows_no_commands(done.out + done.err)
    assert "[red]x[/]" in shown[1].out, "markup is text"
    assert "␛" in shown[2].out


def test_logs_show_no_commands_and_no_passwords() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 1, "%s http://u:p/w@h", (EVIL,), None)
    line = terminal.PlainFormatter().format(record)
    assert shows_no_commands(line) and "p/w" not in line


def test_export_blames_the_file_that_it_cannot_write(trained: Home, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = shell(f"hp export {tmp_path}/file/x", trained.settings.home)
    assert f"{tmp_path}/file/x" in refused(done)
    assert "hdfs.duckdb" not in done.stderr
    assert str(tmp_path / "folder") in refused(
        shell(f"mkdir {tmp_path}/folder; ulimit -f 4; hp export {tmp_path}/folder", trained.settings.home)
    )


def scribbled(path: Path) -> None:
    """Damage the rows of the largest tables, and none of what is read when the store is opened."""
    content = bytearray(path.read_bytes())
    for at in range(len(content) // 4, len(content) * 3 // 4, 4096):
        content[at : at + 64] = b"scribble" * 8
    path.write_bytes(content)


@pytest.mark.parametrize("command", ["export", "backup"])
def test_the_store_is_blamed_if_it_cannot_be_read(run: Run, trained: Home, tmp_path: Path, command: str) -> None:  # noqa: F811
    home = damaged(trained, tmp_path, scribbled)
    said = refused(run("--home", home, command, tmp_path / "out"))
    assert "hdfs.duckdb: the file is damaged" in said.replace("\n", "")


@pytest.mark.parametrize(
    "command",
    [
        *(f"{each} {number}" for number in ("nan", "inf", "-1") for each in ("watch --every", "up --rate")),
        *(f"{each} {number}" for number in ("nan", "-inf") for each in ("stream --threshold", "backtest --threshold")),
        *(f"{each} {number}" for number in ("0", "-1", "x") for each in ("backtest --version", "rollback --to")),
        *(f"namenode {each}" for each in ("replay --port 65536", "replay --speed nan", "evaluate x --seed -1")),
        *(f"namenode {each}" for each in ("incidents --limit 99999999999999999999", "report --threshold nan")),
        "produce raw x --rate inf",
        "up --workers -1",
        "bench parse x --lines 99999999999999999999",
    ],
)
def test_numbers_that_mean_nothing_are_wrong_use(run: Run, command: str) -> None:  # noqa: F811
    done = run(*command.split())
    assert (done.code, "Traceback" in done.err) == (2, False), done.err


@pytest.mark.parametrize("time", ["x", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "²", ""])
def test_times_that_cannot_be(run: Run, trained: Home, time: str) -> None:  # noqa: F811
    home = trained.settings.home
    for command in (["report", "--from", time], ["mark", time, time, "--as", "false"]):
        done = run("--home", home, "namenode", *command)
        assert (done.code in {0, 2, 4}, "Traceback" in done.err) == (True, False), done.err
    for command in (["status", "--since", time], ["incidents", "list", "--since", time]):
        done = run("--home", home, *command)
        assert (done.code in {0, 2}, "Traceback" in done.err) == (True, False), done.err
