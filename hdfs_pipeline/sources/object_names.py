"""JMX object names, `domain:key=value,key=value`, and the patterns that `/jmx?qry=` takes.

After javax.management.ObjectName: the order of the keys means nothing; `*` and `?` stand for characters in the domain
and in values; a last `,*` (or `:*`) lets other keys be there too.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

_PROPERTY = re.compile(r'([^=,:*?]+)=("(?:[^"\\]|\\.)*"|[^,"]*)(?:,|$)')


@dataclass(frozen=True)
class ObjectName:
    """A name, or a pattern of names; `more` where other keys than these may be there."""

    domain: str
    keys: Mapping[str, str]
    more: bool = False

    def matches(self, name: "ObjectName") -> bool:
        """Whether this pattern (or name) is met by `name`."""
        if not self.more and set(self.keys) != set(name.keys):
            return False
        return _like(self.domain, name.domain) and all(
            key in name.keys and _like(value, name.keys[key]) for key, value in self.keys.items()
        )


def _like(pattern: str, text: str) -> bool:
    return pattern == text or fnmatchcase(text, pattern.replace("[", "[[]"))  # brackets mean nothing to JMX


@lru_cache(maxsize=4096)
def parse_object_name(text: str) -> ObjectName:
    """The name that `text` writes. Raises: ValueError if it is none."""
    domain, colon, rest = text.partition(":")
    if not colon or not rest:
        raise ValueError(f"{text!r} is no JMX object name: it needs a domain and keys, as in Hadoop:service=NameNode")
    more = rest == "*" or rest.endswith(",*")
    body = rest[:-1].rstrip(",") if more else rest
    keys: dict[str, str] = {}
    at = 0
    while at < len(body):
        found = _PROPERTY.match(body, at)
        if found is None or found[1] in keys:
            raise ValueError(f"{text!r} is no JMX object name: {body[at:]!r} is no key=value, or a key stands twice")
        keys[found[1]] = found[2]
        at = found.end()
    return ObjectName(domain, keys, more)
