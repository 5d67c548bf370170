"""Verdicts for those who look at items: which of them are anomalous, how grave that is, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from hdfs_pipeline.domains.champions import serving_detector
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.scoring.patterns import Span
from hdfs_pipeline.scoring.severity import WARNING
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store

# Of several detectors that flag an item the serving one speaks, then the one of day one, then the surest.
_MARKS: Final = """SELECT item, entity, kind, reason, detector, first_time, last_time FROM anomalies
    WHERE domain = $domain AND status <> 'withdrawn' AND {which}
    QUALIFY row_number() OVER (PARTITION BY item ORDER BY detector = $serving DESC, detector = $first DESC,
        score / threshold DESC, detector, scored_at DESC) = 1
    ORDER BY first_time DESC, item LIMIT $limit"""


@dataclass(frozen=True)
class Mark:
    """Why an item is anomalous: the kind of that, how grave it is, the reason in a sentence, and who says so."""

    item: str
    entity: str
    kind: str
    severity: str
    reason: str
    detector: str
    begin: datetime
    end: datetime

    def to_json(self) -> dict[str, Any]:
        """It as plain values, times in ISO 8601."""
        return {
            "item": self.item,
            "entity": self.entity,
            "kind": self.kind,
            "severity": self.severity,
            "reason": self.reason,
            "detector": self.detector,
            "first_time": self.begin.astimezone(UTC).isoformat(),
            "last_time": self.end.astimezone(UTC).isoformat(),
        }


def marks_on(store: Store, settings: Settings, domain: Domain, items: Sequence[str]) -> dict[str, Mark]:
    """The anomalous ones of some items, by their ids as tables hold them."""
    which = "list_contains($items::VARCHAR[], item)"
    found = _asked(store, settings, domain, which, {"items": [*items]}, max(len(items), 1))
    return {mark.item: mark for mark in found}


def marks_between(
    store: Store, settings: Settings, domain: Domain, span: Span, limit: int, part: str = "", ending: str = ""
) -> list[Mark]:
    """The anomalous items of a span of time, the latest first; only those whose ids have this `part` and `ending`."""
    which = "first_time >= $begin AND first_time < $end AND contains(item, $part) AND ends_with(item, $ending)"
    about = {"begin": span[0], "end": span[1], "part": part, "ending": ending}
    return _asked(store, settings, domain, which, about, limit)


def is_judged(store: Store, domain: Domain) -> bool:
    """Whether anybody has judged items of a domain, so that none being anomalous says something."""
    with store.read() as con:
        rows = con.execute(
            "SELECT EXISTS (FROM judged WHERE domain = $1) OR EXISTS (FROM anomalies WHERE domain = $1)", [domain.name]
        ).fetchall()
    return bool(rows[0][0])


def _asked(
    store: Store, settings: Settings, domain: Domain, which: str, about: dict[str, Any], limit: int
) -> list[Mark]:
    kinds = domain.kinds(store, settings)
    known = {"domain": domain.name, "serving": serving_detector(settings, domain), "first": domain.day_one}
    with store.read() as con:
        rows = con.execute(_MARKS.format(which=which), known | about | {"limit": limit}).fetchall()
    return [
        Mark(
            item,
            entity or "",
            kind or "",
            kinds[kind].severity if kind in kinds else WARNING,
            reason or "",
            detector,
            begin,
            end or begin,
        )
        for item, entity, kind, reason, detector, begin, end in rows
    ]
