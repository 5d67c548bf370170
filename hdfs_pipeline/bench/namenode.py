"""How long a day of NameNode samples takes to train on and to score, and what else a training costs."""

import time
from typing import Any, Final

import numpy as np

from hdfs_pipeline.bench.samples import machine
from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.champions import load_scorer
from hdfs_pipeline.domains.namenode.detectors import LEARNING, RULES
from hdfs_pipeline.domains.namenode.explain import judge
from hdfs_pipeline.domains.namenode.features import dataset
from hdfs_pipeline.domains.namenode.metrics import COLUMNS
from hdfs_pipeline.domains.namenode.series import Series
from hdfs_pipeline.learning.training import fit
from hdfs_pipeline.settings import Settings

DAY_STEPS: Final = 17_280
"""Steps of 24 hours at 5 s."""

_TRAIN_S, _SCORE_S = 180.0, 10.0


def day_of_samples(steps: int, seed: int) -> Series:
    """A made-up day of every metric: a daily wave, slow noise that metrics share, their own noise, idle stretches."""
    draw = np.random.default_rng(seed)
    times = np.arange(steps) * 5.0 + 1.7e9
    wave = np.sin(2 * np.pi * np.arange(steps) / DAY_STEPS)
    shared = np.cumsum(draw.normal(0, 0.02, (steps, 4)), axis=0)
    mixed = shared @ draw.normal(0, 1, (4, len(COLUMNS))) + wave[:, None] * draw.uniform(0, 1, len(COLUMNS))
    values = np.exp(0.3 * mixed + 0.1 * draw.normal(0, 1, (steps, len(COLUMNS)))) * draw.uniform(0.5, 50, len(COLUMNS))
    idle = draw.random((steps // 60 + 1, len(COLUMNS))).repeat(60, axis=0)[:steps] < 0.1
    values[idle] = np.nan
    none = np.zeros(steps, bool)
    roles = np.full(steps, "active", dtype=object)
    return Series(times, values.astype(np.float32), COLUMNS, roles, none, none)


def bench_namenode(settings: Settings, steps: int = DAY_STEPS) -> dict[str, Any]:
    """Train on `steps` steps of every metric and score as many; a JSON-able dict with seconds, aims and the machine."""
    domain = domain_named("namenode")
    day, later = (dataset(day_of_samples(steps, settings.seed + more), settings) for more in (0, 1))
    start = time.perf_counter()
    scorers = {name: fit(day, domain, name, settings) for name in LEARNING}
    train_s = time.perf_counter() - start
    rules = load_scorer(settings, domain, RULES)
    start = time.perf_counter()
    judge(later.main.inputs, scorers | {RULES: rules})
    score_s = time.perf_counter() - start
    return {
        "steps": steps,
        "metrics": len(COLUMNS),
        "train_s": train_s,
        "score_s": score_s,
        "steps_per_s": steps / score_s,
        "detectors": {
            name: {"train_s": scorer.card.facts["seconds"], **scorer.card.facts["facts"]}
            for name, scorer in scorers.items()
        },
        "targets": [
            {"what": "seconds to train, at most", "value": train_s, "aim": _TRAIN_S, "met": train_s <= _TRAIN_S},
            {"what": "seconds to score, at most", "value": score_s, "aim": _SCORE_S, "met": score_s <= _SCORE_S},
        ],
        "machine": machine(),
    }
