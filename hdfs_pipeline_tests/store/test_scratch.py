"""Folders for unfinished work: whose process was killed is deleted, who is at work keeps his."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from hdfs_pipeline.store.scratch import scratch_folder

WORKER = """
import sys
from pathlib import Path
from hdfs_pipeline.store.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1]), ".apart.") as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


def folders(home: Path) -> list[Path]:
    return [path for path in home.iterdir() if path.is_dir()]


def test_the_folder_of_a_killed_process_is_deleted_by_the_next_start_and_one_in_use_is_not(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORKER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        theirs = Path(worker.stdout.readline().strip())
        with scratch_folder(tmp_path, ".apart.") as mine:
            assert sorted(folders(tmp_path)) == sorted([mine, theirs])
        assert folders(tmp_path) == [theirs]
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait(timeout=30)
        assert folders(tmp_path) == [theirs]
        with scratch_folder(tmp_path, ".other."):
            assert theirs.exists()
        with scratch_folder(tmp_path, ".apart.") as mine:
            assert folders(tmp_path) == [mine]
    assert folders(tmp_path) == []
