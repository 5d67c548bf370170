"""The tables' declarations: read from the files of the store and of the domains, none of which is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from hdfs_pipeline.store.schema import TABLES, Column, Table, read_tables

TOY = """\
toy_readings (sensor, read_at) indexed: What sensors said.
    sensor   VARCHAR               Name of the sensor.
    read_at  TIMESTAMPTZ           When it was read, UTC.
    values   MAP(VARCHAR, DOUBLE)  Values by name: none  is left out.
toy_notes (): Notes.
    note  VARCHAR  A note.
"""


def test_a_declaration_is_read(tmp_path: Path) -> None:
    (tmp_path / "tables.txt").write_text(TOY)
    columns = {
        "sensor": Column("VARCHAR", "Name of the sensor."),
        "read_at": Column("TIMESTAMPTZ", "When it was read, UTC."),
        "values": Column("MAP(VARCHAR, DOUBLE)", "Values by name: none  is left out."),
    }
    assert read_tables(tmp_path) == {
        "toy_readings": Table("toy_readings", "What sensors said.", columns, ("sensor", "read_at"), indexed=True),
        "toy_notes": Table("toy_notes", "Notes.", {"note": Column("VARCHAR", "A note.")}),
    }
    assert read_tables(tmp_path / "without") == {}


@pytest.mark.parametrize("line", ["no: key", "    sensor VARCHAR  one space", "    lonely  VARCHAR", ""])
def test_a_line_that_declares_nothing_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "tables.txt").write_text(f"{TOY}{line}\n")
    with pytest.raises(ValueError, match="tables.txt, line 7: neither a table nor a column"):
        read_tables(tmp_path)


def test_every_line_of_the_declarations_fits_a_screen() -> None:
    package = Path(__file__).parents[2] / "hdfs_pipeline"
    files = [package / "store" / "tables.txt", *package.glob("domains/*/tables.txt")]
    assert len(files) > 1
    assert [line for file in files for line in file.read_text().splitlines() if len(line) > 120] == []


def declared(folder: Path, *appended: Path) -> "subprocess.CompletedProcess[str]":
    program = f"""
import sys, hdfs_pipeline.domains
hdfs_pipeline.domains.__path__ += {[str(path) for path in appended]}
from hdfs_pipeline.store.schema import TABLES
assert not [name for name in sys.modules if name.startswith("hdfs_pipeline.domains.")]
print(*TABLES)
"""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=folder)


def test_a_folder_on_the_search_path_of_domains_counts(tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "tables.txt").write_text(TOY)
    assert declared(tmp_path, tmp_path).stdout.split() == [*TABLES, "toy_readings", "toy_notes"]
    (tmp_path / "toy" / "tables.txt").write_text(TOY.replace("toy_notes", "labels"))
    assert "another file declares labels as well" in declared(tmp_path, tmp_path).stderr
