"""What texts are made of: how many of their bytes are of each class, in one compiled pass."""

from typing import Final

import numpy as np
import pyarrow as pa
from numba import njit

from hdfs_pipeline.domains.weblogs.texts import bytes_of

SLASH, DIGIT, PERCENT, ODD = range(4)
"""Classes of bytes, as columns of `shapes`; bytes of no class are not counted."""
_PLAIN: Final = 4


def _classes(plain: str) -> np.ndarray:
    """The class of each byte (256,): odd is what is neither a letter nor a digit nor among `plain`."""
    classes = np.full(256, ODD, np.uint8)
    for sign in f"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ{plain}":
        classes[ord(sign)] = _PLAIN
    classes[[ord(sign) for sign in "0123456789"]] = DIGIT
    classes[ord("/")], classes[ord("%")] = SLASH, PERCENT
    return classes


_OF_PATHS: Final = _classes("._~-")
_OF_QUERIES: Final = _classes("=&_.+:*,@~-")


@njit(cache=True, nogil=True)
def _count(data, ends, classes):
    counts = np.zeros((len(ends) - 1, 5), np.int64)
    for row in range(len(counts)):
        for at in range(ends[row], ends[row + 1]):
            counts[row, classes[data[at]]] += 1
    return counts


def shapes(texts: pa.Array, *, queries: bool = False) -> np.ndarray:
    """How many bytes of each class (n, 5) int64 n paths have, or `queries`, of which less is odd."""
    data, ends = bytes_of(texts)
    counts: np.ndarray = _count(data, ends, _OF_QUERIES if queries else _OF_PATHS)
    return counts
