"""Groups of a home, and a word on a group: every anomaly is in one, and the word is on exactly its items."""

import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.labels import ANOMALY, NORMAL, WORDS
from hdfs_pipeline.store.store import publish_into
from hdfs_pipeline.verdicts.feedback import (
    give_feedback,
    give_feedback_on_group,
    take_back,
    take_back_group,
    words,
)
from hdfs_pipeline.verdicts.groups import find_groups, report_groups
from hdfs_pipeline.verdicts.score import publish_anomalies, score_items
from hdfs_pipeline_tests.homes import BLOCKS, Excerpt, Home, copy_home, fill, open_home

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NEVER_STORED = "allocated, never stored"


@pytest.fixture(scope="module")
def fresh(excerpt: Excerpt, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with logs and neither labels nor a model. Tests leave no word in it."""
    home = open_home(tmp_path_factory.mktemp("groups") / "home")
    fill(home, [excerpt.log])
    return home


@pytest.fixture
def home(fresh: Home, tmp_path: Path) -> Home:
    return copy_home(fresh, tmp_path / "home")


def anomaly(item: str, **given: object) -> dict[str, object]:
    """A row of `anomalies`, of a stream."""
    plain = {"domain": "blocks", "entity": "", "item": item, "detector": "lifecycle", "version": 0, "score": 0.5}
    plain |= {"threshold": 0.5, "kind": NEVER_STORED, "reason": "why", "explanation": "{}", "status": "final"}
    return plain | {"first_time": AT, "origin": "raw_logs", "part": 0, "first_offset": 0, "scored_at": AT} | given


def record(home: Home, *rows: dict[str, object]) -> None:
    with home.store.write() as con:
        publish_into(con, "anomalies", pa.Table.from_pylist(list(rows)))


def items_of(home: Home, domain: Domain = BLOCKS) -> dict[str, list[str]]:
    """The items of each group, by its kind, the most worth knowing first."""
    members, groups = find_groups(home.store, home.settings, domain)
    return {group.kind: [members.items[row] for row in group.rows.tolist()] for group in groups}


def test_every_anomaly_of_every_voice_is_in_exactly_one_group(trained: Home, tmp_path: Path) -> None:
    home = copy_home(trained, tmp_path / "home", champion="exact_match")
    for name in ("exact_match", "lifecycle"):
        score_items(home.store, home.settings, BLOCKS, name)
        publish_anomalies(home.store, home.settings, BLOCKS, name)
    known = dict(home.rows("SELECT item, any_value(kind ORDER BY detector) FROM anomalies GROUP BY item"))
    found = items_of(home)
    listed = [item for items in found.values() for item in items]
    assert len(listed) == len(set(listed))
    assert known.keys() <= set(listed)
    assert {item: kind for kind, items in found.items() for item in items if item in known} == known, "as recorded"
    members, groups = find_groups(home.store, home.settings, BLOCKS)
    flagged = {members.items[row] for group in groups for row in group.rows.tolist() if members.flagged[row]}
    assert flagged == known.keys()


def test_a_recorded_anomaly_belongs_to_the_host_that_its_records_tell(trained: Home, tmp_path: Path) -> None:
    home = copy_home(trained, tmp_path / "home", champion="exact_match")
    asked = {group.kind: group for group in report_groups(home.store, home.settings, BLOCKS)[1]}
    for name in ("exact_match", "lifecycle"):
        score_items(home.store, home.settings, BLOCKS, name)
        publish_anomalies(home.store, home.settings, BLOCKS, name)
    known = {group.kind: group for group in report_groups(home.store, home.settings, BLOCKS)[1]}
    assert any(group.entities for group in known.values())
    assert known == asked, "whether the records are asked or the table"


def test_a_fresh_home_has_groups_with_all_that_a_person_needs(fresh: Home) -> None:
    count, shown = report_groups(fresh.store, fresh.settings, BLOCKS)
    assert count == len(shown)
    first = next(group for group in shown if group.kind == NEVER_STORED)
    assert (first.severity, first.flagged, first.words) == ("failure", first.items, {})
    assert "no DataNode ever reported a replica" in first.sentence
    assert first.hint.startswith("look in the log")
    assert first.example in items_of(fresh)[first.kind]
    assert first.first_time <= first.last_time
    assert any(group.entities for group in shown)
    for group in shown:
        assert sum(group.entities.values()) <= group.items
    assert [group.flagged > 0 for group in shown] == sorted([group.flagged > 0 for group in shown], reverse=True)
    assert report_groups(fresh.store, fresh.settings, BLOCKS, 2) == (count, shown[:2])


def test_anomalies_of_a_stream_join_the_groups_until_they_are_withdrawn(home: Home) -> None:
    before = items_of(home)
    own = before[NEVER_STORED][0]
    record(
        home,
        anomaly("blk_1", entity="dn1:50010"),
        anomaly("blk_1", detector="pca", part=1),
        anomaly("blk_2", kind="elsewhere"),
        anomaly("blk_3", status="withdrawn"),
        anomaly(own, kind="another"),
    )
    after = items_of(home)
    assert after == before | {NEVER_STORED: after[NEVER_STORED], "elsewhere": ["blk_2"]}
    assert sorted(after[NEVER_STORED]) == sorted([*before[NEVER_STORED], "blk_1"])
    shown = {group.kind: group for group in report_groups(home.store, home.settings, BLOCKS)[1]}
    assert shown[NEVER_STORED].entities["dn1:50010"] == 1
    assert (shown["elsewhere"].sentence, shown["elsewhere"].severity) == ("why", "")
    assert give_feedback_on_group(home.store, home.settings, BLOCKS, "elsewhere", "real") == 1
    (row,) = words(home.store, BLOCKS)
    assert (row["item"], row["detector"], row["score"], row["was_anomaly"]) == ("blk_2", "lifecycle", 0.5, True)


def test_a_group_with_a_word_stays_together_whatever_a_later_model_calls_its_items(home: Home) -> None:
    before = items_of(home)[NEVER_STORED]
    record(home, *(anomaly(f"blk_{at}", kind="new here: a") for at in (1, 2, 3)))
    give_feedback_on_group(home.store, home.settings, BLOCKS, "new here: a", "real")
    give_feedback_on_group(home.store, home.settings, BLOCKS, NEVER_STORED, "real")
    later = datetime(2026, 1, 3, tzinfo=UTC)
    record(home, *(anomaly(f"blk_{at}", kind="new here: b", scored_at=later) for at in (1, 2, 4)))
    found = items_of(home)
    assert found["new here: a"] == ["blk_1", "blk_2", "blk_3"]
    assert found["new here: b"] == ["blk_4"]
    assert found[NEVER_STORED] == before, "a rule gives its kind"
    take_back_group(home.store, home.settings, BLOCKS, "new here: a")
    assert items_of(home)["new here: b"] == ["blk_1", "blk_2", "blk_4"]


def test_a_domain_without_knowledge_groups_its_anomalies_by_kind_or_by_what_differs_most(home: Home) -> None:
    namenode = domain_named("namenode")
    about = '{"differences": [{"name": "RPC queue time"}]}'
    record(
        home,
        *(
            anomaly(f"nn{at}:9870 2026-01-02T03:04:0{at}.000Z", domain="namenode", entity=f"nn{at % 2}:9870", **more)
            for at, more in enumerate(
                [{"kind": "long pause"}, {"kind": "", "explanation": about}, {"kind": "", "explanation": about}]
            )
        ),
    )
    assert {kind: len(items) for kind, items in items_of(home, namenode).items()} == {
        "RPC queue time": 2,
        "long pause": 1,
    }
    shown = report_groups(home.store, home.settings, namenode)[1]
    assert shown[0].entities == {"nn1:9870": 1, "nn0:9870": 1}
    assert give_feedback_on_group(home.store, home.settings, namenode, "RPC queue time", "false") == 2


@settings(max_examples=12)
@given(data=st.data(), verdict=st.sampled_from(list(WORDS)))
def test_a_word_on_a_group_is_a_word_on_exactly_its_items(fresh: Home, data: st.DataObject, verdict: str) -> None:
    groups = items_of(fresh)
    kind = data.draw(st.sampled_from(list(groups)))
    count = give_feedback_on_group(fresh.store, fresh.settings, BLOCKS, kind, verdict, note="n", by="me")
    given_words = words(fresh.store, BLOCKS)
    assert sorted(row["item"] for row in given_words) == sorted(groups[kind])
    assert count == len(given_words)
    assert {(row["verdict"], row["kind"], row["note"], row["given_by"]) for row in given_words} == {
        (verdict, kind, "n", "me")
    }
    assert {(row["detector"], row["version"]) for row in given_words} == {("lifecycle", 0)}
    assert items_of(fresh)[kind] == groups[kind], "the word changes no group"
    shown = {group.kind: group for group in report_groups(fresh.store, fresh.settings, BLOCKS)[1]}
    assert shown[kind].words == {verdict: count}
    assert take_back_group(fresh.store, fresh.settings, BLOCKS, kind) == count
    assert words(fresh.store, BLOCKS) == []


def test_a_newer_word_on_an_item_stays_when_the_groups_word_is_withdrawn(home: Home) -> None:
    item = items_of(home)[NEVER_STORED][0]
    count = give_feedback_on_group(home.store, home.settings, BLOCKS, NEVER_STORED, "real")
    assert give_feedback_on_group(home.store, home.settings, BLOCKS, NEVER_STORED, "expected") == count
    give_feedback(home.store, home.settings, BLOCKS, item, "false")
    assert [row["kind"] for row in words(home.store, BLOCKS, item)] == [""]
    assert take_back_group(home.store, home.settings, BLOCKS, NEVER_STORED) == count - 1
    assert [(row["item"], row["verdict"]) for row in words(home.store, BLOCKS)] == [(item, "false")]
    take_back(home.store, home.settings, BLOCKS, item)


def test_what_is_no_group_or_no_word_is_refused_with_the_nearest(home: Home) -> None:
    with pytest.raises(DataError, match=f"no group 'allocated never stored'; did you mean '{NEVER_STORED}'"):
        give_feedback_on_group(home.store, home.settings, BLOCKS, "allocated never stored", "real")
    with pytest.raises(DataError, match="no verdict 'maintenance'"):
        give_feedback_on_group(home.store, home.settings, BLOCKS, NEVER_STORED, "maintenance")
    with pytest.raises(DataError, match=f"nobody has said anything of a group '{NEVER_STORED}'"):
        take_back_group(home.store, home.settings, BLOCKS, NEVER_STORED)
    give_feedback_on_group(home.store, home.settings, BLOCKS, NEVER_STORED, "real")
    with pytest.raises(DataError, match=f"no word on a group 'allocated'; .*{NEVER_STORED}"):
        take_back_group(home.store, home.settings, BLOCKS, "allocated")
    with pytest.raises(DataError, match="this home has no groups"):
        give_feedback_on_group(home.store, home.settings, domain_named("namenode"), "pause", "real")


def test_words_on_groups_lie_over_labels_and_rule_their_vectors(trained: Home, tmp_path: Path) -> None:
    home = copy_home(trained, tmp_path / "home")
    count = give_feedback_on_group(home.store, home.settings, BLOCKS, NEVER_STORED, "false")
    data = BLOCKS.features(home.store, home.settings)
    assert data.feedback is not None
    assert len(data.feedback) == count
    assert set(data.feedback.objections) == {""}
    assert set(data.labels[data.with_feedback].tolist()) == {NORMAL}, "whatever the files said"
    give_feedback_on_group(home.store, home.settings, BLOCKS, NEVER_STORED, "real")
    data = BLOCKS.features(home.store, home.settings)
    assert set(data.labels[data.with_feedback].tolist()) == {ANOMALY}


def test_a_word_on_a_group_reads_the_homes_features_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    features = type(BLOCKS).features
    monkeypatch.setattr(type(BLOCKS), "features", lambda *given, **more: calls.append(1) or features(*given, **more))
    rows = [anomaly(f"blk_{number}") for number in range(1, 401)]
    record(home, *rows)
    begun = time.perf_counter()
    assert give_feedback_on_group(home.store, home.settings, BLOCKS, NEVER_STORED, "real") > 400
    assert time.perf_counter() - begun < 20, "about a second on an idle machine"
    assert len(calls) == 1
    assert np.isfinite([row["score"] for row in words(home.store, BLOCKS)]).all()
