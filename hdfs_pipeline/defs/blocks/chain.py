"""The learning chain of block logs: everything from the event matrix on."""

import dagster as dg

from hdfs_pipeline.defs.blocks.assets import CATALOGUES
from hdfs_pipeline.defs.common.freshness import DAILY
from hdfs_pipeline.defs.learning.chain import learning_chain
from hdfs_pipeline.domains import domain_named

_SAME = {"item": "block_id", "first_time": "first_time", "last_time": "last_time", "records": "lines"}


@dg.definitions
def chain() -> dg.Definitions:
    """Models, scores and anomalies of blocks, with their checks, jobs, sensors and schedules."""
    return learning_chain(
        domain_named("blocks"),
        features=["event_matrix"],
        known=["labels", "feedback"],
        freshness=DAILY,
        data=CATALOGUES,
        scores_lineage={"item": [("event_matrix", "block_id")], "score": [("event_matrix", "counts")]},
        anomalies_lineage={name: [("event_matrix", column)] for name, column in _SAME.items()},
    )
