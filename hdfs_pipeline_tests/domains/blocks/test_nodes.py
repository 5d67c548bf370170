"""From whom a home has records, and until when."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfs_pipeline.domains.blocks.lives import collect_stated, publish_stated
from hdfs_pipeline.domains.blocks.nodes import heard
from hdfs_pipeline.store.store import publish_into
from hdfs_pipeline_tests.homes import Home

_END = datetime(2026, 1, 2, tzinfo=UTC)
_AGO = st.lists(st.sampled_from([0, 1, 3599, 3600, 3601, 86400, 10**7]), max_size=4)
_SOURCE = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["", "a:50010", "b:50010"]), _AGO)


def test_a_server_is_heard_until_its_latest_record_whatever_the_others_do(new_home: Callable[..., Home]) -> None:
    home = new_home()

    @settings(max_examples=40)
    @given(st.lists(_SOURCE, max_size=6))
    def check(sources: list[tuple[str, str, list[int]]]) -> None:
        rows = [
            {"source_id": number, "host": host, "node": node, "daemon": "datanode", "path": f"{number}"}
            for number, (host, node, _) in enumerate(sources, 1)
        ]
        records = [
            {"source_id": number, "position": place, "time": _END - timedelta(seconds=ago)}
            | {"block_ids": [], "message": "m"}
            for number, (*_, times) in enumerate(sources, 1)
            for place, ago in enumerate(times)
        ]
        with home.store.write() as con:
            for table, given_rows in (("sources", rows), ("raw_logs", records)):
                publish_into(con, table, pa.Table.from_pylist(given_rows) if given_rows else [], replace="true")
            collect_stated(con, "raw_logs")
            publish_stated(con)
        nodes = {host: {node for other, node, _ in sources if node and other == host} for host in "ab"}
        expected: dict[str, float] = {}
        for host, node, times in sources:
            name = node or (min(nodes[host]) if len(nodes[host]) == 1 else f"datanode {host}")
            if times:
                latest = _END.timestamp() - min(times)
                expected[name] = max(expected.get(name, latest), latest)
        assert heard(home.store) == expected

    check()
