"""`hdfs-pipeline up`: broker, Dagster, stream workers and a replay of the sample, all under one supervisor."""

import socket
import sys
from collections.abc import Iterator
from dataclasses import replace as with_
from pathlib import Path
from typing import Final

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.processes.signals import stop_on_signals
from hdfs_pipeline.processes.supervisor import Process, Say, supervise
from hdfs_pipeline.running.orchestration import dagster_process, require_free
from hdfs_pipeline.scoring.models import trained_detectors
from hdfs_pipeline.settings import PREFIX, PROJECT, Settings
from hdfs_pipeline.sources.kafka import is_embedded
from hdfs_pipeline.sources.ranges import reachable
from hdfs_pipeline.store.store import Store

SAMPLES: Final = PROJECT / "data" / "sample"
SAMPLE: Final = SAMPLES / "hdfs_v1"
RATE: Final = 500.0  # records a second: the sample in four minutes, an anomaly every second or so
SHOWN_S: Final = 5.0  # seconds between two anomalies that are shown
_FIRST_POLLS: Final = 50  # four minutes; the recording's first fault comes after nearly five
_NAME: Final = "up"
_MODEL: Final = "put logs and labels.csv into {incoming}, or use `hdfs-pipeline train`"
_LOCAL: Final = ("localhost", "127.", "[::1]", "::1")


def up(settings: Settings, *, replay: bool | None, workers: int, rate: float, say: Say) -> int:
    """Run it all until SIGINT, SIGTERM or SIGHUP; the exit code. `replay` None: where `own_cluster` finds nothing.

    Raises: SetupError where a port is taken, or where the sample that is to be replayed is missing.
    """
    with stop_on_signals() as stopped:
        return supervise(processes(settings, replay=replay, workers=workers, rate=rate, say=say), stopped, say)


def processes(settings: Settings, *, replay: bool | None, workers: int, rate: float, say: Say) -> list[Process]:
    """What is to run, in the order in which it starts."""
    own = own_cluster(settings)
    if replay is None:
        replay = not own
        if own:
            say(_NAME, f"no replay of the sample, since {own}; --replay sends it all the same")
    if replay and not SAMPLE.is_dir():
        raise SetupError(f"{SAMPLE} is missing: it comes with a checkout of the project; leave it out with --no-replay")
    found = [dagster_process(settings)]
    if is_embedded(settings):
        told = "answers; it keeps its messages in memory, and no longer than it runs"
        broker = _command("broker", "broker", "--with-parent")
        found.insert(0, with_(broker, ready=lambda: _answers(settings), told=told))
    if replay and not _has_logs_of_its_own(settings) and not _judged(settings):
        command = [sys.executable, "-W", "ignore", "-m", "hdfs_pipeline.running.first_run", str(SAMPLE)]
        found.append(Process("sample", command, once=True))
    elif workers and not trained_detectors(settings):
        say(_NAME, f"no model in this home yet: {_MODEL.format(incoming=settings.incoming)}")
    if workers:
        found.append(_streaming(_command("anomalies", "watch", "--every", f"{SHOWN_S:g}"), settings, model=False))
    found += _workers(settings, workers)
    if replay:
        where = "" if is_embedded(settings) else f" of {settings.kafka_bootstrap_servers}"
        say(_NAME, f"the sample goes to raw_logs{where}, {rate:g} records a second, over and over (--no-replay)")
        send = ("produce", "raw", str(SAMPLE), "--rate", f"{rate:g}", "--loop", "--fresh")
        found.append(_streaming(_command("replay", *send), settings))
        if not settings.namenode_urls:
            found = _with_namenode(found, say)
    return found


def _with_namenode(found: list[Process], say: Say) -> list[Process]:
    """With a recorded NameNode, which Dagster polls; its first model comes before its first fault."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        f"{PREFIX}NAMENODE_URLS": f"http://127.0.0.1:{port}",
        f"{PREFIX}NAMENODE_FIRST_POLLS": str(_FIRST_POLLS),
    }
    found = [
        with_(each, environment={**each.environment, **environment}) if each.name == "dagster" else each
        for each in found
    ]
    recorded = with_(_command("namenode", "namenode", "replay", "--loop", "--port", str(port)), needs=("dagster",))
    # Not Dagster's sensor, which comes late while the main job keeps the machine busy; it rests meanwhile.
    collector = with_(_command("collect", "collect"), needs=("namenode",), environment=environment)
    say(_NAME, "a recorded NameNode is polled every 5 s; set HDFS_PIPELINE_NAMENODE_URLS to watch your own")
    return [*found, recorded, collector]


def _workers(settings: Settings, number: int) -> Iterator[Process]:
    for at in range(number):
        port = settings.metrics_port + at if settings.metrics_port else 0
        require_free(settings.metrics_host, port, f"{PREFIX}METRICS_PORT")
        worker = _command("worker" if number == 1 else f"worker {at + 1}", "stream")
        environment = {f"{PREFIX}METRICS_PORT": str(port)}
        yield _streaming(with_(worker, environment=environment, patience_s=15.0), settings)


def _streaming(process: Process, settings: Settings, *, model: bool = True) -> Process:
    """The process, started once there is Kafka, and with `model` a model as well."""
    embedded = is_embedded(settings)

    def after() -> bool:
        return (embedded or _answers(settings)) and (not model or bool(trained_detectors(settings)))

    waits = [] if embedded else [f"Kafka at {settings.kafka_bootstrap_servers}"]
    waits += [f"a model: {_MODEL.format(incoming=settings.incoming)}"] if model else []
    needs = ("broker",) if embedded else ()
    return with_(process, needs=needs, after=after, waits_for=" and ".join(waits))


def _command(name: str, *arguments: str) -> Process:
    return Process(name, [sys.executable, "-W", "ignore", "-m", "hdfs_pipeline", *arguments])


def _answers(settings: Settings) -> bool:
    """Whether there are brokers, and one of them listens."""
    try:
        return reachable(settings, 0.5)
    except SetupError:
        return False


def own_cluster(settings: Settings) -> str:
    """What speaks against sending the sample into this home, in words; '' where nothing does.

    Blocks of the sample among those of a real cluster would be taken for that cluster's.
    """
    servers = [server.strip() for server in settings.kafka_bootstrap_servers.split(",") if server.strip()]
    if far := [server for server in servers if not server.startswith(_LOCAL)]:
        return f"the broker {far[0]} is not on this machine"
    return "this home has logs of its own" if _has_logs_of_its_own(settings) else ""


def _has_logs_of_its_own(settings: Settings) -> bool:
    files = _rows(settings, "SELECT path FROM sources WHERE source_id > 0")
    return not all(Path(path).resolve().is_relative_to(SAMPLES) for (path,) in files)


def _judged(settings: Settings) -> bool:
    """Whether the main job has come to its end here."""
    return bool(trained_detectors(settings) and _rows(settings, "SELECT 1 FROM evaluations LIMIT 1"))


def _rows(settings: Settings, sql: str) -> list[tuple]:
    if not settings.store_path.exists():
        return []
    with Store.open(settings).read() as con:
        return con.execute(sql).fetchall()
