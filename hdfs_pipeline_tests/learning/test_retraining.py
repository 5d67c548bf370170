"""Retraining: only what is new starts it, only what is not worse serves, and the way back gives the same scores."""

import json
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdfs_pipeline.detectors.autoencoder import Autoencoder
from hdfs_pipeline.domains.blocks.features import load_dataset
from hdfs_pipeline.domains.blocks.labels import load_labels
from hdfs_pipeline.domains.champions import load_scorer
from hdfs_pipeline.errors import DataError, NotTrainedError, SetupError
from hdfs_pipeline.learning.challenge import PROVISIONAL, train_and_track
from hdfs_pipeline.learning.judgement import latest
from hdfs_pipeline.learning.retraining import Material, retrain, roll_back, waiting_items
from hdfs_pipeline.learning.tracking import start_tracking
from hdfs_pipeline.learning.training import fit
from hdfs_pipeline.scoring.knowledge import worst
from hdfs_pipeline.scoring.models import cards, champion_version, marked_items, model_folder, promote_model, save_model
from hdfs_pipeline.verdicts.feedback import give_feedback
from hdfs_pipeline.verdicts.score import score_items
from hdfs_pipeline_tests.homes import BLOCKS, Excerpt, Home, copy_home, excerpt, fill

PROJECT = Path(__file__).parents[2]
SETTINGS = {"retrain_batch_size": 100, "retrain_holdout_blocks": 50, "retrain_holdout_share": 0.2}
NEW = 300
_CALLED_NORMAL = "'blk_' || block_id IN (SELECT item FROM scores WHERE NOT is_anomaly AND detector = 'exact_match')"


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Excerpt:
    """Blocks that the trained home does not have, 40 of them anomalous."""
    return excerpt(tmp_path_factory.mktemp("more"), normal=NEW - 40, anomalous=40, part=1)


@pytest.fixture(scope="module")
def grown_once(trained: Home, more: Excerpt, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The trained home, and the blocks that came later, with their labels."""
    home = copy_home(trained, tmp_path_factory.mktemp("grown") / "home")
    fill(home, [more.log], more.csv)
    return home


@pytest.fixture
def grown(grown_once: Home, tmp_path: Path, mlflow_db: Path) -> Home:
    """A copy of that home, to be changed, with an MLflow of its own that knows nothing yet."""
    home = copy_home(grown_once, tmp_path / "home", **SETTINGS)
    shutil.copy(mlflow_db, home.settings.home)
    return home


def spoil(home: Home, name: str) -> None:
    """Version 1 of a detector has learned the same blocks with their labels turned round."""
    data = load_dataset(home.store, home.settings)
    known = data.take(np.isin(data.marks("events"), marked_items(home.settings, "blocks", name, 1)[0]))
    scorer = fit(replace(known, labels=1 - known.labels), BLOCKS, name, home.settings)
    shutil.rmtree(home.settings.models / "blocks" / name)
    save_model(replace(scorer, learned=known.marks("events")), home.settings)


def scores(home: Home, name: str) -> list[float]:
    """Every block's score by the champion."""
    scorer = load_scorer(home.settings, BLOCKS, name)
    return scorer.score(load_dataset(home.store, home.settings).matrix(scorer.card.family)).tolist()


def change(home: Home, *statements: str) -> None:
    with home.store.write() as con:
        for statement in statements:
            con.execute(statement)


def alias(home: Home, name: str) -> Any:
    """The registered version that MLflow calls the champion."""
    import mlflow

    start_tracking(home.settings, "blocks")
    return mlflow.MlflowClient().get_model_version_by_alias(f"hdfs_blocks_{name}", "champion")


@pytest.mark.parametrize("name", ["exact_match", "random_forest"])
def test_a_challenger_that_is_better_beyond_chance_serves(grown: Home, name: str) -> None:
    spoil(grown, name)
    done = retrain(grown.store, grown.settings, BLOCKS, name)
    assert (done.status, done.new, done.champion, done.challenger) == ("promoted", NEW, 1, 2)
    found = load_scorer(grown.settings, BLOCKS, name).card
    assert (found.version, found.judgement, found.after) == (2, done.judgement, 1 if name == "exact_match" else None)
    judged = done.judgement
    assert (judged["by"], judged["known_to_champion"]) == ("labels", 0)
    assert 60 <= judged["items"] <= 150, "a fifth of what is new, or as many as hold ten anomalies"
    assert judged["anomalies"] >= 10
    assert judged["challenger"]["f1"] > judged["champion"]["f1"]
    assert judged["lead"] == pytest.approx(judged["challenger"]["f1"] - judged["champion"]["f1"])
    assert judged["p"] < 0.01
    assert done.verdict.startswith("better beyond chance: F1 ")
    assert f"against {judged['champion']['f1']:.3f} of version 1" in done.verdict
    assert found.items == 400 + NEW - judged["items"]
    assert grown.rows("SELECT split FROM evaluations WHERE detector = ? AND version = 2", name) == [("latest",)]
    ((card,),) = grown.rows("SELECT card FROM models WHERE detector = ? AND version = 2", name)
    assert json.loads(card)["judgement"] == judged
    registered = alias(grown, name)
    assert registered.tags["version"] == "2"
    assert (registered.tags["promoted"], registered.tags["champion_version"]) == ("True", "1")
    assert float(registered.tags["challenger_f1"]) == judged["challenger"]["f1"]
    assert registered.run_id == done.run_id


@pytest.mark.parametrize("name", ["exact_match", "random_forest"])
def test_an_equal_challenger_does_not_serve_and_says_why(grown: Home, name: str) -> None:
    done = retrain(grown.store, grown.settings, BLOCKS, name)
    assert (done.status, done.champion, done.challenger) == ("kept", 1, 2)
    assert "so version 1 serves on: F1 " in done.verdict
    assert champion_version(grown.settings, "blocks", name) == 1


def test_too_few_anomalies_on_either_side_are_not_enough(grown: Home) -> None:
    """However much better it is."""
    spoil(grown, "random_forest")
    settings = grown.settings.model_copy(update={"champion_min_anomalies": 16})
    done = retrain(grown.store, settings, BLOCKS, "random_forest")
    assert done.status == "kept" and done.judgement["lead"] > 0.5
    assert done.verdict.startswith("too little to tell (150 labelled blocks with ")
    assert "`champion_min_anomalies` for 16 anomalies and as many normal ones), so version 1 serves on" in done.verdict


@pytest.mark.parametrize("name", ["exact_match", "random_forest"])
def test_a_training_goes_through_the_same_gate(grown: Home, name: str) -> None:
    data = load_dataset(grown.store, grown.settings)
    card, _ = train_and_track(grown.store, data, BLOCKS, name, grown.settings)
    assert (card.version, card.judgement["passed"], card.after) == (2, False, None)
    assert set(card.metrics) == {"random", "chronological", "latest"}
    assert champion_version(grown.settings, "blocks", name) == 1
    spoil(grown, name)
    card, run_id = train_and_track(grown.store, data, BLOCKS, name, grown.settings)
    assert (card.version, card.judgement["passed"]) == (2, True), card.judgement["verdict"]
    assert champion_version(grown.settings, "blocks", name) == 2
    assert alias(grown, name).run_id == run_id


def test_what_cannot_judge_these_items_defends_nothing(grown: Home) -> None:
    """Its catalogue is another one by now, its file is damaged, or it only held the place of the first model."""
    data = load_dataset(grown.store, grown.settings)
    folder = model_folder(grown.settings, "blocks", "exact_match")
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"source_fingerprint": "of another text"}))
    for version in (2, 3):
        train_and_track(grown.store, data, BLOCKS, "exact_match", grown.settings)
        assert champion_version(grown.settings, "blocks", "exact_match") == version
        (model_folder(grown.settings, "blocks", "exact_match") / "vectors.safetensors").write_bytes(b"damaged")
    scorer = fit(data, BLOCKS, "exact_match", grown.settings)
    save_model(replace(scorer, card=replace(scorer.card, judgement=PROVISIONAL)), grown.settings)
    train_and_track(grown.store, data, BLOCKS, "exact_match", grown.settings)
    assert champion_version(grown.settings, "blocks", "exact_match") == 5


def test_the_autoencoder_goes_on(trained: Home, grown: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Autoencoder, "DEFAULTS", {"steps": 300, "lr": 0.01})
    data = load_dataset(trained.store, trained.settings)
    train_and_track(grown.store, data, BLOCKS, "autoencoder", grown.settings)
    before = load_scorer(grown.settings, BLOCKS, "autoencoder")
    done = retrain(grown.store, grown.settings, BLOCKS, "autoencoder")
    assert (done.challenger, done.new) == (2, NEW)
    after = load_scorer(grown.settings, BLOCKS, "autoencoder", 2)
    assert after.card.after == 1
    assert after.detector.model != before.detector.model
    old = data.matrix("events").take(data.labels == 0)
    assert (after.score(old) < after.card.threshold).mean() > 0.98, "old normal blocks are not forgotten"


def test_a_challenger_that_is_worse_does_not_serve(grown: Home) -> None:
    """Labels turned round in the new blocks that it learns from, and right in those that it is judged on."""
    given = Material.of(grown.store, grown.settings, BLOCKS, "random_forest")
    champion = load_scorer(grown.settings, BLOCKS, "random_forest")
    fresh = ~np.isin(given.data.marks("events"), marked_items(grown.settings, "blocks", "random_forest", 1)[0])
    held = latest(given.data, given.judged_by, fresh, grown.settings)
    wrong = given.data.matrix("events").keys[fresh & ~held].tolist()
    turned = f"UPDATE labels SET label = if(label = 'normal', 'anomaly', 'normal') WHERE block_id IN {tuple(wrong)}"
    change(grown, turned)
    before = scores(grown, "random_forest")
    done = retrain(grown.store, grown.settings, BLOCKS, "random_forest")
    assert (done.status, done.challenger) == ("kept", 2)
    assert done.judgement["challenger"]["f1"] < done.judgement["champion"]["f1"]
    assert done.verdict.startswith("worse beyond chance, so version 1 serves on: F1 ")
    assert champion_version(grown.settings, "blocks", "random_forest") == 1
    assert scores(grown, "random_forest") == before
    assert load_scorer(grown.settings, BLOCKS, "random_forest").card == champion.card
    assert [card.version for card in cards(grown.settings, "blocks", "random_forest")] == [1, 2], (
        "it is kept to be looked at"
    )
    assert grown.rows("SELECT count(*) FROM evaluations WHERE version = 2") == [(0,)]
    import mlflow

    client = mlflow.MlflowClient()
    (made,) = client.search_model_versions("name = 'hdfs_blocks_random_forest'")
    assert (made.tags["version"], made.tags["promoted"], made.aliases) == ("2", "False", [])
    again = retrain(grown.store, grown.settings, BLOCKS, "random_forest")
    assert (again.status, again.new) == ("waiting", 0), "the same blocks would give the same challenger"


@pytest.mark.parametrize(("margin", "status"), [(0.0, "promoted"), (1.0, "kept")])
def test_the_margin_is_the_lead_that_is_wanted(grown: Home, margin: float, status: str) -> None:
    spoil(grown, "random_forest")
    settings = grown.settings.model_copy(update={"champion_margin": margin})
    assert retrain(grown.store, settings, BLOCKS, "random_forest").status == status


def test_rolling_back_gives_the_very_scores_of_before(grown: Home) -> None:
    train_and_track(
        grown.store, load_dataset(grown.store, grown.settings), BLOCKS, "exact_match", grown.settings
    )  # version 2, which this home's MLflow knows
    promote_model(grown.settings, "blocks", "exact_match", 2)
    before = scores(grown, "exact_match")
    change(grown, "UPDATE labels SET label = if(label = 'normal', 'anomaly', 'normal')")
    done = retrain(grown.store, grown.settings, BLOCKS, "exact_match", at_least=0)
    assert (done.status, done.challenger) == ("promoted", 3)
    assert scores(grown, "exact_match") != before
    back = roll_back(grown.settings, BLOCKS, "exact_match")
    assert (back.before, back.now, back.alias_moved) == (3, 2, True)
    assert scores(grown, "exact_match") == before
    assert alias(grown, "exact_match").tags["version"] == "2"
    with pytest.raises(DataError, match="serves already"):
        roll_back(grown.settings, BLOCKS, "exact_match", 2)
    back = roll_back(grown.settings, BLOCKS, "exact_match")
    assert (back.now, back.alias_moved) == (1, False), "MLflow of this home has never seen version 1"
    with pytest.raises(DataError, match="--to VERSION"):
        roll_back(grown.settings, BLOCKS, "exact_match")
    assert roll_back(grown.settings, BLOCKS, "exact_match", 3).now == 3
    with pytest.raises(NotTrainedError):
        roll_back(grown.settings, BLOCKS, "exact_match", 9)
    assert retrain(grown.store, grown.settings, BLOCKS, "exact_match").status == "waiting", (
        "going back makes nothing new"
    )


def test_nothing_new_does_nothing(grown: Home) -> None:
    name = "exact_match"
    retrain(grown.store, grown.settings, BLOCKS, name)
    files = sorted(grown.settings.models.rglob("*"))
    done = retrain(grown.store, grown.settings, BLOCKS, name)
    assert (done.status, done.new, done.challenger) == ("waiting", 0, None)
    assert "0 new blocks of the 100" in done.verdict
    assert sorted(grown.settings.models.rglob("*")) == files
    forced = retrain(grown.store, grown.settings, BLOCKS, name, at_least=0)
    assert forced.challenger == 3
    assert forced.judgement["known_to_champion"] == 0, "those held out before"


def test_a_detector_that_learns_nothing(grown: Home) -> None:
    done = retrain(grown.store, grown.settings, BLOCKS, "keywords", at_least=0)
    assert (done.status, done.challenger) == ("nothing to learn", None)
    assert waiting_items(grown.store, grown.settings, BLOCKS, "keywords") == 0


def test_a_changed_label_or_count_is_new(grown: Home) -> None:
    name = "random_forest"
    retrain(grown.store, grown.settings, BLOCKS, name)
    learned = "(SELECT block_id FROM labels WHERE label = 'normal' ORDER BY block_id LIMIT 3)"
    change(grown, f"UPDATE labels SET label = 'anomaly' WHERE block_id IN {learned}")
    assert retrain(grown.store, grown.settings, BLOCKS, name).new == 3
    last = "(SELECT block_id FROM labels WHERE label = 'normal' ORDER BY block_id DESC LIMIT 2)"
    change(grown, f"UPDATE event_matrix SET counts = list_transform(counts, lambda c: c + 1) WHERE block_id IN {last}")
    assert retrain(grown.store, grown.settings, BLOCKS, name).new == 5
    change(grown, f"UPDATE labels SET label = 'ambiguous' WHERE block_id IN {last}")
    assert retrain(grown.store, grown.settings, BLOCKS, name).new == 3


def test_scored_blocks_teach_what_is_normal(grown: Home, more: Excerpt) -> None:
    """Without a label they are learned from as normal where the serving detector says so, and never judged on."""
    later = tuple(int(block.removeprefix("blk_")) for block in more.labels)
    change(grown, f"DELETE FROM labels WHERE block_id IN {later}")
    assert waiting_items(grown.store, grown.settings, BLOCKS, "exact_match") == 0
    score_items(grown.store, grown.settings, BLOCKS, "random_forest")
    normal = f"detector = 'random_forest' AND NOT is_anomaly AND item IN {tuple(more.labels)}"
    ((count,),) = grown.rows(f"SELECT count(*) FROM scores WHERE {normal}")
    assert 200 < count < NEW
    assert waiting_items(grown.store, grown.settings, BLOCKS, "exact_match") == count
    assert waiting_items(grown.store, grown.settings, BLOCKS, "random_forest") == 0
    given = Material.of(grown.store, grown.settings, BLOCKS, "exact_match")
    assert given.judged_by.sum() == 400
    done = retrain(grown.store, grown.settings, BLOCKS, "exact_match")
    assert done.new == count
    assert done.judgement["known_to_champion"] == done.judgement["items"] == 50
    assert cards(grown.settings, "blocks", "exact_match")[-1].items == 400 + count - 50
    assert retrain(grown.store, grown.settings, BLOCKS, "random_forest").new == 0


def unlabelled(home: Home, keep: str) -> None:
    """A home without labels, with an exact match of the blocks that it had at first, and the new ones that `keep`."""
    data = load_dataset(home.store, home.settings)
    change(home, "DELETE FROM labels")
    old = np.isin(data.matrix("events").keys, load_first(home))
    shutil.rmtree(home.settings.models / "blocks" / "exact_match")
    train_and_track(home.store, load_dataset(home.store, home.settings).take(old), BLOCKS, "exact_match", home.settings)
    score_items(home.store, home.settings, BLOCKS, "exact_match")
    change(home, f"DELETE FROM event_matrix WHERE NOT ({keep})")


def load_first(home: Home) -> np.ndarray:
    """Ids of the blocks of the first log."""
    rows = home.rows("SELECT DISTINCT unnest(block_ids) FROM raw_logs WHERE source_id = 1")
    return np.array([row[0] for row in rows])


@pytest.mark.parametrize(
    ("keep", "status", "told"),
    [
        ("true", "promoted", "steady"),
        (_CALLED_NORMAL, "kept", "too little to tell, so version 1 serves on"),
    ],
    ids=["failures among what is new stay anomalies", "neither flags anything"],
)
def test_without_labels_only_what_is_steady_serves(grown: Home, keep: str, status: str, told: str) -> None:
    unlabelled(grown, keep)
    assert waiting_items(grown.store, grown.settings, BLOCKS, "exact_match") > 100
    done = retrain(grown.store, grown.settings, BLOCKS, "exact_match")
    assert (done.status, done.challenger) == (status, 2)
    assert done.verdict.startswith(f"{told}: without labels of both kinds nothing shows which one is better")
    assert (done.judgement["by"], done.judgement["anomalies"]) == ("steadiness", None)
    assert champion_version(grown.settings, "blocks", "exact_match") == (2 if status == "promoted" else 1)
    if keep == _CALLED_NORMAL:
        with pytest.raises(DataError, match="needs labels of both kinds"):
            retrain(grown.store, grown.settings, BLOCKS, "random_forest", at_least=0)
        assert champion_version(grown.settings, "blocks", "random_forest") == 1


def test_rules_that_people_dismiss_flag_nothing_from_the_next_retraining_on(grown: Home) -> None:
    """And again once the words are withdrawn; without words there is nothing to do."""
    store, settings = grown.store, grown.settings
    assert retrain(store, settings, BLOCKS, "lifecycle").status == "nothing to learn"
    train_and_track(store, load_dataset(store, settings), BLOCKS, "lifecycle", settings)
    data = load_dataset(store, settings)
    knowledge = BLOCKS.knowledge(settings, data.main.source)
    assert knowledge is not None
    first = worst(data.matrix("rules").values)
    index = [rule.id for rule in knowledge.rules].index("never-stored")
    rows = np.flatnonzero(first == index)
    for row in rows:
        give_feedback(store, settings, BLOCKS, f"blk_{data.keys[row]}", "false")
    done = retrain(store, settings, BLOCKS, "lifecycle")
    assert (done.status, done.challenger) == ("promoted", 2)
    assert "flag nothing any more: never-stored" in done.verdict
    assert retrain(store, settings, BLOCKS, "lifecycle").status == "nothing to learn"
    scorer = load_scorer(settings, BLOCKS, "lifecycle")
    only = rows[(data.matrix("rules").values[rows] == 2).sum(axis=1) == 1]
    assert len(only)
    assert not (scorer.score(data.matrix("rules"))[only] >= scorer.card.threshold).any()
    change(grown, "DELETE FROM feedback")
    assert retrain(store, settings, BLOCKS, "lifecycle").challenger == 3
    assert load_scorer(settings, BLOCKS, "lifecycle").score(data.matrix("rules"))[rows].min() >= 0.5


def test_labels_that_come_later_are_new(grown: Home, more: Excerpt) -> None:
    unlabelled(grown, "true")
    load_labels(grown.store, more.csv)
    assert retrain(grown.store, grown.settings, BLOCKS, "exact_match").new == NEW


def test_a_champion_of_an_older_release(grown: Home) -> None:
    """It kept no marks: how many blocks it has learned is known, and not which."""
    folder = model_folder(grown.settings, "blocks", "exact_match")
    (folder / "blocks.safetensors").unlink()
    card = json.loads((folder / "card.json").read_text())
    del card["files"]["blocks.safetensors"], card["source_fingerprint"], card["after"], card["judgement"]
    del card["digest"]
    (folder / "card.json").write_text(json.dumps(card))
    done = retrain(grown.store, grown.settings, BLOCKS, "exact_match")
    assert (done.new, done.challenger, done.judgement["known_to_champion"]) == (NEW, 2, None)


def test_another_catalogue_needs_a_training(grown: Home) -> None:
    folder = model_folder(grown.settings, "blocks", "exact_match")
    card = json.loads((folder / "card.json").read_text())
    del card["digest"]
    (folder / "card.json").write_text(json.dumps(card | {"source_fingerprint": "of another text"}))
    with pytest.raises(DataError, match="was edited since the model was trained: train it again"):
        retrain(grown.store, grown.settings, BLOCKS, "exact_match")


def test_no_champion(grown: Home) -> None:
    with pytest.raises(NotTrainedError, match="hdfs-pipeline train --detector autoencoder"):
        retrain(grown.store, grown.settings, BLOCKS, "autoencoder")
    with pytest.raises(NotTrainedError):
        roll_back(grown.settings, BLOCKS, "autoencoder")


def test_the_latest_of_the_new_blocks_are_held_out(grown: Home) -> None:
    given = Material.of(grown.store, grown.settings, BLOCKS, "random_forest")
    data, fresh = given.data, np.zeros(len(given.data), bool)
    fresh[::2] = True
    held = latest(data, given.judged_by, fresh, grown.settings)
    assert held.sum() >= 70
    assert not (held & ~fresh).any()
    assert data.time[held].min() >= np.sort(data.time[fresh])[-held.sum()]
    assert (data.labels[held] == 1).sum() >= 10
    few = latest(data, given.judged_by, np.arange(len(data)) == 3, grown.settings)
    assert few[3], "what is new comes first"
    assert few.sum() >= 50
    with pytest.raises(DataError, match="too few"):
        latest(data.take(np.arange(1)), given.judged_by[:1], fresh[:1], grown.settings)


RETRAIN = """
import sys
from pathlib import Path
from hdfs_pipeline.learning.retraining import retrain
from hdfs_pipeline_tests.learning.test_retraining import SETTINGS
from hdfs_pipeline_tests.homes import BLOCKS, open_home
home = open_home(Path(sys.argv[1]), **SETTINGS)

def on_step(step):
    if sys.argv[3] in step:
        print("there", flush=True)
        sys.stdin.readline()

done = retrain(home.store, home.settings, BLOCKS, sys.argv[2], at_least=0, on_step=on_step)
print(done.challenger)
"""


def start(home: Home, name: str, stop_at: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", RETRAIN, str(home.settings.home), name, stop_at],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=PROJECT,
    )


@pytest.mark.parametrize("step", ["judging", "recording"])
def test_a_retraining_that_is_killed_leaves_the_champion(grown: Home, step: str) -> None:
    spoil(grown, "exact_match")
    before = scores(grown, "exact_match")
    process = start(grown, "exact_match", step)
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert champion_version(grown.settings, "blocks", "exact_match") == 1
    assert scores(grown, "exact_match") == before
    done = retrain(grown.store, grown.settings, BLOCKS, "exact_match")
    assert (done.status, done.new) == ("promoted", NEW), "what was not done to the end is done again"
    assert done.challenger == (3 if step == "recording" else 2)


@pytest.mark.slow
def test_two_retrainings_at_once_take_turns(grown: Home) -> None:
    spoil(grown, "exact_match")
    first, second = (start(grown, "exact_match", "never") for _ in range(2))
    seen: set[int | None] = set()
    for process in (first, second):
        while process.poll() is None:
            seen.add(champion_version(grown.settings, "blocks", "exact_match"))
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.01)
    said = [int(process.communicate()[0].split()[-1]) for process in (first, second)]
    assert sorted(said) == [2, 3]
    assert seen <= {1, 2}
    assert champion_version(grown.settings, "blocks", "exact_match") == 2, "the second one is not better than the first"
    assert grown.rows("SELECT version FROM models WHERE detector = 'exact_match' ORDER BY 1") == [(1,), (2,), (3,)]


def test_a_retraining_that_waits_too_long_says_so(grown: Home) -> None:
    process = start(grown, "exact_match", "looking")
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    settings = grown.settings.model_copy(update={"lock_timeout_s": 0.2})
    try:
        with pytest.raises(SetupError, match="another retraining"):
            retrain(grown.store, settings, BLOCKS, "exact_match")
    finally:
        process.kill()
        process.communicate()


def test_a_champion_that_was_changed_meanwhile_stays(grown: Home) -> None:
    """Somebody rolls back while the challenger is judged beside what served before."""
    spoil(grown, "exact_match")
    data = load_dataset(grown.store, grown.settings)

    def on_step(step: str) -> None:
        if "recording" in step:
            save_model(fit(data, BLOCKS, "exact_match", grown.settings), grown.settings)

    with pytest.raises(DataError, match="in place of version 1, and by now version 3 serves"):
        retrain(grown.store, grown.settings, BLOCKS, "exact_match", on_step=on_step)
    assert champion_version(grown.settings, "blocks", "exact_match") == 3
    assert promote_model(grown.settings, "blocks", "exact_match", 2) == 3
