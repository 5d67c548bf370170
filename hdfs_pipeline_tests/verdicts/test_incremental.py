"""What is brought up to date piece by piece is what is made anew from all records: counts, verdicts and incidents.

Files come in any order, grow in the middle of a line or of a record, and come again.
"""

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hdfs_pipeline.domains import all_domains
from hdfs_pipeline.domains.blocks.lives import WORDS
from hdfs_pipeline.domains.following import read_for_all
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.verdicts.files import publish_verdicts
from hdfs_pipeline.verdicts.rebuild import rebuild
from hdfs_pipeline_tests.domains.daemons.written import DN1, DN2, NN, line, usual, write
from hdfs_pipeline_tests.homes import BLOCKS, Home, open_home

STARTUP = "STARTUP_MSG: \n/************************************************************"
GOLDEN = Path(__file__).parents[1] / "golden"
_TABLES = {
    "raw_logs": "SELECT * EXCLUDE (source_id), s.path FROM raw_logs JOIN sources s USING (source_id)",
    "sources": "SELECT * EXCLUDE (source_id, ingested_at) FROM sources",
    "event_matrix": "SELECT * EXCLUDE (revision) FROM event_matrix",
    "event_templates": "SELECT event_id, seen FROM event_templates WHERE status = 'in use'",
    "daemon_minutes": """SELECT * EXCLUDE (source_id, revision), s.path FROM daemon_minutes
        JOIN sources s USING (source_id)""",
    "daemon_sources": "SELECT d.daemon, s.path FROM daemon_sources d JOIN sources s USING (source_id)",
    "daemon_lives": "SELECT * EXCLUDE (revision) FROM daemon_lives WHERE number > 0",
    "scores": "SELECT * EXCLUDE (scored_at) FROM scores",
    "anomalies": "SELECT * EXCLUDE (scored_at) FROM anomalies",
    "incidents": "SELECT * EXCLUDE (changed_at, id, related) FROM incidents",
}


def everything(home: Home) -> dict[str, list[tuple[Any, ...]]]:
    return {name: sorted(home.rows(sql), key=repr) for name, sql in _TABLES.items()}


def bring_up_to_date(home: Home, paths: list[Path]) -> None:
    read_for_all(home.store, home.settings, BLOCKS, [str(path) for path in paths])
    for domain in all_domains():
        try:
            publish_verdicts(home.store, home.settings, domain)
        except (DataError, NotTrainedError):
            continue


def pieces(texts: dict[str, bytes], rng: random.Random, rounds: int) -> list[dict[str, bytes]]:
    """What each file holds in each round: more and more of it, cut anywhere; some files come late."""
    done = []
    for number in range(1, rounds + 1):
        now = {}
        for name, text in texts.items():
            end = len(text) if number == rounds else rng.randrange(len(text))
            now[name] = text[: max(end, len(done[-1].get(name, b"")) if done else 0)]
            if number < rounds and rng.random() < 0.3 and not (done and done[-1].get(name)):
                now.pop(name)
        done.append(now)
    return done


def logs(folder: Path, rng: random.Random) -> dict[str, bytes]:
    """Logs of a NameNode and two DataNodes, of which one starts again and one falls silent, beside lines of blocks."""
    first = rng.randrange(20)
    start = line((first + rng.randrange(20)) * 60 + 30, STARTUP)
    texts = {path.name: path.read_bytes() for path in write(folder, range(first, first + 20), {DN1: [start]})}
    lines = texts[DN2].splitlines(keepends=True)
    texts[DN2] = b"".join(lines[: rng.randrange(len(lines) // 2, len(lines))])
    assert {NN, DN1, DN2} == texts.keys() and usual(NN, 0)
    for path in sorted(GOLDEN.glob("hadoop_3.4_*.log")):
        texts[path.name] = b"".join(path.read_bytes().splitlines(keepends=True)[: rng.randrange(50, 400)])
    return texts


@pytest.mark.parametrize("examples", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_piece_by_piece_is_all_at_once(tmp_path_factory: pytest.TempPathFactory, examples: int) -> None:
    """Each example takes some ten seconds: a few always, more where there is time."""

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(seed=st.integers(0, 2**32))
    def holds(seed: int) -> None:
        piece_by_piece(tmp_path_factory.mktemp("pieces"), random.Random(seed))

    holds()


def piece_by_piece(folder: Path, rng: random.Random) -> None:
    texts, home = logs(folder / "made", rng), open_home(folder / "home")
    incoming = folder / "incoming"
    incoming.mkdir()
    for held in pieces(texts, rng, rng.randrange(2, 5)):
        for name, text in held.items():
            (incoming / name).write_bytes(text)
        bring_up_to_date(home, [incoming])
    piecewise = everything(home)
    assert piecewise["event_matrix"] and piecewise["scores"]
    rebuild(home.store, home.settings)
    anew = everything(home)
    for name, rows in piecewise.items():
        assert rows == anew[name], name
    assert {row[-1] for row in home.rows("SELECT DISTINCT unfinished FROM event_matrix")} <= {"", *WORDS}
