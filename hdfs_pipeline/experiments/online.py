"""The online split: people look at flagged items, the model learns their labels, and it scores the next items.

Predict first, learn afterwards, in the order of time: Gama, Sebastião and Rodrigues, "On Evaluating Stream Learning
Algorithms" (Machine Learning 90, 2013). Here labels come late, and only those of flagged items.
"""

from collections.abc import Callable

import numpy as np

from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.learning.training import fit
from hdfs_pipeline.scoring.dataset import Dataset, joined
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings


def walk(
    scorer: Scorer,
    domain: Domain,
    learn: Dataset,
    test: Dataset,
    settings: Settings,
    on_step: Callable[[str], None] = lambda _: None,
) -> np.ndarray:
    """Scores (n,) of the items of `test`, each as a multiple of the threshold in use when the item began.

    `scorer` has learned `learn`. The label of a flagged item is known `online_delay_s` seconds after the item began.
    Then a model learns all of `learn` and all known labels, and scores the next items. The delay is also the shortest
    time between two trainings. No score depends on an item that began later.
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
            flagged = past[(scores[past] >= 1) & (test.time[past] <= times[at] - delay)]
            if len(flagged) > len(known):
                known = flagged
                on_step(f"{scorer.card.detector}: {at:,} of {len(order):,} {domain.item.plural}, {len(known):,} labels")
                scorer = fit(joined(learn, test.take(known)), domain, scorer.card.detector, settings)
    return scores
