"""Messages matched with the templates of a catalogue, compiled by numba (see `catalogue` for the rules).

The first literals of the templates form a trie, so that a message is compared with those templates only whose first
literal it has; the other literals are then looked for in their order. Two tries are used: one of all templates, asked
at the message's start, and one of those that begin with a wildcard, asked at every place of a message that no template
begins. All of it stands in one file, since numba's cache notices changes of a function's own file only.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Final

import numpy as np
import pyarrow as pa
from numba import types

from hdfs_pipeline.scoring.catalogue import WILDCARD, Catalogue, Template
from hdfs_pipeline.scoring.compiled import uncounted, word

START, FLOATING, TEMPLATES, COUNT = range(4)
"""The table's beginning: where the roots of both tries stand, where the templates' rows begin, and their number. One
array of int64 holds all, because each array more costs the compiled code a count of references."""
_LENGTH, _WORDS, _MASK, _RARE, _BYTE, _ENDING, _ENDINGS, _CHILDREN, _NUMBER, _NODE = range(10)
"""Of a literal: its length, where its bytes stand, eight in a number, which bits of the last number count, and where
its rarest byte stands in it, and which that is. A node of a trie is a literal, too: the bytes from the node above to
it. Of a node moreover: where the templates stand whose first literal ends here or before, in the catalogue's order, and
how many they are; where its children stand, each a first byte and a place, and how many they are. A root has no bytes;
a place for every first byte follows it."""
_ROOT: Final = 256
_LITERALS, _MANY, _OPEN, _TEMPLATE = range(4)
"""Of a template: where the list of its literals stands, how many they are, whether anything may follow the last one."""
_COMMON: Final = b"mphucfdbklo_-tinasre:/.67895432 10"
"""Bytes that are frequent in logs, the least frequent first."""
_memchr = types.ExternalFunction("memchr", types.intp(types.intp, types.intc, types.uintp))
_NO_BYTES: Final = np.zeros(1, np.uint8)


class Matcher:
    """A catalogue compiled: one for all who match, from any thread."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.table = _table(catalogue.templates)

    def spans(self, text: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
        """Index into the catalogue's columns of each message `text[start:stop]`: (n,) uint16.

        `text` is uint8, `starts` and `stops` (n,) are integers.
        """
        events, tried = np.empty(len(starts), np.uint16), np.full(self.table[COUNT], -1, np.int64)
        _match(text, starts, stops, self.table, tried, events)
        return events

    def strings(self, messages: pa.Array) -> np.ndarray:
        """The same of an Arrow array of strings of any kind, without nulls: (n,) uint16."""
        messages = messages.cast(pa.large_string())
        _, offsets, data = messages.buffers()
        places = np.frombuffer(offsets, np.int64)[messages.offset : messages.offset + len(messages) + 1]
        text = np.frombuffer(data, np.uint8) if data is not None and data.size else _NO_BYTES
        return self.spans(text, places[:-1], places[1:])


@lru_cache(maxsize=16)
def matcher_of(catalogue: Catalogue) -> Matcher:
    """The matcher of a catalogue."""
    return Matcher(catalogue)


@uncounted
def _match(text, starts, stops, table, tried, events):
    """Fill in `events`; `tried` says of each template in which message it was tried last.

    Where its literals do not follow once, they never will in that message.
    """
    count = table[COUNT]
    for row in range(len(starts)):
        start, stop = np.int64(starts[row]), np.int64(stops[row])
        best = _first(text, start, stop, table, table[START], count, tried, -1)
        floating = table[FLOATING]
        if best == count and floating != 0:
            some = table[floating + _ENDINGS] > 0
            for at in range(start, stop + 1):
                if some or (at < stop and table[floating + _NODE + np.int64(text[np.uint64(at)])] != 0):
                    best = _first(text, at, stop, table, floating, best, tried, row)
        events[row] = best


@uncounted
def _first(text, at, stop, table, node, best, tried, row):
    """The first template before `best` whose first literal stands at `at` and whose others follow; `best` for none."""
    pos, found = at, node
    node = table[found + _NODE + np.int64(text[np.uint64(at)])] if at < stop else 0
    while node != 0 and _stands(text, pos, stop, table, node):
        pos += table[node + _LENGTH]
        found, node = node, 0
        if pos < stop:
            byte = np.int64(text[np.uint64(pos)])
            child = table[found + _CHILDREN]
            last = child + 2 * table[found + _NUMBER]
            while child < last:
                if table[child] == byte:
                    node = table[child + 1]
                    break
                child += 2
    ending = table[found + _ENDING]
    for k in range(table[found + _ENDINGS]):
        template = table[ending + k]
        if template >= best:
            break
        if row >= 0 and tried[template] == row:
            continue
        at_row = table[TEMPLATES] + template * _TEMPLATE
        if _follow(text, at, stop, table, at_row):
            return template
        if row >= 0 and table[at_row + _MANY] > 1:
            tried[template] = row
    return best


@uncounted
def _stands(text, at, stop, table, literal):
    """Whether a literal stands at `at`, and ends by `stop`."""
    length = table[literal + _LENGTH]
    if at + length > stop:
        return False
    words = table[literal + _WORDS]
    if at + (length + 7 & -8) > len(text):
        for k in range(length):
            if np.int64(text[np.uint64(at + k)]) != table[words + k // 8] >> 8 * (k % 8) & 255:
                return False
        return True
    while length > 8:
        if word(text, at) != table[np.uint64(words)]:
            return False
        at, words, length = at + 8, words + 1, length - 8
    return word(text, at) & table[literal + _MASK] == table[np.uint64(words)]


@uncounted
def _find(text, at, stop, table, literal):
    """Where a literal stands first from `at` on, and ends by `stop`; -1 where it does not."""
    last = stop - table[literal + _LENGTH]
    rare, byte, base = table[literal + _RARE], table[literal + _BYTE], np.intp(text.ctypes.data)
    while at <= last:
        # The C library's search for a byte looks at many at once; its compiler's would look at one after the other.
        found = _memchr(base + at + rare, byte, last - at + 1)
        if found == 0:
            return -1
        at = found - base - rare
        if _stands(text, at, stop, table, literal):
            return at
        at += 1
    return -1


@uncounted
def _follow(text, at, stop, table, template):
    """Whether the literals of a template follow each other in text[at:stop], whose first one stands at `at`."""
    literals, number, is_open = table[template + _LITERALS], table[template + _MANY], table[template + _OPEN]
    if number > 0:
        at += table[table[literals] + _LENGTH]
    for k in range(1, number):
        literal = table[literals + k]
        if k == number - 1 and not is_open:
            last = stop - table[literal + _LENGTH]
            return at <= last and _stands(text, last, stop, table, literal)
        at = _find(text, at, stop, table, literal)
        if at < 0:
            return False
        at += table[literal + _LENGTH]
    return is_open != 0 or at == stop


def _table(templates: Sequence[Template]) -> np.ndarray:
    """The table of templates: (k,) int64."""
    table: list[int] = [0, 0, 0, len(templates)]
    literals = [[part.encode() for part in template.literals] for template in templates]
    places = {literal: _literal(table, literal) for literal in sorted({part for parts in literals for part in parts})}
    heads = [parts[0] if parts else b"" for parts in literals]
    table[START] = _trie(table, heads, range(len(heads)))
    if floating := [at for at, template in enumerate(templates) if template.floats]:
        table[FLOATING] = _trie(table, heads, floating)
    rows = []
    for template, parts in zip(templates, literals, strict=True):
        rows += [len(table), len(parts), int(template.text.endswith(WILDCARD))]
        table += [places[part] for part in parts]
    table[TEMPLATES] = len(table)
    return np.array(table + rows, np.int64)


def _literal(table: list[int], literal: bytes) -> int:
    """Add a literal, with the room of a node, to the table; where it stands."""
    words = len(table)
    table += np.frombuffer(literal + b"\0" * (-len(literal) % 8), np.int64).tolist()
    used = (len(literal) - 1) % 8 + 1
    mask = -1 if used == 8 else (1 << 8 * used) - 1
    rare = min(range(len(literal)), key=lambda at: _COMMON.find(literal[at : at + 1]), default=0)
    table += [len(literal), words, mask, rare, int(literal[rare]) if literal else 0] + [0] * (_NODE - 5)
    return len(table) - _NODE


def _trie(table: list[int], heads: Sequence[bytes], chosen: Iterable[int]) -> int:
    """Add a trie of the chosen templates' first literals to the table; where its root stands."""
    chosen = sorted(chosen, key=lambda at: (heads[at], at))
    root = _literal(table, b"")
    table += [0] * _ROOT
    ended = [at for at in chosen if not heads[at]]
    _end(table, root, ended)
    # What stands in `todo` are nodes to be made: where their place is noted, their templates, the bytes before them,
    # and the templates that end before them.
    todo = [(root + _NODE + heads[group[0]][0], group, 0, ended) for group in _groups(heads, chosen[len(ended) :], 0)]
    while todo:
        noted, group, depth, ended = todo.pop()
        first, last = heads[group[0]], heads[group[-1]]  # they are sorted: what these share, all share
        stop = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
        table[noted] = node = _literal(table, first[depth:stop])
        ended = sorted([*ended, *(at for at in group if len(heads[at]) == stop)])
        _end(table, node, ended)
        children = _groups(heads, [at for at in group if len(heads[at]) > stop], stop)
        table[node + _CHILDREN], table[node + _NUMBER] = len(table), len(children)
        for child in children:
            table += [heads[child[0]][stop], 0]
            todo.append((len(table) - 1, child, stop, ended))
    return root


def _end(table: list[int], node: int, ended: Sequence[int]) -> None:
    table[node + _ENDING], table[node + _ENDINGS] = len(table), len(ended)
    table += ended


def _groups(heads: Sequence[bytes], chosen: Iterable[int], depth: int) -> list[list[int]]:
    """Sorted templates in groups whose heads have the same byte after `depth`."""
    return [list(group) for _, group in groupby(chosen, key=lambda at: heads[at][depth])]
