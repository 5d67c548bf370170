"""How many injected anomalies of each kind the models of messages find, and how many false alarms they give.

Simulated days of services without anomalies, and with the five kinds, are what is learned and judged.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.bench.detected import Aim, Figure, mean
from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.applogs import explain
from hdfs_pipeline.domains.applogs.bursts import Bursts
from hdfs_pipeline.domains.applogs.features import matrices
from hdfs_pipeline.domains.applogs.item import DOMAIN, MESSAGE
from hdfs_pipeline.domains.applogs.simulate import KINDS, simulate
from hdfs_pipeline.domains.applogs.templates import learned_from, matched
from hdfs_pipeline.domains.record_ids import record_keys
from hdfs_pipeline.scoring.catalogue import UNKNOWN, Catalogue
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.labels import UNLABELLED
from hdfs_pipeline.scoring.reasons import reasons
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings

_BEGIN: Final = datetime(2026, 11, 2, tzinfo=UTC)  # a Monday
_DAYS: Final = 8.0
_LEARNED: Final = 7.0
_RATE: Final = 0.3
LOW: Final = 0.008
"""A contamination at which at most one in a hundred normal messages is flagged."""
_DAY_US: Final = 86_400e6
_NAMED: Final = dict(
    zip(KINDS, (explain.SPIKE, explain.STRANGER, explain.DEVIATION, explain.ODD_TIME, explain.KEYWORD), strict=True)
)
"""What each kind that is injected is called by the domain."""


@dataclass(frozen=True)
class Found:
    """Of the messages of a kind of anomaly how many there were, were found, and were called by its name."""

    there: int
    found: int
    named: int


@dataclass(frozen=True)
class Figures:
    """What a model found on simulated days, by kind, and the share of normal messages that it flagged."""

    contamination: float
    by_kind: dict[str, Found]
    normal: int
    false_alarms: int


def simulated(seed: int, settings: Settings, days: float = _DAYS, rate: float = _RATE) -> tuple[Dataset, np.ndarray]:
    """Days with anomalies in their last part, as a dataset without labels, and the label (n,) of each message.

    Templates are those that a home has: of the days that were learned.
    """
    table = simulate(
        begin=_BEGIN,
        duration_s=days * 86_400,
        rate=rate,
        anomalies=KINDS,
        seed=seed,
        per_day=24.0,
        quiet=_LEARNED / _DAYS,
    ).table
    return dataset_of(table, settings, _LEARNED * _DAY_US), np.array(table["label"].to_pylist(), str)


def dataset_of(table: pa.Table, settings: Settings, learned_us: float) -> Dataset:
    """Simulated messages as a dataset in their order, with the templates that a home has that has learned so long."""
    import pyarrow.compute as pc

    text = pc.extract_regex(table["message"], r"^(?P<first>[^\n]*)")
    message = pc.struct_field(text, "first").combine_chunks()
    time = table["time"].cast(pa.int64()).to_numpy()
    levels = table["level"].to_pylist()
    catalogue = Catalogue("app_logs", 0, ())
    # As in a home: from the first messages, and before a training from what none of these templates matches.
    for known in (np.arange(len(time)) < settings.app_first_messages, time < time[0] + learned_us):
        unknown = np.flatnonzero(known & (np.array(matched(catalogue, message).to_pylist()) == UNKNOWN))
        texts = message.take(pa.array(unknown)).to_pylist()
        seen = Counter(zip([levels[row] for row in unknown.tolist()], texts, strict=True))
        mined = [("", level, said, count) for (level, said), count in seen.items()]
        catalogue = learned_from(mined, catalogue)
    services = table["service"].to_pylist()
    messages, errors = Bursts().count([1] * len(time), services, time, levels)
    keys = record_keys(1, np.arange(len(time)))
    columns = {
        "message_id": pa.array(keys),
        "time": table["time"],
        "service": pa.array(services),
        "level": pa.array(levels),
        "message": message,
        "template": matched(catalogue, message),
        "messages": pa.array(messages),
        "errors": pa.array(errors),
    }
    unlabelled, no_kind = np.full(len(time), UNLABELLED, np.int8), np.full(len(time), "", object)
    found = matrices(pa.table(columns), settings)
    return Dataset(DOMAIN, found, time, unlabelled, no_kind, plural=MESSAGE.plural, alike=MESSAGE.alike)


def figures(scorer: Scorer, data: Dataset, labels: np.ndarray, settings: Settings) -> Figures:
    """What a model, and the rules beside it, find among messages with known labels (n,)."""
    domain = domain_named(DOMAIN)
    flagged = scorer.score(data.main) >= scorer.card.threshold
    knowledge = domain.knowledge(settings, "")
    assert knowledge is not None
    rows = np.flatnonzero(flagged & (labels != ""))
    told = reasons(scorer, data.matrices, domain.vocabulary(settings, ""), knowledge, rows, np.ones(len(rows), bool))
    names = dict(zip(rows.tolist(), (each.kind for each in told), strict=True))
    by_kind = {}
    for kind in KINDS:
        own = np.flatnonzero(labels == kind)
        found = own[flagged[own]]
        named = sum(names[row] == _NAMED[kind] for row in found.tolist())
        by_kind[kind] = Found(len(own), len(found), named)
    normal = labels == ""
    return Figures(settings.app_contamination, by_kind, int(normal.sum()), int((flagged & normal).sum()))


def judge(seed: int, contaminations: Sequence[float], settings: Settings) -> list[Figures]:
    """Learn a simulated week without anomalies, and judge a day with them, at each contamination."""
    from hdfs_pipeline.learning.training import fit

    domain = domain_named(DOMAIN)
    data, labels = simulated(seed, settings)
    later = data.time >= data.time[0] + _LEARNED * _DAY_US
    judged = []
    for contamination in contaminations:
        own = settings.model_copy(update={"app_contamination": contamination})
        scorer = fit(data.take(~later), domain, "message_forest", own)
        judged.append(figures(scorer, data.take(later), labels[later], own))
    return judged


def detected_messages(seeds: Sequence[int], settings: Settings) -> Iterator[Figure]:
    """The figures of the model at a low contamination, at which few alarms are false, and at that of the settings."""
    contaminations = tuple(dict.fromkeys((LOW, settings.app_contamination)))
    judged = [judge(seed, contaminations, settings) for seed in seeds]
    for place, contamination in enumerate(contaminations):
        own = [each[place] for each in judged]
        voice, is_low = f"contamination {contamination:g}", contamination == LOW
        for kind in KINDS:
            found = [each.by_kind[kind] for each in own]
            shares, cases = [each.found / max(each.there, 1) for each in found], sum(each.there for each in found)
            yield mean(DOMAIN, voice, f"{kind}: recall", shares, cases, Aim(0.9) if is_low else None)
            named = [each.named / max(each.found, 1) for each in found]
            yield mean(DOMAIN, voice, f"{kind}: called so of those found", named, sum(each.found for each in found))
        shares = [each.false_alarms / max(each.normal, 1) for each in own]
        limit = Aim(0.01, at_most=True) if is_low else None
        yield mean(DOMAIN, voice, "false alarms of normal ones", shares, sum(each.normal for each in own), limit)
