"""Texts as compiled code knows them: their bytes, and hashes of 64 bits."""

from typing import Final

import numpy as np
import pyarrow as pa
from numba import njit

from hdfs_pipeline.scoring.compiled import uncounted


def bytes_of(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """All bytes (m,) uint8 of n texts, and where each begins and ends in them, (n + 1,) int32 or int64.

    A null is empty. Texts of type string or large_string without nulls are not copied.
    """
    if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
        texts = texts.cast(pa.large_string())
    texts = texts.fill_null("") if texts.null_count else texts
    _, offsets, data = texts.buffers()
    width = np.int32 if pa.types.is_string(texts.type) else np.int64
    if not len(texts):
        return np.zeros(0, np.uint8), np.zeros(1, width)
    ends = np.frombuffer(offsets, width)[texts.offset : texts.offset + len(texts) + 1]
    return np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8), ends


@uncounted
def mix(number):
    """The finaliser of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014)."""
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))


@njit(cache=True, nogil=True)
def _hashes(data, offsets, base):
    hashes = np.empty(len(offsets) - 1, np.uint64)
    for row in range(len(hashes)):
        number = np.uint64(0xCBF29CE484222325) ^ base
        for at in range(offsets[row], offsets[row + 1]):
            number = (number ^ np.uint64(data[at])) * np.uint64(0x100000001B3)
        hashes[row] = mix(number)
    return hashes


def text_hashes(texts: pa.Array | pa.ChunkedArray, base: int = 0) -> np.ndarray:
    """Hashes (n,) uint64 of texts in any of Arrow's forms; a null is as an empty text.

    They are FNV-1a (Fowler, Noll and Vo) over the bytes, then mixed.
    """
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.unify_dictionaries().combine_chunks()
    if pa.types.is_dictionary(texts.type):
        known, codes = text_hashes(texts.dictionary, base), texts.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return np.append(known, text_hashes(pa.array([""]), base))[codes]
    data, ends = bytes_of(texts)
    return _hashes(data, ends, np.uint64(base))


@njit(cache=True, nogil=True)
def _found(keys, codes, hashes, out):
    """Into `out` (n,) the code of each hash, -1 for one that is not there; how many of those there are."""
    mask, missing = np.uint64(len(keys) - 1), 0
    for row in range(len(hashes)):
        at = hashes[row] & mask
        while codes[at] >= 0 and keys[at] != hashes[row]:
            at = (at + np.uint64(1)) & mask
        out[row] = codes[at]
        missing += codes[at] < 0
    return missing


@njit(cache=True, nogil=True)
def _put(keys, codes, hashes, new):
    """Put hashes that are not there into a map, with the codes `new`."""
    mask = np.uint64(len(keys) - 1)
    for row in range(len(hashes)):
        at = hashes[row] & mask
        while codes[at] >= 0:
            at = (at + np.uint64(1)) & mask
        keys[at], codes[at] = hashes[row], new[row]


class Codes:
    """Numbers from 0 up by the hash of a text: open addressing with linear probing (see `clients`)."""

    _SMALLEST: Final = 1 << 12

    def __init__(self) -> None:
        self.size = 0
        self._keys, self._codes = np.zeros(self._SMALLEST, np.uint64), np.full(self._SMALLEST, -1, np.int32)

    def find(self, hashes: np.ndarray) -> tuple[np.ndarray, bool]:
        """The code (n,) int32 of each hash, -1 for one that is not known; whether all are."""
        found = np.empty(len(hashes), np.int32)
        return found, not _found(self._keys, self._codes, hashes, found)

    def put(self, hashes: np.ndarray, codes: np.ndarray) -> None:
        """Keep the codes (k,) of hashes that are distinct and not known."""
        self.size += len(hashes)
        if 2 * self.size > len(self._keys):
            taken = self._codes >= 0
            old = self._keys[taken], self._codes[taken]
            places = 1 << (2 * self.size).bit_length()
            self._keys, self._codes = np.zeros(places, np.uint64), np.full(places, -1, np.int32)
            _put(self._keys, self._codes, *old)
        _put(self._keys, self._codes, hashes, codes.astype(np.int32))
