"""JMX object names, `domain:key=value,key=value`, and the patterns that `/jmx?qry=` takes.

As in javax.management.ObjectName: the order of the keys means nothing; `*` and `?` stand for characters in the domain
and in values; a last `,*` (or `:*`) allows other keys too.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

_PROPERTY = re.compile(r'([^=,:*?]+)=("(?:[^"\\]|\\.)*"|[^,"]*)(?:,|$)')


@dataclass(frozen=True)
class ObjectName:
    """A name, or a pattern of names; `more`: other keys than these are allowed."""

    domain: str
    keys: Mapping[str, str]
    more: bool = False

    def matches(self, name: "ObjectName") -> bool:
        """Whether `name` matches this pattern (or equals this name)."""
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
    begin = 0
    while begin < len(body):
        pair = _PROPERTY.match(body, begin)
        if pair is None or pair[1] in keys:
            raise ValueError(f"{text!r} is no JMX object name: {body[begin:]!r} is no key=value, or a key stands twice")
        keys[pair[1]] = pair[2]
        begin = pair.end()
    return ObjectName(domain, keys, more)
