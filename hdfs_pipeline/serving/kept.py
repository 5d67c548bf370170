"""An answer that costs much and that many ask for: made for one of them, and kept for some seconds for all."""

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

_Answer = TypeVar("_Answer")

KEPT_S: Final = 5.0


class Kept(Generic[_Answer]):
    """Gives what `make` gives, at most `seconds` old. Whoever asks while it is made waits for it."""

    def __init__(self, make: Callable[[], _Answer], seconds: float = KEPT_S) -> None:
        self._make, self._seconds = make, seconds
        self._lock = threading.Lock()
        self._answer: tuple[float, _Answer] | None = None

    def __call__(self) -> _Answer:
        """The answer. Raises: what `make` raises, which is not kept."""
        with self._lock:
            if self._answer is None or time.monotonic() - self._answer[0] >= self._seconds:
                self._answer = None
                made = self._make()
                self._answer = time.monotonic(), made
            return self._answer[1]
