"""`groups` and `feedback --group` on the command line, in a home with nothing but logs."""

from pathlib import Path

import pytest

from hdfs_pipeline_tests.cli.test_cli import Run, run
from hdfs_pipeline_tests.homes import Excerpt, fill, open_home

__all__ = ["run"]
KIND = "allocated, never stored"
FIELDS = [
    *("kind", "severity", "blocks", "flagged", "first_time", "last_time", "entities", "sentence", "hint", "example"),
    "words",
]


@pytest.fixture(scope="module")
def home(excerpt: Excerpt, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = open_home(tmp_path_factory.mktemp("groups") / "home")
    fill(found, [excerpt.log])
    return found.settings.home


def test_from_the_list_to_a_word_and_back(run: Run, home: Path) -> None:
    at = ("--home", home)
    groups = run(*at, "groups", "--all", "--json").json
    assert [list(group) for group in groups] == [FIELDS] * len(groups)
    (group,) = [group for group in groups if group["kind"] == KIND]
    assert group["flagged"] == group["blocks"] > 1
    assert len(run(*at, "groups", "--limit", "1", "--json").json) == 1
    told = run(*at, "groups", "--limit", "1").out
    assert f"{len(groups)} groups ({len(groups) - 1} more: --all)" in told
    told = run(*at, "groups", "--all").out
    assert f"{KIND}: {group['blocks']} blocks (failure)" in told
    assert group["sentence"] in told and group["hint"] in told and group["example"] in told

    given = run(*at, "feedback", "--group", KIND, "--verdict", "real", "--note", "rack [2]", "--by", "Ann")
    assert given.out.startswith(f"{KIND}: {group['blocks']} blocks: real; the next training learns them as anomalous")
    assert f"words    {group['blocks']} real" in run(*at, "groups", "--all").out
    rows = run(*at, "feedback", "--json").json
    assert {(row["kind"], row["verdict"], row["given_by"]) for row in rows} == {(KIND, "real", "Ann")}
    assert len(rows) == group["blocks"]
    listed = " ".join(run(*at, "feedback").out.split())
    assert f"{KIND} ({group['blocks']} blocks)" in listed
    assert not any(row["block_id"] in listed for row in rows), "one row for all of them"
    assert f"{KIND} ({group['blocks']} blocks)" in listed and "rack [2]" in listed
    assert f"{group['blocks']} of {group['blocks']} anomalous" in listed

    gone = run(*at, "feedback", "--group", KIND, "--withdraw")
    assert gone.out.strip() == f"{KIND}: {group['blocks']} blocks: withdrawn; the next training forgets it"
    assert run(*at, "feedback", "--json").json == []
    said = run(*at, "feedback", "--group", KIND, "--verdict", "false", "--json").json
    assert said == {"kind": KIND, "verdict": "false", "blocks": group["blocks"]}
    said = run(*at, "feedback", "--group", KIND, "--withdraw", "--json").json
    assert said == {"kind": KIND, "withdrawn": True, "blocks": group["blocks"]}


@pytest.mark.parametrize(
    "words",
    [
        ("--group", KIND),
        ("blk_1", "--group", KIND, "--verdict", "real"),
        ("--group", KIND, "--verdict", "real", "--withdraw"),
        ("--group", KIND, "--from", "2008-11-09 00:00:00", "--to", "2008-11-10 00:00:00", "--verdict", "real"),
    ],
)
def test_a_group_goes_with_a_verdict_or_a_withdrawal_alone(run: Run, home: Path, words: tuple[str, ...]) -> None:
    done = run("--home", home, "feedback", *words)
    assert done.code == 2
    assert "--group" in done.err


def test_the_near_name_is_told(run: Run, home: Path) -> None:
    done = run("--home", home, "feedback", "--group", "allocated never stored", "--verdict", "real")
    assert done.code == 4
    assert f"did you mean '{KIND}'?" in " ".join(done.err.split())


def test_a_domain_without_anomalies_says_so(run: Run, home: Path) -> None:
    done = run("--home", home, "groups", "--domain", "namenode")
    assert (done.code, done.out.strip()) == (0, "no window is anomalous, and none is worth asking about")
