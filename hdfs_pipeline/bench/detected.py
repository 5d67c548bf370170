"""Figures of detection: shares and rates with their 95 % intervals, and what is aimed at."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Aim:
    """A figure that is to be reached, or not to be exceeded."""

    value: float
    at_most: bool = False


@dataclass(frozen=True)
class Figure:
    """A figure of a voice of a domain, between `low` and `high` at 95 %; `cases` are what it was counted on."""

    domain: str
    voice: str
    what: str
    value: float
    low: float
    high: float
    cases: int
    aim: Aim | None = None

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None without one."""
        if self.aim is None:
            return None
        return self.value <= self.aim.value if self.aim.at_most else self.value >= self.aim.value

    def told(self) -> dict[str, Any]:
        """The figure as plain data."""
        aim = None if self.aim is None else self.aim.value
        return asdict(self) | {"aim": aim, "at_most": self.aim is not None and self.aim.at_most, "met": self.met}


def share(domain: str, voice: str, what: str, found: int, there: int, aim: Aim | None = None) -> Figure:
    """The share of independent cases that were found, with Wilson's interval ("Probable Inference", 1927)."""
    if not there:
        return Figure(domain, voice, what, 0.0, 0.0, 1.0, 0, None)
    part, z2 = found / there, 1.96**2
    middle = (part + z2 / (2 * there)) / (1 + z2 / there)
    half = 1.96 * np.sqrt(part * (1 - part) / there + z2 / (4 * there**2)) / (1 + z2 / there)
    return Figure(domain, voice, what, part, float(max(middle - half, 0)), float(min(middle + half, 1)), there, aim)


def a_day(domain: str, voice: str, what: str, count: int, days: float, aim: Aim | None = None) -> Figure:
    """Cases a day, with the exact interval of a Poisson rate (Garwood, "Fiducial Limits", 1936)."""
    from scipy.stats import chi2

    low = chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    high = chi2.ppf(0.975, 2 * count + 2) / 2
    return Figure(domain, voice, what, count / days, float(low / days), float(high / days), count, aim)


def mean(domain: str, voice: str, what: str, values: Sequence[float], cases: int, aim: Aim | None = None) -> Figure:
    """The mean of the shares of several seeds, with Student's interval over these; cases of one are not independent."""
    from scipy.stats import t

    middle = float(np.mean(values))
    if len(values) < 2:
        return Figure(domain, voice, what, middle, 0.0, 1.0, cases, aim)
    half = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return Figure(domain, voice, what, middle, max(middle - half, 0.0), min(middle + half, 1.0), cases, aim)
