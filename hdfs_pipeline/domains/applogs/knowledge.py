"""What is known of messages before anything was learned: rules over what one says and the minute that it is in."""

from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from hdfs_pipeline.detectors.message_forest import COLUMNS
from hdfs_pipeline.scoring.knowledge import Knowledge, compile_rules, read_rules
from hdfs_pipeline.settings import Settings

_FILE: Final = Path(__file__).parent / "messages.rules.toml"
_FAILURES: Final = ("fatal",)


def knowledge_of(settings: Settings) -> Knowledge:
    """The shipped rules without those that the setting `rules_left_out` names."""
    return _knowledge().without(settings.rules_left_out)


@lru_cache(maxsize=1)
def _knowledge() -> Knowledge:
    failures = np.array([column in _FAILURES for column in COLUMNS])
    return compile_rules(read_rules(_FILE), COLUMNS, {}, failures)
