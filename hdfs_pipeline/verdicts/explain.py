"""A report on one item of a home: its verdict and the reason, what people said of it, its raw records."""

from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains.champions import families, load_scorer, ready_detectors
from hdfs_pipeline.domains.contract import Domain, Facts, Selection
from hdfs_pipeline.errors import DataError, NotFoundError, PipelineError
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.explain import Broken, Explanation
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.beside import Beside, nearest_normal
from hdfs_pipeline.verdicts.feedback import feedback_json, words
from hdfs_pipeline.verdicts.files import scored_store
from hdfs_pipeline.verdicts.score import explain_rows_of

_LINES: Final = 200  # raw records that `explain` shows


@dataclass(frozen=True)
class Finding:
    """A rule that an item breaks, with the records that show it: how many, and place and time of the first.

    Without such a record `time` is None: it is what is missing that breaks the rule. `events` are those of the records.
    """

    rule: str
    kind: str
    severity: str
    sentence: str
    hint: str
    records: int
    time: datetime | None = None
    host: str = ""
    daemon: str = ""
    events: tuple[str, ...] = ()


@dataclass(frozen=True)
class Voice:
    """What a detector says of an item."""

    detector: str
    version: int
    score: float
    threshold: float
    is_anomaly: bool


@dataclass(frozen=True)
class ItemReport:
    """What a home knows of one item. `lines` are its raw records in the order of time, at most 200 of `records`.

    `telling` of them is true of those that tell why. `time`, `host` and `path` are those of the first of these, or of
    the item's last record if it is what is missing that tells. `about` is what the records say of the item (an HDFS
    file, a pipeline). `unfinished` is what of its life the records do not show. `feedback` is the item's row of that
    table, None without one. `scored` is true of an item of files that were scored and are not the home's own, and
    `also_scored` of one of the home's whose id these files have too. `findings` are the rules of its life that it
    breaks, the gravest first, and `voices` what every detector that can serve says of it, the asked one first. `beside`
    is the nearest normal item, where it was asked for and items have lives to be compared.
    """

    item: str
    detector: str
    score: float
    threshold: float
    is_anomaly: bool
    explanation: Explanation
    first_time: datetime
    last_time: datetime
    label: str | None
    records: int
    lines: list[dict[str, Any]]
    feedback: dict[str, Any] | None = None
    version: int = 0
    time: datetime | None = None
    host: str = ""
    path: str = ""
    about: dict[str, Any] = field(default_factory=dict)
    unfinished: str = ""
    scored: bool = False
    also_scored: bool = False
    findings: tuple[Finding, ...] = ()
    voices: tuple[Voice, ...] = ()
    beside: Beside | None = None

    def to_json(self, *, everything: bool) -> dict[str, Any]:
        """It for JSON; unless `everything`, of the raw records only the telling ones, and how many were `folded`."""
        lines = [line for line in self.lines if everything or line.get("telling")] or self.lines
        given = {"feedback": feedback_json(self.feedback)} if self.feedback else {}
        folded = {"lines": lines, "folded": self.records - len(lines)}
        plain = {name: value for name, value in asdict(self).items() if name != "beside" or value is not None}
        return plain | {"explanation": self.explanation.to_json()} | folded | given


def explain_item(
    store: Store,
    settings: Settings,
    domain: Domain,
    text: str,
    name: str,
    *,
    scored: bool = False,
    beside: bool = False,
) -> ItemReport:
    """Score and explain one item with a detector's champion, by reading that item and what its features rest on.

    An item that the home does not have, or any item if `scored`, is looked for among the files that were scored last.
    With `beside` an anomalous one is laid beside the nearest normal one.
    Raises: NotFoundError for an item that neither has.
    """
    key = domain.item.parse(text)
    item = domain.item.show(key)
    scorer = load_scorer(settings, domain, name)
    store, facts, elsewhere = _place_of(store, settings, domain, key, scored=scored)
    if facts is None:
        raise NotFoundError(
            f"no log {'that was scored' if scored else 'of this home'} names {item}; "
            f"`hdfs-pipeline {'score' if scored else 'ingest'} PATH` reads more"
        )
    others = _others(settings, domain, name)
    with store.read():  # one attachment of the file, however many ask
        needed = families(domain, [name, *(other.card.detector for other in others)])
        data = domain.features(store, settings, needed, Selection(items=[key]))
        row = np.flatnonzero(data.keys == key)
        voices = tuple(voice for each in (scorer, *others) if (voice := _voice(each, data, row)))
        score = voices[0].score
        flagged = score >= scorer.card.threshold
        explanation = explain_rows_of(settings, domain, scorer, data, row, np.array([flagged]))[0]
        lines = domain.evidence(store, settings, key, _LINES, explanation.marked)
        if flagged and lines and not any(line.get("telling") for line in lines):
            lines[-1] = lines[-1] | {"telling": True}  # after it something should have happened
        normal = None
        if beside and flagged:
            normal = nearest_normal(store, settings, domain, scorer, key, explanation, _LINES)
        place = domain.places(store, {key: explanation.telling}).get(key)
        return ItemReport(
            item=item,
            detector=name,
            score=score,
            threshold=scorer.card.threshold,
            is_anomaly=flagged,
            explanation=explanation,
            first_time=facts.first_time,
            last_time=facts.last_time,
            label=facts.label,
            records=facts.records,
            lines=lines,
            feedback=next(iter(words(store, domain, item)), None),
            version=scorer.card.version,
            time=place.time if place else facts.first_time,
            host=place.host if place else data.entity,
            path=place.path if place else "",
            about=domain.about(store, key),
            unfinished=str(data.unfinished[row][0]),
            scored=elsewhere,
            also_scored=not elsewhere and _has(scored_store(settings), domain, key),
            findings=tuple(_finding(broken, lines) for broken in explanation.broken),
            voices=voices,
            beside=normal,
        )


def _others(settings: Settings, domain: Domain, name: str) -> list[Scorer]:
    """The other detectors that can serve; one whose model cannot be loaded has no voice."""
    others = []
    for other in ready_detectors(settings, domain):
        if other != name and not domain.row(other).cls.ordered:
            with suppress(PipelineError):
                others.append(load_scorer(settings, domain, other))
    return others


def _voice(scorer: Scorer, data: Dataset, row: np.ndarray) -> Voice | None:
    """What a detector says of the item at `row` (1,); None where its model is of other columns."""
    card = scorer.card
    try:
        score = float(scorer.score(data.matrix(card.family))[row][0])
    except DataError:
        return None
    return Voice(card.detector, card.version, score, card.threshold, score >= card.threshold)


def _finding(broken: Broken, lines: list[dict[str, Any]]) -> Finding:
    """A broken rule with its records among `lines`: those of its events, or those that tell where it is no event."""
    own = [line for line in lines if line.get("event_id") in broken.columns]
    if broken.columns and not own:
        own = [line for line in lines if line.get("telling")]
    first = own[0] if own else {}
    place = {name: first.get(name) or "" for name in ("host", "daemon")}
    told = {name: getattr(broken, name) for name in ("rule", "kind", "severity", "sentence", "hint")}
    return Finding(**told, records=len(own), time=first.get("time"), **place, events=broken.columns)


def _place_of(
    home: Store, settings: Settings, domain: Domain, key: Any, *, scored: bool
) -> tuple[Store, Facts | None, bool]:
    """The store that has an item, what it knows of it, and whether that is the store of files scored last."""
    other = scored_store(settings)
    own = None
    if not scored and (other is None or settings.store_path.is_file()):
        own = domain.facts(home, [key]).get(key)
    if own is not None or other is None:
        return home, own, False
    return other, domain.facts(other, [key]).get(key), True


def _has(store: Store | None, domain: Domain, key: Any) -> bool:
    return store is not None and key in domain.facts(store, [key])
