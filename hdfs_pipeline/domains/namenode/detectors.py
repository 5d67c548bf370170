"""The parameters and thresholds of this domain's detectors, from the settings."""

from typing import Any, Final

from hdfs_pipeline.detectors import detector_row
from hdfs_pipeline.detectors.series.lstm_autoencoder import LstmAutoencoder
from hdfs_pipeline.detectors.series.majority import Majority
from hdfs_pipeline.domains.namenode.frames import HOLD_S
from hdfs_pipeline.scoring.runs import Persistence
from hdfs_pipeline.scoring.thresholds import Quiet, Threshold
from hdfs_pipeline.settings import Settings

MAIN: Final = Majority.name
"""The detector that serves once it is trained."""
LEARNING: Final = (MAIN, "pca_residual", "deviation")
"""The detectors that a training trains, in the order they are shown. The first holds an LSTM autoencoder, the only one
that takes long; for itself that one is trained by name only."""
RULES: Final = "static_rules"
"""The detector that serves without a training."""
_NETWORKS: Final = (MAIN, LstmAutoencoder.name)


def params_of(settings: Settings, name: str) -> dict[str, Any]:
    """The parameters of a detector of NameNode metrics."""
    if name in _NETWORKS:
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
    if name == RULES:
        return detector_row(name).threshold(settings)
    return Quiet(
        settings.namenode_percentile,
        settings.namenode_margin,
        settings.namenode_least_s,
        settings.namenode_gap_s,
        few=settings.namenode_sequence_length,
        power=2.0 if name == MAIN else 1.0,
    )


def persistence(settings: Settings) -> Persistence:
    """How long anomalies must last to make an incident, by the settings."""
    return Persistence(settings.namenode_least_s, settings.namenode_gap_s)


def lead_s(settings: Settings) -> float:
    """Seconds before a step that its score depends on: its window, and the time that a bean's values are held."""
    return settings.namenode_sequence_length * max(settings.namenode_poll_s, 1.0) * 2 + HOLD_S
