"""Ids of records that are items themselves: a number made of where a record stands.

The id of a record says nothing and never changes: batch and stream make the same one from the same place.
"""

import hashlib
import re
from collections.abc import Callable

import numpy as np

from hdfs_pipeline.errors import UsageError

_HEX = 16


def source_hash(text: str) -> int:
    """A number (64 bits) for the name of a source, such as a partition of a topic in one of its lives."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def record_keys(source: int | np.ndarray, position: np.ndarray) -> np.ndarray:
    """Keys (n,) int64, not negative, of the records at `position` (n,) int64 of a source, or of sources (n,).

    The mix is the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators",
    2014): ten million records share a key with a probability below one in a hundred thousand.
    """
    base = np.uint64(source & (2**64 - 1)) if isinstance(source, int) else source.astype(np.uint64)
    with np.errstate(over="ignore"):
        mixed = base * np.uint64(0xD1342543DE82EF95) + position.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(1)).astype(np.int64)


def shown_as(prefix: str) -> Callable[[int], str]:
    """The function that shows a key: the prefix and sixteen hexadecimal digits."""
    return lambda key: f"{prefix}{key:0{_HEX}x}"


def parsed_as(prefix: str, noun: str) -> Callable[[str], int]:
    """The function that reads what `shown_as` shows. It raises UsageError for what is no id."""
    form, example = re.compile(rf"{prefix}([0-9a-f]{{{_HEX}}})"), f"{prefix}00c0ffee00c0ffee"

    def parse(text: str) -> int:
        found = form.fullmatch(text.strip())
        if found is None or (key := int(found[1], 16)) >= 1 << 63:
            raise UsageError(f"{text!r} is no id of a {noun}; one looks like {example}")
        return key

    return parse
