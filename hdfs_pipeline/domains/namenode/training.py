"""Train the detectors of NameNode metrics on a baseline, and judge any stretch of steps with them."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as version_of
from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains.namenode.baseline import Finding, Span, require
from hdfs_pipeline.domains.namenode.detectors import Detector, PcaResidual
from hdfs_pipeline.domains.namenode.incidents import Judged, iso, usual_callers
from hdfs_pipeline.domains.namenode.lstm import LstmAutoencoder
from hdfs_pipeline.domains.namenode.models import DETECTORS, Card, Model
from hdfs_pipeline.domains.namenode.process import TopUsers
from hdfs_pipeline.domains.namenode.rules import StaticRules
from hdfs_pipeline.domains.namenode.runs import Persistence, calibrate
from hdfs_pipeline.domains.namenode.windows import Frame, Scale
from hdfs_pipeline.settings import Settings

_BLOCKS: Final = 5  # parts of the baseline, each judged by a model of the others
_MOST_RAISED: Final = 3.0  # times: no mark may blind a detector


def persistence(settings: Settings) -> Persistence:
    """What makes an incident, by the settings."""
    return Persistence(settings.namenode_least_s, settings.namenode_gap_s)


def params_of(settings: Settings) -> dict[str, Any]:
    """Parameters of the LSTM autoencoder by the settings."""
    names = ("sequence_length", "latent_dim", "epochs", "batch_size", "validation_split")
    return {name: getattr(settings, f"namenode_{name}") for name in names}


@dataclass(frozen=True)
class Training:
    """The models of one training by detector."""

    models: dict[str, Model]

    @property
    def scale(self) -> Scale:
        """What is usual of each metric."""
        return self.models[LstmAutoencoder.name].detector.scale

    @property
    def usual_users(self) -> dict[str, dict[str, float]]:
        """Mean calls a minute in the baseline, by operation and user."""
        return self.models[LstmAutoencoder.name].card.users


def train(
    frame: Frame,
    settings: Settings,
    *,
    version: int = 1,
    namenode: str = "",
    role: str = "",
    left_out: Sequence[tuple[Span, str]] = (),
    false_alarms: tuple[Frame, np.ndarray] | None = None,
    findings: Sequence[Finding] = (),
    users: Sequence[TopUsers] | None = None,
    seed: int | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Training:
    """Train every detector on the baseline `frame` and fix its threshold there.

    `false_alarms` is a longer frame, and which of its steps (n,) bool raised an alarm that somebody said was none:
    thresholds go up until these are quiet, threefold at most. `namenode`, `role`, `left_out`, `findings`
    and `users` go into the card.
    Raises: DataError where the baseline is too short.
    """
    require(frame, settings.namenode_sequence_length)
    seed = settings.seed if seed is None else seed
    rule = persistence(settings)
    found = {}
    for name, cls in DETECTORS.items():
        on_step(name)
        begun = time.perf_counter()
        params = params_of(settings) if name == LstmAutoencoder.name else {}
        detector = cls.fit(frame, params, seed)
        scores = _own_scores(cls, detector, frame, params, seed)
        threshold, said = calibrate(
            frame.times,
            scores,
            settings.namenode_percentile,
            settings.namenode_margin,
            rule,
            few=settings.namenode_sequence_length,
        )
        if false_alarms is not None and false_alarms[1].any():
            marked = detector.residuals(false_alarms[0]).mean()[false_alarms[1]]
            threshold, said = _quieter(marked, threshold, said)
        found[name] = Model(
            detector,
            Card(
                detector=name,
                version=version,
                namenode=namenode,
                role=role,
                columns=frame.columns,
                threshold=threshold,
                rule=said,
                params=params,
                seed=seed,
                trained_from=iso(frame.times[0]),
                trained_to=iso(frame.times[-1]),
                steps=len(frame),
                left_out=[{"from": iso(start), "to": iso(end), "why": why} for (start, end), why in left_out],
                findings=[each.to_json() for each in findings],
                facts=detector.facts(),
                users=usual_callers(users or ()),
                fingerprint=hashlib.sha256(frame.values.tobytes() + frame.times.tobytes()).hexdigest(),
                libraries={package: version_of(package) for package in ("numpy", "torch", "safetensors")},
                seconds=round(time.perf_counter() - begun, 2),
                created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            ),
        )
    return Training(found)


def _own_scores(
    cls: type[Detector], detector: Detector, frame: Frame, params: Mapping[str, Any], seed: int
) -> np.ndarray:
    """Scores (n,) of the baseline.

    With PCA each fifth is judged by a model of the others: a few dozen steps are explained by their own principal
    components far better than those that follow.
    """
    if cls.name != PcaResidual.name or len(frame) < 2 * _BLOCKS:
        return detector.residuals(frame).mean()
    parts = []
    for rows in np.array_split(np.arange(len(frame)), _BLOCKS):
        others = np.setdiff1d(np.arange(len(frame)), rows)
        parts.append(cls.fit(frame.rows(others), params, seed).residuals(frame.rows(rows)).mean())
    return np.concatenate(parts)


def _quieter(scores: np.ndarray, threshold: float, said: str) -> tuple[float, str]:
    highest = float(np.nanmax(scores)) if (~np.isnan(scores)).any() else 0.0
    if highest < threshold:
        return threshold, said
    level = min(float(np.nextafter(highest, np.inf)), _MOST_RAISED * threshold)
    return level, f"{said}, raised for what was marked as false"


def judge(frame: Frame, training: Training, settings: Settings, factor: float = 1.0) -> list[Judged]:
    """What each detector, the static rules among them, says of `frame`. `factor` multiplies the learned thresholds."""
    found = []
    for name, model in training.models.items():
        residuals = model.detector.residuals(frame)
        card = model.card
        found.append(Judged(name, residuals.mean(), card.threshold * factor, residuals, card.version, card.rule))
    rules = StaticRules.of_settings(settings)
    found.append(Judged(rules.name, rules.score(frame), 1.0, rules.residuals(frame), 0, "a limit is reached"))
    return found
