"""Feedback as people give it: each word beside the verdict of its time, and all words beside today's verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final

import pyarrow as pa

from hdfs_pipeline.domains.champions import families, load_scorer, ready_detectors, serving_detector
from hdfs_pipeline.domains.contract import Domain, Key, Selection
from hdfs_pipeline.errors import DataError, NotFoundError, NotTrainedError, UsageError, unknown
from hdfs_pipeline.scoring.feedback import agreement
from hdfs_pipeline.scoring.labels import STRETCHES, WORDS
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store, count, dicts, publish_into
from hdfs_pipeline.verdicts.groups import find_groups
from hdfs_pipeline.verdicts.incidents import regroup
from hdfs_pipeline.verdicts.score import score_selection

SAME: Final = """(domain, item, entity, coalesce(from_at, 'epoch'), coalesce(to_at, 'epoch')) IN (
    SELECT (domain, item, entity, coalesce(from_at, 'epoch'), coalesce(to_at, 'epoch')) FROM publish_source)"""
"""SQL: the older words on what `publish_source` speaks of, in whose place it comes."""
_STREAMED: Final = """SELECT detector, version, score, status <> 'withdrawn' AS was_anomaly FROM anomalies
    WHERE domain = ? AND item = ? AND origin <> 'batch' ORDER BY scored_at DESC LIMIT 1"""
_MET: Final = """UPDATE incidents SET status = if($verdict = 'real', status, 'suppressed')
    WHERE domain = $domain AND $entity IN ('', entity)
    AND started_at <= $to_at AND ended_at >= $from_at"""
_NAMES: Final = ("detector", "version", "score", "was_anomaly")
_OF_ITEM: Final = ("item", "detector", "version", "score", "was_anomaly", "now")
_OF_STRETCH: Final = ("entity", "from_at", "to_at")
_TAKEN: Final = "DELETE FROM feedback WHERE domain = ? AND kind = ? RETURNING item"
_KINDS: Final = "SELECT DISTINCT kind FROM feedback WHERE domain = ? AND kind <> '' ORDER BY kind"


def words(store: Store, domain: Domain, item: str | None = None) -> list[dict[str, Any]]:
    """The rows of `feedback` of a domain, the oldest first; with `item` the one on that item."""
    one = "" if item is None else "AND item = ?"
    with store.read() as con:
        return dicts(
            con,
            f"SELECT * FROM feedback WHERE domain = ? {one} ORDER BY given_at, item",
            [domain.name] if item is None else [domain.name, item],
        )


def feedback_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `feedback` for JSON: with the columns of an item or of a stretch of time, and a group's kind if any."""
    left_out = ("domain", *(_OF_STRETCH if row["item"] else _OF_ITEM), *(() if row["kind"] else ("kind",)))
    return {column: value for column, value in row.items() if column not in left_out}


def give_feedback(
    store: Store, settings: Settings, domain: Domain, text: str, verdict: str, *, note: str = "", by: str = ""
) -> dict[str, Any]:
    """Keep a person's word on an item, in place of an older one, with the serving model's verdict; the new row.

    Raises: UsageError for an unknown word; NotFoundError for an item that the home does not know, with the nearest.
    """
    if verdict not in WORDS:
        raise UsageError(unknown("verdict", verdict, WORDS))
    key = domain.item.parse(text)
    item = domain.item.show(key)
    read = bool(domain.facts(store, [key]))
    with store.read() as con:
        streamed = con.execute(_STREAMED, [domain.name, item]).fetchall()
    if not read and not streamed:
        raise NotFoundError(_unknown(store, domain, key))
    model = _verdict_now(store, settings, domain, key) if read else streamed[0]
    row: dict[str, Any] = {"domain": domain.name, "item": item, "entity": "", "verdict": verdict, "note": note}
    row |= {"given_by": by, "kind": "", "given_at": datetime.now(UTC)} | dict(zip(_NAMES, model, strict=True))
    _keep(store, row)
    regroup(store, settings, domain, [item])
    return row


def give_feedback_on_group(
    store: Store, settings: Settings, domain: Domain, kind: str, verdict: str, *, note: str = "", by: str = ""
) -> int:
    """Keep a person's word on each item of a group, in place of older ones; how many items that are.

    Each row holds what the serving detector says of the item now, and the kind of the group. Raises: UsageError
    for an unknown word; NotFoundError for a kind of which the home has no group, with the nearest that it has.
    """
    if verdict not in WORDS:
        raise UsageError(unknown("verdict", verdict, WORDS))
    members, groups = find_groups(store, settings, domain)
    rows = next((group.rows for group in groups if group.kind == kind), None)
    if rows is None:
        names = [group.kind for group in groups]
        raise NotFoundError(unknown("group", kind, names) if names else f"no group {kind!r}: this home has no groups")
    same: dict[str, Any] = {
        "domain": domain.name,
        "entity": "",
        "verdict": verdict,
        "note": note,
        "given_by": by,
        "kind": kind,
    }
    same |= {"given_at": datetime.now(UTC), "from_at": None, "to_at": None}
    lists: tuple[list[Any], ...] = (members.items, members.detector, members.version, members.score, members.anomalous)
    columns: dict[str, list[Any]] = {name: [value] * len(rows) for name, value in same.items()}
    for name, values in zip(("item", *_NAMES), lists, strict=True):
        columns[name] = [values[row] for row in rows.tolist()]
    with store.write() as con:
        publish_into(con, "feedback", with_times(pa.table(columns)), replace=SAME)
    regroup(store, settings, domain, columns["item"])
    return len(rows)


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
    Raises: UsageError for an unknown word, or a stretch that ends before it begins.
    """
    if verdict not in STRETCHES:
        raise UsageError(f"a stretch can be marked as {', '.join(STRETCHES)}, not as {verdict!r}")
    if not begin < end:
        raise UsageError(f"the stretch ends ({end.isoformat()}) before it begins ({begin.isoformat()})")
    row = {"domain": domain.name, "item": "", "entity": entity, "from_at": begin, "to_at": end, "verdict": verdict}
    row |= {"note": note, "given_by": by, "kind": "", "given_at": datetime.now(UTC)}
    return row | {"incidents": _keep(store, row)}


def _keep(store: Store, row: dict[str, Any]) -> int:
    """Put a word into the store, over the one before; how many incidents have got it as their status."""
    table = with_times(pa.Table.from_pylist([{"from_at": None, "to_at": None} | row]))
    with store.write() as con:
        publish_into(con, "feedback", table, replace=SAME)
        if row["item"]:
            return 0
        stretch = {name: row[name] for name in ("verdict", "domain", "entity", "from_at", "to_at")}
        return count(con.execute(_MET, stretch))


def with_times(table: pa.Table) -> pa.Table:
    """A table whose `from_at` and `to_at` are times also where all of them are None."""
    for name in ("from_at", "to_at"):
        times = table[name].cast(pa.timestamp("us", "UTC"))
        table = table.set_column(table.schema.get_field_index(name), name, times)
    return table


def _unknown(store: Store, domain: Domain, key: Key) -> str:
    near = domain.nearest(store, key)
    advice = f"did you mean {domain.item.show(near)}?" if near is not None else "`hdfs-pipeline ingest PATH` reads more"
    return f"no log of this home names {domain.item.show(key)}; {advice}"


def _verdict_now(store: Store, settings: Settings, domain: Domain, key: Key) -> tuple[Any, ...]:
    """Detector, version and score of the serving model, and whether it is anomalous; all None where none serves."""
    name = serving_detector(settings, domain)
    if name not in ready_detectors(settings, domain):
        return None, None, None, None
    scorer = load_scorer(settings, domain, name)
    data, scores = score_selection(store, settings, domain, scorer, Selection(items=[key]))
    score = float(scores[data.keys == key][0])
    return name, scorer.card.version, score, score >= scorer.card.threshold


def take_back(store: Store, settings: Settings, domain: Domain, text: str) -> str:
    """Withdraw the word on an item; the item's id. Raises: NotFoundError where there is no word on it."""
    item = domain.item.show(domain.item.parse(text))
    with store.write() as con:
        gone = count(con.execute("DELETE FROM feedback WHERE domain = ? AND item = ?", [domain.name, item]))
    if not gone:
        raise NotFoundError(f"nobody has said anything of {item}: `hdfs-pipeline feedback` lists the verdicts")
    regroup(store, settings, domain, [item])
    return item


def take_back_group(store: Store, settings: Settings, domain: Domain, kind: str) -> int:
    """Withdraw the word on a group from all items on which nothing was said since; how many these are.

    Raises: NotFoundError where there is no such word.
    """
    with store.write() as con:
        gone = [item for (item,) in con.execute(_TAKEN, [domain.name, kind]).fetchall()]
        kinds = [name for (name,) in con.execute(_KINDS, [domain.name]).fetchall()]
    if not gone:
        told = unknown("word on a group", kind, kinds) if kinds else f"nobody has said anything of a group {kind!r}"
        raise NotFoundError(told)
    regroup(store, settings, domain, gone)
    return len(gone)


def given_together(rows: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Rows of `feedback`, oldest first: those of one word on a group together, and every other row for itself."""
    numbered = groupby(
        enumerate(rows), key=lambda pair: (pair[1]["kind"], pair[1]["given_at"]) if pair[1]["kind"] else pair[0]
    )
    return [[row for _, row in together] for _, together in numbered]


def all_feedback(store: Store, settings: Settings, domain: Domain) -> list[dict[str, Any]]:
    """The rows of `feedback`, the oldest first, each with `now`: the serving model's verdict on the item.

    `now` has detector, version, score, flagged, agrees (None for an expected item), and why where it does not agree. It
    is None where no detector serves, for a stretch of time, and for an item that came over the stream and is not read
    yet.
    """
    given = words(store, domain)
    name = serving_detector(settings, domain)
    now: dict[str, dict[str, Any]] = {}
    items = [domain.item.parse(row["item"]) for row in given if row["item"]]
    if items and name in ready_detectors(settings, domain):
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
