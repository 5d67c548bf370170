"""The webhook: a message for each event, with a key and a signature; what fails is sent again, what is refused not."""

import base64
import hashlib
import hmac
import logging
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any

import pytest

from hdfs_pipeline.alerting.ledger import troubles, try_refused_again
from hdfs_pipeline.alerting.notify import Told, notify_once
from hdfs_pipeline_tests.alerting.conftest import Post, Receiver, put, receiving, remove
from hdfs_pipeline_tests.homes import Home


def tell(home: Home, patience_s: float = 0) -> Told:
    (told,) = notify_once(home.store, home.settings, turn_s=0, patience_s=patience_s)
    return told


def test_each_event_is_told_once_in_its_order(hooked: Home, receiver: Receiver) -> None:
    put(hooked, "a1")
    assert tell(hooked).events == {"opened": 1}
    assert tell(hooked).events == {}
    for status in ("acknowledged", "open", "resolved"):
        put(hooked, "a1", status=status)
        tell(hooked)
    put(hooked, "a1", items=60)
    tell(hooked)
    assert receiver.events() == ["opened", "acknowledged", "reopened", "resolved", "changed"]
    assert [post.json["number"] for post in receiver.posts] == [1, 2, 3, 4, 5]
    assert len({post.key for post in receiver.posts}) == 5
    assert all(post.json["delivery"] == post.key for post in receiver.posts)
    assert receiver.posts[-1].json["incident"]["items"] == 60
    assert receiver.posts[0].path == "/hook"


def test_that_it_goes_on_is_no_news_of_an_incident(hooked: Home, receiver: Receiver) -> None:
    """Its end moves with each poll that still shows it: a DataNode that is dead for a day is told once."""
    put(hooked, "a1")
    tell(hooked)
    for seconds in (5, 10):
        put(hooked, "a1", ended_at=datetime.now(UTC) + timedelta(seconds=seconds), duration_s=65.0 + seconds)
        assert tell(hooked).events == {}
    put(hooked, "a1", evidence="58 of 61 writes to it failed.")
    tell(hooked)
    put(hooked, "a1", status="resolved")
    tell(hooked)
    put(hooked, "a1", ended_at=datetime.now(UTC))
    tell(hooked)
    assert receiver.events() == ["opened", "changed", "resolved", "changed"]


def test_what_happened_between_two_looks_is_told_in_one(hooked: Home, receiver: Receiver) -> None:
    put(hooked, "a1", items=1)
    put(hooked, "a1", items=2)
    put(hooked, "a1", status="resolved")
    tell(hooked)
    assert receiver.events() == ["resolved"]


def test_an_incident_that_is_gone_is_withdrawn_with_what_was_known(hooked: Home, receiver: Receiver) -> None:
    put(hooked, "a1")
    tell(hooked)
    remove(hooked, "a1")
    tell(hooked)
    assert tell(hooked).events == {}
    assert receiver.events() == ["opened", "withdrawn"]
    assert receiver.posts[1].json["incident"] == receiver.posts[0].json["incident"]
    put(hooked, "a1")
    tell(hooked)
    assert receiver.events() == ["opened", "withdrawn", "reopened"]


def test_what_is_posted_is_signed(new_home: Callable[..., Home], receiver: Receiver) -> None:
    home = new_home(webhook_url=receiver.url, webhook_secret="hush", kafka_bootstrap_servers="")
    put(home, "a1")
    tell(home)
    (post,) = receiver.posts
    expected = hmac.new(b"hush", post.body, hashlib.sha256).hexdigest()
    assert post.headers["x-hdfs-pipeline-signature"] == f"sha256={expected}"
    assert post.headers["content-type"] == "application/json" and post.headers["x-hdfs-pipeline-event"] == "opened"


def hang(post: Post, handler: BaseHTTPRequestHandler) -> None:
    threading.Event().wait(5)


def drip(post: Post, handler: BaseHTTPRequestHandler) -> None:
    """Header after header, each well within a limit for one read."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(100):
        handler.wfile.write(f"X-{number}: x\r\n".encode())
        handler.wfile.flush()
        threading.Event().wait(0.2)


def die(post: Post, handler: BaseHTTPRequestHandler) -> None:
    """The message was read, and there is no answer."""
    handler.connection.close()


@pytest.mark.parametrize("trouble", [500, 503, 429, 408, hang, drip, die])
def test_what_fails_is_sent_again_with_the_same_key(hooked: Home, receiver: Receiver, trouble: Any) -> None:
    put(hooked, "a1")
    receiver.answer = trouble if callable(trouble) else lambda *_: trouble
    began = time.monotonic()
    told = tell(hooked)
    assert time.monotonic() - began < 4.5 and told.trouble and not told.refusals
    (row,) = troubles(hooked.store)
    assert (row["name"], row["state"], row["incidents"]) == ("webhook", "waiting", 1)
    assert row["trouble"] == told.trouble
    put(hooked, "a1", status="resolved")
    receiver.answer = lambda *_: 200
    assert tell(hooked).well
    # The message that may have arrived comes again as it was, then what has happened since.
    assert receiver.events() == ["opened", "opened", "resolved"]
    assert receiver.posts[0].key == receiver.posts[1].key and receiver.posts[0].body == receiver.posts[1].body
    assert troubles(hooked.store) == []


def test_after_an_outage_the_newest_state_is_told_in_the_same_pass(hooked: Home, receiver: Receiver) -> None:
    put(hooked, "a1", items=1)
    receiver.answer = lambda *_: 503
    assert tell(hooked).trouble
    put(hooked, "a1", items=2)
    put(hooked, "a1", items=3)
    receiver.answer = lambda *_: 200
    assert tell(hooked).events == {"opened": 1, "changed": 1}
    assert [post.json["incident"]["items"] for post in receiver.posts] == [1, 1, 3]


def test_a_receiver_that_asks_for_time_gets_it(hooked: Home, receiver: Receiver) -> None:
    def busy(post: Post, handler: BaseHTTPRequestHandler) -> int | None:
        if len(receiver.posts) > 1:
            return 200
        handler.send_response(429)
        handler.send_header("Retry-After", "1")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return None

    put(hooked, "a1")
    receiver.answer = busy
    began = time.monotonic()
    assert tell(hooked, patience_s=10).well
    assert time.monotonic() - began >= 1 and receiver.events() == ["opened", "opened"]


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422, 301, 307])
def test_what_is_refused_is_not_sent_again(hooked: Home, receiver: Receiver, status: int) -> None:
    put(hooked, "a1")
    receiver.answer = lambda *_: status
    told = tell(hooked, patience_s=5)
    assert f"HTTP {status}" in told.refusals[0] and "`hdfs-pipeline notify --refused`" in told.line()
    assert tell(hooked).well and receiver.events() == ["opened"]
    (row,) = troubles(hooked.store)
    assert (row["state"], row["incidents"]) == ("refused", 1) and f"HTTP {status}" in row["trouble"]
    receiver.answer = lambda *_: 200
    assert try_refused_again(hooked.store) == 1
    assert tell(hooked).well
    assert receiver.events() == ["opened", "opened"] and receiver.posts[0].key == receiver.posts[1].key


def test_after_a_refusal_the_next_change_is_told_as_if_it_were_the_first(hooked: Home, receiver: Receiver) -> None:
    put(hooked, "a1")
    receiver.answer = lambda *_: 422
    tell(hooked)
    receiver.answer = lambda *_: 200
    put(hooked, "a1", items=99)
    assert tell(hooked).well
    assert receiver.events() == ["opened", "opened"] and receiver.posts[1].json["incident"]["items"] == 99


def test_redirects_are_not_followed(new_home: Callable[..., Home], receiver: Receiver) -> None:
    with receiving() as elsewhere:

        def away(post: Post, handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(307)
            handler.send_header("Location", elsewhere.url)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        receiver.answer = away
        home = new_home(webhook_url=receiver.url, webhook_secret="hush", kafka_bootstrap_servers="")
        put(home, "a1")
        assert "elsewhere" in tell(home).refusals[0]
        assert elsewhere.posts == []


def test_one_incident_that_always_fails_holds_up_no_other(hooked: Home, receiver: Receiver) -> None:
    receiver.answer = lambda post, _: 500 if post.json["incident"]["id"] == "bad" else 200
    put(hooked, "bad")
    assert tell(hooked).trouble
    put(hooked, "good")
    told = tell(hooked)
    assert told.events == {"opened": 1} and told.trouble
    assert receiver.events("good") == ["opened"]


def test_a_receiver_that_is_away_is_said_in_words_without_its_secrets(new_home: Callable[..., Home]) -> None:
    with receiving() as gone:
        pass
    address = gone.url.replace("://", "://user:hush@") + "/services/T0/verysecret"
    home = new_home(webhook_url=address, kafka_bootstrap_servers="")
    put(home, "a1")
    line = tell(home).line()
    assert line.startswith("webhook: nothing new; the rest waits:") and "cannot be reached" in line
    assert "hush" not in line and "verysecret" not in line


def test_neither_the_log_nor_what_the_server_repeats_tells_its_secrets(
    new_home: Callable[..., Home], receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Web servers repeat the path that they do not know, and httpx logs the address of each request."""

    def repeats(post: Post, handler: BaseHTTPRequestHandler) -> None:
        body = f"Cannot POST {post.path}; very%20secret, very secret and t/0 for user, hu/sh".encode()
        handler.send_response(404)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    caplog.set_level(logging.DEBUG)
    receiver.answer = repeats
    address = receiver.url.replace("://", "://user:hu%2Fsh@") + "/services/very%20secret?key=t%2F0"
    home = new_home(webhook_url=address, kafka_bootstrap_servers="")
    put(home, "a1")
    (said,) = tell(home).refusals
    assert "HTTP 404 (Cannot POST" in said
    receiver.answer = lambda *_: 200
    put(home, "a2")
    assert tell(home).well
    for text in (said, caplog.text):
        assert not any(secret in text for secret in ("secret", "hu/sh", "hu%2Fsh", "t/0", "t%2F0"))


def test_a_name_and_a_password_stand_in_the_address(new_home: Callable[..., Home], receiver: Receiver) -> None:
    address = receiver.url.replace("://", "://user:hu%2Fsh@")
    home = new_home(webhook_url=address, kafka_bootstrap_servers="")
    put(home, "a1")
    assert tell(home).well
    assert receiver.posts[0].headers["authorization"] == f"Basic {base64.b64encode(b'user:hu/sh').decode()}"


def test_a_certificate_that_nobody_vouches_for_is_not_taken(
    new_home: Callable[..., Home], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=127.0.0.1"]
    try:
        made = [*command, "-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
    except OSError:
        pytest.skip("no openssl to make a certificate with")
    tls = SSLContext(PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with receiving(tls=tls) as receiver:
        home = new_home(webhook_url=receiver.url, kafka_bootstrap_servers="")
        put(home, "a1")
        assert "certificate that is not trusted" in tell(home).trouble and not receiver.posts
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        assert tell(home).well and receiver.events() == ["opened"]
