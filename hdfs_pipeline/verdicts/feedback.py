"""Feedback as people give it: each word beside the verdict of its time, and all words beside today's verdicts."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa

from hdfs_pipeline.domains.champions import families, load_scorer, serving_detector
from hdfs_pipeline.domains.contract import Domain, Key, Selection
from hdfs_pipeline.errors import DataError, NotTrainedError, UsageError, unknown
from hdfs_pipeline.scoring.feedback import agreement
from hdfs_pipeline.scoring.labels import STRETCHES, WORDS
from hdfs_pipeline.scoring.models import trained_detectors
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store, count, publish_into
from hdfs_pipeline.verdicts.score import score_selection

_SAME: Final = """(domain, item, entity, coalesce(from_at, 'epoch'), coalesce(to_at, 'epoch')) IN (
    SELECT (domain, item, entity, coalesce(from_at, 'epoch'), coalesce(to_at, 'epoch')) FROM publish_source)"""
_STREAMED: Final = """SELECT detector, version, score, status <> 'withdrawn' AS was_anomaly FROM anomalies
    WHERE domain = ? AND item = ? AND origin <> 'batch' ORDER BY scored_at DESC LIMIT 1"""
_MET: Final = """UPDATE incidents SET status = $verdict WHERE domain = $domain AND $entity IN ('', entity)
    AND started_at <= $to_at AND ended_at >= $from_at"""
_NAMES: Final = ("detector", "version", "score", "was_anomaly")


def words(store: Store, domain: Domain, item: str | None = None) -> list[dict[str, Any]]:
    """The rows of `feedback` of a domain, the oldest first; with `item` the one on that item."""
    one = "" if item is None else "AND item = ?"
    with store.read() as con:
        cursor = con.execute(
            f"SELECT * FROM feedback WHERE domain = ? {one} ORDER BY given_at, item",
            [domain.name] if item is None else [domain.name, item],
        )
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def give_feedback(
    store: Store, settings: Settings, domain: Domain, text: str, verdict: str, *, note: str = "", by: str = ""
) -> dict[str, Any]:
    """Keep a person's word on an item, in place of an older one, with the serving model's verdict; the new row.

    Raises: DataError for an unknown word, or an item that the home does not know (with the nearest that it does).
    """
    if verdict not in WORDS:
        raise UsageError(unknown("verdict", verdict, WORDS))
    key = domain.item.parse(text)
    item = domain.item.show(key)
    read = bool(domain.facts(store, [key]))
    with store.read() as con:
        streamed = con.execute(_STREAMED, [domain.name, item]).fetchall()
    if not read and not streamed:
        raise DataError(_unknown(store, domain, key))
    model = _verdict_now(store, settings, domain, key) if read else streamed[0]
    row = {"domain": domain.name, "item": item, "entity": "", "verdict": verdict, "note": note, "given_by": by}
    row |= {"given_at": datetime.now(UTC)} | dict(zip(_NAMES, model, strict=True))
    _keep(store, row)
    return row


def give_feedback_on_stretch(
    store: Store,
    domain: Domain,
    begin: datetime,
    end: datetime,
    verdict: str,
    *,
    entity: str = "",
    note: str = "",
    by: str = "",
) -> dict[str, Any]:
    """Keep a person's word on a stretch of time, of one entity or of all; the new row, with `incidents`.

    These are how many incidents the stretch meets: they take the word as their status at once, and later ones do too.
    Raises: DataError for an unknown word, or a stretch that ends before it begins.
    """
    if verdict not in STRETCHES:
        raise UsageError(f"a stretch can be marked as {', '.join(STRETCHES)}, not as {verdict!r}")
    if not begin < end:
        raise UsageError(f"the stretch ends ({end.isoformat()}) before it begins ({begin.isoformat()})")
    row = {"domain": domain.name, "item": "", "entity": entity, "from_at": begin, "to_at": end, "verdict": verdict}
    row |= {"note": note, "given_by": by, "given_at": datetime.now(UTC)}
    return row | {"incidents": _keep(store, row)}


def _keep(store: Store, row: dict[str, Any]) -> int:
    """Put a word into the store, over the one before; how many incidents have got it as their status."""
    fields = [("from_at", pa.timestamp("us", "UTC")), ("to_at", pa.timestamp("us", "UTC"))]
    table = pa.Table.from_pylist([{"from_at": None, "to_at": None} | row])
    for name, kind in fields:
        table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(kind))
    with store.write() as con:
        publish_into(con, "feedback", table, replace=_SAME)
        if row["item"]:
            return 0
        stretch = {name: row[name] for name in ("verdict", "domain", "entity", "from_at", "to_at")}
        return count(con.execute(_MET, stretch))


def _unknown(store: Store, domain: Domain, key: Key) -> str:
    near = domain.nearest(store, key)
    advice = f"did you mean {domain.item.show(near)}?" if near is not None else "`hdfs-pipeline ingest PATH` reads more"
    return f"no log of this home names {domain.item.show(key)}; {advice}"


def _verdict_now(store: Store, settings: Settings, domain: Domain, key: Key) -> tuple[Any, ...]:
    """Detector, version and score of the serving model, and whether the item is anomalous; all None without a model."""
    name = serving_detector(settings, domain)
    if name not in trained_detectors(settings, domain.name):
        return None, None, None, None
    scorer = load_scorer(settings, domain, name)
    data, scores = score_selection(store, settings, domain, scorer, Selection(items=[key]))
    score = float(scores[data.keys == key][0])
    return name, scorer.card.version, score, score >= scorer.card.threshold


def take_back(store: Store, domain: Domain, text: str) -> str:
    """Withdraw the word on an item; the item's id. Raises: DataError where there is no word on it."""
    item = domain.item.show(domain.item.parse(text))
    with store.write() as con:
        gone = count(con.execute("DELETE FROM feedback WHERE domain = ? AND item = ?", [domain.name, item]))
    if not gone:
        raise DataError(f"nobody has said anything of {item}: `hdfs-pipeline feedback` lists the verdicts")
    return item


def all_feedback(store: Store, settings: Settings, domain: Domain) -> list[dict[str, Any]]:
    """The rows of `feedback`, the oldest first, each with `now`: the serving model's verdict on the item.

    `now` has detector, version, score, flagged, agrees (None for an expected item), and why where it does not agree. It
    is None without a model, for a stretch of time, and for an item that came over the stream and is not read yet.
    """
    given = words(store, domain)
    name = serving_detector(settings, domain)
    now: dict[str, dict[str, Any]] = {}
    items = [domain.item.parse(row["item"]) for row in given if row["item"]]
    if items and name in trained_detectors(settings, domain.name):
        try:
            scorer = load_scorer(settings, domain, name)
            feedback = domain.features(store, settings, families(domain, [name])).feedback
            agreements = agreement(scorer, feedback) if feedback is not None else []
        except (DataError, NotTrainedError):  # of other columns, or damaged: the words are shown without it
            agreements = []
        about = {"detector": name, "version": scorer.card.version} if agreements else {}
        now = {domain.item.show(word.key): about | asdict(word) for word in agreements}
    for entry in now.values():
        del entry["key"], entry["verdict"]
    return [row | {"now": now.get(row["item"])} for row in given]
