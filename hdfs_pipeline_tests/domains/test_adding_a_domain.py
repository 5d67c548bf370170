"""Adding a domain is one folder, one row and one folder of Dagster definitions: orders of a shop get all the rest."""

import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from hdfs_pipeline import domains
from hdfs_pipeline.domains import DOMAINS, Row, domain_named
from hdfs_pipeline.domains.champions import named_detectors, serving_detector
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.learning.challenge import train_and_track
from hdfs_pipeline.learning.retraining import retrain, roll_back
from hdfs_pipeline.learning.tracking import experiment_of, publish_evaluations
from hdfs_pipeline.monitoring.backtest import Trial, backtest, days_there
from hdfs_pipeline.monitoring.drift import measure_drift
from hdfs_pipeline.scoring.models import champion_version, trained_detectors
from hdfs_pipeline.settings import PREFIX
from hdfs_pipeline.store import schema
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.explain import explain_item
from hdfs_pipeline.verdicts.feedback import all_feedback, give_feedback
from hdfs_pipeline.verdicts.incidents import publish_incidents
from hdfs_pipeline.verdicts.score import publish_anomalies, score_items
from hdfs_pipeline_tests.domains.test_contract import CHECKS
from hdfs_pipeline_tests.homes import Filled, Home, open_home

TOYS = Path(__file__).parent / "toys"
NAME = "orders"
USUAL = ("placed", "paid", "packed", "sent")
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
TAUGHT = ("exact_match", "random_forest")


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> Iterator[Domain]:
    """The domain, found through its folder and its row."""
    monkeypatch.setattr(domains, "__path__", [*domains.__path__, str(TOYS)])
    monkeypatch.setitem(DOMAINS, NAME, Row(f"{NAME}.domain:Orders", "orders of a shop"))
    for table in schema.read_tables(TOYS / NAME).values():
        monkeypatch.setitem(schema.TABLES, table.name, table)
    yield domain_named(NAME)
    for module in [name for name in sys.modules if name.startswith(f"{domains.__name__}.{NAME}")]:
        del sys.modules[module]


def write_orders(folder: Path, first: int, count: int, days: int = 4) -> tuple[Path, Path]:
    """Orders and their labels: of every twenty one was packed and never sent, another one sent twice."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, labels = ["order_id,time,event"], ["order_id,label"]
    for number in range(first, first + count):
        begin = BEGIN + timedelta(days=days) * (number / count) + timedelta(days=days) * (first > 0)
        events = USUAL[:3] if number % 20 == 7 else (*USUAL, "sent") if number % 20 == 13 else USUAL
        rows += [
            f"order-{number},{begin + timedelta(minutes=at):%Y-%m-%d %H:%M:%S}+00,{e}" for at, e in enumerate(events)
        ]
        labels.append(f"order-{number},{'normal' if events == USUAL else 'anomaly'}")
    log, csv = folder / "orders.csv", folder / "labels.csv"
    log.write_text("\n".join(rows) + "\n")
    csv.write_text("\n".join(labels) + "\n")
    return log, csv


@pytest.fixture
def shop(orders: Domain, tmp_path: Path, mlflow_db: Path) -> Home:
    """A home with 400 orders, and models of two detectors."""
    home = open_home(tmp_path / "shop", retrain_holdout_blocks=40, drift_min_blocks=100)
    home.settings.home.mkdir()
    (home.settings.home / "mlflow.db").write_bytes(mlflow_db.read_bytes())
    log, labels = write_orders(tmp_path / "given", 0, 400)
    read = orders.read(home.store, home.settings, [str(log)], labels)
    assert (read.items, read.labels) == (400, 400)
    data = orders.features(home.store, home.settings)
    for name in TAUGHT:
        card, _ = train_and_track(home.store, data, orders, name, home.settings)
        publish_evaluations(home.store, card)
    return home


@pytest.mark.parametrize("promise", CHECKS, ids=[function.__name__ for function in CHECKS])
def test_the_checks_take_it(orders: Domain, tmp_path: Path, promise: Callable[[Filled, Path], None]) -> None:
    home = open_home(tmp_path / "shop")
    log, labels = write_orders(tmp_path / "given", 0, 100)
    orders.read(home.store, home.settings, [str(log)], labels)
    promise(Filled(orders, home, (log,), labels), tmp_path)


def test_it_has_the_detectors_that_read_its_features(orders: Domain) -> None:
    assert "random_forest" in orders.detectors
    assert "keywords" not in orders.detectors
    assert named_detectors(orders, ["standard"]) == [name for name in orders.detectors if name in STANDARD]


STANDARD = ("random_forest", "autoencoder", "exact_match", "combinations")


def test_models_are_trained_judged_saved_and_serve(orders: Domain, shop: Home) -> None:
    assert trained_detectors(shop.settings, NAME) == sorted(TAUGHT)
    assert (shop.settings.models / NAME / "exact_match" / "0001" / "card.json").is_file()
    assert serving_detector(shop.settings, orders) == "exact_match"
    figures = {
        (detector, split): json.loads(metrics)["f1"]
        for detector, split, metrics in shop.rows(
            "SELECT detector, split, metrics FROM evaluations WHERE domain = ?", NAME
        )
    }
    assert figures == {(name, split): 1.0 for name in TAUGHT for split in ("random", "chronological")}


def test_scores_anomalies_incidents_and_explanations(orders: Domain, shop: Home) -> None:
    table = score_items(shop.store, shop.settings, orders, "exact_match")
    assert len(table) == 400
    assert publish_anomalies(shop.store, shop.settings, orders, "exact_match") == 40
    reasons = dict(shop.rows("SELECT reason, count(*) FROM anomalies WHERE domain = ? GROUP BY ALL", NAME))
    assert reasons == {"no “sent” (normally 1)": 20, "2 instead of 1 × “sent”": 20}
    assert publish_incidents(shop.store, shop.settings, orders)
    ids = shop.rows("SELECT id FROM incidents WHERE domain = ? ORDER BY id", NAME)
    publish_incidents(shop.store, shop.settings, orders)
    assert shop.rows("SELECT id FROM incidents WHERE domain = ? ORDER BY id", NAME) == ids, "the same again"
    report = explain_item(shop.store, shop.settings, orders, "order-7", "exact_match")
    assert report.is_anomaly
    assert report.explanation.reason == "no “sent” (normally 1)"
    assert [line["line"].split()[-1] for line in report.lines] == list(USUAL[:3])
    normal = explain_item(shop.store, shop.settings, orders, "order-8", "random_forest")
    assert not normal.is_anomaly
    usual = "1 × “placed”; 1 × “paid”; 1 × “packed”; and 1 more"
    assert normal.explanation.reason == f"the same events as a normal order: {usual}"


def test_feedback_is_learned(orders: Domain, shop: Home) -> None:
    give_feedback(shop.store, shop.settings, orders, "order-7", "expected")
    (row,) = all_feedback(shop.store, shop.settings, orders)
    assert (row["item"], row["verdict"], row["now"]["flagged"]) == ("order-7", "expected", True)
    data = orders.features(shop.store, shop.settings)
    assert data.labels[np.flatnonzero(data.keys == "order-7")].tolist() == [-1]


def test_a_challenger_is_judged_and_can_be_rolled_back(orders: Domain, shop: Home, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    log, labels = write_orders(tmp_path / "later", 400, 200)
    orders.read(shop.store, shop.settings, [str(log)], labels)
    done = retrain(shop.store, shop.settings, orders, "random_forest", at_least=1)
    assert (done.status, done.new, done.challenger) == ("kept", 200, 2), done.verdict
    assert "not better, so version 1 serves on: F1 1.000 against 1.000" in done.verdict
    assert champion_version(shop.settings, NAME, "random_forest") == 1
    assert roll_back(shop.settings, orders, "random_forest", 2).alias_moved
    back = roll_back(shop.settings, orders, "random_forest")
    assert (back.before, back.now, back.alias_moved) == (2, 1, True)
    with ThreadPoolExecutor(4) as pool:  # several at once: MLflow names the version that serves in the end
        for change in [pool.submit(roll_back, shop.settings, orders, "random_forest", to) for to in (2, 1, 2, 1, 2)]:
            with suppress(DataError):
                change.result()
    alias = MlflowClient().get_model_version_by_alias(f"{experiment_of(NAME)}_random_forest", "champion")
    assert alias.tags["version"] == str(champion_version(shop.settings, NAME, "random_forest"))


def test_drift_and_backtest(orders: Domain, shop: Home, tmp_path: Path) -> None:
    log, labels = write_orders(tmp_path / "later", 400, 200)
    log.write_text(log.read_text().replace(",packed\n", ",returned\n"))
    orders.read(shop.store, shop.settings, [str(log)], labels)
    found = measure_drift(shop.store, shop.settings, orders, "exact_match")
    assert found.status == "drifted"
    assert "orders" in found.conclusion
    score_items(shop.store, shop.settings, orders, "exact_match")
    trial = Trial.of(shop.settings, orders, "random_forest")
    days = days_there(shop.store, orders)
    rows = backtest(shop.store, shop.settings, orders, trial, list(days))
    assert sum(row["items"] for row in rows) == 600 == sum(days.values())
    assert sum(row["unscored"] for row in rows) == 0


def run(home: Home, *arguments: str) -> Any:
    """A command with --json in this process, which knows the domain."""
    from hdfs_pipeline.cli import app

    environment = {"COLUMNS": "150", "HDFS_PIPELINE_BOOTSTRAP_SAMPLES": "0"}
    done = CliRunner().invoke(app, ["--home", str(home.settings.home), *arguments], env=environment)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_command_line_takes_it(orders: Domain, shop: Home, tmp_path: Path) -> None:
    from hdfs_pipeline.cli import terminal

    asked = ("--domain", NAME, "--json")
    score_items(shop.store, shop.settings, orders, "exact_match")
    explained = json.loads(run(shop, "explain", "order-7", *asked))
    assert (explained["order_id"], explained["is_anomaly"]) == ("order-7", True)
    assert {card["detector"] for card in json.loads(run(shop, "models", *asked))} == set(TAUGHT)
    log, labels = write_orders(tmp_path / "other", 1000, 100)
    held_out = json.loads(run(shop, "evaluate", "--logs", str(log), "--labels", str(labels), *asked))
    assert (held_out["orders"], held_out["detectors"]["random_forest"]["f1"]) == (100, 1.0)
    scored = json.loads(run(shop, "score", str(log), *asked))
    assert (scored["orders"], len(scored["verdicts"])) == (100, 100)
    assert scored["verdicts"][0]["order_id"].startswith("order-1")
    again = scored["verdicts"][0]["order_id"]
    assert json.loads(run(shop, "explain", again, "--scored", *asked))["scored"] is True
    assert json.loads(run(shop, "score", *asked))["orders"] == 400
    compared = json.loads(run(shop, "compare", "--detector", "exact_match", "--detector", "random_forest", *asked))
    assert {entry["detector"]: entry["evaluation"]["f1"] for entry in compared["detectors"]} == dict.fromkeys(
        TAUGHT, 1.0
    )
    with terminal.out.capture() as table:
        run(shop, "models", "--domain", NAME)
    assert "on at least 20 orders with 10 anomalies and as many normal ones" in table.get()


@pytest.fixture
def in_dagster(orders: Domain, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Its definitions beside the resources, as if its folder lay under `defs/`."""
    import dagster as dg

    from hdfs_pipeline import definitions
    from hdfs_pipeline.defs.common.resources import resources

    folder = f"{__package__}.toys.defs.{NAME}.assets"
    merged = dg.Definitions.merge(importlib.import_module(folder).orders(), resources())
    monkeypatch.setattr(definitions, "defs", lambda: merged)
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv(f"{PREFIX}HOME", "")
    yield merged
    del sys.modules[folder]


@pytest.mark.slow
def test_dagster_takes_it_from_files_to_incidents(
    orders: Domain, in_dagster: Any, tmp_path: Path, mlflow_db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hdfs_pipeline.running.orchestration import run_main_job

    home = open_home(tmp_path / "dagster")
    home.settings.home.mkdir()
    (home.settings.home / "mlflow.db").write_bytes(mlflow_db.read_bytes())
    monkeypatch.setenv(f"{PREFIX}BOOTSTRAP_SAMPLES", "0")
    log, labels = write_orders(tmp_path / "given", 0, 400)
    done: list[str] = []
    assert run_main_job(home.settings, NAME, [str(log)], str(labels), lambda name, *_: done.append(name))
    parts = ("model", "evaluation", "champion", "scores", "anomalies", "incidents")
    assert set(done) == {"order_events", "order_labels", *(f"{NAME}_{part}" for part in parts)}
    assert set(trained_detectors(home.settings, NAME)) == set(STANDARD)
    counts = {
        table: home.rows(f"SELECT count(*) FROM {table} WHERE domain = ?", NAME)[0][0]
        for table in ("models", "evaluations", "scores", "anomalies", "incidents")
    }
    assert counts["models"] == 4 and counts["evaluations"] == 8 and counts["scores"] == 1600
    assert counts["anomalies"] == 40 and counts["incidents"] > 0


def test_its_checks_jobs_sensors_and_schedules_are_there(in_dagster: Any) -> None:
    checks = {(key.asset_key.to_user_string(), key.name) for key in in_dagster.resolve_asset_graph().asset_check_keys}
    assert checks >= {
        ("order_events", "schema"),
        (f"{NAME}_scores", "unique_keys"),
        (f"{NAME}_model", "learned"),
        (f"{NAME}_champion", "champion_not_worse"),
        (f"{NAME}_anomalies", "columns_stable"),
        (f"{NAME}_incidents", "schema"),
    }
    steps = ("ingest", "ingest_and_score", "train", "retrain", "score")
    assert {job.name for job in in_dagster.jobs} == {"orders_job", *(f"orders_{step}_job" for step in steps)}
    sensors = {"orders_incoming_files", "enough_new_orders", "orders_drifted"}
    assert {sensor.name for sensor in in_dagster.sensors} == sensors
    assert [schedule.name for schedule in in_dagster.schedules] == ["orders_retrain_nightly"]
    for spec in in_dagster.resolve_all_asset_specs():
        if spec.group_name == NAME:
            assert spec.description and spec.kinds and spec.code_version and spec.owners, spec.key
            assert spec.metadata["dagster/column_schema"].columns, spec.key


def test_its_files_are_taken_from_a_folder_of_their_own(
    in_dagster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dagster as dg

    from hdfs_pipeline.defs.common import incoming
    from hdfs_pipeline.defs.common.resources import Home as HomeResource

    folder = tmp_path / "incoming" / NAME
    write_orders(folder, 0, 20)
    (folder.parent / "hdfs.log").write_text("one\n")  # of the first domain
    later = time.time() + 2 * incoming.REST_S
    monkeypatch.setattr(incoming.time, "time", lambda: later)
    sensor = in_dagster.resolve_sensor_def("orders_incoming_files")
    with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance) as context:
        (request,) = sensor(context, home=HomeResource(path=str(tmp_path))).run_requests
    assert request.job_name == "orders_job"
    assert request.run_config["ops"] == {
        "order_events": {"config": {"paths": [str(folder.resolve() / "orders.csv")]}},
        "order_labels": {"config": {"path": str(folder.resolve() / "labels.csv")}},
    }


def test_the_docs_have_to_name_it(orders: Domain) -> None:
    from hdfs_pipeline_tests import test_docs

    rows = test_docs.test_the_docs_name_every_domain
    (names,) = (mark.args[1] for mark in rows.pytestmark if mark.name == "parametrize")
    assert NAME in names, "the test goes through DOMAINS"
    with pytest.raises(AssertionError):
        rows(NAME)


def test_another_home_knows_nothing_of_it(orders: Domain, tmp_path: Path) -> None:
    """Its tables are made with a new store that is opened while it is there."""
    store = Store(tmp_path / "new.duckdb")
    with store.write() as con:
        tables = {row[0] for row in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    assert {"order_events", "order_labels"} <= tables
