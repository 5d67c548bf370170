"""The command line: what it prints where, its exit codes, its homes, and how soon it answers."""

import ast
import gzip
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline import cli
from hdfs_pipeline.cli import terminal
from hdfs_pipeline.settings import PREFIX, Settings
from hdfs_pipeline.store.schema import TABLES
from hdfs_pipeline_tests.homes import BLOCKS, Excerpt, Home, copy_home, open_home
from hdfs_pipeline_tests.test_docs import commands

MAIN = "from hdfs_pipeline.cli import main; main()"


@dataclass(frozen=True)
class Done:
    """What one command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be JSON and nothing else."""
        assert self.code == 0, self.err
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs a command in this process, as the installed script would; its folder is `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"{PREFIX}HOME", "x")  # what the command sets is undone afterwards
    monkeypatch.delenv(f"{PREFIX}HOME")
    monkeypatch.setenv(f"{PREFIX}BOOTSTRAP_SAMPLES", "20")

    def call(*arguments: object) -> Done:
        monkeypatch.delenv(f"{PREFIX}HOME", raising=False)
        monkeypatch.setattr(sys, "argv", ["hdfs-pipeline", *map(str, arguments)])
        monkeypatch.setattr(
            terminal, "out", terminal.SafeConsole(width=int(os.environ.get("COLUMNS", "110")), file=sys.stdout)
        )
        monkeypatch.setattr(terminal, "err", terminal.SafeConsole(width=110, file=sys.stderr))
        capfd.readouterr()
        code = cli._run()  # what `main` runs before it ends the process
        return Done(code, *capfd.readouterr())

    return call


def start(*arguments: object, stdin: bytes = b"", **environment: str) -> Done:
    """Run a command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", MAIN, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        check=False,
        env=os.environ | environment,
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture(scope="module")
def home(trained: Home, tmp_path_factory: pytest.TempPathFactory, mlflow_db: Path) -> Path:
    """The folder of a copy of the trained home, with an MLflow of its own."""
    folder = copy_home(trained, tmp_path_factory.mktemp("cli") / "home").settings.home
    shutil.copy(mlflow_db, folder)
    return folder


@pytest.fixture
def log(excerpt: Excerpt, tmp_path: Path) -> Path:
    """A log of 300 lines."""
    path = tmp_path / "some.log"
    path.write_bytes(b"".join(excerpt.log.read_bytes().splitlines(keepends=True)[:300]))
    return path


def write_settings(home: Path, text: str = "seed = 7\n") -> None:
    """Makes the folder a home, with nothing in it yet."""
    home.mkdir(exist_ok=True)
    (home / "settings.toml").write_text(text)


@pytest.mark.parametrize("command", ["", "bench", *commands()])
def test_every_command_helps(run: Run, command: str) -> None:
    done = run(*command.split(), "--help")
    assert done.code == 0
    assert f"hdfs-pipeline {command}".strip() in done.out
    assert done.err == ""


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["no such command"]])
def test_help_and_mistakes_load_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
sys.argv = ["hdfs-pipeline", *{arguments!r}]
from hdfs_pipeline.cli import _run
_run()
heavy = {{"torch", "sklearn", "dagster", "mlflow", "duckdb", "pandas", "numba", "matplotlib", "onnxruntime", "pyarrow"}}
assert "typer" in sys.modules
print(sorted(heavy & set(sys.modules)), file=sys.__stdout__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", ["status", "explain"])
def test_reading_one_thing_loads_nothing_heavy(trained: Home, command: str) -> None:
    """Each of these libraries takes longer to import than all that is read."""
    item = [f"blk_{block}" for (block,) in trained.rows("SELECT block_id FROM event_matrix WHERE block_id > 0 LIMIT 1")]
    arguments = ["--home", str(trained.settings.home), command, *(item if command == "explain" else [])]
    code = f"""
import sys
sys.argv = ["hdfs-pipeline", *{arguments!r}]
from hdfs_pipeline.cli import _run
code = _run()
heavy = {{"torch", "sklearn", "scipy", "dagster", "mlflow", "pandas", "numba", "matplotlib", "confluent_kafka"}}
assert "duckdb" in sys.modules
print(code, sorted(heavy & set(sys.modules)), file=sys.__stdout__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_what_the_commands_import_is_there() -> None:
    """Imports inside functions are found out here, not by the first who runs the command."""
    trees = [ast.parse(path.read_text()) for path in Path(cli.__file__).parent.glob("*.py")]
    found = 0
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hdfs_pipeline"):
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                found += 1
                assert hasattr(module, alias.name), f"{node.module}: {alias.name}"
    assert found > 10


def test_ingest_once_and_again(run: Run, log: Path) -> None:
    first = run("--home", "h", "ingest", log, "--json").json
    assert (first["files"], first["lines"], first["records"], first["dead_letters"]) == (1, 300, 300, 0)
    assert first["catalogue"] == "hdfs_v1.v1"
    assert isinstance(first["coverage"], float)
    assert first["skipped"] == []
    again = run("--home", "h", "ingest", log, "--json").json
    assert (again["files"], again["lines"], again["blocks"]) == (0, 0, first["blocks"])
    assert again["skipped"] == [str(log)]
    told = run("--home", "h", "ingest", log)
    assert told.code == 0
    assert f"{log}: read before, skipped" in told.out


def test_ingest_from_standard_input(log: Path, tmp_path: Path) -> None:
    done = start("--home", tmp_path / "h", "ingest", "-", "--json", stdin=log.read_bytes())
    assert done.json["lines"] == 300
    again = start("ingest", "-", "--json", "--home", tmp_path / "h", stdin=log.read_bytes())
    assert (again.json["files"], len(again.json["skipped"])) == (0, 1)


def test_the_home_stands_anywhere_and_homes_do_not_touch_each_other(run: Run, log: Path, tmp_path: Path) -> None:
    text = log.read_bytes().splitlines(keepends=True)
    (tmp_path / "short.log").write_bytes(b"".join(text[100:107]))
    for arguments in (["--home", "one", "ingest", log], ["ingest", tmp_path / "short.log", "--home=other"]):
        assert run(*arguments).code == 0
    before = (tmp_path / "other" / "hdfs.duckdb").read_bytes()
    assert run("ingest", "--home", "one", tmp_path / "short.log").code == 0
    assert (tmp_path / "other" / "hdfs.duckdb").read_bytes() == before
    counts = [open_home(tmp_path / name).rows("SELECT count(*) FROM raw_logs")[0][0] for name in ("one", "other")]
    assert counts == [307, 7]
    for arguments in (["--home", "one", "settings"], ["settings", "--home", "one"], ["settings", "--home=one"]):
        assert run(*arguments, "--json").json["home"] == "one"
    assert run("settings", "--json").json["home"] == "data"
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("explain -- --home x", "explain -- --home x"),
        ("explain b --home x -- -5", "--home x explain b -- -5"),
        ("train --logs a b --labels c --home=x", "--home=x train --logs a --logs b --labels c"),
        ("evaluate --logs a --home x - b --json", "--home x evaluate --logs a --logs - --logs b --json"),
        ("ingest a - b --labels c d --home", "--home ingest a - b --labels c d"),
    ],
)
def test_options_stand_where_people_put_them(written: str, meant: str) -> None:
    assert cli._arrange(written.split()) == meant.split()


def test_train_prints_its_cards(run: Run, home: Path) -> None:
    cards = run("--home", home, "train", "--detector", "keywords", "--json").json
    assert [(card["detector"], card["blocks"]) for card in cards] == [("keywords", 400)]
    version = cards[0]["version"]
    assert version >= 2
    assert set(cards[0]["metrics"]) == {"random", "chronological"}
    told = run("--home", home, "train", "--detector", "keywords")
    assert told.code == 0
    assert f"keywords version {version + 1}" in told.out
    assert "chronological" in told.out


def test_train_reads_logs_and_labels_first(
    run: Run, log: Path, excerpt: Excerpt, tmp_path: Path, mlflow_db: Path
) -> None:
    """Without labels the forest learns from the rules; with one kind of labels it names the other."""
    (tmp_path / "h").mkdir()
    shutil.copy(mlflow_db, tmp_path / "h")
    done = run("--home", "h", "train", "--logs", log, "--detector", "random_forest")
    assert done.code == 0, done.err
    assert "without labels" in done.out and "precision" not in done.out
    normal = excerpt.write_labels(tmp_path / "n.csv", dict.fromkeys(excerpt.labels, "Normal"))
    done = run("--home", "h", "train", "--labels", normal, "--detector", "random_forest")
    assert done.code == 4
    assert "both kinds" in done.err
    card = run("--home", "h", "train", "--detector", "exact_match", "--json").json[0]
    assert (card["anomalies"], card["metrics"]) == (0, {})
    told = run("--home", "h", "train", "--detector", "exact_match").out
    assert "without labels, so that there are no figures" in told and "precision" not in told


def test_evaluate_on_unseen_logs(run: Run, home: Path, unseen: Excerpt, tmp_path: Path) -> None:
    arguments = ["evaluate", "--logs", unseen.log, "--labels", unseen.csv, "--home", home]
    found = run(*arguments, "--json").json
    assert (found["blocks"], found["ambiguous"], found["unlabelled"], found["absent"]) == (60, 0, 0, 0)
    assert set(found["detectors"]) == {"random_forest", "exact_match", "keywords", "lifecycle"}
    assert found["reach"]["anomalies"] == 20 and found["kinds"] == {}, "these labels have no kinds"
    for figures in found["detectors"].values():
        assert figures["blocks"] == 60
        assert set(figures["intervals"]) == {"precision", "recall", "f1", "pr_auc"}
    lines = unseen.log.read_bytes().splitlines(keepends=True)
    for name, part in (("a.log", lines[:500]), ("b.log", lines[500:])):
        (tmp_path / name).write_bytes(b"".join(part))
    both = run("evaluate", "--logs", "a.log", "b.log", "--labels", unseen.csv, "--home", home, "--json").json
    assert both == found, "the same lines in two files"
    told = run(*arguments, "--detector", "exact_match")
    assert "exact_match on" in told.out
    assert f"{found['detectors']['exact_match']['f1']:.3f}" in told.out


def test_score_of_other_files_leaves_the_home_as_it_is(run: Run, home: Path, unseen: Excerpt) -> None:
    store = (home / "hdfs.duckdb").read_bytes()
    found = run("score", unseen.log, "--home", home, "--json").json
    rows = found["verdicts"]
    assert (found["detector"], found["blocks"], len(rows)) == ("random_forest", 60, 60)
    assert [doubt["kind"] for doubt in found["doubts"]] == ["alarms"], "20 of these 60 blocks are anomalies"
    assert {type(row["is_anomaly"]) for row in rows} == {bool}
    assert {type(row["score"]) for row in rows} == {float}
    told = run("--home", home, "score", unseen.log, "--detector", "random_forest")
    assert told.out.startswith(f"CAUTION: {found['anomalies']} of 60 blocks are flagged")
    assert f"{found['anomalies']:,} anomalies in 60 blocks" in told.out
    for row in rows[:1]:
        time = row["time"][:19].replace("T", " ")
        assert any(all(cell in line for cell in (row["block_id"], time, row["host"])) for line in told.out.splitlines())
    assert (home / "hdfs.duckdb").read_bytes() == store
    why = run("--home", home, "explain", "--scored", "--json", "--", rows[0]["block_id"]).json
    assert (why["scored"], why["explanation"]["reason"]) == (True, rows[0]["reason"])


def test_score_without_files_fills_the_home_s_tables(run: Run, trained: Home, tmp_path: Path) -> None:
    home = copy_home(trained, tmp_path / "home")
    found = run("--home", home.settings.home, "score", "--json").json
    assert found["blocks"] == 400
    own = f"WHERE detector = '{found['detector']}'"
    assert home.rows(f"SELECT count(*), count(*) FILTER (is_anomaly) FROM scores {own}") == [(400, found["anomalies"])]
    assert home.rows(f"SELECT count(*), count(host), count(path) FROM anomalies {own}") == [(found["anomalies"],) * 3]
    voices = home.rows("SELECT DISTINCT detector FROM scores ORDER BY 1")
    assert voices == [("lifecycle",), ("random_forest",)], "both speak, whichever serves"


def test_what_cannot_be_read_has_no_anomalies_either(run: Run, home: Path, unseen: Excerpt, tmp_path: Path) -> None:
    (tmp_path / "x.log").write_bytes(bytes(range(256)) * 20)
    for arguments in (["score", "x.log"], ["evaluate", "--logs", "x.log", "--labels", unseen.csv]):
        done = run("--home", home, *arguments)
        assert (done.code, done.out) == (4, "")
        assert "not one record could be read" in done.err


def test_explain_a_block_with_a_negative_id(run: Run, home: Path, excerpt: Excerpt) -> None:
    block = next(block for block, label in excerpt.labels.items() if "blk_-" in block and label == "Anomaly")
    number = block.removeprefix("blk_")
    found = run("--home", home, "explain", "--json", "--all", "--", number).json
    assert found["block_id"] == block
    assert found["label"] == "anomaly"
    assert run("--home", home, "explain", block, "--json", "--all").json == found
    assert [line["line"] for line in found["lines"]] == [
        line for line in excerpt.log.read_text().splitlines() if block in line
    ]
    told = run("explain", block, "--detector", "exact_match", "--home", home, "--all")
    assert told.code == 0
    assert block in told.out.splitlines()[0]
    for line in found["lines"]:
        assert line["line"] in told.out, "long lines are not broken"
    wrong = run("--home", home, "explain", number)
    assert wrong.code == 2, "a number with a minus reads as an option"


def test_records_that_tell_nothing_are_folded(run: Run, home: Path, excerpt: Excerpt) -> None:
    text = excerpt.log.read_text().splitlines()
    failed = next(line for line in text if "writeBlock" in line and "received exception" in line)
    block = next(block for block in excerpt.labels if block in failed)
    found = run("--home", home, "explain", "--json", "--", block).json
    assert all(line["telling"] for line in found["lines"])
    assert failed in [line["line"] for line in found["lines"]]
    assert found["folded"] == found["records"] - len(found["lines"]) > 0
    assert found["explanation"]["differences"][0]["severity"] == "failure"
    told = run("--home", home, "explain", "--", block).out.splitlines()
    assert any(line.startswith("►") and line.endswith(failed) for line in told)
    assert any("more record" in line and "--all" in line for line in told)
    assert sum(block in line for line in told[1:]) == len(found["lines"])
    assert told[0] == f"{block} is anomalous: {found['explanation']['kind']} (labelled anomaly)"
    assert told[1] == f"failure: {found['findings'][0]['sentence']}", "the rule that broke first"
    facts = dict(
        line.split(maxsplit=1) for line in told[: told.index("Against the nearest normal block")] if line[:2] == "  "
    )
    assert f"{found['time'][:19].replace('T', ' ')} UTC, " in facts["where"]
    assert facts["next"] == found["findings"][0]["hint"]
    assert any(line.startswith("  random_forest version 1: flags it, ") for line in told)
    assert {"time", "file", "pipeline", "log"} <= facts.keys()
    assert facts["file"].startswith("/") and facts["pipeline"].endswith(":50010")


@pytest.mark.parametrize(
    ("code", "arguments", "message"),
    [
        (2, ["explain"], "Missing argument"),
        (2, ["nothing"], "No such command"),
        (2, ["ingest", "x.log", "--colour"], "No such option"),
        (3, ["--home", "nowhere", "export", "out"], "hdfs-pipeline --home nowhere ingest PATH"),
        (3, ["--home", "nowhere", "backup", "copy.duckdb"], "there is no home at nowhere"),
        (4, ["ingest", "no such.log"], "no such.log: no such file"),
        (2, ["--home", "h", "train", "--detector", "random_forrest"], "did you mean 'random_forest'?"),
        (2, ["--home", "h", "score", "x.log", "--detector", "autoencodr"], "did you mean 'autoencoder'?"),
        (2, ["--home", "h", "explain", "five", "--detector", "keywords"], "'five' is no block id"),
        (2, ["demo", "--sample", "hdfs_v2"], "no sample 'hdfs_v2'; did you mean 'hdfs_v1'?"),
        (
            5,
            ["--home", "h", "score", "x.log", "--detector", "autoencoder"],
            "hdfs-pipeline train --detector autoencoder",
        ),
        (5, ["--home", "h", "explain", "blk_1", "--detector", "keywords"], "hdfs-pipeline train --detector keywords"),
        (3, ["--home", "h", "explain", "blk_1"], "hdfs-pipeline ingest PATH"),
        (4, ["--home", "h", "evaluate", "--logs", "x", "--labels", "y"], "y: no such file"),
    ],
)
def test_exit_codes_tell_the_kind(run: Run, tmp_path: Path, code: int, arguments: list[str], message: str) -> None:
    write_settings(tmp_path / "h")
    done = run(*arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_a_reader_that_has_gone_is_no_fault() -> None:
    """As in `hdfs-pipeline settings --json | head -1`."""
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, "settings", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


def test_a_wrong_setting_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}SEED", "seven")
    done = run("settings")
    assert (done.code, done.out) == (3, "")
    assert "setting seed:" in done.err


def test_errors_come_without_a_traceback(tmp_path: Path) -> None:
    done = start("--home", tmp_path, "train", "--detector", "keyword")
    assert (done.code, done.out) == (2, "")
    assert done.err.strip() == "hdfs-pipeline: no detector 'keyword'; did you mean 'keywords'?"
    (tmp_path / "settings.toml").write_text("seed = \n")
    done = start("--home", tmp_path, "settings")
    assert done.code == 3
    assert "Traceback" not in done.err


@pytest.mark.parametrize("name", ["[bold]a[/bold].log", "a [/] b.log", "x" * 150 + ".log"])
def test_names_are_shown_as_they_are(run: Run, log: Path, tmp_path: Path, name: str) -> None:
    """No markup is read into them, and long ones are not broken."""
    done = run("ingest", f"no/{name}")
    assert done.code == 4
    assert f"no/{name}: no such file" in done.err
    folder = tmp_path / "h" / name.replace("/", "")
    done = run("--home", folder, "ingest", log)
    assert done.code == 0
    assert str(folder) in done.out
    copy = tmp_path / name.replace("/", "")
    assert f"copied to {copy}\n" in run("--home", folder, "backup", copy).out
    assert run("--home", folder, "settings").code == 0


def test_settings_are_shown_with_their_variables(run: Run) -> None:
    shown = run("settings").out
    for name in Settings.model_fields:
        assert name in shown
    assert set(run("settings", "--json").json) == set(Settings.model_fields)


def test_items_go_by_their_own_name_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    """And names that people gave, such as kinds of labels, stay as they are."""
    value = {"items": 3, "rows": [{"item": "blk_1", "of": ({"item": None},)}], "kinds": {"items": {"items": 2}}}
    terminal.print_json(value, BLOCKS.item)
    assert json.loads(capsys.readouterr().out) == {
        "blocks": 3,
        "rows": [{"block_id": "blk_1", "of": [{"block_id": None}]}],
        "kinds": {"items": {"blocks": 2}},
    }


def test_backup_and_export(run: Run, home: Path, tmp_path: Path) -> None:
    import duckdb

    assert run("backup", tmp_path / "copy.duckdb", "--home", home).code == 0
    with duckdb.connect(str(tmp_path / "copy.duckdb"), read_only=True) as con:
        assert con.execute("SELECT count(*) FROM event_matrix").fetchall() == [(400,)]
    assert run("backup", tmp_path / "copy.duckdb", "--home", home).code == 4, "a backup overwrites nothing"
    done = run("export", tmp_path / "out", "--home", home)
    assert {line.split(":")[0] for line in done.out.splitlines()} == set(TABLES)
    assert {path.stem for path in (tmp_path / "out").glob("*.parquet")} == set(TABLES)
    done = run("export", tmp_path / "csv", "--format", "csv", "--table", "labels", "--home", home)
    assert done.out == f"labels: {tmp_path / 'csv' / 'labels.csv'}\n"
    assert len((tmp_path / "csv" / "labels.csv").read_text().splitlines()) == 401
    assert run("export", tmp_path / "x", "--table", "lables", "--home", home).code == 2


def test_what_cannot_be_read_is_named_after_the_rest_was_stored(run: Run, log: Path, tmp_path: Path) -> None:
    (tmp_path / "circle.log").symlink_to(tmp_path / "circle.log")
    done = run("--home", "h", "ingest", log, tmp_path / "circle.log", tmp_path / "gone.log")
    assert done.code == 4
    assert "300 records in 1 files" in done.out
    for name, why in (("circle", "Too many levels of symbolic links"), ("gone", "no such file")):
        assert f"{tmp_path}/{name}.log: {why}" in done.err
    again = run("--home", "h", "ingest", log, tmp_path / "gone.log", "--json")
    assert again.code == 4
    assert json.loads(again.out)["unread"] == [f"{tmp_path}/gone.log: no such file"]


def test_what_a_scan_leaves_out_is_listed(run: Run, log: Path, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for name in ("a.log", "labels.csv", ".hidden.log"):
        (tmp_path / "logs" / name).write_bytes(log.read_bytes())
    why = "neither .log nor .out in its name; name the file itself to read it"
    assert f"left out: labels.csv: {why}" in run("--home", "h", "ingest", "logs").out
    left = run("--home", "h", "ingest", "logs", "--json").json["left_out"]
    assert {(Path(row["path"]).name, row["why"]) for row in left} == {("labels.csv", why), (".hidden.log", "hidden")}


def test_packed_logs(run: Run, log: Path, tmp_path: Path) -> None:
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "a.log.gz").write_bytes(gzip.compress(log.read_bytes()))
    assert run("--home", "h", "ingest", "packed", "--json").json["lines"] == 300
