"""Text that people may be shown: without passwords, and without what a terminal would obey instead of showing it."""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

HIDDEN: Final = "…"
_SECRET = r"passw|passphrase|secret|token|jaas|credential|api[_-]?key|oauthbearer\.config|key\.pem"  # noqa: S105 - names
_SECRET_NAME: Final = re.compile(_SECRET, re.IGNORECASE)
# `password=x`, `"secret": "x"`, `--password x`. Bounded, so that a hostile text takes no longer than a harmless one.
_PAIR: Final = re.compile(
    rf"(?P<name>(?:{_SECRET})[\w.-]{{0,40}}(?:=|[\"'] ?: ?)|(?<![\w-])--[\w-]{{0,40}}(?:{_SECRET})[\w.-]{{0,40}} )"
    r"(?:\"[^\"]{0,400}\"|'[^']{0,400}'|[^\s\"',;&]+)",
    re.IGNORECASE,
)
_OBEYED: Final = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"},  # ESC becomes ␛, CR ␍, BEL ␇
    0x7F: 0x2421,
    **dict.fromkeys(
        [
            *range(0x80, 0xA0),  # C1: one of them is the same as ESC [
            *(0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),  # turn the order of what follows
            *(0x2028, 0x2029, 0xFEFF, *range(0xE0000, 0xE0080)),  # break lines, or stay unseen
            *range(0xD800, 0xE000),  # halves of characters, which no terminal can be sent
        ],
        0xFFFD,
    ),
}


def plain(text: str) -> str:
    """`text` with a visible sign for each character that a terminal would obey; as many characters, one cell each."""
    return text.translate(_OBEYED)


def is_secret(name: str) -> bool:
    """Whether a setting, option or field of this name holds a secret."""
    return _SECRET_NAME.search(name) is not None


def without_secrets(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` with `secrets` hidden, and what looks like one: user and password in an address, `password=…`."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    if "://" in text:
        text = "".join(_without_user(word) for word in re.split(r"(\s+)", text))
    return _PAIR.sub(rf"\g<name>{HIDDEN}", text)


def place_of(url: str) -> str:
    """Scheme, host and port of an address: what may be shown of one whose path may be as good as a password."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" if host else ""


def _without_user(word: str) -> str:
    """A word with `***` for what stands between `://` and the last `@`: a password may hold `/`, `?`, `#` and `@`."""
    before, scheme, rest = word.partition("://")
    user, at, host = rest.rpartition("@")
    return f"{before}{scheme}***@{host}" if at and user != "user:password" else word  # as our own advice writes it
