"""Tables and notes about detectors, models and items, made with rich."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from hdfs_pipeline.domains.contract import Item, Read
from hdfs_pipeline.experiments.conclusion import BARS
from hdfs_pipeline.experiments.figures import Comparison
from hdfs_pipeline.learning.holdout import Holdout
from hdfs_pipeline.learning.retraining import Retraining
from hdfs_pipeline.scoring.evaluation import Evaluation
from hdfs_pipeline.scoring.scorer import Card
from hdfs_pipeline.verdicts.explain import ItemReport

_COLUMNS = 6  # detectors that fit side by side into a terminal


def detectors_table(title: str, rows: Iterable[tuple[str, str, Mapping[str, Any]]]) -> Table:
    """Figures of detectors: rows are (detector, split, evaluation as `Evaluation.to_json` gives it)."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("detector", no_wrap=True)
    table.add_column("judged on")
    for name in ("precision", "recall", "F1", "95 % of F1", "PR-AUC", "false alarms\nper 10,000", "threshold"):
        table.add_column(name, justify="right", no_wrap=True)
    for detector, split, figures in rows:
        low, high = figures["intervals"].get("f1", (None, None))
        table.add_row(
            detector,
            split,
            *(f"{figures[name]:.3f}" for name in ("precision", "recall", "f1")),
            f"{low:.3f}–{high:.3f}" if low is not None else "–",
            f"{figures['pr_auc']:.3f}" if figures["pr_auc"] is not None else "–",
            f"{figures['false_alarms_per_10k']:.1f}",
            f"{figures['threshold']:.4g}",
        )
    return table


def costs_table(comparison: Comparison) -> Table:
    """More figures of a comparison's detectors and their costs, the best by F1 first."""
    table = Table(title="Beyond F1", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("detector", no_wrap=True)
    without = [f"F1 without\n{escape(', '.join(comparison.without))}"] if comparison.without else []
    speed = f"{comparison.plural}/s"
    for name in ("ROC-AUC", "95 % of PR-AUC", "F1 unseen", *without, "s to train", speed, "model kB"):
        table.add_column(name, justify="right", no_wrap=name not in without, overflow="fold")
    for entry in comparison.ranked:
        low, high = entry.evaluation.intervals.get("pr_auc", (None, None))
        unseen = entry.evaluation.unseen
        table.add_row(
            entry.detector,
            "–" if entry.evaluation.roc_auc is None else f"{entry.evaluation.roc_auc:.4f}",
            f"{low:.3f}–{high:.3f}" if low is not None else "–",
            _figure(unseen["f1"] if unseen.get("items") else None),
            *([_figure(entry.without.f1)] if entry.without else []),
            f"{entry.cost.train_s:.2f}",
            f"{entry.cost.rows_per_s:,.0f}",
            f"{entry.cost.model_bytes / 1000:,.1f}",
        )
    return table


def retrainings_table(rows: Iterable[Retraining], plural: str) -> Table:
    """The outcomes of retrainings: champion and challenger on the same latest items."""
    title = f"Champion and challenger on the latest {plural}"
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
            f"{row.judgement['items']:,}" if row.judgement else "–",
            f"version {row.champion}",
            f1,
            pr_auc,
            f"version {row.challenger}" if row.challenger else "–",
            new_f1,
            new_pr_auc,
            row.status,
        )
    return table


def models_table(rows: Iterable[tuple[Card, bool]], plural: str) -> Table:
    """Versions of models, and whether each serves."""
    table = Table(title="Models", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("detector", no_wrap=True)
    for name in ("version", "serves", "made at", plural, "F1", "how it was judged"):
        table.add_column(name, justify="right" if name in ("version", plural, "F1") else "left")
    for card, serves in rows:
        split = next((name for name in ("latest", "chronological", "random") if name in card.metrics), "")
        judged = card.judgement.get("verdict") or (f"{split} split" if split else "no labels to judge by")
        f1 = _figure(card.metrics[split]["f1"] if split else None)
        made = card.created_at[:16].replace("T", " ")
        table.add_row(
            card.detector, str(card.version), "yes" if serves else "", made, f"{card.items:,}", f1, escape(judged)
        )
    return table


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def kinds_table(evaluations: Mapping[str, Evaluation | Mapping[str, Any]], plural: str) -> Table | None:
    """Share flagged by kind of label, a column per detector; None if labels have no kinds of their own.

    Of more than six detectors it shows the best by F1, and those that every detector is compared with.
    """
    figures = {
        name: evaluation.to_json() if isinstance(evaluation, Evaluation) else evaluation
        for name, evaluation in evaluations.items()
    }
    ranked = sorted(figures, key=lambda name: -figures[name]["f1"])
    bars = [name for name in ranked if name in BARS]
    if len(ranked) > _COLUMNS:
        ranked = [name for name in ranked if name not in BARS][: _COLUMNS - len(bars)] + bars
    left = len(figures) - len(ranked)
    shown = {name: figures[name] for name in ranked}
    first = next(iter(shown.values()), None)
    if first is None or len(first["recall_by_kind"]) + len(first["false_alarm_rate_by_kind"]) <= 2:
        return None
    table = Table(title=f"Share of {plural} flagged, by kind", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("label")
    table.add_column("kind", no_wrap=True)
    table.add_column(plural, justify="right")
    for name in shown:
        table.add_column(name.replace("_", " "), justify="right")
    table.caption = f"{left} more detectors with --json" if left else None
    table.caption_justify = "left"
    for field, label in (("recall_by_kind", "anomaly"), ("false_alarm_rate_by_kind", "normal")):
        for kind, facts in first[field].items():
            shares = [f"{own[field].get(kind, {}).get('flagged', 0):.3f}" for own in shown.values()]
            table.add_row(label, escape(kind), f"{facts['items']:,}", *shares)
    return table


def items_table(rows: Sequence[Mapping[str, Any]], title: str, item: Item) -> Table:
    """Anomalous items with their reasons: rows with the id under `item.column`, score and reason."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(item.noun, no_wrap=True)
    table.add_column("score", justify="right")
    table.add_column("reason")
    for row in rows:
        table.add_row(row[item.column], f"{row['score']:.3f}", escape(row["reason"]))
    return table


def explanation_table(report: ItemReport, noun: str) -> Table:
    """How an item differs from the nearest normal one."""
    table = Table(title=f"Against the nearest normal {noun}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("event", "what", "difference"):
        table.add_column(name)
    for name in ("count", "normally", "share of the score"):
        table.add_column(name, justify="right")
    for difference in report.explanation.differences:
        table.add_row(
            escape(difference.event_id),
            escape(difference.name),
            difference.kind,
            str(difference.count),
            str(difference.expected),
            f"{difference.share:.0%}",
        )
    return table


def holdout_notes(holdout: Holdout, item: Item) -> str:
    """A line or two about what was read for an evaluation."""
    read, plural = holdout.read, item.plural
    left = f"{holdout.ambiguous:,} ambiguous and {holdout.unlabelled:,} unlabelled {plural} left out"
    if holdout.absent:
        left += f"; {holdout.absent:,} labels of {plural} that no line names"
    return (
        f"{read.lines:,} lines, {read.records:,} records, {read.dead_letters:,} dead letters; "
        f"{holdout.items:,} {plural}; catalogue {read.source} matches {read.coverage:.2%} of the records that carry a "
        f"{item.noun}\n{left}"
    )


def unseen_notes(evaluations: Mapping[str, Mapping[str, Any]], item: Item) -> str:
    """Figures on items whose vector training did not have, a line per detector that has such figures."""
    return "\n".join(
        f"{name} on {unseen['items']:,} {item.plural} whose vector no training {item.noun} has: precision "
        f"{unseen['precision']:.3f}, recall {unseen['recall']:.3f}, F1 {unseen['f1']:.3f}"
        for name, figures in evaluations.items()
        if (unseen := figures["unseen"])
    )


def read_notes(read: Read, item: Item, home: Path) -> str:
    """The outcome of reading files, with the notes for people."""
    return "\n  ".join(
        [
            f"{read.lines:,} lines, {read.records:,} records in {read.files} files; "
            f"{read.dead_letters:,} dead letters; {read.items:,} {item.plural} in {home}\n"
            f"catalogue {read.source} matches {read.coverage:.2%} of the records that carry a {item.noun}",
            *read.notes,
        ]
    )
