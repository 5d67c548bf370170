"""Dagster from the command line: the main job in this process, and the web page with its daemon."""

import json
import os
import re
import shutil
import socket
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Final

from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.processes.signals import stop_on_signals
from hdfs_pipeline.processes.supervisor import Process, Say, supervise
from hdfs_pipeline.settings import PREFIX, PROJECT, Settings
from hdfs_pipeline.shown import plain

Progress = Callable[[str, int, int], None]
"""Takes the name of a finished asset, how many are finished, and how many there are."""

_WORKSPACE: Final = """load_from:
  - grpc_server:
      socket: {socket}
      location_name: hdfs_pipeline
"""
_LONGEST_SOCKET: Final = 100  # bytes; the system takes 107
_PAGE: Final = "dagster"
_CHATTER: Final = re.compile(
    # what is left of DuckDB's module at the end of a run, since some of Dagster's threads outlive it
    r"^nanobind: |^ - leaked |^ - \.\.\. skipped remainder|^See https://nanobind"
    r"| - dagster - (DEBUG|INFO) - "  # of runs
    r"|^\s*\d+% ▕"  # DuckDB's progress bars
)
ANY_ADDRESS: Final = ("", "0.0.0.0", "::")  # noqa: S104 - to be recognised, not to be listened on


def prepare_instance(settings: Settings) -> Path:
    """Make the home's DAGSTER_HOME with the project's `dagster.yaml`, and set both paths in the environment.

    Raises: SetupError where the folder cannot be made, or where the project's files are not beside the package.
    """
    home = settings.home.resolve()
    folder = home / "dagster"
    try:
        (folder / ".nux").mkdir(parents=True, exist_ok=True)
        # Tells Dagster that the newsletter form was shown: otherwise it would hide the page at the first visit.
        (folder / ".nux" / "nux.yaml").write_text("seen: 1\n")
        shutil.copyfile(_project_file("dagster.yaml"), folder / "dagster.yaml")
    except OSError as error:
        raise SetupError(f"{folder}: {error.strerror}; choose another home (HDFS_PIPELINE_HOME)") from None
    os.environ["DAGSTER_HOME"] = str(folder)
    os.environ[f"{PREFIX}HOME"] = str(home)
    return folder


def run_main_job(settings: Settings, domain: str, paths: list[str], labels: str | None, on_progress: Progress) -> bool:
    """Run the main job of a domain on log files (and a CSV file of labels) in this process.

    Returns whether it succeeded. The run is kept in the home's Dagster history. Raises: what an asset raised.
    """
    prepare_instance(settings)
    import dagster as dg

    from hdfs_pipeline.definitions import defs
    from hdfs_pipeline.defs.common.naming import LABELS, LOGS, TAKES
    from hdfs_pipeline.defs.learning.models import standard_range
    from hdfs_pipeline.domains import domain_named

    job = defs().resolve_job_def(f"{domain}_job")
    keys = set(job.asset_layer.executable_asset_keys)
    done: list[str] = []

    @dg.success_hook
    def tell(context: dg.HookContext) -> None:
        key = dg.AssetKey(context.op.name)
        if key in keys:
            done.append(context.op.name)
            on_progress(context.op.name, len(done), len(keys))

    given = {
        LOGS: {"paths": [str(Path(path).resolve()) for path in paths]},
        LABELS: {"path": str(Path(labels).resolve()) if labels else ""},
    }
    ops = {
        spec.key.to_python_identifier(): {"config": given[spec.tags[TAKES]]}
        for spec in defs().resolve_all_asset_specs()
        if spec.key in keys and TAKES in spec.tags
    }
    # An error leaves this function as an exception: on the console it would appear twice, with Dagster's traceback.
    loggers = {"console": {"config": {"log_level": "CRITICAL"}}}
    with dg.DagsterInstance.get() as instance:
        hooked = job.with_hooks({tell})
        tags = standard_range(domain_named(domain))
        result = hooked.execute_in_process({"ops": ops, "loggers": loggers}, instance=instance, tags=tags)
    return result.success


def run_backtest(settings: Settings, domain: str, tried: dict[str, object], first: date, last: date) -> bool:
    """Run `backtest_job` for the days from `first` to `last` in this process, as one run.

    `tried` is the asset's configuration: detector, version, threshold. The run is kept in the home's Dagster history.
    Returns whether it succeeded. Raises: what the asset raised; DataError for days without a partition.
    """
    prepare_instance(settings)
    import dagster as dg

    from hdfs_pipeline.definitions import defs
    from hdfs_pipeline.defs.learning.backtest import DAYS

    keys = [day.isoformat() for day in (first, last)]
    if not DAYS.has_partition_key(keys[0]) or not DAYS.has_partition_key(keys[1]):
        raise DataError(
            f"{keys[0]} to {keys[1]}: days can be backtested from {DAYS.get_first_partition_key()} (backtest_start) to "
            f"{DAYS.get_last_partition_key()}"
        )
    tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[1]}
    given = {"domain": domain} | {name: value for name, value in tried.items() if value is not None}
    config = {"ops": {"backtest": {"config": given}}, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    job = defs().resolve_job_def("backtest_job")
    with dg.DagsterInstance.get() as instance:
        return job.execute_in_process(config, instance=instance, tags=tags).success


def dagster_processes(settings: Settings) -> list[Process]:
    """Dagster for a supervisor: the server of our definitions, the web page, the daemon with sensors and schedules.

    Not `dagster dev`: it adds two processes, one of which passes on each question to the definitions. Raises:
    SetupError where the port is taken.
    """
    folder = prepare_instance(settings)
    host, port = settings.dagster_host, settings.dagster_port
    require_free(host, port, "HDFS_PIPELINE_DAGSTER_PORT")
    code = _socket_in(folder)
    workspace = folder / "workspace.yaml"
    workspace.write_text(_WORKSPACE.format(socket=json.dumps(str(code))))

    def process(name: str, module: str, *arguments: str) -> Process:
        command = [sys.executable, "-W", "ignore", "-m", module, *arguments]
        # Runs that are cut short print tracebacks at the end; the history keeps them.
        return Process(name, command, folder=folder, shows=_worth_showing, quiet_end=True, patience_s=15.0)

    log = ("--log-level", "warning")
    definitions = ("-m", "hdfs_pipeline.definitions", "--use-python-environment-entry-point")
    page_at = ("-w", str(workspace), "-h", host, "-p", str(port), "--dagster-log-level", "warning")
    return [
        replace(
            process("code", "dagster", "api", "grpc", "-s", str(code), *definitions, *log), ready=lambda: _listens(code)
        ),
        replace(
            process(_PAGE, "dagster_webserver", *page_at),
            needs=("code",),
            ready=lambda: dagster_answers(settings),
            told=f"the web page is there: {page(settings)}",
        ),
        # Dagster makes the tables of its history at the first start, and two processes must not do so at once.
        replace(process("daemon", "dagster._daemon", "run", "-w", str(workspace), *log), needs=(_PAGE,)),
    ]


def _worth_showing(line: str) -> bool:
    return not _CHATTER.search(line)


def _socket_in(folder: Path) -> Path:
    """Where the definitions are served: only who may enter the folder may ask for code to be run."""
    path = folder / "code.sock"
    short = len(os.fsencode(path)) <= _LONGEST_SOCKET
    return path if short else Path(tempfile.mkdtemp(prefix="hdfs-pipeline-")) / path.name


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(str(path)) == 0


def require_free(host: str, port: int, variable: str) -> None:
    """Check that a server can listen at `host` and `port`. Raises: SetupError that names the `variable` to change."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            why = f"{host}:{port} cannot be listened on ({error.strerror})"
            raise SetupError(f"{why}: set another port with {variable}") from None


def page(settings: Settings) -> str:
    """Address of the web page, for a browser on this machine."""
    host = settings.dagster_host
    return f"http://{'127.0.0.1' if host in ANY_ADDRESS else host}:{settings.dagster_port}"


def dagster_answers(settings: Settings) -> bool:
    """Whether the web server answers."""
    try:
        with urllib.request.urlopen(f"{page(settings)}/server_info", timeout=1) as answer:  # noqa: S310 - http, ours
            return bool(answer.status == HTTPStatus.OK)
    except (OSError, HTTPException):
        return False


def serve(settings: Settings, say: Say = lambda _name, line: print(plain(line), file=sys.stderr)) -> int:
    """Serve Dagster's web page and run its daemon until a signal. Returns the exit code.

    SIGINT, SIGTERM and SIGHUP end all of Dagster's processes. Raises: SetupError where the port is taken.
    """
    with stop_on_signals() as stopped:
        return supervise(dagster_processes(settings), stopped, say)


def _project_file(name: str) -> Path:
    path = PROJECT / name
    if not path.is_file():
        raise SetupError(f"{path} is missing: install the project from its checkout with `pip install -e .`")
    return path
