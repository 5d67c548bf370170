"""Blocks: the life of each HDFS block, from the log records of NameNode and DataNodes that name it."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.blocks import explain, search
from hdfs_pipeline.domains.blocks.catalogue import catalogues
from hdfs_pipeline.domains.blocks.features import lives_near, load_dataset
from hdfs_pipeline.domains.blocks.item import BLOCK
from hdfs_pipeline.domains.blocks.kept_catalogue import kept_label
from hdfs_pipeline.domains.blocks.knowledge import knowledge_of
from hdfs_pipeline.domains.blocks.labels import load_labels, publish_labels, read_labels
from hdfs_pipeline.domains.blocks.lives import DELETION
from hdfs_pipeline.domains.blocks.matrix import DOMAIN, changed_since, last_change, settle
from hdfs_pipeline.domains.blocks.nodes import heard
from hdfs_pipeline.domains.blocks.parse import parse
from hdfs_pipeline.domains.blocks.suspects import suspects, usual
from hdfs_pipeline.domains.blocks.templates import learn_templates
from hdfs_pipeline.domains.blocks.topics import RAW_LOGS, TOPICS, WAYS, worker_group
from hdfs_pipeline.domains.contract import (
    EVERYTHING,
    Again,
    Domain,
    Facts,
    Figures,
    Heard,
    Judge,
    Outbox,
    Place,
    Playback,
    Player,
    Read,
    RecordId,
    Replay,
    Selection,
    Shipping,
    Sought,
    Stage,
    Told,
)
from hdfs_pipeline.errors import UsageError
from hdfs_pipeline.scoring.catalogue import FAILURE, NOTABLE, ROUTINE, UNKNOWN, Catalogue
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.explain import Vocabulary
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.incidents import Grouping
from hdfs_pipeline.scoring.judged import scored_until
from hdfs_pipeline.scoring.knowledge import Knowledge
from hdfs_pipeline.scoring.mining import difference
from hdfs_pipeline.scoring.patterns import Pattern, Span
from hdfs_pipeline.scoring.runs import Persistence
from hdfs_pipeline.scoring.severity import Kind
from hdfs_pipeline.settings import PREFIX, PROJECT, Settings
from hdfs_pipeline.sources.files import LogFile
from hdfs_pipeline.sources.finding import shortened
from hdfs_pipeline.sources.kafka import is_embedded
from hdfs_pipeline.store.store import Store

_LEARNABLE = f"""SELECT count(*) FILTER (label IN ('normal', 'anomaly')), count(*) FILTER (label IS NULL),
    count(*) FILTER (label IS NULL AND 'blk_' || block_id IN
        (SELECT item FROM scores WHERE domain = $domain AND detector = $serving AND NOT is_anomaly))
    FROM event_matrix LEFT JOIN labels USING (block_id)
    WHERE coalesce(unfinished, '') IN ('', '{DELETION}')"""


class Blocks(Domain):
    """Blocks of HDFS.

    Their features: counts of each event of a catalogue, of alarms, the events in their order, the rules they break.
    """

    name = DOMAIN
    item = BLOCK
    default_detector = "random_forest"
    families = ("events", "keywords", "sequences", "rules")
    unbound = frozenset({"keywords", "rules"})
    untrained = frozenset({"lifecycle"})
    day_one = "lifecycle"
    filled_by = "hdfs-pipeline ingest /var/log/hadoop-hdfs/"
    countable = frozenset({"events", "sequences"})
    unknown = UNKNOWN
    labelled = "SELECT 'blk_' || block_id AS item, label FROM labels"
    topics = TOPICS
    ways = WAYS
    records_topic = RAW_LOGS
    searchable = True
    sample = PROJECT / "data" / "sample" / "hdfs_v1"
    examples = (
        "081109 203518 143 INFO dfs.DataNode$DataXceiver: Receiving block blk_1 src: /10.0.0.1:5 dest: /10.0.0.2:50010",
        "081109 203519 35 INFO dfs.FSNamesystem: BLOCK* NameSystem.allocateBlock: /a/part-0. blk_1",
    )

    def champion(self, settings: Settings) -> str:
        """See `Domain.champion`: the setting `champion`."""
        return settings.champion

    def voices(self, settings: Settings, serving: str) -> tuple[str, ...]:
        """See `Domain.voices`: what is known of a block's life speaks beside whatever has learned."""
        return tuple(dict.fromkeys((serving, self.day_one)))

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
        """See `Domain.read`: records, events, labels, the event matrix, and proposals for unmatched messages."""
        from hdfs_pipeline.domains.blocks.ingest import ingest  # it loads the compiled scan, which readers do without

        read = ingest(store, settings, paths, lambda number, total, path: on_step(path.name, number - 1, total))
        on_step("parsing", None, None)
        parsed = parse(store, settings)
        labelled = None
        if isinstance(labels, pa.Table):
            labelled = publish_labels(store, labels)
        elif labels is not None:
            labelled = load_labels(store, labels)
        blocks = settle(store, settings, parsed.catalogue)
        notes = [*read.notes]
        if read.skipped:
            notes.append(f"{shortened(read.skipped)}: read before, skipped")
        notes += _missing_daemons(store)
        if propose:
            notes += _proposals(store, settings)
        counts = (read.files, read.lines, read.records, read.dead_letters, blocks)
        return Read(
            *counts,
            source=parsed.catalogue.label,
            coverage=parsed.coverage,
            labels=labelled,
            notes=tuple(notes),
            skipped=tuple(read.skipped),
            unread=tuple(read.unread),
            left_out=tuple(read.left_out),
            forms=read.forms,
        )

    def labels(self, path: Path | str) -> tuple[np.ndarray, pa.Table]:
        """See `Domain.labels`: BlockId,Label as published with HDFS_v1, or block_id,label[,kind]."""
        table = read_labels(path)
        return table["block_id"].to_numpy(), table

    def apart(self, settings: Settings, folder: Path, source: str = "") -> Settings:
        """See `Domain.apart`: with the home's own catalogues, which its models may be bound to."""
        update = {"home": folder} | ({"catalogue": source} if source else {})
        apart = settings.model_copy(update=update)
        if settings.catalogues.is_dir():
            shutil.copytree(settings.catalogues, apart.catalogues, dirs_exist_ok=True)
        return apart

    def features(
        self, store: Store, settings: Settings, families: Iterable[str] = (), where: Selection = EVERYTHING
    ) -> Dataset:
        """See `Domain.features`."""
        return load_dataset(store, settings, families, where)

    def vocabulary(self, settings: Settings, source: str) -> Vocabulary:
        """See `Domain.vocabulary`: names of the catalogue's templates."""
        return explain.vocabulary(settings, source)

    def knowledge(self, settings: Settings, source: str) -> Knowledge | None:
        """See `Domain.knowledge`: the rules of the catalogue `source`."""
        catalogue = catalogues(settings.catalogues).get(source)
        return None if catalogue is None else knowledge_of(catalogue, settings)

    def facts(self, store: Store, keys: Sequence[int] | None = None) -> dict[int, Facts]:
        """See `Domain.facts`."""
        return explain.facts(store, keys)

    def evidence(
        self, store: Store, settings: Settings, key: int, limit: int, telling: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """See `Domain.evidence`: the log records that name the block."""
        return explain.evidence(store, settings.log_timezone, key, limit, telling)

    def places(self, store: Store, telling: Mapping[int, Sequence[str]]) -> dict[int, Place]:
        """See `Domain.places`: by the log files, or by a DataNode's address in the record."""
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
        """See `Domain.search`: in the log records, whether they name a block or not."""
        return search.search(store, settings.log_timezone, sought, span, limit, before, among)

    def told(self, store: Store, settings: Settings, records: pa.Table) -> list[Told]:
        """See `Domain.told`: the blocks that they name."""
        return search.told(store, self._home_catalogue(store, settings), records)

    def matching(self, store: Store, settings: Settings, template: str, span: Span) -> pa.Table:
        """See `Domain.matching`."""
        catalogue = self._home_catalogue(store, settings)
        if catalogue is None:
            raise UsageError(f"no template {template!r}: no log was parsed in this home yet")
        return search.matching(store, catalogue, template, span)

    def patterns(self, store: Store, settings: Settings, span: Span, steps: int) -> list[Pattern]:
        """See `Domain.patterns`: of the records that name a block."""
        catalogue = self._home_catalogue(store, settings)
        return [] if catalogue is None else search.patterns(store, catalogue, span, steps)

    def about(self, store: Store, key: int) -> dict[str, Any]:
        """See `Domain.about`: the HDFS file and the pipeline of DataNodes."""
        return explain.about(store, key)

    def nearest(self, store: Store, key: int) -> int | None:
        """See `Domain.nearest`."""
        return explain.nearest(store, key)

    def lives_near(self, store: Store, settings: Settings, key: int, most: int) -> FeatureMatrix:
        """See `Domain.lives_near`: by counts of events."""
        return lives_near(store, settings, key, most)

    def grouping(self, settings: Settings) -> Grouping:
        """See `Domain.grouping`: each flagged block counts, and so does each detector."""
        rule = Persistence(0.0, settings.incident_gap_s)
        return Grouping(rule, quiet_s=settings.incident_quiet_s, lone_gap_s=settings.incident_lone_gap_s)

    def suspects(self, store: Store, settings: Settings, rules: Mapping[int, str]) -> pa.Table | None:
        """See `Domain.suspects`: the DataNodes that the records blame."""
        catalogue = self._home_catalogue(store, settings)
        return None if catalogue is None else suspects(store, catalogue, knowledge_of(catalogue, settings), rules)

    def usual(self, store: Store, settings: Settings) -> dict[str, dict[str, float]]:
        """See `Domain.usual`: of DataNodes, clients, file trees and volumes."""
        catalogue = self._home_catalogue(store, settings)
        return {} if catalogue is None else usual(store, catalogue, knowledge_of(catalogue, settings))

    def kinds(self, store: Store, settings: Settings) -> dict[str, Kind]:
        """See `Domain.kinds`: those of the rules."""
        catalogue = self._home_catalogue(store, settings)
        return {} if catalogue is None else knowledge_of(catalogue, settings).kinds

    def _home_catalogue(self, store: Store, settings: Settings) -> Catalogue | None:
        """The catalogue that the home's logs or its stream workers use; None where there is none yet."""
        with store.read() as con:
            used = dict(con.execute("SELECT key, value FROM meta").fetchall()).get("catalogue")
        return catalogues(settings.catalogues).get(used or kept_label(settings) or settings.catalogue)

    def heard(self, store: Store) -> list[Heard]:
        """See `Domain.heard`: the daemons that wrote the logs, and the topics that records came from."""
        return [Heard(server, time) for server, time in heard(store).items()]

    def read_again(self, settings: Settings, source_id: int, path: str, position: int, text: str) -> Again | None:
        """See `Domain.read_again`."""
        from hdfs_pipeline.domains.blocks.again import read_again

        return read_again(settings, source_id, path, position, text)

    def group(self, settings: Settings, topic: str) -> str:
        """See `Domain.group`."""
        return worker_group(settings, topic)

    def days(self, store: Store) -> dict[date, int]:
        """See `Domain.days`: by the time of a block's first event."""
        with store.read() as con:
            rows = con.execute("SELECT first_time::DATE AS day, count(*) FROM event_matrix GROUP BY day ORDER BY day")
            return dict(rows.fetchall())

    def learnable(self, store: Store, serving: str) -> tuple[int, int, int]:
        """See `Domain.learnable`."""
        with store.read() as con:
            labelled, other, scored = con.execute(_LEARNABLE, {"domain": self.name, "serving": serving}).fetchall()[0]
        return labelled, other, scored

    def recount(self, store: Store, settings: Settings) -> int:
        """See `Domain.recount`: events, and the event matrix."""
        return settle(store, settings, parse(store, settings, anew=True).catalogue)

    def last_change(self, store: Store) -> int:
        """See `Domain.last_change`."""
        with store.read() as con:
            return last_change(con)

    def changed(self, store: Store, revision: int) -> list[int]:
        """See `Domain.changed`: blocks with other counts, or of whose life more is known."""
        with store.read() as con:
            return changed_since(con, revision)

    def waiting(self, store: Store, detector: str, version: int) -> int:
        """See `Domain.waiting`: blocks that changed since they were scored."""
        with store.read() as con:
            scored = scored_until(con, self.name, detector, version)
            return int(con.execute("SELECT count(*) FROM event_matrix WHERE revision > ?", [scored]).fetchall()[0][0])

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
        from hdfs_pipeline.domains.blocks.stage import make_stage

        return make_stage(
            settings, self, begin, end, detector=detector, threshold=threshold, outbox=outbox, figures=figures
        )

    def judge(self, store: Store, settings: Settings) -> Judge:
        """See `Domain.judge`: by raw lines, or by counts of events."""
        from hdfs_pipeline.domains.blocks.judge import BlockJudge

        home = self._home_catalogue(store, settings) if store.path.is_file() else None
        return BlockJudge(settings, self, home)

    def playback(self, settings: Settings, speed: float, free_port: Callable[[], int]) -> Playback:
        """See `Domain.playback`: the sample over and over, each time with blocks of its own."""
        destination = "" if is_embedded(settings) else f" of {settings.kafka_bootstrap_servers}"
        description = (
            f"the sample goes to {RAW_LOGS}{destination} as if it were written now, {speed:g} times as fast, over and "
            "over (--no-replay)"
        )
        send = ("produce", "raw", str(self.sample), "--speed", f"{speed:g}", "--now", "--loop", "--fresh")
        return Playback(description, (Player("replay", send, streams=True),))

    def replay(
        self, settings: Settings, files: Sequence[LogFile], *, fresh: bool, speed: float | None = None
    ) -> Replay:
        """See `Domain.replay`."""
        from hdfs_pipeline.domains.blocks.replay import LogReplay

        return LogReplay(settings, files, fresh=fresh, speed=speed)

    def shipping(self, settings: Settings, max_bytes: int) -> Shipping:
        """See `Domain.shipping`."""
        from hdfs_pipeline.domains.blocks.shipping import ShippedLogs

        return ShippedLogs(settings, max_bytes)


def _missing_daemons(store: Store) -> list[str]:
    """Notes for people where the home has logs of one kind of daemon only, by the names of the files."""
    with store.read() as con:
        daemons = {
            name
            for (name,) in con.execute(
                "SELECT DISTINCT daemon FROM sources WHERE source_id > 0 AND domain = 'blocks'"
            ).fetchall()
        }
    if daemons == {"namenode"}:
        return [
            "no log of a DataNode was read: what DataNodes alone tell is missing, so kinds of trouble are less "
            "certain, and which DataNode failed is unknown"
        ]
    if daemons == {"datanode"}:
        return ["no log of a NameNode was read: blocks that were allocated and never stored cannot be told"]
    return []


def _proposals(store: Store, settings: Settings) -> list[str]:
    """Mine the messages that no template matches, and return notes for people about the proposed templates."""
    current, proposed = learn_templates(store, settings)
    if proposed is current:
        return []
    new = Counter(template.severity for template in difference(current, proposed))
    return [
        f"{new.total()} new templates proposed as {proposed.label}, by the look of them {new[FAILURE]} failures, "
        f"{new[NOTABLE]} notable, {new[ROUTINE]} routine: read {settings.catalogues / proposed.label}.csv, confirm or "
        f"correct its columns stage and severity, then set {PREFIX}CATALOGUE={proposed.label} and train again"
    ]
