"""Incidents as they open, grow and end: what is new is judged and grouped, and each change is told once."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Event
from time import monotonic, process_time
from typing import Any, Final, Self

from filelock import FileLock, Timeout

from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import PipelineError, SetupError
from hdfs_pipeline.scoring.incidents import GOING_ON, SUPPRESSED
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Connection, Store
from hdfs_pipeline.verdicts.housekeeping import prune
from hdfs_pipeline.verdicts.listing import rows
from hdfs_pipeline.verdicts.live import GREW, Change, changed, update_incidents
from hdfs_pipeline.verdicts.update import judge_new

ROUND_S: Final = 5.0
"""Seconds between two looks for changes."""
_LONGEST_S: Final = 15.0  # the same where a round costs much
_REST: Final = 30.0  # times the CPU time of a round that it rests: it takes a thirtieth of a core
_JUDGE_S: Final = 5.0  # between two looks for what is new
_PRUNE_S: Final = 600.0
_TIME_PASSES_S: Final = 60.0  # between two looks at a store that does not change
_LOCKED_S: Final = 10.0  # that a round waits for the store: the next one comes soon
_WRITING: Final = timedelta(minutes=5)  # between the time that a change carries and its place in the store
_LOCK: Final = "incidents.lock"


class Changes:
    """What became of incidents since the last look, whoever brought them up to date."""

    def __init__(self) -> None:
        self._told: dict[str, dict[str, Any]] = {}
        self._since = datetime.fromtimestamp(0, UTC)

    def skip(self, con: Connection) -> int:
        """Take all that is there for told. Returns how many incidents go on."""
        self.since_last(con)
        return int(con.execute(f"SELECT count(*) FROM incidents WHERE status IN {GOING_ON}").fetchall()[0][0])

    def since_last(self, con: Connection) -> list[Change]:
        """The changes, the earliest incident first. Growth is told where the incident has doubled."""
        since, self._since = self._since, datetime.now(UTC)
        found = []
        for row in rows(con, "WHERE changed_at >= ? ORDER BY started_at, id", [since - _WRITING]):
            before = self._told.get(row["id"])
            what = changed(before, row)
            if what == GREW and before is not None and row["items"] < 2 * before["items"]:
                continue
            self._told[row["id"]] = {"status": row["status"], "items": row["items"]}
            if what and not (before is None and row["status"] == SUPPRESSED):
                found.append(Change(what, row))
        return found


@contextmanager
def turn(settings: Settings) -> Iterator[bool]:
    """Whether this process is the one that brings the home's incidents up to date; so it is then, inside the block."""
    lock = _lock(settings)
    if not _held(lock):
        yield False
        return
    with lock:
        yield True


def is_judged(store: Store, settings: Settings, domain: Domain) -> bool:
    """Whether `follow` judges what comes of a domain, in another process: then no run needs to."""
    if not (domain.follows or domain.latest(store)):
        return False
    with turn(settings) as ours:
        return not ours


def _lock(settings: Settings) -> FileLock:
    return FileLock(settings.home / _LOCK, timeout=0)


def _held(lock: FileLock) -> bool:
    """Whether this process holds the lock, from now on."""
    try:
        if not lock.is_locked:
            lock.acquire()
    except Timeout:
        return False
    return True


def bring_up_to_date(store: Store, settings: Settings, *, judge: bool = True) -> bool:
    """Judge what is new (`judge`) and group it, unless another process of the home does; whether it was done here.

    Raises: SetupError while the store is busy.
    """
    with turn(settings) as ours:
        if ours and judge:
            judge_new(store, settings)
        if ours:
            update_incidents(store, settings)
        return ours


def follow(
    settings: Settings, stopped: Event, tell: Callable[[Sequence[Change]], None], say: Callable[[str], None]
) -> None:
    """Bring incidents up to date and tell each change once, until `stopped` is set; others leave that to it meanwhile.

    While another process of the home does so, it only tells. `say` gets lines for people: what was there before, and
    trouble, once. A home without a store is waited for; a store that is busy is asked again in the next round.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with _Follower(settings, tell, say) as follower:
        while True:
            began = process_time()
            follower.look()
            if stopped.wait(min(max(ROUND_S, _REST * (process_time() - began)), _LONGEST_S)):
                return


class _Follower:
    """What is remembered from round to round."""

    def __init__(
        self, settings: Settings, tell: Callable[[Sequence[Change]], None], say: Callable[[str], None]
    ) -> None:
        self._settings, self._tell, self._say = settings, tell, say
        patience = min(_LOCKED_S, settings.lock_timeout_s)
        self._store = Store.open(settings.model_copy(update={"lock_timeout_s": patience}))
        self._lock = _lock(settings)
        self._changes = Changes()
        self._old = self._store.path.exists()  # what was there before is counted first
        self._judged = self._looked = float("-inf")
        self._pruned = monotonic()  # a home that was just opened has time
        self._stamp: tuple[int, ...] = ()  # of the store when the last round ended
        self._again = False  # what others wrote during the last round shows only in one more
        self._trouble = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def look(self) -> None:
        """One round; it costs nothing where the store has not changed, but once a minute: incidents end with time."""
        changed = _stamp(self._store) != self._stamp
        if not changed and not self._again and monotonic() - self._looked < _TIME_PASSES_S:
            return
        try:
            if self._old:
                self._count()
            elif self._store.path.exists():
                self._round()
                self._looked, self._stamp, self._again = monotonic(), _stamp(self._store), changed
            self._trouble = ""
        except PipelineError as error:
            # A store that is busy is nothing to tell: it is asked again.
            if not isinstance(error, SetupError) and str(error) != self._trouble:
                self._say(str(error))
                self._trouble = str(error)

    def _count(self) -> None:
        with self._store.read() as con:
            number = self._changes.skip(con)
        few = "1 incident is" if number == 1 else f"{number:,} incidents are"
        self._say(f"{few} open: `hdfs-pipeline status` tells of them" if number else "none is open")
        self._old = False

    def _round(self) -> None:
        if _held(self._lock):
            if monotonic() - self._judged >= _JUDGE_S:
                judge_new(self._store, self._settings)
                self._judged = monotonic()
            if monotonic() - self._pruned >= _PRUNE_S:
                prune(self._store, self._settings)
                self._pruned = monotonic()
            update_incidents(self._store, self._settings)
        with self._store.read() as con:
            found = self._changes.since_last(con)
        self._tell(found)


def _stamp(store: Store) -> tuple[int, ...]:
    """What changes with each write to the store; () where there is none."""
    try:
        found = store.path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size
