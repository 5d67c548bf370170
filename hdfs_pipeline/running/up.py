"""`hdfs-pipeline up`: broker, Dagster, stream workers and a replay of the sample, all under one supervisor."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace as with_
from pathlib import Path
from typing import Final

from hdfs_pipeline.domains import all_domains, domain_named
from hdfs_pipeline.domains.contract import Domain, Playback
from hdfs_pipeline.errors import SetupError, UsageError
from hdfs_pipeline.processes.ports import free_port
from hdfs_pipeline.processes.signals import stop_on_signals
from hdfs_pipeline.processes.supervisor import Process, Say, supervise
from hdfs_pipeline.running.orchestration import dagster_processes, require_free
from hdfs_pipeline.scoring.models import trained_detectors
from hdfs_pipeline.serving.tokens import Tokens, are_needed
from hdfs_pipeline.settings import PREFIX, PROJECT, Settings
from hdfs_pipeline.sources.kafka import is_embedded
from hdfs_pipeline.sources.ranges import reachable
from hdfs_pipeline.store.store import Store

_SAMPLES: Final = PROJECT / "data" / "sample"
_NAME: Final = "up"
_NO_MODEL: Final = (
    "no model in this home yet: {day_one} judges without one, from the first record on; for a model put logs, and "
    "labels.csv where there is one, into {incoming}, or use `hdfs-pipeline train`"
)
_RUNS_STORE: Final = (
    "what comes over Kafka is stored by runs of Dagster, once {records:,} records wait or something has waited for "
    "{wait_s:g} s; --sink stores it within seconds"
)
_LOCAL: Final = ("localhost", "127.", "[::1]", "::1")


def up(
    settings: Settings,
    *,
    replay: bool | None,
    workers: int,
    speed: float,
    sink: bool = True,
    others: Sequence[str] = (),
    say: Say,
) -> int:
    """Run everything until SIGINT, SIGTERM or SIGHUP. Returns the exit code.

    With `replay` None, `own_cluster` decides whether the sample is replayed. With `sink` a process stores what comes
    over Kafka within seconds; without, Dagster's runs do so once enough waits. `others` are domains whose workers run
    as well, and whose made-up records are sent unless `replay` is False.

    Raises: UsageError for a domain that has no workers; SetupError where a port is taken, or where the sample that is
    to be replayed is missing.
    """
    with stop_on_signals() as stopped:
        found = processes(settings, replay=replay, workers=workers, speed=speed, sink=sink, others=others, say=say)
        return supervise(found, stopped, say)


def processes(
    settings: Settings,
    *,
    replay: bool | None,
    workers: int,
    speed: float,
    sink: bool = True,
    others: Sequence[str] = (),
    say: Say,
) -> list[Process]:
    """The processes to run, in the order in which they start."""
    streaming, made_up = _named(others), replay is not False
    own, sample = own_cluster(settings), domain_named().sample
    if replay is None:
        replay = not own
        if own:
            say(_NAME, f"no replay of the sample, since {own}; --replay sends it all the same")
    if replay and (sample is None or not sample.is_dir()):
        raise SetupError(f"{sample} is missing: it comes with a checkout of the project; leave it out with --no-replay")
    dagster = dagster_processes(settings)
    later: list[Process] = []
    if replay and not _has_logs_of_its_own(settings) and not _judged(settings):
        command = [sys.executable, "-W", "ignore", "-m", "hdfs_pipeline.running.first_run", str(sample)]
        later.append(Process("sample", command, once=True))
    elif workers and not _trained(settings):
        say(_NAME, _NO_MODEL.format(day_one=domain_named().day_one, incoming=settings.incoming))
    later.append(_pages(settings))
    later.append(with_(_command("incidents", "incidents", "follow"), patience_s=15.0))
    later += _workers(settings, workers)
    later += _workers_of(settings, streaming, workers)
    if sink:
        later.append(_streaming(with_(_command("sink", "sink"), patience_s=15.0), settings))
    else:
        say(_NAME, _RUNS_STORE.format(records=settings.run_records, wait_s=settings.run_wait_s))
    if settings.alertmanager_url or settings.webhook_url:  # the topic alone is Dagster's work
        needs = ("broker",) if is_embedded(settings) else ()
        later.append(with_(_command("notify", "notify", "--follow"), needs=needs, patience_s=15.0))
    recorded = [domain for domain in all_domains() if not domain.made_up] if replay else []
    for domain in [*recorded, *(domain for domain in streaming if made_up and domain.made_up)]:
        playback = domain.playback(settings, speed, free_port)
        if playback is not None:
            say(_NAME, playback.about)
            dagster = [with_(each, environment={**each.environment, **playback.learning}) for each in dagster]
            later += _players(playback, settings)
    return [*_broker(settings), *dagster, *later]


def _broker(settings: Settings) -> Iterator[Process]:
    """The embedded broker, if no other is configured."""
    if is_embedded(settings):
        message = "answers; it keeps its messages in memory, and no longer than it runs"
        yield with_(_command("broker", "broker", "--with-parent"), ready=lambda: _answers(settings), told=message)


def _pages(settings: Settings) -> Process:
    """The server of pages and API; where others can reach it, it waits for the first token."""
    require_free(settings.serve_host, settings.serve_port, f"{PREFIX}SERVE_PORT")
    if not are_needed(settings):
        return _command("serve", "serve")
    waits_for = "a token of whoever is to see the pages: hdfs-pipeline tokens make NAME --scope operate"
    return with_(_command("serve", "serve"), after=lambda: bool(Tokens(settings).all()), waits_for=waits_for)


def _players(playback: Playback, settings: Settings) -> Iterator[Process]:
    for player in playback.players:
        command = _command(player.name, *player.arguments)
        process = with_(command, needs=player.needs, environment=dict(playback.settings))
        yield _streaming(process, settings) if player.streams else process


def _workers(settings: Settings, number: int) -> Iterator[Process]:
    for index in range(number):
        port = settings.metrics_port + index if settings.metrics_port else 0
        require_free(settings.metrics_host, port, f"{PREFIX}METRICS_PORT")
        worker = _command("worker" if number == 1 else f"worker {index + 1}", "stream")
        environment = {f"{PREFIX}METRICS_PORT": str(port)}
        yield _streaming(with_(worker, environment=environment, patience_s=15.0), settings)


def _workers_of(settings: Settings, domains: Sequence[Domain], taken: int) -> Iterator[Process]:
    """A worker for each topic of other domains; their metrics are on the ports after the `taken` ones."""
    topics = [topic for domain in domains for topic in domain.ways]
    for index, topic in enumerate(topics, start=taken):
        port = settings.metrics_port + index if settings.metrics_port else 0
        require_free(settings.metrics_host, port, f"{PREFIX}METRICS_PORT")
        worker = with_(_command(topic, "stream", "--from", topic), patience_s=15.0)
        yield _streaming(with_(worker, environment={f"{PREFIX}METRICS_PORT": str(port)}), settings)


def _named(names: Sequence[str]) -> list[Domain]:
    """The domains of names and those that follow them, each once. Raises: UsageError for one without workers."""
    known = {domain.name: domain for domain in all_domains()}
    wanted = [domain_named(name) for name in names]
    for domain in wanted:
        if not domain.ways or domain.name == domain_named().name:
            others = [each.name for each in known.values() if each.ways and each.name != domain_named().name]
            raise UsageError(f"{domain.name} has no workers of its own; there are {', '.join(others)}")
    chosen = {domain.name for domain in wanted}
    return [domain for domain in known.values() if domain.name in chosen or (domain.ways and domain.follows in chosen)]


def _streaming(process: Process, settings: Settings) -> Process:
    """The process, started once Kafka answers."""
    if is_embedded(settings):
        return with_(process, needs=("broker",))
    waits_for = f"Kafka at {settings.kafka_bootstrap_servers}"
    return with_(process, after=lambda: _answers(settings), waits_for=waits_for)


def _command(name: str, *arguments: str) -> Process:
    return Process(name, [sys.executable, "-W", "ignore", "-m", "hdfs_pipeline", *arguments])


def _answers(settings: Settings) -> bool:
    """Whether a broker listens."""
    try:
        return reachable(settings, 0.5)
    except SetupError:
        return False


def own_cluster(settings: Settings) -> str:
    """Why the sample should not be sent into this home, in words; '' if nothing speaks against it.

    In a home of a real cluster, people would take items of the sample for items of that cluster.
    """
    servers = [server.strip() for server in settings.kafka_bootstrap_servers.split(",") if server.strip()]
    if remote := [server for server in servers if not server.startswith(_LOCAL)]:
        return f"the broker {remote[0]} is not on this machine"
    return "this home has logs of its own" if _has_logs_of_its_own(settings) else ""


def _has_logs_of_its_own(settings: Settings) -> bool:
    files = _rows(settings, "SELECT path FROM sources WHERE source_id > 0")
    return not all(Path(path).resolve().is_relative_to(_SAMPLES) for (path,) in files)


def _judged(settings: Settings) -> bool:
    """Whether the main job has finished in this home."""
    return bool(_trained(settings) and _rows(settings, "SELECT 1 FROM evaluations LIMIT 1"))


def _trained(settings: Settings) -> list[str]:
    """The detectors with a trained model in the domain that the workers read."""
    return trained_detectors(settings, domain_named().name)


def _rows(settings: Settings, sql: str) -> list[tuple]:
    if not settings.store_path.exists():
        return []
    with Store.open(settings).read() as con:
        return con.execute(sql).fetchall()
