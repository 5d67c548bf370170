"""A home with simulated messages, put into its table as reading does."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.applogs.records import MessageFormat, split_records
from hdfs_pipeline.domains.applogs.simulate import KINDS, message_lines, simulate
from hdfs_pipeline.domains.applogs.templates import catalogue_of, settle, with_templates
from hdfs_pipeline.domains.lines import next_revision
from hdfs_pipeline.domains.record_ids import record_keys
from hdfs_pipeline.domains.tally import Tally
from hdfs_pipeline.store.store import publish_into
from hdfs_pipeline_tests.homes import Home

APPLOGS = domain_named("applogs")


def simulated_lines(seed: int, hours: float, rate: float) -> list[bytes]:
    """Lines of JSON from 20:00 on, with the five kinds of anomalies in their later part."""
    begin = datetime(2026, 11, 3, 20, tzinfo=UTC)
    found = simulate(begin=begin, duration_s=hours * 3600, rate=rate, anomalies=KINDS, seed=seed, per_day=24.0)
    return list(message_lines(found.table))


def put(home: Home, lines: Sequence[bytes], source_id: int = 1) -> int:
    """Put lines into the table as messages of a source, and match them with templates; how many were messages."""
    chunks = [b"".join(line + b"\n" for line in lines)]
    batches = split_records(chunks, MessageFormat.of(home.settings), Tally())
    known = pa.Table.from_batches([with_templates(batch, catalogue_of(home.settings)) for batch in batches])
    rows = known.filter(pc.is_null(known["fault"])).drop_columns(["fault"])
    keys = record_keys(source_id, rows["position"].to_numpy())
    with home.store.write() as con:
        revision = next_revision(con, "app_logs")
        own = {"source_id": source_id, "revision": revision}
        for name, value in own.items():
            rows = rows.append_column(name, pa.array([value] * len(rows), pa.int64()))
        rows = rows.append_column("message_id", pa.array(keys))
        publish_into(con, "app_logs", rows, replace="source_id IN (SELECT source_id FROM publish_source)")
    settle(home.store, home.settings)
    return len(rows)
