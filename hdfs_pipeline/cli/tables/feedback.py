"""How verdicts of people and the choice of the champion are shown on a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

_AGREES = {True: "yes", False: "no", None: "–"}


def verdicts_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """All verdicts, as `all_verdicts` gives them."""
    judged = [row["now"]["agrees"] for row in rows if row["now"] and row["now"]["agrees"] is not None]
    title = f"{len(rows):,} verdicts" if len(rows) != 1 else "1 verdict"
    if judged:
        title += f"; the serving model agrees with {sum(judged):,} of {len(judged):,}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("block", "verdict"):
        table.add_column(name, no_wrap=True)
    for name in ("by", "note", "said then", "says now", "agrees"):
        table.add_column(name)
    for row in rows:
        now = row["now"] or {}
        agrees = _AGREES[now.get("agrees")] + (f": {now['why']}" if now.get("why") else "")
        given = f"{row['given_by'] or '–'}, {row['given_at']:%Y-%m-%d}"
        table.add_row(
            row["block_id"], row["verdict"], escape(given), escape(row["note"] or ""), _said(row), _said(now), agrees
        )
    return table


def _said(row: Mapping[str, Any]) -> str:
    if row.get("detector") is None:
        return "–"
    flagged = row["flagged"] if "flagged" in row else row["was_anomaly"]
    return f"{'anomalous' if flagged else 'normal'} ({row['score']:.3f}, {row['detector']} {row['version']})"


def given_sentence(row: Mapping[str, Any]) -> str:
    """What becomes of a verdict that was just given."""
    effect = {
        "real": "the next training learns it as an anomaly, and flags blocks with the same events",
        "false": "the next training learns it as normal, and does not flag blocks with the same events",
        "expected": "the next training leaves it out",
    }[row["verdict"]]
    then = f"; now it is {_said(row)}" if row["detector"] is not None else ""
    return f"blk_{row['block_id']}: {row['verdict']}{then}; {effect} (`hdfs-pipeline retrain --force` does it now)"


def said_sentence(row: Mapping[str, Any]) -> str:
    """What a person said of a block, for its explanation."""
    note = f": {row['note']}" if row["note"] else ""
    return f"{row['given_by'] or 'somebody'} said on {row['given_at']:%Y-%m-%d}: {row['verdict']}{note}"
