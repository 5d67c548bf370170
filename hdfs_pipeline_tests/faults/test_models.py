"""A model that is missing or damaged, when a worker starts and while it serves."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline.detectors import detector_row
from hdfs_pipeline.domains.blocks.topics import AGGREGATED_EVENTS, RAW_LOGS
from hdfs_pipeline.scoring.models import load_model, save_model
from hdfs_pipeline.sources.kafka import ANOMALIES, DEAD_LETTERS
from hdfs_pipeline_tests.faults.reconcile import reconcile, send
from hdfs_pipeline_tests.faults.topics import committed
from hdfs_pipeline_tests.homes import BLOCKS, Home
from hdfs_pipeline_tests.streaming.conftest import read_topic, run_command
from hdfs_pipeline_tests.streaming.workers import verdicts, worker

pytestmark = [pytest.mark.faults, pytest.mark.any_broker]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def weights(folder: Path) -> Path:
    return next(path for path in sorted(folder.iterdir()) if path.suffix == ".onnx" or "model" in path.name)


Damage = Callable[[Path], object]
DAMAGES: dict[str, tuple[Damage, str]] = {
    "no model at all": (lambda folder: shutil.rmtree(folder.parent), "no random_forest model"),
    "a version that is not there": (shutil.rmtree, "its card is missing or damaged"),
    "no card": (lambda folder: (folder / "card.json").unlink(), "its card is missing or damaged"),
    "half a card": (lambda folder: truncate(folder / "card.json"), "its card is missing or damaged"),
    "no weights": (lambda folder: weights(folder).unlink(), "missing, or not the file that was saved"),
    "half of the weights": (lambda folder: truncate(weights(folder)), "missing, or not the file that was saved"),
    "a bit of the weights": (lambda folder: flip(weights(folder)), "missing, or not the file that was saved"),
    "a bit of the vectors": (lambda folder: flip(folder / "vectors.safetensors"), "not the file that was saved"),
}


def folder(home: Home, version: int = 1) -> Path:
    return home.settings.models / BLOCKS.name / "random_forest" / f"{version:04d}"


def test_a_model_that_cannot_be_read_starts_nothing(
    home: Home, trained: Home, excerpt: Any, reconciled: Callable[[str], None]
) -> None:
    records = excerpt.log.read_bytes().count(b"\n")
    assert run_command(home, "produce", "raw", str(excerpt.log)).returncode == 0
    send(home, RAW_LOGS, [(b"blk_1", b"no record", 3)])
    for name, (damage, why) in DAMAGES.items():
        damage(folder(home))
        done = run_command(home, "stream", "--detector", "random_forest")
        words = " ".join(done.stderr.split())
        assert done.returncode == 5, (name, words)
        assert why in words and "hdfs-pipeline train --detector random_forest" in words, (name, words)
        assert "Traceback" not in done.stderr
        shutil.rmtree(home.settings.models)
        shutil.copytree(trained.settings.models, home.settings.models)
    assert committed(home, home.settings.stream_group) == {}
    for topic in (AGGREGATED_EVENTS, ANOMALIES, DEAD_LETTERS):
        assert read_topic(home.settings, topic) == []
    with worker(home) as running:
        told = reconcile_but_one(home, trained, records)
        assert running.end() == 0
    reconciled(f"{len(DAMAGES)} damages: exit code 5, nothing read, committed or sent; then {told}")


def reconcile_but_one(home: Home, trained: Home, records: int) -> str:
    """Reconcile where one message was no record."""
    from hdfs_pipeline_tests.faults.reconcile import sink
    from hdfs_pipeline_tests.streaming.workers import wait_until_equal

    wait_until_equal(home, trained)
    sink(home)
    assert home.rows("SELECT count(*) FROM raw_logs") == [(records,)]
    assert home.rows("SELECT count(*) FROM dead_letters") == [(1,)]
    assert len(read_topic(home.settings, DEAD_LETTERS)) == 1
    return f"{records:,} records and 1 dead letter"


def test_a_damaged_successor_leaves_the_old_model_serving(
    home: Home, trained: Home, excerpt: Any, reconciled: Callable[[str], None]
) -> None:
    cls = detector_row("random_forest").cls
    pointer = home.settings.models / BLOCKS.name / "random_forest" / "champion"
    rate = excerpt.log.read_bytes().count(b"\n")
    with worker(home, "--detector", "random_forest") as running:
        for count, (damage, why) in enumerate(list(DAMAGES.values())[1:], 1):
            version = save_model(
                load_model(cls, home.settings, BLOCKS.name, 1), home.settings, promote=False
            ).card.version
            damage(folder(home, version))
            new = pointer.with_name(".new")
            new.write_text(str(version))
            new.replace(pointer)  # whoever promotes reads the model first; this is a disk that lost it afterwards
            running.wait_for("random_forest version 1 goes on serving", count)
            assert running.log.count(why), why
        pointer.unlink()
        running.wait_for("no random_forest model")
        assert run_command(home, "produce", "raw", str(excerpt.log)).returncode == 0
        told = reconcile(home, trained, rate)
        assert {verdict.version for verdict in verdicts(home)} == {1}
        saved = save_model(load_model(cls, home.settings, BLOCKS.name, 1), home.settings)
        running.wait_for(f"now serving: random_forest version {saved.card.version}")
        assert running.end() == 0
    reconciled(f"{count + 1} damaged champions refused, version 1 served on; {told}")
