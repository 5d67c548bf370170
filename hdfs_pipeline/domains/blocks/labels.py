"""Labels of blocks, from `BlockId,Label` as published with HDFS_v1 or `block_id,label[,kind]`."""

from pathlib import Path

import duckdb
import pyarrow as pa

from hdfs_pipeline.domains.blocks.kernel import connect
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.store.quoting import identifier, one_file, quoted, quoted_list
from hdfs_pipeline.store.store import Store, publish_into

_AGAIN = "block_id IN (SELECT block_id FROM publish_source)"

LABELS = ("normal", "anomaly", "ambiguous")
_WORDS = {"normal": ("success", "0"), "anomaly": ("fail", "1")}  # as LogHub's other files say it


def read_labels(path: Path | str) -> pa.Table:
    """Labels of a CSV file: block_id int64, label ('normal', 'anomaly', 'ambiguous'), kind (the label where not given).

    0 and Success stand for normal, 1 and Fail for anomaly. A block id may carry its generation stamp.

    Raises: DataError naming the line that cannot be used, or a block with two labels.
    """
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file of labels")
    con = connect()
    try:
        con.execute(
            "CREATE TABLE given AS SELECT *, row_number() OVER () + 1 AS line "
            "FROM read_csv(?, all_varchar = true, header = true, parallel = false, hive_partitioning = false)",
            [one_file(path)],
        )
    except duckdb.Error as error:
        raise DataError(f"{path}: not a CSV file that can be read ({str(error).splitlines()[0]})") from None
    names = {row[0].lower().replace("_", ""): identifier(row[0]) for row in con.execute("DESCRIBE given").fetchall()}
    if not {"blockid", "label"} <= set(names):
        raise DataError(f"{path}: needs the columns block_id,label[,kind] or BlockId,Label")
    kind = f"trim({names['kind']})" if "kind" in names else "NULL"
    word = f"lower(trim({names['label']}))"
    whens = (f"WHEN {word} IN ({quoted_list(words)}) THEN {quoted(label)}" for label, words in _WORDS.items())
    label = f"CASE {' '.join(whens)} ELSE {word} END"
    number = r"'^\s*(?:blk_)?(-?[0-9]+)(?:_[0-9]+)?\s*$'"
    con.execute(
        f"""CREATE TABLE labels AS SELECT line, {label} AS label,
        TRY_CAST(regexp_extract({names["blockid"]}, {number}, 1) AS BIGINT) AS block_id,
        coalesce(nullif({kind}, ''), {label}) AS kind FROM given"""
    )
    bad = con.execute(
        f"""SELECT line FROM labels WHERE block_id IS NULL OR label IS NULL OR label NOT IN {LABELS}
        ORDER BY line LIMIT 1"""
    ).fetchall()
    if bad:
        raise DataError(
            f"{path}, line {bad[0][0]}: needs a block id such as blk_1073741825 and one of {', '.join(LABELS)}"
        )
    twice = con.execute(
        "SELECT block_id FROM labels GROUP BY block_id HAVING count(DISTINCT (label, kind)) > 1 LIMIT 1"
    ).fetchall()
    if twice:
        raise DataError(f"{path}: blk_{twice[0][0]} has two different labels")
    return con.sql("SELECT DISTINCT block_id, label, kind FROM labels").to_arrow_table()


def load_labels(store: Store, path: Path | str) -> int:
    """Publish the labels of a file (see `publish_labels`), and return how many. Raises: as `read_labels`."""
    return publish_labels(store, read_labels(path))


def publish_labels(store: Store, labels: pa.Table) -> int:
    """Put labels, as `read_labels` gives them, into the store in place of their blocks' old ones; return how many."""
    with store.write() as con:
        return publish_into(con, "labels", labels, replace=_AGAIN)
