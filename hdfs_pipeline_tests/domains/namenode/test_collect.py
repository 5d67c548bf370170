"""Polls into the store, over real HTTP: what is kept, and what goes on when something goes wrong."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from hdfs_pipeline.domains.namenode.collect import Collector, Polled, keep_polling
from hdfs_pipeline.domains.namenode.raw import read_raw
from hdfs_pipeline.domains.namenode.replay import SAMPLE, Replay, ReplayServer
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.store.store import Store
from hdfs_pipeline_tests.domains.namenode.documents import Document, busier, changed, document
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.sources.servers import reply, serving

ACTIVE = document("3.4.2_active")


class NameNode:
    """Something on a port that answers with what `says` holds: a document, or how to respond."""

    def __init__(self, says: Any) -> None:
        self.says = says

    def respond(self, handler: BaseHTTPRequestHandler) -> None:
        says = self.says if callable(self.says) else reply(body=json.dumps(self.says).encode())
        says(handler)


@contextmanager
def namenode(says: Document | Callable[..., None]) -> Iterator[tuple[str, NameNode]]:
    one = NameNode(says)
    with serving(one.respond) as (address, _):
        yield address, one


@contextmanager
def collecting(home: Home, *addresses: str, **settings: Any) -> Iterator[Collector]:
    collector = Collector(home.settings.model_copy(update={"namenode_timeout_s": 10.0, **settings}), addresses)
    try:
        yield collector
    finally:
        collector.close()


def once(collector: Collector) -> Polled:
    (polled,) = collector.poll()
    collector.flush()
    return polled


def test_two_namenodes_in_one_round(home: Home) -> None:
    with namenode(ACTIVE) as (one, nn1), namenode(document("hdp_2.3.5_standby")) as (two, nn2):
        with collecting(home, one, two) as collector:
            collector.poll()
            nn1.says, nn2.says = busier(nn1.says), busier(nn2.says)
            polled = collector.poll()
            assert collector.flush() > 0
        assert [each.health.role for each in polled] == ["active", "standby"]
        rows = home.rows(
            "SELECT namenode, role, port, gap, cardinality(metrics) FROM namenode_metrics ORDER BY polled_at, role"
        )
        first, second = one[7:], two[7:]
        assert rows == [
            (first, "active", 8020, True, 7),
            (second, "standby", 8020, True, 7),
            (first, "active", 8020, False, 56),
            (second, "standby", 8020, False, 24),
        ]
        health = home.rows(
            "SELECT namenode, role, port, polls, failures, error, sampled_at = polled_at FROM namenode_collectors"
        )
        assert sorted(health) == sorted(
            [(first, "active", 8020, 2, 0, "", True), (second, "standby", 8020, 2, 0, "", True)]
        )


def test_after_a_failover_only_the_active_namenode_speaks(home: Home) -> None:
    """The one that was active does not answer: what it said last of HDFS is no longer true, and goes on for nobody."""
    troubled = changed(ACTIVE, NameNodeInfo={"NumberOfMissingBlocks": 3})
    standby = changed(ACTIVE, NameNodeStatus={"State": "standby"}, FSNamesystem={"tag.HAState": "standby"})
    opened = "SELECT explanation->>'namenode' FROM anomalies WHERE kind = 'missing blocks' AND status = 'provisional'"
    with namenode(troubled) as (one, nn1), namenode(standby) as (two, nn2):
        with collecting(home, one, two) as collector:
            collector.poll()
            collector.flush()
            assert home.rows(opened) == [(one[7:],)]
            nn1.says = reply(503)
            collector.poll()
            collector.flush()
            assert home.rows(opened) == [(one[7:],)], "nobody else says that it is active"
        with collecting(home, one, two) as collector:  # another process, which has not heard the first one
            nn2.says = troubled
            collector.poll()
            collector.flush()
            assert home.rows(opened) == [(two[7:],)]
            nn2.says = changed(ACTIVE)
            collector.poll()
            collector.flush()
            assert home.rows(opened) == []


def test_polls_of_several_processes_without_an_answer_add_up(home: Home) -> None:
    """As `collect --once` from cron does it; and a collector that starts anew ends no trouble that goes on."""
    statuses = "SELECT status FROM anomalies WHERE kind = 'no answer from the NameNode'"
    with namenode(ACTIVE) as (address, one):
        with collecting(home, address) as collector:
            once(collector)
        one.says = reply(503)
        seen = []
        for _ in range(5):
            with collecting(home, address) as collector:
                once(collector)
            seen.append(home.rows(statuses))
        assert seen == [[], [], *[[("provisional",)]] * 3]
        one.says = busier(ACTIVE)
        with collecting(home, address) as collector:
            once(collector)
        assert home.rows(statuses) == [("final",)]


def test_an_idle_operation_is_never_stored_as_a_number(home: Home) -> None:
    with namenode(ACTIVE) as (address, nn), collecting(home, address) as collector:
        once(collector)
        nn.says = changed(ACTIVE, RpcDetailed={"CreateNumOps": 800, "CreateAvgTime": 2.5})
        once(collector)
        once(collector)
    sql = (
        "SELECT metrics['CreateAvgTime'], metrics['GetListingAvgTime'], moved FROM namenode_metrics ORDER BY polled_at"
    )
    assert home.rows(sql) == [(None, None, True), (2.5, None, True), (None, None, False)]


@pytest.mark.parametrize(
    ("says", "said"),
    [
        (reply(body=b"<html>"), "a web page"),
        (reply(body=json.dumps(ACTIVE).encode()[:9000]), "half a document"),
        (reply(500, b""), "HTTP 500"),
        (reply(401, b"", WWW_Authenticate="Negotiate"), "namenode_kerberos"),
        (reply(302, b"", Location="/jmx"), "a circle"),
        (reply(body=b"{", Content_Length=str(50 << 20)), "namenode_max_bytes"),
        (lambda handler: time.sleep(1.5), "no answer within 0.5 s"),
        ({"beans": [{"name": "Hadoop:service=DataNode,name=JvmMetrics"}]}, "no bean of a NameNode"),
    ],
)
def test_the_collector_goes_on_and_says_what_it_saw(home: Home, says: Any, said: str) -> None:
    with namenode(ACTIVE) as (address, nn), collecting(home, address, namenode_timeout_s=0.5) as collector:
        once(collector)
        nn.says = says
        assert once(collector).sample is None
        polled = once(collector)
        assert said in polled.health.error and polled.health.failures == 2
        ((error, failures, role, later),) = home.rows(
            "SELECT error, failures, role, polled_at > sampled_at FROM namenode_collectors"
        )
        assert said in error and (failures, role, later) == (2, "active", True)
        nn.says = busier(ACTIVE)
        again = once(collector)
    assert again.sample is not None and not again.sample.gap and again.sample.values["CreateRate"] > 0
    assert home.rows("SELECT error, failures FROM namenode_collectors") == [("", 0)]
    assert home.rows("SELECT count(*) FROM namenode_metrics") == [(2,)], "a failed poll is no row"


def test_a_bare_nan_is_no_value(home: Home) -> None:
    with namenode(ACTIVE) as (address, nn), collecting(home, address) as collector:
        once(collector)
        nn.says = changed(busier(ACTIVE), RpcActivity={"CallQueueLength": float("nan")})
        once(collector)
    sql = "SELECT metrics['CallQueueLength'], metrics['RpcProcessingRate'] > 0 FROM namenode_metrics WHERE NOT gap"
    assert home.rows(sql) == [(None, True)]


def test_a_start_and_a_restart_are_told(home: Home) -> None:
    with namenode(ACTIVE) as (address, nn), collecting(home, address) as collector:
        later = (document("3.4.2_startup_rpc"), busier(ACTIVE, 900), document("3.4.2_startup_early"), ACTIVE)
        for nn.says in (document("3.4.2_startup_early"), *later):
            once(collector)
    rows = home.rows("SELECT role, restarted, note FROM namenode_metrics ORDER BY polled_at")
    assert [row[0] for row in rows] == ["starting", "starting", "active", "starting", "active"]
    assert [row[1] for row in rows] == [False, False, False, True, False]
    assert "started anew" in rows[3][2]


@pytest.mark.parametrize("jump", [timedelta(hours=-2), timedelta(hours=2)])
def test_a_clock_that_jumps_is_told_and_stored(home: Home, monkeypatch: pytest.MonkeyPatch, jump: timedelta) -> None:
    class Jumped(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + jump

    with namenode(ACTIVE) as (address, nn), collecting(home, address) as collector:
        once(collector)
        monkeypatch.setattr("hdfs_pipeline.domains.namenode.collect.datetime", Jumped)
        nn.says = busier(ACTIVE)
        once(collector)
        nn.says = busier(ACTIVE, 90)
        once(collector)
    rows = home.rows("SELECT gap, note, metrics['CreateRate'] IS NOT NULL FROM namenode_metrics ORDER BY polled_at")
    jumped, after = (rows[0], rows[1]) if jump < timedelta(0) else (rows[1], rows[2])
    assert jumped[0] and "by 7200 s" in jumped[1] and not jumped[2]
    assert after == (False, "", True)


def test_the_documents_are_kept_as_they_came_and_small(home: Home) -> None:
    bodies = [json.dumps(busier(ACTIVE, number), indent=1).encode() for number in range(6)]
    with namenode(ACTIVE) as (address, nn), collecting(home, address) as collector:
        for body in bodies:
            nn.says = reply(body=body)
            once(collector)
    with home.store.read() as con:
        found = list(read_raw(con, address[7:], datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC)))
        (size,) = (
            con.execute("SELECT sum(octet_length(document)) FROM namenode_raw WHERE base IS NOT NULL").fetchone() or ()
        )
    assert [raw.body for raw, _ in found] == bodies
    assert size < len(bodies[0]) / 20, "five of them"


def test_old_documents_are_forgotten_and_samples_are_not(home: Home) -> None:
    with namenode(ACTIVE) as (address, _):
        with collecting(home, address) as collector:
            for _ in range(3):
                once(collector)
        with home.store.write() as con:
            for table in ("namenode_raw", "namenode_metrics"):
                con.execute(f"UPDATE {table} SET polled_at = polled_at - INTERVAL 50 HOUR")
            con.execute("UPDATE namenode_raw SET base = base - INTERVAL 50 HOUR")
        with collecting(home, address, namenode_raw_days=2.0) as collector:
            once(collector)
        assert home.rows("SELECT count(*) FROM namenode_raw") == [(1,)]
        assert home.rows("SELECT count(*) FROM namenode_metrics") == [(4,)]
        with collecting(home, address, namenode_raw_days=0.0) as collector:
            once(collector)
        assert home.rows("SELECT count(*) FROM namenode_raw") == [(1,)], "nothing is added, and this one is not old yet"


def test_a_new_collector_goes_on_where_the_last_one_ended(home: Home) -> None:
    """`collect --once` from cron, a restarted code server: the bean's last change is looked up in the raw documents."""
    with namenode(ACTIVE) as (address, nn):
        for nn.says in (ACTIVE, ACTIVE, busier(ACTIVE)):
            with collecting(home, address) as collector:
                polled = once(collector)
    sample = polled.sample
    assert sample is not None and not sample.gap
    ((seconds,),) = home.rows("SELECT epoch(max(polled_at) - min(polled_at)) FROM namenode_metrics")
    assert sample.values["CreateRate"] == pytest.approx(50 / seconds, rel=0.05)
    assert home.rows("SELECT count(*) FROM namenode_raw WHERE base IS NULL") == [(1,)], (
        "and packed against the same one"
    )


def test_two_collectors_store_no_poll_twice(home: Home) -> None:
    with namenode(ACTIVE) as (address, _), collecting(home, address) as first:
        once(first)
        second = Collector(home.settings, [address])
        (polled,) = second.poll()
        assert polled.sample is None and "another process polls" in polled.health.error
        second.flush()
        assert home.rows("SELECT count(*) FROM namenode_metrics") == [(1,)]
        first.release()
        assert once(second).sample is not None
        second.close()


def test_a_busy_store_delays_rows_and_loses_none(home: Home) -> None:
    settings = home.settings.model_copy(update={"lock_timeout_s": 0.2})
    impatient = Home(settings, home.store)
    other = Store(home.store.path)
    with namenode(ACTIVE) as (address, nn), collecting(impatient, address) as collector:
        with other.write():
            for _ in range(3):
                collector.poll()
                with pytest.raises(SetupError, match="in use"):
                    collector.flush()
        nn.says = busier(ACTIVE)
        once(collector)
    assert home.rows("SELECT count(*), count(DISTINCT polled_at) FROM namenode_metrics") == [(4, 4)]
    assert home.rows("SELECT count(*) FROM namenode_raw") == [(4,)]


def test_polling_goes_on_beside_a_store_that_is_busy(home: Home) -> None:
    stop, heard = threading.Event(), list[str]()
    with namenode(ACTIVE) as (address, _), collecting(home, address) as collector:

        def tell(polled: list[Polled], trouble: str) -> None:
            heard.append(trouble)
            if len(heard) == 10:
                stop.set()

        once(collector)  # which looks once at what is stored already
        other = Store(home.store.path)
        with other.write():
            keeper = threading.Thread(target=keep_polling, args=(collector, 0.02, stop, tell))
            keeper.start()
            assert stop.wait(20), "ten polls while the store was held"
        keeper.join()
    assert "the store is busy: rows wait" in heard
    assert home.rows("SELECT count(*) FROM namenode_metrics") == [(11,)]


def test_without_an_address_it_says_what_to_set(home: Home) -> None:
    with pytest.raises(SetupError, match="HDFS_PIPELINE_NAMENODE_URLS"):
        Collector(home.settings)


def test_the_setting_names_them_as_well(home: Home) -> None:
    with namenode(ACTIVE) as (address, _):
        settings = home.settings.model_copy(update={"namenode_urls": (address, address)})
        with collecting(Home(settings, home.store)) as collector:
            assert len(collector.poll()) == 1, "named twice, polled once"


def test_the_shipped_series_can_be_collected(home: Home) -> None:
    """At any speed; rates are by the clock of the collector."""
    with ReplayServer(Replay(SAMPLE, speed=400)) as server, collecting(home, server.address) as collector:
        end = time.monotonic() + 30
        while time.monotonic() < end and collector.poll()[0].health.polls < 25:
            pass
        collector.flush()
    ((polls, most, roles),) = home.rows(
        "SELECT count(*), max(cardinality(metrics)), list_distinct(list(role)) FROM namenode_metrics"
    )
    assert polls == 25 and most >= 43 and roles == ["active"]


def run(*arguments: str, home: Home) -> list[str]:
    code = "from hdfs_pipeline.cli import main; main()"
    return [sys.executable, "-c", code, "--home", str(home.settings.home), "collect", *arguments]


def test_the_command_polls_until_sigterm_and_stores_all(home: Home) -> None:
    environment = {**os.environ, "HDFS_PIPELINE_NAMENODE_POLL_S": "0.1"}
    with namenode(ACTIVE) as (address, _):
        command = run(address, home=home)
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None and process.stderr is not None
            assert "active" in process.stdout.readline()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
            assert "all polls are stored" in process.stderr.read()
    assert home.rows("SELECT count(*) > 0 FROM namenode_metrics") == [(True,)]
    ((collector,),) = home.rows("SELECT collector FROM namenode_collectors")
    assert collector == f"collect {process.pid}"


def test_the_command_polls_once_and_tells_the_times(home: Home) -> None:
    with namenode(ACTIVE) as (address, nn):
        done = subprocess.run(run("--once", "--json", address, home=home), capture_output=True, text=True, check=True)
        (told,) = json.loads(done.stdout)
        assert told["role"] == "active" and told["metrics"]["ThreadsBlocked"] == 0
        assert 0 < told["fetch_ms"] < 10_000 and 0 < told["store_ms"] < 10_000
        nn.says = reply(500, b"")
        failed = subprocess.run(run("--once", address, home=home), capture_output=True, text=True, check=False)
        assert failed.returncode == 3 and "HTTP 500" in failed.stdout
