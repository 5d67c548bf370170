"""Daemons: what NameNodes, DataNodes, JournalNodes and others write beside blocks, minute by minute."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from hdfs_pipeline.domains.contract import EVERYTHING, Domain, Facts, Place, Read, Selection, Told
from hdfs_pipeline.domains.daemons import explain, search
from hdfs_pipeline.domains.daemons.catalogue import KINDS
from hdfs_pipeline.domains.daemons.counting import bring_up_to_date, changed_since, last_change
from hdfs_pipeline.domains.daemons.features import FAMILY, load_dataset
from hdfs_pipeline.domains.daemons.item import DOMAIN, MINUTE
from hdfs_pipeline.domains.daemons.knowledge import knowledge_of
from hdfs_pipeline.domains.daemons.minutes import told_sql
from hdfs_pipeline.domains.daemons.telling import telling_records
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.catalogue import UNKNOWN
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.explain import Vocabulary
from hdfs_pipeline.scoring.incidents import Grouping
from hdfs_pipeline.scoring.judged import scored_until
from hdfs_pipeline.scoring.knowledge import Knowledge
from hdfs_pipeline.scoring.patterns import Pattern, Span
from hdfs_pipeline.scoring.runs import Persistence
from hdfs_pipeline.scoring.severity import Kind
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store

_LEARNING: Final = "rhythm"
_MINUTES_S: Final = 90.0  # seconds without a trouble that is told of every minute
_COUNT: Final = f"SELECT count(DISTINCT key) FROM ({told_sql()})"


class Daemons(Domain):
    """Minutes of daemons, from the records that `blocks` reads: what is wrong with a machine, not with a block.

    Their features: how many records match each template, and the rules that they break.
    """

    name = DOMAIN
    item = MINUTE
    default_detector = "lifecycle"
    families = (FAMILY, "rules")
    unbound = frozenset({"rules"})
    untrained = frozenset({"lifecycle"})
    day_one = "lifecycle"
    unknown = UNKNOWN
    trained_by = f"hdfs-pipeline train --domain {DOMAIN} --detector {{}}"
    follows = "blocks"

    def voices(self, settings: Settings, serving: str) -> tuple[str, ...]:
        """See `Domain.voices`: what is known, and what differs from what was learned."""
        return tuple(dict.fromkeys((serving, self.day_one, _LEARNING)))

    def params(self, settings: Settings, detector: str) -> dict[str, Any]:
        """See `Domain.params`: each kind of daemon has a baseline of its own."""
        return {"groups": len(KINDS)} if detector == _LEARNING else {}

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
        """See `Domain.read`. Raises: DataError, since the records come with those of `follows`."""
        raise DataError(
            f"{', '.join(map(str, paths))}: {MINUTE.plural} come from no files of their own, but from the logs that "
            "`hdfs-pipeline ingest PATH` reads"
        )

    def derive(self, store: Store, settings: Settings) -> int:
        """See `Domain.derive`: the minutes of the records that are new."""
        return bring_up_to_date(store)

    def features(
        self, store: Store, settings: Settings, families: Iterable[str] = (), where: Selection = EVERYTHING
    ) -> Dataset:
        """See `Domain.features`."""
        return load_dataset(store, settings, where)

    def vocabulary(self, settings: Settings, source: str) -> Vocabulary:
        """See `Domain.vocabulary`: names of the catalogue's templates."""
        return explain.vocabulary()

    def knowledge(self, settings: Settings, source: str) -> Knowledge:
        """See `Domain.knowledge`: the shipped rules."""
        return knowledge_of(settings)

    def facts(self, store: Store, keys: Sequence[str] | None = None) -> dict[str, Facts]:
        """See `Domain.facts`."""
        return explain.facts(store, keys)

    def evidence(
        self, store: Store, settings: Settings, key: str, limit: int, telling: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """See `Domain.evidence`: the records of the daemon, and those of others that speak of it."""
        return explain.evidence(store, settings.log_timezone, key, limit, telling)

    def places(self, store: Store, telling: Mapping[str, Sequence[str]]) -> dict[str, Place]:
        """See `Domain.places`: the daemon, by its address where that is known."""
        return explain.places(store, telling)

    def told(self, store: Store, settings: Settings, records: pa.Table) -> list[Told]:
        """See `Domain.told`: the minutes of records that tell of a daemon."""
        return search.told(store, records)

    def matching(self, store: Store, settings: Settings, template: str, span: Span) -> pa.Table:
        """See `Domain.matching`."""
        return search.matching(store, template, span)

    def patterns(self, store: Store, settings: Settings, span: Span, steps: int) -> list[Pattern]:
        """See `Domain.patterns`: by the minutes that were counted, each of which belongs where its first record is."""
        return search.patterns(store, span, steps)

    def suspects(self, store: Store, settings: Settings, rules: Mapping[str, str]) -> pa.Table | None:
        """See `Domain.suspects`: the records that tell; a minute's own daemon is the one at fault."""
        return telling_records(store, rules)

    def grouping(self, settings: Settings) -> Grouping:
        """See `Domain.grouping`: troubles that are told of minute after minute belong together."""
        gap_s = max(settings.incident_gap_s, _MINUTES_S)
        quiet_s, lone_gap_s = max(settings.incident_quiet_s, gap_s), settings.incident_lone_gap_s
        return Grouping(Persistence(0.0, gap_s), quiet_s=quiet_s, lone_gap_s=lone_gap_s)

    def kinds(self, store: Store, settings: Settings) -> dict[str, Kind]:
        """See `Domain.kinds`: those of the rules."""
        return knowledge_of(settings).kinds

    def days(self, store: Store) -> dict[date, int]:
        """See `Domain.days`: by the first record of a minute."""
        with store.read() as con:
            rows = con.execute(
                f"""SELECT first_time::DATE AS day, count(*) FROM (SELECT min(first_time) AS first_time
                FROM ({told_sql()}) GROUP BY key) GROUP BY day ORDER BY day"""
            )
            return dict(rows.fetchall())

    def learnable(self, store: Store, serving: str) -> tuple[int, int, int]:
        """See `Domain.learnable`: no minute has a label."""
        with store.read() as con:
            other = int(con.execute(_COUNT).fetchall()[0][0])
            scored = con.execute(
                "SELECT count(*) FROM scores WHERE domain = ? AND detector = ? AND NOT is_anomaly",
                [self.name, serving],
            ).fetchall()[0][0]
        return 0, other, int(scored)

    def recount(self, store: Store, settings: Settings) -> int:
        """See `Domain.recount`: all minutes."""
        with store.write() as con:
            con.execute("DELETE FROM daemon_sources; DELETE FROM daemon_lives")
        return bring_up_to_date(store)

    def last_change(self, store: Store) -> int:
        """See `Domain.last_change`."""
        with store.read() as con:
            return last_change(con)

    def changed(self, store: Store, revision: int) -> list[str]:
        """See `Domain.changed`: minutes that were counted anew, and those that they say more about."""
        with store.read() as con:
            return changed_since(con, revision)

    def waiting(self, store: Store, detector: str, version: int) -> int:
        """See `Domain.waiting`: minutes of log files that were counted since they were scored."""
        with store.read() as con:
            scored = scored_until(con, self.name, detector, version)
            rows = "SELECT DISTINCT source_id, minute FROM daemon_minutes WHERE revision > ?"
            return int(con.execute(f"SELECT count(*) FROM ({rows})", [scored]).fetchall()[0][0])
