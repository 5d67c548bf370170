"""Delivering: one process at a time in a home, and in it one thread for each target, so that none waits for another."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Final

from filelock import FileLock, Timeout
from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_before_delay,
    stop_when_event_set,
    wait_exponential_jitter,
)

from hdfs_pipeline.alerting.alertmanager import Alertmanager
from hdfs_pipeline.alerting.ledger import due, settle
from hdfs_pipeline.alerting.messages import Letter
from hdfs_pipeline.alerting.target import OutageError, Target
from hdfs_pipeline.alerting.topic import IncidentsTopic, has_brokers
from hdfs_pipeline.alerting.webhook import Webhook
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store

LOOK_S: Final = 2.0
"""Seconds between two looks for what is new."""
LONGEST_PAUSE_S: Final = 30.0
"""Seconds between two tries while a target is away; the first ones come sooner."""
_LOCK: Final = "notify.lock"
_PAUSE: Final = wait_exponential_jitter(initial=0.5, max=LONGEST_PAUSE_S)

Say = Callable[[str], None]
"""Takes a line for people."""


@dataclass
class Told:
    """What a target was told: messages by event, what it refused for good, and what keeps it from being told more."""

    target: str
    events: Counter[str] = field(default_factory=Counter)
    refusals: list[str] = field(default_factory=list)
    trouble: str = ""

    def count(self, letters: Sequence[Letter], refusals: Sequence[str]) -> None:
        """Count messages with what became of them."""
        for letter, refusal in zip(letters, refusals, strict=True):
            if refusal:
                self.refusals.append(refusal)
            elif not letter.again:
                self.events[letter.event] += 1

    @property
    def well(self) -> bool:
        """Whether it was told everything."""
        return not self.refusals and not self.trouble

    def line(self) -> str:
        """It in one line."""
        events = ", ".join(f"{number:,} {event}" for event, number in self.events.items())
        parts = [f"told of {events}" if events else "nothing new"]
        if self.refusals:
            parts.append(
                f"refused {len(self.refusals):,}: {self.refusals[-1]}. Mend that, then `hdfs-pipeline notify --refused`"
            )
        if self.trouble:
            parts.append(f"the rest waits: {self.trouble}")
        return f"{self.target}: {'; '.join(parts)}"


def targets(settings: Settings) -> list[Target]:
    """The targets that are set. Raises: SetupError where there is none."""
    found: list[Target] = []
    if settings.alertmanager_url:
        found.append(Alertmanager(settings))
    if settings.webhook_url:
        found.append(Webhook(settings))
    if has_brokers(settings):
        found.append(IncidentsTopic(settings))
    if not found:
        raise SetupError(
            "nobody to tell of incidents: set alertmanager_url or webhook_url, or start a broker (docs/alerting.md)"
        )
    return found


@contextmanager
def turn(settings: Settings, wait_s: float) -> Iterator[None]:
    """No other process delivers incidents of this home in the block. Raises: filelock.Timeout after `wait_s` seconds.

    The lock is released when the process ends, however it ends.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with FileLock(settings.home / _LOCK, timeout=wait_s):
        yield


def notify_once(
    store: Store, settings: Settings, *, turn_s: float, patience_s: float, limit_s: float = math.inf
) -> list[Told]:
    """Tell every target what is new, once; what became of it, by target.

    A target that is away is tried again for `patience_s` seconds, and no new message is begun after `limit_s`. Raises:
    SetupError where there is no target; filelock.Timeout where another process delivers for `turn_s` seconds or more.
    """
    found = targets(settings)
    end = time.monotonic() + limit_s
    before = datetime.now(UTC)  # one pass tells all that there is

    def one(target: Target) -> Told:
        told, stop = Told(target.name), stop_before_delay(patience_s)
        retrying = Retrying(retry=retry_if_exception_type(SetupError), wait=_pause, stop=stop, reraise=True)
        try:
            retrying(deliver, store, target, told, before, lambda: time.monotonic() > end)
        except SetupError as error:
            told.trouble = str(error)
        finally:
            target.close()
        return told

    with turn(settings, turn_s), ThreadPoolExecutor(len(found), "notify") as pool:
        return list(pool.map(one, found))


def follow(store: Store, settings: Settings, stopped: Event, say: Say) -> None:
    """Tell every target what is new, every few seconds until `stopped` is set.

    Raises: SetupError where there is no target, or where another process delivers for long.
    """
    found = targets(settings)
    try:
        with turn(settings, LONGEST_PAUSE_S), ThreadPoolExecutor(len(found), "notify") as pool:
            say(f"telling {', '.join(target.name for target in found)} of incidents")
            running = [pool.submit(_keep_telling, store, settings, target, stopped, say) for target in found]
            ended, _ = wait(running, return_when=FIRST_EXCEPTION)
            stopped.set()  # one that fails by a fault of ours ends the others
            for each in ended:
                each.result()
    except Timeout:
        raise elsewhere(settings) from None


def elsewhere(settings: Settings) -> SetupError:
    """The error where another process delivers."""
    return SetupError(
        f"another process delivers the incidents of {settings.home} already: `hdfs-pipeline notify --follow` there, or "
        "Dagster's sensor `notify`, which rests while the command runs"
    )


def deliver(store: Store, target: Target, told: Told, before: datetime, stopped: Callable[[], bool]) -> None:
    """Tell a target all that is due (`ledger.due`), and count it in `told`. No message is begun once `stopped` is true.

    Raises: OutageError where the target takes nothing now; SetupError where the store is not to be had.
    """
    while letters := due(store, target, place := target.place(), before):
        for first in range(0, len(letters), target.batch):
            if stopped():
                return
            batch = letters[first : first + target.batch]
            try:
                refusals = target.send(batch)
            except OutageError as error:
                settle(store, place, error.taken, [""] * len(error.taken))
                settle(store, place, [each for each in batch if each not in error.taken], (), str(error))
                told.count(error.taken, [""] * len(error.taken))
                raise
            settle(store, place, batch, refusals)
            told.count(batch, refusals)
            told.trouble = ""


def _pause(state: RetryCallState) -> float:
    """Seconds until the next try: longer each time, and as long as the target asks for."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.wait_s if isinstance(error, OutageError) else 0.0
    return max(_PAUSE(state), asked)


def _keep_telling(store: Store, settings: Settings, target: Target, stopped: Event, say: Say) -> None:
    try:
        while not stopped.is_set():
            if store.path.exists():  # before the first ingest there is nothing to tell
                _tell_in_the_end(store, settings, target, stopped, say)
            stopped.wait(LOOK_S)
    finally:
        target.close()


def _tell_in_the_end(store: Store, settings: Settings, target: Target, stopped: Event, say: Say) -> None:
    """Tell a target what is new, however long it is away; what keeps it away is said once."""
    told = Told(target.name)

    def trouble(state: RetryCallState) -> None:
        text = str(state.outcome.exception()) if state.outcome else ""
        if told.trouble != text:
            told.trouble = text
            say(told.line())

    retrying = Retrying(
        retry=retry_if_exception_type(SetupError),
        wait=_pause,
        sleep=sleep_using_event(stopped),
        stop=stop_when_event_set(stopped),
        before_sleep=trouble,
    )
    before = datetime.now(UTC) - timedelta(seconds=settings.notify_repeat_s)
    try:
        retrying(deliver, store, target, told, before, stopped.is_set)
    except RetryError:  # the process is to end while the target is away
        return
    told.trouble = ""
    if told.events or told.refusals:
        say(told.line())
