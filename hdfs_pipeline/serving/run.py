"""The server: it listens, answers, and ends gracefully."""

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Final

import uvicorn

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.processes.hosts import is_loopback
from hdfs_pipeline.serving.app import create_app, guarded
from hdfs_pipeline.settings import Settings

_GRACE_S: Final = 5  # for answers that are under way when the server is to end
_WAITING: Final = 512  # connections that the kernel holds for us


def serve(settings: Settings, stopped: Event, say: Callable[[str], None]) -> None:
    """Serve a home until `stopped` is set.

    Raises: SetupError where the address is taken, the certificate cannot be used, or nobody could ask for want of a
    token.
    """
    app = create_app(settings)
    home, feed = app.state.home, app.state.live
    if home.guarded and not home.tokens.all():
        raise SetupError(
            "whoever asks needs a token here, and there is none yet: `hdfs-pipeline tokens make NAME --scope admin`"
        )
    cert, key = _tls(settings)
    listening = _listen(settings)
    config = uvicorn.Config(
        guarded(app),
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
        ssl_certfile=cert,
        ssl_keyfile=key,
    )
    server = uvicorn.Server(config)
    # In a thread of its own uvicorn leaves the signals to us.
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="serve")
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        if thread.is_alive():
            say(f"pages and API: {address(settings, listening)}")
        while thread.is_alive() and not stopped.wait(0.2):
            pass
    finally:
        server.should_exit = True
        feed.end()
        thread.join()
        listening.close()


def address(settings: Settings, listening: socket.socket) -> str:
    """The address for a browser on this machine."""
    host = settings.serve_host if is_loopback(settings.serve_host) else socket.gethostname()
    scheme = "https" if settings.serve_tls_cert else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.serve_host, settings.serve_port
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(place)
            listening.listen(_WAITING)
        except OSError:
            listening.close()
            raise
    except (OSError, UnicodeError, ValueError) as error:  # also a name that is none
        raise SetupError(
            f"{host}:{port} cannot be listened on ({getattr(error, 'strerror', error)}): set another port with "
            "HDFS_PIPELINE_SERVE_PORT, 0 for any that is free, or another address with HDFS_PIPELINE_SERVE_HOST"
        ) from None
    return listening


def _tls(settings: Settings) -> tuple[Path | None, Path | None]:
    """The files of certificate and key, None without TLS. Raises: SetupError where it cannot be used."""
    cert, key = settings.serve_tls_cert, settings.serve_tls_key
    if cert is None and key is None:
        return None, None
    if cert is None or key is None:
        raise SetupError("serve_tls_cert and serve_tls_key go together: set both, or none")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key, password="")
    except (OSError, ssl.SSLError) as error:
        raise SetupError(f"the certificate {cert} with the key {key} cannot be used: {error}") from None
    return cert, key
