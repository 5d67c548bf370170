"""Topics that are deleted and made anew, or given more partitions, while workers and routers read them."""

from collections.abc import Callable
from typing import Any

import pytest

from hdfs_pipeline.domains.blocks.topics import AGGREGATED_EVENTS, RAW_LOGS, SHIPPED_LOGS
from hdfs_pipeline.sources.kafka import DEAD_LETTERS
from hdfs_pipeline.sources.ranges import watermarks
from hdfs_pipeline.streaming.topics import ensure_topics
from hdfs_pipeline_tests.faults.reconcile import send
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.streaming.conftest import (
    REAL,
    delete_topics,
    read_topic,
    run_command,
    start_command,
    wait_for,
)
from hdfs_pipeline_tests.streaming.workers import batch_counts, final_counts, vectors, wait_until_equal, worker

pytestmark = [pytest.mark.faults, pytest.mark.real_broker]


def admin() -> Any:
    from confluent_kafka.admin import AdminClient

    return AdminClient({"bootstrap.servers": REAL})


def make_anew(home: Home, topic: str) -> str:
    """Delete a topic and make it again; the id of its new life."""
    delete_topics(admin(), {topic})
    assert ensure_topics(home.settings, [topic]) == [topic]
    return watermarks(home.settings, topic).topic_id


def test_a_topic_made_anew_under_a_worker_is_counted_from_its_start(
    home: Home, trained: Home, excerpt: Any, unseen: Any, reconciled: Callable[[str], None]
) -> None:
    """With fewer messages than before, with more, and with the same blocks at other offsets."""
    wanted = batch_counts(trained)
    with worker(home, "--to", AGGREGATED_EVENTS) as running:
        for times, log in enumerate((unseen.log, excerpt.log, excerpt.log), 1):
            assert run_command(home, "produce", "raw", str(unseen.log)).returncode == 0
            assert run_command(home, "produce", "raw", str(log)).returncode == 0
            wait_for(lambda: running.log.count("lag=0 open_blocks=0") or len(vectors(home)) > 60)
            life = make_anew(home, RAW_LOGS)
            assert run_command(home, "produce", "raw", str(excerpt.log)).returncode == 0

            def found(life: str = life) -> dict[int, dict[str, int]]:
                return final_counts([vector for vector in vectors(home) if vector.life == life])

            wait_for(lambda found=found: found() == wanted, what=f"all of life {times + 1} is counted")
            running.wait_for("raw_logs was deleted and made anew", times)
        assert running.process.poll() is None
    with worker(home, "--to", AGGREGATED_EVENTS) as second:  # reads back what was published, also in other lives
        assert run_command(home, "produce", "raw", str(unseen.log)).returncode == 0
        wait_for(lambda: len(found()) == len(wanted) + 60)
        assert {block: counts for block, counts in found().items() if block in wanted} == wanted
        assert second.log.count("made anew") == 0
    reconciled(f"{times} times made anew: all {len(wanted)} blocks counted each time")


def test_a_topic_made_anew_while_no_worker_ran(home: Home, trained: Home, excerpt: Any, unseen: Any) -> None:
    """Its group's offsets may be those of the old topic: a worker that ends commits after the topic has gone."""
    with worker(home) as running:
        assert run_command(home, "produce", "raw", str(unseen.log)).returncode == 0
        wait_for(lambda: len(vectors(home)) > 10)
        make_anew(home, RAW_LOGS)
        assert running.end() == 0
    assert run_command(home, "produce", "raw", str(excerpt.log)).returncode == 0
    with worker(home):
        wanted = batch_counts(trained)
        wait_for(
            lambda: {block: found for block, found in final_counts(vectors(home)).items() if block in wanted} == wanted
        )


def test_shipped_lines_made_anew_under_a_router(home: Home, trained: Home, excerpt: Any, unseen: Any) -> None:
    def ship(path: Any) -> int:
        lines = path.read_bytes().splitlines()
        send(home, SHIPPED_LOGS, [(b"host-1", line, 7) for line in lines])
        return len(lines)

    with start_command(home, "route") as router:
        before = ship(unseen.log)
        wait_for(lambda: len({m.headers()[0][1] for m in read_topic(home.settings, RAW_LOGS)}) == before)
        make_anew(home, SHIPPED_LOGS)
        after = ship(excerpt.log)
        wait_for(lambda: len(read_topic(home.settings, RAW_LOGS)) >= before + after)
        assert router.poll() is None
        with worker(home, "--to", AGGREGATED_EVENTS):
            wanted = batch_counts(trained)
            wait_for(lambda: {b: n for b, n in final_counts(vectors(home)).items() if b in wanted} == wanted)
    assert read_topic(home.settings, DEAD_LETTERS) == []


def test_partitions_added_under_a_worker_are_read_soon(home: Home, trained: Home, excerpt: Any) -> None:
    from confluent_kafka.admin import NewPartitions

    lines = excerpt.log.read_bytes().splitlines()
    with worker(home) as running:
        asked = admin()  # its answers end with it
        for future in asked.create_partitions([NewPartitions(RAW_LOGS, 60)]).values():
            future.result(20)
        running.wait_for("raw_logs has 60 partitions now, not 50")
        wider = Home(home.settings.model_copy(update={"kafka_partitions": 60}), home.store)
        blocks = {line: line[line.index(b"blk_") :].split()[0].rstrip(b".,") for line in lines}
        send(wider, RAW_LOGS, [(blocks[line], line, 50 + sum(blocks[line]) % 10) for line in lines])
        wait_until_equal(wider, trained)
        assert running.end() == 0, running.log
    assert {vector.partition for vector in vectors(wider)} == set(range(50, 60))
