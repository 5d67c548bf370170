"""What is known of a daemon's minute before anything was learned: rules over what its records are about."""

from functools import lru_cache
from typing import Final

import numpy as np

from hdfs_pipeline.domains.daemons.catalogue import SHIPPED, TOPICS, described
from hdfs_pipeline.scoring.explain import FAILURE, SEVERITIES
from hdfs_pipeline.scoring.knowledge import Knowledge, compile_rules, read_rules
from hdfs_pipeline.settings import Settings

_ROUTINE: Final = SEVERITIES[0]


def knowledge_of(settings: Settings) -> Knowledge:
    """The shipped rules without those that the setting `rules_left_out` names."""
    return _knowledge().without(settings.rules_left_out)


@lru_cache(maxsize=1)
def _knowledge() -> Knowledge:
    known = described()
    by_id, columns = known.catalogue.by_id, known.columns
    severity = np.array([by_id[name].gravity if name in by_id else "" for name in columns])
    topic = np.array([by_id[name].stage if name in by_id else "" for name in columns])
    groups = {
        name if grade == _ROUTINE else f"{name}.{grade}": (topic == name) & (severity == grade)
        for name in TOPICS
        for grade in SEVERITIES
    }
    rules = read_rules(SHIPPED / f"{known.catalogue.name}.rules.toml")
    return compile_rules(rules, columns, groups, severity == FAILURE, severity == _ROUTINE)
