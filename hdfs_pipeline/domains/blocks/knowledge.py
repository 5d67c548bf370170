"""What is known of a block's life before anything was learned: a catalogue's rules, over its stages and severities.

A catalogue ``hdfs_3.v2.csv`` has its rules in ``hdfs_3.rules.toml``, whatever its version. A file of that name among
the home's own catalogues takes the place of the shipped one.
"""

from typing import Final

import numpy as np

from hdfs_pipeline.domains.blocks.catalogue import SHIPPED, STAGES
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.catalogue import FAILURE, NOTABLE, ROUTINE, Catalogue
from hdfs_pipeline.scoring.explain import SEVERITIES
from hdfs_pipeline.scoring.knowledge import Knowledge, Rule, compile_rules, read_rules
from hdfs_pipeline.settings import Settings

_EVERY_FAILURE: Final = Rule(
    "other-failure", "failure reported", FAILURE, "a message about the block reports a failure",
    "read the record that is marked", "The catalogue calls the message a failure.", ("failure >= 1",),
)  # fmt: skip


def knowledge_of(catalogue: Catalogue, settings: Settings) -> Knowledge:
    """The rules of a catalogue, without those that the setting `rules_left_out` names.

    A catalogue without a file of rules has one: a message that it calls a failure. Raises: DataError for a file of
    rules that cannot be used.
    """
    paths = [place / f"{catalogue.name}.rules.toml" for place in (settings.catalogues, SHIPPED)]
    path = next((path for path in paths if path.is_file()), None)
    rules = read_rules(path) if path else [_EVERY_FAILURE]
    severity = np.array([catalogue.severity(column) for column in catalogue.columns])
    known = catalogue.by_id
    stage = np.array([known[column].stage if column in known else "" for column in catalogue.columns])
    groups = {name: severity == name for name in SEVERITIES}
    for name in STAGES:
        groups[name] = (stage == name) & (severity == ROUTINE)
        groups |= {f"{name}.{grade}": (stage == name) & (severity == grade) for grade in (NOTABLE, FAILURE)}
    passing = groups["read"] | groups["verify"]
    try:
        knowledge = compile_rules(rules, catalogue.columns, groups, severity == FAILURE, passing)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    return knowledge.without(settings.rules_left_out)
