"""Tables and sentences about people's feedback."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape

from hdfs_pipeline.cli.tables.style import Column, Listing, name
from hdfs_pipeline.domains.contract import Item

_OF_ITEM = ("item", "detector", "version", "score", "was_anomaly", "now")
_OF_STRETCH = ("entity", "from_at", "to_at")
_AGREES = {True: "yes", False: "no", None: "–"}


def feedback_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `feedback` for JSON: either with the columns of an item, or with those of a stretch of time."""
    left_out = ("domain", *(_OF_STRETCH if row["item"] else _OF_ITEM))
    return {column: value for column, value in row.items() if column not in left_out}


def feedback_table(rows: Sequence[Mapping[str, Any]], item: Item) -> Listing:
    """All feedback, as `all_feedback` gives it."""
    judged = [row["now"]["agrees"] for row in rows if row["now"] and row["now"]["agrees"] is not None]
    title = f"{len(rows):,} verdicts" if len(rows) != 1 else "1 verdict"
    if judged:
        title += f"; the serving model agrees with {sum(judged):,} of {len(judged):,}"
    rest = ("by", "note", "said then", "says now", "agrees")
    table = Listing(title, (name(item.noun), name("verdict"), *map(Column, rest)))
    for row in rows:
        now = row["now"] or {}
        agrees = _AGREES[now.get("agrees")] + (f": {now['why']}" if now.get("why") else "")
        given = f"{row['given_by'] or '–'}, {row['given_at']:%Y-%m-%d}"
        about = row["item"] or f"{row['entity']} {row['from_at']:%Y-%m-%d %H:%M:%S} to {row['to_at']:%H:%M:%S}".strip()
        cells = (escape(given), escape(row["note"] or ""), _verdict(row), _verdict(now), escape(agrees))
        table.add_row(escape(about), row["verdict"], *cells)
    return table


def _verdict(row: Mapping[str, Any]) -> str:
    if row.get("detector") is None:
        return "–"
    flagged = row["flagged"] if "flagged" in row else row["was_anomaly"]
    return f"{'anomalous' if flagged else 'normal'} ({row['score']:.3f}, {row['detector']} {row['version']})"


def given_sentence(row: Mapping[str, Any], item: Item) -> str:
    """What a word on an item does, for the person who has just given it."""
    effect = {
        "real": f"the next training learns it as an anomaly, and flags {item.plural} with the same events",
        "false": f"the next training learns it as normal, and does not flag {item.plural} with the same events",
        "expected": "the next training leaves it out",
    }[row["verdict"]]
    then = f"; now it is {_verdict(row)}" if row["detector"] is not None else ""
    return f"{row['item']}: {row['verdict']}{then}; {effect} (`hdfs-pipeline retrain --force` does it now)"


def feedback_sentence(row: Mapping[str, Any]) -> str:
    """A person's word on an item, for its explanation."""
    note = f": {row['note']}" if row["note"] else ""
    return f"{row['given_by'] or 'somebody'} said on {row['given_at']:%Y-%m-%d}: {row['verdict']}{note}"
