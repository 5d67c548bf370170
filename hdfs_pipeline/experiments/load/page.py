"""Experiments on load side by side, as JSON and as one HTML page that needs nothing else: no network, no other file."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Final

from hdfs_pipeline.experiments.load import findings, pictures
from hdfs_pipeline.experiments.load.findings import Knee, Side
from hdfs_pipeline.experiments.load.records import Record, figures_of, lag_over_time
from hdfs_pipeline.shown import plain
from hdfs_pipeline.store.store import Store

_TEMPLATES: Final = Path(__file__).parents[1] / "templates"


@dataclass(frozen=True)
class Compared:
    """Experiments, and what the completed ones tell side by side.

    `efficiencies` are in the order of `sides`; None where there is nothing to hold a load against.
    """

    records: list[Record]
    sides: list[Side]
    efficiencies: list[float | None]
    curve: Knee | None
    recommendation: list[str]

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is infinite or not known is None."""
        rows = zip(self.sides, self.efficiencies, strict=True)
        return _finite(
            {
                "experiments": [side.to_json() | {"efficiency": share} for side, share in rows],
                "knee": self.curve.to_json() if self.curve else None,
                "recommendation": self.recommendation,
            }
        )


def compared(store: Store, records: Sequence[Record]) -> Compared:
    """Experiments of a store side by side."""
    figures = figures_of(store, [record.experiment for record in records]) if records else {}
    found = findings.sides(records, figures)
    shares = [findings.efficiency(side, found) for side in found]
    return Compared([*records], found, shares, findings.knee(found), findings.recommendation(found))


def drawn(store: Store, found: Compared, most: int | None = None) -> dict[str, Any]:
    """The pictures of experiments by what they show, safe in HTML; '' where there is nothing to draw.

    `lags` are pairs of an experiment and its picture, of those for which lag was measured; of the `most` latest.
    """
    from markupsafe import Markup

    latest = found.records if most is None else found.records[-most:]
    lags = [(each, pictures.lag(each, lag_over_time(store, each.experiment))) for each in latest]
    return {
        "throughput": Markup(pictures.throughput(found.sides)),  # noqa: S704 - pictures escape what they are given
        "latency": Markup(pictures.latency(found.sides)),  # noqa: S704 - the same
        "scaling": Markup(pictures.scaling(found.sides, found.curve)),  # noqa: S704 - the same
        "lags": [(record, Markup(picture)) for record, picture in lags if picture],  # noqa: S704 - the same
    }


def write_report(store: Store, records: Sequence[Record], path: Path) -> Path:
    """Write the page to `path`, whose folders are made; the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_report(store, records), encoding="utf-8")
    return path


def render_report(store: Store, records: Sequence[Record]) -> str:
    """The page. The template escapes what comes from outside; pictures escape their own texts."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=lambda value: plain(value) if type(value) is str else value,  # no signs that hide or turn text
    )
    found = compared(store, records)
    return environment.get_template("load.html").render(
        found=found,
        rows=list(zip(found.sides, found.efficiencies, strict=True)),
        drawn=drawn(store, found),
        most=pictures.MOST_PARTITIONS,
    )


def _finite(value: Any) -> Any:
    """A value of JSON in which numbers that JSON does not have are None."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not isfinite(value) else value
