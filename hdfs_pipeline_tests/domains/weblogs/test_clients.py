"""What clients did this minute: counted while requests come, and by SQL."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import duckdb
import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfs_pipeline.domains.weblogs.clients import Clients
from hdfs_pipeline.domains.weblogs.item import MOST_PATHS, PAUSE
from hdfs_pipeline.domains.weblogs.texts import text_hashes
from hdfs_pipeline_tests.domains.weblogs.written import rows_of

BEGIN = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
GROUP = "service, client, epoch_us(time) // 60000000"
BY_SQL = f"""SELECT count(*) OVER life AS hits, count(*) FILTER (status // 100 = 4) OVER life AS misses,
        least(sum(fresh) OVER life, {MOST_PATHS}) AS paths
    FROM (
        SELECT *, coalesce(position - lag(position) OVER (PARTITION BY {GROUP}, begun, path ORDER BY position)
            > {PAUSE}, true)::INT AS fresh
        FROM (
            SELECT *, sum(new) OVER (PARTITION BY {GROUP} ORDER BY position) AS begun FROM (
                SELECT *, coalesce(position - lag(position) OVER (PARTITION BY {GROUP} ORDER BY position)
                    > {PAUSE}, true)::INT AS new
                FROM rows
            )
        )
    ) WINDOW life AS (PARTITION BY {GROUP}, begun ORDER BY position) ORDER BY position"""
REQUESTS = st.lists(
    st.tuples(
        st.sampled_from([1, 1, 1, 2, PAUSE - 1, PAUSE, PAUSE + 1, 3 * PAUSE]),
        st.integers(-3, 120),
        st.sampled_from(["", "a", "shop"]),
        st.sampled_from(["", "198.51.100.7", "198.51.100.8", "2001:db8::1"]),
        st.sampled_from(["/", "/a", "/b", "/\u00e9", "/%00"]),
        st.sampled_from([0, 200, 304, 399, 400, 404, 499, 500]),
    ),
    max_size=80,
)


def requests_of(drawn: list[tuple[int, int, str, str, str, int]]) -> pa.Table:
    names = ("service", "client", "path", "status")
    places = np.cumsum([step for step, *_ in drawn]).tolist()
    return rows_of(
        {"position": place, "time": BEGIN + timedelta(seconds=seconds), **dict(zip(names, rest, strict=True))}
        for place, (_, seconds, *rest) in zip(places, drawn, strict=True)
    )


@settings(max_examples=60, deadline=None)
@given(REQUESTS, st.lists(st.integers(0, 80), max_size=5))
def test_counting_as_requests_come_is_as_counting_all_by_sql(
    drawn: list[tuple[int, int, str, str, str, int]], cuts: list[int]
) -> None:
    rows = requests_of(drawn)
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    clients = Clients()
    pieces = [clients.count(rows.slice(a, b - a)) for a, b in pairwise(edges)]
    with duckdb.connect() as con:
        con.register("rows", rows)
        expected = con.execute(BY_SQL).fetchall()
    assert np.concatenate(pieces).tolist() == [list(map(int, row)) for row in expected]


def test_many_clients_and_paths_are_all_remembered_and_forgotten_ones_make_room() -> None:
    rows = rows_of(
        {"time": BEGIN, "client": f"c{at % 4000}", "path": f"/{at}", "position": at + 1} for at in range(12_000)
    )
    clients = Clients()
    counts = clients.count(rows)
    np.testing.assert_array_equal(counts[:, 0], np.arange(12_000) // 4000 + 1)
    np.testing.assert_array_equal(counts[:, 2], counts[:, 0])
    size = len(clients._clients[0])
    position = 12_000
    for _ in range(3):
        position += 2 * PAUSE
        later = pa.array(np.arange(12_000) + position)
        assert clients.count(rows.set_column(1, "position", later))[:4000, 0].tolist() == [1] * 4000
        position += 12_000
    assert len(clients._clients[0]) <= 2 * size


def test_paths_of_a_client_are_counted_up_to_a_limit() -> None:
    rows = rows_of({"time": BEGIN, "path": f"/{at}"} for at in range(MOST_PATHS + 50))
    counts = Clients().count(rows)
    assert counts[-1].tolist() == [MOST_PATHS + 50, 0, MOST_PATHS]


def test_texts_have_one_hash_in_every_form() -> None:
    texts = ["", "a", "\u00e9", "a", None]
    plain = text_hashes(pa.array(texts))
    assert plain[1] == plain[3] != plain[0] == plain[4]
    for form in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
        np.testing.assert_array_equal(text_hashes(pa.array(texts).cast(form)), plain)
    chunked = pa.chunked_array([texts[:2], texts[2:]])
    np.testing.assert_array_equal(text_hashes(chunked), plain)
    np.testing.assert_array_equal(text_hashes(pa.array(["x", *texts]).slice(1)), plain)
