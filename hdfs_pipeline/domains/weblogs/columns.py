"""The columns of the features of requests: what each is called, how people read its numbers, and what it is about."""

from dataclasses import dataclass
from typing import Final

FAMILY: Final = "requests"
"""The family of these features."""
FLAG, COUNT, BYTES, MILLISECONDS = "flag", "count", "bytes", "ms"
"""How the numbers of a column are read: 1 where something holds, else 0; how many; with a unit."""


@dataclass(frozen=True)
class Column:
    """A column: what it is called, how its numbers are read, and the kind of a request that stands out by it."""

    name: str
    reads: str
    kind: str


_PATH, _QUERY, _ANSWER, _AGENT = "unusual path", "unusual query", "unusual answer", "unusual agent"
_METHOD, _CLIENT, _BUSY, _TIME = "unusual method", "unusual client", "unusual activity", "unusual time"
COLUMNS: Final[dict[str, Column]] = {
    "RESPONSE_MS": Column("response time", MILLISECONDS, "unusual response time"),
    "BYTES": Column("size of the answer", BYTES, "unusual size"),
    "REQUEST_BYTES": Column("size of the request", BYTES, "unusual size"),
    "HITS": Column("requests of this client in this minute so far", COUNT, _BUSY),
    "MISSES": Column("answers 4xx to this client in this minute so far", COUNT, _BUSY),
    "PATHS": Column("different paths of this client in this minute so far", COUNT, _BUSY),
    "NIGHT": Column("between 0 and 6 o'clock UTC", FLAG, _TIME),
    "MORNING": Column("between 6 and 12 o'clock UTC", FLAG, _TIME),
    "EVENING": Column("between 18 and 24 o'clock UTC", FLAG, _TIME),
    "WEEKEND": Column("on Saturday or Sunday", FLAG, _TIME),
    "DEPTH": Column("folders in the path", COUNT, _PATH),
    "PATH_LENGTH": Column("characters in the path", COUNT, _PATH),
    "PATH_ODD": Column("odd characters in the path", COUNT, _PATH),
    "PATH_DIGITS": Column("digits in the path", COUNT, _PATH),
    "PATH_ESCAPES": Column("escaped characters in the path", COUNT, _PATH),
    "FILE": Column("a static file", FLAG, _PATH),
    "DOWNLOAD": Column("a file to download", FLAG, _PATH),
    "SCRIPT": Column("a script of the server, such as *.php", FLAG, _PATH),
    "BACKUP": Column("a file of configuration or a backup, such as *.bak", FLAG, _PATH),
    "OTHER_FILE": Column("a file of an unknown sort", FLAG, _PATH),
    "PATH_TRAVERSAL": Column("a way out of the folder (../) in the path", FLAG, _PATH),
    "PATH_INJECTION": Column("SQL, a script or a command in the path", FLAG, _PATH),
    "HIDDEN": Column("a hidden file or folder, such as /.git", FLAG, _PATH),
    "PANEL": Column("the address of a known admin panel or product", FLAG, _PATH),
    "SHELL": Column("the name of a known web shell", FLAG, _PATH),
    "QUERY_LENGTH": Column("characters in the query", COUNT, _QUERY),
    "QUERY_ODD": Column("odd characters in the query", COUNT, _QUERY),
    "QUERY_TRAVERSAL": Column("a way out of the folder (../) in the query", FLAG, _QUERY),
    "QUERY_INJECTION": Column("SQL, a script or a command in the query", FLAG, _QUERY),
    "REDIRECT": Column("answer 3xx", FLAG, _ANSWER),
    "CLIENT_ERROR": Column("answer 4xx", FLAG, _ANSWER),
    "SERVER_ERROR": Column("answer 5xx", FLAG, _ANSWER),
    "NO_STATUS": Column("an answer without a usual status", FLAG, _ANSWER),
    "HEAD": Column("method HEAD", FLAG, _METHOD),
    "WRITE": Column("a method that writes (POST, PUT, PATCH, DELETE)", FLAG, _METHOD),
    "RARE_METHOD": Column("a rare method, such as OPTIONS or PROPFIND", FLAG, _METHOD),
    "NO_METHOD": Column("no method that there is", FLAG, _METHOD),
    "OLD_PROTOCOL": Column("HTTP/1.0 or older", FLAG, _METHOD),
    "PRIVATE": Column("a client in a private network", FLAG, _CLIENT),
    "IPV6": Column("a client with an IPv6 address", FLAG, _CLIENT),
    "NAMED": Column("a client by its host name", FLAG, _CLIENT),
    "NO_CLIENT": Column("an unknown client", FLAG, _CLIENT),
    "LOGGED_IN": Column("a user who is logged in", FLAG, _CLIENT),
    "NO_REFERER": Column("no referring page", FLAG, _AGENT),
    "BOT": Column("an agent that calls itself a bot", FLAG, _AGENT),
    "TOOL": Column("a program or library as agent, such as curl", FLAG, _AGENT),
    "SCANNER": Column("an agent that is a known scanner", FLAG, _AGENT),
    "NO_AGENT": Column("no agent", FLAG, _AGENT),
    "OTHER_AGENT": Column("an unknown sort of agent", FLAG, _AGENT),
}
SIGNS: Final = frozenset(
    {
        "BACKUP", "PATH_TRAVERSAL", "PATH_INJECTION", "HIDDEN", "PANEL", "SHELL", "QUERY_TRAVERSAL",
        "QUERY_INJECTION", "NO_METHOD", "SCANNER",
    }
)  # fmt: skip
"""Columns that tell of a scan by themselves, whatever else a rule asks."""
OF_SERVER: Final = frozenset({"RESPONSE_MS", "BYTES", "SERVER_ERROR"})
"""Columns that tell of the server rather than of the client."""
UNKNOWN: Final = 0.25
"""What is unknown stands as an ordinary number and so much more: it is near to what is usual, and can be told."""
