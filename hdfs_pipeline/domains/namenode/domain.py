"""The domain of NameNodes: windows of the metrics that are polled at `/jmx`."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from hdfs_pipeline.domains.champions import load_scorer, ready_detectors, serving_detector
from hdfs_pipeline.domains.contract import (
    EVERYTHING,
    Collector,
    Domain,
    Facts,
    Heard,
    Playback,
    Player,
    Read,
    Retention,
    Selection,
)
from hdfs_pipeline.domains.namenode import episodes, explain
from hdfs_pipeline.domains.namenode.detectors import MAIN, RULES, lead_s, params_of, persistence, threshold_of
from hdfs_pipeline.domains.namenode.features import FAMILY, load_dataset
from hdfs_pipeline.domains.namenode.item import WINDOW
from hdfs_pipeline.domains.namenode.labels import DOMAIN
from hdfs_pipeline.domains.namenode.series import iso, latest_samples
from hdfs_pipeline.domains.namenode.state_rules import rules_about, state_rules
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.contracts import Detector
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.explain import Vocabulary
from hdfs_pipeline.scoring.incidents import Grouping, Incident
from hdfs_pipeline.scoring.models import champion_version, read_card
from hdfs_pipeline.scoring.severity import Kind
from hdfs_pipeline.scoring.thresholds import Threshold
from hdfs_pipeline.settings import PREFIX, Settings
from hdfs_pipeline.store.store import Store

_WAITING = """SELECT count(*) FROM namenode_metrics LEFT JOIN (SELECT entity AS namenode, max(time) AS scored
    FROM scores WHERE domain = $domain AND detector = $detector GROUP BY entity) USING (namenode)
    WHERE scored IS NULL OR polled_at > scored"""
_HEARD = """SELECT namenode, coalesce(epoch(greatest(latest, sampled_at)), 0), coalesce(epoch(polled_at), 0),
        coalesce(error, '')
    FROM (SELECT namenode, max(polled_at) AS latest FROM namenode_metrics GROUP BY namenode)
    FULL JOIN namenode_collectors USING (namenode) ORDER BY namenode"""

_COLLECTORS = """SELECT namenode, 'NameNode', coalesce(c.role, m.role, ''), coalesce(polled_at, latest),
        greatest(latest, sampled_at), coalesce(error, ''), coalesce(note, '')
    FROM (SELECT namenode, max(polled_at) AS latest, arg_max(role, polled_at) AS role FROM namenode_metrics
        GROUP BY namenode) m FULL JOIN namenode_collectors c USING (namenode)
    UNION ALL
    SELECT entity, 'DataNode', coalesce(state, ''), polled_at, answered_at, if(answered_at = polled_at, '', said),
        if(answered_at = polled_at, said, '')
    FROM (SELECT entity, max(polled_at) AS polled_at, arg_max(coalesce(note, ''), polled_at) AS said,
            max(polled_at) FILTER (cardinality(metrics) > 0) AS answered_at FROM datanode_metrics
        WHERE polled_at >= (SELECT max(polled_at) - INTERVAL 1 DAY FROM datanode_metrics) GROUP BY entity)
    LEFT JOIN (SELECT entity, arg_max(state, polled_at) AS state FROM datanode_state GROUP BY entity) USING (entity)
    ORDER BY 2 DESC, 1 LIMIT 1000"""

_FIRST_POLLS = 50  # four minutes; the recording's first fault comes after nearly five


class NameNode(Domain):
    """Windows of a NameNode's metrics: steps that follow each other, each judged with those before it."""

    name = DOMAIN
    item = WINDOW
    default_detector = MAIN
    families = (FAMILY,)
    untrained = frozenset({RULES})
    trained_by = "hdfs-pipeline namenode train"
    filled_by = "hdfs-pipeline collect http://NAMENODE:9870"

    def voices(self, settings: Settings, serving: str) -> tuple[str, ...]:
        """See `Domain.voices`: all detectors; `grouping` says which of them open incidents."""
        return self.detectors

    def params(self, settings: Settings, detector: str) -> dict[str, Any]:
        """See `Domain.params`."""
        return params_of(settings, detector)

    def threshold(self, settings: Settings, detector: str) -> Threshold:
        """See `Domain.threshold`: one that keeps the baseline quiet."""
        return threshold_of(settings, detector)

    def remembered(self, data: Dataset, detector: Detector, seconds: float) -> dict[str, Any]:
        """See `Domain.remembered`: the NameNode, the span of time, what was left out, and who called."""
        first, last = (iso(data.time[index] / 1e6) for index in (0, -1))
        return {
            "namenode": data.entity,
            "role": data.facts["role"],
            "trained_from": first,
            "trained_to": last,
            "left_out": data.facts["left_out"],
            "findings": data.facts["findings"],
            "facts": detector.facts(),
            "users": data.facts["users"],
            "seconds": round(seconds, 2),
        }

    def latest(self, store: Store) -> dict[str, float]:
        """See `Domain.latest`: the time of each NameNode's last sample."""
        return latest_samples(store)

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
        """See `Domain.read`. Raises: DataError, since a NameNode is polled."""
        raise DataError(
            f"{', '.join(paths)}: metrics of a NameNode come from no files; `hdfs-pipeline collect URL` polls its /jmx"
        )

    def features(
        self, store: Store, settings: Settings, families: Iterable[str] = (), where: Selection = EVERYTHING
    ) -> Dataset:
        """See `Domain.features`."""
        return load_dataset(store, settings, where, self._role(settings))

    def vocabulary(self, settings: Settings, source: str) -> Vocabulary:
        """See `Domain.vocabulary`: metrics go by their own names."""
        return Vocabulary(str, WINDOW.noun, WINDOW.alike)

    def facts(self, store: Store, keys: Sequence[str] | None = None) -> dict[str, Facts]:
        """See `Domain.facts`: a window is known by its last step."""
        return explain.facts(store, keys)

    def evidence(
        self, store: Store, settings: Settings, key: str, limit: int, telling: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """See `Domain.evidence`: what was measured at the window's last step."""
        return explain.evidence(store, key, limit)

    def heard(self, store: Store) -> list[Heard]:
        """See `Domain.heard`: the NameNodes that were ever polled."""
        with store.read() as con:
            return [Heard(*row) for row in con.execute(_HEARD).fetchall()]

    def collectors(self, store: Store) -> list[Collector]:
        """See `Domain.collectors`: NameNodes, and the DataNodes whose own /jmx was polled on the last day of polls."""
        with store.read() as con:
            return [Collector(*row) for row in con.execute(_COLLECTORS).fetchall()]

    def retention(self, store: Store, settings: Settings, now: datetime) -> list[Retention]:
        """See `Domain.retention`: raw documents, and what polls said of the state of HDFS."""
        from hdfs_pipeline.domains.namenode.raw import old_raw
        from hdfs_pipeline.domains.namenode.watch import old_state

        raw, state = settings.namenode_raw_days, settings.namenode_state_days
        with store.read() as con:
            documents = old_raw(con, now - timedelta(days=raw))
            polls = old_state(con, now - timedelta(days=state))
        found = [Retention("namenode_raw", "namenode_raw_days", raw, documents)]
        return found + [Retention(table, "namenode_state_days", state, rows) for table, rows in polls.items()]

    def days(self, store: Store) -> dict[date, int]:
        """See `Domain.days`: by the time of a window's last step."""
        with store.read() as con:
            rows = con.execute(
                "SELECT polled_at::DATE AS day, count(*) FROM namenode_metrics GROUP BY day ORDER BY day"
            )
            return dict(rows.fetchall())

    def learnable(self, store: Store, serving: str) -> tuple[int, int, int]:
        """See `Domain.learnable`: no window has a label."""
        with store.read() as con:
            return 0, int(con.execute("SELECT count(*) FROM namenode_metrics").fetchall()[0][0]), 0

    def waiting(self, store: Store, detector: str, version: int) -> int:
        """See `Domain.waiting`: samples that came in since the last score; older scores stay as they are."""
        with store.read() as con:
            return int(con.execute(_WAITING, {"domain": self.name, "detector": detector}).fetchall()[0][0])

    def grouping(self, settings: Settings) -> Grouping:
        """See `Domain.grouping`: windows of one NameNode, and each trouble that its polls tell of."""
        openers = explain.openers(ready_detectors(settings, self))
        return Grouping(persistence(settings), openers, steps=True, episodes=(episodes.DETECTOR,))

    def kinds(self, store: Store, settings: Settings) -> dict[str, Kind]:
        """See `Domain.kinds`: those of the rules over the state of HDFS; causes of other incidents have none."""
        return {
            rule.kind: Kind(rule.severity, hints=(rule.hint,), faults=frozenset(rule.faults)) for rule in state_rules()
        }

    def wide_kinds(self) -> frozenset[str]:
        """See `Domain.wide_kinds`: what the active NameNode says of all of HDFS."""
        return frozenset(rule.kind for rule in rules_about("hdfs"))

    def incidents(self, store: Store, settings: Settings, incidents: Sequence[Incident]) -> list[Incident]:
        """See `Domain.incidents`: the likely cause as kind, with its evidence; metrics and users as details."""
        if not incidents:
            return []
        opening = explain.openers(ready_detectors(settings, self))
        scorers = {name: load_scorer(settings, self, name) for name in opening}
        role = self._role(settings)
        return [explain.explain_incident(store, scorers, role, lead_s(settings), incident) for incident in incidents]

    def _role(self, settings: Settings) -> str | None:
        """The role that a NameNode had while the model that serves learned from it; None without a model."""
        serving = serving_detector(settings, self)
        version = champion_version(settings, self.name, serving)
        return None if version is None else read_card(settings, self.name, serving, version).facts.get("role")

    def playback(self, settings: Settings, speed: float, free_port: Callable[[], int]) -> Playback | None:
        """See `Domain.playback`: a recorded NameNode, if no NameNode is configured."""
        if settings.namenode_urls:
            return None
        port = free_port()
        recorded = ("namenode", "replay", "--loop", "--port", str(port))
        return Playback(
            f"a recorded NameNode is polled every 5 s; set {PREFIX}NAMENODE_URLS to watch your own",
            (
                Player("namenode", recorded, needs=("dagster",)),
                # Not Dagster's sensor: it comes late while the main job keeps the machine busy. It pauses meanwhile.
                Player("collect", ("collect", "--no-incidents"), needs=("namenode",)),
            ),
            {
                f"{PREFIX}NAMENODE_URLS": f"http://127.0.0.1:{port}",
                # The recording names DataNodes that are not there.
                f"{PREFIX}DATANODE_POLL_S": "0",
            },
            # The first model comes before the first fault.
            {f"{PREFIX}NAMENODE_FIRST_POLLS": str(_FIRST_POLLS)},
        )
