"""Applogs: what applications and services write, message by message."""

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.applogs import explain, search
from hdfs_pipeline.domains.applogs.features import FAMILY, load_dataset
from hdfs_pipeline.domains.applogs.item import DOMAIN, MESSAGE
from hdfs_pipeline.domains.applogs.knowledge import knowledge_of
from hdfs_pipeline.domains.applogs.lines import AppLines
from hdfs_pipeline.domains.applogs.templates import catalogue_of, learn_more, settle
from hdfs_pipeline.domains.applogs.topics import APP_LOGS, TOPICS, WAYS
from hdfs_pipeline.domains.contract import (
    EVERYTHING,
    Facts,
    Figures,
    Heard,
    Outbox,
    Place,
    Playback,
    Player,
    Read,
    RecordId,
    Selection,
    Sought,
    Stage,
    Told,
)
from hdfs_pipeline.domains.line_domain import LineDomain
from hdfs_pipeline.domains.lines import read_lines
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.explain import Vocabulary
from hdfs_pipeline.scoring.incidents import Grouping
from hdfs_pipeline.scoring.knowledge import RULES, Knowledge
from hdfs_pipeline.scoring.patterns import Pattern, Span
from hdfs_pipeline.scoring.runs import Persistence
from hdfs_pipeline.scoring.severity import Kind
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store


class AppLogs(LineDomain):
    """Messages of applications and services.

    Their features: what a message says of itself and of the minute of its service so far, and the rules that it breaks.
    """

    name = DOMAIN
    item = MESSAGE
    lines = AppLines
    days_setting = "app_logs_days"
    first_setting = "app_first_messages"
    default_detector = "message_forest"
    families = (FAMILY, RULES)
    unbound = frozenset({RULES})
    untrained = frozenset({"lifecycle"})
    day_one = "lifecycle"
    trained_by = f"hdfs-pipeline train --domain {DOMAIN} --detector {{}}"
    filled_by = f"hdfs-pipeline ingest --domain {DOMAIN} /var/log/app/"
    searchable = True
    topics = TOPICS
    ways = WAYS
    records_topic = APP_LOGS
    made_up = True

    def voices(self, settings: Settings, serving: str) -> tuple[str, ...]:
        """See `Domain.voices`: what is known of any message speaks beside what was learned."""
        return tuple(dict.fromkeys((serving, self.day_one)))

    def taught(self, data: Dataset, settings: Settings) -> Dataset:
        """See `Domain.taught`: the latest messages. Raises: DataError where there are too few."""
        if len(data) < settings.app_first_messages:
            raise DataError(
                f"a model of messages learns from at least {settings.app_first_messages:,} (app_first_messages), and "
                f"there are {len(data):,}: read more logs"
            )
        if len(data) <= settings.app_last_messages:
            return data
        return data.take(np.sort(np.lexsort((data.keys, data.time))[-settings.app_last_messages :]))

    def read(
        self,
        store: Store,
        settings: Settings,
        paths: Sequence[str],
        labels: Path | pa.Table | None = None,
        on_step: Callable[[str, int | None, int | None], None] = lambda *_: None,
        *,
        propose: bool = True,
    ) -> Read:
        """See `Domain.read`: messages, and the first templates once there are enough."""
        read = read_lines(store, settings, paths, AppLines(settings), on_step)
        on_step("matching templates", None, None)
        settle(store, settings)
        return read

    def derive(self, store: Store, settings: Settings) -> int:
        """See `Domain.derive`: the first templates, once there are messages enough."""
        return settle(store, settings)

    def prepare(self, store: Store, settings: Settings) -> int:
        """See `Domain.prepare`: templates of the messages that none matches, as the next version of the catalogue."""
        return learn_more(store, settings)

    def apart(self, settings: Settings, folder: Path, source: str = "") -> Settings:
        """See `Domain.apart`: with the home's templates, whose ids its models know."""
        apart = settings.model_copy(update={"home": folder})
        if settings.app_catalogues.is_dir():
            shutil.copytree(settings.app_catalogues, apart.app_catalogues, dirs_exist_ok=True)
        return apart

    def features(
        self, store: Store, settings: Settings, families: Iterable[str] = (), where: Selection = EVERYTHING
    ) -> Dataset:
        """See `Domain.features`."""
        return load_dataset(store, settings, where)

    def vocabulary(self, settings: Settings, source: str) -> Vocabulary:
        """See `Domain.vocabulary`."""
        return explain.vocabulary(settings)

    def knowledge(self, settings: Settings, source: str) -> Knowledge:
        """See `Domain.knowledge`: the shipped rules."""
        return knowledge_of(settings)

    def facts(self, store: Store, keys: Sequence[int] | None = None) -> dict[int, Facts]:
        """See `Domain.facts`."""
        return explain.facts(store, keys)

    def evidence(
        self, store: Store, settings: Settings, key: int, limit: int, telling: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """See `Domain.evidence`: the message."""
        return explain.evidence(store, settings.log_timezone, key, limit)

    def places(self, store: Store, telling: Mapping[int, Sequence[str]]) -> dict[int, Place]:
        """See `Domain.places`: the service is what an anomaly belongs to."""
        return explain.places(store, telling)

    def recorded(self, store: Store) -> Span | None:
        """See `Domain.recorded`."""
        return search.recorded(store)

    def search(
        self,
        store: Store,
        settings: Settings,
        sought: Sought,
        span: Span,
        limit: int,
        *,
        before: RecordId | None = None,
        among: pa.Table | None = None,
    ) -> pa.Table:
        """See `Domain.search`: by host or service, level, logger and text."""
        return search.search(store, settings.log_timezone, sought, span, limit, before, among)

    def told(self, store: Store, settings: Settings, records: pa.Table) -> list[Told]:
        """See `Domain.told`."""
        return search.told(catalogue_of(settings), records)

    def matching(self, store: Store, settings: Settings, template: str, span: Span) -> pa.Table:
        """See `Domain.matching`."""
        return search.matching(store, catalogue_of(settings), template, span)

    def patterns(self, store: Store, settings: Settings, span: Span, steps: int) -> list[Pattern]:
        """See `Domain.patterns`."""
        return search.patterns(store, catalogue_of(settings), span, steps)

    def about(self, store: Store, key: int) -> dict[str, Any]:
        """See `Domain.about`: who wrote it, and how."""
        with store.read() as con:
            found = con.execute(
                "SELECT service, level, host, logger, template, layout FROM app_logs WHERE message_id = ?", [int(key)]
            ).fetchall()
        names = ("service", "level", "host", "logger", "template", "layout")
        return {name: value for row in found for name, value in zip(names, row, strict=True) if value}

    def heard(self, store: Store) -> list[Heard]:
        """See `Domain.heard`: the services."""
        with store.read() as con:
            rows = con.execute("SELECT service, epoch(max(time)) FROM app_logs GROUP BY service ORDER BY service")
            return [Heard(service, time) for service, time in rows.fetchall()]

    def grouping(self, settings: Settings) -> Grouping:
        """See `Domain.grouping`: what a service writes that is odd belongs together while it goes on."""
        rule = Persistence(0.0, settings.incident_gap_s)
        return Grouping(rule, quiet_s=settings.incident_quiet_s, lone_gap_s=settings.incident_lone_gap_s)

    def kinds(self, store: Store, settings: Settings) -> dict[str, Kind]:
        """See `Domain.kinds`: the five kinds; what a rule says of one comes first."""
        return explain.KINDS | knowledge_of(settings).kinds

    def stage(
        self,
        settings: Settings,
        begin: str,
        end: str,
        *,
        detector: str | None,
        threshold: float | None,
        outbox: Outbox,
        figures: Figures,
    ) -> Stage:
        """See `Domain.stage`."""
        from hdfs_pipeline.domains.applogs.stage import make_stage

        return make_stage(settings, self, detector=detector, threshold=threshold, outbox=outbox, figures=figures)

    def playback(self, settings: Settings, speed: float, free_port: Callable[[], int]) -> Playback:
        """See `Domain.playback`: simulated services, with faults."""
        about = f"messages of simulated services go to {APP_LOGS}, some of them with faults (--no-replay)"
        return Playback(
            about, (Player("app", ("produce", "app", "--training", "20000", "--anomalies", "all"), streams=True),)
        )
