"""Tokens: made, listed, revoked and over; kept as digests; a damaged file opens nothing."""

import json
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hdfs_pipeline.errors import NotFoundError, SetupError, UsageError
from hdfs_pipeline.serving.tokens import SCOPES, Tokens
from hdfs_pipeline.settings import load_settings
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.serving.conftest import Connect


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(load_settings(tmp_path / "home"))


def test_a_token_is_found_until_it_is_revoked(tokens: Tokens) -> None:
    text = tokens.make("ops", "operate")
    found = tokens.find(text)
    assert found is not None and (found.name, found.scope, found.until) == ("ops", "operate", None)
    assert [found.allows(scope) for scope in SCOPES] == [True, True, True, False]
    assert tokens.find(text + "x") is None and tokens.find("") is None and tokens.find("\ud800") is None
    tokens.revoke("ops")
    assert tokens.find(text) is None and tokens.all() == []


def test_the_file_holds_no_token_and_only_its_owner_reads_it(tokens: Tokens) -> None:
    text = tokens.make("ops", "read")
    assert text not in tokens.path.read_text() and text.removeprefix("hdfsp_") not in tokens.path.read_text()
    assert stat.S_IMODE(tokens.path.stat().st_mode) == 0o600
    assert text not in repr(tokens.find(text)) and "digest" not in tokens.all()[0].to_json()


def test_a_server_sees_what_a_command_has_changed(tokens: Tokens, tmp_path: Path) -> None:
    other = Tokens(load_settings(tmp_path / "home"))
    assert other.find("x") is None
    first, second = tokens.make("a", "read"), tokens.make("b", "admin")
    assert other.find(first) and other.find(second)
    tokens.revoke("a")
    assert other.find(first) is None and other.find(second)
    tokens.path.unlink()
    assert other.find(second) is None


def test_a_token_that_is_over_opens_nothing(tokens: Tokens) -> None:
    assert tokens.find(tokens.make("over", "read", days=0)) is None
    assert tokens.find(tokens.make("good", "read", days=1)) is not None
    assert [token.name for token in tokens.all()] == ["good", "over"]


@pytest.mark.parametrize(
    ("name", "scope", "days"),
    [("", "read", None), ("a b", "read", None), ("x" * 65, "read", None), ("a", "root", None), ("a", "read", 1e12),
     ("a", "read", float("nan")), ("a", "read", float("inf")), ("a", "read", -1.0)],
)  # fmt: skip
def test_what_makes_no_token_is_told(name: str, scope: str, days: float | None, tokens: Tokens) -> None:
    with pytest.raises(UsageError):
        tokens.make(name, scope, days)
    assert not tokens.path.exists()


def test_a_name_is_taken_once_and_revoked_once(tokens: Tokens) -> None:
    tokens.make("ops", "read")
    with pytest.raises(UsageError, match="already"):
        tokens.make("ops", "admin")
    with pytest.raises(NotFoundError, match="did you mean 'ops'"):
        tokens.revoke("opss")


def test_makers_at_once_lose_nothing(tmp_path: Path) -> None:
    def make(number: int) -> str:
        return Tokens(load_settings(tmp_path / "home")).make(f"n{number}", "read")

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(make, range(20)))
    known = Tokens(load_settings(tmp_path / "home"))
    assert len(known.all()) == 20 and all(known.find(text) for text in made)


DAMAGED = [
    "", "{", "null", "7", "[7]", '["a"]', "{}", '{"a": 1}', "[{}]", "[[]]", '"text"',
    '[{"name": "a", "scope": "root", "digest": "x", "made_at": "2026-01-01T00:00:00+00:00", "until": null}]',
    '[{"name": "a", "scope": "read", "digest": "x", "made_at": "soon", "until": null}]',
    '[{"name": "a", "scope": "read", "digest": ["x"], "made_at": "2026-01-01T00:00:00+00:00", "until": null}]',
    '[{"name": 7, "scope": "read", "digest": "x", "made_at": "2026-01-01T00:00:00+00:00", "until": null}]',
    '[{"name": "a", "scope": ["read"], "digest": "x", "made_at": "2026-01-01T00:00:00+00:00", "until": null}]',
    '[{"name": "a", "scope": "read", "digest": "x", "made_at": "2026-01-01T00:00:00+00:00", "until": 7}]',
    '[{"name": "a", "scope": "read", "digest": "x", "made_at": "2026-01-01T00:00:00+00:00", "until": "2026-01-01"}]',
    '[{"name": "a", "scope": "read", "digest": "x", "made_at": "2026-01-01T00:00:00", "until": null}]',
]  # fmt: skip


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_opens_nothing_and_is_told_in_plain_words(text: str, watched: Home, connect: Connect) -> None:
    tokens = Tokens(watched.settings)
    good = tokens.make("ops", "admin")
    client = connect(watched, serve_tokens=True)
    headers = {"Authorization": f"Bearer {good}"}
    assert client.get("/api/status", headers=headers).status_code == 200
    tokens.path.write_text(text)
    os.utime(tokens.path, ns=(1, 1))  # another time for certain
    with pytest.raises(SetupError, match=r"tokens\.json cannot be read.*mend it"):
        tokens.all()
    for shown in (headers, {"Authorization": "Bearer x"}):
        answer = client.get("/api/status", headers=shown)
        assert answer.status_code == 503 and "tokens.json" in answer.json()["detail"]
        assert answer.headers["Retry-After"] == "2"
    assert client.get("/api/ready").status_code == 204


def test_a_file_that_cannot_be_opened_opens_nothing(tokens: Tokens) -> None:
    tokens.make("ops", "admin")
    tokens.path.unlink()
    tokens.path.mkdir()
    with pytest.raises(SetupError, match="cannot be read"):
        tokens.find("x")


def test_no_log_and_no_answer_shows_a_token(
    watched: Home, connect: Connect, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Tokens(watched.settings).make("ops", "read")
    client = connect(watched, serve_tokens=True)
    headers = {"Authorization": f"Bearer {text}"}

    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    with caplog.at_level(logging.DEBUG):
        answers = [client.get("/api/status", headers=headers), client.post("/api/feedback", json={}, headers=headers)]
        answers += [client.get("/api/status", headers={"Authorization": f"Bearer {text}x"})]
        answers += [client.get("/", headers={"Cookie": f"hdfsp_token={text}"}), client.get("/metrics", headers=headers)]
        monkeypatch.setattr("hdfs_pipeline.serving.home.health_of", fail)
        answers += [connect(watched, serve_tokens=True).get("/api/health", headers=headers)]
    assert [answer.status_code for answer in answers] == [200, 403, 401, 200, 200, 500]
    shown = "\n".join([caplog.text, *(answer.text + str(answer.headers) for answer in answers)])
    assert text not in shown and text.removeprefix("hdfsp_") not in shown


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    """Runs a command on a home, and returns what it prints."""

    def command(*words: str, status: int = 0) -> str:
        asked = [sys.executable, "-m", "hdfs_pipeline", "--home", str(tmp_path / "home"), *words]
        outcome = subprocess.run(asked, check=False, capture_output=True, text=True, timeout=60)
        assert outcome.returncode == status and "Traceback" not in outcome.stderr, outcome.stderr
        return outcome.stdout

    return command


def test_tokens_are_made_listed_and_revoked_by_command(run: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    text = run("tokens", "make", "ops", "--scope", "operate").strip()
    made = json.loads(run("tokens", "make", "ci", "--days", "30", "--json"))
    assert Tokens(load_settings(tmp_path / "home")).find(text) and made["token"].startswith("hdfsp_")
    listed = run("tokens", "list")
    assert "ops" in listed and "operate" in listed and text not in listed
    assert [row["name"] for row in json.loads(run("tokens", "list", "--json"))] == ["ci", "ops"]
    assert "revoked" in run("tokens", "revoke", "ops")
    assert Tokens(load_settings(tmp_path / "home")).find(text) is None
    run("tokens", "revoke", "ops", status=4)
    run("tokens", "make", "x", "--scope", "root", status=2)
