"""What a worker tells of itself: scraped over HTTP from a real one, and counter by counter."""

import re
import urllib.request
from collections import defaultdict
from typing import Any

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from hdfs_pipeline.domains.blocks.topics import RAW_LOGS
from hdfs_pipeline.domains.course import PARTS
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.sources.kafka import DEAD_LETTERS, producer
from hdfs_pipeline.sources.wire import Verdict
from hdfs_pipeline.streaming.metrics import Metrics
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.streaming.conftest import read_topic, run_command, wait_for
from hdfs_pipeline_tests.streaming.workers import settle_in, vectors, verdicts, worker

Figures = dict[str, dict[frozenset[tuple[str, str]], float]]


def figures(text: str) -> Figures:
    """Values by name and by labels, without the label `stage`, which is the same everywhere."""
    found: Figures = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("stage") == RAW_LOGS
            found[sample.name][frozenset(labels.items())] = sample.value
    return found


def plain(found: Figures, name: str) -> float:
    return found[f"hdfs_stream_{name}"][frozenset()]


def by(found: Figures, name: str, label: str) -> dict[str, float]:
    return {dict(labels)[label]: value for labels, value in found[f"hdfs_stream_{name}"].items()}


@pytest.mark.xdist_group("kafka")
def test_a_running_worker_is_scraped(broker: Home, trained: Home, excerpt: Any) -> None:
    settle_in(broker, trained)
    with worker(broker) as running:
        (address,) = re.findall(r"metrics at (http://127\.0\.0\.1:\d+/metrics)", running.log)

        def scraped() -> Figures:
            with urllib.request.urlopen(address, timeout=10) as answer:
                assert answer.headers["Content-Type"].startswith("text/plain")
                return figures(answer.read().decode())

        assert plain(scraped(), "messages_total") == 0
        client = producer(broker.settings)
        client.produce(RAW_LOGS, b"not a record", b"blk_1")
        assert client.flush(30) == 0
        # Slowly: what comes in one batch closes nothing by its own times, and the clock would close it all.
        assert run_command(broker, "produce", "raw", str(excerpt.log), "--rate", "2000").returncode == 0
        sent = read_topic(broker.settings, RAW_LOGS)
        used = {str(message.partition()) for message in sent}

        def settled() -> tuple[Figures, list[Verdict]] | None:
            found, said = scraped(), verdicts(broker)
            read = plain(found, "messages_total") == len(sent) and plain(found, "held_blocks") > 0
            caught_up = by(found, "consumer_lag_messages", "partition") == dict.fromkeys(used, 0)
            closed = sum(by(found, "closed_blocks_total", "closed_by").values()) == len(vectors(broker)) > 0
            final = len([verdict for verdict in said if verdict.status == "final"])
            judged = by(found, "verdicts_total", "status").get("final") == final
            return (found, said) if read and caught_up and closed and judged else None

        found, said = wait_for(settled, what="all is read, and what is told is what was published")
        assert len(read_topic(broker.settings, DEAD_LETTERS)) == 1
        assert plain(found, "messages_total") == len(sent)
        assert plain(found, "batch_messages_sum") == len(sent)
        assert 1 <= plain(found, "batch_messages_count") <= len(sent)
        assert plain(found, "dead_letters_total") == 1
        assert plain(found, "lost_messages_total") == 0
        assert 0 <= plain(found, "open_blocks") <= plain(found, "held_blocks")
        # What the clock closes has no record behind it to count from.
        assert 1 <= plain(found, "latency_seconds_count") <= len(said)
        buckets = by(found, "latency_seconds_bucket", "le")
        assert buckets["+Inf"] == plain(found, "latency_seconds_count")
        assert 0 < plain(found, "latency_seconds_sum") < 60 * len(said)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(RAW_LOGS)


def told(metrics: Metrics) -> Figures:
    return figures(generate_latest(metrics.registry).decode())


def test_lag_is_told_by_partition_and_goes_with_it(metrics: Metrics) -> None:
    metrics.lag({0: 5, 7: 12})
    assert by(told(metrics), "consumer_lag_messages", "partition") == {"0": 5, "7": 12}
    metrics.without([7, 8])
    assert by(told(metrics), "consumer_lag_messages", "partition") == {"0": 5}
    metrics.lag({0: 0})
    assert metrics.recent.take(1.0)["lag"] == 0


def test_the_latency_histogram_tells_a_tenth_of_a_second_from_less(metrics: Metrics) -> None:
    for seconds in (0.003, 0.09, 0.11, 40.0):
        metrics.acknowledged([seconds, 0, 0, 0, 0, 0, 0])
    buckets = by(told(metrics), "latency_seconds_bucket", "le")
    assert (buckets["0.005"], buckets["0.1"], buckets["0.15"], buckets["10.0"], buckets["+Inf"]) == (1, 2, 3, 3, 4)


def test_recent_figures_begin_anew_with_each_report(metrics: Metrics) -> None:
    metrics.read(300)
    metrics.read(100)
    metrics.dead(2)
    metrics.unkeyed(3)
    metrics.lost(4)
    metrics.closed(["idle", "idle", "events"])
    metrics.verdict("final")
    metrics.verdict("withdrawn")
    metrics.held(17, 20)
    for milliseconds in range(1, 101):
        metrics.acknowledged([milliseconds / 2000, 0, 0, 0, milliseconds / 2000, 0, 0])
    first = metrics.recent.take(10.0)
    assert first == {
        "messages": 400,
        "blocks_closed": 3,
        "anomalies": 1,
        "dead_letters": 2,
        "unkeyed": 3,
        "lost": 4,
        "lines_per_s": 40.0,
        "lag": 0,
        "open_blocks": 17,
        "latency_p50_ms": 50.5,
        "latency_p99_ms": 99.0,
        "latency_parts_ms": dict.fromkeys(PARTS, 0) | {"way": 25.2, "score": 25.2},
        "slowest_parts_ms": dict.fromkeys(PARTS, 0) | {"way": 50.0, "score": 50.0},
    }
    second = metrics.recent.take(10.0)
    assert second["messages"] == second["anomalies"] == 0 and "latency_p50_ms" not in second
    assert second["open_blocks"] == 17
    assert by(told(metrics), "closed_blocks_total", "closed_by") == {"idle": 2, "events": 1}
    assert plain(told(metrics), "messages_total") == 400
    assert by(told(metrics), "latency_part_seconds_sum", "part")["score"] == pytest.approx(2.525)


def test_a_model_that_is_refused_is_told_until_another_serves(metrics: Metrics) -> None:
    assert plain(told(metrics), "model_refused") == 0
    metrics.refused("random_forest version 2 cannot score")
    assert plain(told(metrics), "model_refused") == 1
    assert metrics.recent.take(1.0)["refused_model"] == "random_forest version 2 cannot score"
    metrics.refused("")
    assert plain(told(metrics), "model_refused") == 0
    assert "refused_model" not in metrics.recent.take(1.0)


def test_a_port_that_is_taken_is_a_setup_error(home: Home, metrics: Metrics) -> None:
    port = metrics.serve(home.settings.model_copy(update={"metrics_port": 0}))
    assert port > 0
    with pytest.raises(SetupError, match="HDFS_PIPELINE_METRICS_PORT"):
        Metrics(RAW_LOGS).serve(home.settings.model_copy(update={"metrics_port": port}))
