"""Tables: one style, at every width, with every id and number whole."""

import ast
import io
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.markup import escape

from hdfs_pipeline import cli
from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.tables.namenode import series_table
from hdfs_pipeline.cli.tables.scored import scored_notes, scored_tables
from hdfs_pipeline.cli.tables.style import Column, Listing, name, number
from hdfs_pipeline.settings import PREFIX, PROJECT
from hdfs_pipeline.verdicts.files import Scored
from hdfs_pipeline_tests.cli import test_cli
from hdfs_pipeline_tests.cli.test_cli import Run, start, write_settings
from hdfs_pipeline_tests.homes import BLOCKS, Home, copy_home

run = test_cli.run  # the fixture
WORDS = st.text("abc12_[]/é日\x1b", min_size=1, max_size=14)
KINDS = st.lists(st.sampled_from([name, number, Column]), min_size=1, max_size=9)


def shown(table: Listing, width: int) -> str:
    console = terminal.SafeConsole(width=width, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


def test_one_module_makes_tables() -> None:
    package = Path(cli.__file__).parent.parent
    trees = {path: ast.walk(ast.parse(path.read_text())) for path in package.rglob("*.py")}
    makers = [
        str(path.relative_to(package))
        for path, nodes in trees.items()
        if any(isinstance(node, ast.ImportFrom) and node.module == "rich.table" for node in nodes)
    ]
    assert makers == ["cli/tables/style.py"]


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.data(), KINDS, st.integers(34, 130))
def test_no_name_and_no_number_is_cut(data: st.DataObject, kinds: list, width: int) -> None:
    kinds = [name, *kinds]
    table = Listing("", tuple(kind(escape(data.draw(WORDS))) for kind in kinds))
    rows = data.draw(st.lists(st.tuples(*(WORDS for _ in kinds)), min_size=1, max_size=3))
    for row in rows:
        table.add_row(*map(escape, row))
    lines = shown(table, width).splitlines()
    assert max(map(cell_len, lines)) <= width
    for row in rows:
        for kind, cell in zip(kinds, row, strict=True):
            whole = terminal.plain(cell)
            assert kind is Column or any(whole in line for line in lines), "two columns fit side by side in 34"


def test_a_name_that_is_wider_than_the_terminal_is_folded() -> None:
    table = Listing("", (name("block"), number("score")))
    table.add_row("blk_" + "7" * 40, "0.5")
    assert "".join(line.split()[0] for line in shown(table, 30).splitlines()[2:] if line.strip()).count("7") == 40


@pytest.mark.parametrize("columns", ["80", "60"])
def test_commands_print_tables_that_fit(
    run: Run, trained: Home, tmp_path: Path, mlflow_db: Path, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    home = copy_home(trained, tmp_path / "home").settings.home
    shutil.copy(mlflow_db, home)
    monkeypatch.setenv("COLUMNS", columns)
    verdicts = run("--home", home, "score", "--json").json["verdicts"]
    block = verdicts[0]["block_id"]
    assert run("--home", home, "feedback", block, "--verdict", "false", "--note", "planned").code == 0
    shape = re.compile(r"^[─ ]+$")
    for command in (
        "models",
        "settings",
        "feedback",
        "score",
        f"explain {block}",
        "backtest --threshold 0.5",
        "retrain --force --detector keywords",
        "compare --detector keywords --detector exact_match",
        "train --detector keywords",
    ):
        done = run("--home", home, *command.split())
        assert done.code == 0, done.err
        lines = done.out.splitlines()
        rules = [at for at, line in enumerate(lines) if line and shape.match(line)]
        assert rules, command
        for at in rules:  # a table ends at the first empty line; prose is not wrapped, so that it can be copied
            rows = lines[at - 1 : lines.index("", at)]
            assert max(map(cell_len, rows)) <= int(columns), command
            assert command == "settings" or "…" not in "".join(rows), command
    told = run("--home", home, "score").out
    assert sum(verdict["block_id"] in told for verdict in verdicts if verdict["is_anomaly"]) == 20
    told = run("--home", home, "settings").out
    assert all(setting in told for setting in run("--home", home, "settings", "--json").json)


def verdict(number: int, kind: str, score: float = 0.5) -> dict[str, Any]:
    named = {"block_id": f"blk_{number}", "kind": kind, "score": score, "is_anomaly": True, "unfinished": ""}
    return named | {"host": f"dn{number}", "time": f"2026-01-01T00:00:{number:02}", "reason": f"reason {number}"}


def kind(name: str, items: int, severity: str, hint: str) -> dict[str, Any]:
    times = {"first_time": "2026-01-01T00:00:01+00:00", "last_time": "2026-01-01T00:00:59+00:00"}
    return {"kind": name, "items": items, "severity": severity, "hosts": {"dn1": items, "": 1}, "hint": hint} | times


def test_a_kind_of_many_hides_no_other() -> None:
    many = [verdict(number, "disk full", 0.9) for number in range(40)]
    few = [verdict(50, "read refused"), verdict(51, "new here: a message", 0.4)]
    kinds = [kind("disk full", 40, "failure", "free space"), kind("read refused", 1, "failure", "find the client")]
    kinds.append(kind("new here: a message", 1, "", ""))
    scored = Scored("lifecycle", 0, [*many, *few], kinds=kinds)
    by_kind, items = (shown(table, 110) for table in scored_tables(scored, BLOCKS))
    assert by_kind.startswith("42 anomalies in 42 blocks, by lifecycle")
    for words in ("disk full", "free space", "find the client", "no rule knows it", "dn1 (40)", "not named (1)"):
        assert words in by_kind
    assert by_kind.index("disk full") < by_kind.index("read refused") < by_kind.index("new here")
    rows = [line.split()[0] for line in items.splitlines() if line.startswith("blk_")]
    assert rows == [*(f"blk_{number}" for number in range(18)), "blk_50", "blk_51"]
    assert "22 more with --json" in scored_notes(scored, BLOCKS)


def test_where_no_kind_is_known_the_reason_stands_in_its_place() -> None:
    (items,) = scored_tables(Scored("deviation", 1, [verdict(1, "")]), BLOCKS)
    assert "reason 1" in shown(items, 110)
    assert items.columns[2].heading == "reason"


def test_what_another_voice_flags_is_told() -> None:
    scored = Scored("random_forest", 3, [verdict(1, "disk full")], others={"lifecycle": 12})
    told = scored_notes(scored, BLOCKS)
    assert "lifecycle flags 12 blocks that random_forest does not: --detector lifecycle shows them" in told


def test_columns_are_respected_without_a_terminal(tmp_path: Path) -> None:
    write_settings(tmp_path / "h")
    for columns, width in (("70", 70), ("", 110), ("0", 110), ("wide", 110)):
        lines = start("--home", tmp_path / "h", "settings", COLUMNS=columns).out.splitlines()
        rule = next(line for line in lines if line.startswith("───"))
        assert width - 30 < len(rule) <= width


def test_a_rate_over_next_to_no_time_is_no_evidence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}NAMENODE_EPOCHS", "2")
    monkeypatch.setenv("COLUMNS", "80")
    recording = PROJECT / "data" / "sample" / "namenode" / "series.jsonl.gz"
    result = run("--home", "h", "namenode", "evaluate", recording, "--json").json
    assert 0 < result["quiet_hours"] < 1
    assert all(figures["false_per_hour"] is None for figures in result["detectors"].values())
    told = shown(series_table(result), 80)
    assert "too few to tell how often alarms are false" in " ".join(told.split())
    assert not re.search(r"\d in 0\.\d+ h", told)
    day = result | {"quiet_hours": 24.0}
    for figures in day["detectors"].values():
        figures["false_per_hour"] = figures["false_incidents"] / 24
    assert " in 24.0 h" in shown(series_table(day), 80)


def test_a_home_that_is_not_there_is_told_with_the_near_one(run: Run, tmp_path: Path) -> None:
    write_settings(tmp_path / "cluster-a")
    reading = ("models", "score", "explain blk_1", "drift", "backtest", "compare", "feedback", "export x", "backup y")
    reading += ("retrain", "rollback --detector keywords", "bench score", "train --labels x.csv")
    reading += ("status", "incidents list", "incidents show 1", "incidents resolve 1")
    reading += tuple(f"namenode {name}" for name in ("status", "score", "report", "rollback", "train"))
    for command in reading:
        done = run("--home", "clutser-a", *command.split())
        assert (done.code, done.out) == (3, ""), command
        assert f"did you mean {tmp_path / 'cluster-a'}?" in done.err
        assert not (tmp_path / "clutser-a").exists()
    assert "hdfs-pipeline --home elsewhere ingest PATH" in run("--home", "elsewhere", "models").err


def test_the_version(run: Run) -> None:
    done = run("--version")
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(r"hdfs-pipeline \d+\.\d+\.\d+\n", done.out)


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "nothing",
        "--colour",
        "--home",
        "explain",
        "up --workers 0",
        "up --rate fast",
        "watch --every nan",
        "demo --sample x",
        "export x --format xml",
        "export x --table lables",
        "train --detector forest",
        "train --domain blocs",
        "score --detector forest",
        "explain five",
        "feedback blk_5 --verdict maybe",
        "compare --split sideways",
        "backtest --from 2008-11-11 --to 2008-11-09",
        "stream --from here",
        "namenode mark 2026-01-01 2026-01-02 --as holiday",
        "namenode train --from yesterday",
        "namenode nothing",
    ],
)
def test_wrong_use_ends_with_2(run: Run, trained: Home, arguments: str) -> None:
    done = run("--home", trained.settings.home, *arguments.split()) if arguments != "--home" else run(arguments)
    assert done.code == 2, done
