"""Ends the processes of a supervisor that was killed: `python guard.py`, with the supervisor's pipe as standard input.

The supervisor writes `+N` when it has started the process group N, and `-N` when that group has gone. If the input ends
while groups are left, nobody else can end them. The guard is a script of its own: it needs nothing but the standard
library, and starts in milliseconds.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable

PATIENCE_S = 10.0  # seconds from SIGTERM to SIGKILL


def left_over(lines: Iterable[str]) -> list[int]:
    """The groups that were started and have not gone."""
    groups: dict[int, None] = {}
    for line in lines:
        number = int(line[1:])
        if line[0] == "+":
            groups[number] = None
        else:
            groups.pop(number, None)
    return list(groups)


def signalled(group: int, number: int) -> bool:
    """Send a signal to a process group (0 only asks whether it is there). Returns whether there is such a group."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def end(groups: list[int], patience_s: float = PATIENCE_S) -> None:
    """End process groups: with SIGTERM, and those that are left after `patience_s` seconds with SIGKILL."""
    left = [group for group in groups if signalled(group, signal.SIGTERM)]
    deadline = time.monotonic() + patience_s
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [group for group in left if signalled(group, 0)]
    for group in left:
        signalled(group, signal.SIGKILL)


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # the guard ends when its supervisor does
    end(left_over(sys.stdin))
