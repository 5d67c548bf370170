"""Incidents as they open, grow and end: what is new is judged and grouped, and each change is told once."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Event
from time import monotonic
from typing import Any, Final

from filelock import FileLock, Timeout

from hdfs_pipeline.errors import PipelineError, SetupError
from hdfs_pipeline.scoring.incidents import GOING_ON, SUPPRESSED
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Connection, Store
from hdfs_pipeline.verdicts.listing import rows
from hdfs_pipeline.verdicts.live import GREW, Change, changed, update_incidents
from hdfs_pipeline.verdicts.update import judge_new

ROUND_S: Final = 5.0
"""Seconds between two looks for changes."""
_JUDGE_S: Final = 15.0  # between two looks for what is new: it loads models
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
    lock = FileLock(settings.home / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    with lock:
        yield True


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
    """Bring incidents up to date and tell each change once, until `stopped` is set.

    While another process of the home does so, it only tells. `say` gets lines for people: what was there before, and
    trouble, once. A home without a store is waited for; a store that is busy is asked again in the next round.
    """
    store = Store.open(settings.model_copy(update={"lock_timeout_s": min(_LOCKED_S, settings.lock_timeout_s)}))
    changes, old, judged, trouble = Changes(), store.path.exists(), float("-inf"), ""
    settings.home.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            if old:
                with store.read() as con:
                    number = changes.skip(con)
                few = "1 incident is" if number == 1 else f"{number:,} incidents are"
                say(f"{few} open: `hdfs-pipeline status` tells of them" if number else "none is open")
                old = False
            elif store.path.exists():
                judge = monotonic() - judged >= _JUDGE_S
                if bring_up_to_date(store, settings, judge=judge) and judge:
                    judged = monotonic()
                with store.read() as con:
                    found = changes.since_last(con)
                tell(found)
            trouble = ""
        except PipelineError as error:
            # A store that is busy is nothing to tell: it is asked again.
            if not isinstance(error, SetupError) and str(error) != trouble:
                say(str(error))
                trouble = str(error)
        if stopped.wait(ROUND_S):
            return
