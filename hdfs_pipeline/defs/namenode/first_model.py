"""The sensor that trains the first NameNode models of a home, once there are enough samples."""

import dagster as dg

from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.learning.models import standard_range
from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.scoring.models import trained_detectors


@dg.sensor(
    job_name="namenode_train_job",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Trains the first NameNode models once there are `namenode_first_polls` samples.",
)
def namenode_first_model(home: Home) -> dg.RunRequest | dg.SkipReason:
    """One run in a home with enough samples of a NameNode and no model; if it fails, another after as many more.

    A home of a release with other detectors is one without a model, since its own only stand in.
    """
    domain, wanted = domain_named("namenode"), home.settings.namenode_first_polls
    if domain.default_detector in trained_detectors(home.settings, domain.name):
        return dg.SkipReason("there is a model; the nightly schedule holds another one against it")
    if not home.store.path.exists():
        return dg.SkipReason("no NameNode samples yet")
    with home.store.read() as con:
        counts = con.execute("SELECT count(*) FROM namenode_metrics GROUP BY namenode ORDER BY 1 DESC").fetchall()
    if not counts:
        return dg.SkipReason("no NameNode samples yet")
    most = counts[0][0]
    if most < wanted:
        return dg.SkipReason(f"the first model needs {wanted} polls of a NameNode, has {most}")
    return dg.RunRequest(f"first-{most // wanted}", tags=standard_range(domain))
