"""From records to events: every record once, by the right catalogue, and what no template matches is learned."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from filelock import FileLock

from hdfs_pipeline.domains.blocks import ingest as reading
from hdfs_pipeline.domains.blocks import matrix
from hdfs_pipeline.domains.blocks import parse as module
from hdfs_pipeline.domains.blocks.catalogue import STAGES, catalogues
from hdfs_pipeline.domains.blocks.domain import Blocks
from hdfs_pipeline.domains.blocks.ingest import ingest
from hdfs_pipeline.domains.blocks.labels import load_labels
from hdfs_pipeline.domains.blocks.parse import ENOUGH, Parsed, parse
from hdfs_pipeline.domains.blocks.templates import home_catalogue, learn_templates
from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.scoring.catalogue import UNKNOWN, Catalogue, Template, read_catalogue
from hdfs_pipeline.scoring.matching import matcher_of
from hdfs_pipeline.store.store import Store
from hdfs_pipeline_tests.homes import Home

BLOCKS = Blocks()
GOLDEN = Path(__file__).parents[2] / "golden"
STARTUP = "2026-11-21 03:57:15,260 INFO namenode.NameNode: createNameNode []\n"
V1_LINE = "081109 203615 148 INFO dfs.DataNode$DataXceiver: Receiving block blk_{} src: /1 dest: /2\n"
TODAY = "2026-11-21 04:00:18,971 INFO datanode.DataNode: Receiving BP-4-127.0.0.1-17:blk_{}_1 src: /1 dest: /2\n"
ODD = (
    "2026-11-21 04:00:18,971 INFO datanode.DataNode: The cat sat upon the replica of blk_{}_1 and slept for {} hours\n"
)


def read(home: Home, folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    ingest(home.store, home.settings, [str(folder / name)])


def parsed(home: Home, **settings: Any) -> Parsed:
    return parse(home.store, home.settings.model_copy(update=settings))


def events(home: Home) -> list[tuple[Any, ...]]:
    return home.rows(
        "SELECT source_id, position, time, level, logger, event_id, block_ids, alarm FROM parsed_events ORDER BY 1, 2"
    )


def assert_all_accounted_for(home: Home, found: Parsed) -> None:
    """Records are parsed or dead letters; what is parsed has a block or has none; each once."""
    ((total, lines),) = home.rows("SELECT sum(records), sum(lines) FROM sources")
    ((dead,),) = home.rows("SELECT count(*) FROM dead_letters")
    ((with_block,),) = home.rows("SELECT count(*) FROM parsed_events WHERE len(block_ids) > 0")
    assert total == found.records + dead <= lines
    assert found.records == with_block + found.without_block
    assert home.rows("SELECT source_id, position FROM parsed_events ORDER BY ALL") == home.rows(
        "SELECT source_id, position FROM raw_logs ORDER BY ALL"
    )


@pytest.mark.parametrize("release", ["2.7", "3.4"])
def test_real_lines_of_today_become_events_and_nothing_is_lost(home: Home, tmp_path: Path, release: str) -> None:
    for file in sorted(GOLDEN.glob(f"hadoop_{release}_*.log")):
        read(home, tmp_path, file.name, "no head\n" + file.read_text())
    found = parsed(home)
    assert found.catalogue.label == "hdfs_3.v1"
    assert (found.new, found.coverage) == (found.records, 1.0)
    assert len(home.rows("SELECT 1 FROM dead_letters")) == 2
    assert_all_accounted_for(home, found)


def test_a_second_parse_finds_nothing_new_and_changes_nothing(home: Home, tmp_path: Path) -> None:
    read(home, tmp_path, "a.log", TODAY.format(1))
    first, before = parsed(home), events(home)
    second = parsed(home)
    assert (first.new, second.new, second.records) == (1, 0, 1)
    assert events(home) == before
    read(home, tmp_path, "b.log", TODAY.format(2) + STARTUP)
    third = parsed(home)
    assert (third.new, third.records, third.without_block) == (0, 3, 1), "what is known is matched when it is read"
    assert_all_accounted_for(home, third)


COUNTED = {
    "raw_logs": "SELECT source_id, position, event_id FROM raw_logs",
    "event_matrix": "SELECT * EXCLUDE (revision, unfinished) FROM event_matrix",
    "event_templates": "SELECT event_id, seen, example FROM event_templates",
    "node_votes": "SELECT * FROM node_votes",
}


def counted(home: Home) -> dict[str, list[tuple[Any, ...]]]:
    return {name: sorted(home.rows(sql), key=repr) for name, sql in COUNTED.items()}


def test_records_that_are_matched_when_they_are_read_are_counted_as_a_parse_counts_them(
    new_home: Callable[..., Home], tmp_path: Path
) -> None:
    home = new_home(max_record_bytes=1024)
    odd = "no head\n" + ODD.format(7, 2) + TODAY.format(8).strip() + "x" * 1024 + "\n"
    read(home, tmp_path, "a.log", odd + "".join(TODAY.format(number % 99) for number in range(ENOUGH)) + STARTUP)
    assert home.rows("SELECT count(*) FROM raw_logs WHERE event_id IS NULL") == [(0,)], "enough to choose by"
    read(home, tmp_path, "b.log", odd + TODAY.format(1))
    found = parsed(home)
    assert (found.catalogue.label, found.new, found.records) == ("hdfs_3.v1", 0, ENOUGH + 4)
    assert_all_accounted_for(home, found)
    before = counted(home)
    assert parse(home.store, home.settings, anew=True).new == found.records
    assert counted(home) == before


def test_events_by_a_catalogue_that_the_home_has_left_meanwhile_are_not_stored(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(home, tmp_path, "a.log", TODAY.format(1))
    parsed(home)
    stage = reading.LogIntake.stage

    def left(reader: Any, *given: Any, **named: Any) -> Any:
        staged = stage(reader, *given, **named)
        parsed(home, catalogue="hdfs_v1.v1")
        return staged

    monkeypatch.setattr(reading.LogIntake, "stage", left)
    read(home, tmp_path, "b.log", TODAY.format(2) * 2)
    assert home.rows("SELECT event_id FROM raw_logs ORDER BY ALL") == [(UNKNOWN,), (None,), (None,)]
    found = parsed(home, catalogue="hdfs_v1.v1")
    assert (found.new, found.coverage) == (2, 0.0)
    assert_all_accounted_for(home, found)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (V1_LINE.format(1) * 3, "hdfs_v1.v1"),
        (TODAY.format(1) * 3, "hdfs_3.v1"),
        (STARTUP + TODAY.format(1), "hdfs_3.v1"),
    ],
)
def test_the_lines_choose_their_catalogue(home: Home, tmp_path: Path, text: str, label: str) -> None:
    read(home, tmp_path, "a.log", text)
    found = parsed(home)
    assert (found.catalogue.label, found.coverage) == (label, 1.0)
    assert home_catalogue(home.store, home.settings).label == label


def test_the_choice_is_made_once_there_is_something_to_choose_by_and_then_stays(home: Home, tmp_path: Path) -> None:
    read(home, tmp_path, "start.log", STARTUP)
    assert parsed(home).coverage == 1.0  # no block yet: nothing tells which catalogue fits
    read(home, tmp_path, "v1.log", V1_LINE.format(1))
    second = parsed(home)
    assert (second.catalogue.label, second.coverage) == ("hdfs_v1.v1", 1.0)
    read(home, tmp_path, "today.log", TODAY.format(1) * 50)
    third = parsed(home)
    assert third.catalogue.label == "hdfs_v1.v1"
    assert third.coverage == pytest.approx(1 / 51)
    assert_all_accounted_for(home, third)


def test_a_setting_names_another_catalogue_and_everything_is_parsed_anew(home: Home, tmp_path: Path) -> None:
    read(home, tmp_path, "a.log", TODAY.format(1) + STARTUP)
    assert parsed(home).catalogue.label == "hdfs_3.v1"
    found = parsed(home, catalogue="hdfs_v1.v1")
    assert (found.catalogue.label, found.new, found.records, found.coverage) == ("hdfs_v1.v1", 2, 2, 0.0)
    assert {row[5] for row in events(home)} == {UNKNOWN}
    assert_all_accounted_for(home, found)


def test_a_catalogue_that_there_is_not_is_refused_with_those_that_there_are(home: Home, tmp_path: Path) -> None:
    read(home, tmp_path, "a.log", TODAY.format(1))
    with pytest.raises(DataError, match=r"no catalogue 'hdfs_4\.v1'; there are hdfs_3\.v1, hdfs_v1\.v1"):
        parsed(home, catalogue="hdfs_4.v1")
    assert events(home) == []


@pytest.mark.parametrize("count", [255, 300])
def test_catalogues_of_any_size_can_be_used(home: Home, tmp_path: Path, count: int) -> None:
    big = Catalogue("big", 1, tuple(Template(f"E{i}", "", f"message {i} <*>") for i in range(count)))
    big.save(home.settings.catalogues)
    line = "2026-11-21 04:00:18,971 INFO a: {} blk_1\n"
    read(home, tmp_path, "a.log", line.format("message 0") + line.format(f"message {count - 1}") + line.format("odd"))
    found = parsed(home, catalogue="big.v1")
    assert [row[5] for row in events(home)] == ["E0", f"E{count - 1}", UNKNOWN]
    assert found.coverage == pytest.approx(2 / 3)


def test_a_catalogue_that_was_edited_parses_everything_anew(home: Home, tmp_path: Path) -> None:
    line = "2026-11-21 04:00:18,971 INFO a: a message blk_{}\n"
    read(home, tmp_path, "a.log", line.format(1) + line.format(2))
    Catalogue("mine", 1, (Template("E0", "", "a message <*>"),)).save(home.settings.catalogues)
    assert (parsed(home, catalogue="mine.v1").new, parsed(home, catalogue="mine.v1").new) == (2, 0)
    Catalogue("mine", 1, (Template("E0", "", "another message <*>"),)).save(home.settings.catalogues)
    found = parsed(home, catalogue="mine.v1")
    assert (found.new, found.coverage) == (2, 0.0)
    assert {row[5] for row in events(home)} == {UNKNOWN}


def test_an_empty_store_can_be_parsed(home: Home, tmp_path: Path) -> None:
    read(home, tmp_path, "a.log", "")
    found = parsed(home)
    assert (found.records, found.new, found.without_block, found.coverage) == (0, 0, 0, 1.0)


def test_where_nothing_was_parsed_there_is_no_catalogue(home: Home, tmp_path: Path) -> None:
    read(home, tmp_path, "a.log", TODAY.format(1))
    with pytest.raises(DataError, match="no logs have been parsed"):
        home_catalogue(home.store, home.settings)


def test_a_second_parse_at_the_same_time_is_refused_in_plain_words(
    new_home: Callable[..., Home], tmp_path: Path
) -> None:
    home = new_home(lock_timeout_s=0.1)
    read(home, tmp_path, "a.log", TODAY.format(1))
    with (
        FileLock(home.settings.home / "parse.lock"),
        pytest.raises(SetupError, match=r"another parse of .* is under way"),
    ):
        parsed(home)
    assert parsed(home).new == 1


def test_a_log_that_grows_while_it_is_parsed_is_not_left_half_parsed(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(home, tmp_path, "a.log", TODAY.format(1))
    publish = module._publish

    def grown_first(store: Store, *arguments: Any) -> bool:
        # what another process would have committed between the reading and the writing of this parse
        monkeypatch.setattr(module, "_publish", publish)
        with store.write() as con:
            matrix.take(con, catalogues(home.settings.catalogues)["hdfs_3.v1"], "true")
            con.execute("UPDATE raw_logs SET more = 'at blk_2', block_ids = [1, 2]")
        return publish(store, *arguments)

    monkeypatch.setattr(module, "_publish", grown_first)
    found = parsed(home, catalogue="hdfs_3.v1")
    assert [row[6] for row in events(home)] == [[1, 2]]
    assert_all_accounted_for(home, found)
    assert home.rows("SELECT block_id, lines FROM event_matrix ORDER BY block_id") == [(1, 1), (2, 1)]


def odd_home(home: Home, folder: Path) -> None:
    read(home, folder, "a.log", "".join(ODD.format(i, i % 7) for i in range(30)) + TODAY.format(1) * 60)
    assert parsed(home).coverage == pytest.approx(60 / 90)


def test_what_no_template_matches_is_learned_and_proposed(home: Home, tmp_path: Path) -> None:
    odd_home(home, tmp_path)
    current, proposed = learn_templates(home.store, home.settings)
    assert (current.label, proposed.label) == ("hdfs_3.v1", "hdfs_3.v2")
    assert proposed.templates[: len(current.templates)] == current.templates
    (new,) = proposed.templates[len(current.templates) :]
    assert "The cat sat upon the replica of <*>" in new.text
    assert read_catalogue(home.settings.catalogues / "hdfs_3.v2.csv", STAGES) == proposed
    rows = home.rows(
        "SELECT catalogue, event_id, seen, example, stage, severity FROM event_templates WHERE status = 'proposed'"
    )
    assert rows == [("hdfs_3.v2", new.event_id, 30, None, "", "routine")]
    said = home.rows("SELECT event_id, stage, severity FROM event_templates WHERE event_id IN ('E1', 'E77', 'UNKNOWN')")
    assert said == [("E1", "allocate", "routine"), ("E77", "receive", "failure"), (UNKNOWN, "", "notable")]
    in_use = home.rows("SELECT event_id, seen FROM event_templates WHERE status = 'in use' AND seen > 0 ORDER BY seen")
    assert in_use == [(UNKNOWN, 30), ("E2", 60)]
    assert len(home.rows("SELECT 1 FROM event_templates WHERE status = 'in use'")) == len(current.columns)
    assert parsed(home).catalogue == current  # a proposal is used only once a setting names it


def test_a_proposal_is_judged_by_level_logger_words_and_exception_and_the_note_says_so(
    home: Home, tmp_path: Path
) -> None:
    head = "2026-11-21 04:00:18,971"
    lines = (
        f"{head} INFO datanode.DataNode: Pondering the replica of blk_1_1\n"
        f"{head} WARN datanode.DataNode: Pondering slowly on blk_1_1\n"
        f"{head} INFO datanode.VolumeScanner: Dreaming of blk_1_1\njava.io.IOException: awake\n\tat a.b.C(C.java:1)\n"
        f"{head} INFO datanode.DataNode: Tossing blk_1_1 about, which never got damaged\n"
    )
    (tmp_path / "a.log").write_text(lines + TODAY.format(1) * 60)
    read = BLOCKS.read(home.store, home.settings, [str(tmp_path / "a.log")])
    (note,) = [note for note in read.notes if "proposed" in note]
    assert "4 new templates proposed as hdfs_3.v2, by the look of them 2 failures, 1 notable, 1 routine: read" in note
    assert "confirm or correct its columns stage and severity" in note
    found = home.rows("SELECT template, stage, severity FROM event_templates WHERE status = 'proposed'")
    assert set(found) == {
        ("Pondering the replica of <*>", "", "routine"),
        ("Pondering slowly on <*>", "", "notable"),
        ("Dreaming of <*>", "verify", "failure"),
        ("Tossing <*> about, which never got damaged", "", "failure"),
    }
    saved = read_catalogue(home.settings.catalogues / "hdfs_3.v2.csv", STAGES)
    assert {(t.text, t.stage, t.severity) for t in saved.templates[-4:]} == set(found)


@pytest.mark.parametrize("release", ["2.7", "3.4"])
def test_what_is_proposed_for_real_messages_agrees_with_what_people_said_of_them(home: Home, release: str) -> None:
    """Learned with a catalogue that knows none of them, and held against the one that knows them all."""
    ingest(home.store, home.settings, [str(path) for path in sorted(GOLDEN.glob(f"hadoop_{release}_*.log"))])
    parsed(home, catalogue="hdfs_v1.v1")
    known, proposed = catalogues()["hdfs_3.v1"], learn_templates(home.store, home.settings)[1]
    messages = pa.array([message for (message,) in home.rows("SELECT message FROM raw_logs WHERE len(block_ids) > 0")])
    pairs = set(zip(*(matcher_of(each).strings(messages).tolist() for each in (proposed, known)), strict=True))
    said = [(known.by_id[known.columns[right]], proposed.by_id[proposed.columns[left]]) for left, right in pairs]
    assert len(said) >= 10
    assert [(p.text, p.severity) for k, p in said if {k.severity, p.severity} == {"failure", "routine"}] == []
    assert sum(k.severity == p.severity for k, p in said) >= 0.9 * len(said)
    assert sum(k.stage == p.stage for k, p in said) >= 0.9 * len(said)


def labelled(home: Home, paths: list[Path], labels: Path) -> float:
    """Share of the blocks labelled normal that have a message which the catalogue calls a failure."""
    ingest(home.store, home.settings, [str(path) for path in paths])
    catalogue = parsed(home).catalogue
    load_labels(home.store, labels)
    failures = [t.event_id for t in catalogue.templates if t.severity == "failure"]
    ((normal, failed),) = home.rows(
        """SELECT count(*), count(*) FILTER (block_id IN
            (SELECT unnest(block_ids) FROM parsed_events WHERE list_contains(?, event_id)))
        FROM labels WHERE label = 'normal' AND block_id IN (SELECT unnest(block_ids) FROM parsed_events)""",
        failures,
    )
    assert normal > 5_000
    return float(failed / normal)


def test_ordinary_blocks_of_2008_have_no_failures(home: Home, shared: Path) -> None:
    folder = shared / "hdfs"
    assert labelled(home, [folder / "HDFS_dev.log.gz"], folder / "anomaly_label.csv") <= 0.001


@pytest.mark.slow
def test_ordinary_blocks_of_3_4_have_no_failures(home: Home, shared: Path) -> None:
    folder = shared / "hdfs_3.4"
    assert labelled(home, sorted(folder.glob("*.log.gz")), folder / "labels.csv") <= 0.001


def test_naming_the_proposed_catalogue_parses_everything_anew(home: Home, tmp_path: Path) -> None:
    odd_home(home, tmp_path)
    _, proposed = learn_templates(home.store, home.settings)
    found = parsed(home, catalogue=proposed.label)
    assert (found.catalogue, found.new, found.coverage) == (proposed, 90, 1.0)
    assert {row[5] for row in events(home)} == {"E2", proposed.templates[-1].event_id}
    assert_all_accounted_for(home, found)
    settings = home.settings.model_copy(update={"catalogue": proposed.label})
    assert learn_templates(home.store, settings) == (proposed, proposed)
    assert home.rows("SELECT DISTINCT catalogue, status FROM event_templates") == [(proposed.label, "in use")]


def test_where_every_message_is_known_nothing_is_proposed(home: Home, tmp_path: Path) -> None:
    read(home, tmp_path, "a.log", TODAY.format(1) + STARTUP)
    parsed(home)
    current, proposed = learn_templates(home.store, home.settings)
    assert proposed is current
    assert not list(home.settings.catalogues.glob("*")) if home.settings.catalogues.exists() else True
    assert home.rows("SELECT count(*) FROM event_templates WHERE status = 'proposed'") == [(0,)]


@pytest.mark.parametrize("folder", ["hdfs_modern"])
def test_real_logs_of_2_7_are_covered(home: Home, shared: Path, folder: str) -> None:
    ingest(home.store, home.settings, [str(shared / folder)])
    found = parsed(home)
    assert found.catalogue.label == "hdfs_3.v1"
    assert found.records > 40_000
    assert found.coverage >= 0.99
    assert_all_accounted_for(home, found)


def covered(home: Home, paths: list[Path]) -> None:
    done = ingest(home.store, home.settings, [str(path) for path in paths])
    lines = sum(gzip.decompress(path.read_bytes()).count(b"\n") for path in paths)
    found = parsed(home)
    assert (done.lines, done.dead_letters) == (lines, 0)
    assert found.catalogue == catalogues()["hdfs_3.v1"]
    assert found.coverage >= 0.99
    assert_all_accounted_for(home, found)


def test_real_logs_of_3_4_are_covered(home: Home, shared: Path) -> None:
    covered(home, [shared / "hdfs_3.4" / name for name in ("namenode.log.gz", "datanode_1.log.gz")])


@pytest.mark.slow
def test_all_real_logs_of_3_4_are_covered(home: Home, shared: Path) -> None:
    covered(home, sorted((shared / "hdfs_3.4").glob("*.log.gz")))


def test_what_a_killed_parse_has_left_is_deleted_by_the_next(home: Home, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"081109 203615 148 INFO dfs.DataNode: Receiving block blk_1 src: /a dest: /b\n")
    ingest(home.store, home.settings, [str(log)])
    for name in (".staging.parse.dead", ".staging.x1y2z3"):  # of this release, and of an older one
        (home.settings.home / name).mkdir()
        (home.settings.home / name / "events.parquet").write_bytes(b"x")
    (home.settings.home / ".staging.raw_logs.alive").mkdir()
    parse(home.store, home.settings)
    assert [path.name for path in home.settings.home.glob(".staging.*")] == [".staging.raw_logs.alive"]


def test_a_copy_that_truncate_makes_of_a_block_in_a_snapshot_is_a_block_of_its_own(home: Home) -> None:
    """As Hadoop 3.4.2 logs it: `-truncate` of a file in a snapshot leaves the block, and cuts a copy with a new id."""
    ingest(home.store, home.settings, [str(GOLDEN / "copy_on_truncate.log")])
    assert parsed(home).coverage == 1.0
    kept, copy = (
        [
            event
            for (event,) in home.rows(
                "SELECT DISTINCT event_id FROM parsed_events WHERE list_contains(block_ids, ?)", block
            )
        ]
        for block in (1073741832, 1073741848)
    )
    recovery = {"E47", "E49", "E56"}  # these name both
    assert {"E1", "E2", "E3", "E51", "E53", "E54", "E57", *recovery} <= set(kept)
    assert set(copy) == recovery | {"E37", "E55"}, "the copy is stored and cut, and never allocated or received"
