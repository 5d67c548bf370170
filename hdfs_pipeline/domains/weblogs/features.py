"""The features of requests: few distinct rows, made part by part from the distinct texts and rounded numbers.

What varies without end is rounded: lengths and numbers down to powers of two or four, response times to half-octaves.
What is unknown stands as an ordinary number (see `columns.UNKNOWN`). No feature asks what was seen before on the
service, except what the client did this minute; what is usual there is for detectors to learn.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hdfs_pipeline.domains.weblogs.columns import COLUMNS, FAMILY, UNKNOWN
from hdfs_pipeline.domains.weblogs.knowledge import knowledge_of
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.knowledge import RULES
from hdfs_pipeline.settings import Settings

if TYPE_CHECKING:
    from hdfs_pipeline.domains.weblogs.texts import Codes

SOURCE: Final = "requests v1"
"""What the columns mean; another version of them is another source."""
READ: Final = (
    "request_id", "time", "client", "account", "method", "path", "query", "protocol", "status", "bytes",
    "request_bytes", "response_us", "referer", "agent",
)  # fmt: skip
"""The columns of `requests` that features are made of, beside `hits`, `misses` and `paths`."""
_MOST_CODES: Final = 1 << 62
_REMEMBERED: Final = 200_000  # texts
_DEEPEST: Final = 12
_FILES: Final = r"(?i)\.(css|js|mjs|map|png|jpe?g|gif|svg|ico|webp|avif|woff2?|ttf|eot|otf|txt|xml|json|webmanifest)$"
_PAGES: Final = r"(?i)\.(html?|xhtml|rss|atom|md)$"
_DOWNLOADS: Final = (
    r"(?i)\.(zip|tar|gz|tgz|bz2|xz|zst|7z|jar|rpm|deb|iso|exe|dmg|apk|pdf|mp3|mp4|webm|avi|ogg|csv|bin)$"
)
_SCRIPTS: Final = r"(?i)\.(php\d?|phtml|asp|aspx|ashx|asmx|jsp|jspx|cgi|pl|cfm|do|action|dll|nsf)(/|$)"
_BACKUPS: Final = (
    r"(?i)(\.(bak|backup|old|orig|save|sql|sqlite|mdb|conf|cfg|config|ini|env|inc|swp|tmp|key|pem|pfx|crt|log)"
    r"(\.\w{1,4})?|~)$"
)
_TRAVERSAL: Final = r"(?i)(\.|%2e|%252e|%c0%ae){2,}(/|\\|%2f|%5c|%252f|%255c|%c0%af)"
_HIDDEN: Final = r"(^|/)\.[A-Za-z]"
_WELL_KNOWN: Final = "/.well-known/"
_PANEL: Final = (
    r"(?i)/(wp-(admin|login|content|includes|json|config)|xmlrpc|wordpress|php-?my-?admin\w*|pma|my-?admin|mysql-?admin|"
    r"administrator|adminer|admin|administration|manager/(html|status)|cpanel|web-?admin|siteadmin|"
    r"fckeditor|ckeditor|joomla|drupal|typo3|magento|user/register|node/add|solr/admin|actuator|jmx-console|web-console|"
    r"server-(status|info)|cgi-bin|hnap1|boaform|gponform|owa|ecp|autodiscover|_ignition|telescope|vendor/phpunit|"
    r"geoserver|druid|struts|axis2|invoker|phpinfo|info\.php|test\.php|setup\.php|install\.php|fgt_lang|"
    r"iisadmin|_vti_bin|msadc|horde|roundcube|zabbix|nagios)(/|\.(php\d?|aspx?|jspx?|cgi|pl|do|html?)|$)"
)
_SHELL: Final = (
    r"(?i)/(c99|r57|wso\d*|b374k|shell\d*|web-?shell|cmd|alfa\w*|marijuana|mini|up|upl|uploader|indoxploit|0x\w*|1337\w*"
    r"|backdoor|spy|fox|x)\.(php\d?|jspx?|aspx?|cgi|pl)"
)
_INJECTION: Final = (
    r"(?i)(union(\s|\+|%20|/\*.*?\*/)+(all|select|distinct)|select(\s|\+|%20).+(\s|\+|%20)from(\s|\+|%20)|"
    r"('|%27|\"|%22)(\s|\+|%20|\))*(or|and)(\s|\+|%20)|(or|and)(\s|\+|%20)+\d+(=|%3d)\d+|(sleep|benchmark|extractvalue|"
    r"updatexml|load_file|concat)(\(|%28)|waitfor(\s|\+|%20)delay|information_schema|xp_cmdshell|order(\+|%20)by(\+|%20)\d|"
    r"(<|%3c)(/|%2f)?(script|img|svg|iframe|body|%73cript)|javascript(:|%3a)|on(error|load|mouseover)(=|%3d)|alert(\(|%28)|"
    r"(;|%3b|\||%7c|`|%60|&&|%26%26|\$\(|%24%28|%0a)(\s|\+|%20)*(cat|ls|id|wget|curl|nc|bash|sh|ping|uname|whoami|echo|"
    r"dir|type)\b|(\$|%24)(\{|%7b)(jndi|env|sys|lower|upper|::|%3a)|(php|expect|phar|gopher|dict)(:|%3a)(/|%2f){2}|"
    r"file(:|%3a)(/|%2f){2}|data(:|%3a)text|etc(/|%2f)(passwd|shadow|hosts)|(win|boot)\.ini|proc(/|%2f)self|"
    r"allow_url_include|auto_prepend_file|base64_decode|eval(\(|%28)|system(\(|%28)|passthru|\{\{.*\}\}|%7b%7b|"
    r"class\.module\.classloader|__proto__|<!entity|%00)"
)
_BOTS: Final = (
    r"(?i)bot\b|bot[/;_ -]|crawl|spider|slurp|archiver|feed|rss|monitor|uptime|pingdom|preview|facebookexternal"
)
_TOOLS: Final = (
    r"(?i)curl|wget|python|java/|libwww|lwp|perl|ruby|go-http|okhttp|httpclient|http_request|aiohttp|axios|node|scrapy|php|"
    r"powershell|postman|insomnia|apachebench|hadoop|office|webdav"
)
_SCANNERS: Final = (
    r"(?i)nikto|sqlmap|nmap|masscan|zgrab|dirbuster|dirb\b|gobuster|feroxbuster|ffuf|wfuzz|nuclei|nessus|openvas|acunetix|"
    r"netsparker|wpscan|w3af|arachni|whatweb|zmeu|jorgee|morfeus|havij|paros|burp|hydra|expanse|censys|shodan|internetmeasur"
)
_BROWSERS: Final = r"(?i)mozilla|opera|safari|chrome|firefox|edge"
_PRIVATE: Final = (
    r"^(10\.|127\.|192\.168\.|169\.254\.|172\.(1[6-9]|2\d|3[01])\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|::1$|"
    r"(?i)f[cd][0-9a-f]{2}:|(?i)fe80:)"
)
_WRITES: Final = ("POST", "PUT", "PATCH", "DELETE")
_RARE: Final = (
    "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT",
    "SEARCH", "PURGE", "QUERY",
)  # fmt: skip
_TextColumns = Callable[[pa.Array], dict[str, Any]]
_ORDINARY: Final = {"RESPONSE_MS": 32, "BYTES": 4096, "REQUEST_BYTES": 256}


@dataclass(frozen=True)
class _Part:
    """Some columns of n requests: distinct `rows` (k, c) float32, and which of them each request has, `at` (n,)."""

    columns: tuple[str, ...]
    rows: np.ndarray
    at: np.ndarray


def matrices(requests: pa.Table, settings: Settings) -> dict[str, FeatureMatrix]:
    """Features of n requests, the family `requests` first and then the rules that they break, in the table's order.

    `requests` has the columns `READ` and `hits`, `misses`, `paths` (see `clients`). Each request's features depend on
    its own row alone, so that it does not matter with which others it comes.
    """
    keys = requests["request_id"].to_numpy()
    parts = [
        *(seen.part(requests[name]) for name, seen in _TEXTS.items()),
        _times(requests["time"]),
        _measures(requests),
        _statuses(requests["status"]),
    ]
    rows, at = _crossed(parts)
    columns = tuple(name for part in parts for name in part.columns)
    order = [columns.index(name) for name in COLUMNS]
    main = FeatureMatrix(np.ascontiguousarray(rows[:, order]), keys, tuple(COLUMNS), SOURCE, at=at)
    knowledge = knowledge_of(settings)
    return {
        FAMILY: main,
        RULES: FeatureMatrix(knowledge.grades(main.rows), keys, knowledge.ids, SOURCE, at=at),
    }


class _Seen:
    """Columns that depend on a text alone, looked at once for each distinct text; texts are remembered by their hash.

    A stream brings the same paths, agents and clients again and again, and to look at a text costs much more than to
    know it.
    """

    def __init__(self, of: _TextColumns) -> None:
        self._of, self._lock = of, Lock()
        self._codes: Codes | None = None  # row of each text
        self._places: dict[bytes, int] = {}  # of each row among `_rows`
        self._rows: list[np.ndarray] = []
        self._columns: tuple[str, ...] = ()

    def part(self, texts: pa.ChunkedArray) -> _Part:
        """The columns of texts (n,)."""
        from hdfs_pipeline.domains.weblogs.texts import text_hashes

        hashes = text_hashes(texts)
        with self._lock:
            at = self._known(texts, hashes)
            return _Part(self._columns, np.array(self._rows, np.float32), at)

    def _known(self, texts: pa.ChunkedArray, hashes: np.ndarray) -> np.ndarray:
        """The row (n,) of each text; those that are new are looked at."""
        from hdfs_pipeline.domains.weblogs.texts import Codes

        if self._codes is None or self._codes.size > _REMEMBERED:
            self._codes = Codes()
        found, all_known = self._codes.find(hashes)
        if all_known and self._columns:
            return found
        new, first = np.unique(hashes[found < 0], return_index=True)
        rows = np.flatnonzero(found < 0)[first]
        looked_at = texts.take(pa.array(rows)).cast(pa.string()).fill_null("").combine_chunks()
        columns = self._of(looked_at)
        self._columns = tuple(columns)
        values = np.column_stack([_numbers(column) for column in columns.values()])
        codes = np.empty(len(values), np.int64)
        for at, row in enumerate(values):
            codes[at] = self._places.setdefault(row.tobytes(), len(self._rows))
            if codes[at] == len(self._rows):
                self._rows.append(row)
        self._codes.put(new, codes)
        return self._codes.find(hashes)[0]


def _numbers(column: pa.Array | np.ndarray) -> np.ndarray:
    if isinstance(column, np.ndarray):
        return column.astype(np.float32)
    return column.cast(pa.uint8() if pa.types.is_boolean(column.type) else pa.float32()).to_numpy().astype(np.float32)


def _distinct(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows (k, c) of `values` (n, c), and which of them each is (n,)."""
    return _crossed([_column("", column) for column in values.T]) if values.size else (values, np.zeros(0, np.int64))


def _column(name: str, values: np.ndarray) -> _Part:
    known, at = _numbered(values.astype(np.float32))
    return _Part((name,), known[:, None], at)


def _numbered(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different ones of `values` (n,), and which of them each is (n,) int64: by a hash, which need not sort."""
    encoded = pa.array(values).dictionary_encode()
    return encoded.dictionary.to_numpy(), encoded.indices.to_numpy().astype(np.int64)


def _crossed(parts: list[_Part]) -> tuple[np.ndarray, np.ndarray]:
    """The distinct rows (k, d) float32 of all columns together, and which of them each request has (n,) int32."""
    codes, size = np.zeros(len(parts[0].at), np.int64), 1
    for part in parts:
        if size * max(len(part.rows), 1) >= _MOST_CODES:
            codes, size = _renumbered(codes)
        codes = codes * max(len(part.rows), 1) + part.at
        size *= max(len(part.rows), 1)
    at, count = _renumbered(codes)
    first = np.zeros(count, np.int64)
    first[at[::-1]] = np.arange(len(at))[::-1]
    rows = np.concatenate([part.rows[part.at[first]] for part in parts], axis=1)
    return rows.astype(np.float32, copy=False), at.astype(np.int32)


def _renumbered(codes: np.ndarray) -> tuple[np.ndarray, int]:
    """Codes (n,) as numbers from 0 up without gaps, and how many different ones there are."""
    known, at = _numbered(codes)
    return at, len(known)


def _path_columns(paths: pa.Array) -> dict[str, Any]:
    from hdfs_pipeline.domains.weblogs.shapes import DIGIT, ODD, PERCENT, SLASH, shapes

    counts = shapes(paths)
    script, backup = _has(paths, _SCRIPTS), _has(paths, _BACKUPS)
    file, download = _has(paths, _FILES), _has(paths, _DOWNLOADS)
    named = pc.or_(pc.or_(pc.or_(script, backup), pc.or_(file, download)), _has(paths, _PAGES))
    well_known = pc.starts_with(paths, _WELL_KNOWN)
    return {
        "DEPTH": np.minimum(counts[:, SLASH], _DEEPEST),
        "PATH_LENGTH": _power(pc.binary_length(paths), 1),
        "PATH_ODD": _power(counts[:, ODD], 1),
        "PATH_DIGITS": _power(counts[:, DIGIT], 2),
        "PATH_ESCAPES": _power(counts[:, PERCENT], 1),
        "FILE": file,
        "DOWNLOAD": download,
        "SCRIPT": script,
        "BACKUP": pc.and_(backup, pc.invert(pc.or_(file, script))),
        "OTHER_FILE": pc.and_(_has(paths, r"\.[A-Za-z]\w{0,5}$"), pc.invert(named)),
        "PATH_TRAVERSAL": _has(paths, _TRAVERSAL),
        "PATH_INJECTION": _has(paths, _INJECTION),
        "HIDDEN": pc.and_(_has(paths, _HIDDEN), pc.invert(well_known)),
        "PANEL": _has(paths, _PANEL),
        "SHELL": _has(paths, _SHELL),
    }


def _query_columns(queries: pa.Array) -> dict[str, Any]:
    from hdfs_pipeline.domains.weblogs.shapes import ODD, shapes

    return {
        "QUERY_LENGTH": _power(pc.binary_length(queries), 2),
        "QUERY_ODD": _power(shapes(queries, queries=True)[:, ODD], 2),
        "QUERY_TRAVERSAL": _has(queries, _TRAVERSAL),
        "QUERY_INJECTION": _has(queries, _INJECTION),
    }


def _agent_columns(agents: pa.Array) -> dict[str, Any]:
    none, scanner = _empty(agents), _has(agents, _SCANNERS)
    bot = pc.and_(_has(agents, _BOTS), pc.invert(scanner))
    browser = pc.and_(_has(agents, _BROWSERS), pc.invert(pc.or_(bot, scanner)))
    tool = pc.and_(_has(agents, _TOOLS), pc.invert(pc.or_(pc.or_(bot, scanner), browser)))
    known = pc.or_(pc.or_(none, scanner), pc.or_(pc.or_(bot, browser), tool))
    return {"BOT": bot, "TOOL": tool, "SCANNER": scanner, "NO_AGENT": none, "OTHER_AGENT": pc.invert(known)}


def _client_columns(clients: pa.Array) -> dict[str, Any]:
    none, six = _empty(clients), pc.match_substring(clients, ":")
    four = _has(clients, r"^\d+\.\d+\.\d+\.\d+$")
    return {
        "PRIVATE": _has(clients, _PRIVATE),
        "IPV6": six,
        "NAMED": pc.invert(pc.or_(pc.or_(none, six), four)),
        "NO_CLIENT": none,
    }


def _method_columns(methods: pa.Array) -> dict[str, Any]:
    head, get = pc.equal(methods, "HEAD"), pc.equal(methods, "GET")
    writes, rare = pc.is_in(methods, pa.array(_WRITES)), pc.is_in(methods, pa.array(_RARE))
    known = pc.or_(pc.or_(head, get), pc.or_(writes, rare))
    return {"HEAD": head, "WRITE": writes, "RARE_METHOD": rare, "NO_METHOD": pc.invert(known)}


def _protocol_columns(protocols: pa.Array) -> dict[str, Any]:
    return {"OLD_PROTOCOL": pc.invert(_has(protocols, r"(?i)^(https?|h|ws)/?(1\.1|2|3)|^(h2c?|grpcs?|wss?)$"))}


def _account_columns(accounts: pa.Array) -> dict[str, Any]:
    return {"LOGGED_IN": pc.invert(_empty(accounts))}


def _referer_columns(referers: pa.Array) -> dict[str, Any]:
    return {"NO_REFERER": _empty(referers)}


_TEXTS: Final[Mapping[str, _Seen]] = {
    "path": _Seen(_path_columns),
    "query": _Seen(_query_columns),
    "agent": _Seen(_agent_columns),
    "client": _Seen(_client_columns),
    "method": _Seen(_method_columns),
    "protocol": _Seen(_protocol_columns),
    "account": _Seen(_account_columns),
    "referer": _Seen(_referer_columns),
}


def _has(texts: pa.Array, pattern: str) -> pa.Array:
    return pc.match_substring_regex(texts, pattern)


def _empty(texts: pa.Array) -> pa.Array:
    return pc.or_(pc.equal(texts, ""), pc.equal(texts, "-"))


def _power(numbers: pa.Array | np.ndarray, bits: int) -> np.ndarray:
    """Numbers down to powers of 2 ** bits; 0 stays 0."""
    values = np.asarray(numbers if isinstance(numbers, np.ndarray) else numbers.to_numpy(), np.float64)
    exponent = np.frexp(np.maximum(values, 1))[1] - 1
    return np.where(values >= 1, np.ldexp(1.0, exponent // bits * bits), 0.0)


def _times(times: pa.ChunkedArray) -> _Part:
    hours = times.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).fill_null(0).to_numpy() // 3_600_000_000
    known, at = _numbered(hours)
    quarter, weekend = known % 24 // 6, (known // 24 + 3) % 7 >= 5  # the first of January 1970 was a Thursday
    rows = np.column_stack([quarter == 0, quarter == 1, quarter == 3, weekend]).astype(np.float32)
    rows, place = _distinct(rows)
    return _Part(("NIGHT", "MORNING", "EVENING", "WEEKEND"), rows, place[at])


def _measures(requests: pa.Table) -> _Part:
    us = _known(requests["response_us"])
    half = np.floor(2 * np.log2(np.maximum(us, 500) / 1000) + 0.5) / 2
    columns = {
        "RESPONSE_MS": np.where(us < 500, 0.0, np.round(np.exp2(half))),
        "BYTES": _power(_known(requests["bytes"]), 2),
        "REQUEST_BYTES": _power(_known(requests["request_bytes"]), 2),
    }
    for name, given in zip(columns, ("response_us", "bytes", "request_bytes"), strict=True):
        unknown = requests[given].is_null().to_numpy()
        columns[name] = np.where(unknown, _ORDINARY[name] + UNKNOWN, columns[name])
    columns |= {
        "HITS": _power(requests["hits"].to_numpy(), 2),
        "MISSES": _power(requests["misses"].to_numpy(), 1),
        "PATHS": _power(requests["paths"].to_numpy(), 2),
    }
    rows, at = _crossed([_column(name, values) for name, values in columns.items()])
    return _Part(tuple(columns), rows, at.astype(np.int64))


def _known(numbers: pa.ChunkedArray) -> np.ndarray:
    values: np.ndarray = numbers.cast(pa.int64()).fill_null(0).to_numpy()
    return np.maximum(values, 0)


def _statuses(statuses: pa.ChunkedArray) -> _Part:
    known, at = _numbered(statuses.cast(pa.int32()).fill_null(0).to_numpy())
    hundreds = known // 100
    rows, place = _distinct(
        np.column_stack([hundreds == 3, hundreds == 4, hundreds == 5, (hundreds < 1) | (hundreds > 5)])
    )
    return _Part(("REDIRECT", "CLIENT_ERROR", "SERVER_ERROR", "NO_STATUS"), rows, place[at])
