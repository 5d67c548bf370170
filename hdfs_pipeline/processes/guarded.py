"""Process groups that end with whoever has started them, also where that one is killed (see `guard.py`)."""

import subprocess
import sys
from contextlib import suppress
from typing import Self

from hdfs_pipeline.processes import guard


class Guarded:
    """Tells `guard.py` of the process groups that were started and have gone, inside of its `with` block."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__], stdin=subprocess.PIPE, text=True, start_new_session=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(BrokenPipeError):
            self._process.communicate()

    def started(self, group: int) -> None:
        """A group was started."""
        self._tell(f"+{group}\n")

    def gone(self, group: int) -> None:
        """A group has gone."""
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # somebody killed the guard: everything else goes on
            self._process.stdin.write(line)
            self._process.stdin.flush()
