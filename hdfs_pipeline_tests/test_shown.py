"""What people are shown: no passwords, and nothing that a terminal would obey."""

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from hdfs_pipeline.shown import is_secret, plain, without_secrets

REPEATABLE = settings(derandomize=True, deadline=None, max_examples=200)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("title \x1b]0;rm -rf\x07", "title ␛]0;rm -rf␇"),
        ("\x9b31m one byte", "�31m one byte"),
        ("100 %\rfailed", "100 %␍failed"),
        ("a\bb\x00\x7f", "a␈b␀␡"),
        ("evil\u202egpj.exe\u2066", "evil�gpj.exe�"),
        ("half a \ud83d character, not \udcff UTF-8", "half a � character, not � UTF-8"),
        ("two\nlines\tand a tab, Größe, 日本, 🙂", "two\nlines\tand a tab, Größe, 日本, 🙂"),
    ],
)
def test_what_a_terminal_would_obey_is_shown(text: str, shown: str) -> None:
    assert plain(text) == shown


@REPEATABLE
@given(st.text(st.characters()))
def test_no_control_is_left_and_no_width_changes(text: str) -> None:
    shown = plain(text)
    shown.encode()
    assert len(shown) == len(text)
    assert not [c for c in shown if unicodedata.category(c) == "Cc" and c not in "\t\n"]
    assert plain(shown) == shown
    assert all(cell_len(after) == 1 for before, after in zip(text, shown, strict=True) if before != after)


@pytest.mark.parametrize("password", ["s3cret", "s/3?c#r@e:t", "s%2Fcret", "pässwort", "12/3"])
@pytest.mark.parametrize(
    "text",
    [
        "cannot connect to http://hdfs:{}@nn:9870/jmx: refused",
        "(https://hdfs:{}@nn)",
        "postgresql+psycopg2://u:{}@db/mlflow cannot be opened",
        "sasl.password={} is wrong",
        '{{"sasl.password": "{}"}}',
        "mlflow --password {} --port 3",
        "java -Djavax.net.ssl.trustStorePassword={} x",
        "AWS_SECRET_ACCESS_KEY={}",
    ],
)
def test_passwords_are_hidden(text: str, password: str) -> None:
    shown = without_secrets(text.format(password))
    assert password not in shown
    assert shown.split()[0] == without_secrets(text.format("x")).split()[0]


def test_known_secrets_are_hidden_wherever_they_stand() -> None:
    assert without_secrets("no hunter22 here, nor hunter2", ["hunter2", "hunter22", ""]) == "no … here, nor …"


@pytest.mark.parametrize(
    "text",
    [
        "it asks for a name and password: write http://user:password@host:port in namenode_urls",
        "get a ticket with kinit; no token came",
        "http://nn:9870/jmx and hdfs://nn/a/b",
        "mail to someone@example.com",
    ],
)
def test_harmless_text_stays(text: str) -> None:
    assert without_secrets(text) == text


@pytest.mark.parametrize("piece", ["passw", "http://", "passw=\"passw='", "--", "--passw", "token ", "a"])
def test_hostile_text_is_quick(piece: str) -> None:
    begun = time.process_time()
    without_secrets(piece * (1_000_000 // len(piece)) + "://")
    assert time.process_time() - begun < 3


@pytest.mark.parametrize(
    ("name", "secret"),
    [("sasl.password", True), ("ssl.key.pem", True), ("sasl.username", False), ("security.protocol", False)],
)
def test_names_of_secrets(name: str, secret: bool) -> None:
    assert is_secret(name) is secret
