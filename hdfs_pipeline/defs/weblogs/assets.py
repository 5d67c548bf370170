"""Web requests in Dagster: what is read of access logs, and the chain that every domain has."""

import dagster as dg

from hdfs_pipeline.defs.common.checks import conservation_check, unique_keys_check
from hdfs_pipeline.defs.common.freshness import DAILY
from hdfs_pipeline.defs.common.reading import reading
from hdfs_pipeline.defs.learning.chain import learning_chain
from hdfs_pipeline.defs.learning.first_model import first_model_sensor
from hdfs_pipeline.domains import domain_named


@dg.definitions
def weblogs() -> dg.Definitions:
    """From access logs to incidents; what comes over Kafka is in the asset of its topic."""
    domain = domain_named("weblogs")
    return dg.Definitions.merge(
        reading(domain, table="requests", freshness=DAILY),
        learning_chain(
            domain,
            features=["requests", "kafka_web_logs"],
            freshness=DAILY,
            scores_lineage={"score": [("requests", "response_us"), ("requests", "status"), ("requests", "path")]},
            anomalies_lineage={"first_time": [("requests", "time")], "entity": [("requests", "client")]},
        ),
        dg.Definitions(
            asset_checks=[
                conservation_check("requests", "requests", domain.name),
                conservation_check("kafka_web_logs", "requests", domain.name, topic=True),
                unique_keys_check("requests", "requests"),
            ],
            sensors=[first_model_sensor(domain)],
        ),
    )
