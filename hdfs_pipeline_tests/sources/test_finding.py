"""Which files paths, folders and globs name, what is left out, and what cannot be read."""

import io
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.sources.finding import LeftOut, find_files, folded

NOISE = random.Random(7).randbytes(1 << 18)


LOGS = [
    "HDFS.log", "hadoop-hdfs-namenode-nn1.log", "hadoop-hdfs-namenode-nn1.log.1", "sub/deeper/dn.log.2024-11-01.gz",
    "dn.log.zst", "hadoop-cmf-hdfs-DATANODE-dn1.log.out", "x.log-20250601", "x.log-20250601.gz", "x.out", "x.out.1",
    "x.log-20250601-1700000000", "x.log-2025-06-01T10:00:00.bz2", "x.log_20250601.xz", "x.log.7.lz4", "x-20250601.log",
    "hdfs-audit.log.2025-06-01", "HDFS.LOG", "x.log.old", "x.log.2017-01-20-16.gz", "gc.log.0.current",
    "x.log.lock.log",
]  # fmt: skip
OTHERS = {
    "neither .log nor .out in its name; name the file itself to read it":
        ["labels.csv", "README.md", "README", "log", "catalog", "a.logs", "blog.txt", "x.log 2", "syslog"],
    "a temporary name": ["x.log.crc~", "x.log.tmp", "y.log.gz.part", "x.log.swp"],
    "no log, but a file that lies beside one": ["ingest.lock", "x.log.crc", "x.log.gz.md5", "x.log.sha256"],
    "an archive; unpack it first": ["x.log.tar.gz", "logs.zip", "x.log.tgz"],
    "hidden": [".x.log", ".git/x.log"],
}  # fmt: skip


def test_of_a_folder_the_logs_are_read_and_all_others_are_listed_with_the_reason(tmp_path: Path) -> None:
    for name in (*LOGS, *(name for names in OTHERS.values() for name in names)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    found = find_files([str(tmp_path)], tmp_path / "spool")
    assert sorted(str(file.path.relative_to(tmp_path)) for file in found.files) == sorted(LOGS)
    wanted = {(str(tmp_path / name.split("/")[0]), why) for why, names in OTHERS.items() for name in names}
    assert set(found.left_out) == wanted
    assert len(found.left_out) == len(wanted)
    assert found.unread == []


def test_a_long_list_of_what_is_left_out_is_folded() -> None:
    left = [LeftOut(f"/logs/{number}.csv", "no log") for number in range(5)] + [LeftOut("/logs/.x", "hidden")]
    assert folded(left) == ["left out: 0.csv, 1.csv, 2.csv and 2 others: no log", "left out: .x: hidden"]
    assert folded(left[:4]) == ["left out: 0.csv, 1.csv, 2.csv and 1 other: no log"]
    assert folded([]) == []


def test_links_to_folders_are_followed_once_and_never_in_a_circle(tmp_path: Path) -> None:
    for name in ("logs/a.log", "elsewhere/b.log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "logs" / "other").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "again").symlink_to(tmp_path / "logs")
    found = find_files([str(tmp_path / "logs")], tmp_path)
    assert [file.path.name for file in found.files] == ["a.log", "b.log"]
    again = str(tmp_path / "logs" / "other" / "again")
    assert found.left_out == [LeftOut(again, "a link to a folder that is looked through anyway")]
    assert found.unread == []


def test_what_cannot_be_looked_at_is_named_and_the_rest_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("x")
    (tmp_path / "circle.log").symlink_to(tmp_path / "circle.log")
    (tmp_path / "dead.log").symlink_to(tmp_path / "gone.log")
    for given in ([str(tmp_path)], [f"{tmp_path}/*.log"], [f"{tmp_path}/{n}.log" for n in ("circle", "a", "dead")]):
        found = find_files(given, tmp_path)
        assert [file.path.name for file in found.files] == ["a.log"]
        assert sorted(found.unread) == [
            f"{tmp_path}/circle.log: Too many levels of symbolic links",
            f"{tmp_path}/dead.log: a link to a file that is gone",
        ]


# As another user, since root may look anywhere.
LOOK = """
import os, sys
from pathlib import Path
from hdfs_pipeline.sources.finding import find_files
if os.getuid() == 0:
    os.setuid(65534)
found = find_files([sys.argv[1]], Path(sys.argv[1]))
print([file.path.name for file in found.files], found.unread)
"""


def test_a_subfolder_that_may_not_be_read_is_named_and_the_rest_is_found(tmp_path: Path) -> None:
    folder = Path(os.path.realpath(tmp_path))
    for above in (folder, *folder.parents[:-2]):  # pytest keeps its folders to the user
        above.chmod(0o755)
    (folder / "a.log").write_text("x")
    (folder / "closed").mkdir()
    (folder / "closed" / "b.log").write_text("x")
    (folder / "closed").chmod(0)
    try:
        command = [sys.executable, "-c", LOOK, str(folder)]
        said = subprocess.run(command, timeout=60, check=True, capture_output=True, text=True).stdout
    finally:
        (folder / "closed").chmod(0o755)
    assert said.strip() == f"['a.log'] ['{folder}/closed: Permission denied']"


def test_a_named_file_is_read_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").touch()
    assert [file.path.name for file in find_files([str(tmp_path / "labels.csv")], tmp_path).files] == ["labels.csv"]


def test_a_file_named_in_several_ways_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.log").touch()
    (tmp_path / "link.log").symlink_to(tmp_path / "a.log")
    (tmp_path / "sub").mkdir()
    names = ["a.log", "a.log", "*.log", "", "sub/../a.log"]
    found = find_files([f"{tmp_path}/{name}" for name in names], tmp_path)
    assert [file.path for file in found.files] == [(tmp_path / "a.log").resolve()]


def test_globs_find_files_in_order_and_the_logs_of_folders(tmp_path: Path) -> None:
    for name in ("b.log", "a.log", "logs/c.log", "logs/readme.txt", "x/y/z.log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    by = [
        [str(file.path.relative_to(tmp_path)) for file in find_files([f"{tmp_path}/{pattern}"], tmp_path).files]
        for pattern in ("[ab].log", "l*", "**/z.log")
    ]
    assert by == [["a.log", "b.log"], ["logs/c.log"], ["x/y/z.log"]]


def test_a_name_with_the_characters_of_a_glob_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "a[1].log").touch()
    (tmp_path / "a1.log").touch()
    assert [file.path.name for file in find_files([f"{tmp_path}/a[1].log"], tmp_path).files] == ["a[1].log"]


@pytest.mark.parametrize("name", ["absent.log", "*.absent", "folder/absent.log"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="no such file") as error:
        find_files([f"{tmp_path}/{name}"], tmp_path)
    assert name in str(error.value)


def test_a_folder_without_logs_is_named(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").touch()
    with pytest.raises(DataError, match=r"no file in this folder has \.log or \.out in its name"):
        find_files([str(tmp_path)], tmp_path)


def test_a_pipe_cannot_be_read_twice_and_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.log")
    with pytest.raises(DataError, match="standard input"):
        find_files([f"{tmp_path}/pipe.log"], tmp_path)


def test_standard_input_is_kept_to_be_read_like_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(NOISE)))
    (file,) = find_files(["-"], tmp_path / "spool").files
    assert b"".join(file.chunks(1 << 16)) == file.sample(1 << 20) == NOISE
    assert file.path.parent == tmp_path / "spool"
