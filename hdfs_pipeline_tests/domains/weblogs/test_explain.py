"""What is said of requests: in words, where, and all together."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from hdfs_pipeline.domains.champions import load_scorer
from hdfs_pipeline.domains.weblogs import analytics
from hdfs_pipeline.domains.weblogs.explain import NETWORK_SQL, network_of, vocabulary
from hdfs_pipeline.learning.training import fit
from hdfs_pipeline.scoring.explain import Difference
from hdfs_pipeline.scoring.models import save_model
from hdfs_pipeline.verdicts.incidents import publish_incidents
from hdfs_pipeline.verdicts.score import publish_anomalies, score_items
from hdfs_pipeline_tests.domains.weblogs.written import WEBLOGS, put, rows_of, some_days
from hdfs_pipeline_tests.homes import Filled, open_home

BEGIN = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("client", "network"),
    [
        ("198.51.100.77", "198.51.100.0/24"),
        ("2001:db8:5:6::7", "2001:db8:5::/48"),
        ("2001:db8::7", "2001:db8:0::/48"),
        ("::1", "0:0:0::/48"),
        ("host.example.org", "host.example.org"),
        ("", ""),
    ],
)
def test_the_network_of_a_client(client: str, network: str) -> None:
    assert network_of(client) == network
    assert duckdb.execute(f"SELECT {NETWORK_SQL} FROM (SELECT ? AS client)", [client]).fetchall() == [(network,)]


@pytest.mark.parametrize(
    ("column", "now", "usual", "words"),
    [
        ("RESPONSE_MS", 1024, 45, "response time 1 s, usually 45 ms"),
        ("RESPONSE_MS", 32.25, 45, "response time unknown, usually 45 ms"),
        ("BYTES", 1 << 20, 4096, "size of the answer 1 MB, usually 4 kB"),
        ("MISSES", 16, 0, "answers 4xx to this client in this minute so far about 16, usually 0"),
        ("CLIENT_ERROR", 1, 0, "answer 4xx"),
        ("NO_REFERER", 0, 1, "usually no referring page"),
    ],
)
def test_differences_are_said_in_words(column: str, now: float, usual: float, words: str) -> None:
    known = vocabulary()
    assert known.say is not None
    assert known.say(Difference(column, known.describe(column), "extra", now, usual, 1.0)) == words


def test_a_scan_becomes_an_incident_of_its_network_and_slow_answers_one_of_their_endpoint(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    slow = [
        {"time": BEGIN + timedelta(hours=40, seconds=at), "path": "/cart/pay", "response_us": 60_000_000}
        for at in range(6)
    ]
    ordinary = some_days()
    put(home, ordinary)
    put(home, rows_of(slow, source=2))
    score_items(home.store, home.settings, WEBLOGS, "lifecycle")
    assert publish_anomalies(home.store, home.settings, WEBLOGS, "lifecycle") == 11
    found = publish_incidents(home.store, home.settings, WEBLOGS)
    assert [(each.kind, each.entity, len(each.items)) for each in found] == [
        ("scan", "203.0.113.0/24", 5),
        ("slow", "shop /cart", 6),
    ]
    kinds = home.rows("SELECT DISTINCT kind, reason FROM anomalies WHERE kind = 'slow'")
    assert kinds == [("slow", "the answer took very long")]


def test_what_kmeans_finds_is_named_by_what_stands_out(tmp_path: Path, weblogs_filled: Filled) -> None:
    changed = weblogs_filled.copied(tmp_path / "home")
    odd = {"time": BEGIN + timedelta(hours=41), "path": "/products/17", "query": "~" * 3000, "client": "192.0.2.4"}
    put(changed.home, rows_of([odd], source=3))
    scorer = fit(weblogs_filled.data(), WEBLOGS, "request_kmeans", changed.home.settings)
    assert scorer.card.anomalies == 5, "what breaks rules is not learned as ordinary"
    save_model(scorer, changed.home.settings)
    store, home_settings = changed.home.store, changed.home.settings
    assert load_scorer(home_settings, WEBLOGS, "request_kmeans").card.version == 1
    score_items(store, home_settings, WEBLOGS, "request_kmeans")
    publish_anomalies(store, home_settings, WEBLOGS, "request_kmeans")
    found = changed.home.rows("SELECT kind, entity, reason FROM anomalies WHERE host = '192.0.2.0/24'")
    assert [(kind, entity) for kind, entity, _ in found] == [("unusual query", "192.0.2.0/24")]
    assert "characters in the query" in found[0][2]


def test_analytics_tell_of_endpoints_clients_times_and_answers(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    put(home, rows_of(
        {"time": BEGIN + timedelta(seconds=at), "path": "/a" if at % 2 else "/b", "response_us": 1000 * (at + 1),
         "status": 500 if at % 10 == 1 else 404 if at % 10 == 2 else 200, "client": f"198.51.100.{at % 3}"}
        for at in range(100)
    ))  # fmt: skip
    span = (BEGIN, BEGIN + timedelta(seconds=100))
    first, second = analytics.endpoints(home.store, span).to_pylist()
    assert (first["endpoint"], first["requests"], first["errors"], first["error_rate"]) == ("/a", 50, 10, 0.2)
    assert (second["endpoint"], second["misses"], second["p50_ms"]) == ("/b", 10, 50.0)
    assert analytics.endpoints(home.store, span, service="other").to_pylist() == []
    spread = analytics.latencies(home.store, span, endpoint="/b").to_pylist()
    assert sum(row["requests"] for row in spread) == 50
    assert all(row["from_ms"] < row["to_ms"] for row in spread)
    top = analytics.clients(home.store, span, limit=1).to_pylist()
    assert [(row["client"], row["network"], row["requests"]) for row in top] == [
        ("198.51.100.0", "198.51.100.0/24", 34)
    ]
    answers = analytics.answers(home.store, span, steps=2).to_pylist()
    assert sum(row["requests"] for row in answers) == 100
    assert {row["status"] for row in answers} == {2, 4, 5}
    assert {row["time"] for row in answers} == {BEGIN, BEGIN + timedelta(seconds=50)}
