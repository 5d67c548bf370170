"""The requests of a home one by one, the newest first."""

from collections.abc import Sequence
from datetime import UTC
from typing import Any, Final

from hdfs_pipeline.domains.weblogs.analytics import of, parameters
from hdfs_pipeline.domains.weblogs.item import REQUEST
from hdfs_pipeline.scoring.patterns import Span
from hdfs_pipeline.store.store import Store, dicts

_SHOWN: Final = """request_id, time, service, client, account, method, path, query, status, bytes,
    response_us / 1000 AS response_ms, referer, agent, endpoint"""


def newest_requests(
    store: Store,
    span: Span,
    limit: int,
    offset: int = 0,
    service: str | None = None,
    endpoint: str = "",
    items: Sequence[str] | None = None,
) -> tuple[int, list[dict[str, Any]]]:
    """How many requests there are, and `limit` of them after the `offset` newest; with `items` only those among them.

    `service` and `endpoint` as in `analytics`. Each has `item` (its id), `time` in ISO 8601, `service`, `client`,
    `account`, `method`, `path`, `query`, `status`, `bytes`, `response_ms`, `referer`, `agent` and `endpoint`.
    """
    where, given = of(service, endpoint), parameters(span, service, endpoint)
    if items is not None:
        where += " AND request_id IN (SELECT unnest($keys::BIGINT[]))"
        given["keys"] = [REQUEST.parse(item) for item in items]
    with store.read() as con:
        total = con.execute(f"SELECT count(*) FROM requests WHERE {where}", given).fetchall()[0][0]
        rows = dicts(
            con,
            f"""SELECT {_SHOWN} FROM requests WHERE {where}
            ORDER BY time DESC, source_id DESC, position DESC LIMIT {int(limit)} OFFSET {int(offset)}""",
            given,
        )
    return int(total), [_plain(row) for row in rows]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    item, time = REQUEST.show(row.pop("request_id")), row.pop("time")
    return {"item": item, "time": time.astimezone(UTC).isoformat(timespec="milliseconds")} | row
