"""The server itself: it listens, answers over TLS, tells what is in its way, and ends within seconds."""

import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import httpx
import pytest

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.serving.run import serve
from hdfs_pipeline.serving.tokens import Tokens
from hdfs_pipeline.settings import PREFIX
from hdfs_pipeline_tests.homes import Home

LIMIT_S = 60.0


@contextmanager
def served(home: Home, **settings: Any) -> Iterator[str]:
    """The address of a home's server, which ends with the block."""
    said: Queue[str] = Queue()
    stopped, failed = threading.Event(), list[BaseException]()
    given = home.settings.model_copy(update={"serve_port": 0} | settings)

    def run() -> None:
        try:
            serve(given, stopped, said.put)
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)
            said.put("")

    thread = threading.Thread(target=run)
    thread.start()
    try:
        text = said.get(timeout=LIMIT_S)
        if failed:
            raise failed[0]
        yield text.removeprefix("pages and API: ")
    finally:
        stopped.set()
        thread.join(LIMIT_S)
        assert not thread.is_alive()


def test_it_answers_where_it_says_that_it_does(watched: Home) -> None:
    with served(watched) as address:
        assert address.startswith("http://127.0.0.1:")
        answer = httpx.get(f"{address}/api/incidents")
        assert answer.status_code == 200 and answer.json()["total"] == 5
        assert "server" not in answer.headers
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/api/ready")


def test_a_port_that_is_taken_is_told_in_plain_words(watched: Home) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=rf"127\.0\.0\.1:{port} cannot be listened on.*HDFS_PIPELINE_SERVE_PORT"):
            serve(watched.settings.model_copy(update={"serve_port": port}), threading.Event(), print)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "", "a\0b", "x" * 300])
def test_an_address_that_is_not_ours_is_told_in_plain_words(host: str, watched: Home) -> None:
    Tokens(watched.settings).make("ops", "read")
    given = watched.settings.model_copy(update={"serve_host": host, "serve_port": 0})
    if host == "":
        pytest.skip("means every address")
    with pytest.raises(SetupError, match="cannot be listened on"):
        serve(given, threading.Event(), print)


@pytest.mark.parametrize("update", [{"serve_host": "0.0.0.0"}, {"serve_host": "::"}, {"serve_tokens": True}], ids=str)
def test_without_any_token_nobody_could_ask(update: dict[str, Any], watched: Home) -> None:
    given = watched.settings.model_copy(update={"serve_port": 0} | update)
    with pytest.raises(SetupError, match="needs a token here, and there is none yet: `hdfs-pipeline tokens make"):
        serve(given, threading.Event(), print)


def test_beyond_loopback_tokens_are_always_needed(watched: Home) -> None:
    text = Tokens(watched.settings).make("ops", "read")
    with served(watched, serve_host="0.0.0.0") as address:
        here = f"http://127.0.0.1:{address.rpartition(':')[2]}"
        assert httpx.get(f"{here}/api/status").status_code == 401
        assert httpx.get(f"{here}/api/status", headers={"Authorization": f"Bearer {text}"}).status_code == 200


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-made certificate for 127.0.0.1, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
         "-out", cert, "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def test_it_serves_over_tls(watched: Home, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    with served(watched, serve_tls_cert=cert, serve_tls_key=key) as address:
        assert address.startswith("https://127.0.0.1:")
        answer = httpx.get(f"{address}/api/status", verify=ssl.create_default_context(cafile=str(cert)))
        assert answer.status_code == 200 and "max-age" in answer.headers["Strict-Transport-Security"]
        with pytest.raises(httpx.HTTPError):
            httpx.get(address.replace("https", "http") + "/api/status")


@pytest.mark.parametrize("wrong", ["no key", "no cert", "no file", "swapped", "empty", "other key"])
def test_a_certificate_that_cannot_be_used_is_told(
    wrong: str, watched: Home, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    cert, key = certificate
    empty = tmp_path / "empty.pem"
    empty.touch()
    other = tmp_path / "other.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-out", other], check=True, capture_output=True)
    pairs: dict[str, tuple[Path | None, Path | None]] = {
        "no key": (cert, None), "no cert": (None, key), "no file": (tmp_path / "none", key), "swapped": (key, cert),
        "empty": (empty, empty), "other key": (cert, other),
    }  # fmt: skip
    given = watched.settings.model_copy(
        update={"serve_port": 0, "serve_tls_cert": pairs[wrong][0], "serve_tls_key": pairs[wrong][1]}
    )
    with pytest.raises(SetupError, match="go together|cannot be used"):
        serve(given, threading.Event(), print)


@pytest.fixture
def started(watched: Home) -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    """Starts the server as its own process: the process, and its address."""
    import os

    processes: list[subprocess.Popen[str]] = []

    def start(**settings: Any) -> tuple[subprocess.Popen[str], str]:
        given = {f"{PREFIX}{name.upper()}": str(value) for name, value in ({"serve_port": 0} | settings).items()}
        process = subprocess.Popen(
            [sys.executable, "-m", "hdfs_pipeline", "--home", str(watched.settings.home), "serve"],
            env=os.environ | given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        processes.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip().removeprefix("pages and API: ")

    yield start
    for process in processes:
        process.kill()
        process.wait(LIMIT_S)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_within_seconds_also_with_open_streams(
    number: signal.Signals, started: Callable[..., tuple[subprocess.Popen[str], str]]
) -> None:
    process, address = started()
    assert address.startswith("http://"), address
    with (
        httpx.stream("GET", f"{address}/api/live", timeout=LIMIT_S) as one,
        httpx.stream("GET", f"{address}/api/live", timeout=LIMIT_S) as two,
    ):
        lines = one.iter_lines(), two.iter_lines()
        assert [next(each) for each in lines] == ["retry: 2000"] * 2
        began = time.monotonic()
        process.send_signal(number)
        assert process.wait(LIMIT_S) == 0
        assert time.monotonic() - began < 4
        assert [list(each) for each in lines] == [[""]] * 2  # the streams end, and are not cut
    assert process.stdout is not None and process.stdout.read() == ""


def test_in_front_of_a_person_it_fails_without_a_trace(started: Callable[..., Any]) -> None:
    process, first = started(serve_host="0.0.0.0")
    assert process.wait(LIMIT_S) == 3
    text = first + process.stdout.read()
    assert "hdfs-pipeline tokens make" in text and "Traceback" not in text
