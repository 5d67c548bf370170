"""Drift as it is lived with: alarms are looked at, what is said of them is learned, and the next blocks meet that.

Predict first, learn afterwards, in the order of time: Gama, Sebastião and Rodrigues, "On Evaluating Stream Learning
Algorithms" (Machine Learning 90, 2013), with delayed labels, and only of what was flagged.
"""

from collections.abc import Callable

import numpy as np

from hdfs_pipeline.learning.training import fit
from hdfs_pipeline.scoring.dataset import Dataset, joined
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings


def walk(
    scorer: Scorer,
    learn: Dataset,
    test: Dataset,
    settings: Settings,
    on_step: Callable[[str], None] = lambda _: None,
) -> np.ndarray:
    """Scores (n,) of the blocks of `test`, each as a multiple of the threshold that stood when the block began.

    `scorer` has learned `learn`. From `online_delay_s` seconds after a flagged block began its label is known; then a
    model learns all of `learn` and all that is known, and scores on. The delay is also the shortest time between two
    trainings. All of it is fixed beforehand: nothing that lies ahead of a block has a part in its score.
    """
    delay = round(settings.online_delay_s * 1e6)
    order = np.argsort(test.time, kind="stable")
    times = test.time[order]
    scores, known, at = np.zeros(len(test)), np.zeros(0, np.int64), 0
    while at < len(order):
        until = max(int(np.searchsorted(times, times[at] + delay)), at + 1)
        rows = order[at:until]
        scores[rows] = scorer.score(test.matrix(scorer.card.family).take(rows)) / scorer.card.threshold
        at = until
        if at < len(order):
            past = order[:at]
            told = past[(scores[past] >= 1) & (test.time[past] <= times[at] - delay)]
            if len(told) > len(known):
                known = told
                on_step(f"{scorer.card.detector}: {at:,} of {len(order):,} blocks, {len(known):,} verdicts")
                scorer = fit(joined(learn, test.take(known)), scorer.card.detector, settings)
    return scores
