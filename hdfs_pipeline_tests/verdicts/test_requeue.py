"""Dead letters are put back once: messages to their topic over Kafka's protocol, lines of files through reading."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline.domains.blocks.topics import RAW_LOGS, LogSink
from hdfs_pipeline.errors import ConflictError, DataError, NotFoundError, PipelineError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sinks.topics import ingest_range
from hdfs_pipeline.sources.kafka import producer
from hdfs_pipeline.verdicts.letters import REQUEUED, WAITING, Asked, list_letters, reasons, whole_letter
from hdfs_pipeline.verdicts.requeue import HEADER, requeue
from hdfs_pipeline_tests.homes import BLOCKS, Home, open_home
from hdfs_pipeline_tests.streaming.conftest import embedded_home, headers, read_topic, running_broker

LIMIT_S = 60.0
ODD = "2026-11-21 08:00:01,000 <INFO> {dn7} Receiving block blk_38 src: /10.0.0.1:1 dest: /10.0.0.2:2"
OWN = {"%d <%p> {%c} %m": "2026-11-21 08:00:00,000 <INFO> {dn7} Receiving block blk_1"}
GOOD = "2026-11-21 08:00:00,000 INFO dn.DataNode: Receiving block blk_{} src: /10.0.0.1:1 dest: /10.0.0.2:2\n"


def waiting(home: Home, **asked: str) -> list[dict[str, Any]]:
    return list_letters(home.store, Asked(state=WAITING, **asked), 100)[1]


def put_back(home: Home) -> list[dict[str, Any]]:
    return list_letters(home.store, Asked(state=REQUEUED), 100)[1]


def sent(home: Home) -> list[Any]:
    return read_topic(home.settings, RAW_LOGS)


@pytest.fixture
def streamed(tmp_path: Path) -> Iterator[Home]:
    """A home whose topic of records holds one message that is in no known layout, and whose store has its letter."""
    home = embedded_home(tmp_path / "home", kafka_partitions=3)
    with running_broker(home):
        client = producer(home.settings)
        client.produce(RAW_LOGS, ODD, b"blk_38", partition=1, headers=[("host", b"dn7"), ("daemon", b"datanode")])
        client.flush(LIMIT_S)
        sink(home)
        yield home


def sink(home: Home, settings: Settings | None = None) -> None:
    ingest_range(home.store, settings or home.settings, RAW_LOGS, LogSink())


def test_a_message_goes_back_once_and_the_letter_remembers_who_did_it(streamed: Home) -> None:
    home = streamed
    (letter,) = waiting(home)
    assert letter["topic"] == RAW_LOGS and (letter["partition"], letter["position"]) == (1, 0)
    assert (
        "no known layout" in letter["reason"] and letter["text"] == ODD and reasons(home.store) == {letter["reason"]: 1}
    )
    done = requeue(home.store, home.settings, letter["id"], by="ana")
    first, second = sent(home)
    assert (second.value(), second.key(), second.partition()) == (first.value(), first.key(), first.partition())
    assert headers(second) == headers(first) | {HEADER: letter["id"]}
    assert done == {"id": letter["id"], "became": f"put back: raw_logs/1, offset {second.offset()}"}
    with pytest.raises(ConflictError, match="put back already by ana"):
        requeue(home.store, home.settings, letter["id"], by="ben")
    assert len(sent(home)) == 2 and waiting(home) == []
    (kept,) = put_back(home)
    assert (kept["id"], kept["requeued_by"], kept["became"]) == (letter["id"], "ana", done["became"])
    assert kept["requeued_at"] >= letter["seen_at"]


def test_what_is_fixed_is_read_and_what_is_not_is_a_new_letter(streamed: Home) -> None:
    home = streamed
    (letter,) = waiting(home)
    requeue(home.store, home.settings, letter["id"])
    sink(home)
    (again,) = waiting(home)
    assert (
        again["id"] != letter["id"] and again["position"] == 1 and home.rows("SELECT count(*) FROM raw_logs") == [(0,)]
    )
    fixed = home.settings.model_copy(update={"log_layouts": OWN})
    requeue(home.store, fixed, again["id"])
    sink(home, fixed)
    assert waiting(home) == [] and len(put_back(home)) == 2
    assert home.rows("SELECT position, block_ids FROM raw_logs") == [(2, [38])]


def test_an_attempt_that_was_killed_is_brought_to_its_end_and_sends_nothing_twice(streamed: Home) -> None:
    home = streamed
    (letter,) = waiting(home)
    done = requeue(home.store, home.settings, letter["id"], by="ana")
    with home.store.write() as con:  # as if it had been killed after it sent
        con.execute("UPDATE requeued SET became = ''")
    assert [each["id"] for each in waiting(home)] == [letter["id"]]
    assert requeue(home.store, home.settings, letter["id"], by="ben") == done
    assert len(sent(home)) == 2 and [each["requeued_by"] for each in put_back(home)] == ["ana"]
    with home.store.write() as con:  # as if it had been killed before it sent
        con.execute("UPDATE requeued SET became = '', part_end = 2")
    assert requeue(home.store, home.settings, letter["id"])["became"].endswith("offset 2")
    assert len(sent(home)) == 3


def test_of_several_at_once_one_puts_the_letter_back(streamed: Home) -> None:
    home, outcomes = streamed, list[str]()
    (letter,) = waiting(home)

    def attempt(name: str) -> None:
        try:
            requeue(home.store, home.settings, letter["id"], by=name)
            outcomes.append("done")
        except ConflictError:
            outcomes.append("refused")

    threads = [threading.Thread(target=attempt, args=(f"t{number}",)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert sorted(outcomes) == ["done", *["refused"] * 4] and len(sent(home)) == 2


def test_the_original_is_shown_byte_for_byte_while_kafka_has_it(tmp_path: Path) -> None:
    home = embedded_home(tmp_path / "home", kafka_partitions=3)
    odd = b"\x1b[31m\x00\xff" + "\u202eevil".encode() + b"<script>" + b"x" * 100_000
    with running_broker(home):
        client = producer(home.settings)
        client.produce(RAW_LOGS, odd, b"key\x07", partition=2)
        client.flush(LIMIT_S)
        sink(home)
        (letter,) = waiting(home)
        shown = whole_letter(home.store, home.settings, letter["id"])["original"]
        assert (shown["from"], shown["bytes"], shown["shown"], shown["note"]) == ("Kafka", len(odd), 65536, "")
        assert shown["text"].startswith("␛[31m␀\ufffd\ufffdevil<script>xx") and shown["hex"].startswith(
            "1b 5b 33 31 6d 00 ff"
        )
        assert shown["key"] == "key␇"
        assert letter["text"].startswith("␛[31m␀")
    shown = whole_letter(home.store, home.settings, letter["id"])["original"]
    assert shown["from"] == "store" and "first 1,000 characters" in shown["note"]
    with pytest.raises(PipelineError, match="broker"):
        requeue(home.store, home.settings, letter["id"])
    assert [each["id"] for each in waiting(home)] == [letter["id"]]
    with running_broker(home):  # another broker, with topics of their own
        with pytest.raises(DataError, match="made anew"):
            requeue(home.store, home.settings, letter["id"])
        assert sent(home) == []


def conserved(home: Home) -> bool:
    """Records read = records stored + dead letters, of each source."""
    return home.rows("""SELECT count(*) FROM sources s WHERE records <> (SELECT count(*) FROM raw_logs r
        WHERE r.source_id = s.source_id) + (SELECT count(*) FROM dead_letters d WHERE d.source_id = s.source_id)
    """) == [(0,)]


@pytest.fixture
def read(tmp_path: Path) -> tuple[Home, Path]:
    """A home that has read a file whose second record, of two lines, is in no known layout."""
    home, log = open_home(tmp_path / "home"), tmp_path / "hadoop-hdfs-datanode-dn7.log"
    log.write_text(GOOD.format(1) + f"{ODD}\n  more of it\n" + GOOD.format(2))
    BLOCKS.read(home.store, home.settings, [str(log)], propose=False)
    return home, log


def test_a_line_of_a_file_goes_through_reading_once_more(read: tuple[Home, Path]) -> None:
    home, log = read
    (letter,) = waiting(home)
    assert (letter["source"], letter["topic"], letter["position"]) == (str(log), "", 2)
    done = requeue(home.store, home.settings, letter["id"], by="ana")
    assert done["became"].startswith("still no record: no log record: it begins with a time stamp") and conserved(home)
    with pytest.raises(ConflictError, match="put back already by ana"):
        requeue(home.store, home.settings, letter["id"])
    (again,) = waiting(home)
    assert again["id"] != letter["id"] and again["position"] == 2
    fixed = home.settings.model_copy(update={"log_layouts": OWN})
    assert requeue(home.store, fixed, again["id"], by="ben")["became"] == "read: the next reading counts it"
    assert (
        waiting(home) == [] and [each["requeued_by"] for each in put_back(home)] == ["ben", "ana"] and conserved(home)
    )
    rows = home.rows("SELECT position, block_ids, more FROM raw_logs ORDER BY position")
    assert rows == [(1, [1], ""), (2, [38], "  more of it"), (4, [2], "")]
    log.write_text(log.read_text() + GOOD.format(3))
    BLOCKS.read(home.store, fixed, [str(log)], propose=False)
    assert home.rows("SELECT block_id FROM event_matrix ORDER BY block_id") == [(1,), (2,), (3,), (38,)]
    assert conserved(home)


def test_of_a_file_that_is_gone_the_kept_text_is_read(read: tuple[Home, Path]) -> None:
    home, log = read
    log.unlink()
    (letter,) = waiting(home)
    fixed = home.settings.model_copy(update={"log_layouts": OWN})
    assert "without continuation lines" in requeue(home.store, fixed, letter["id"])["became"]
    assert home.rows("SELECT block_ids, more FROM raw_logs WHERE position = 2") == [([38], "")] and conserved(home)
    with home.store.write() as con:
        con.execute("""INSERT INTO dead_letters SELECT 1, $1, 9, 'longer', repeat('x', 1000), now()""", [str(log)])
        con.execute("""INSERT INTO dead_letters SELECT 1, $1, 10, 'cut', '', now()""", [str(log)])
    for each in waiting(home):
        with pytest.raises(DataError, match=r"only the beginning|no text to read"):
            requeue(home.store, home.settings, each["id"])
    assert len(waiting(home)) == 2


def test_letters_are_found_by_reason_topic_and_source_and_come_in_pages(new_home: Any) -> None:
    home = new_home()
    with home.store.write() as con:
        con.execute("""INSERT INTO dead_letters SELECT if(n % 2 = 0, NULL, 7),
            if(n % 2 = 0, 'kafka:labels/3@2', '/a.log'), n, if(n % 3 = 0, 'not JSON', 'no log record'), 'text',
            now() - to_seconds(n) FROM range(60) t(n)""")
    total, page = list_letters(home.store, Asked(), 10, 20)
    assert total == 60 and [each["position"] for each in page] == list(range(20, 30))
    assert list_letters(home.store, Asked(topic="labels"), 1)[0] == 30
    assert list_letters(home.store, Asked(topic="label"), 1)[0] == 0
    assert list_letters(home.store, Asked(source="a.log", reason="JSON"), 1)[0] == 10
    assert list_letters(home.store, Asked(state=REQUEUED), 1) == (0, [])
    assert list(reasons(home.store).items()) == [("no log record", 40), ("not JSON", 20)]
    assert len({each["id"] for each in list_letters(home.store, Asked(), 100)[1]}) == 60
    for identity in ("", "nothing", "0" * 16):
        with pytest.raises(NotFoundError, match="no dead letter"):
            requeue(home.store, home.settings, identity)


def test_a_home_without_a_store_has_no_letter(new_home: Any) -> None:
    home = new_home(bare=True)
    for ask in (whole_letter, requeue):
        with pytest.raises(NotFoundError, match="nothing was read"):
            ask(home.store, home.settings, "1")
