"""Texts as compiled code knows them: their bytes, and hashes of 64 bits."""

import numpy as np
import pyarrow as pa
from numba import njit

from hdfs_pipeline.scoring.compiled import uncounted


def bytes_of(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """All bytes (m,) uint8 of n texts, and where each begins and ends in them, (n + 1,) int64; a null is empty."""
    texts = texts.cast(pa.large_string()).fill_null("")
    _, offsets, data = texts.buffers()
    if not len(texts):
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
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
