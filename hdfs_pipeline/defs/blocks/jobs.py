"""Jobs of block logs, and the sensor on their files."""

import dagster as dg

from hdfs_pipeline.defs.common.naming import JUDGE, PARSE, selected
from hdfs_pipeline.defs.common.reading import reading_jobs
from hdfs_pipeline.domains import domain_named


@dg.definitions
def jobs() -> dg.Definitions:
    """The jobs that begin with files, and the one that begins with records that came over Kafka."""
    blocks = domain_named("blocks")
    parse_and_score_job = dg.define_asset_job(
        "parse_and_score_job",
        selected(blocks, PARSE, JUDGE),
        description="What log records that came over Kafka need.",
        tags={"domain": blocks.name},
    )
    return dg.Definitions.merge(
        reading_jobs(blocks, read="raw_logs", labels="labels"), dg.Definitions(jobs=[parse_and_score_job])
    )
