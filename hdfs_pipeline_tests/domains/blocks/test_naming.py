"""The records that name blocks: those of the blocks' lives are all of them."""

from datetime import UTC, datetime

import pyarrow as pa

from hdfs_pipeline.domains.blocks.explain import places
from hdfs_pipeline.domains.blocks.naming import naming
from hdfs_pipeline.store.store import publish_into
from hdfs_pipeline_tests.homes import Home

_OWN = "SELECT source_id, position FROM {} WHERE {} ORDER BY ALL"


def test_the_records_of_one_block_are_those_that_name_it(trained: Home) -> None:
    blocks = [block for (block,) in trained.rows("SELECT block_id FROM event_matrix USING SAMPLE 40 (reservoir, 7)")]
    with trained.store.read() as con:
        for table in ("raw_logs", "parsed_events"):
            for block in blocks:
                named = con.execute(_OWN.format(table, f"list_contains(block_ids, {block}::BIGINT)")).fetchall()
                assert named
                assert con.execute(_OWN.format(table, naming(con, [block]))).fetchall() == named


def test_no_record_of_several_blocks_is_left_out(trained: Home) -> None:
    blocks = [block for (block,) in trained.rows("SELECT block_id FROM event_matrix ORDER BY first_time LIMIT 5")]
    with trained.store.read() as con:
        named = con.execute(_OWN.format("raw_logs", f"list_has_any(block_ids, {blocks}::BIGINT[])")).fetchall()
        kept = con.execute(_OWN.format("raw_logs", naming(con, blocks))).fetchall()
    assert named and {*named} <= {*kept}
    assert len(kept) < trained.rows("SELECT count(*) FROM raw_logs")[0][0], "what came after their lives is not read"


def test_an_anomaly_of_a_stream_tells_the_time_of_a_block_that_was_not_counted(home: Home) -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    row = {"domain": "blocks", "item": "blk_7", "detector": "lifecycle", "first_time": at, "last_time": at}
    with home.store.write() as con:
        publish_into(con, "anomalies", pa.Table.from_pylist([row]))
    with home.store.read() as con:
        assert "2026-01-02" in naming(con, [7])
        assert naming(con, [8]) == "list_contains(block_ids, 8::BIGINT)", "nothing is known: all are asked"
        assert naming(con, []) == "len(block_ids) > 0"


def test_the_places_of_many_blocks_are_those_of_each(trained: Home) -> None:
    blocks = [block for (block,) in trained.rows("SELECT block_id FROM event_matrix ORDER BY block_id LIMIT 30")]
    telling = {block: [("E5",), ("E9", "E11"), ("alarms",), ()][at % 4] for at, block in enumerate(blocks)}
    many = places(trained.store, telling)
    assert many.keys() == telling.keys()
    for block, columns in telling.items():
        assert places(trained.store, {block: columns}) == {block: many[block]}
    assert places(trained.store, {}) == {}
