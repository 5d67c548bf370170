"""Pictures of an evaluation: precision over recall and ROC, as PNG bytes."""

from collections.abc import Mapping
from io import BytesIO
from itertools import cycle

import numpy as np

from hdfs_pipeline.learning.training import Tested
from hdfs_pipeline.scoring.evaluation import Steps


def curves_png(tests: Mapping[str, Tested], title: str) -> bytes:
    """Both curves, one line per entry of `tests`, with the point at the fixed threshold marked."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.4))
    # Matplotlib's own layout engine draws all twice, which took half the time of a picture whose margins never change.
    figure.subplots_adjust(left=0.065, right=0.985, bottom=0.125, top=0.92, wspace=0.18)
    precision_axes, roc_axes = figure.subplots(1, 2)
    colours = colormaps["tab10" if len(tests) <= 10 else "tab20"].colors  # type: ignore[attr-defined]
    for (name, tested), colour in zip(tests.items(), cycle(colours), strict=False):
        precision, recall, false = curve(tested.scores, tested.labels)
        evaluation = tested.evaluation
        area, roc = evaluation.pr_auc, evaluation.roc_auc
        areas = [f"{area:.3f}" if area is not None else "–", f"{roc:.4f}" if roc is not None else "–"]
        label = f"{name} (PR-AUC {areas[0]})"
        line = precision_axes.step(recall, precision, where="post", color=colour, label=label)[0]
        precision_axes.plot(evaluation.recall, evaluation.precision, "o", color=line.get_color())
        roc_axes.step(false, recall, where="post", color=line.get_color(), label=f"{name} (ROC-AUC {areas[1]})")
    precision_axes.set(xlabel="recall", ylabel="precision", title=title, xlim=(-0.02, 1.02), ylim=(-0.02, 1.04))
    roc_axes.set(xlabel="share of normal items flagged", ylabel="recall", title="ROC (symmetric log)")
    roc_axes.set_xscale("symlog", linthresh=1e-3)
    roc_axes.set(xlim=(0, 1), ylim=(-0.02, 1.04))
    precision_axes.legend(loc="lower left", fontsize=8)
    roc_axes.legend(loc="lower right", fontsize=8)
    for axes in (precision_axes, roc_axes):
        axes.grid(alpha=0.3)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def curve(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and share of normal items flagged at each distinct score, from the highest down."""
    return Steps.of(scores, labels == 1).curve()
