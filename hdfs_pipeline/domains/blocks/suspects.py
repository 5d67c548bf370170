"""Suspects: the DataNodes that an anomalous block's records blame, and what the records tell of the trouble.

The DataNode that reports a failure is seldom the one that failed. Each rule of a block's life says in `where` which
roles to look for in the records, the surest first; the first role that a record of the block names gives its suspects.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from hdfs_pipeline.domains.blocks.kernel import EventMatcher
from hdfs_pipeline.domains.blocks.naming import naming
from hdfs_pipeline.domains.blocks.nodes import ADDRESS, IPV6, RECEIVES, usual_share
from hdfs_pipeline.domains.contract import ENTITY
from hdfs_pipeline.scoring.catalogue import Catalogue
from hdfs_pipeline.scoring.knowledge import Knowledge, Rule
from hdfs_pipeline.store.columns import ROW_GROUP
from hdfs_pipeline.store.quoting import quoted
from hdfs_pipeline.store.store import Connection, Store

_ADDRESSES: Final = rf"(?:{IPV6}|(?:[\w-]+\.)+[\w-]+):\d{{2,5}}"
_USUAL: Final = 2000  # blocks without an anomaly, the latest ones, that show what is usual
_LINE: Final = 240  # characters of a record's message that are shown
_REGISTRATION: Final = r"(DatanodeRegistration\([^,()]*), [^()]*\)"  # ids and ports of who writes, before what it says
ROLES: Final[Mapping[str, str]] = {
    "writer": "list(DISTINCT writer) FILTER (tells AND writer IS NOT NULL)",
    "mirror": "list(DISTINCT mirror) FILTER (mirror IS NOT NULL)",
    "silent": "list(DISTINCT remote) FILTER (remote IN (SELECT node FROM sources))",
    "dropped": "list_distinct(flatten(list_transform(list(kept) FILTER (kept IS NOT NULL), lambda after:"
    " list_filter(min(pipeline), lambda node: NOT list_contains(after, node)))))",
    "unheard": "list_filter(min(pipeline), lambda node:"
    " NOT list_contains(coalesce(list(receiver) FILTER (receiver IS NOT NULL), []), node))[:1]",
    "target": "list(DISTINCT target) FILTER (target IS NOT NULL)",
    "holder": "list(DISTINCT holder) FILTER (holder IS NOT NULL)",
}
"""The roles of DataNodes in a block's records, as SQL:

- `writer` wrote a record that shows that the rule is broken;
- `mirror`: another DataNode could not pass the data on to it;
- `silent`: a connection to it timed out;
- `dropped` was in the pipeline, and is not in the one with which the client went on;
- `unheard` is the first of the pipeline that wrote no record that it receives the block;
- `target`: a copy could not be sent to it;
- `holder`: its replica was reported as bad.
"""
TRAITS: Final[Mapping[str, str]] = {
    "client": r"(?:cliI[Dd]: ?|client=|Holder )(DFSClient_[\w-]+)",
    "file tree": r"(?: for |allocateBlock: |File )(/[^/\s]+(?:/[^/\s]+)?)/",
    "volume": r"(?: on |volume: |getVolume\(\) += )(/[^\s,]+)",
}
"""What else of a block may be at fault, each with the pattern of a record that names it.

Every DataNode that has a replica names a volume: that of a record which shows the trouble counts.
"""
_SHOWN_BY: Final = {"volume": " FILTER (tells)"}
_NAMED: Final = {
    "mirror": rf"to mirror {ADDRESS}",
    "remote": rf"SocketTimeoutException.*?remote={ADDRESS}",
    "target": rf"to {ADDRESS} got ",
    "holder": rf"on datanode: {ADDRESS}",
    "receiver": RECEIVES,
    **TRAITS,
}
_LISTS: Final = {"pipeline": r"replicas=([^;]*?) for /", "kept": r"newNodes=\[((?:\[[^\]]*\]|[^\]])*)\]"}
_FIELDS: Final = [
    *(f"nullif(regexp_extract(text, {quoted(form)}, 1, 's'), '') AS \"{name}\"" for name, form in _NAMED.items()),
    *(
        f"nullif(regexp_extract_all(regexp_extract(text, {quoted(form)}, 1), {quoted(_ADDRESSES)}), []) AS {name}"
        for name, form in _LISTS.items()
    ),
]
_RECORDS: Final = f"""SELECT block_id, rule, r.time,
        coalesce(list_contains(telling, coalesce(r.event_id, m.event_id)), false) AS tells,
        nullif(s.node, '') AS writer, r.message || ' ' || r.more AS text,
        concat_ws(' ', strftime(timezone('UTC', r.time), '%Y-%m-%d %H:%M:%S'),
            coalesce(nullif(s.node, ''), nullif(s.host, ''), nullif(s.daemon, '')), nullif(r.level, ''),
            nullif(split_part(r.logger, '.', -1), '') || ':',
            left(regexp_replace(r.message, {quoted(_REGISTRATION)}, '\\1, …)'), {_LINE})) AS line
    FROM (SELECT unnest(block_ids) AS block_id, source_id, position FROM raw_logs WHERE $only)
    JOIN wanted_blocks USING (block_id) JOIN (FROM raw_logs WHERE $only) r USING (source_id, position)
    JOIN sources s USING (source_id) LEFT JOIN matched_now m USING (source_id, position)"""
_UNPARSED: Final = """SELECT source_id, position, message FROM raw_logs WHERE event_id IS NULL AND $only
    AND list_has_any(block_ids, (SELECT list(block_id) FROM wanted_blocks))"""
_MATCHED_NOW: Final = pa.schema({"source_id": pa.int32(), "position": pa.int64(), "event_id": pa.string()})
_VALUES: Final = ", ".join(f'min("{name}"){_SHOWN_BY.get(name, "")}' for name in TRAITS)
_SUSPECTS: Final = f"""SELECT block_id AS key, coalesce(min(time) FILTER (tells), max(time)) AS told_from,
        coalesce(max(time) FILTER (tells), max(time)) AS told_to,
        list_sort(coalesce(CASE any_value(rule) $cases END, [])) AS blamed,
        map([{", ".join(quoted(name) for name in TRAITS)}], [{_VALUES}]) AS traits,
        coalesce(arg_min(line, (time, line)) FILTER (tells), arg_max(line, (time, line))) AS line
    FROM (SELECT *, {", ".join(_FIELDS)} FROM ({_RECORDS})) GROUP BY block_id"""


def suspects(store: Store, catalogue: Catalogue, knowledge: Knowledge, rules: Mapping[int, str]) -> pa.Table:
    """Of each block in `rules`, by the id of the rule that it breaks: see `Domain.suspects` for the columns.

    Records that a stream brought before anybody parsed them are matched with the `catalogue` here.

    The times are those of the first and the last record that shows the trouble, or of the block's last record where no
    record shows it. `blamed` are DataNodes as host:port, none where the rule blames no DataNode.
    """
    known = {name: knowledge.by_id[name] for name in set(rules.values()) & knowledge.by_id.keys()}
    telling = [knowledge.columns_of(name) if name in known else () for name in rules.values()]
    wanted = {"block_id": pa.array(rules, pa.int64()), "rule": pa.array(rules.values(), pa.string())}
    wanted["telling"] = pa.array(telling, pa.list_(pa.string()))
    with store.read() as con:
        only = naming(con, list(rules))
        con.register("wanted_blocks", pa.table(wanted))
        con.register("matched_now", _matched_now(con, catalogue, only))
        try:
            return con.sql(_SUSPECTS.replace("$cases", _cases(known)).replace("$only", only)).to_arrow_table()
        finally:
            con.unregister("matched_now")
            con.unregister("wanted_blocks")


def _matched_now(con: Connection, catalogue: Catalogue, only: str) -> pa.Table:
    """Source, position and event id of the records of wanted blocks that have no event yet."""
    names = pa.array(catalogue.columns)
    tables = [_MATCHED_NOW.empty_table()]
    for batch in con.sql(_UNPARSED.replace("$only", only)).to_arrow_reader(ROW_GROUP):
        events = names.take(pa.array(EventMatcher(catalogue).match(batch)))
        tables.append(pa.table([batch["source_id"], batch["position"], events], schema=_MATCHED_NOW))
    return pa.concat_tables(tables)


def usual(store: Store, catalogue: Catalogue, knowledge: Knowledge) -> dict[str, dict[str, float]]:
    """Of the latest blocks without an anomaly the share of each client, file tree and volume, and of each DataNode."""
    with store.read() as con:
        latest = con.execute(
            f"""SELECT block_id FROM event_matrix
            ANTI JOIN (SELECT substr(item, 5)::BIGINT AS block_id FROM anomalies WHERE domain = 'blocks')
            USING (block_id)
            ORDER BY last_time DESC, block_id LIMIT {_USUAL}"""
        ).fetchall()
    shares = {ENTITY: usual_share(store)}
    if latest:
        told = suspects(store, catalogue, knowledge, {block: "" for (block,) in latest})["traits"].to_pylist()
        for name in TRAITS:
            counts = Counter(value for traits in told if (value := dict(traits)[name]) is not None)
            shares[name] = {value: count / counts.total() for value, count in counts.items()}
    return shares


def _cases(rules: Mapping[str, Rule]) -> str:
    """SQL: of the roles that a rule names the first that some record names."""
    cases = (
        f"WHEN {quoted(name)} THEN coalesce({', '.join(f'nullif({ROLES[role]}, [])' for role in rule.where)})"
        for name, rule in rules.items()
        if rule.where
    )
    return " ".join(cases) or "WHEN NULL THEN []"
