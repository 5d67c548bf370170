"""Daemons' minutes in Dagster: counted from what is in the store, scored, and told as anomalies."""

from pathlib import Path

import dagster as dg

from hdfs_pipeline.domains.daemons.counting import records_wait
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline_tests.defs.conftest import BLOCKS
from hdfs_pipeline_tests.defs.learning.test_untrained import metadata
from hdfs_pipeline_tests.domains.daemons.written import DN1, TROUBLE, write

CHAIN = ("daemon_minutes", "daemons_scores", "daemons_anomalies")


def test_from_records_to_anomalies(home: Settings, tmp_path: Path, definitions: dg.Definitions) -> None:
    store = Store.open(home)
    paths = write(tmp_path / "logs", range(150, 152), {DN1: TROUBLE[DN1]})
    BLOCKS.read(store, home, [str(path) for path in paths], propose=False)
    assert records_wait(store)
    with dg.DagsterInstance.ephemeral() as instance:
        job = definitions.resolve_implicit_global_asset_job_def()
        done = job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey(name) for name in CHAIN])
    assert done.success
    assert not records_wait(store)
    assert metadata(done, "daemon_minutes")["counted"] == 6
    assert metadata(done, "daemons_anomalies")["detector"] == "lifecycle"
    with store.read() as con:
        rows = con.execute("SELECT kind, entity FROM anomalies WHERE domain = 'daemons'").fetchall()
    assert rows == [("JVM pause", "10.0.0.1:9866")]
