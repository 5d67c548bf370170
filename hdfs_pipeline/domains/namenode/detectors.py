"""The parameters and thresholds of this domain's detectors, from the settings."""

from typing import Any, Final

from hdfs_pipeline.detectors import detector_row
from hdfs_pipeline.domains.namenode.frames import HOLD_S
from hdfs_pipeline.scoring.runs import Persistence
from hdfs_pipeline.scoring.thresholds import Quiet, Threshold
from hdfs_pipeline.settings import Settings

LEARNING: Final = ("lstm_autoencoder", "pca_residual", "deviation")
"""The detectors that learn, in the order they are shown."""
RULES: Final = "static_rules"
"""The detector that serves without a training."""
_LSTM: Final = LEARNING[0]


def params_of(settings: Settings, name: str) -> dict[str, Any]:
    """The parameters of a detector of NameNode metrics."""
    if name == _LSTM:
        chosen = ("sequence_length", "latent_dim", "epochs", "batch_size", "validation_split")
        return {param: getattr(settings, f"namenode_{param}") for param in chosen}
    if name == RULES:
        limits = {
            "RpcQueueTimeAvgTime": settings.namenode_queue_limit_ms,
            "RpcProcessingTimeAvgTime": settings.namenode_processing_limit_ms,
            "GcTotalExtraSleepTime": settings.namenode_sleep_limit_ms,
        }
        return {"limits": limits}
    return {}


def threshold_of(settings: Settings, name: str) -> Threshold:
    """How the threshold of a detector is fixed."""
    if name not in LEARNING:
        return detector_row(name).threshold(settings)
    return Quiet(
        settings.namenode_percentile,
        settings.namenode_margin,
        settings.namenode_least_s,
        settings.namenode_gap_s,
        few=settings.namenode_sequence_length,
    )


def persistence(settings: Settings) -> Persistence:
    """How long anomalies must last to make an incident, by the settings."""
    return Persistence(settings.namenode_least_s, settings.namenode_gap_s)


def lead_s(settings: Settings) -> float:
    """Seconds before a step that its score depends on: its window, and the time that a bean's values are held."""
    return settings.namenode_sequence_length * max(settings.namenode_poll_s, 1.0) * 2 + HOLD_S
