"""Posting JSON to somebody else's web server, within a limit: which answers mean yes, later, or never."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx

from hdfs_pipeline.alerting.target import OutageError
from hdfs_pipeline.shown import place_of, plain, without_secrets

LATER: Final = frozenset({408, 425, 429})
"""Statuses below 500 after which the same message may be taken later."""
_EXCERPT: Final = 200  # characters of an answer that are shown
_SHORT: Final = 3  # characters of what is hidden, at least: less is in many words
_LONG: Final = 8  # of a part of a path
_READ: Final = 4096  # bytes of an answer that are read
_LONGEST_S: Final = 300.0  # that a server can make us wait by `Retry-After`


class Poster:
    """A client that posts to one address. `secrets` are left out of what it says, and so are path, user and query.

    Redirects are not followed, since what is sent is meant for this address alone. Certificates are verified.
    """

    def __init__(self, url: str, timeout_s: float, secrets: tuple[str, ...]) -> None:
        self._url, self._timeout_s, self._secrets = url, timeout_s, (*secrets, *_kept_quiet(url))
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log the address of each request
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(timeout=timeout_s, follow_redirects=False)

    def post(self, content: bytes, headers: dict[str, str]) -> str:
        """Post; '' once the server has it, or why it refused it for good. Raises: OutageError."""
        where = place_of(self._url)
        try:
            status, text, wait_s = self._runner.run(self._post(content, headers))
        except (TimeoutError, httpx.TimeoutException):
            raise OutageError(
                f"{where} gave no answer within {self._timeout_s:g} s (setting notify_timeout_s)"
            ) from None
        # Not only httpx.HTTPError: a host name or a header can raise what another library has for it.
        except Exception as error:
            raise OutageError(f"{where} {self._in_words(error)}") from error
        if httpx.codes.is_success(status):
            return ""
        said = f"{where} answers HTTP {status}{f' ({text})' if text else ''}"
        if status >= httpx.codes.INTERNAL_SERVER_ERROR or status in LATER:
            raise OutageError(said, wait_s)
        if httpx.codes.is_redirect(status):
            return f"{said}: it sends us elsewhere, and we do not go there; set the address that it means"
        return said

    def _in_words(self, error: Exception) -> str:
        text = without_secrets(plain(str(error) or type(error).__name__), self._secrets)
        if "CERTIFICATE_VERIFY_FAILED" in text:
            return f"has a certificate that is not trusted ({text}): name the authority's PEM file in SSL_CERT_FILE"
        if isinstance(error, httpx.ConnectError):
            return f"cannot be reached ({text}): does it run, and is the address right?"
        return f"broke off, or is no web server ({text})"

    async def _post(self, content: bytes, headers: dict[str, str]) -> tuple[int, str, float]:
        """Status, excerpt of the answer, and how many seconds it asks us to wait."""
        ours = {"Accept-Encoding": "identity", "Content-Type": "application/json", "User-Agent": "hdfs-pipeline"}
        # A limit for the whole answer: httpx's own limits are for each read, and a slow drip would never end.
        async with asyncio.timeout(self._timeout_s):
            async with self._client.stream("POST", self._url, content=content, headers=ours | headers) as response:
                answer = b""
                async for part in response.aiter_raw(_READ):
                    answer += part
                    if len(answer) >= _READ:
                        break
        text = " ".join(answer[:_READ].decode(errors="replace").split())[:_EXCERPT]
        after = response.headers.get("Retry-After", "")
        wait_s = min(float(after), _LONGEST_S) if after.isdecimal() else 0.0
        return response.status_code, without_secrets(plain(text), self._secrets), wait_s

    def close(self) -> None:
        """Close the connections."""
        self._runner.run(self._client.aclose())
        self._runner.close()


def _kept_quiet(url: str) -> Iterator[str]:
    """What of an address nobody is shown, as it stands there and as a server may repeat it: decoded."""
    parts = urlsplit(url)
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    words = (part for part in parts.path.split("/") if len(part) >= _LONG)
    for text in (parts.path.strip("/"), parts.query, user, password, *words, *dict(parse_qsl(parts.query)).values()):
        if len(text) >= _SHORT:
            yield from (text, unquote(text))
