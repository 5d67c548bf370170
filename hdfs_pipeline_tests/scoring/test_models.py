"""Saved models: whole or not at all, versions that count up, the same scores elsewhere, damage told in words."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdfs_pipeline.detectors import DETECTORS
from hdfs_pipeline.detectors.exact_match import ExactMatch
from hdfs_pipeline.detectors.keywords import Keywords
from hdfs_pipeline.domains.blocks.features import load_dataset
from hdfs_pipeline.domains.champions import load_scorer
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.scoring.models import (
    Served,
    cards,
    champion_version,
    known_feedback,
    load_model,
    marked_items,
    model_folder,
    newest_version,
    previous_version,
    promote_model,
    save_model,
    served_versions,
    trained_detectors,
)
from hdfs_pipeline.scoring.scorer import Card, Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline_tests.homes import BLOCKS, FAST, Home, copy_home, open_home

MODELS = {"exact_match": "model.safetensors", "keywords": "model.safetensors", "random_forest": "model.onnx"}


def make_scorer(rows: int = 3) -> Scorer:
    """An exact match of a few vectors."""
    normals = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
    detector = ExactMatch(seed=5).fit(normals, None, np.ones(rows))
    card = Card(
        domain="blocks",
        detector="exact_match",
        family="events",
        columns=("E1", "E2"),
        source="x.v1",
        threshold=0.5,
        rule="fixed 0.5",
        seed=5,
        params={},
        items=rows,
        anomalies=None,
        fingerprint="0",
        created_at="2026-01-01T00:00:00+00:00",
        libraries={},
    )
    return Scorer(detector, card, normals, normals, np.arange(rows, 0, -1, dtype=np.uint64))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return open_home(tmp_path / "home").settings


FRESH = """
import json, sys
from hdfs_pipeline.domains.champions import load_scorer
from hdfs_pipeline_tests.homes import BLOCKS, open_home
from pathlib import Path
home = open_home(Path(sys.argv[1]))
data = BLOCKS.features(home.store, home.settings)
found = {}
for name in sys.argv[2:]:
    scorer = load_scorer(home.settings, BLOCKS, name)
    found[name] = [value.hex() for value in scorer.score(data.matrix(scorer.card.family)).tolist()]
print(json.dumps(found))
"""


def test_another_process_gives_the_same_scores(trained: Home) -> None:
    data = load_dataset(trained.store, trained.settings)
    done = subprocess.run(
        [sys.executable, "-c", FRESH, str(trained.settings.home), *FAST],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=True,
    )
    found = json.loads(done.stdout)
    for name in FAST:
        scorer = load_model(DETECTORS[name].cls, trained.settings, "blocks")
        scores = scorer.score(data.matrix(scorer.card.family))
        assert [value.hex() for value in scores.tolist()] == found[name]
        assert len(set(found[name])) > 1


def test_what_is_loaded_is_what_was_saved(settings: Settings) -> None:
    saved = save_model(make_scorer(), settings)
    loaded = load_model(ExactMatch, settings, "blocks")
    assert loaded.card == saved.card
    np.testing.assert_array_equal(loaded.normals, saved.normals)
    np.testing.assert_array_equal(loaded.seen, saved.seen)


def test_vectors_come_back_whatever_their_order_in_memory(settings: Settings) -> None:
    scorer = make_scorer()
    save_model(replace(scorer, seen=np.asfortranarray(scorer.seen), normals=scorer.normals[::-1]), settings)
    loaded = load_model(ExactMatch, settings, "blocks")
    np.testing.assert_array_equal(loaded.seen, scorer.seen)
    np.testing.assert_array_equal(loaded.normals, scorer.normals[::-1])


def test_the_folder_holds_model_vectors_and_card_and_no_pickle(trained: Home) -> None:
    for name in FAST:
        folder = model_folder(trained.settings, "blocks", name)
        files = {"card.json", "blocks.safetensors", "vectors.safetensors", MODELS[name]}
        assert {path.name for path in folder.iterdir()} == files
        for path in folder.iterdir():
            assert not path.read_bytes().startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK"))
            assert path.stat().st_mode & 0o044, "others can read it"


def test_the_card_says_what_is_to_be_known(trained: Home) -> None:
    import hashlib

    for name in FAST:
        folder = model_folder(trained.settings, "blocks", name)
        card = json.loads((folder / "card.json").read_text())
        assert set(card) == {field.name for field in fields(Card)} | {"digest"}
        files = {path.name for path in folder.iterdir()} - {"card.json"}
        assert card["files"] == {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in files}
        assert (card["detector"], card["version"], card["items"], card["anomalies"]) == (name, 1, 400, 40)
        assert card["seed"] == trained.settings.seed
        assert set(card["metrics"]) == {"random", "chronological"}
        assert card["libraries"]["numpy"] == np.__version__
        matrix = load_dataset(trained.store, trained.settings).matrix(card["family"])
        assert (tuple(card["columns"]), card["source"]) == (matrix.columns, matrix.source)


def test_versions_count_up_and_the_newest_is_the_champion(settings: Settings) -> None:
    versions = [save_model(make_scorer(rows), settings).card.version for rows in (1, 2, 3)]
    assert versions == [1, 2, 3]
    assert len(load_model(ExactMatch, settings, "blocks").seen) == 3
    assert [len(load_model(ExactMatch, settings, "blocks", version).seen) for version in versions] == [1, 2, 3]


def test_the_champion_is_a_pointer(settings: Settings) -> None:
    for rows in (1, 2):
        save_model(make_scorer(rows), settings)
    (settings.models / "blocks" / "exact_match" / "champion").write_text("1")
    assert load_model(ExactMatch, settings, "blocks").card.version == 1
    assert save_model(make_scorer(), settings).card.version == 3


def test_a_version_that_another_training_took_meanwhile_is_left_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hdfs_pipeline.scoring import models

    save_model(make_scorer(1), settings)
    counts = iter([[], [1]])  # the first look was too early to see version 1
    monkeypatch.setattr(models, "_versions", lambda folder: next(counts))
    assert save_model(make_scorer(2), settings).card.version == 2
    assert len(load_model(ExactMatch, settings, "blocks", 1).seen) == 1
    assert load_model(ExactMatch, settings, "blocks").card.version == 2


@pytest.mark.parametrize("where", ["detector", "vectors", "rename"])
def test_a_crash_leaves_the_old_champion_and_no_half_folder(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    save_model(make_scorer(1), settings)
    before = sorted(path.relative_to(settings.models) for path in settings.models.rglob("*"))

    def crash(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    target = {
        "detector": (ExactMatch, "save"),
        "vectors": (sys.modules.get("safetensors.numpy") or pytest.importorskip("safetensors.numpy"), "save_file"),
        "rename": (Path, "rename"),
    }[where]
    monkeypatch.setattr(*target, crash)
    with pytest.raises(KeyboardInterrupt):
        save_model(make_scorer(2), settings)
    monkeypatch.undo()
    assert sorted(path.relative_to(settings.models) for path in settings.models.rglob("*")) == before
    assert load_model(ExactMatch, settings, "blocks").card.version == 1
    assert save_model(make_scorer(2), settings).card.version == 2


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def write(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))  # type: ignore[func-returns-value]


def card(**changes: Any) -> Callable[[Path], None]:
    return write("card.json", lambda data: json.dumps(json.loads(data) | changes).encode())


def flip(data: bytes) -> bytes:
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


DAMAGE: dict[str, Callable[[Path], None]] = {
    "card missing": remove("card.json"),
    "card empty": write("card.json", lambda data: b""),
    "card cut": write("card.json", lambda data: data[:-20]),
    "card no object": write("card.json", lambda data: b"[1, 2]"),
    "card not text": write("card.json", lambda data: b"\xff\xfe"),
    "card lacks a field": write(
        "card.json", lambda data: json.dumps({k: v for k, v in json.loads(data).items() if k != "threshold"}).encode()
    ),
    "columns are none": card(columns=None),
    "marks cut": write("blocks.safetensors", lambda data: data[:-4]),
    "files are none": card(files=None),
    "threshold is none": card(threshold=None),
    "model missing": remove("model.safetensors"),
    "model cut": write("model.safetensors", lambda data: data[:-4]),
    "model empty": write("model.safetensors", lambda data: b""),
    "model flipped": write("model.safetensors", flip),
    "vectors missing": remove("vectors.safetensors"),
    "vectors cut": write("vectors.safetensors", lambda data: data[: len(data) // 2]),
    "vectors flipped": write("vectors.safetensors", flip),
    "vectors missing, and nobody checks": lambda folder: (
        card(files={})(folder),
        remove("vectors.safetensors")(folder),
    )[1],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_told_with_what_to_do(settings: Settings, damage: Callable[[Path], None]) -> None:
    save_model(make_scorer(), settings)
    damage(model_folder(settings, "blocks", "exact_match"))
    with pytest.raises(NotTrainedError, match="hdfs-pipeline train --detector exact_match"):
        load_model(ExactMatch, settings, "blocks")


@pytest.mark.parametrize("pointer", [None, "", "two", "7"])
def test_a_pointer_to_nothing(settings: Settings, pointer: str | None) -> None:
    save_model(make_scorer(), settings)
    champion = settings.models / "blocks" / "exact_match" / "champion"
    champion.unlink() if pointer is None else champion.write_text(pointer)
    with pytest.raises(NotTrainedError, match="hdfs-pipeline train --detector exact_match"):
        load_model(ExactMatch, settings, "blocks")


def test_no_model_at_all(settings: Settings) -> None:
    with pytest.raises(NotTrainedError, match=r"no keywords model .* train --detector keywords"):
        load_model(Keywords, settings, "blocks")
    assert trained_detectors(settings, "blocks") == []


def test_which_detectors_are_trained(trained: Home) -> None:
    assert trained_detectors(trained.settings, "blocks") == sorted(FAST)


def test_a_version_that_is_not_promoted_serves_nobody(settings: Settings) -> None:
    save_model(make_scorer(1), settings)
    assert save_model(make_scorer(2), settings, promote=False).card.version == 2
    assert (champion_version(settings, "blocks", "exact_match"), newest_version(settings, "blocks", "exact_match")) == (
        1,
        2,
    )
    assert len(load_model(ExactMatch, settings, "blocks").seen) == 1
    assert promote_model(settings, "blocks", "exact_match", 2, instead_of=1) == 1
    assert len(load_model(ExactMatch, settings, "blocks").seen) == 2


def test_a_first_version_can_wait_too(settings: Settings) -> None:
    save_model(make_scorer(), settings, promote=False)
    assert trained_detectors(settings, "blocks") == []
    assert promote_model(settings, "blocks", "exact_match", 1) is None
    assert trained_detectors(settings, "blocks") == ["exact_match"]


def test_only_a_whole_version_can_be_promoted(settings: Settings) -> None:
    for rows in (1, 2):
        save_model(make_scorer(rows), settings, promote=rows == 1)
    write("model.safetensors", flip)(model_folder(settings, "blocks", "exact_match", 2))
    for version in (2, 3):
        with pytest.raises(NotTrainedError):
            promote_model(settings, "blocks", "exact_match", version)
    assert champion_version(settings, "blocks", "exact_match") == 1
    assert [card.version for card in cards(settings, "blocks", "exact_match")] == [1]


def test_a_champion_that_changed_meanwhile_is_not_replaced(settings: Settings) -> None:
    """A challenger that was held against version 1 says nothing of version 2."""
    for rows in (1, 2):
        save_model(make_scorer(rows), settings)
    save_model(make_scorer(3), settings, promote=False)
    with pytest.raises(DataError, match="in place of version 1, and by now version 2"):
        promote_model(settings, "blocks", "exact_match", 3, instead_of=1)
    assert champion_version(settings, "blocks", "exact_match") == 2


def test_what_served_before(settings: Settings) -> None:
    name = "exact_match"
    with pytest.raises(NotTrainedError):
        previous_version(settings, "blocks", name)
    for rows in (1, 2, 3, 4):
        save_model(make_scorer(rows), settings, promote=rows != 2)
    served = []
    for _ in range(2):
        served.append(previous_version(settings, "blocks", name))
        promote_model(settings, "blocks", name, served[-1], back=True)
    assert served == [3, 1], "version 2 never served"
    with pytest.raises(DataError, match="--to VERSION"):
        previous_version(settings, "blocks", name)
    promote_model(settings, "blocks", name, 2, back=True)
    assert previous_version(settings, "blocks", name) == 1


def test_who_let_a_version_serve_and_why_is_kept(settings: Settings) -> None:
    for rows in (1, 2):
        save_model(make_scorer(rows), settings)
    promote_model(settings, "blocks", "exact_match", 1, back=True, by="ada", note="2 floods us")
    told = served_versions(settings, "blocks", "exact_match")
    assert [entry[0::2] for entry in told] == [(1, False, ""), (2, False, ""), (1, True, "2 floods us")]
    assert told[-1].by == "ada" and told[-1].at
    path = settings.models / "blocks" / "exact_match" / "served.jsonl"
    path.write_text('{"version": 2, "at": "then", "back": false}\n[]\n"x"\n')  # an older release knew no people
    assert served_versions(settings, "blocks", "exact_match") == [Served(2, "then")]
    assert served_versions(settings, "blocks", "pca") == []


def test_what_served_before_in_a_home_of_an_older_release(settings: Settings) -> None:
    for rows in (1, 2):
        save_model(make_scorer(rows), settings)
    (settings.models / "blocks" / "exact_match" / "served.jsonl").unlink()
    assert previous_version(settings, "blocks", "exact_match") == 1
    save_model(make_scorer(3), settings)
    assert previous_version(settings, "blocks", "exact_match") == 2


def test_a_record_that_was_cut_off_is_passed_over(settings: Settings) -> None:
    for rows in (1, 2):
        save_model(make_scorer(rows), settings)
    with (settings.models / "blocks" / "exact_match" / "served.jsonl").open("a") as file:
        file.write('{"versi')
    assert previous_version(settings, "blocks", "exact_match") == 1


def test_marks_of_the_blocks_that_were_learned_and_judged_on(settings: Settings) -> None:
    save_model(make_scorer(), settings, judged_on=np.array([9, 8], np.uint64))
    learned, judged = marked_items(settings, "blocks", "exact_match", 1)
    assert (learned.tolist(), judged.tolist()) == ([1, 2, 3], [8, 9])
    save_model(replace(make_scorer(), learned=None), settings)
    assert marked_items(settings, "blocks", "exact_match", 2) is None


@pytest.mark.parametrize("words", [{5: 1, -(2**63): 0}, {"nn1:9870 2026-01-01T00:00:00.000Z": -1, "order-5": 1}, {}])
def test_words_that_were_known(settings: Settings, words: dict[Any, int]) -> None:
    """By numbers or texts, as the domain's items are named."""
    assert known_feedback(settings, "blocks", "exact_match", save_model(make_scorer(), settings).card.version) == {}
    saved = save_model(replace(make_scorer(), feedback=words), settings)
    assert known_feedback(settings, "blocks", "exact_match", saved.card.version) == words
    assert marked_items(settings, "blocks", "exact_match", saved.card.version)[0].tolist() == [1, 2, 3]


def test_the_domains_of_a_home_have_their_own_models(settings: Settings) -> None:
    other = make_scorer(2)
    save_model(make_scorer(1), settings)
    save_model(replace(other, card=replace(other.card, domain="orders")), settings)
    for domain, rows in (("blocks", 1), ("orders", 2)):
        assert trained_detectors(settings, domain) == ["exact_match"]
        loaded = load_model(ExactMatch, settings, domain)
        assert (loaded.card.domain, loaded.card.version, len(loaded.seen)) == (domain, 1, rows)
    assert trained_detectors(settings, "namenode") == []


def test_a_card_of_an_older_release_is_read(settings: Settings) -> None:
    save_model(make_scorer(), settings)
    folder = model_folder(settings, "blocks", "exact_match")
    new = ("source_fingerprint", "after", "judgement", "digest")
    write("card.json", lambda data: json.dumps({k: v for k, v in json.loads(data).items() if k not in new}).encode())(
        folder
    )
    found = load_model(ExactMatch, settings, "blocks").card
    assert (found.source_fingerprint, found.after, found.judgement) == ("", None, {})


PROMOTE = """
import sys
from pathlib import Path
from hdfs_pipeline.scoring.models import promote_model
from hdfs_pipeline_tests.homes import open_home
settings = open_home(Path(sys.argv[1])).settings
print("ready", flush=True)
sys.stdin.readline()
for _ in range(40):
    promote_model(settings, "blocks", "exact_match", int(sys.argv[2]))
"""


def test_processes_that_promote_at_once_leave_the_pointer_whole(settings: Settings) -> None:
    for rows in (1, 2):
        save_model(make_scorer(rows), settings)
    command = [sys.executable, "-c", PROMOTE, str(settings.home)]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": Path(__file__).parents[2]}
    processes = [subprocess.Popen([*command, str(version)], **pipes) for version in (1, 2)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write(b"go\n")
        process.stdin.flush()
    seen = set()
    while any(process.poll() is None for process in processes):
        seen.add(champion_version(settings, "blocks", "exact_match"))
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0, 0]
    assert seen <= {1, 2}
    assert len((settings.models / "blocks" / "exact_match" / "served.jsonl").read_text().splitlines()) == 82


def saved_card(trained: Home, folder: Path) -> tuple[Home, Path]:
    home = copy_home(trained, folder)
    return home, model_folder(home.settings, BLOCKS.name, "random_forest") / "card.json"


@pytest.mark.parametrize("field", ["threshold", "rule", "columns", "params", "version", "metrics", "digest"])
def test_a_card_that_was_changed_is_refused(trained: Home, tmp_path: Path, field: str) -> None:
    home, path = saved_card(trained, tmp_path / "home")
    raw = json.loads(path.read_text())
    raw[field] = {"threshold": 0.1, "version": 7, "columns": raw["columns"][::-1]}.get(field, "other")
    path.write_text(json.dumps(raw))
    with pytest.raises(NotTrainedError, match=r"card.*damaged.*hdfs-pipeline train --detector random_forest"):
        load_scorer(home.settings, BLOCKS, "random_forest")


def test_a_card_of_an_older_release_has_no_digest(trained: Home, tmp_path: Path) -> None:
    home, path = saved_card(trained, tmp_path / "home")
    raw = json.loads(path.read_text())
    del raw["digest"]
    path.write_text(json.dumps(raw))
    assert load_scorer(home.settings, BLOCKS, "random_forest").card.threshold == raw["threshold"]


@pytest.mark.parametrize("level", [float("nan"), float("inf"), -float("inf")])
def test_thresholds_that_are_no_numbers_are_neither_saved_nor_loaded(
    trained: Home, tmp_path: Path, level: float
) -> None:
    home, path = saved_card(trained, tmp_path / "home")
    scorer = load_scorer(home.settings, BLOCKS, "random_forest")
    with pytest.raises(DataError, match="threshold of random_forest is"):
        save_model(replace(scorer, card=replace(scorer.card, threshold=level)), home.settings)
    raw = json.loads(path.read_text()) | {"threshold": level}
    del raw["digest"]
    path.write_text(json.dumps(raw))
    with pytest.raises(NotTrainedError, match="damaged: the threshold is"):
        load_scorer(home.settings, BLOCKS, "random_forest")
