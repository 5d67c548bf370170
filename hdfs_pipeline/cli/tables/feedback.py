"""Tables and sentences about people's feedback."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape

from hdfs_pipeline.cli.tables.style import Column, Listing, name
from hdfs_pipeline.domains.contract import Item
from hdfs_pipeline.verdicts.feedback import given_together

_NOW = "`hdfs-pipeline retrain --force` does it now"
_AGREES = {True: "yes", False: "no", None: "–"}


def feedback_table(rows: Sequence[Mapping[str, Any]], item: Item) -> Listing:
    """All feedback, as `all_feedback` gives it; the words that were given on a group at once are one row."""
    judged = [row["now"]["agrees"] for row in rows if row["now"] and row["now"]["agrees"] is not None]
    title = f"{len(rows):,} verdicts" if len(rows) != 1 else "1 verdict"
    if judged:
        title += f"; the serving model agrees with {sum(judged):,} of {len(judged):,}"
    rest = ("by", "note", "said then", "says now", "agrees")
    table = Listing(title, (name(item.noun), name("verdict"), *map(Column, rest)))
    for together in given_together(rows):
        row = together[0]
        given = f"{row['given_by'] or '–'}, {row['given_at']:%Y-%m-%d}"
        about, then, now, agrees = _of_group(together, item) if row["kind"] else _of_one(row)
        cells = (given, row["note"] or "", then, now, agrees)
        table.add_row(escape(about), row["verdict"], *map(escape, cells))
    return table


def _of_one(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """What a word is on, the verdict of then and of now, and whether that agrees."""
    now = row["now"] or {}
    agrees = _AGREES[now.get("agrees")] + (f": {now['why']}" if now.get("why") else "")
    about = row["item"] or f"{row['entity']} {row['from_at']:%Y-%m-%d %H:%M:%S} to {row['to_at']:%H:%M:%S}".strip()
    return about, _verdict(row), _verdict(now), agrees


def _of_group(rows: Sequence[Mapping[str, Any]], item: Item) -> tuple[str, str, str, str]:
    """The same of a word on a group, in numbers of items."""
    nows = [row["now"] for row in rows if row["now"]]
    then = _flagged([bool(row["was_anomaly"]) for row in rows if row["detector"] is not None])
    judged = [now["agrees"] for now in nows if now["agrees"] is not None]
    agrees = f"{sum(judged):,} of {len(judged):,}" if judged else _AGREES[None]
    plural = item.noun if len(rows) == 1 else item.plural
    return f"{rows[0]['kind']} ({len(rows):,} {plural})", then, _flagged([now["flagged"] for now in nows]), agrees


def _flagged(flags: Sequence[bool]) -> str:
    return f"{sum(flags):,} of {len(flags):,} anomalous" if flags else "–"


def _verdict(row: Mapping[str, Any]) -> str:
    if row.get("detector") is None:
        return "–"
    flagged = row["flagged"] if "flagged" in row else row["was_anomaly"]
    return f"{'anomalous' if flagged else 'normal'} ({row['score']:.3f}, {row['detector']} {row['version']})"


def given_sentence(row: Mapping[str, Any], item: Item) -> str:
    """What a word on an item does, for the person who has just given it."""
    effect = _effect(row["verdict"], "it", item)
    then = f"; now it is {_verdict(row)}" if row["detector"] is not None else ""
    return f"{row['item']}: {row['verdict']}{then}; {effect} ({_NOW})"


def group_sentence(row: Mapping[str, Any], item: Item) -> str:
    """What a word on a group does, or its withdrawal, for the person who has just given it."""
    about = f"{row['kind']}: {row['items']:,} {item.noun if row['items'] == 1 else item.plural}"
    if row.get("withdrawn"):
        return f"{about}: withdrawn; the next training forgets it"
    return f"{about}: {row['verdict']}; {_effect(row['verdict'], 'them', item)} ({_NOW})"


def _effect(verdict: str, what: str, item: Item) -> str:
    return {
        "real": f"the next training learns {what} as anomalous, and flags {item.plural} with the same events",
        "false": f"the next training learns {what} as normal, and does not flag {item.plural} with the same events",
        "expected": f"the next training leaves {what} out",
    }[verdict]


def feedback_sentence(row: Mapping[str, Any]) -> str:
    """A person's word on an item, for its explanation."""
    note = f": {row['note']}" if row["note"] else ""
    return f"{row['given_by'] or 'somebody'} said on {row['given_at']:%Y-%m-%d}: {row['verdict']}{note}"
