"""`/jmx` over real HTTP: what is a document, and what each thing that goes wrong is called."""

import asyncio
import base64
import gzip
import importlib.util
import json
import logging
import socket
import subprocess
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any
from urllib.parse import unquote

import pytest

from hdfs_pipeline.domains.namenode.jmx import Answer, JmxEndpoint, PollError, name_of, parse_document, without_password
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import Settings, load_settings
from hdfs_pipeline_tests.sources.servers import GOOD, Respond, reply, serving


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(tmp_path).model_copy(update={"namenode_timeout_s": 10.0})


def fetch(address: str, settings: Settings, **update: Any) -> Answer:
    async def once() -> Answer:
        endpoint = JmxEndpoint(address, settings.model_copy(update=update))
        try:
            return await endpoint.fetch()
        finally:
            await endpoint.close()

    return asyncio.run(once())


def failure(respond: Respond, settings: Settings, **update: Any) -> str:
    with serving(respond) as (address, _), pytest.raises(PollError) as caught:
        fetch(address, settings, **update)
    return str(caught.value)


def test_a_document_is_asked_for_with_one_request(settings: Settings) -> None:
    with serving(reply()) as (address, seen):
        found = fetch(address, settings)
    assert found.document["beans"][0]["ThreadsBlocked"] == 1
    assert found.body == GOOD and 0 < found.seconds < 10
    assert [handler.path for handler in seen] == ["/jmx?qry=%2A%3Aname%3D%2A%2C%2A"]


def test_a_bare_nan_is_let_through(settings: Settings) -> None:
    body = b'{"beans": [{"name": "Hadoop:service=NameNode,name=X", "a": NaN, "b": -Infinity}]}'
    with serving(reply(body=body)) as (address, _):
        found = fetch(address, settings).document["beans"][0]
    assert found["a"] != found["a"] and found["b"] == float("-inf")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>hello</html>", "a web page"),
        (b"hello", "no JSON but 'hello'"),
        (b"", "an empty answer"),
        (GOOD[:-20], "half a document"),
        (b"\xff\xfe\x00", "no JSON"),
        (b"[1, 2]", "without a list of beans"),
        (b'{"result": "ERROR"}', "without a list of beans"),
        (b'{"beans": {}}', "without a list of beans"),
        (b"[" * 100_000, "far too many levels"),
    ],
)
def test_what_is_no_document(settings: Settings, body: bytes, said: str) -> None:
    assert said in failure(reply(body=body), settings)


@pytest.mark.parametrize(
    ("respond", "said"),
    [
        (reply(500, b"oops"), "HTTP 500"),
        (reply(503, b""), "HTTP 503"),
        (reply(404, b""), "9870"),
        (reply(403, b""), "does not let this user"),
        (reply(401, b"", WWW_Authenticate="Negotiate"), "set namenode_kerberos = true"),
        (reply(401, b"", WWW_Authenticate='Basic realm="x"'), "user:password@host"),
        (reply(204, b""), "HTTP 204"),
    ],
)
def test_a_status_that_is_no_answer_says_what_to_do(settings: Settings, respond: Respond, said: str) -> None:
    assert said in failure(respond, settings)


def test_kerberos_says_how_to_get_ready(settings: Settings) -> None:
    said = failure(reply(401, b"", WWW_Authenticate="Negotiate"), settings)
    assert "kinit" in said and "pip install 'hdfs-pipeline[kerberos]'" in said
    if importlib.util.find_spec("httpx_gssapi") is not None:
        pytest.skip("the package is there")
    with pytest.raises(SetupError, match=r"pip install 'hdfs-pipeline\[kerberos\]'"):
        JmxEndpoint("http://nn:9870", settings.model_copy(update={"namenode_kerberos": True}))


def test_a_broken_answer(settings: Settings) -> None:
    """The connection ends before the length that was announced."""
    assert "broke off" in failure(reply(body=GOOD[:30], Content_Length=str(len(GOOD))), settings)


def test_a_circle_of_redirects(settings: Settings) -> None:
    with serving(reply(302, b"", Location="/jmx?again")) as (address, seen):
        with pytest.raises(PollError, match="a circle"):
            fetch(address, settings)
        assert len(seen) == 4


def test_redirects_are_followed_to_the_same_address_only(settings: Settings) -> None:
    def moved(handler: BaseHTTPRequestHandler) -> None:
        (reply(302, b"", Location="/new/jmx") if handler.path.startswith("/jmx") else reply())(handler)

    with serving(moved) as (address, seen):
        assert fetch(address, settings).body == GOOD
        assert [handler.path for handler in seen][1:] == ["/new/jmx"]
    with serving(reply()) as (other, reached):
        said = failure(reply(307, b"", Location=f"{other}/jmx"), settings)
        assert other in said and "another address" in said
        assert not reached


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(800):
        handler.wfile.write(b" " * 65536)


def test_a_long_answer_is_refused_unread(settings: Settings) -> None:
    size = 50 << 20
    announced = failure(reply(body=b"{" + b" " * 1000, Content_Length=str(size)), settings)
    assert "52,428,800 bytes" in announced and "namenode_max_bytes" in announced
    begun = time.monotonic()
    assert "more than 10,485,760 bytes" in failure(endless, settings), "without a length, and 50 MB of it"
    assert time.monotonic() - begun < 10


def test_a_packed_answer_is_refused_before_it_is_unpacked(settings: Settings) -> None:
    """100 kB that would become 50 MB."""
    said = failure(reply(body=gzip.compress(b" " * (50 << 20), 1), Content_Encoding="gzip"), settings)
    assert "packed (gzip)" in said


def drip(part: bytes, head: bool) -> Respond:
    """Sends a byte now and then, for eight seconds, or until the client has gone."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        if head:
            handler.send_response(200)
            handler.end_headers()
        for _ in range(80):
            handler.wfile.write(part)
            handler.wfile.flush()
            time.sleep(0.1)

    return respond


@pytest.mark.parametrize("respond", [drip(b" ", True), drip(b"H", False), lambda handler: time.sleep(3)])
def test_a_slow_server_has_its_time_and_no_more(settings: Settings, respond: Respond) -> None:
    begun = time.monotonic()
    said = failure(respond, settings, namenode_timeout_s=0.5)
    assert "no answer within 0.5 s" in said
    assert time.monotonic() - begun < 2.5


def test_nobody_there(settings: Settings) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(PollError, match="cannot connect"):
        fetch(f"http://127.0.0.1:{port}", settings)


def test_a_password_is_sent_and_never_shown(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(reply()) as (address, seen):
        given = address.replace("http://", "http://hdfs:s3cret@")
        fetch(given, settings)
        assert seen[0].headers["Authorization"] == "Basic aGRmczpzM2NyZXQ="
    with serving(reply(500, b"")) as (address, _), pytest.raises(PollError) as caught:
        fetch(address.replace("http://", "http://hdfs:s3cret@"), settings)
    shown = [caplog.text, str(caught.value), name_of(given), without_password(given)]
    assert not [text for text in shown if "s3cret" in text]
    assert without_password(given).startswith("http://***@127.0.0.1")
    with pytest.raises(SetupError) as wrong:
        JmxEndpoint("ftp://hdfs:s3cret@nn", settings)
    assert "s3cret" not in str(wrong.value)


@pytest.mark.parametrize("password", ["a/b", "a?b", "a#b", "a@b", "12/3", "a:b", "ü", "a%2Fb"])
def test_a_password_may_hold_any_character(settings: Settings, password: str) -> None:
    with serving(reply()) as (address, seen):
        given = address.replace("http://", f"http://hdfs:{password}@")
        fetch(given, settings)
        sent = base64.b64decode(seen[0].headers["Authorization"].removeprefix("Basic ")).decode()
    assert sent == f"hdfs:{unquote(password)}"
    assert name_of(given) == name_of(address)
    with pytest.raises(SetupError) as wrong:
        JmxEndpoint(f"http://hdfs:{password}@nn:port", settings)
    assert password not in str(wrong.value)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    try:
        subprocess.run([*command, *names, *files], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl to make a certificate with")
    return folder


def test_certificates_are_verified(settings: Settings, authority: Path) -> None:
    tls = SSLContext(PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority / "cert.pem", authority / "key.pem")
    with serving(reply(), tls) as (address, seen):
        with pytest.raises(PollError, match="namenode_ca"):
            fetch(address, settings)
        assert not seen
        assert fetch(address, settings, namenode_ca=authority / "cert.pem").body == GOOD


def test_an_authority_that_cannot_be_read(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for ca in (tmp_path / "ca.pem", tmp_path / "missing.pem"):
        with pytest.raises(SetupError, match="namenode_ca"):
            JmxEndpoint("https://nn:9871", settings.model_copy(update={"namenode_ca": ca}))


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("http://nn1.example:9870", "nn1.example:9870"),
        ("nn1:9870/jmx", "nn1:9870"),
        ("https://nn1", "nn1:443"),
        ("https://u:p@gate:8443/gateway/one/namenode", "gate:8443/gateway/one/namenode"),
        ("http://[::1]:9870/", "[::1]:9870"),
    ],
)
def test_names(address: str, name: str) -> None:
    assert name_of(address) == name


@pytest.mark.parametrize(
    "address", ["", "http://", "ftp://nn:1", "http://nn:port", "/jmx", "nn:\u00b2", "http://[::1", "http://nn\n:1"]
)
def test_what_is_no_address(settings: Settings, address: str) -> None:
    with pytest.raises(SetupError, match="no address of a NameNode"):
        JmxEndpoint(address, settings)


@pytest.mark.parametrize("port", ["0", "-1", "65536", "99999999999"])
def test_what_is_no_port(settings: Settings, port: str) -> None:
    with pytest.raises(SetupError, match="1 to 65535"):
        JmxEndpoint(f"http://nn:{port}", settings)


def test_a_host_that_no_name_server_can_be_asked_for(settings: Settings) -> None:
    with pytest.raises(PollError):
        fetch(f"http://{'a' * 300}:9870", settings)


def test_the_settings_take_addresses_with_commas_or_as_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "settings.toml").write_text('namenode_urls = ["http://a:1", "b:2"]\n')
    assert load_settings(tmp_path).namenode_urls == ("http://a:1", "b:2")
    monkeypatch.setenv("HDFS_PIPELINE_NAMENODE_URLS", "http://c:3, d:4,")
    assert load_settings(tmp_path).namenode_urls == ("http://c:3", "d:4")
    assert load_settings(tmp_path / "other").namenode_urls == ("http://c:3", "d:4")


def test_settings_are_shown_without_passwords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from hdfs_pipeline.cli import app

    monkeypatch.setenv("HDFS_PIPELINE_NAMENODE_URLS", "http://hdfs:s3cret@nn:9870")
    shown = CliRunner().invoke(app, ["--home", str(tmp_path), "settings", "--json"])
    assert json.loads(shown.output)["namenode_urls"] == ["http://***@nn:9870"]


def test_a_document_parses_fast() -> None:
    """A whole 3.4 document, with all its operations, is 50 kB."""
    from hdfs_pipeline_tests.domains.namenode.documents import document

    body = json.dumps(document("3.4.2_active")).encode()
    begun = time.perf_counter()
    parse_document(body)
    assert time.perf_counter() - begun < 0.1
