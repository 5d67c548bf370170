"""One block pool a home."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hdfs_pipeline.domains.blocks.ingest import ingest
from hdfs_pipeline.domains.blocks.pools import Pool, settle_pool
from hdfs_pipeline_tests.homes import Home

ONE, OTHER = "BP-1-10.0.0.1-1568116770575", "BP-2-10.0.0.2-1568116770576"
LINE = "2026-11-21 04:00:18,971 INFO datanode.DataNode: Receiving {}blk_{}_1 src: /1 dest: /2\n"


def read(home: Home, folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    ingest(home.store, home.settings, [str(folder / name)])


def blocks(home: Home) -> list[tuple[int]]:
    return home.rows("SELECT unnest(block_ids) FROM raw_logs ORDER BY 1")


def test_a_home_takes_the_first_pool_and_refuses_another_in_words(home: Home, tmp_path: Path) -> None:
    read(home, tmp_path, "a.log", LINE.format(f"{ONE}:", 1) + LINE.format(f"{OTHER}:", 1) + LINE.format("", 2))
    assert blocks(home) == [(1,), (2,)]
    assert (home.settings.home / "block_pool").read_text() == f"{ONE}\n"
    read(home, tmp_path, "b.log", LINE.format(f"{OTHER}:", 1) + LINE.format(f"{ONE}:", 3))
    assert blocks(home) == [(1,), (2,), (3,)]
    reasons = home.rows("SELECT DISTINCT reason FROM dead_letters")
    assert reasons == [(Pool(ONE).refusal,)]
    assert ONE in reasons[0][0] and "--home" in reasons[0][0]


@pytest.mark.parametrize("other", ["BP-2-fe80:0:0:0:1-1600000000000", "BP-2-nn-2.example.com-1600000000000",
                                   "BP-2-unknownIP-1600000000000"])  # fmt: skip
def test_pools_are_known_by_every_kind_of_address(home: Home, tmp_path: Path, other: str) -> None:
    read(home, tmp_path, "a.log", LINE.format(f"{ONE}:", 1) + LINE.format(f"{other}:", 2))
    assert blocks(home) == [(1,)]


def test_a_setting_names_the_pool(new_home: Callable[..., Home], tmp_path: Path) -> None:
    home = new_home(block_pool=OTHER)
    read(home, tmp_path, "a.log", LINE.format(f"{ONE}:", 1) + LINE.format(f"{OTHER}:", 2))
    assert blocks(home) == [(2,)]
    assert not (home.settings.home / "block_pool").exists()


def test_a_pool_without_a_block_claims_nothing(home: Home, tmp_path: Path) -> None:
    heartbeat = f"2026-11-21 04:00:18,971 INFO datanode.DataNode: Block pool {OTHER} registered\n"
    read(home, tmp_path, "a.log", heartbeat + LINE.format(f"{ONE}:", 1))
    assert (home.settings.home / "block_pool").read_text() == f"{ONE}\n"
    assert len(home.rows("SELECT 1 FROM raw_logs")) == 2


def test_two_processes_agree_on_one_pool(home: Home) -> None:
    first, second = (Pool.of(home.settings) for _ in range(2))
    first._claim(ONE)
    second._claim(OTHER)
    assert (first.name, second.name, Pool.of(home.settings).name) == (ONE, ONE, ONE)


def test_an_old_home_gets_its_pool_and_says_where_it_mixes_two(home: Home, tmp_path: Path) -> None:
    read(home, tmp_path, "a.log", LINE.format(f"{ONE}:", 1) + LINE.format(f"{ONE}:", 2))
    (home.settings.home / "block_pool").unlink()
    assert settle_pool(home.store, home.settings) is None
    assert Pool.of(home.settings).name == ONE
    (home.settings.home / "block_pool").unlink()
    with home.store.write() as con:
        con.execute("UPDATE raw_logs SET message = replace(message, ?, ?) WHERE position = 2", [ONE, OTHER])
    advice = settle_pool(home.store, home.settings)
    assert advice is not None and "2 block pools" in advice and "make a home for each NameNode" in advice
