"""`compare` on the command line: tables, JSON, the report, what it leaves in the home, exit codes."""

import shutil
from pathlib import Path

import pytest

from hdfs_pipeline_tests.cli.test_cli import Run, run
from hdfs_pipeline_tests.homes import Excerpt, fill, open_home

__all__ = ["run"]
QUICK = ("--detector", "exact_match", "--detector", "keywords")


@pytest.fixture(scope="module")
def home(excerpt: Excerpt, tmp_path_factory: pytest.TempPathFactory, mlflow_db: Path) -> Path:
    """The folder of a home with blocks, without a model."""
    found = open_home(tmp_path_factory.mktemp("compare") / "home")
    fill(found, [excerpt.log], excerpt.csv)
    shutil.copy(mlflow_db, found.settings.home)
    return found.settings.home


def test_tables_verdict_report_and_a_run_in_mlflow(run: Run, home: Path, tmp_path: Path) -> None:
    import mlflow

    done = run("compare", "--home", home, *QUICK, "--split", "random", "--html", tmp_path / "out" / "report.html")
    assert done.code == 0, done.err
    assert "Best by F1 is exact_match" in done.out
    assert "a random split measures memory" in done.out
    assert "blocks/s" in done.out
    page = (tmp_path / "out" / "report.html").read_text()
    assert "exact_match" in page and "keywords" in page

    mlflow.set_tracking_uri(f"sqlite:///{home}/mlflow.db")
    runs = mlflow.search_runs(experiment_names=["hdfs_blocks"], output_format="list")
    names = {run.info.run_name: run for run in runs}
    assert set(names) == {"comparison random", "exact_match", "keywords"}
    parent = names["comparison random"].info.run_id
    assert {run.data.tags.get("mlflow.parentRunId", parent) for run in runs} == {parent}
    client = mlflow.MlflowClient()
    assert {found.path for found in client.list_artifacts(parent)} == {"report.html", "comparison.json"}
    folder = Path(client.download_artifacts(parent, "report.html", str(tmp_path)))
    assert folder.read_text() == page
    measured = names["exact_match"].data.metrics
    assert {"random.f1", "random.pr_auc", "train_s", "rows_per_s", "model_bytes", "threshold"} <= set(measured)
    assert not client.search_registered_models(), "nothing of it serves"
    assert not (home / "models").exists()


def test_files_by_path(run: Run, excerpt: Excerpt, unseen: Excerpt, tmp_path: Path, mlflow_db: Path) -> None:
    (tmp_path / "empty").mkdir()
    shutil.copy(mlflow_db, tmp_path / "empty")
    given = ["--logs", excerpt.log, "--labels", excerpt.csv]
    told = run("compare", "--home", tmp_path / "empty", *given, *QUICK, "--json").json
    assert (told["split"], told["data"]["blocks"]) == ("chronological", 400)
    assert [each["detector"] for each in told["detectors"]] == ["exact_match", "keywords"]
    other = ["--test-logs", unseen.log, "--test-labels", unseen.csv]
    told = run("compare", "--home", tmp_path / "empty", *given, *other, *QUICK, "--json").json
    assert (told["split"], told["data"]["judged"]["blocks"]) == ("other", 60)
    assert not (tmp_path / "empty" / "hdfs.duckdb").exists()


@pytest.mark.parametrize(
    ("code", "arguments", "message"),
    [
        (2, ["--logs", "x.log"], "go together"),
        (2, ["--test-labels", "x.csv"], "go together"),
        (2, ["--test-logs", "x.log", "--test-labels", "x.csv", "--split", "random"], "--split out"),
        (2, ["--detector", "forest"], "no detector 'forest'"),
        (2, ["--split", "sideways", "--detector", "keywords"], "online, unseen"),
        (4, ["--without", "lost", "--detector", "keywords"], "kinds there are: anomaly, normal"),
    ],
)
def test_what_cannot_be_done_is_told(run: Run, home: Path, code: int, arguments: list[str], message: str) -> None:
    done = run("--home", home, "compare", *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_a_home_without_blocks_is_told(run: Run) -> None:
    done = run("--home", "nowhere", "compare", "--detector", "keywords")
    assert (done.code, done.out) == (3, "")
    assert "hdfs-pipeline --home nowhere ingest" in done.err


def test_a_simulated_persons_words_on_groups(run: Run, home: Path, unseen: Excerpt) -> None:
    given = ["compare", "--home", home, "--split", "groups", "--detector", "lifecycle", "--detector", "exact_match"]
    other = ["--test-logs", unseen.log, "--test-labels", unseen.csv]
    told = run(*given, "--groups", "2", "--json").json
    assert told["split"] == "groups"
    assert [answer["verdict"] for answer in told["data"]["groups"]["answers"]] == ["real", "real"]
    told = run(*given, *other, "--json").json
    assert (told["split"], told["data"]["judged"]["blocks"]) == ("groups", 60)
    assert 2 < len(told["data"]["groups"]["answers"]) <= 10
    shown = run(*given, *other, "--groups", "0")
    assert "No label and no word was learned" in shown.out
    for wrong in (["--groups", "3"], ["--split", "random", *other], ["--split", "groups", "--groups", "-1"]):
        assert run("compare", "--home", home, *QUICK, *wrong).code == 2
