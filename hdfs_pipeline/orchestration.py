"""Dagster from the command line: the main job in this process, and the web page with its daemon."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

import dagster as dg

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import PREFIX, PROJECT, Settings

Progress = Callable[[str, int, int], None]
"""Hears the name of an asset that is done, how many are done, of how many."""

_PATIENCE_S = 15.0  # seconds that Dagster's processes get to end by themselves
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def prepare_instance(settings: Settings) -> Path:
    """Make the home's DAGSTER_HOME with the project's `dagster.yaml`, and point the environment to both.

    Raises: SetupError where the folder cannot be made, or where the project's files are not beside the package.
    """
    home = settings.home.resolve()
    folder = home / "dagster"
    try:
        (folder / ".nux").mkdir(parents=True, exist_ok=True)
        # Says that the newsletter form was seen, which would hide the page at the first visit.
        (folder / ".nux" / "nux.yaml").write_text("seen: 1\n")
        shutil.copyfile(_project_file("dagster.yaml"), folder / "dagster.yaml")
    except OSError as error:
        raise SetupError(f"{folder}: {error.strerror}; choose another home (HDFS_PIPELINE_HOME)") from None
    os.environ["DAGSTER_HOME"] = str(folder)
    os.environ[f"{PREFIX}HOME"] = str(home)
    return folder


def run_blocks_job(settings: Settings, paths: list[str], labels: str | None, on_progress: Progress) -> bool:
    """Run `blocks_job` on log files (and a CSV file of labels) in this process; whether it succeeded.

    The run is kept in the home's Dagster history. Raises: what an asset raised.
    """
    prepare_instance(settings)
    from hdfs_pipeline.definitions import defs

    job = defs().resolve_job_def("blocks_job")
    keys = set(job.asset_layer.executable_asset_keys)
    done: list[str] = []

    @dg.success_hook
    def tell(context: dg.HookContext) -> None:
        key = dg.AssetKey(context.op.name)
        if key in keys:
            done.append(context.op.name)
            on_progress(context.op.name, len(done), len(keys))

    ops = {
        "raw_logs": {"config": {"paths": [str(Path(path).resolve()) for path in paths]}},
        "labels": {"config": {"path": str(Path(labels).resolve()) if labels else ""}},
    }
    # An error comes out of here as an exception: on the console it would stand twice, with Dagster's traceback.
    loggers = {"console": {"config": {"log_level": "CRITICAL"}}}
    with dg.DagsterInstance.get() as instance:
        hooked = job.with_hooks({tell})
        result = hooked.execute_in_process({"ops": ops, "loggers": loggers}, instance=instance)
    return result.success


def serve(settings: Settings) -> int:
    """Serve Dagster's web page and run its daemon until a signal; the exit code.

    SIGINT, SIGTERM and SIGHUP end all of Dagster's processes. Raises: SetupError where the port is taken.
    """
    folder = prepare_instance(settings)
    host, port = settings.dagster_host, settings.dagster_port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            why = f"{host}:{port} cannot be listened on ({error.strerror})"
            raise SetupError(f"{why}: set another port with HDFS_PIPELINE_DAGSTER_PORT") from None
    workspace = ["-w", str(_project_file("workspace.yaml"))]
    command = [sys.executable, "-W", "ignore", "-m", "dagster", "dev", *workspace, "-h", host, "-p", str(port)]
    caught: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        caught.append(number)

    # Before the start: a child does not inherit handlers, but it would inherit that a shell's `&` ignores SIGINT.
    before = {number: signal.signal(number, stop) for number in _STOPPING}
    try:
        # A session of its own, so that one signal reaches the web server, the daemon, code servers and runs.
        group = subprocess.Popen([*command, "--log-level", "warning"], cwd=folder, start_new_session=True)
        try:
            while not caught and group.poll() is None:
                time.sleep(0.1)
        finally:
            _end(group)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0 if caught else group.returncode


def _end(group: subprocess.Popen[bytes]) -> None:
    """End every process of the group: politely, then firmly, then at once."""
    # SIGTERM first: a run records it as its end, and after SIGINT the web server and the code server wait long.
    for number, patience in ((signal.SIGTERM, _PATIENCE_S), (signal.SIGINT, 5.0), (signal.SIGKILL, 5.0)):
        with suppress(ProcessLookupError):
            os.killpg(group.pid, number)
        deadline = time.monotonic() + patience
        while _alive(group) and time.monotonic() < deadline:
            time.sleep(0.1)


def _alive(group: subprocess.Popen[bytes]) -> bool:
    group.poll()  # takes the leader away once it has ended, which would count as alive otherwise
    try:
        os.killpg(group.pid, 0)
    except ProcessLookupError:
        return False
    return True


def _project_file(name: str) -> Path:
    path = PROJECT / name
    if not path.is_file():
        raise SetupError(f"{path} is missing: install the project from its checkout with `pip install -e .`")
    return path
