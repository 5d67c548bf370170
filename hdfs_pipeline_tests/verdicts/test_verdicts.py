"""Verdicts in the store, and everything about one block with its lines as they were written."""

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hdfs_pipeline.domains.blocks.item import parse_block_id
from hdfs_pipeline.domains.champions import load_scorer
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.settings import PROJECT
from hdfs_pipeline.verdicts import explain as verdicts
from hdfs_pipeline.verdicts.explain import explain_item
from hdfs_pipeline.verdicts.feedback import give_feedback
from hdfs_pipeline.verdicts.score import publish_anomalies, score_items
from hdfs_pipeline_tests.homes import BLOCKS, FAST, Excerpt, Home, copy_home, fill, open_home

CopyHome = Callable[..., Home]


@pytest.fixture(scope="module")
def scored(trained: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with the verdicts of two detectors."""
    home = copy_home(trained, tmp_path_factory.mktemp("scored") / "home")
    for name in ("random_forest", "keywords"):
        score_items(home.store, home.settings, BLOCKS, name)
        publish_anomalies(home.store, home.settings, BLOCKS, name)
    return home


@pytest.mark.parametrize("name", ["random_forest", "keywords"])
def test_every_block_has_a_score(scored: Home, name: str) -> None:
    scorer = load_scorer(scored.settings, BLOCKS, name)
    matrix = BLOCKS.features(scored.store, scored.settings).matrix(scorer.card.family)
    blocks = [BLOCKS.item.show(key) for key in matrix.keys.tolist()]
    expected = dict(zip(blocks, scorer.score(matrix).tolist(), strict=True))
    rows = scored.rows("SELECT item, score, threshold, is_anomaly, version FROM scores WHERE detector = ?", name)
    assert {row[0]: row[1] for row in rows} == expected
    assert len(rows) == 400
    for _, score, threshold, is_anomaly, version in rows:
        assert (threshold, is_anomaly, version) == (scorer.card.threshold, score >= threshold, 1)


@pytest.mark.parametrize("name", ["random_forest", "keywords"])
def test_anomalies_are_the_blocks_whose_score_reaches_the_threshold(scored: Home, name: str) -> None:
    found = scored.rows(
        """SELECT s.item, s.score, s.threshold, s.version, m.first_time, m.last_time, m.lines
        FROM scores s JOIN event_matrix m ON s.item = 'blk_' || m.block_id WHERE detector = ? AND is_anomaly
        ORDER BY ALL""",
        name,
    )
    told = scored.rows(
        """SELECT item, score, threshold, version, first_time, last_time, records FROM anomalies WHERE detector = ?
        ORDER BY ALL""",
        name,
    )
    assert told == found
    assert 0 < len(found) < 400


def test_each_anomaly_has_a_kind_a_reason_and_what_it_is_made_of(scored: Home) -> None:
    knowledge = BLOCKS.knowledge(scored.settings, "hdfs_v1.v1")
    assert knowledge is not None
    for detector, kind, reason, text in scored.rows("SELECT detector, kind, reason, explanation FROM anomalies"):
        found = json.loads(text)
        assert (found["kind"], found["reason"]) == (kind, reason)
        assert found["differences"]
        broken = [knowledge.by_id[rule["rule"]] for rule in found["broken"]]
        assert kind == (broken[0].kind if broken else kind)
        assert broken or kind.startswith("new here")
        failures = [rule.sentence for rule in broken if rule.severity == "failure"]
        assert reason.startswith("; ".join(list(dict.fromkeys(failures))[:2])), "what the rules say comes first"
        if all(part["kind"] == "usual" for part in found["differences"]):
            assert broken or re.match(r"the same events as a normal block: \d+ × ", reason)
            continue
        assert sum(part["share"] for part in found["differences"]) == pytest.approx(1)
        for part in found["differences"]:
            assert part["kind"] in ("extra", "missing", "out of proportion", "usual")
            assert (part["count"] == part["expected"]) is (part["kind"] == "usual")
            assert part["kind"] != "usual" or part["severity"] == "failure"
        if detector == "keywords":
            own = reason.rpartition("; ")[2]
            assert re.fullmatch(r"\d+ (instead of \d+ )?× record with WARN, ERROR, exception or corrupt", own)


def test_verdicts_are_replaced_not_added(trained: Home, tmp_path: Path, scored: Home) -> None:
    home = copy_home(trained, tmp_path / "home")
    counts = []
    for _ in range(2):
        score_items(home.store, home.settings, BLOCKS, "keywords")
        publish_anomalies(home.store, home.settings, BLOCKS, "keywords")
        counts.append(home.rows("SELECT (SELECT count(*) FROM scores), (SELECT count(*) FROM anomalies)")[0])
    assert counts[0] == counts[1]
    with home.store.write() as con:
        con.execute("UPDATE scores SET is_anomaly = false; DELETE FROM judged")
    assert publish_anomalies(home.store, home.settings, BLOCKS, "keywords") == 0
    assert home.rows("SELECT count(*) FROM anomalies") == [(0,)]


def test_nothing_to_explain(trained: Home) -> None:
    scorer = load_scorer(trained.settings, BLOCKS, "exact_match")
    matrix = BLOCKS.features(trained.store, trained.settings).matrix("events")
    vocabulary = BLOCKS.vocabulary(trained.settings, scorer.card.source)
    assert scorer.explain(matrix.values[:0], vocabulary) == []
    rows = matrix.values[[0, 1, 0]]
    one, other, again = scorer.explain(rows, vocabulary)
    assert one == again
    assert [one, other] == [scorer.explain(rows[at : at + 1], vocabulary)[0] for at in (0, 1)]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("blk_1073741825", 1073741825),
        ("1073741825", 1073741825),
        ("blk_-6952295868487656571", -6952295868487656571),
        ("-6952295868487656571", -6952295868487656571),
        ("blk_1073741825_1001", 1073741825),
        ("blk_-5_1001", -5),
        (" blk_7\n", 7),
        (f"blk_{2**63 - 1}", 2**63 - 1),
        (f"blk_{-(2**63)}", -(2**63)),
    ],
)
def test_block_ids_as_people_write_them(text: str, number: int) -> None:
    assert parse_block_id(text) == number


@pytest.mark.parametrize(
    "text",
    ["", "blk_", "blk_x", "BLK_5", "5;DROP TABLE labels", "1.5", "--5", "blk_5_", f"blk_{2**63}", "blk_" + "9" * 40],
)
def test_what_is_no_block_id(trained: Home, text: str) -> None:
    with pytest.raises(DataError, match="is no block id; one looks like blk_1073741825"):
        explain_item(trained.store, trained.settings, BLOCKS, text, "keywords")


def test_a_block_that_no_log_names(trained: Home) -> None:
    with pytest.raises(DataError, match=r"no log of this home names blk_12345; `hdfs-pipeline ingest"):
        explain_item(trained.store, trained.settings, BLOCKS, "12345", "keywords")


def test_a_detector_that_is_not_trained_or_not_known(trained: Home) -> None:
    with pytest.raises(NotTrainedError, match="train --detector autoencoder"):
        explain_item(trained.store, trained.settings, BLOCKS, "1", "autoencoder")
    with pytest.raises(DataError, match="did you mean 'random_forest'"):
        explain_item(trained.store, trained.settings, BLOCKS, "1", "random_forrest")


@pytest.mark.parametrize("name", FAST)
def test_what_is_said_of_a_block(trained: Home, excerpt: Excerpt, name: str) -> None:
    scorer = load_scorer(trained.settings, BLOCKS, name)
    data = BLOCKS.features(trained.store, trained.settings)
    scores = scorer.score(data.matrix(scorer.card.family))
    blocks = list(excerpt.labels)
    for block in (blocks[0], blocks[-1], next(block for block in blocks if "-" in block)):
        report = explain_item(trained.store, trained.settings, BLOCKS, block, name)
        row = data.matrix("events").keys.tolist().index(int(block.removeprefix("blk_")))
        assert (report.item, report.detector) == (block, name)
        assert (report.score, report.threshold) == (scores[row], scorer.card.threshold)
        assert report.is_anomaly is bool(scores[row] >= scorer.card.threshold)
        assert report.label == excerpt.labels[block].lower()
        assert report.first_time == report.lines[0]["time"] <= report.last_time == report.lines[-1]["time"]
        assert report.records == len(report.lines)


def without_the_others(home: Home, block: str) -> Home:
    """The home with rows of all other blocks that nothing can be made of: who reads them fails."""
    key = BLOCKS.item.parse(block)
    with home.store.write() as con:
        con.execute("UPDATE event_matrix SET counts = [1] WHERE block_id <> ?", [key])
        con.execute("UPDATE raw_logs SET event_id = 'unreadable' WHERE NOT list_contains(block_ids, ?)", [key])
    with pytest.raises(ValueError, match="reshape"):
        BLOCKS.features(home.store, home.settings)
    return home


@pytest.mark.parametrize("name", FAST)
def test_one_block_is_explained_and_judged_by_reading_that_block_alone(
    trained: Home, excerpt: Excerpt, tmp_path: Path, name: str
) -> None:
    block = next(block for block, label in excerpt.labels.items() if label == "Anomaly")
    expected = explain_item(trained.store, trained.settings, BLOCKS, block, name)
    home = without_the_others(copy_home(trained, tmp_path / "home", champion=name), block)
    assert explain_item(home.store, home.settings, BLOCKS, block, name) == expected
    word = give_feedback(home.store, home.settings, BLOCKS, block, "real")
    assert (word["detector"], word["score"], word["was_anomaly"]) == (name, expected.score, expected.is_anomaly)


def records_of(block: str, text: str) -> list[str]:
    """The records of `text`, each a line with its continuation lines, that name a block."""
    records = re.split(r"\n(?=\d{6} \d{6} |\d{4}-\d\d-\d\d )", text.rstrip("\n"))
    return [record for record in records if re.search(rf"{block}(?!\d)", record)]


def test_raw_lines_are_the_files_own(trained: Home, excerpt: Excerpt) -> None:
    text = excerpt.log.read_text()
    for block in [*list(excerpt.labels)[:5], *list(excerpt.labels)[-5:]]:
        report = explain_item(trained.store, trained.settings, BLOCKS, block, "keywords")
        assert [line["line"] for line in report.lines] == records_of(block, text)
        assert all(line["event_id"] for line in report.lines)


def hadoop_3(folder: Path, blocks: int) -> dict[str, list[str]]:
    """Logs of two daemons of the shipped Hadoop 3.4 sample, and the lines of some blocks that both name."""
    sample = PROJECT / "data" / "sample" / "hdfs_3.4"
    texts = {}
    for daemon in ("namenode", "datanode_1"):
        lines = gzip.decompress((sample / f"{daemon}.log.gz").read_bytes()).decode().splitlines(keepends=True)
        texts[daemon] = "".join(lines[:4000])
        (folder / f"{daemon}.log").write_text(texts[daemon])
    named = [dict.fromkeys(re.findall(r"blk_\d+", text)) for text in texts.values()]
    common = [block for block in named[0] if block in named[1]][:blocks]
    return {block: [records_of(block, text) for text in texts.values()] for block in common}


@pytest.mark.parametrize("timezone", ["UTC", "Europe/Berlin"])
def test_raw_lines_of_several_files_are_merged_by_time(trained: Home, tmp_path: Path, timezone: str) -> None:
    """As they were written, whatever time zone the daemons wrote in."""
    (tmp_path / "logs").mkdir()
    expected = hadoop_3(tmp_path / "logs", 5)
    home = copy_home(trained, tmp_path / "copy")
    fresh = open_home(tmp_path / "home", log_timezone=timezone)
    fill(fresh, [tmp_path / "logs"])
    home.settings.models.rename(fresh.settings.models)
    assert len(expected) == 5
    for block, by_file in expected.items():
        report = explain_item(fresh.store, fresh.settings, BLOCKS, block, "keywords")
        found = [line["line"] for line in report.lines]
        assert sorted(found) == sorted(line for lines in by_file for line in lines)
        assert [line[:23] for line in found] == sorted(line[:23] for line in found)
        writers = (("namenode", ""), ("datanode", "datanode_1"))
        for writer, lines in zip(writers, by_file, strict=True):
            assert [line["line"] for line in report.lines if (line["daemon"], line["host"]) == writer] == lines
        assert {(line["daemon"], line["host"]) for line in report.lines} == set(writers)


def test_continuation_lines_belong_to_the_record(trained: Home, tmp_path: Path) -> None:
    record = (
        "2026-11-21 14:37:56,007 WARN datanode.DataNode: IOException in blk_-77_1006: disk: [full]\n"
        "java.io.IOException: No space left\n\tat Writer.write(Writer.java:7)"
    )
    log = tmp_path / "hadoop-hdfs-datanode-node7.log"
    log.write_text(record + "\n")
    home = open_home(tmp_path / "home")
    fill(home, [log])
    copy_home(trained, tmp_path / "copy").settings.models.rename(home.settings.models)
    report = explain_item(home.store, home.settings, BLOCKS, "-77", "keywords")
    assert [line["line"] for line in report.lines] == [record]
    assert (report.lines[0]["host"], report.lines[0]["daemon"]) == ("node7", "datanode")
    assert report.is_anomaly
    assert report.label is None


def test_a_long_life_is_cut_and_says_so(trained: Home, excerpt: Excerpt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "_LINES", 3)
    block = next(iter(excerpt.labels))
    report = explain_item(trained.store, trained.settings, BLOCKS, block, "keywords")
    whole = records_of(block, excerpt.log.read_text())
    assert [line["line"] for line in report.lines] == whole[:3]
    assert report.records == len(whole) > 3


@pytest.fixture(scope="module")
def untaught(excerpt: Excerpt, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home without labels and without a model, scored."""
    home = open_home(tmp_path_factory.mktemp("untaught") / "home")
    fill(home, [excerpt.log])
    score_items(home.store, home.settings, BLOCKS, "lifecycle")
    publish_anomalies(home.store, home.settings, BLOCKS, "lifecycle")
    return home


def test_an_anomaly_is_explained_by_the_rules_that_it_breaks(untaught: Home) -> None:
    for item, kind, entity in untaught.rows("SELECT item, kind, entity FROM anomalies"):
        report = explain_item(untaught.store, untaught.settings, BLOCKS, item, "lifecycle")
        assert (report.explanation.kind, report.host, report.is_anomaly) == (kind, entity, True)
        first = report.findings[0]
        assert (first.kind, first.severity) == (kind, "failure")
        assert first.sentence and first.hint
        assert [finding.severity for finding in report.findings] == sorted(
            (finding.severity for finding in report.findings), key=("failure", "notable").index
        )
        told = [line["time"] for line in report.lines if line["event_id"] in report.explanation.broken[0].columns]
        assert (first.records, first.time) == (len(told), told[0] if told else None)
        assert first.time is None or first.time == report.time
        assert all(line["telling"] for line in report.lines if line["event_id"] in report.explanation.marked)
        assert [voice.detector for voice in report.voices] == ["lifecycle"]


def test_a_normal_block_breaks_no_rule_or_only_notable_ones(untaught: Home) -> None:
    notable = 0
    for item, score in untaught.rows("SELECT item, score FROM scores WHERE NOT is_anomaly ORDER BY score DESC LIMIT 5"):
        report = explain_item(untaught.store, untaught.settings, BLOCKS, item, "lifecycle")
        assert not report.is_anomaly and report.explanation.kind == ""
        assert {finding.severity for finding in report.findings} <= {"notable"}
        assert bool(report.findings) == (score > 0)
        assert (report.explanation.reason == "no rule of its life is broken") == (not report.findings)
        notable += bool(report.findings)


def test_every_detector_has_a_voice_and_the_asked_one_speaks_first(scored: Home) -> None:
    ((item,),) = scored.rows("SELECT item FROM anomalies WHERE detector = 'random_forest' ORDER BY item LIMIT 1")
    report = explain_item(scored.store, scored.settings, BLOCKS, item, "random_forest")
    assert report.voices[0].detector == "random_forest"
    assert {voice.detector for voice in report.voices} == {*FAST, "lifecycle"}
    for voice in report.voices:
        scorer = load_scorer(scored.settings, BLOCKS, voice.detector)
        assert (voice.version, voice.threshold) == (scorer.card.version, scorer.card.threshold)
        assert voice.is_anomaly == (voice.score >= voice.threshold)


def test_an_explanation_by_rules_loads_nothing_that_only_others_need(untaught: Home) -> None:
    """Of the compiled scan `scipy.linalg` is the slow part."""
    ((item,),) = untaught.rows("SELECT item FROM anomalies ORDER BY item LIMIT 1")
    code = f"""
import sys
from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.settings import load_settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.explain import explain_item
settings = load_settings({str(untaught.settings.home)!r})
assert explain_item(Store.open(settings), settings, domain_named(), {item!r}, "lifecycle").is_anomaly
print(*sorted({{"scipy.linalg", "sklearn", "torch", "onnxruntime", "mlflow", "dagster"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
