"""The page of models: what it says, in every state of a home, and that nothing serves without a tick."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hdfs_pipeline.scoring.models import champion_version, model_folder, served_versions
from hdfs_pipeline.serving.tokens import Tokens
from hdfs_pipeline_tests.homes import Home, copy_home, excerpt, fill
from hdfs_pipeline_tests.serving.pages.test_incidents import HOSTILE, asks
from hdfs_pipeline_tests.serving.routes.test_models import twice

__all__ = ["twice"]


@pytest.fixture
def home(twice: Home, tmp_path: Path) -> Home:
    copied = copy_home(twice, tmp_path / "home")
    shutil.copy(twice.settings.home / "mlflow.db", copied.settings.home)
    return copied


def test_the_page_tells_what_serves_and_how_well(home: Home) -> None:
    shown = asks(home)("/models").text
    assert "Verdicts on blocks come from random_forest version 1" in shown
    assert "of its alarms are right" in shown and "★ serves" in shown
    assert "exact_match" in shown and "challenger: version 2" in shown
    assert shown.count("<polyline") == 2 * 2 + 2, "two detectors in two pictures, and in the table"
    assert "fixed threshold 0.75" in shown and 'hx-get="/models/drift?' in shown
    assert "MLflow&#39;s run" in shown or "MLflow's run" in shown


def test_a_threshold_of_the_address_is_told(home: Home) -> None:
    ask = asks(home)
    shown = ask("/models?domain=blocks&detector=random_forest&threshold=0.9").text
    assert re.search(r"From 0\.9 on it would flag [\d,]+ blocks", shown) and "chosen 0.9" in shown
    assert "hdfs-pipeline backtest --detector random_forest --threshold 0.9" in shown
    assert 'value="0.9"' in shown
    for far in ("-1e9", "1e9"):
        assert ask(f"/models?threshold={far}").status_code == 200
    for bad in ("x", "nan", "inf"):
        assert ask(f"/models?threshold={bad}").status_code == 400


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/models?domain=nothing", 400, "no domain"),
        ("/models?detector=nothing", 400, "no detector"),
        ("/models?detector=pca", 200, "There is no model of pca"),
        ("/models?detector=lifecycle", 200, "lifecycle has scored nothing here"),
        ("/models?domain=namenode", 200, "No model of windows yet"),
        ("/models/drift?detector=exact_match", 200, "Too few new blocks to tell drift"),
        ("/models/drift?detector=lifecycle", 200, "Drift cannot be told"),
        ("/models/drift?domain=namenode", 200, "Drift cannot be told"),
    ],
)
def test_what_is_not_there_is_said(home: Home, path: str, status: int, said: str) -> None:
    shown = asks(home)(path)
    assert shown.status_code == status and said in shown.text and "<h1>" in shown.text


def test_a_version_serves_once_it_was_ticked(home: Home) -> None:
    ask, named = asks(home), {"domain": "blocks", "detector": "exact_match"}
    assert "Let version 2 serve" in ask("/models?detector=exact_match").text
    assert ask("/models/promote", version="2", **named).status_code == 400
    assert champion_version(home.settings, "blocks", "exact_match") == 1
    done = ask("/models/promote", version="2", sure="yes", by="ada", note=HOSTILE, **named)
    assert done.status_code == 303 and done.headers["location"].startswith("/models?domain=blocks&detector=exact_match")
    shown = ask("/models?detector=exact_match").text
    assert "Roll back to version 1" in shown and "Let version 1 serve" in shown
    assert "ada" in shown and "<script>alert" not in shown and "\x1b" not in shown
    assert "These are scores of version 1; by now version 2 serves" in shown
    assert ask("/models/rollback", sure="yes", **named).status_code == 303
    assert [each.version for each in served_versions(home.settings, "blocks", "exact_match")] == [1, 2, 1]


@pytest.mark.parametrize(
    ("does", "form", "status"),
    [
        ("promote", {"version": "x", "sure": "yes"}, 400),
        ("promote", {"version": "²", "sure": "yes"}, 400),
        ("promote", {"version": "9", "sure": "yes"}, 404),
        ("promote", {"version": "2", "sure": "yes", "detector": "none"}, 400),
        ("rollback", {"sure": "yes"}, 422),
        ("rollback", {}, 400),
        ("dance", {"sure": "yes"}, 400),
    ],
)
def test_what_cannot_serve_changes_nothing(home: Home, does: str, form: dict[str, str], status: int) -> None:
    assert asks(home)(f"/models/{does}", **({"detector": "exact_match"} | form)).status_code == status
    assert champion_version(home.settings, "blocks", "exact_match") == 1


def test_drift_is_told_with_what_moved(home: Home, tmp_path: Path) -> None:
    fill(home, [excerpt(tmp_path / "others", normal=0, anomalous=40, part=1).log])
    moved = Home(home.settings.model_copy(update={"drift_min_blocks": 20}), home.store)
    shown = asks(moved)("/models/drift?detector=exact_match").text
    assert "New blocks are others than those that it learned" in shown and "▲ drifted" in shown
    assert "hdfs-pipeline retrain --detector exact_match" in shown and "has drifted" in shown
    assert "&lt;built-in" not in shown and shown.count("<tr>") > 3


def test_a_damaged_model_is_said(home: Home) -> None:
    (model_folder(home.settings, "blocks", "random_forest") / "model.onnx").write_bytes(b"damaged")
    shown = asks(home)("/models")
    assert shown.status_code == 200 and "Its model is missing or damaged" in shown.text
    assert "hdfs-pipeline train --detector random_forest" in shown.text and "needs no training: 100" not in shown.text


def test_an_empty_home_says_what_to_do(new_home: Callable[..., Home]) -> None:
    ask = asks(new_home(bare=True))
    for domain in ("blocks", "daemons", "namenode"):
        shown = ask(f"/models?domain={domain}")
        assert shown.status_code == 200 and "in this home yet" in shown.text and "hdfs-pipeline" in shown.text
    assert "hdfs-pipeline ingest" in ask("/models/drift").text


def test_to_let_a_version_serve_needs_its_scope(home: Home) -> None:
    guarded = Home(home.settings.model_copy(update={"serve_tokens": True}), home.store)
    token = Tokens(guarded.settings).make("eve", "operate")
    ask = asks(guarded, hdfsp_token=token)
    assert ask("/models").status_code == 200
    assert ask("/models/promote", version="2", sure="yes", detector="exact_match").status_code == 403
    assert champion_version(home.settings, "blocks", "exact_match") == 1
