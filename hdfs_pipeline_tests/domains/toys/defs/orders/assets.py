"""Orders in Dagster: what is read of them, and the chain that every domain has."""

import dagster as dg

from hdfs_pipeline.defs.common.freshness import DAILY
from hdfs_pipeline.defs.common.reading import reading
from hdfs_pipeline.defs.learning.chain import learning_chain
from hdfs_pipeline.domains import domain_named


@dg.definitions
def orders() -> dg.Definitions:
    """From files to incidents."""
    domain = domain_named("orders")
    return dg.Definitions.merge(
        reading(domain, table="order_events", labels="order_labels", freshness=DAILY),
        learning_chain(domain, features=["order_events"], known=["order_labels"], freshness=DAILY),
    )
