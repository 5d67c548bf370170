"""The contract of a target: somebody who is told of incidents, and how it says that it did not take a message."""

from collections.abc import Sequence
from typing import Protocol

from hdfs_pipeline.alerting.messages import Letter, News
from hdfs_pipeline.errors import SetupError


class OutageError(SetupError):
    """The target cannot be reached, or cannot take messages now: they are sent later.

    `wait_s` are the seconds that it asks for, `taken` the messages of those sent together that it has all the same.
    """

    def __init__(self, text: str, wait_s: float = 0.0, taken: Sequence[Letter] = ()) -> None:
        super().__init__(text)
        self.wait_s, self.taken = wait_s, taken


class Target(Protocol):
    """Somebody who is told of incidents. It is used by one thread at a time, the one that opened it."""

    name: str
    batch: int
    """Most messages that `send` takes."""
    forgets: bool
    """Whether it forgets what it is not told again."""

    def place(self) -> str:
        """Where its rows of `deliveries` belong: its name, and what tells one life of it from another.

        Raises: OutageError or another SetupError where it cannot be asked.
        """
        ...

    def body(self, news: News, last: str) -> str:
        """The message; `last` is the one before, '' for none. '' where it need not be told."""
        ...

    def send(self, letters: Sequence[Letter]) -> list[str]:
        """Hand over messages of different incidents; for each '' once the target has it, or why it refused it for good.

        Raises: OutageError where they must be sent again later, some of them perhaps for a second time.
        """
        ...

    def close(self) -> None:
        """Close its connections."""
        ...
