"""What every domain promises: each row of DOMAINS is put through each check below.

A further domain gives a small filled home, as the fixture `<name>_filled` in `conftest.py`.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from inspect import getfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.detectors import detector_row
from hdfs_pipeline.domains import DOMAINS, domain_named
from hdfs_pipeline.domains.champions import BEST, families, serving_detector
from hdfs_pipeline.domains.contract import Selection, Sought
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.learning.training import fit
from hdfs_pipeline.monitoring.backtest import Trial, backtest
from hdfs_pipeline.monitoring.drift import measure_drift
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.labels import AMBIGUOUS, LABELS, UNLABELLED
from hdfs_pipeline.scoring.models import save_model
from hdfs_pipeline.sources.kafka import ANOMALIES
from hdfs_pipeline.store.schema import TABLES, read_tables
from hdfs_pipeline.store.store import publish_into
from hdfs_pipeline.verdicts.explain import explain_item
from hdfs_pipeline.verdicts.score import publish_anomalies, score_items
from hdfs_pipeline_tests.homes import Filled, open_home

CHECKS: list[Callable[[Filled, Path], None]] = []
DAY = timedelta(days=1)


def check(function: Callable[[Filled, Path], None]) -> Callable[[Filled, Path], None]:
    """Make a function one of the checks. It gets a filled home, only to be read, and a folder to write into."""
    CHECKS.append(function)
    return function


def instant(microseconds: Any) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(microseconds))


def absent(filled: Filled) -> Any:
    """A key that the home does not have: an id of it with another digit, late ones first."""
    item, there = filled.domain.item, set(filled.data().keys.tolist())
    for written in sorted(map(item.show, there), key=lambda written: (-len(written), written)):
        for at in reversed([at for at, letter in enumerate(written) if letter.isdigit()]):
            for digit in "9876543210":
                with suppress(DataError):  # 99 is no minute
                    key = item.parse(written[:at] + digit + written[at + 1 :])
                    if key not in there:
                        return key
    raise AssertionError("every id that differs in one digit is there")


def is_series(filled: Filled) -> bool:
    """Whether its items are steps that follow each other, each judged with those before it."""
    return all(detector_row(name).cls.ordered for name in filled.domain.detectors)


def all_families(filled: Filled) -> tuple[str, ...]:
    return families(filled.domain, filled.domain.detectors)


def same_rows(part: Dataset, whole: Dataset) -> None:
    """Each row of `part` is that of `whole` with its key, in every matrix and beside them."""
    rows = np.searchsorted(whole.keys, part.keys)
    for family, matrix in part.matrices.items():
        expected = whole.matrix(family).take(rows)
        assert matrix.keys.tolist() == expected.keys.tolist()
        assert (matrix.columns, matrix.source, matrix.fingerprint) == (
            expected.columns,
            expected.source,
            expected.fingerprint,
        )
        np.testing.assert_array_equal(matrix.values, expected.values)
    for name in ("time", "labels", "kinds"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[rows])
    assert (part.domain, part.plural, part.alike) == (whole.domain, whole.plural, whole.alike)


@check
def its_name_and_its_words_are_its_own(filled: Filled, folder: Path) -> None:
    """It is named as its row, its item has words for people, and it remembers nothing."""
    domain = filled.domain
    assert not vars(domain), "a domain has no state"
    assert domain.name.isidentifier()
    assert domain.item.column.isidentifier()
    assert all(word.strip() for word in (domain.item.noun, domain.item.plural, domain.item.alike))
    data = filled.data()
    assert (data.domain, data.plural, data.alike) == (domain.name, domain.item.plural, domain.item.alike)


@check
def what_is_shown_of_an_id_is_read_as_that_id(filled: Filled, folder: Path) -> None:
    """Of ids of the home, of others like them, and of whatever text is taken for one."""
    item = filled.domain.item
    keys = filled.data().keys
    shown = [item.show(key) for key in keys.tolist()]
    assert [item.parse(text) for text in shown] == keys.tolist()
    assert len(set(shown)) == len(keys)
    assert item.parse(item.shown(item.example)) == item.parse(item.example)
    digit = st.sampled_from("0123456789")
    other_digits = st.sampled_from([item.example, *shown]).flatmap(
        lambda text: st.tuples(*(digit if letter.isdigit() else st.just(letter) for letter in text)).map("".join)
    )

    @given(other_digits | st.text() | st.integers(-(2**64), 2**64).map(str))
    def holds(text: str) -> None:
        key, refusal = None, ""
        try:
            key = item.parse(text)
        except DataError as error:
            refusal = str(error)
        if refusal:
            assert item.example in refusal, "the message shows what an id looks like"
        else:
            assert isinstance(key, type(keys.tolist()[0]))
            assert item.parse(item.show(key)) == key
            assert item.shown(item.show(key)) == item.show(key)

    holds()


@check
def items_stand_in_the_order_of_their_keys(filled: Filled, folder: Path) -> None:
    """Each once, with the same keys in every matrix, of numbers or of texts."""
    data = filled.data(all_families(filled))
    assert len(data) > 20, "a home to check on has some items"
    assert data.keys.dtype == np.int64 or data.keys.dtype.kind == "U"
    assert (data.keys[1:] > data.keys[:-1]).all()
    assert set(data.labels.tolist()) <= {*LABELS.values(), UNLABELLED}
    for matrix in data.matrices.values():
        assert matrix.values.dtype == np.float32
        np.testing.assert_array_equal(matrix.keys, data.keys)


@check
def from_whom_it_has_heard_reaches_to_its_latest_item(filled: Filled, folder: Path) -> None:
    """Each server once; a domain that knows none says nothing."""
    heard = filled.domain.heard(filled.home.store)
    assert len({each.server for each in heard}) == len(heard)
    assert all(each.server for each in heard)
    if heard:
        facts = filled.domain.facts(filled.home.store).values()
        latest = max(fact.last_time for fact in facts).timestamp()
        assert max(each.time for each in heard) >= latest - 1


@check
def the_first_family_is_loaded_in_any_case(filled: Filled, folder: Path) -> None:
    """And first, whichever others are asked for; those beside it cost nothing, or were asked for."""
    first, *others = filled.domain.families
    assert filled.data().family == first
    for family in filled.domain.families:
        data = filled.data([family])
        assert data.family == first
        assert set(data.matrices) == {*filled.data().matrices, family}
        assert data.matrix(family).columns
    assert set(filled.data(others).matrices) == set(filled.domain.families)
    assert filled.domain.unknown in ("", *filled.data().main.columns)


@check
def what_is_read_says_where_its_columns_come_from(filled: Filled, folder: Path) -> None:
    """All families but the unbound ones come from one source."""
    data = filled.data(all_families(filled))
    sources = {
        (matrix.source, matrix.fingerprint)
        for family, matrix in data.matrices.items()
        if family not in filled.domain.unbound
    }
    assert len(sources) <= 1
    assert filled.domain.unbound <= set(filled.domain.families)


@check
def named_items_have_the_rows_that_they_have_among_all(filled: Filled, folder: Path) -> None:
    """One, some in any order, none, and those that the home does not have."""
    asked = all_families(filled)
    whole = filled.data(asked)
    draw = np.random.default_rng(4)
    some = draw.permutation(whole.keys)[:11].tolist()
    for items in ([some[0]], some, [*some, absent(filled)], whole.keys.tolist()):
        part = filled.data(asked, Selection(items=items))
        assert part.keys.tolist() == sorted(set(items) & set(whole.keys.tolist()))
        same_rows(part, whole)
    for items in ([], [absent(filled)]):
        none = filled.data(asked, Selection(items=items))
        assert len(none) == 0
        same_rows(none, whole)


@check
def items_that_began_in_a_span_have_the_rows_that_they_have_among_all(filled: Filled, folder: Path) -> None:
    """Its beginning is in it, its end is not; spans side by side hold each item once."""
    asked = all_families(filled)
    whole = filled.data(asked)
    begin, middle, end = (instant(np.sort(whole.time)[at]) for at in (0, len(whole) // 2, -1))
    spans = [(begin, middle), (middle, end), (end, end + DAY)]
    parts = [filled.data(asked, Selection(began=span)) for span in spans]
    for part, (low, high) in zip(parts, spans, strict=True):
        same_rows(part, whole)
        assert all(low <= instant(at) < high for at in part.time)
    assert sorted(key for part in parts for key in part.keys.tolist()) == whole.keys.tolist()
    assert len(filled.data(asked, Selection(began=(begin - 2 * DAY, begin - DAY)))) == 0


@check
def the_vocabulary_describes_every_column(filled: Filled, folder: Path) -> None:
    """And every code of a matrix of sequences; of a source that has gone the columns still have names."""
    data = filled.data(all_families(filled))
    classes = [detector_row(name).cls for name in filled.domain.detectors]
    sequential = {cls.features for cls in classes if cls.sequential}
    for family, matrix in data.matrices.items():
        vocabulary = filled.domain.vocabulary(filled.home.settings, matrix.source)
        assert (vocabulary.noun, vocabulary.alike) == (filled.domain.item.noun, filled.domain.item.alike)
        if family in sequential:
            assert 0 < matrix.values.max() <= len(vocabulary.codes)
        for name in vocabulary.codes if family in sequential else matrix.columns:
            assert vocabulary.describe(name).strip()
    gone = filled.domain.vocabulary(filled.home.settings, "no such source")
    assert all(gone.describe(column) for column in data.main.columns)


@check
def facts_are_those_of_the_items(filled: Filled, folder: Path) -> None:
    """Of all, of some, and none of those that the home does not have."""
    data, store = filled.data(), filled.home.store
    facts = filled.domain.facts(store)
    assert sorted(facts) == data.keys.tolist()
    names = {label: name for name, label in LABELS.items()} | {UNLABELLED: None}
    for key, at, label in zip(data.keys.tolist(), data.time, data.labels.tolist(), strict=True):
        assert (facts[key].last_time if is_series(filled) else facts[key].first_time) == instant(at)
        assert facts[key].first_time <= facts[key].last_time
        assert facts[key].records >= 0  # silence is an item where it is unusual
        assert facts[key].label == names[label]
    some = data.keys[::7].tolist()
    assert filled.domain.facts(store, [*some, absent(filled)]) == {key: facts[key] for key in some}
    assert filled.domain.facts(store, [absent(filled)]) == filled.domain.facts(store, []) == {}


@check
def evidence_is_the_first_raw_records_of_an_item(filled: Filled, folder: Path) -> None:
    """By time, within the item's, as many as are asked for, and none of an item that is not there."""
    domain, home = filled.domain, filled.home
    facts = domain.facts(home.store)
    for key in list(facts)[::41]:
        records = domain.evidence(home.store, home.settings, key, 1000)
        assert len(records) == min(facts[key].records, 1000)
        times = [record["time"] for record in records]
        assert times == sorted(times)
        if not times:
            continue
        assert times[0] == facts[key].first_time
        assert times[-1] == facts[key].last_time or len(times) == 1000
        assert all(record["line"].strip() for record in records)
        assert domain.evidence(home.store, home.settings, key, 1) == records[:1]
    assert domain.evidence(home.store, home.settings, absent(filled), 10) == []


@check
def what_is_nearest_is_an_item_of_the_home(filled: Filled, folder: Path) -> None:
    """Or there is none."""
    near = filled.domain.nearest(filled.home.store, absent(filled))
    assert near is None or near in filled.data().keys.tolist()


@check
def days_hold_every_item_once(filled: Filled, folder: Path) -> None:
    """In order, with as many as the items that began on each."""
    days = filled.domain.days(filled.home.store)
    assert list(days) == sorted(days)
    assert all(days.values())
    assert sum(days.values()) == len(filled.data())
    for day, count in days.items():
        begin = datetime.combine(day, time(), UTC)
        assert len(filled.data(where=Selection(began=(begin, begin + DAY)))) == count


@check
def what_can_be_learned_is_counted(filled: Filled, folder: Path) -> None:
    """Items with a label and without; what the serving detector calls normal is among those without."""
    domain, labels = filled.domain, filled.data().labels
    serving = serving_detector(filled.home.settings, domain)
    labelled, other, scored = domain.learnable(filled.home.store, serving)
    assert (labelled, other) == (int((labels >= 0).sum()), int((labels == UNLABELLED).sum()))
    assert 0 <= scored <= other
    assert 0 <= domain.waiting(filled.home.store, serving, 1) <= len(labels)


@check
def words_of_people_lie_over_the_labels(filled: Filled, folder: Path) -> None:
    """Those on items, and those on stretches of time of its entity or of all."""
    changed = filled.copied(folder / "home")
    before = filled.data()
    first, other = (int(at) for at in np.argsort(before.time, kind="stable")[[0, -1]])
    stretch = {"from_at": instant(before.time[other]), "to_at": instant(before.time[other]) + DAY}
    rows = [
        {"item": filled.domain.item.show(before.keys.tolist()[first]), "entity": "", "from_at": None, "to_at": None},
        {"item": "", "entity": before.entity} | stretch,
        {"item": "", "entity": "another entity", "from_at": instant(0), "to_at": stretch["to_at"]},
    ]
    about = {"domain": filled.domain.name, "verdict": "expected", "given_at": datetime.now(UTC)}
    table = pa.Table.from_pylist([*(row | about for row in rows), rows[0] | about | {"domain": "another domain"}])
    with changed.home.store.write() as con:
        publish_into(con, "feedback", table)
    after = changed.data()
    if not is_series(filled):  # of which no vector repeats, so that no word rules others
        assert after.feedback is not None
        assert after.feedback.keys.tolist() == [before.keys.tolist()[first]]
    touched = np.isin(np.arange(len(before)), [first]) | (before.time >= before.time[other])
    np.testing.assert_array_equal(after.labels, np.where(touched, AMBIGUOUS, before.labels))
    part = changed.data(where=Selection(items=before.keys[[first]].tolist()))
    assert part.labels.tolist() == [AMBIGUOUS]


@check
def what_is_read_twice_is_there_once(filled: Filled, folder: Path) -> None:
    """And what is read into another home, whole or apart, is the same."""
    if not filled.files:
        pytest.skip(f"{filled.domain.item.plural} come from no files")
    asked, whole = all_families(filled), filled.data(all_families(filled))
    changed = filled.copied(folder / "home")
    again = filled.read(changed.home)
    assert again.items == len(whole)
    assert again.labels == int((whole.labels != UNLABELLED).sum()) or filled.labels is None
    same_rows(changed.data(asked), whole)
    assert len(changed.data()) == len(whole)
    (folder / "apart").mkdir()
    settings = filled.domain.apart(filled.home.settings, folder / "apart", again.source)
    assert settings.home == folder / "apart"
    apart = open_home(settings.home)
    read = filled.read(apart)
    assert (read.files, read.items, read.source) == (len(filled.files), len(whole), again.source)
    assert read.records > 0
    assert 0 <= read.coverage <= 1
    same_rows(filled.domain.features(apart.store, settings, asked), whole)


@check
def where_nothing_was_read_there_is_nothing_to_learn(filled: Filled, folder: Path) -> None:
    """And a path that is wrong is named."""
    empty = open_home(folder / "empty")
    with empty.store.write():
        pass
    with pytest.raises(DataError):
        filled.domain.features(empty.store, empty.settings)
    assert filled.domain.days(empty.store) == {}
    assert filled.domain.facts(empty.store) == {}
    with pytest.raises(DataError, match="nowhere" if filled.files else "come from no files"):
        filled.domain.read(empty.store, empty.settings, [str(folder / "nowhere.log")])


@check
def labels_are_read_by_key(filled: Filled, folder: Path) -> None:
    """As `read` takes them; a domain without labels says so."""
    if filled.labels is None:
        with pytest.raises(DataError, match=f"no labels of {filled.domain.item.plural}"):
            filled.domain.labels(folder / "labels.csv")
        return
    keys, table = filled.domain.labels(filled.labels)
    data = filled.data()
    assert set(keys.tolist()) >= set(data.keys[data.labels != UNLABELLED].tolist())
    home = open_home(folder / "home")
    read = filled.domain.read(home.store, home.settings, [str(path) for path in filled.files], table, propose=False)
    assert read.labels == len(keys) == table.num_rows
    np.testing.assert_array_equal(filled.domain.features(home.store, home.settings).labels, data.labels)


@check
def its_detectors_can_be_made(filled: Filled, folder: Path) -> None:
    """Each as the domain says, with a threshold; the default one is among them, and so are the others that serve."""
    domain, settings = filled.domain, filled.home.settings
    assert domain.default_detector in domain.detectors
    assert domain.champion(settings) in (BEST, *domain.detectors)
    assert set(domain.voices(settings, domain.default_detector)) <= set(domain.detectors)
    for name in domain.detectors:
        detector = domain.make(settings, name)
        assert (detector.name, detector.features in domain.families) == (name, True)
        assert str(domain.threshold(settings, name))
    grouping = domain.grouping(settings)
    assert grouping is None or set(grouping.openers or ()) <= set(domain.detectors)
    assert domain.incidents(filled.home.store, settings, []) == []


@check
def its_default_detector_serves(filled: Filled, folder: Path) -> None:
    """Trained on what began first it scores all items, explains those it flags, and can be questioned by later ones."""
    changed = filled.copied(folder / "home")
    domain, name, store = filled.domain, filled.domain.default_detector, changed.home.store
    settings = changed.home.settings.model_copy(update={"drift_min_blocks": 10})
    data = changed.data(families(domain, [name]))
    early = data.take(np.sort(np.argsort(data.time, kind="stable")[: len(data) // 3]))
    save_model(fit(early, domain, name, settings), settings)
    scores = score_items(store, settings, domain, name)
    assert scores["item"].to_pylist() == [domain.item.show(key) for key in data.keys.tolist()]
    assert domain.waiting(store, name, 1) == 0
    flagged = sorted(row["item"] for row in scores.to_pylist() if row["is_anomaly"])
    assert publish_anomalies(store, settings, domain, name) == len(flagged) > 0
    anomalies = changed.home.rows("SELECT item, reason, records FROM anomalies ORDER BY item")
    assert [item for item, *_ in anomalies] == flagged
    facts = domain.facts(store)
    assert all(reason and records == facts[domain.item.parse(item)].records for item, reason, records in anomalies)
    report = explain_item(store, settings, domain, flagged[0], name)
    assert (report.item, report.is_anomaly, report.explanation.reason) == (flagged[0], True, anomalies[0][1])
    drift = measure_drift(store, settings, domain, name)
    assert drift.status in ("steady", "drifted"), drift.conclusion
    assert drift.reference + drift.current == int((data.labels != AMBIGUOUS).sum())
    days = list(domain.days(store))
    assert len(days) > 1, "a home to check on has items on both sides of midnight"
    for threshold, lost in ((None, 0), (float("inf"), len(flagged))):
        rows = backtest(store, settings, domain, Trial.of(settings, domain, name, threshold=threshold), days)
        assert sum(row["items"] for row in rows) == len(data)
        assert sum(row["unscored"] + row["gained"] for row in rows) == 0
        assert sum(row["lost"] for row in rows) == lost


@check
def its_topics_and_tables_are_declared(filled: Filled, folder: Path) -> None:
    """Workers begin and end at topics that there are, and what a sink keeps has a table."""
    domain = filled.domain
    topics = {topic.name: topic for topic in domain.topics}
    followed = domain_named(domain.follows).topics if domain.follows else ()
    assert len(topics) == len(domain.topics)
    for begin, ends in domain.ways.items():
        assert begin in {*topics, *(topic.name for topic in followed)}
        assert set(ends) <= {*topics, ANOMALIES}
    assert domain.records_topic in ("", *topics)
    for topic in domain.topics:
        assert topic.about.strip()
        if topic.sink is not None:
            assert topic.sink.table in TABLES
            assert topic.asset.isidentifier()


@check
def records_that_are_searched_are_told_and_matched(filled: Filled, _: Path) -> None:
    domain, home = filled.domain, filled.home
    keeper = domain_named(domain.follows) if domain.follows else domain
    if not keeper.searchable:
        with pytest.raises(DataError):
            keeper.search(home.store, home.settings, Sought(), (instant(0), instant(1)), 1)
        return
    first, last = keeper.recorded(home.store) or (instant(0), instant(0))
    span = first, last + timedelta(microseconds=1)
    records = keeper.search(home.store, home.settings, Sought(), span, 400)
    assert records["time"].to_pylist() == sorted(records["time"].to_pylist(), reverse=True)
    told = domain.told(home.store, home.settings, records)
    assert len(told) == len(records) == 400 and any(each.items for each in told)
    templates = [each.template for each in told if each.template]
    for item in {item for each in told for item in each.items}:
        assert domain.item.shown(item) == item
    if not templates:
        assert domain.patterns(home.store, home.settings, span, 1) == []
        return
    template = templates[0]
    places = list(zip(records["source_id"].to_pylist(), records["position"].to_pylist(), strict=True))
    matched = domain.matching(home.store, home.settings, template, span).to_pylist()
    there = {(row["source_id"], row["position"]) for row in matched}
    for place, each in zip(places, told, strict=True):
        assert (place in there) == (each.template == template)
    counted = {each.template: each for each in domain.patterns(home.store, home.settings, span, 1)}
    assert counted[template].total == counted[template].records == len(there)
    assert counted[template].name == next(each.name for each in told if each.template == template)


@pytest.mark.parametrize("promise", CHECKS, ids=[function.__name__ for function in CHECKS])
@pytest.mark.parametrize("name", DOMAINS)
def test_conformance(
    request: pytest.FixtureRequest, tmp_path: Path, name: str, promise: Callable[[Filled, Path], None]
) -> None:
    """One check of one domain."""
    filled: Filled = request.getfixturevalue(f"{name}_filled")
    promise(filled, tmp_path)


def test_domains_are_found_by_name() -> None:
    """Without a name the first one; a near name is suggested."""
    first = next(iter(DOMAINS))
    assert domain_named().name == first
    for name, row in DOMAINS.items():
        assert domain_named(name).name == name
        assert row.about.strip()
    with pytest.raises(DataError, match=f"did you mean {first!r}"):
        domain_named(first[:-1])
    with pytest.raises(DataError, match=f"there are {', '.join(DOMAINS)}"):
        domain_named("zzz")


def test_topics_and_tables_have_one_domain_each() -> None:
    domains = [domain_named(name) for name in DOMAINS]
    topics = [topic.name for domain in domains for topic in domain.topics]
    assert len(topics) == len(set(topics))
    tables = [table for domain in domains for table in read_tables(Path(getfile(type(domain))).parent)]
    assert len(tables) == len(set(tables))
    assert set(tables) <= set(TABLES)
