"""What is known of requests before anything was learned: rules over their features."""

import math
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from hdfs_pipeline.domains.weblogs.columns import COLUMNS, SIGNS
from hdfs_pipeline.scoring.knowledge import Knowledge, compile_rules, read_rules
from hdfs_pipeline.settings import Settings

_RULES: Final = Path(__file__).with_name("requests.rules.toml")
_GROUPS: Final = {
    "traversal": ("PATH_TRAVERSAL", "QUERY_TRAVERSAL"),
    "injection": ("PATH_INJECTION", "QUERY_INJECTION"),
    "refused": ("CLIENT_ERROR", "SERVER_ERROR"),
}


def knowledge_of(settings: Settings) -> Knowledge:
    """The shipped rules with the limits of the settings, without those that the setting `rules_left_out` names."""
    many = 1 << int(math.log2(settings.request_misses))  # as misses are counted: down to a power of two
    return _knowledge(many, math.ceil(settings.request_slow_s * 1000)).without(settings.rules_left_out)


@lru_cache(maxsize=8)
def _knowledge(many: int, slow: int) -> Knowledge:
    columns = tuple(COLUMNS)
    limits = {"many": many, "slow": slow}
    rules = [
        replace(rule, when=tuple(" ".join(str(limits.get(word, word)) for word in each.split()) for each in rule.when))
        for rule in read_rules(_RULES)
    ]
    groups = {name: np.isin(columns, members) for name, members in _GROUPS.items()}
    return compile_rules(rules, columns, groups, np.isin(columns, list(SIGNS)))
