"""How loops over bytes and rows are compiled."""

from numba import njit

uncounted = njit(cache=True, nogil=True, _nrt=False)
"""Compiles a function that makes no array, without counting references to those it is given: its caller holds them. The
counts are atomic additions at every call, and took a third of the time of loops that call small functions."""
