"""How grave incidents are, and what is known of each kind of trouble that they are about."""

from dataclasses import dataclass
from typing import Final

WARNING, MAJOR, CRITICAL = "warning", "major", "critical"
SEVERITIES: Final = (WARNING, MAJOR, CRITICAL)
"""How grave an incident is, the gravest last."""


@dataclass(frozen=True)
class Kind:
    """What is known of a kind of anomaly: how grave, what happened, what to do, what it follows from.

    `follows` are other kinds, and `faults` are kinds of faults, as recordings call them, that look like this.
    Fewer than `least` items of it at a time are no incident.
    """

    severity: str = WARNING
    sentence: str = ""
    hints: tuple[str, ...] = ()
    follows: frozenset[str] = frozenset()
    faults: frozenset[str] = frozenset()
    least: int = 1
