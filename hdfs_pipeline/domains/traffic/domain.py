"""Traffic: how each web service and each of its endpoint groups answered, minute by minute."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from hdfs_pipeline.domains.contract import (
    EVERYTHING,
    Domain,
    Facts,
    Figures,
    Outbox,
    Place,
    Read,
    Retention,
    Selection,
    Stage,
    Told,
)
from hdfs_pipeline.domains.lines import prune_rows, retention_of
from hdfs_pipeline.domains.traffic import explain
from hdfs_pipeline.domains.traffic.derive import bring_up_to_date, changed_since, forget_counted, last_change
from hdfs_pipeline.domains.traffic.features import FAMILY, load_dataset
from hdfs_pipeline.domains.traffic.item import DOMAIN, WINDOW, take_apart, window_id
from hdfs_pipeline.domains.traffic.knowledge import knowledge_of
from hdfs_pipeline.domains.traffic.topics import WAYS
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.explain import Vocabulary
from hdfs_pipeline.scoring.incidents import Grouping
from hdfs_pipeline.scoring.judged import scored_until
from hdfs_pipeline.scoring.knowledge import RULES, Knowledge
from hdfs_pipeline.scoring.patterns import Span
from hdfs_pipeline.scoring.runs import Persistence
from hdfs_pipeline.scoring.severity import Kind
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store

_LEARNING: Final = "seasonal"
_LEAST_HOURS: Final = 49  # two whole days, wherever the hour begins
_PAUSE_S: Final = 150.0  # two quiet minutes within a trouble
_DAYS: Final = """SELECT coalesce(first_time, minute)::DATE AS day, count(*) FROM request_windows
    GROUP BY day ORDER BY day"""
_ENDPOINTS: Final = """SELECT endpoint, sum(requests) / sum(sum(requests)) OVER () FROM request_windows
    WHERE endpoint <> '*' GROUP BY endpoint HAVING sum(requests) > 0"""


class Traffic(Domain):
    """Minutes of web services, from the requests that `weblogs` reads: rates, errors, response times, silence.

    Their features: measures with what is usual of them, signs of trouble, and the rules that they break.
    """

    name = DOMAIN
    item = WINDOW
    default_detector = "lifecycle"
    families = (FAMILY, RULES)
    unbound = frozenset({FAMILY, RULES})
    untrained = frozenset({"lifecycle"})
    day_one = "lifecycle"
    trained_by = f"hdfs-pipeline train --domain {DOMAIN} --detector {{}}"
    follows = "weblogs"
    ways = WAYS

    def voices(self, settings: Settings, serving: str) -> tuple[str, ...]:
        """See `Domain.voices`: what is known, and what differs from the same hour of other days."""
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
        """See `Domain.read`. Raises: DataError, since the requests come with those of `follows`."""
        raise DataError(
            f"{', '.join(map(str, paths))}: {WINDOW.plural} come from no files of their own, but from the access logs "
            f"that `hdfs-pipeline ingest --domain {self.follows} PATH` reads"
        )

    def derive(self, store: Store, settings: Settings) -> int:
        """See `Domain.derive`: the windows of the requests that are new."""
        return bring_up_to_date(store, settings)

    def features(
        self, store: Store, settings: Settings, families: Iterable[str] = (), where: Selection = EVERYTHING
    ) -> Dataset:
        """See `Domain.features`."""
        return load_dataset(store, settings, where)

    def vocabulary(self, settings: Settings, source: str) -> Vocabulary:
        """See `Domain.vocabulary`: measures, with what was usual of them."""
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
        """See `Domain.evidence`: requests of the minute; of an anomaly those that show it worst."""
        return explain.evidence(store, key, limit, telling)

    def places(self, store: Store, telling: Mapping[str, Sequence[str]]) -> dict[str, Place]:
        """See `Domain.places`: the service."""
        return explain.places(telling)

    def recorded(self, store: Store) -> Span | None:
        """See `Domain.recorded`: the times of the requests that are kept."""
        with store.read() as con:
            begin, end = con.execute("SELECT min(time), max(time) FROM requests").fetchall()[0]
        return None if begin is None else (begin, end)

    def suspects(self, store: Store, settings: Settings, rules: Mapping[str, str]) -> pa.Table | None:
        """See `Domain.suspects`: a service is at fault itself; the endpoint is told that has most of the trouble."""
        signs = {rule.id: rule.when[0].split()[0] for rule in knowledge_of(settings).rules}
        endpoints = explain.standing_out(store, {key: signs.get(rule, "") for key, rule in rules.items()})
        minutes = [take_apart(key).minute for key in rules]
        return pa.table(
            {
                "key": pa.array(rules, pa.string()),
                "told_from": pa.array(minutes, pa.timestamp("us", "UTC")),
                "told_to": pa.array([each + timedelta(minutes=1) for each in minutes], pa.timestamp("us", "UTC")),
                "blamed": pa.nulls(len(rules), pa.list_(pa.string())),
                "traits": pa.array(
                    [[("endpoint", endpoints[key])] if key in endpoints else None for key in rules],
                    pa.map_(pa.string(), pa.string()),
                ),
                "line": pa.array([_line(store, key, signs.get(rule, "")) for key, rule in rules.items()], pa.string()),
            }
        )

    def usual(self, store: Store, settings: Settings) -> dict[str, dict[str, float]]:
        """See `Domain.usual`: the share of each endpoint group in all requests."""
        with store.read() as con:
            shares = con.execute(_ENDPOINTS).fetchall()
        return {"endpoint": {name: float(share) for name, share in shares}} if shares else {}

    def told(self, store: Store, settings: Settings, records: pa.Table) -> list[Told]:
        """See `Domain.told`: the minute of the service, and that of the endpoint group."""
        from hdfs_pipeline.domains.weblogs.windows import ALL, named  # compiled code, which readers do without

        columns = (records[name].to_pylist() for name in ("time", "host", "endpoint"))
        return [
            Told(items=tuple(window_id(time.astimezone(UTC), named(service), each) for each in (ALL, named(endpoint))))
            for time, service, endpoint in zip(*columns, strict=True)
        ]

    def grouping(self, settings: Settings) -> Grouping:
        """See `Domain.grouping`: a trouble that lasts for minutes is one incident of its service."""
        gap_s = max(settings.incident_gap_s, _PAUSE_S)
        quiet_s = max(settings.incident_quiet_s, gap_s)
        return Grouping(Persistence(0.0, gap_s), quiet_s=quiet_s, lone_gap_s=gap_s)

    def kinds(self, store: Store, settings: Settings) -> dict[str, Kind]:
        """See `Domain.kinds`: those of the rules."""
        return knowledge_of(settings).kinds

    def retention(self, store: Store, settings: Settings, now: datetime) -> list[Retention]:
        """See `Domain.retention`: windows outlive the requests that they were made of."""
        return [
            retention_of(store, "request_windows", "minute", "request_windows_days", settings.request_windows_days, now)
        ]

    def prune(self, store: Store, settings: Settings, now: datetime) -> int:
        """See `Domain.prune`."""
        return prune_rows(store, self.name, "request_windows", "minute", settings.request_windows_days, now)

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
        """See `Domain.stage`: windows are judged."""
        from hdfs_pipeline.domains.traffic.stage import make_stage

        return make_stage(settings, self, detector=detector, threshold=threshold, outbox=outbox, figures=figures)

    def days(self, store: Store) -> dict[date, int]:
        """See `Domain.days`."""
        with store.read() as con:
            return dict(con.execute(_DAYS).fetchall())

    def lacks_to_learn(self, store: Store, settings: Settings) -> str:
        """See `Domain.lacks_to_learn`: two days, wherever an hour begins."""
        with store.read() as con:
            hours = con.execute("SELECT date_diff('hour', min(minute), max(minute)) FROM request_windows").fetchall()
        known = int(hours[0][0] or 0)
        return "" if known >= _LEAST_HOURS else f"needs 2 days of history, has {known} hours"

    def learnable(self, store: Store, serving: str) -> tuple[int, int, int]:
        """See `Domain.learnable`: no window has a label."""
        with store.read() as con:
            other, scored = con.execute(
                """SELECT (SELECT count(*) FROM request_windows), (SELECT count(*) FROM scores
                    WHERE domain = ? AND detector = ? AND NOT is_anomaly)""",
                [self.name, serving],
            ).fetchall()[0]
        return 0, int(other), int(scored)

    def recount(self, store: Store, settings: Settings) -> int:
        """See `Domain.recount`: all windows whose requests are kept."""
        with store.write() as con:
            forget_counted(con)
        return bring_up_to_date(store, settings)

    def last_change(self, store: Store) -> int:
        """See `Domain.last_change`."""
        with store.read() as con:
            return last_change(con)

    def changed(self, store: Store, revision: int) -> list[str]:
        """See `Domain.changed`: windows that were counted anew, and those whose baseline changed with them."""
        with store.read() as con:
            return changed_since(con, revision)

    def waiting(self, store: Store, detector: str, version: int) -> int:
        """See `Domain.waiting`."""
        with store.read() as con:
            scored = scored_until(con, self.name, detector, version)
            return int(
                con.execute("SELECT count(*) FROM request_windows WHERE revision > ?", [scored]).fetchall()[0][0]
            )


def _line(store: Store, key: str, sign: str) -> str | None:
    """The request that shows a sign worst; None where there is none."""
    found = explain.evidence(store, key, 1, (sign,) if sign else ())
    return str(found[0]["line"]) if found else None
