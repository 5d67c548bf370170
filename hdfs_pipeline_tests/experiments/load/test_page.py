"""The page of experiments on load: one file that needs no other, with all figures, and no trust in outer names."""

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from typer.testing import CliRunner

from hdfs_pipeline.cli import app
from hdfs_pipeline.experiments.load import pictures
from hdfs_pipeline.experiments.load.page import compared, render_report, write_report
from hdfs_pipeline.experiments.load.records import Record, begun, ended
from hdfs_pipeline.experiments.load.shapes import Load
from hdfs_pipeline_tests.experiments.load.made import BEGAN, HOST, LOADS, completed, fill
from hdfs_pipeline_tests.experiments.test_report import Page
from hdfs_pipeline_tests.homes import Home, copy_home

HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(2)>\x1b[31m"""


@pytest.fixture(scope="module")
def filled(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, list[Record]]:
    """A home with made-up experiments."""
    from hdfs_pipeline.settings import load_settings
    from hdfs_pipeline.store.store import Store

    empty = Home(load_settings(empty_store.parent), Store(empty_store))
    home = copy_home(empty, tmp_path_factory.mktemp("load") / "home")
    return home, fill(home.store)


@pytest.fixture(scope="module")
def html(filled: tuple[Home, list[Record]]) -> str:
    home, records = filled
    return render_report(home.store, records)


def svgs(html: str) -> list[str]:
    return re.findall(r"<svg.*?</svg>", html, re.DOTALL)


def test_it_needs_nothing_else(html: str) -> None:
    page = Page(html)
    assert not page.all("link") and not page.all("script") and not page.all("iframe")
    assert not re.search(r"https?:|@import|url\(", html)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes.get("aria-labelledby") for attributes in page.all("section")} <= set(ids)


def test_every_figure_is_there(html: str, filled: tuple[Home, list[Record]]) -> None:
    told = " ".join(" ".join(Page(html).text).split())
    assert "7 experiments" in told and "6 completed" in told
    for record in filled[1]:
        assert record.experiment in told
    assert "20,250" in told and "22,275" in told, "the mean of two trials"
    assert re.search(r"10,7\d\d to 29,7\d\d", told), "Student's t with one degree of freedom: 12.7 · 750"
    assert "91 %" in told, "37,000 of 2 consumers, beside 20,250 of one"
    for cell in ("120", "430", "1,720", "3,640", "broker 0.40", "producer 2.40", "worker 3.20", "0.67 %", "61,750"):
        assert cell in told, cell
    assert "worker-1 ended by itself" in told and "node-1" in told and "33.6 GB" in told
    assert "4 consumers, 4 producers and 9 partitions read 52,000 messages a second" in told


def test_pictures_are_well_formed(html: str) -> None:
    found = svgs(html)
    assert len(found) == 3 + len(LOADS), "throughput, latency, scaling; lag of each that is completed"
    for picture in found:
        root = ET.fromstring(picture)
        assert root.attrib["role"] == "img" and len(root.attrib["aria-label"]) > 20
        width, height = map(float, root.attrib["viewBox"].split()[2:])
        assert "nan" not in picture and "inf" not in picture
        for line in root.iter("polyline"):
            points = np.array([list(map(float, point.split(","))) for point in line.attrib["points"].split()])
            assert (points >= 0).all() and (points <= [width, height]).all()


def test_many_partitions_are_drawn_as_three_lines(html: str) -> None:
    lag = {re.findall(r"Lag of ([\w-]+)", picture)[0]: picture for picture in svgs(html) if "Lag of" in picture}
    assert lag["balanced-4"].count("<polyline") == 9 and ">partition 8<" in lag["balanced-4"]
    assert lag["stress"].count("<polyline") == 3 and ">all together<" in lag["stress"]
    last = [50 * part + 160 * 9 for part in range(50)]
    assert f"all together {sum(last):,}, the largest {max(last):,}, the least {min(last):,}" in lag["stress"]


def test_names_from_outside_stay_text(home: Home) -> None:
    load = Load("sly", detector=HOSTILE)
    host = HOST | {"host": HOSTILE, "broker": HOSTILE}
    records = [
        completed(home.store, load, 100.0, host),
        ended(home.store, begun(home.store, load, {}), "failed", HOSTILE),
    ]
    html = render_report(home.store, records)
    assert not Page(html).all("script") and not Page(html).all("img")
    assert "<script>alert" not in html and "\x1b" not in html
    assert " ".join(Page(html).text).count("<script>alert(1)</script>") == 5


def test_without_experiments_it_says_so(home: Home, tmp_path: Path) -> None:
    path = write_report(home.store, [], tmp_path / "new" / "none.html")
    told = " ".join(Page(path.read_text()).text)
    assert "There are no experiments to compare." in told and "there is nothing to recommend" in told
    assert not svgs(path.read_text())


def test_one_trial_without_verdicts_or_lag_is_drawn_as_far_as_it_goes(home: Home) -> None:
    record = begun(home.store, Load("a" * 61), {})
    bare = [("experiment", "", name, 0.0, BEGAN) for name in ("seconds", "sent_per_s", "read_per_s")]
    html = render_report(home.store, [ended(home.store, record, "completed", "", bare)])
    (picture,) = svgs(html)
    ET.fromstring(picture)
    assert "Throughput" in picture and "a…" in picture


def test_a_curve_has_its_peak_where_it_is_seen(filled: tuple[Home, list[Record]]) -> None:
    home, records = filled
    found = compared(home.store, records)
    assert found.curve is not None
    assert "peak at" in pictures.scaling(found.sides, found.curve)
    flat = replace(found.curve, peak=float("inf"))
    assert "peak at" not in pictures.scaling(found.sides, flat)
    assert pictures.scaling(found.sides[:1], None) == ""


def test_json_has_no_number_that_json_lacks(filled: tuple[Home, list[Record]]) -> None:
    home, records = filled
    found = compared(home.store, records).to_json()
    text = json.dumps(found, allow_nan=False, default=str)
    rows = {row["name"]: row for row in json.loads(text)["experiments"]}
    assert rows["stress"]["low"] is None and rows["baseline"]["low"] > 0
    assert rows["baseline"]["efficiency"] is None and rows["stress"]["efficiency"] == pytest.approx(44 / 81, abs=0.001)


def test_the_command_writes_it(filled: tuple[Home, list[Record]], tmp_path: Path) -> None:
    home, path = filled[0], tmp_path / "reports" / "load.html"
    settings = {"HDFS_PIPELINE_HOME": str(home.settings.home)}
    done = CliRunner().invoke(app, ["experiment", "report", "baseline", "--html", str(path)], env=settings)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == f"report: {path}"
    assert len(svgs(path.read_text())) == 2 + 2
    path.unlink()
    done = CliRunner().invoke(app, ["experiment", "report", "--html", str(path), "--json"], env=settings)
    assert done.exit_code == 0 and json.loads(done.stdout)["knee"] and path.is_file()
