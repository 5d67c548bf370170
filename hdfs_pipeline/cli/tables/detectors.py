"""Tables and notes about detectors, models and items."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape

from hdfs_pipeline.cli.tables.style import Column, Listing, name, number
from hdfs_pipeline.domains.contract import Domain, Item, Read
from hdfs_pipeline.experiments.conclusion import BARS
from hdfs_pipeline.experiments.figures import Comparison
from hdfs_pipeline.learning.holdout import Holdout
from hdfs_pipeline.learning.retraining import Retraining
from hdfs_pipeline.scoring.evaluation import Evaluation
from hdfs_pipeline.scoring.kinds import KindFit
from hdfs_pipeline.scoring.plausibility import Doubt
from hdfs_pipeline.scoring.scorer import Card
from hdfs_pipeline.verdicts.models import judged_on

_COLUMNS = 6  # detectors that fit side by side into a terminal


def detectors_table(title: str, rows: Iterable[tuple[str, str, Mapping[str, Any]]]) -> Listing:
    """Figures of detectors: rows are (detector, split, evaluation as `Evaluation.to_json` gives it)."""
    figures_of = ("precision", "recall", "F1", "95 % of F1", "PR-AUC", "false alarms per 10,000", "threshold")
    table = Listing(title, (name("detector"), name("judged on"), *map(number, figures_of)), keys=2)
    for detector, split, figures in rows:
        low, high = figures["intervals"].get("f1", (None, None))
        table.add_row(
            detector,
            split,
            *(f"{figures[figure]:.3f}" for figure in ("precision", "recall", "f1")),
            f"{low:.3f}–{high:.3f}" if low is not None else "–",
            f"{figures['pr_auc']:.3f}" if figures["pr_auc"] is not None else "–",
            f"{figures['false_alarms_per_10k']:.1f}",
            f"{figures['threshold']:.4g}",
        )
    return table


def unlabelled_notes(cards: Sequence[Mapping[str, Any]], count: int, domain: Domain) -> str:
    """What a training without labels learned from, what it did about anomalies among that, and what to expect."""
    plural = domain.item.plural
    notes = [f"learned from {count:,} {plural} without labels, so that there are no figures of how well"]
    weak = next((card["weak"] for card in cards if card["weak"].get("days")), None)
    if weak is None:
        return notes[0]
    notes.append(
        f"{weak['anomalies']:,} of them break a rule: they are learned as anomalies, not as normal. "
        f"{weak['rare']:,} rare ones are not learned at all"
    )
    if weak["words"]:
        notes.append(f"people's words on {weak['words']:,} {plural} stand above the rules")
    if weak["dismissed"]:
        notes.append(f"rules that people dismissed: {', '.join(weak['dismissed'])}")
    allowed = max((card["weak"].get("allowed", -1) for card in cards), default=-1)
    if not domain.countable:  # its detectors do not ask what is new here
        return "\n".join(notes)
    notes.append(
        f"what breaks no rule is flagged only as new here, at most {allowed:,} {plural} of these (new_here_a_day)"
        if allowed >= 0
        else "the logs span too little time to know what is new here (new_here_a_day): what breaks no rule is scored, "
        "and not flagged"
    )
    notes.append(
        f"so expect what {domain.day_one} finds; `hdfs-pipeline groups` lists it by kind, and a word on a kind "
        "(`hdfs-pipeline feedback --group`) teaches all of them"
    )
    return "\n".join(notes)


def costs_table(comparison: Comparison) -> Listing:
    """More figures of a comparison's detectors and their costs, the best by F1 first."""
    without = [f"F1 without {escape(', '.join(comparison.without))}"] if comparison.without else []
    speed = f"{comparison.plural}/s"
    figures_of = ("ROC-AUC", "95 % of PR-AUC", "F1 unseen", *without, "s to train", speed, "model kB")
    table = Listing("Beyond F1", (name("detector"), *map(number, figures_of)))
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


def retrainings_table(rows: Iterable[Retraining], plural: str) -> Listing:
    """The outcomes of retrainings: champion and challenger on the same latest items."""
    title = f"Champion and challenger on the latest {plural}"
    figures_of = ("new", "judged on", "champion", "F1", "PR-AUC", "challenger", "F1", "PR-AUC")
    table = Listing(title, (name("detector"), *map(number, figures_of), name("verdict")))
    for row in rows:
        sides = [row.judgement.get(side, {}) for side in ("champion", "challenger")]
        (f1, pr_auc), (new_f1, new_pr_auc) = (
            [_figure(side.get(figure)) for figure in ("f1", "pr_auc")] for side in sides
        )
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


def models_table(rows: Iterable[tuple[Card, bool]], plural: str) -> Listing:
    """Versions of models, and whether each serves."""
    about = (number("version"), name("serves"), name("made at"), number(plural), number("F1"))
    table = Listing("Models", (name("detector"), *about, Column("how it was judged")))
    for card, serves in rows:
        split, figures = judged_on(card) or ("", {})
        judged = card.judgement.get("verdict") or (f"{split} split" if split else "no labels to judge by")
        judged = judged if card.version else "needs no training"
        f1 = _figure(figures.get("f1"))
        made = card.created_at[:16].replace("T", " ") or "–"
        table.add_row(
            card.detector, str(card.version), "yes" if serves else "", made, f"{card.items:,}", f1, escape(judged)
        )
    return table


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def kinds_table(evaluations: Mapping[str, Evaluation | Mapping[str, Any]], plural: str) -> Listing | None:
    """Share flagged by kind of label, a column per detector; None if labels have no kinds of their own.

    Of more than six detectors it shows the best by F1, and those that every detector is compared with.
    """
    figures = {
        detector: evaluation.to_json() if isinstance(evaluation, Evaluation) else evaluation
        for detector, evaluation in evaluations.items()
    }
    ranked = sorted(figures, key=lambda detector: -figures[detector]["f1"])
    bars = [detector for detector in ranked if detector in BARS]
    if len(ranked) > _COLUMNS:
        ranked = [detector for detector in ranked if detector not in BARS][: _COLUMNS - len(bars)] + bars
    left = len(figures) - len(ranked)
    shown = {detector: figures[detector] for detector in ranked}
    first = next(iter(shown.values()), None)
    if first is None or len(first["recall_by_kind"]) + len(first["false_alarm_rate_by_kind"]) <= 2:
        return None
    detectors = [number(detector.replace("_", " ")) for detector in shown]
    table = Listing(
        f"Share of {plural} flagged, by kind",
        (name("label"), name("kind"), number(plural), *detectors),
        caption=f"{left} more detectors with --json" if left else "",
        keys=2,
    )
    for field, label in (("recall_by_kind", "anomaly"), ("false_alarm_rate_by_kind", "normal")):
        for kind, facts in first[field].items():
            shares = [f"{own[field].get(kind, {}).get('flagged', 0):.3f}" for own in shown.values()]
            table.add_row(label, escape(kind), f"{facts['items']:,}", *shares)
    return table


def fits_table(fits: Mapping[str, KindFit]) -> Listing | None:
    """The kinds that found anomalies were given against the kinds of their labels; None where none is known.

    Below it stands for each detector how many fit. The table is that of the first detector, the best one.
    """
    first = next(iter(fits), None)
    if first is None:
        return None
    caption = "\n".join(f"{escape(str(fit))} by {detector}" for detector, fit in fits.items())
    about = (Column("kind of the label"), number("found"), name("fits"))
    table = Listing(f"Kinds named by {first}", (Column("kind"), *about), caption=caption)
    for kind, labels in fits[first].table.items():
        for label, count in labels.items():
            fitting = "yes" if label in fits[first].fitting[kind] else "[red]no[/]"
            table.add_row(escape(kind), escape(label), f"{count:,}", fitting)
    return table


def items_table(rows: Sequence[Mapping[str, Any]], title: str, item: Item) -> Listing:
    """Anomalous items with their reasons: rows with the id under `item.column`, score and reason."""
    table = Listing(title, (name(item.noun), number("score"), Column("reason")))
    for row in rows:
        table.add_row(escape(row[item.column]), f"{row['score']:.3f}", escape(row["reason"]))
    return table


def doubt_notes(doubts: Iterable[Doubt], detector: str = "") -> list[str]:
    """Reasons not to believe verdicts, a line each."""
    return [f"CAUTION{f', {detector}' if detector else ''}: {doubt.text}" for doubt in doubts]


def holdout_notes(holdout: Holdout, item: Item) -> str:
    """A line or two about what was read for an evaluation."""
    read, plural = holdout.read, item.plural
    left = f"{holdout.ambiguous:,} ambiguous and {holdout.unlabelled:,} unlabelled {plural} left out"
    if holdout.unfinished:
        left += f"; {holdout.unfinished:,} unfinished ones judged by what is there"
    if holdout.absent:
        left += f"; {holdout.absent:,} labels of {plural} that no line names"
    return (
        f"{read.lines:,} lines, {read.records:,} records, {read.dead_letters:,} dead letters; "
        f"{holdout.items:,} {plural}; catalogue {read.source} matches {read.coverage:.2%} of the records that carry a "
        f"{item.noun}\n{left}"
    )


def unseen_notes(evaluations: Mapping[str, Mapping[str, Any]], item: Item) -> list[str]:
    """Figures on items whose vector training did not have, a line per detector that has such figures."""
    return [
        f"{detector} on {unseen['items']:,} {item.plural} whose vector no training {item.noun} has: precision "
        f"{unseen['precision']:.3f}, recall {unseen['recall']:.3f}, F1 {unseen['f1']:.3f}"
        for detector, figures in evaluations.items()
        if (unseen := figures["unseen"])
    ]


def read_notes(read: Read, item: Item, home: Path) -> str:
    """The outcome of reading files, with the notes for people."""
    notes = [
        f"{read.lines:,} lines, {read.records:,} records in {read.files} files; "
        f"{read.dead_letters:,} dead letters; {read.items:,} {item.plural} in {home}"
    ]
    if not read.items:
        notes = [
            f"no record names a {item.noun}"
            if read.source
            else f"no line is a {item.noun}: {read.dead_letters:,} dead letters"
        ]
    elif read.source:  # records carry items, and a catalogue knows them
        notes[0] += f"\ncatalogue {read.source} matches {read.coverage:.2%} of the records that carry a {item.noun}"
    if read.forms:
        notes.append("written as " + ", ".join(f"{form} ({n:,})" for form, n in read.forms.items()))
    return "\n  ".join([*notes, *read.notes])
