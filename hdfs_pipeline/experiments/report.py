"""A comparison as one HTML page that needs nothing else: no network, no other file."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hdfs_pipeline.bench.samples import describe
from hdfs_pipeline.experiments import pictures
from hdfs_pipeline.experiments.conclusion import BARS
from hdfs_pipeline.experiments.figures import Comparison, Cost, Judged
from hdfs_pipeline.experiments.sides import SPLITS

_TEMPLATES = Path(__file__).with_name("templates")


def write_report(comparison: Comparison, path: Path) -> Path:
    """Write the page to `path`, whose folders are made; the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_report(comparison), encoding="utf-8")
    return path


def render_report(comparison: Comparison) -> str:
    """The page. The template escapes names and paths, which come from outside; pictures escape their own texts."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"figure": figure, "bytes": size, "prose": prose}
    ranked, plural = comparison.ranked, comparison.plural
    kinds = pictures.series([entry.detector for entry in comparison.entries])
    return environment.get_template("report.html").render(
        comparison=comparison,
        data=comparison.data,
        plural=comparison.plural,
        ranked=ranked,
        failed=comparison.left_out,
        kinds=kinds,
        split=SPLITS[comparison.split],
        bars=BARS,
        f1=Markup(pictures.f1_picture(ranked, kinds, next(iter(BARS)))),  # noqa: S704 - escapes what it is given
        pr=Markup(pictures.pr_picture(ranked, kinds)),  # noqa: S704 - the same
        roc=Markup(pictures.roc_picture(ranked, kinds, plural)),  # noqa: S704 - the same
        scores=[
            (entry, Markup(pictures.scores_picture(entry, kinds[entry.detector], plural)))  # noqa: S704
            for entry in ranked
        ],
        costs=cost_rows(ranked),
        maps=heat_maps(ranked, plural),
        settings=_facts(comparison),
        machine=describe(comparison.machine),
    )


def heat_maps(ranked: list[Judged], plural: str) -> list[dict[str, Any]]:
    """Share flagged by kind: one map for anomalies and one for normal items, the most frequent kinds first.

    Labels without kinds give no maps, since the table of figures says it all.
    """
    maps: list[dict[str, Any]] = []
    for title, name in (
        ("Anomalies found", "recall_by_kind"),
        (f"Normal {plural} flagged", "false_alarm_rate_by_kind"),
    ):
        tables: list[dict[str, dict[str, float]]] = [getattr(e.evaluation, name) for e in ranked]
        kinds = sorted(tables[0], key=lambda kind: -tables[0][kind]["items"])
        rows = [
            {"kind": kind, "items": tables[0][kind]["items"], "flagged": [table[kind]["flagged"] for table in tables]}
            for kind in kinds
        ]
        maps.append({"title": title, "of": name, "rows": rows})
    return maps if sum(len(heat_map["rows"]) for heat_map in maps) > 2 else []


def cost_rows(ranked: list[Judged]) -> list[dict[str, Any]]:
    """Each detector's cost with the length of its bars, 0 to 1 on logarithmic scales."""
    named: dict[str, Callable[[Cost], float]] = {
        "train_s": lambda cost: cost.train_s,
        "rows_per_s": lambda cost: cost.rows_per_s,
        "model_bytes": lambda cost: cost.model_bytes,
    }
    scales = {name: _lengths(of(entry.cost) for entry in ranked) for name, of in named.items()}
    return [
        {"entry": entry, "cost": entry.cost, **{name: scales[name](of(entry.cost)) for name, of in named.items()}}
        for entry in ranked
    ]


def _lengths(values: Iterable[float]) -> Callable[[float], float]:
    """A logarithmic scale from a third of the least to the most of `values`, so that the least still has a bar."""
    logarithms = [math.log(max(value, 1e-6)) for value in values]
    low, high = min(logarithms) - math.log(3), max(logarithms)
    return lambda value: (math.log(max(value, 1e-6)) - low) / (high - low)


def _facts(comparison: Comparison) -> list[tuple[str, str]]:
    """Names and values that say how the comparison was made."""
    return [
        ("split", f"{comparison.split}: {SPLITS[comparison.split]}"),
        ("seed", str(comparison.seed)),
        ("test_share", "–" if "other" in comparison.data else f"{comparison.test_share:g}"),
        ("left out in the second F1", ", ".join(comparison.without) or "nothing"),
        ("made at", comparison.made_at),
        ("versions", ", ".join(f"{name} {version}" for name, version in comparison.libraries.items())),
    ]


def figure(value: float | None, digits: int = 3) -> str:
    """A share with three digits, or a dash."""
    return "–" if value is None else f"{value:.{digits}f}"


def prose(sentence: str) -> Any:
    """A sentence with `commands` set as code, all else escaped."""
    from markupsafe import Markup, escape

    parts = str(escape(sentence)).split("`")
    return Markup("".join(f"<code>{part}</code>" if at % 2 else part for at, part in enumerate(parts)))  # noqa: S704


def size(count: float) -> str:
    """Bytes for people: 116 B, 85.6 kB, 1.2 MB."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
