"""Serves a recorded series as a NameNode's `/jmx`, which the demo and the tests poll without a NameNode.

Answers like Hadoop's JMXJsonServlet: `?qry=` takes an object name or a pattern, `?get=` one attribute as
`name::attribute`, and a missed `?get=` is a 200 with `"result": "ERROR"`.
"""

import json
import threading
import time
import zlib
from bisect import bisect_right
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from hdfs_pipeline.domains.namenode.object_names import parse_object_name
from hdfs_pipeline.domains.namenode.series import read_polls
from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.processes.hosts import answers_to
from hdfs_pipeline.settings import PROJECT

SAMPLE: Final = PROJECT / "data" / "sample" / "namenode" / "series.jsonl.gz"
Beans = list[dict[str, Any]]


class Replay:
    """The polls of a recording, played at `speed` times the pace at which they were taken, from the first `beans` on.

    At the end it stays at the last document, or with `loop` begins again, which looks like a NameNode that was started
    anew. `clock` gives seconds. Raises: DataError for a recording that cannot be read or is empty.
    """

    def __init__(
        self, path: Path | str, *, speed: float = 1.0, loop: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if speed <= 0:
            raise DataError(f"speed {speed:g}: it must be more than 0; 1 is the pace of the recording")
        polls = sorted(
            # As text: a day of parsed documents would take gigabytes.
            ((poll.at, None if poll.document is None else _packed(poll.document)) for poll in read_polls(path)),
            key=lambda pair: pair[0],
        )
        if not polls:
            raise DataError(f"{path} holds no poll of /jmx")
        self._times = [at - polls[0][0] for at, _ in polls]
        self._documents = [document for _, document in polls]
        self._speed, self._loop, self._clock = speed, loop, clock
        self._begun: float | None = None

    def __len__(self) -> int:
        return len(self._times)

    @property
    def seconds(self) -> float:
        """Length of the recording at its own pace. The pause after the last poll is as long as that after the first."""
        return self._times[-1] + (self._times[1] if len(self) > 1 else 1.0)

    def position(self) -> float:
        """Seconds of the recording that have passed; it starts when it is first asked."""
        if self._begun is None:
            self._begun = self._clock()
        passed = (self._clock() - self._begun) * self._speed
        return passed % self.seconds if self._loop else passed

    def beans(self) -> Beans | None:
        """The beans that the NameNode answers now; None if the recording has no answer here."""
        document = self._documents[max(0, bisect_right(self._times, self.position()) - 1)]
        return None if document is None else json.loads(zlib.decompress(document))


def _packed(document: Any) -> bytes:
    return zlib.compress(json.dumps(document["beans"]).encode())


def answer(beans: Beans, query: str) -> tuple[HTTPStatus, bytes]:
    """The status and body of `/jmx?query` for a NameNode with these beans."""
    parameters = parse_qs(query)
    if "get" in parameters:
        return _attribute(beans, parameters["get"][0])
    try:
        pattern = parse_object_name(parameters.get("qry", ["*:*"])[0])
    except ValueError:
        return HTTPStatus.BAD_REQUEST, b""
    return HTTPStatus.OK, _body({"beans": [bean for bean in beans if pattern.matches(parse_object_name(bean["name"]))]})


def _attribute(beans: Beans, wanted: str) -> tuple[HTTPStatus, bytes]:
    name, separator, attribute = wanted.partition("::")
    if not separator or "::" in attribute:
        message = {"result": "ERROR", "message": "query format is not as expected."}
        return HTTPStatus.BAD_REQUEST, _body(message)
    try:
        pattern = parse_object_name(name)
    except ValueError:
        return HTTPStatus.BAD_REQUEST, b""
    answers = []
    for bean in beans:
        if pattern.matches(parse_object_name(bean["name"])):
            head = {key: bean[key] for key in ("name", "modelerType") if key in bean}
            if attribute not in bean:
                text = f"No attribute with name {attribute} was found."
                answers.append(head | {"result": "ERROR", "message": text})
                break
            answers.append(head | {attribute: bean[attribute]})
    return HTTPStatus.OK, _body({"beans": answers})


def _body(document: Any) -> bytes:
    return json.dumps(document, indent=2).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "ReplayServer"

    def do_GET(self) -> None:
        """Answer `/jmx`."""
        if not answers_to(self.headers.get("Host"), self.server.host):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "ask by the address of this machine, or by --host")
            return
        url = urlsplit(self.path)
        if url.path.rstrip("/") != "/jmx":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        beans = self.server.replay.beans()
        if beans is None:
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, "the recording has no answer here")
            return
        status, body = answer(beans, url.query)
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log no requests."""


class ReplayServer(ThreadingHTTPServer):
    """Serves a replay on `host`:`port` in a thread of its own, as a context; port 0 takes a free one.

    Raises: SetupError if the port cannot be used.
    """

    daemon_threads = True

    def __init__(self, replay: Replay, host: str = "127.0.0.1", port: int = 0) -> None:
        self.replay, self.host = replay, host
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise SetupError(f"{host}:{port} cannot be listened on ({error.strerror}): choose another --port") from None
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    def __enter__(self) -> "ReplayServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
