"""One NameNode's `/jmx` over HTTP: a bounded, timed, verified request for one document, and failures in plain words."""

import asyncio
import json
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import httpx

from hdfs_pipeline.errors import PipelineError, SetupError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.shown import without_secrets

QUERY: Final = "*:name=*,*"
"""The beans with a name of their own: Hadoop's, the garbage collectors and memory pools, but not those of the Java
machine without one, which are most of the document."""
_REDIRECTS = 3


class PollError(PipelineError):
    """A poll gave no document. The message says why, and what to do if a person can do something."""


@dataclass(frozen=True)
class Answer:
    """An answer: the parsed document, its bytes as they came, and how many seconds it took."""

    document: dict[str, Any]
    body: bytes
    seconds: float


class JmxEndpoint:
    """The `/jmx` of one NameNode. `address` is `http(s)://[user:password@]host:port[/path]`; without a scheme, http.

    `name` is the NameNode's name everywhere, without user and password. Certificates are verified, against
    `namenode_ca` if it is set. Use an endpoint from one event loop only.
    Raises: SetupError for an invalid address, a CA file that cannot be read, or Kerberos without its package.
    """

    def __init__(self, address: str, settings: Settings) -> None:
        url = _parse(address)
        self.name = name_of(address)
        self._url = url.copy_with(userinfo=b"")  # httpx logs the address of each request
        self._timeout_s = settings.namenode_timeout_s
        self._max_bytes = settings.namenode_max_bytes
        self._kerberos = settings.namenode_kerberos
        self._client = httpx.AsyncClient(
            verify=_trust(settings.namenode_ca) if url.scheme == "https" else False,
            auth=_spnego() if self._kerberos else (url.username, url.password) if url.userinfo else None,
            timeout=self._timeout_s,
            trust_env=False,  # no proxy between a cluster and its watcher, and no password out of a .netrc
            # Not compressed: the length of a compressed answer is unknown until it is unpacked.
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "hdfs-pipeline"},
            limits=httpx.Limits(max_keepalive_connections=0),  # the server would close it between two polls
        )

    async def fetch(self) -> Answer:
        """Ask once. Raises: PollError if no document came within the time and size that are allowed."""
        begun = time.perf_counter()
        try:
            # A limit for the whole answer: httpx's own limits are for each read, and a slow drip would never end.
            async with asyncio.timeout(self._timeout_s):
                body = await self._read(self._url, _REDIRECTS)
        except (TimeoutError, httpx.TimeoutException):
            raise PollError(
                f"no answer within {self._timeout_s:g} s (setting namenode_timeout_s): the NameNode is busy or paused, "
                "or a firewall is between"
            ) from None
        except PollError:
            raise
        # Not only httpx.HTTPError: a host name, a redirect or a header can raise what another library has for it, and
        # one NameNode's answer must not end the polls of the others.
        except Exception as error:
            raise PollError(_in_words(error)) from error
        return Answer(parse_document(body), body, time.perf_counter() - begun)

    async def _read(self, url: httpx.URL, redirects: int) -> bytes:
        async with self._client.stream("GET", url) as response:
            if response.next_request is not None:
                target = response.next_request.url
                if (target.scheme, target.netloc) != (url.scheme, url.netloc):
                    # Not even to the same host: credentials and verification belong to this address.
                    there = f"{target.scheme}://{target.netloc.decode()}"
                    raise PollError(
                        f"it sends us to another address, {there}: if that is right, write it in namenode_urls"
                    )
                if redirects == 0:
                    raise PollError(f"it sent us on {_REDIRECTS + 1} times, the last time to {target.path}: a circle?")
            elif response.status_code != httpx.codes.OK:
                raise PollError(_refusal(response, self._kerberos))
            else:
                return await self._bounded(response)
        return await self._read(target, redirects - 1)

    async def _bounded(self, response: httpx.Response) -> bytes:
        """The body, checked against the allowed size: both the announced length and the bytes that really come."""
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise PollError(
                f"the answer came packed ({response.headers['Content-Encoding']}), though it was asked for plain"
            )
        announced = response.headers.get("Content-Length", "")
        if announced.isdigit() and int(announced) > self._max_bytes:
            raise PollError(self._too_long(f"{int(announced):,}"))
        body = bytearray()
        async for part in response.aiter_raw(1 << 16):
            body += part
            if len(body) > self._max_bytes:
                raise PollError(self._too_long(f"more than {self._max_bytes:,}"))
        return bytes(body)

    def _too_long(self, size: str) -> str:
        return (
            f"the answer has {size} bytes and was refused (setting namenode_max_bytes): is this a NameNode's address?"
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()


def parse_document(body: bytes) -> dict[str, Any]:
    """The document in an answer; a bare NaN is accepted as a float. Raises: PollError if there is no document."""
    try:
        document = json.loads(body)
    except RecursionError:
        raise PollError("JSON of far too many levels: is this the web address of a NameNode?") from None
    except ValueError as error:
        begun = body[:40].decode(errors="replace").strip()
        if begun.startswith("{"):
            raise PollError(f"half a document, or a damaged one, of {len(body):,} bytes: {error}") from None
        what = "a web page" if begun.startswith("<") else f"{begun!r}" if begun else "an empty answer"
        raise PollError(f"no JSON but {what}: is this the web address of a NameNode?") from None
    if not isinstance(document, dict) or not isinstance(document.get("beans"), list):
        raise PollError("JSON without a list of beans: is this the web address of a NameNode?")
    return document


def name_of(address: str) -> str:
    """The name of the NameNode at `address`: host:port, and a path in front of its `/jmx` if it has one."""
    url = _parse(address)
    port = url.port or {"https": 443}.get(url.scheme, 80)
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{host}:{port}{url.path.removesuffix('/jmx')}"


def without_password(address: str) -> str:
    """An address that may be shown: user and password are hidden."""
    missing = "" if "://" in address else "http://"
    return without_secrets(missing + address).removeprefix(missing)


def _parse(address: str) -> httpx.URL:
    shown = without_password(address)
    scheme, _, rest = (address if "://" in address else f"http://{address}").partition("://")
    credentials, _, place = rest.rpartition("@")
    user, _, password = (unquote(part) for part in credentials.partition(":"))
    try:
        url = httpx.URL(f"{scheme}://{place}")
        if credentials:  # as they stand, or percent-encoded; a password may hold `/`, `?`, `#` and `@`
            url = url.copy_with(username=user, password=password)
    except (httpx.InvalidURL, ValueError) as error:
        raise SetupError(f"{shown} is no address of a NameNode ({error}): write http://host:9870") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise SetupError(f"{shown} is no address of a NameNode: write http://host:9870, or https://host:9871")
    if url.port is not None and not 0 < url.port < 1 << 16:
        raise SetupError(f"{shown} has no port of TCP, which is 1 to 65535: write http://host:9870")
    path = url.path.rstrip("/")
    url = url.copy_with(path=path if path.endswith("/jmx") else f"{path}/jmx")
    return url if "qry" in url.params or "get" in url.params else url.copy_merge_params({"qry": QUERY})


def _trust(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(ca))
    except (OSError, ssl.SSLError) as error:
        raise SetupError(f"setting namenode_ca: {ca} is no PEM file of certificates: {error}") from None


def _spnego() -> httpx.Auth:
    try:
        from httpx_gssapi import OPTIONAL, HTTPSPNEGOAuth
    except (ImportError, OSError) as error:
        raise SetupError(
            f"setting namenode_kerberos needs one more package ({error}): pip install 'hdfs-pipeline[kerberos]', "
            "and get a ticket with kinit"
        ) from None
    return HTTPSPNEGOAuth(mutual_authentication=OPTIONAL)


def _refusal(response: httpx.Response, kerberos: bool) -> str:
    """What a status other than 200 means, and what to set."""
    status = f"HTTP {response.status_code} {response.reason_phrase}".strip()
    asks = response.headers.get("WWW-Authenticate", "")
    if response.status_code == httpx.codes.UNAUTHORIZED and asks.lower().startswith("negotiate"):
        if kerberos:
            return (
                f"{status}: the NameNode did not take the Kerberos ticket; look at it with klist, renew it with kinit"
            )
        return (
            f"{status}: the NameNode asks for Kerberos. Run kinit, pip install 'hdfs-pipeline[kerberos]', and set "
            "namenode_kerberos = true (HDFS_PIPELINE_NAMENODE_KERBEROS=true)"
        )
    if response.status_code == httpx.codes.UNAUTHORIZED and asks.lower().startswith("basic"):
        return f"{status}: it asks for a name and password: write http://user:password@host:port in namenode_urls"
    if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return f"{status}: the NameNode does not let this user read /jmx (hadoop.http.authentication.*)"
    if response.status_code == httpx.codes.NOT_FOUND:
        return f"{status}: nothing at /jmx there; the web port is 9870 (Hadoop 3), 50070 (Hadoop 2), 9871 with TLS"
    return f"{status} instead of a document"


def _in_words(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, httpx.InvalidURL) or "location header" in text:
        return f"it sends us to what is no address ({text})"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"its certificate is not trusted ({text}): name the authority's PEM file in namenode_ca"
    if isinstance(error, httpx.ConnectError):
        return f"cannot connect ({text}): does the NameNode run, and is this its web port?"
    if isinstance(error, httpx.RemoteProtocolError):
        return f"the answer broke off or is no HTTP ({text})"
    return f"{type(error).__name__}: {text}"
