"""A Dagster run of a sink, in a process that may be killed: by itself at a point of the sink, or from outside."""

import multiprocessing
import os
import signal
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

from hdfs_pipeline.settings import PREFIX, load_settings

JOB: Final = "kafka_job"
_ASSET: Final = "kafka_raw_logs"
WRITTEN, COMMITTED = "rows written", "committed"
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["hdfs_pipeline.definitions", "hdfs_pipeline.defs.streams.assets"])


def start(home: Path, config: dict[str, Any] | None, die: str = "", most: int | None = None) -> BaseProcess:
    """A process that runs the job: with the config of one run request, or again and again to the end (None).

    `die` is where it kills itself; `most` the setting sink_max_records.
    """
    process = _CONTEXT.Process(target=_run, args=(str(home), config, die, most))
    process.start()
    return process


def _run(home: str, config: dict[str, Any] | None, die: str, most: int | None) -> None:
    from hdfs_pipeline.running.orchestration import prepare_instance

    os.environ.pop("KAFKA_BOOTSTRAP_SERVERS", None)
    if most:
        os.environ[f"{PREFIX}SINK_MAX_RECORDS"] = str(most)
    settings = load_settings(home)
    prepare_instance(settings)
    import dagster as dg

    from hdfs_pipeline.definitions import defs

    _die_at(die)
    job = defs().resolve_job_def(JOB)
    with dg.DagsterInstance.get() as instance:
        while True:
            result = job.execute_in_process(
                config or {}, instance=instance, asset_selection=[dg.AssetKey(_ASSET)], raise_on_error=False
            )
            if not result.success:
                raise SystemExit(1)
            (told,) = result.asset_materializations_for_node(_ASSET)
            (Path(home) / "runs").open("a").write("ran\n")
            if config is not None or not told.metadata["messages left"].value:
                return


def _die_at(point: str) -> None:
    """Let this process kill itself: when all rows are written and nothing is committed, or right after the commit."""
    from hdfs_pipeline.domains.blocks.log_sink import LogStage
    from hdfs_pipeline.sinks import topics as sink

    def fatal(function: Any) -> Any:
        def call(*arguments: Any, **more: Any) -> None:
            function(*arguments, **more)
            os.kill(os.getpid(), signal.SIGKILL)

        return call

    if point == WRITTEN:
        LogStage.publish = fatal(LogStage.publish)  # type: ignore[method-assign]
    elif point == COMMITTED:
        sink._publish = fatal(sink._publish)
