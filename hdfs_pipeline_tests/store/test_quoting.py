"""Text from outside as SQL, and homes and files with every character in their names that they can have."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.store.quoting import identifier, one_file, parquet, quoted, quoted_list
from hdfs_pipeline_tests.homes import BLOCKS, Excerpt, Home, fill, open_home

ODD = 'cluster=prod/it\'s [1] *; %41 #\n{uuid} "x"'
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(TEXTS, TEXTS)
def test_any_text_is_a_string_and_a_name(text: str, name: str) -> None:
    result = duckdb.sql(f"SELECT {quoted(text)} AS {identifier(name)}, [{quoted_list([text, name])}] AS both")
    assert result.columns[0] == name
    assert result.fetchall() == [(text, [text, name])]


@pytest.mark.parametrize("name", ["a[1].parquet", "a*.parquet", "?.parquet", "[!x].parquet", "key=1.parquet", "it's"])
def test_one_file_is_that_file(tmp_path: Path, name: str) -> None:
    folder = tmp_path / ODD
    folder.mkdir(parents=True)
    for other in ("a1.parquet", name):
        duckdb.sql(f"COPY (SELECT {quoted(other)} AS name) TO {quoted(str(folder / other))} (FORMAT parquet)")
    assert duckdb.sql(f"FROM {parquet([folder / name])}").fetchall() == [(name,)]
    rows = duckdb.execute("FROM read_parquet(?, hive_partitioning = false)", [[one_file(folder / name)]])
    assert rows.fetchall() == [(name,)]


def test_a_home_with_an_odd_name_works(tmp_path: Path, excerpt: Excerpt) -> None:
    home = open_home(tmp_path / ODD)
    assert len(fill(home, [excerpt.log], excerpt.csv)) == len(excerpt.labels)
    home.store.backup(home.settings.home / "backup[1].duckdb")
    files = home.store.export(home.settings.home / "x=1 [2]", tables=["event_matrix", "labels"])
    for table, file in files.items():
        assert duckdb.sql(f"SELECT count(*) FROM {parquet([file])}").fetchall() == home.rows(
            f"SELECT count(*) FROM {table}"
        )


@pytest.mark.parametrize("name", ["a?b", "back\\slash", "not\udcffutf8"])
def test_a_home_that_duckdb_would_put_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SetupError, match="rename it"), open_home(tmp_path / name / "home").store.write():
        pass
    assert not any(tmp_path.iterdir())


def test_a_backup_that_duckdb_would_put_elsewhere_is_refused(home: Home, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="rename it"):
        home.store.backup(tmp_path / "backup?x.duckdb")


def test_an_event_id_reaches_no_sql(new_home: Callable[..., Home], excerpt: Excerpt, tmp_path: Path) -> None:
    """A catalogue that lies in a home by hand reads and writes nothing outside of it."""
    home = new_home()
    stolen = tmp_path / "stolen.csv"
    home.settings.catalogues.mkdir()
    evil = f"E1'])[1] FROM raw_logs) TO '{stolen}' (FORMAT csv); --"
    (home.settings.catalogues / "evil.v1.csv").write_text(f'event_id,template\n"{evil}",Receiving<*>\n')
    with pytest.raises(Exception, match=r"evil\.v1\.csv, line 2: event_id"):
        BLOCKS.read(home.store, home.settings, [str(excerpt.log)], None)
    assert not stolen.exists()
