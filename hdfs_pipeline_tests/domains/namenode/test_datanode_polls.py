"""Polls of DataNodes over real HTTP: a few at a time, beside the NameNode, which never waits for them."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from hdfs_pipeline.domains.namenode.collect import Collector
from hdfs_pipeline.domains.namenode.datanode_polls import targets
from hdfs_pipeline.domains.namenode.state import read_state
from hdfs_pipeline.settings import Settings
from hdfs_pipeline_tests.domains.namenode.states import node, state_document, state_of
from hdfs_pipeline_tests.domains.namenode.test_collect import collecting, namenode
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.sources.servers import reply, serving

REAL = reply(body=json.dumps(state_document("datanode_3.4.2")).encode())


def listed(*addresses: str) -> dict[str, Any]:
    """A NameNode's document whose DataNodes have their web servers at these addresses."""
    live = {f"dn{place}:9866": node(f"10.0.0.{place}:9866") for place in range(len(addresses))}
    for row, address in zip(live.values(), addresses, strict=True):
        row["infoAddr"] = address.removeprefix("http://")
    return state_of(live)


def poll_until(collector: Collector, holds: Callable[[], bool], limit_s: float = 15.0) -> None:
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, "it took too long"
        collector.poll()
        collector.flush()
        threading.Event().wait(0.02)


def test_datanodes_are_found_and_polled_and_known_by_their_transfer_address(home: Home) -> None:
    def count() -> int:
        return int(home.rows("SELECT count(*) FROM datanode_metrics")[0][0])

    with (
        serving(REAL) as (one, _),
        serving(REAL) as (two, _),
        namenode(listed(one, two)) as (nn, _),
        collecting(home, nn, datanode_poll_s=0.01) as collector,
    ):
        collector.poll()
        collector.flush()
        poll_until(collector, lambda: count() >= 4)
    rows = home.rows("SELECT DISTINCT entity, note, metrics['capacity'] FROM datanode_metrics ORDER BY entity")
    assert rows == [("10.0.0.0:9866", "", 270553174016.0), ("10.0.0.1:9866", "", 270553174016.0)]
    aliases = dict(home.rows("SELECT alias, entity FROM entities"))
    assert aliases["10.0.0.1:40877"] == aliases["dn1"] == aliases[two[7:]] == "10.0.0.1:9866"


def test_slow_datanodes_delay_no_namenode_and_are_asked_a_few_at_a_time(home: Home) -> None:
    together, most, lock, hold = 0, 0, threading.Lock(), threading.Event()

    def slowly(handler: BaseHTTPRequestHandler) -> None:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        hold.wait(20)
        with lock:
            together -= 1
        REAL(handler)

    with serving(slowly) as (slow, seen):
        web = slow.removeprefix("http://")
        live = {
            f"dn{each}": node(f"10.0.0.{each}:9866", infoAddr=web.replace("0.0.1", f"0.0.{each}"))
            for each in "123456789"
        }
        live["dn1"]["infoAddr"] = web
        with namenode(state_of(live)) as (nn, _):
            with collecting(home, nn, datanode_poll_s=0.01, datanode_parallel=2) as collector:
                poll_until(collector, lambda: bool(seen))
                for _ in range(5):
                    begun = time.monotonic()
                    (polled,) = collector.poll()
                    assert polled.sample is not None and time.monotonic() - begun < 2
                assert most <= 2
                begun = time.monotonic()
            assert time.monotonic() - begun < 5, "a round that is under way is given up"
            hold.set()


def test_a_datanode_that_gives_no_document_is_told_and_judged_by_nothing(home: Home) -> None:
    a_page, a_namenode, an_error = reply(body=b"<html>"), reply(), reply(500)
    with (
        serving(a_page) as (one, _),
        serving(a_namenode) as (two, _),
        serving(an_error) as (three, _),
        namenode(listed(one, two, three)) as (nn, _),
        collecting(home, nn, datanode_poll_s=0.01) as collector,
    ):
        collector.poll()
        collector.flush()
        poll_until(collector, lambda: len(home.rows("SELECT DISTINCT entity FROM datanode_metrics")) == 3)
    notes = dict(home.rows("SELECT DISTINCT entity, note FROM datanode_metrics"))
    assert "a web page" in notes["10.0.0.0:9866"] and "no bean of a DataNode" in notes["10.0.0.1:9866"]
    assert "HTTP 500" in notes["10.0.0.2:9866"]
    assert not home.rows("SELECT * FROM anomalies")


def test_the_setting_0_polls_none_and_another_names_them(home: Home) -> None:
    with serving(REAL) as (one, seen), namenode(listed(one)) as (nn, _):
        with collecting(home, nn, datanode_poll_s=0.0) as collector:
            for _ in range(3):
                collector.poll()
        assert not seen
    state = read_state(listed("http://10.0.0.0:9864"), 30)
    named = Settings(datanode_urls=("https://user:secret@10.0.0.0:9864", "http://elsewhere:1"))
    assert targets(named, state) == {"https://user:secret@10.0.0.0:9864": "10.0.0.0:9866", "http://elsewhere:1": ""}
    assert "secret" in named.secrets
    secure = state_of({"dn:9866": node("10.0.0.1:9866", infoAddr="10.0.0.1:0", infoSecureAddr="10.0.0.1:9865")})
    assert targets(Settings(), read_state(secure, 30)) == {"https://10.0.0.1:9865": "10.0.0.1:9866"}


def test_a_datanode_that_is_named_tells_its_transfer_address_itself(home: Home) -> None:
    with (
        serving(REAL) as (one, _),
        namenode(state_of({})) as (nn, _),
        collecting(home, nn, datanode_poll_s=0.01, datanode_urls=(one,)) as collector,
    ):
        collector.poll()
        collector.flush()
        poll_until(collector, lambda: bool(home.rows("SELECT 1 FROM datanode_metrics")))
    assert home.rows("SELECT DISTINCT entity FROM datanode_metrics") == [("127.0.0.1:40876",)]


def test_while_the_store_is_busy_nothing_is_judged_and_then_what_was_open_goes_on(home: Home) -> None:
    """Judged without what the store knows, a trouble that is open there would be told twice."""
    trouble, held, enough = state_of({}, NumberOfMissingBlocks=3), threading.Event(), threading.Event()

    def hold() -> None:
        with home.store.write():
            held.set()
            enough.wait(60)

    with namenode(trouble) as (nn, _):
        with collecting(home, nn) as collector:
            collector.poll()
        holder = threading.Thread(target=hold)
        holder.start()
        assert held.wait(30)
        with collecting(home, nn, lock_timeout_s=0.2) as later:
            (polled,) = later.poll()
            assert polled.sample is not None and "the store is busy" in polled.health.note
            enough.set()
            holder.join()
            (polled,) = later.poll()
            assert polled.health.note == ""
    assert home.rows("SELECT kind, status, records FROM anomalies") == [("missing blocks", "provisional", 2)]
