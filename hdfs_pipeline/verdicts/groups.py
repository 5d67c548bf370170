"""Groups of a home: like anomalies together, and beside them the items that are worth asking about."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains.champions import families, load_scorer, ready_detectors, serving_detector
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.explain import Vocabulary
from hdfs_pipeline.scoring.features import held
from hdfs_pipeline.scoring.groups import Group, group_items, rare_kinds
from hdfs_pipeline.scoring.knowledge import Knowledge, failed, worst
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.score import explain_rows_of

_LOOKED_UP: Final = 200  # items of a group, the latest, whose hosts are looked up
_NAMED: Final = 3  # entities of a group that are named
_RECORDED: Final = "SELECT DISTINCT item FROM anomalies WHERE domain = ? AND status <> 'withdrawn'"
_ROWS: Final = """SELECT item, detector, version, score, kind, reason, explanation, epoch_us(first_time),
        coalesce(nullif(entity, ''), host, '')
    FROM anomalies WHERE domain = ? AND status <> 'withdrawn' AND item IN (SELECT unnest(?))
    QUALIFY row_number() OVER (PARTITION BY item ORDER BY scored_at DESC, detector) = 1 ORDER BY item"""
_HOSTS: Final = """SELECT item, arg_max(coalesce(nullif(entity, ''), host), scored_at) FROM anomalies
    WHERE domain = ? AND status <> 'withdrawn' AND item IN (SELECT unnest(?::VARCHAR[])) GROUP BY item"""
_SPOKEN: Final = "SELECT item, verdict, coalesce(kind, '') FROM feedback WHERE domain = ? AND item <> ''"


@dataclass(frozen=True)
class Members:
    """The n items of a home that belong to a group.

    `items` are their ids. `kinds`, `first`, `flagged` and `time` (n,) are as in `group_items`. `detector`, `version`
    and `score` are the verdict that a word on an item is kept with, None where there is none. `sentences` say what is
    wrong with an item, `entities` what it belongs to, '' where that is not known. `telling` are the columns whose
    records tell of it; None for an item that the home's features do not hold.
    """

    items: list[str]
    kinds: np.ndarray
    first: np.ndarray
    flagged: np.ndarray
    time: np.ndarray
    detector: list[str | None]
    version: list[int | None]
    score: list[float | None]
    anomalous: list[bool | None]
    sentences: list[str]
    entities: list[str]
    telling: list[tuple[str, ...] | None]

    def __add__(self, other: "Members") -> "Members":
        joined: dict[str, Any] = {}
        for each in fields(self):
            one, two = getattr(self, each.name), getattr(other, each.name)
            joined[each.name] = np.concatenate([one, two]) if isinstance(one, np.ndarray) else one + two
        return Members(**joined)


@dataclass(frozen=True)
class GroupReport:
    """A group as people meet it.

    `items` counts its items and `flagged` the anomalies among them; they began between `first_time` and `last_time`.
    `entities` are the hosts, or whatever the items belong to, with the most items first, of its latest 200 items.
    `example` is the id of one of them. `words` counts what people said of the items, by word.
    """

    kind: str
    severity: str
    items: int
    flagged: int
    first_time: datetime
    last_time: datetime
    entities: dict[str, int]
    sentence: str
    hint: str
    example: str
    words: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def find_groups(store: Store, settings: Settings, domain: Domain) -> tuple[Members, list[Group]]:
    """The items of a home that belong to a group, and the groups, the most worth knowing first.

    An item is an anomaly if the serving detector says so now, or another voice of the domain. Anomalies that the
    home's features do not hold, such as those of a stream that is not read yet, come from their table, and so do all
    those of a domain without knowledge. An item that breaks no rule stays in the group on which people gave their word,
    whatever a later model calls it. Raises: DataError where nothing was read yet.
    """
    members, knowledge = _found(store, settings, domain)
    spoken = _words(store, domain)
    for row in np.flatnonzero(members.first < 0).tolist():
        members.kinds[row] = spoken.get(members.items[row], ("", ""))[1] or members.kinds[row]
    has_word = np.array([item in spoken for item in members.items], bool)
    return members, group_items(members.kinds, members.first, members.flagged, has_word, members.time, knowledge)


def report_groups(
    store: Store, settings: Settings, domain: Domain, limit: int | None = None
) -> tuple[int, list[GroupReport]]:
    """How many groups there are, and the first `limit` of them. Raises: DataError as `find_groups` does."""
    members, groups = find_groups(store, settings, domain)
    shown = groups[:limit]
    hosts = _hosts(store, domain, members, np.concatenate([_sample(group) for group in shown] or [np.zeros(0, int)]))
    spoken = _words(store, domain)
    return len(groups), [_report(group, members, hosts, spoken) for group in shown]


def known_groups(data: Dataset, settings: Settings, domain: Domain) -> list[Group]:
    """The groups of items on which nothing was trained: what the domain knows says which of them are anomalies.

    Raises: DataError for a domain that knows nothing beforehand.
    """
    knowledge = domain.knowledge(settings, data.main.source)
    if knowledge is None:
        raise DataError(
            f"nothing is known of {domain.item.plural} beforehand, so that there are no groups to ask about"
        )
    vocabulary = domain.vocabulary(settings, data.main.source)
    kinds, first, _, flagged = _by_knowledge(data, knowledge, vocabulary)
    return group_items(kinds, first, flagged, data.with_feedback, data.time, knowledge)


def _by_knowledge(
    data: Dataset, knowledge: Knowledge, vocabulary: Vocabulary
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each item (n,): its kind, the rule behind it, the column that a rare one is named after, whether it failed."""
    cases = data.main.cases
    once = data.main.take(cases.first)
    grades = knowledge.grades(once.values, once.unfinished)
    first, gone_wrong = worst(grades)[cases.inverse], failed(grades)[cases.inverse]
    kinds, column = rare_kinds(data, first < 0, knowledge, vocabulary.describe)
    names = np.array([*(rule.kind for rule in knowledge.rules), ""], object)
    return np.where(first >= 0, names[first], kinds), first, column, gone_wrong


def _found(store: Store, settings: Settings, domain: Domain) -> tuple[Members, Knowledge | None]:
    """The items that belong to a group: those of the home's features, and the recorded anomalies that these lack."""
    known, members, knowledge = np.zeros(0, np.int64), None, None
    if domain.day_one:
        serving = serving_detector(settings, domain)
        ready = ready_detectors(settings, domain)
        names = [name for name in domain.voices(settings, serving) if name in ready]
        data = domain.features(store, settings, families(domain, names))
        known, knowledge = data.keys, domain.knowledge(settings, data.main.source)
        if knowledge is not None:
            members = _judged(settings, domain, data, knowledge, names)
    with store.read() as con:
        recorded = [item for (item,) in con.execute(_RECORDED, [domain.name]).fetchall()]
        keys = np.array([domain.item.parse(item) for item in recorded])
        others = [recorded[row] for row in np.flatnonzero(~held(keys, known))]
        rows = con.execute(_ROWS, [domain.name, others]).fetchall() if others else []
    streamed = _recorded(rows)
    return (streamed if members is None else members + streamed), knowledge


def _judged(settings: Settings, domain: Domain, data: Dataset, knowledge: Knowledge, names: Iterable[str]) -> Members:
    """The items of `data` that belong to a group, by what the domain knows and by detectors, the serving one first."""
    scorers = [load_scorer(settings, domain, name) for name in names]
    vocabulary = domain.vocabulary(settings, data.main.source)
    kinds, first, column, _ = _by_knowledge(data, knowledge, vocabulary)
    scores = [scorer.score(data.matrix(scorer.card.family)) for scorer in scorers]
    said = [score >= scorer.card.threshold for score, scorer in zip(scores, scorers, strict=True)]
    flagged = np.logical_or.reduce(said)
    new = np.flatnonzero(flagged & (first < 0))
    explained = dict(
        zip(
            new.tolist(),
            explain_rows_of(settings, domain, scorers[0], data, new, np.ones(len(new), bool)),
            strict=True,
        )
    )
    kinds[new] = [explained[row].kind for row in new.tolist()]
    rows = np.flatnonzero(kinds != "")
    of_rule = [knowledge.columns_of(rule.id) for rule in knowledge.rules]
    rare = f"fewer than one in a hundred {domain.item.plural} have such a set of events, and no rule says what it means"
    sentences: list[str] = []
    telling: list[tuple[str, ...] | None] = []
    for row in rows.tolist():
        rule = int(first[row])
        if rule >= 0:
            sentences.append(knowledge.rules[rule].sentence)
            telling.append(of_rule[rule])
        elif row in explained:
            sentences.append(explained[row].reason)
            telling.append(explained[row].telling)
        else:
            sentences.append(rare)
            telling.append((knowledge.columns[column[row]],))
    serving = scorers[0].card
    return Members(
        items=[domain.item.show(key) for key in data.keys[rows].tolist()],
        kinds=kinds[rows],
        first=first[rows],
        flagged=flagged[rows],
        time=data.time[rows],
        detector=[serving.detector] * len(rows),
        version=[serving.version] * len(rows),
        score=scores[0][rows].tolist(),
        anomalous=said[0][rows].tolist(),
        sentences=sentences,
        entities=[data.entity] * len(rows),
        telling=telling,
    )


def _recorded(rows: list[tuple[Any, ...]]) -> Members:
    """The members that rows of `anomalies` are."""
    items, detector, version, score, kinds, reasons, explanations, time, entities = (
        [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(9)]
    )
    named = [
        kind or _first_difference(explanation) or reason
        for kind, reason, explanation in zip(kinds, reasons, explanations, strict=True)
    ]
    count = len(items)
    return Members(
        items=items,
        kinds=np.array(named, object),
        first=np.full(count, -1),
        flagged=np.ones(count, bool),
        time=np.array([at or 0 for at in time], np.int64),
        detector=detector,
        version=version,
        score=score,
        anomalous=[True] * count,
        sentences=reasons,
        entities=entities,
        telling=[None] * count,
    )


def _first_difference(explanation: str | None) -> str:
    """What differs most, without its numbers: where nobody knows the kind, anomalies are alike by it."""
    try:
        return str(json.loads(explanation or "{}")["differences"][0]["name"])
    except (ValueError, KeyError, IndexError, TypeError):  # another program's verdict
        return ""


def _words(store: Store, domain: Domain) -> dict[str, tuple[str, str]]:
    """The word on each item, and the kind of the group that it was given on, if any."""
    with store.read() as con:
        return {item: (verdict, kind) for item, verdict, kind in con.execute(_SPOKEN, [domain.name]).fetchall()}


def _sample(group: Group) -> np.ndarray:
    """The latest rows of a group: their records lie near each other, where those of all its time are all records."""
    return group.rows[-_LOOKED_UP:]


def _hosts(store: Store, domain: Domain, members: Members, rows: np.ndarray) -> dict[int, str]:
    """What each of the members at `rows` belongs to: its entity, or the host of the first record that tells of it.

    Of anomalies that were recorded it is known; the records of the others are asked.
    """
    items = [members.items[row] for row in rows.tolist() if not members.entities[row]]
    with store.read() as con:
        hosts = dict(con.execute(_HOSTS, [domain.name, items]).fetchall()) if items else {}
    wanted = {}
    for row in rows.tolist():
        item, telling = members.items[row], members.telling[row]
        if not members.entities[row] and item not in hosts and telling is not None:
            wanted[domain.item.parse(item)] = telling
    places = domain.places(store, wanted) if wanted else {}
    hosts |= {domain.item.show(key): place.host for key, place in places.items()}
    return {row: members.entities[row] or hosts.get(members.items[row]) or "" for row in rows.tolist()}


def _report(group: Group, members: Members, hosts: dict[int, str], spoken: dict[str, tuple[str, str]]) -> GroupReport:
    anomalies = group.rows[members.flagged[group.rows]]
    example = int((anomalies if len(anomalies) else group.rows)[-1])
    item = members.items[example]
    of = Counter(hosts[row] for row in _sample(group).tolist() if hosts[row])
    look = f"look at one of them (`hdfs-pipeline explain {item}`), and say what they are (`feedback --group`)"
    times = [datetime.fromtimestamp(int(members.time[group.rows[at]]) / 1e6, UTC) for at in (0, -1)]
    return GroupReport(
        kind=group.kind,
        severity=group.severity,
        items=len(group),
        flagged=group.flagged,
        first_time=times[0],
        last_time=times[1],
        entities=dict(of.most_common(_NAMED)),
        sentence=group.rule.sentence if group.rule else members.sentences[example],
        hint=group.rule.hint if group.rule else look,
        example=item,
        words=dict(Counter(spoken[each][0] for row in group.rows.tolist() if (each := members.items[row]) in spoken)),
    )
