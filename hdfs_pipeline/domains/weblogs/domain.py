"""Web logs: requests to web servers, from their access logs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

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
from hdfs_pipeline.domains.weblogs import explain, search
from hdfs_pipeline.domains.weblogs.columns import FAMILY
from hdfs_pipeline.domains.weblogs.item import DOMAIN, REQUEST
from hdfs_pipeline.domains.weblogs.knowledge import knowledge_of
from hdfs_pipeline.domains.weblogs.lines import AccessLines
from hdfs_pipeline.domains.weblogs.topics import TOPICS, WAYS, WEB_LOGS
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

_LEARNING: Final = "request_kmeans"


class Weblogs(LineDomain):
    """Requests to web servers: those that no ordinary client sends, and those that no healthy server answers so.

    Their features: what each looks like, what its client did this minute, and the rules that it breaks.
    """

    name = DOMAIN
    item = REQUEST
    lines = AccessLines
    days_setting = "requests_days"
    first_setting = "web_first_requests"
    default_detector = "lifecycle"
    families = (FAMILY, RULES)
    unbound = frozenset({RULES})
    untrained = frozenset({"lifecycle"})
    day_one = "lifecycle"
    trained_by = f"hdfs-pipeline train --domain {DOMAIN} --detector {{}}"
    filled_by = f"hdfs-pipeline ingest --domain {DOMAIN} PATH"
    searchable = True
    topics = TOPICS
    ways = WAYS
    records_topic = WEB_LOGS
    made_up = True
    examples = (
        '10.0.0.1 - - [11/Nov/2026:06:25:24 +0000] "GET /shop/items/17?page=2 HTTP/1.1" 200 5316 "-" "curl/8.5" 0.012',
        '10.0.0.2 - - [11/Nov/2026:06:25:25 +0000] "POST /login HTTP/1.1" 403 12',
    )

    def voices(self, settings: Settings, serving: str) -> tuple[str, ...]:
        """See `Domain.voices`: what is known, and what differs from ordinary requests."""
        return tuple(dict.fromkeys((serving, self.day_one, _LEARNING)))

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
        """See `Domain.read`. Raises: DataError where there is nothing to read, and for labels: requests have none."""
        if labels is not None:
            raise DataError(f"there are no labels of {REQUEST.plural}")
        return read_lines(store, settings, paths, AccessLines(settings), on_step)

    def features(
        self, store: Store, settings: Settings, families: Iterable[str] = (), where: Selection = EVERYTHING
    ) -> Dataset:
        """See `Domain.features`."""
        from hdfs_pipeline.domains.weblogs.batch import load_dataset

        return load_dataset(store, settings, where)

    def vocabulary(self, settings: Settings, source: str) -> Vocabulary:
        """See `Domain.vocabulary`."""
        return explain.vocabulary()

    def knowledge(self, settings: Settings, source: str) -> Knowledge:
        """See `Domain.knowledge`: the shipped rules with the limits of the settings."""
        return knowledge_of(settings)

    def facts(self, store: Store, keys: Sequence[int] | None = None) -> dict[int, Facts]:
        """See `Domain.facts`."""
        return explain.facts(store, keys)

    def evidence(
        self, store: Store, settings: Settings, key: int, limit: int, telling: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """See `Domain.evidence`: the line of the request."""
        return explain.evidence(store, key, limit)

    def places(self, store: Store, telling: Mapping[int, Sequence[str]]) -> dict[int, Place]:
        """See `Domain.places`: the network of the client, or the endpoint where the server is at fault."""
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
        """See `Domain.search`."""
        return search.search(store, sought, span, limit, before, among)

    def told(self, store: Store, settings: Settings, records: pa.Table) -> list[Told]:
        """See `Domain.told`: the group of paths with the kind of answer, and the request."""
        return search.told(records)

    def matching(self, store: Store, settings: Settings, template: str, span: Span) -> pa.Table:
        """See `Domain.matching`."""
        return search.matching(store, template, span)

    def patterns(self, store: Store, settings: Settings, span: Span, steps: int) -> list[Pattern]:
        """See `Domain.patterns`: groups of paths with the kind of answer."""
        return search.patterns(store, span, steps)

    def heard(self, store: Store) -> list[Heard]:
        """See `Domain.heard`: the services, or the files of those that no line names."""
        with store.read() as con:
            rows = con.execute(
                """SELECT coalesce(nullif(service, ''), nullif(s.path, ''), 'web server') AS server, max(epoch(time))
                FROM requests LEFT JOIN (SELECT source_id, path FROM sources) s USING (source_id)
                GROUP BY server ORDER BY server"""
            ).fetchall()
        return [Heard(server, time) for server, time in rows]

    def grouping(self, settings: Settings) -> Grouping:
        """See `Domain.grouping`."""
        gap_s = settings.request_gap_s
        quiet_s = max(settings.incident_quiet_s, gap_s)
        return Grouping(Persistence(0.0, gap_s), quiet_s=quiet_s, lone_gap_s=settings.incident_lone_gap_s)

    def kinds(self, store: Store, settings: Settings) -> dict[str, Kind]:
        """See `Domain.kinds`: those of the rules."""
        return knowledge_of(settings).kinds

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
        from hdfs_pipeline.domains.weblogs.stage import make_stage

        return make_stage(settings, self, detector=detector, threshold=threshold, outbox=outbox, figures=figures)

    def playback(self, settings: Settings, speed: float, free_port: Callable[[], int]) -> Playback:
        """See `Domain.playback`: simulated users of several services, with faults."""
        about = f"simulated requests go to {WEB_LOGS}, some of them with faults (--no-replay)"
        return Playback(
            about, (Player("web", ("produce", "web", "--training", "100000", "--anomalies", "all"), streams=True),)
        )
