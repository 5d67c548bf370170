"""Whether one model is better than another on the same labelled items, beyond chance.

The paired randomisation test (Noreen 1989, Computer-Intensive Methods for Testing Hypotheses; Yeh 2000, More accurate
tests for the statistical significance of result differences, for F1): if the two models were alike, each item's two
answers could as well be swapped. How often does a random swapping lead by as much as was seen? It holds for few items
too, and for figures such as F1 that are no mean over items, where a bootstrap of few disagreements is too sure.
"""

from dataclasses import dataclass

import numpy as np

from hdfs_pipeline.scoring.evaluation import figures_of_draws

_DRAWS = 2000
_AT_ONCE = 4_000_000  # numbers in one array


@dataclass(frozen=True)
class Lead:
    """How far a figure of one model lies above that of another, and the chance `p` of such a lead between equals."""

    value: float
    p: float


def lead(labels: np.ndarray, mine: np.ndarray, theirs: np.ndarray, metric: str, seed: int) -> Lead:
    """The lead of `mine` over `theirs` in a figure of the evaluation, with labels (n,) of 0 and 1.

    `mine` and `theirs` (n,) are the two models' answers for each item: for PR-AUC their scores, of which only the order
    counts, and for the other figures whether they flag it.
    """
    from scipy.sparse import csr_array
    from scipy.stats import rankdata

    answers = np.concatenate([rankdata(mine), rankdata(theirs)] if metric == "pr_auc" else [mine, theirs])
    values, place = np.unique(-answers.astype(np.float64), return_inverse=True)
    of_mine, of_theirs = np.split(place, 2)
    # Items of one label on which both models say the same are alike: they are swapped as one.
    cells, counts = np.unique(np.stack([of_mine, of_theirs, labels == 1]), axis=1, return_counts=True)
    rows, anomalous = np.arange(len(counts)), cells[2].astype(bool)
    at = [csr_array((np.ones(len(counts)), (rows, side)), shape=(len(counts), len(values))) for side in cells[:2]]

    def difference(swapped: np.ndarray) -> np.ndarray:
        """The difference (s,) of the two figures with `swapped` (s, k) items of each cell swapped."""
        kept, sides = counts - swapped, []
        for ours, others in ((at[0], at[1]), (at[1], at[0])):
            positives, negatives = ((kept * of) @ ours + (swapped * of) @ others for of in (anomalous, ~anomalous))
            sides.append(figures_of_draws(positives, negatives, values <= -1)[metric])
        found: np.ndarray = sides[0] - sides[1]
        return found

    seen = float(difference(np.zeros((1, len(counts))))[0])
    random, as_far = np.random.default_rng(seed), 0
    step = max(1, min(_DRAWS, _AT_ONCE // max(len(counts), len(values))))
    for begin in range(0, _DRAWS, step):
        draws = random.binomial(counts, 0.5, (min(step, _DRAWS - begin), len(counts)))
        as_far += int((difference(draws) >= seen - 1e-12).sum())
    return Lead(seen, (1 + as_far) / (1 + _DRAWS))
