"""What every request must pass before a route sees it: whose page it comes from, how large it is, how many come."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Final

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hdfs_pipeline.processes.hosts import answers_to
from hdfs_pipeline.serving.problems import problem
from hdfs_pipeline.settings import Settings

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_CLIENTS: Final = 10_000  # whose requests are counted
_HEADERS: Final = {
    # Everything comes from this server, and nothing of it stands in the page itself.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_IN_TLS: Final = {"Strict-Transport-Security": "max-age=31536000"}


class Guard:
    """ASGI middleware that refuses what no route should see, and puts the headers of safety on every answer.

    `count` hears of each answer: the route's path, the method, the status and the seconds that it took.
    """

    def __init__(self, app: ASGIApp, settings: Settings, count: Callable[[str, str, int, float], None]) -> None:
        self._app, self._settings, self._count = app, settings, count
        self._rates = Rates(settings.serve_rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in (_HEADERS | (_IN_TLS if scope["scheme"] == "https" else {})).items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._refusal(scope) or self._app
        try:
            await answer(scope, _limited(receive, self._settings.serve_max_bytes), with_headers)
        finally:
            route = scope.get("route")
            path = getattr(route, "path", "") or "other"
            self._count(path, scope["method"], status, time.perf_counter() - began)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        if not answers_to(headers.get("host"), self._settings.serve_host):
            return problem(
                421, "this server does not answer to that name: use its address, or set serve_host to the name"
            )
        if scope["method"] not in _SAFE and not _from_own_page(headers):
            return problem(403, "the request comes from another site's page, and is refused (CSRF)")
        if (length := headers.get("content-length", "")) and (
            not length.isdecimal() or int(length) > self._settings.serve_max_bytes
        ):
            return problem(413, _too_large(self._settings.serve_max_bytes))
        wait_s = self._rates.wait_s(_client(scope))
        if wait_s > 0:
            return problem(
                429,
                f"more than {self._settings.serve_rate:g} requests a second from one address: ask more seldom",
                headers={"Retry-After": str(max(1, round(wait_s)))},
            )
        return None


def _limited(receive: Receive, limit: int) -> Receive:
    """`receive`, which fails once more than `limit` bytes came. Chunked bodies do not say their length beforehand."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise HTTPException(413, _too_large(limit))
        return message

    return counted


def _too_large(limit: int) -> str:
    return f"more than {limit:,} bytes (the setting serve_max_bytes): send less at once"


def _from_own_page(headers: Mapping[str, str]) -> bool:
    """Whether a request that changes something comes from a page of this server, or from no page at all.

    Browsers say so (`Sec-Fetch-Site`, or `Origin` where that is lacking), and no page can make them say otherwise.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin, host = headers.get("origin"), headers.get("host", "")
    return origin is None or origin.lower() in (f"http://{host}".lower(), f"https://{host}".lower())


def _client(scope: Scope) -> str:
    """The address that a request comes from; '' for this machine itself, whose requests are not counted."""
    host = str((scope.get("client") or ("",))[0])
    try:
        return "" if ip_address(host).is_loopback else host
    except ValueError:
        return ""


class Rates:
    """A bucket of requests for each client, which fills by `rate` a second up to twice that many."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, client: str) -> float:
        """Take one request from a client's bucket; seconds until there is one where it is empty, else 0."""
        if not client:
            return 0.0
        now, most = self._clock(), max(2 * self._rate, 1.0)
        left, at = self._buckets.pop(client, (most, now))
        left = min(most, left + (now - at) * self._rate)
        self._buckets[client] = (left - 1 if left >= 1 else left), now
        if len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if left >= 1 else (1 - left) / self._rate
