"""What the command line shows: tables, by rich."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from hdfs_pipeline.experiments.conclusion import BARS
from hdfs_pipeline.experiments.figures import Comparison
from hdfs_pipeline.learning.holdout import Holdout
from hdfs_pipeline.learning.retraining import Retraining
from hdfs_pipeline.scoring.evaluation import Evaluation
from hdfs_pipeline.scoring.scorer import Card
from hdfs_pipeline.verdicts.score import BlockReport

_COLUMNS = 6  # detectors side by side that a terminal has room for


def detectors_table(title: str, rows: Iterable[tuple[str, str, Mapping[str, Any]]]) -> Table:
    """Figures of detectors: rows are (detector, split, evaluation as `Evaluation.to_json` gives it)."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("detector", no_wrap=True)
    table.add_column("judged on")
    for name in ("precision", "recall", "F1", "95 % of F1", "PR-AUC", "false alarms\nper 10,000", "threshold"):
        table.add_column(name, justify="right", no_wrap=True)
    for detector, split, found in rows:
        low, high = found["intervals"].get("f1", (None, None))
        table.add_row(
            detector,
            split,
            *(f"{found[name]:.3f}" for name in ("precision", "recall", "f1")),
            f"{low:.3f}–{high:.3f}" if low is not None else "–",
            f"{found['pr_auc']:.3f}" if found["pr_auc"] is not None else "–",
            f"{found['false_alarms_per_10k']:.1f}",
            f"{found['threshold']:.4g}",
        )
    return table


def costs_table(found: Comparison) -> Table:
    """What else is known of the detectors of a comparison, the best by F1 first, and those that were not judged."""
    table = Table(title="Beyond F1", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("detector", no_wrap=True)
    without = [f"F1 without\n{escape(', '.join(found.without))}"] if found.without else []
    for name in ("ROC-AUC", "95 % of PR-AUC", "F1 unseen", *without, "s to train", "blocks/s", "model kB"):
        table.add_column(name, justify="right", no_wrap=name not in without, overflow="fold")
    for entry in found.ranked:
        low, high = entry.evaluation.intervals.get("pr_auc", (None, None))
        unseen = entry.evaluation.unseen
        table.add_row(
            entry.detector,
            "–" if entry.evaluation.roc_auc is None else f"{entry.evaluation.roc_auc:.4f}",
            f"{low:.3f}–{high:.3f}" if low is not None else "–",
            _figure(unseen["f1"] if unseen.get("blocks") else None),
            *([_figure(entry.without.f1)] if entry.without else []),
            f"{entry.cost.train_s:.2f}",
            f"{entry.cost.rows_per_s:,.0f}",
            f"{entry.cost.model_bytes / 1000:,.1f}",
        )
    return table


def retrainings_table(rows: Iterable[Retraining]) -> Table:
    """What retrainings came to: champion and challenger on the same latest blocks."""
    title = "Champion and challenger on the latest blocks"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("detector", "new", "judged on", "champion", "F1", "PR-AUC", "challenger", "F1", "PR-AUC"):
        table.add_column(name, justify="left" if name == "detector" else "right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in rows:
        sides = [row.judgement.get(side, {}) for side in ("champion", "challenger")]
        (f1, pr_auc), (new_f1, new_pr_auc) = ([_figure(side.get(name)) for name in ("f1", "pr_auc")] for side in sides)
        table.add_row(
            row.detector,
            f"{row.new:,}",
            f"{row.judgement['blocks']:,}" if row.judgement else "–",
            f"version {row.champion}",
            f1,
            pr_auc,
            f"version {row.challenger}" if row.challenger else "–",
            new_f1,
            new_pr_auc,
            row.status,
        )
    return table


def models_table(rows: Iterable[tuple[Card, bool]]) -> Table:
    """Versions of models, and whether each serves."""
    table = Table(title="Models", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("detector", no_wrap=True)
    for name in ("version", "serves", "made at", "blocks", "F1", "how it was judged"):
        table.add_column(name, justify="right" if name in ("version", "blocks", "F1") else "left")
    for card, serves in rows:
        split = next((name for name in ("latest", "chronological", "random") if name in card.metrics), "")
        judged = card.judgement.get("verdict") or (f"{split} split" if split else "no labels to judge by")
        f1 = _figure(card.metrics[split]["f1"] if split else None)
        made = card.created_at[:16].replace("T", " ")
        table.add_row(
            card.detector, str(card.version), "yes" if serves else "", made, f"{card.blocks:,}", f1, escape(judged)
        )
    return table


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def kinds_table(evaluations: Mapping[str, Evaluation | Mapping[str, Any]]) -> Table | None:
    """Share flagged by kind of label, a column per detector; None where labels have no kinds of their own.

    Of more than six detectors the best by F1, with those that all are held against.
    """
    found = {name: e.to_json() if isinstance(e, Evaluation) else e for name, e in evaluations.items()}
    ranked = sorted(found, key=lambda name: -found[name]["f1"])
    bars = [name for name in ranked if name in BARS]
    if len(ranked) > _COLUMNS:
        ranked = [name for name in ranked if name not in BARS][: _COLUMNS - len(bars)] + bars
    left = len(found) - len(ranked)
    found = {name: found[name] for name in ranked}
    first = next(iter(found.values()), None)
    if first is None or len(first["recall_by_kind"]) + len(first["false_alarm_rate_by_kind"]) <= 2:
        return None
    table = Table(title="Share of blocks flagged, by kind", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("label")
    table.add_column("kind", no_wrap=True)
    table.add_column("blocks", justify="right")
    for name in found:
        table.add_column(name.replace("_", " "), justify="right")
    table.caption = f"{left} more detectors with --json" if left else None
    table.caption_justify = "left"
    for field, label in (("recall_by_kind", "anomaly"), ("false_alarm_rate_by_kind", "normal")):
        for kind, facts in first[field].items():
            shares = [f"{e[field].get(kind, {}).get('flagged', 0):.3f}" for e in found.values()]
            table.add_row(label, escape(kind), f"{facts['blocks']:,}", *shares)
    return table


def blocks_table(rows: Sequence[Mapping[str, Any]], title: str) -> Table:
    """Anomalous blocks with their reasons: rows with block_id, score and reason."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("block", no_wrap=True)
    table.add_column("score", justify="right")
    table.add_column("reason")
    for row in rows:
        table.add_row(row["block_id"], f"{row['score']:.3f}", escape(row["reason"]))
    return table


def explanation_table(report: BlockReport) -> Table:
    """How a block differs from the nearest normal one."""
    table = Table(title="Against the nearest normal block", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("event", "what", "difference"):
        table.add_column(name)
    for name in ("count", "normally", "share of the score"):
        table.add_column(name, justify="right")
    for found in report.explanation.differences:
        table.add_row(
            escape(found.event_id),
            escape(found.name),
            found.kind,
            str(found.count),
            str(found.expected),
            f"{found.share:.0%}",
        )
    return table


def holdout_notes(found: Holdout) -> str:
    """What was read for an evaluation, in a line or two."""
    read, parsed = found.read, found.parsed
    left = f"{found.ambiguous:,} ambiguous and {found.unlabelled:,} unlabelled blocks left out"
    if found.absent:
        left += f"; {found.absent:,} labels of blocks that no line names"
    return (
        f"{read.lines:,} lines, {read.records:,} records, {read.dead_letters:,} dead letters; {found.blocks:,} blocks; "
        f"catalogue {parsed.catalogue.label} matches {parsed.coverage:.2%} of the records that carry a block\n{left}"
    )


def unseen_notes(evaluations: Mapping[str, Mapping[str, Any]]) -> str:
    """Figures on blocks that memory does not help with, a line per detector that has some."""
    return "\n".join(
        f"{name} on {unseen['blocks']:,} blocks whose vector no training block has: precision "
        f"{unseen['precision']:.3f}, recall {unseen['recall']:.3f}, F1 {unseen['f1']:.3f}"
        for name, found in evaluations.items()
        if (unseen := found["unseen"])
    )


def ingest_notes(facts: Mapping[str, Any], home: Path) -> str:
    """What an ingest has read, and what a person should know of it."""
    return "\n  ".join(
        [
            f"{facts['lines']:,} lines, {facts['records']:,} records in {facts['files']} files; "
            f"{facts['dead_letters']:,} dead letters; {facts['blocks']:,} blocks in {home}\n"
            f"catalogue {facts['catalogue']} matches {facts['coverage']:.2%} of the records that carry a block",
            *facts["notes"],
        ]
    )
