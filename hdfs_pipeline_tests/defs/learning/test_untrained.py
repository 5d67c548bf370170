"""A home in which nothing was trained: what serves at once scores, finds anomalies, and is judged."""

from typing import Any

import dagster as dg

from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.learning.scores import _serving, _wait
from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.scoring.models import trained_detectors
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline_tests.defs.conftest import BLOCKS


def metadata(done: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (event,) = [event for event in done.get_asset_materialization_events() if event.asset_key.to_user_string() == asset]
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_blocks_are_scored_and_anomalies_published(
    home: Settings, excerpt: tuple[Any, Any], definitions: dg.Definitions
) -> None:
    store, own = Store.open(home), Home(path=str(home.home))
    BLOCKS.read(store, home, [str(excerpt[0])], propose=False)
    assert _serving(own, BLOCKS) == "lifecycle"
    assert _wait(own, BLOCKS)
    with dg.DagsterInstance.ephemeral() as instance:
        done = definitions.resolve_job_def("score_job").execute_in_process(instance=instance)
    assert done.success
    assert trained_detectors(home, "blocks") == []
    about = metadata(done, "anomalies")
    assert (about["status"], about["detector"]) == ("published", "lifecycle, in place of random_forest")
    with store.read() as con:
        scores = con.execute("SELECT detector, version, count(*) FROM scores GROUP BY ALL").fetchall()
        kinds = con.execute("SELECT count(*), count(*) FILTER (kind <> ''), min(detector) FROM anomalies").fetchall()
        blocks = con.execute("SELECT count(*) FROM event_matrix").fetchall()[0][0]
    assert scores == [("lifecycle", 0, blocks)]
    ((anomalies, named, detector),) = kinds
    assert (named, detector) == (anomalies, "lifecycle")
    assert about["anomalous blocks"] == anomalies > 0
    assert metadata(done, "scores")["lifecycle anomalous blocks"] == anomalies
    assert not _wait(own, BLOCKS), "every block has its score"


def test_it_is_judged_on_the_splits_that_judge_all_others(
    home: Settings, excerpt: tuple[Any, Any], definitions: dg.Definitions
) -> None:
    store = Store.open(home)
    BLOCKS.read(store, home, [str(excerpt[0])], excerpt[1], propose=False)
    with dg.DagsterInstance.ephemeral() as instance:
        job = definitions.resolve_implicit_global_asset_job_def()
        done = job.execute_in_process(
            instance=instance, partition_key="lifecycle", asset_selection=[dg.AssetKey("evaluation")]
        )
    assert done.success
    with store.read() as con:
        rows = con.execute("SELECT detector, version, split FROM evaluations ORDER BY ALL").fetchall()
    assert rows == [("lifecycle", 0, "chronological"), ("lifecycle", 0, "random")]


def test_a_domain_where_nothing_serves_untrained_has_nothing_to_do(
    home: Settings, excerpt: tuple[Any, Any], definitions: dg.Definitions
) -> None:
    BLOCKS.read(Store.open(home), home, [str(excerpt[0])], propose=False)
    assert _serving(Home(path=str(home.home)), domain_named("namenode")) is None
    with dg.DagsterInstance.ephemeral() as instance:
        done = definitions.resolve_job_def("namenode_score_job").execute_in_process(instance=instance)
    assert done.success
    assert metadata(done, "namenode_scores")["status"] == "no model in this home: nothing to do"
