"""Application logs in Dagster: what is read of them, and the chain that every domain has."""

import dagster as dg

from hdfs_pipeline.defs.common.checks import conservation_check, unique_keys_check
from hdfs_pipeline.defs.common.freshness import DAILY
from hdfs_pipeline.defs.common.reading import reading
from hdfs_pipeline.defs.learning.chain import learning_chain
from hdfs_pipeline.defs.learning.first_model import first_model_sensor
from hdfs_pipeline.domains import domain_named


@dg.definitions
def applogs() -> dg.Definitions:
    """From logs of services to incidents; what comes over Kafka is in the asset of its topic."""
    domain = domain_named("applogs")
    return dg.Definitions.merge(
        reading(domain, table="app_logs", freshness=DAILY),
        learning_chain(
            domain,
            features=["app_logs", "kafka_app_logs"],
            freshness=DAILY,
            scores_lineage={"score": [("app_logs", "service"), ("app_logs", "level"), ("app_logs", "template")]},
            anomalies_lineage={"first_time": [("app_logs", "time")], "entity": [("app_logs", "service")]},
        ),
        dg.Definitions(
            asset_checks=[
                conservation_check("app_logs", "app_logs", domain.name),
                conservation_check("kafka_app_logs", "app_logs", domain.name, topic=True),
                unique_keys_check("app_logs", "app_logs"),
            ],
            sensors=[first_model_sensor(domain)],
        ),
    )
