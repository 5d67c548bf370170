"""The policy by which a challenger serves, and by which one detector serves before the others."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdfs_pipeline.domains.blocks.champion import Champion
from hdfs_pipeline.domains.blocks.features import load_dataset
from hdfs_pipeline.domains.champions import named_champion, serving_detector
from hdfs_pipeline.learning.choice import choose_detector
from hdfs_pipeline.learning.judgement import compare
from hdfs_pipeline.learning.training import fit, judge
from hdfs_pipeline.scoring.labels import UNLABELLED
from hdfs_pipeline.scoring.models import keep_choice, read_choice, save_model
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline_tests.homes import BLOCKS, Excerpt, Home, copy_home, excerpt, fill


@pytest.fixture(scope="module")
def grown_once(trained: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The trained home with 200 labelled blocks that came later, 30 of them anomalous."""
    more: Excerpt = excerpt(tmp_path_factory.mktemp("more"), normal=170, anomalous=30, part=2)
    home = copy_home(trained, tmp_path_factory.mktemp("grown") / "home")
    fill(home, [more.log], more.csv)
    return home


@pytest.fixture
def grown(grown_once: Home, tmp_path: Path) -> Home:
    return copy_home(grown_once, tmp_path / "home", champion="best", bootstrap_samples=0)


def with_(home: Home, **changes: Any) -> Any:
    return home.settings.model_copy(update=changes)


class TestChallenger:
    @pytest.fixture
    def sides(self, grown: Home) -> tuple[Scorer, Scorer, Any, np.ndarray]:
        """The forest that flags only what is certain, as champion; as challenger the one that flags at a hint."""
        data = load_dataset(grown.store, grown.settings)
        # As whole lives, blocks that are not deleted yet among them: the false alarms that tell the two models apart.
        lives = {family: replace(matrix, unfinished=None) for family, matrix in data.matrices.items()}
        data = replace(data, matrices=lives)
        order = np.argsort(data.time)
        held = np.zeros(len(data), bool)
        held[order[-250:]] = True
        strict = fit(data.take(~held), BLOCKS, "random_forest", with_(grown, random_forest_threshold=1.0))
        easy = fit(data.take(~held), BLOCKS, "random_forest", with_(grown, random_forest_threshold=0.005))
        return strict, easy, data, held

    def test_another_figure_decides_otherwise(self, grown: Home, sides: Any) -> None:
        strict, easy, data, held = sides
        figures = [judge(scorer, data.take(held), grown.settings).evaluation for scorer in (strict, easy)]
        assert figures[1].recall == figures[0].recall
        assert figures[1].pr_auc == figures[0].pr_auc, "the same forest"
        assert figures[1].precision < figures[0].precision
        strict, easy, data, held = sides
        answers = {}
        for metric in ("precision", "recall", "f1", "pr_auc"):
            settings = with_(grown, champion_metric=metric)
            for name, champion, challenger in (("easy", strict, easy), ("strict", easy, strict)):
                judged, tests = compare(champion, challenger, data, held, settings)
                answers[metric, name] = judged["passed"]
                assert judged["policy"]["metric"] == metric and set(tests) == {"latest"}
        assert answers == {
            ("precision", "easy"): False,
            ("precision", "strict"): True,
            ("recall", "easy"): False,
            ("recall", "strict"): False,
            ("f1", "easy"): False,
            ("f1", "strict"): True,
            ("pr_auc", "easy"): False,
            ("pr_auc", "strict"): False,
        }, "an equal one takes nobody's place"
        settings = with_(grown, champion_metric="precision", champion_margin=0.9)
        judged, _ = compare(easy, strict, data, held, settings)
        assert not judged["passed"]
        assert "so version 0 serves on: precision " in judged["verdict"]
        assert (
            "(policy: by precision, a lead of more than 0.9 with a confidence of 0.95, on at least 20 blocks with 10 "
            "anomalies and as many normal ones)" in judged["verdict"]
        )

    @pytest.mark.parametrize("few", [{"champion_min_blocks": 251}, {"champion_min_anomalies": 100}])
    def test_too_few_labels_decide_nothing(self, grown: Home, sides: Any, few: dict[str, int]) -> None:
        strict, easy, data, held = sides
        assert compare(easy, strict, data, held, grown.settings)[0]["passed"]
        judged, _ = compare(easy, strict, data, held, with_(grown, **few))
        assert (judged["by"], judged["passed"]) == ("labels", False)
        told = f"asks for {few.get('champion_min_blocks', 20)} and `champion_min_anomalies` for "
        assert told + str(few.get("champion_min_anomalies", 10)) in judged["verdict"]
        assert judged["policy"]["min_blocks"] == few.get("champion_min_blocks", 20)

    def test_a_hundred_blocks_with_three_anomalies_are_not_enough(self, grown: Home, sides: Any) -> None:
        """However far the challenger leads on them, and also where the settings would allow so few."""
        strict, easy, data, held = sides
        rows = np.flatnonzero(held & (data.labels == 0))[:97].tolist()
        rows += np.flatnonzero(held & (data.labels == 1))[:3].tolist()
        few = np.isin(np.arange(len(data)), rows)
        judged, _ = compare(easy, strict, data, few, grown.settings)
        assert (judged["items"], judged["anomalies"], judged["passed"]) == (100, 3, False)
        assert judged["verdict"].startswith("too little to tell (100 labelled blocks with 3 anomalies, where ")

    def test_without_labels_a_steady_one_serves_where_both_flag_enough(self, grown: Home, sides: Any) -> None:
        strict, easy, data, held = sides
        bare = replace(data, labels=np.full(len(data), UNLABELLED, np.int8))
        for least, challenger, passed, told in (
            (10, strict, True, "steady: without labels of both kinds nothing shows which one is better, "),
            (10, easy, False, "not steady, so version 0 serves on: "),
            (1000, strict, False, "too little to tell, so version 0 serves on: "),
        ):
            judged, tests = compare(strict, challenger, bare, held, with_(grown, champion_min_anomalies=least))
            assert (judged["by"], judged["passed"], tests) == ("steadiness", passed, {})
            assert judged["verdict"].startswith(told)

    def test_words_of_people_let_one_serve_that_is_not_worse(self, grown: Home, sides: Any) -> None:
        strict, easy, data, held = sides
        for champion, challenger, passed in ((strict, strict, True), (strict, easy, False)):
            judged, _ = compare(champion, challenger, data, held, grown.settings, words=3)
            assert (judged["passed"], judged["words"]) == (passed, 3)
            assert "it knows what people have said on 3 since" in judged["verdict"]


class TestDetector:
    def test_the_best_on_what_none_has_learned_serves(self, grown: Home) -> None:
        assert named_champion(grown.settings, BLOCKS) == serving_detector(grown.settings, BLOCKS) == "random_forest"
        choice = choose_detector(grown.store, grown.settings, BLOCKS)
        assert choice is not None
        assert choice.decided
        assert (choice.items, choice.anomalies) == (200, 30)
        figures = {name: found["f1"] for name, found in choice.figures.items()}
        assert set(figures) == {"random_forest", "exact_match", "keywords"}
        leads = figures[choice.detector] - figures["random_forest"]
        assert figures[choice.detector] == max(figures.values())
        assert (leads > 0) == (choice.detector != "random_forest")
        assert read_choice(grown.settings, "blocks") == json.loads(json.dumps(choice.to_json()))
        assert serving_detector(grown.settings, BLOCKS) == choice.detector

    def test_it_changes_only_for_a_lead_beyond_the_margin(self, grown: Home) -> None:
        keep_choice(grown.settings, "blocks", {"detector": "keywords"})
        choice = choose_detector(grown.store, grown.settings, BLOCKS)
        assert choice is not None
        best = max(choice.figures.values(), key=lambda found: found["f1"])["f1"]
        assert (choice.detector != "keywords") == (best - choice.figures["keywords"]["f1"] > 0.2)
        keep_choice(grown.settings, "blocks", {"detector": "exact_match"})
        worst = with_(grown, champion_margin=1.0)
        stays = choose_detector(grown.store, worst, BLOCKS)
        assert stays is not None
        assert (stays.detector, stays.before) == ("exact_match", "exact_match")
        assert stays.verdict.startswith("exact_match serves on: F1 ")

    def test_a_clear_lead_changes_it_and_a_worker_follows(self, grown: Home) -> None:
        """The detector that serves is spoilt: its threshold is beyond reach."""
        data = load_dataset(grown.store, grown.settings)
        early = data.take(np.argsort(data.time)[:100])
        early = early if len(set(early.labels.tolist())) == 2 else data.take(np.arange(200))
        save_model(fit(early, BLOCKS, "random_forest", with_(grown, random_forest_threshold=1.0)), grown.settings)
        worker = Champion(grown.settings, BLOCKS)
        assert worker.label == "random_forest version 2"
        fresh = with_(grown, champion_min_blocks=1, champion_min_anomalies=1)
        choice = choose_detector(grown.store, fresh, BLOCKS)
        assert choice is not None
        assert choice.figures["random_forest"]["version"] == 2
        assert choice.detector == "exact_match", choice.verdict
        assert choice.verdict.startswith("exact_match serves, in place of random_forest: F1 ")
        assert worker.refresh(), "without a restart"
        assert worker.label == "exact_match version 1"

    def test_without_blocks_that_none_has_learned_nothing_is_chosen(self, trained: Home, tmp_path: Path) -> None:
        home = copy_home(trained, tmp_path / "home", champion="best")
        choice = choose_detector(home.store, home.settings, BLOCKS)
        assert choice is not None
        assert (choice.decided, choice.detector) == (False, "random_forest")
        assert "0 labelled blocks" in choice.verdict
        assert read_choice(home.settings, "blocks") is None

    def test_a_named_detector_is_not_questioned(self, grown: Home) -> None:
        named = with_(grown, champion="exact_match")
        assert choose_detector(grown.store, named, BLOCKS) is None
        keep_choice(grown.settings, "blocks", {"detector": "keywords"})
        assert serving_detector(named, BLOCKS) == "exact_match"

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"detector": 3}', "\xff"])
    def test_a_damaged_choice_is_none(self, grown: Home, text: str) -> None:
        (grown.settings.models / "blocks" / "best.json").write_text(text)
        assert serving_detector(grown.settings, BLOCKS) == "random_forest"

    def test_where_the_chosen_one_has_gone_another_stands_in(self, grown: Home) -> None:
        keep_choice(grown.settings, "blocks", {"detector": "exact_match"})
        shutil.rmtree(grown.settings.models / "blocks" / "exact_match")
        assert serving_detector(grown.settings, BLOCKS) == "random_forest"
