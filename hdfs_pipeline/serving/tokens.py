"""Tokens: who may ask for what. The home keeps a digest of each, never the token itself."""

import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

import orjson
from filelock import FileLock, Timeout
from pydantic import AwareDatetime, TypeAdapter, ValidationError

from hdfs_pipeline.errors import NotFoundError, SetupError, UsageError, unknown
from hdfs_pipeline.processes.hosts import is_loopback
from hdfs_pipeline.settings import Settings

Scope = Literal["read", "feedback", "operate", "admin"]
SCOPES: Final[tuple[str, ...]] = get_args(Scope)
"""Each includes those before it: to look; to say what items were; to work on incidents; to change what serves."""
_PREFIX: Final = "hdfsp_"  # so that scanners of secrets can tell one
_MOST_DAYS: Final = 36_500
_TURN_S: Final = 10.0  # to wait for another who makes or revokes one
_NAME: Final = re.compile(r"[\w.@-]{1,64}")


@dataclass(frozen=True)
class Token:
    """What the home knows of a token. `digest` is the SHA-256 of it; `until` is when it ends, None for never."""

    name: str
    scope: Scope
    digest: str
    made_at: AwareDatetime
    until: AwareDatetime | None = None

    def allows(self, scope: str) -> bool:
        """Whether it may be used for what needs `scope`."""
        return SCOPES.index(scope) <= SCOPES.index(self.scope)

    def to_json(self) -> dict[str, Any]:
        """It without the digest, times in ISO 8601."""
        until = None if self.until is None else self.until.isoformat(timespec="seconds")
        return {
            "name": self.name,
            "scope": self.scope,
            "made_at": self.made_at.isoformat(timespec="seconds"),
            "until": until,
        }


def are_needed(settings: Settings) -> bool:
    """Whether who asks needs a token: not on this machine alone, unless the settings say so."""
    return settings.serve_tokens or not is_loopback(settings.serve_host)


class Tokens:
    """The tokens of a home, in `tokens.json`; read again whenever that file changes."""

    def __init__(self, settings: Settings) -> None:
        self.path = settings.home / "tokens.json"
        self._stamp: tuple[int, int] | None = None
        self._known: dict[str, Token] = {}

    def all(self) -> list[Token]:
        """All of them, by name. Raises: SetupError where the file cannot be read."""
        return sorted(self._read().values(), key=lambda token: token.name)

    def find(self, text: str) -> Token | None:
        """The token that somebody shows; None for one that is unknown, revoked or over."""
        # A digest of 32 random bytes needs no salt, and a look-up by it gives nothing away by its time.
        token = self._read().get(_digest(text))
        return None if token is None or _is_over(token) else token

    def make(self, name: str, scope: str, days: float | None = None) -> str:
        """Make a token and return it, the only time that it is to be had.

        Raises: UsageError for a name that is taken or no name, an unknown scope, or days without an end; SetupError
        where the file cannot be written.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} is no name for a token: 1 to 64 letters, digits and . _ @ -")
        if scope not in SCOPES:
            raise UsageError(unknown("scope", scope, SCOPES))
        if days is not None and not 0 <= days <= _MOST_DAYS:
            raise UsageError(f"{days:g} days: give 0 to {_MOST_DAYS:,}, or none for a token without an end")
        text, now = _PREFIX + secrets.token_urlsafe(32), datetime.now(UTC)
        until = None if days is None else now + timedelta(days=days)
        with self._changing():
            known = self.all()
            if any(token.name == name for token in known):
                raise UsageError(f"there is a token {name!r} already: revoke it, or take another name")
            self._write([*known, Token(name, cast(Scope, scope), _digest(text), now, until)])
        return text

    def revoke(self, name: str) -> None:
        """Let a token open nothing any more. Raises: NotFoundError where there is none of this name."""
        with self._changing():
            known = self.all()
            left = [token for token in known if token.name != name]
            if len(left) == len(known):
                raise NotFoundError(unknown("token", name, [token.name for token in known] or ["none at all"]))
            self._write(left)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Nobody else changes the file meanwhile. Raises: SetupError where it cannot be changed."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock", timeout=_TURN_S):
                yield
        except Timeout:
            raise SetupError(f"somebody else has held {self.path}.lock for {_TURN_S:g} s: try again") from None
        except OSError as error:
            raise SetupError(
                f"{self.path} cannot be changed, and is as it was ({error.strerror or error}): make room or mend the "
                "rights of its folder, then try again"
            ) from None

    def _read(self) -> dict[str, Token]:
        try:
            facts = self.path.stat()
        except FileNotFoundError:
            self._stamp, self._known = None, {}
            return self._known
        stamp = facts.st_mtime_ns, facts.st_ino
        if stamp != self._stamp:
            try:
                tokens = _FILE.validate_json(self.path.read_bytes(), strict=True)
            except (OSError, ValidationError) as error:
                raise SetupError(
                    f"{self.path} cannot be read ({_why(error)}): mend it, or remove it and make new tokens"
                ) from None
            self._stamp, self._known = stamp, {token.digest: token for token in tokens}
        return self._known

    def _write(self, tokens: Sequence[Token]) -> None:
        rows = [token.to_json() | {"digest": token.digest} for token in tokens]
        fresh = Path(f"{self.path}.new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
        fresh.replace(self.path)


_FILE: Final = TypeAdapter(list[Token])


def _why(error: OSError | ValidationError) -> str:
    """What is wrong with the file, without what stands in it."""
    if isinstance(error, OSError):
        return str(error)
    first = error.errors(include_input=False, include_url=False)[0]
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))


def _is_over(token: Token) -> bool:
    return token.until is not None and token.until <= datetime.now(UTC)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
