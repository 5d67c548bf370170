"""Compiled template matching against a naive oracle of the catalogue's rules; catalogue files."""

import random
import re
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfs_pipeline.domains.blocks.catalogue import SHIPPED, STAGES, catalogues
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.catalogue import UNKNOWN, WILDCARD, Catalogue, Template, read_catalogue
from hdfs_pipeline.scoring.matching import matcher_of

SEED = 20081109
REPEATABLE = settings(derandomize=True, deadline=None, max_examples=200)
SHIPPED_CATALOGUES = [read_catalogue(path, STAGES) for path in sorted(SHIPPED.glob("*.csv"))]


def matched(catalogue: Catalogue, messages: Iterable[str]) -> list[str]:
    """Event id of each message."""
    events = matcher_of(catalogue).strings(pa.array(list(messages), pa.string())).tolist()
    return [catalogue.columns[event] for event in events]


class Oracle:
    """The rules of the catalogue's docstring, word by word, with regular expressions."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.beginning, self.anywhere = [], []
        for template in catalogue.templates:
            literals = [re.escape(part) for part in template.text.split(WILDCARD) if part]
            end = ".*" if template.text.endswith(WILDCARD) else r"\Z"
            body = re.compile(".*".join(literals) + end, re.DOTALL)
            self.beginning.append((template.event_id, body.match))
            if template.text.startswith(WILDCARD):
                self.anywhere.append((template.event_id, body.search))

    def event(self, message: str) -> str:
        for tests in (self.beginning, self.anywhere):
            for event_id, matches in tests:
                if matches(message):
                    return event_id
        return UNKNOWN


FILLERS = [
    "", " ", "blk_-1608999687919862906", "BP-1547070468-127.0.0.1-1795271860490:blk_1073741828_1004",
    "/10.250.19.102:54106", "10.250.19.102:50010", "127.0.0.1:9866:", "67108864",
    "java.io.IOException: Connection reset by peer", "%", "_", "\\", "'", "''", "%_\\'",
    "/user/root/rand/_temporary/part-00081.", "x<*>y", "é\ufffd", " to ", " from ", "\t", "\0", "1, type=",
]  # fmt: skip


def filled(text: str, choose: random.Random) -> str:
    """`text` with something random at every wildcard."""
    first, *rest = text.split(WILDCARD)
    return first + "".join(choose.choice(FILLERS) + part for part in rest)


def spoiled(message: str, choose: random.Random) -> str:
    """`message` with one place changed: cut, doubled, a character replaced or put in front."""
    at = choose.randrange(len(message) + 1)
    return choose.choice(
        [
            message[:at],
            message[at:],
            message[:at] + "?" + message[at + 1 :],
            message.swapcase(),
            f"x{message}",
            f"{message} ",
        ]
    )


@pytest.mark.parametrize("catalogue", SHIPPED_CATALOGUES, ids=lambda catalogue: catalogue.label)
def test_every_shipped_template_matches_as_the_rules_say(catalogue: Catalogue) -> None:
    choose, messages = random.Random(SEED), []
    literals = [part for template in catalogue.templates for part in template.literals]
    for template in catalogue.templates:
        built = [filled(template.text, choose) for _ in range(12)]
        messages += built + [spoiled(message, choose) for message in built]
    for _ in range(1000):
        messages.append(choose.choice(FILLERS).join(choose.choices(literals, k=choose.randint(1, 5))))
    oracle = Oracle(catalogue)
    expected = [oracle.event(message) for message in messages]
    found = matched(catalogue, messages)
    assert [(m, w, g) for m, w, g in zip(messages, expected, found, strict=True) if w != g] == [], f"seed {SEED}"
    assert set(expected) == set(catalogue.columns), "the messages should reach every template, and none"


PLAIN = ["10.250.19.102:50010", "blk_-1608999687919862906", "/10.251.42.84:50010", "67108864"]


@pytest.mark.parametrize("catalogue", SHIPPED_CATALOGUES, ids=lambda catalogue: catalogue.label)
def test_every_shipped_template_takes_the_plain_messages_built_from_it(catalogue: Catalogue) -> None:
    choose = random.Random(SEED)
    built = []
    for template in catalogue.templates:
        first, *rest = template.text.split(WILDCARD)
        built.append(first + "".join(f"{choose.choice(PLAIN)}{part}" for part in rest))
    assert matched(catalogue, built) == list(catalogue.columns[:-1])


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ("Adding an already existing block blk_1", "E1"),
        ("10.0.0.1:50010:Failed to transfer blk_1 to 10.0.0.2:50010 got java.io.IOException: Broken pipe", "E17"),
        ("Reopen Block blk_1", "E19"),
        ("BLOCK* Removing block blk_1 from neededReplications as it does not belong to any file.", "E24"),
        ("PendingReplicationMonitor timed out block blk_1", "E29"),
        ("PacketResponder 1 for block blk_1 Interrupted.", "E8"),
        ("PacketResponder blk_1 2 Exception java.io.InterruptedIOException: Interruped while waiting", "E10"),
        ("BLOCK* ask 10.0.0.1:50010 to delete  blk_1 blk_2", UNKNOWN),
        ("Received block blk_1 src: /10.0.0.1:1 dest: /10.0.0.2:2 of size 5", "E6"),
        ("Received block blk_1 of size 67108864 from /10.0.0.1", "E9"),
        ("Unexpected error trying to delete block blk_1. BlockInfo not found in volumeMap.", "E20"),
        ("BLOCK* NameSystem.addStoredBlock: addStoredBlock request received for blk_1 on 10.0.0.1:5 size 6 "
         "But it does not belong to any file.", "E28"),
        ("received block blk_1 of size 67108864 from /10.0.0.1", UNKNOWN),
        ("", UNKNOWN),
    ],
)  # fmt: skip
def test_messages_of_2008_are_told_apart(message: str, event: str) -> None:
    assert matched(catalogues()["hdfs_v1.v1"], [message]) == [event]


snippets = st.text(st.sampled_from("ab%_\\' x"), min_size=1, max_size=3)


@st.composite
def small_catalogues(draw: st.DrawFn) -> Catalogue:
    texts = draw(st.lists(st.lists(st.one_of(snippets, st.just(WILDCARD)), min_size=1, max_size=5), max_size=6))
    joined = [text for parts in texts if (text := "".join(parts)).replace(WILDCARD, "")]
    templates = (Template(f"E{i}", "", text, draw(st.integers(0, 3))) for i, text in enumerate(joined, start=1))
    return Catalogue("small", 1, tuple(templates))


@REPEATABLE
@given(
    catalogue=small_catalogues(),
    others=st.lists(st.text(st.sampled_from("ab%_\\' x\n"), max_size=9), max_size=6),
    seed=st.integers(0, 99),
)
def test_templates_of_any_text_and_frequency_match_as_the_rules_say(
    catalogue: Catalogue, others: list[str], seed: int
) -> None:
    choose = random.Random(seed)
    messages = [filled(template.text, choose) for template in catalogue.templates for _ in range(2)]
    messages += [spoiled(message, choose) for message in messages] + others + [""]
    oracle = Oracle(catalogue)
    assert matched(catalogue, messages) == [oracle.event(message) for message in messages]


@pytest.mark.parametrize(
    ("template", "message", "matches"),
    [
        ("100% of <*>", "100% of it", True),
        ("100% of <*>", "100 and of it", False),
        ("a_b<*>", "a_b", True),
        ("a_b<*>c", "a_b c", True),
        ("a_b<*>c", "axb c", False),
        ("C:\\tmp\\<*> gone", "C:\\tmp\\x gone", True),
        ("C:\\tmp\\<*> gone", "C:tmpx gone", False),
        ("Can't <*>'", "Can't 'do'", True),
        ("Can't <*>'", "Cant do", False),
        ("whole", "whole", True),
        ("whole", "whole more", False),
        ("a<*>end", "a the end", True),
        ("a<*>end", "a the end.", False),
        ("<*>end", "the end", True),
        ("ab<*>b", "ab", False),
    ],
)
def test_special_characters_stand_for_themselves(template: str, message: str, matches: bool) -> None:
    catalogue = Catalogue("one", 1, (Template("E1", "", template),))
    assert matched(catalogue, [message]) == ["E1" if matches else UNKNOWN]


def test_a_frequent_template_never_takes_what_an_earlier_one_must_win() -> None:
    templates = (
        Template("E1", "", "Received <*> src: <*>", 1),
        Template("E2", "", "Received <*>", 1000),
        Template("E3", "", "Re<*>", 10_000),
        Template("E4", "", "other <*>", 100),
    )
    messages = ["Received x src: y", "Received x", "Reopen", "other x", "an other x"]
    assert matched(Catalogue("c", 1, templates), messages) == ["E1", "E2", "E3", "E4", UNKNOWN]


@pytest.mark.parametrize("count", [1, 255, 256])
def test_catalogues_of_any_size_number_their_events_rightly(count: int) -> None:
    catalogue = Catalogue("big", 1, tuple(Template(f"E{i}", "", f"message {i} <*>") for i in range(count)))
    messages = [f"message {i} x" for i in range(count)] + ["another"]
    assert matched(catalogue, messages) == list(catalogue.columns)


def test_a_catalogue_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    texts = ["a, b <*>", 'say "<*>"', "it's", "100%_\\", " ends with a blank ", "é \u2028 <*>"]
    saved = Catalogue("mine", 12, tuple(Template(f"E{i}", f"name, {i}", text, i) for i, text in enumerate(texts)))
    path = saved.save(tmp_path / "not there yet")
    assert path.name == "mine.v12.csv"
    assert read_catalogue(path, STAGES) == saved
    assert read_catalogue(path, STAGES).fingerprint == saved.fingerprint


def test_what_is_said_about_a_template_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    said = Template("E1", "a", "lost <*>", 3, "store", "notable", 'the disk, "full"', "look at it, then restart")
    catalogue = Catalogue("mine", 1, (said, Template("E2", "b", "other <*>")))
    read = read_catalogue(catalogue.save(tmp_path), STAGES)
    assert read == catalogue
    assert [read.hint(event) for event in ("E1", "E2", UNKNOWN)] == ["look at it, then restart", "", ""]
    header = "event_id,name,template,count,stage,severity,cause,hint\n"
    assert (tmp_path / "mine.v1.csv").read_text().startswith(header)


def test_a_catalogue_saved_before_there_were_hints_still_loads(tmp_path: Path) -> None:
    (tmp_path / "old.v1.csv").write_text("event_id,template,stage,severity,cause\nE1,lost <*>,store,notable,why\n")
    old = read_catalogue(tmp_path / "old.v1.csv", STAGES)
    assert (old.cause("E1"), old.hint("E1")) == ("why", "")


@pytest.mark.parametrize("catalogue", SHIPPED_CATALOGUES, ids=lambda catalogue: catalogue.label)
def test_whatever_is_worth_telling_has_a_cause_and_a_hint(catalogue: Catalogue) -> None:
    telling = [template for template in catalogue.templates if template.severity != "routine"]
    assert [t.name for t in telling if not (t.cause and t.hint)] == []
    assert [t.hint for t in telling if not (t.hint.endswith(".") and len(t.hint) <= 120)] == []
    assert [t.name for t in catalogue.templates if t.severity == "routine" and (t.cause or t.hint)] == []


def test_models_stay_bound_to_the_shipped_catalogues() -> None:
    """What is said about a template may change; its id, its text and their order may not."""
    fingerprints = {catalogue.label: catalogue.fingerprint for catalogue in SHIPPED_CATALOGUES}
    assert fingerprints == {"hdfs_3.v1": "ed44a02e50f21c71", "hdfs_v1.v1": "64b4a120dd50832b"}


def test_the_fingerprint_tells_another_text_and_another_order_but_no_other_name() -> None:
    one, two = Template("E1", "one", "a<*>", 1), Template("E2", "two", "b<*>", 2)
    base = Catalogue("c", 1, (one, two)).fingerprint
    assert Catalogue("c", 1, (two, one)).fingerprint != base
    assert Catalogue("c", 1, (one, Template("E2", "two", "b", 2))).fingerprint != base
    assert Catalogue("d", 9, (Template("E1", "renamed", "a<*>", 7), two)).fingerprint == base


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ("E1,a,text,1\nE1,b,other,1\n", 3),
        (",a,text,1\n", 2),
        ("E1,a,<*><*>,1\n", 2),
        ("E1,a,,1\n", 2),
        ("E1,a\n", 2),
        ("E1\n", 2),
        ("E1,a,text,many\n", 2),
        ("E1,a,text,1\nUNKNOWN,b,other,1\n", 3),
        ("E1,a,text,1\nE2') FROM read_text('/etc/hostname') --,b,other,1\n", 3),
        ("E1,\"a\nb\",text,1\n'E2',b,other,1\n", 4),
        ("E 1,a,text,1\n", 2),
        ('E1""",a,text,1\n', 2),
        (f"{'E' * 65},a,text,1\n", 2),
        (f"E1,a,text,{'9' * 5000}\n", 2),
        ("E1,a,text,²\n", 2),
    ],
)
def test_a_catalogue_that_cannot_be_used_is_refused_with_its_line(tmp_path: Path, row: str, line: int) -> None:
    path = tmp_path / "broken.v1.csv"
    path.write_text("event_id,name,template,count\n" + row)
    with pytest.raises(DataError, match=rf"broken\.v1\.csv, line {line}: "):
        read_catalogue(path, STAGES)


def test_a_catalogue_has_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "huge.v1.csv"
    path.write_text("event_id,template\n" + "".join(f"E{number},text {number}\n" for number in range(2001)))
    with pytest.raises(DataError, match=r"2,001 templates, more than 2,000"):
        read_catalogue(path, STAGES)


def test_a_catalogue_needs_neither_names_nor_counts(tmp_path: Path) -> None:
    path = tmp_path / "plain.v2.csv"
    path.write_text("event_id,template\nE1,text <*>\n")
    assert read_catalogue(path, STAGES) == Catalogue("plain", 2, (Template("E1", "", "text <*>", 0),))


@pytest.mark.parametrize("name", ["plain.csv", "plain.v1.txt", "plain.vx.csv", ".v1.csv"])
def test_a_catalogues_file_is_known_by_its_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("event_id,name,template,count\n")
    with pytest.raises(DataError, match=r"<name>\.v<version>\.csv"):
        read_catalogue(path, STAGES)


def test_a_file_that_is_no_text_is_refused_in_plain_words(tmp_path: Path) -> None:
    path = tmp_path / "binary.v1.csv"
    path.write_bytes(b"event_id,template\nE1,\xff\xfe\n")
    with pytest.raises(DataError, match=r"binary\.v1\.csv"):
        read_catalogue(path, STAGES)


def test_catalogues_of_a_home_stand_beside_the_shipped_ones(tmp_path: Path) -> None:
    learned = Catalogue("hdfs_3", 2, (Template("E1", "", "x"),))
    learned.save(tmp_path)
    assert list(catalogues(tmp_path)) == ["hdfs_3.v1", "hdfs_v1.v1", "hdfs_3.v2"]
    assert catalogues(tmp_path)["hdfs_3.v2"] == learned
    assert list(catalogues(tmp_path / "not there")) == list(catalogues()) == ["hdfs_3.v1", "hdfs_v1.v1"]


def test_every_event_has_a_name_for_people() -> None:
    for catalogue in SHIPPED_CATALOGUES:
        names = [catalogue.describe(event) for event in catalogue.columns]
        assert all(names)
        assert len(set(names)) == len(names)
    assert "no template" in SHIPPED_CATALOGUES[0].describe(UNKNOWN)


def test_templates_that_begin_one_another_are_told_apart_however_many_they_are() -> None:
    templates = [Template(f"E{size}", "", "a" * size + "<*>") for size in range(1500, 0, -1)]
    nested = matcher_of(Catalogue("nested", 1, tuple(templates)))
    assert nested.strings(pa.array(["a" * 1500, "a" * 7 + "b", "b"])).tolist() == [0, 1493, 1500]


def test_a_part_of_an_arrow_array_is_matched_alone() -> None:
    plain = matcher_of(Catalogue("plain", 1, (Template("E1", "", "one<*>"),)))
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        assert plain.strings(pa.array(["one", "two", "one more", ""], kind)[1:3]).tolist() == [1, 0]
    assert plain.strings(pa.array([], pa.string_view())).tolist() == []
