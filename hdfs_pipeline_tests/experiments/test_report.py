"""The report: one file that needs no other, names every detector, and trusts no name that comes from outside."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.experiments.figures import Comparison, LeftOut
from hdfs_pipeline.experiments.pictures import score_axis, series, sweep
from hdfs_pipeline.experiments.report import cost_rows, prose, render_report, size, write_report
from hdfs_pipeline.experiments.svg import Axis, number, spread
from hdfs_pipeline.learning import training
from hdfs_pipeline.scoring.evaluation import evaluate
from hdfs_pipeline_tests.experiments.conftest import Compared

VOID = {"meta", "br", "hr", "img", "input", "link", "circle", "line", "path", "polyline"}


class Page(HTMLParser):
    """Elements with their attributes, the text outside scripts and styles; every element closed where it must be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def found(compared: Compared) -> Comparison:
    failed = LeftOut("autoencoder", "failed: ValueError: <img src=x onerror=alert(1)>")
    return replace(compared.found, entries=(*compared.found.entries, failed))


@pytest.fixture(scope="module")
def html(found: Comparison) -> str:
    return render_report(found)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_it_needs_nothing_else(page: Page, html: str) -> None:
    assert not page.all("link") and not page.all("iframe")
    for tag, attributes in page.elements:
        assert not {"src", "href", "srcset", "action", "data"} & set(attributes), tag
        assert not any(name.startswith("on") for name in attributes), tag
    assert not re.search(r"https?:|@import|url\(|fetch\(|XMLHttp|import\(", html)


def test_names_from_outside_stay_text(page: Page, html: str) -> None:
    assert len(page.all("script")) == 1
    assert not page.all("img")
    assert "<script>alert" not in html and "<img" not in html
    told = " ".join(page.text)
    assert "a <script>alert(1)</script> home" in told
    assert "<img src=x onerror=alert(1)>" in told
    assert "anomaly <1>" in told


def test_every_detector_is_named(page: Page, found: Comparison) -> None:
    told = " ".join(page.text)
    for entry in found.entries:
        assert entry.detector in told
    assert all(sentence.split(":")[0].split("`")[0] in told for sentence in found.conclusion)
    for entry in found.ranked:
        assert f"{entry.evaluation.f1:.3f}" in told


def test_it_can_be_read_without_eyes(page: Page, found: Comparison) -> None:
    pictures = page.all("svg")
    assert len(pictures) == 3 + len(found.ranked)
    assert all(picture["role"] == "img" and len(picture["aria-label"] or "") > 20 for picture in pictures)
    headings = page.all("th")
    assert headings and all(heading.get("scope") in ("col", "row") for heading in headings)
    assert page.all("html") == [{"lang": "en"}]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes.get("aria-labelledby") for attributes in page.all("section")} <= set(ids)


def test_pictures_are_well_formed(html: str) -> None:
    for picture in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        root = ET.fromstring(picture)
        width, height = map(float, root.attrib["viewBox"].split()[2:])
        assert "nan" not in picture and "inf" not in picture
        for line in root.iter("polyline"):
            points = np.array([list(map(float, point.split(","))) for point in line.attrib["points"].split()])
            assert (points >= 0).all() and (points <= [width, height]).all()


def test_a_page_of_one_detector_without_intervals_and_kinds(compared: Compared, tmp_path: object) -> None:
    """As without resamples, and with labels that have no kinds."""
    entry = compared.found.ranked[0]
    plain = replace(entry.evaluation, intervals={}, recall_by_kind={"": {"items": 1, "flagged": 1.0}}, unseen={})
    plain = replace(plain, false_alarm_rate_by_kind={"": {"items": 1, "flagged": 0.0}}, pr_auc=None, roc_auc=None)
    one = replace(entry, tested=replace(entry.tested, evaluation=plain), without=None)
    lean = replace(compared.found, entries=(one,), without=())
    path = write_report(lean, tmp_path / "new" / "r.html")  # type: ignore[operator]
    page = Page(path.read_text(encoding="utf-8"))
    assert "By kind" not in " ".join(page.text)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=2), st.floats(-0.1, 1.1))
def test_a_sweep_is_what_evaluate_says_at_each_threshold(rows: list[tuple[float, int]], threshold: float) -> None:
    scores, labels = (np.array(column) for column in zip(*rows, strict=True))
    expected = evaluate(scores, labels, threshold)
    precision, recall, f1 = sweep(training.Tested(expected, scores, labels), np.array([threshold]))
    if (scores >= threshold).any():
        assert precision[0] == pytest.approx(expected.precision)
    assert (recall[0], f1[0]) == (pytest.approx(expected.recall), pytest.approx(expected.f1))


def judged(scores: list[float], threshold: float) -> training.Tested:
    values, labels = np.array(scores), np.arange(len(scores)) % 2
    return training.Tested(evaluate(values, labels, threshold), values, labels)


@pytest.mark.parametrize(
    ("scores", "threshold", "log"),
    [
        ([0.0, 0.2, 0.9, 1.0], 0.75, False),
        ([0.0, 0.001, 0.002, 500.0], 0.01, True),
        ([-3.0, -1.0, 0.5, 900.0], 0.1, False),
        ([0.0, 0.0, 0.0, 0.0], 0.5, False),
        ([2.0, 2.0, 2.0], 2.0, False),
    ],
)
def test_an_axis_holds_scores_and_threshold(scores: list[float], threshold: float, log: bool) -> None:
    axis, _ = score_axis(judged(scores, threshold))
    assert axis.log is log
    assert axis.low < axis.high
    place = float(axis.at(threshold))
    assert 46 <= place <= 446
    assert 1 <= len(axis.ticks) <= 7


@given(st.lists(st.floats(0, 300), min_size=1, max_size=15))
def test_names_do_not_lie_upon_each_other(wanted: list[float]) -> None:
    found = spread(sorted(wanted), 0, 300)
    assert all(-1e-6 <= place <= 300 + 1e-6 for place in found)
    assert all(after - before >= 15 - 1e-6 for before, after in pairwise(found))


def test_numbers_on_axes_are_short() -> None:
    assert [number(value) for value in (0, 0.2, 1500, 1e-5, 2e6)] == ["0", "0.2", "1,500", "10⁻⁵", "2·10⁶"]
    assert Axis(1e-9, 1e3, 0, 1, log=True).ticks[:2] == pytest.approx([1e-9, 1e-6])
    assert [size(count) for count in (116, 85_600, 2.5e9)] == ["116 B", "85.6 kB", "2.5 GB"]


def test_colours_are_the_same_in_every_picture_and_the_bars_are_grey() -> None:
    kinds = series(["a", "exact_match", "b", "keywords", "c"])
    assert kinds == {"a": "c0", "exact_match": "bar0", "b": "c1", "keywords": "bar1", "c": "c2"}
    many = series([str(number) for number in range(20)])
    assert len(set(many.values())) == 20


def test_the_least_cost_still_has_a_bar(found: Comparison) -> None:
    rows = cost_rows(found.ranked)
    for name in ("train_s", "rows_per_s", "model_bytes"):
        lengths = [row[name] for row in rows]
        assert min(lengths) > 0 and max(lengths) == pytest.approx(1)


def test_commands_are_set_as_code() -> None:
    assert str(prose("see `--without <x>` there")) == "see <code>--without &lt;x&gt;</code> there"
