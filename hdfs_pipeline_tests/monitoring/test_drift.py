"""Drift of real blocks: what a model learned, what came since, steady data and data that has changed."""

import json
from pathlib import Path

import numpy as np
import pytest

from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.monitoring.drift import learned_rows, measure_drift
from hdfs_pipeline.monitoring.drift_plot import drift_png
from hdfs_pipeline.scoring.models import marked_items, model_folder
from hdfs_pipeline_tests.homes import BLOCKS, Excerpt, Home, copy_home, fill

CHANGED = "list_transform(counts, lambda x: CASE WHEN x = 3 THEN 2 ELSE x END)"
UNKNOWN = "list_concat(counts[:-2], [5])"


def add_blocks(home: Home, counts: str = "counts", where: str = "true") -> int:
    """Later copies of the home's blocks under other ids, their counts changed by SQL."""
    with home.store.write() as con:
        con.execute(
            f"""INSERT INTO event_matrix SELECT block_id // 2 + 5, first_time + INTERVAL 9 DAY,
            last_time + INTERVAL 9 DAY, duration_s, lines, alarms, {counts}, unfinished, revision + 1000
            FROM event_matrix WHERE {where}"""
        )
    return int(home.rows("SELECT count(*) FROM event_matrix")[0][0])


@pytest.fixture
def grown(trained: Home, tmp_path: Path) -> Home:
    return copy_home(trained, tmp_path / "home", drift_min_blocks=100)


def test_too_few_new_blocks_say_nothing(grown: Home) -> None:
    found = measure_drift(grown.store, grown.settings, BLOCKS, "exact_match")
    assert (found.status, found.reference, found.current) == ("too few", 400, 0)
    assert "0 blocks came since version 1" in found.conclusion
    assert found.to_json()["columns"] == []
    with pytest.raises(DataError, match="too few"):
        drift_png(found)


def test_the_same_again_is_steady(grown: Home) -> None:
    assert add_blocks(grown) == 800
    for name in ("random_forest", "exact_match", "keywords"):
        found = measure_drift(grown.store, grown.settings, BLOCKS, name)
        assert found.status == "steady", found.conclusion
        assert (found.reference, found.current) == (400, 400)
        assert max(each.value for each in found.columns) < 0.01
        assert found.began is not None and found.ended is not None
        assert found.began < found.ended
    assert found.unseen is None, "keywords do not read counts"


def test_two_replicas_instead_of_three_are_drift(grown: Home) -> None:
    add_blocks(grown, CHANGED)
    found = measure_drift(grown.store, grown.settings, BLOCKS, "random_forest")
    assert found.status == "drifted"
    assert found.columns[0].drifted and found.columns[0].value > 1
    assert found.columns[0].after < found.columns[0].before
    assert found.unseen is not None and found.unseen.drifted and found.unseen.after > 0.5
    assert "columns have moved" in found.conclusion and "never seen" in found.conclusion
    assert drift_png(found).startswith(b"\x89PNG")
    assert json.loads(json.dumps(found.to_json(), default=str))["status"] == "drifted"


def test_messages_that_no_template_matches_are_drift(grown: Home) -> None:
    add_blocks(grown, UNKNOWN, "block_id % 2 = 0")
    found = measure_drift(grown.store, grown.settings, BLOCKS, "random_forest")
    assert found.unknown is not None and found.unknown.drifted
    assert "match no template" in found.conclusion


def test_only_the_latest_new_blocks_count(grown: Home) -> None:
    add_blocks(grown)
    settings = grown.settings.model_copy(update={"drift_blocks": 150})
    found = measure_drift(grown.store, settings, BLOCKS, "exact_match")
    latest = grown.rows("SELECT first_time FROM event_matrix ORDER BY first_time DESC LIMIT 150")
    assert found.current == 150
    assert found.began == min(latest)[0]


def test_what_was_learned_stays_learned_whatever_its_label(grown: Home) -> None:
    data = BLOCKS.features(grown.store, grown.settings)
    marked = marked_items(grown.settings, BLOCKS.name, "exact_match", 1)
    assert marked is not None
    assert learned_rows(data, "events", marked[0]).all()
    with grown.store.write() as con:
        con.execute("UPDATE labels SET label = 'normal' WHERE block_id % 2 = 0")
        con.execute("DELETE FROM labels WHERE block_id % 5 = 0")
        con.execute("UPDATE event_matrix SET counts = list_concat([7], counts[2:]) WHERE block_id % 7 = 0")
    data = BLOCKS.features(grown.store, grown.settings)
    changed = data.matrix("events").keys % 7 == 0
    assert np.array_equal(learned_rows(data, "events", marked[0]), ~changed)


def test_ambiguous_blocks_are_no_news(grown: Home) -> None:
    with grown.store.write() as con:
        con.execute("UPDATE labels SET label = 'ambiguous' WHERE block_id % 2 = 0")
    found = measure_drift(grown.store, grown.settings, BLOCKS, "exact_match")
    assert found.current == 0
    assert found.reference < 400


def test_new_logs_are_new_blocks(grown: Home, unseen: Excerpt) -> None:
    fill(grown, [unseen.log], unseen.csv)
    assert measure_drift(grown.store, grown.settings, BLOCKS, "random_forest").current == 60


def test_what_cannot_be_told(grown: Home) -> None:
    with pytest.raises(NotTrainedError, match="autoencoder"):
        measure_drift(grown.store, grown.settings, BLOCKS, "autoencoder")
    (model_folder(grown.settings, BLOCKS.name, "keywords") / "blocks.safetensors").unlink()
    card = model_folder(grown.settings, BLOCKS.name, "keywords") / "card.json"
    raw = json.loads(card.read_text())
    del raw["files"]["blocks.safetensors"], raw["digest"]
    card.write_text(json.dumps(raw))
    with pytest.raises(DataError, match="older release"):
        measure_drift(grown.store, grown.settings, BLOCKS, "keywords")


def test_nothing_drifts_from_what_learned_nothing(grown: Home) -> None:
    with pytest.raises(NotTrainedError, match="lifecycle serves without a training, so that nothing can have moved"):
        measure_drift(grown.store, grown.settings, BLOCKS, "lifecycle")
