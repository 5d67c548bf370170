"""How far the sensor on `incoming` is: it has moved on over files that were stored, and over no others."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from hdfs_pipeline.defs.common.incoming import Stamp, run_key
from hdfs_pipeline.defs.common.runs import wait_s

Stamps = dict[str, Stamp]
"""Files by path, each as it was when it was asked for."""


@dataclass(frozen=True)
class Outcome:
    """What became of a run: the paths whose content is stored now, and why others are not."""

    stored: frozenset[str]
    reason: str = ""


@dataclass(frozen=True)
class Asked:
    """Files that one run was asked for, at `at` (seconds since 1970).

    `failed` counts the runs before it that did not store them. `due` is when the next one may be asked for, 0 while one
    is under way; `reason` says why the last did not store them.
    """

    files: Stamps
    at: float
    failed: int = 0
    due: float = 0.0
    reason: str = ""

    @property
    def key(self) -> str:
        """What names the run; the same for the same files and the same number of tries."""
        return f"{run_key(self.files)}-{self.failed}"


@dataclass
class Cursor:
    """`done` are the files that are stored, `asked` those that runs were asked for and that are not stored yet."""

    done: Stamps = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    @classmethod
    def of(cls, text: str | None) -> "Cursor":
        """The cursor of a sensor; that of an older release held no more than the files that it had asked for."""
        stored = json.loads(text or "{}")
        if "done" not in stored:
            return cls(_stamps(stored))
        asked = [Asked(**entry | {"files": _stamps(entry["files"])}) for entry in stored["asked"]]
        return cls(_stamps(stored["done"]), asked)

    def text(self) -> str:
        """What the sensor keeps."""
        return json.dumps(asdict(self))

    def settle(self, outcome: Callable[[Asked], Outcome | None], now: float) -> None:
        """Move on by what runs have stored; the rest waits to be asked for again. A run at work has no `outcome`."""
        asked = []
        for entry in self.asked:
            ended = None if entry.due else outcome(entry)
            if ended is None:
                asked.append(entry)
                continue
            self.done |= {path: stamp for path, stamp in entry.files.items() if path in ended.stored}
            left = {path: stamp for path, stamp in entry.files.items() if path not in ended.stored}
            if left:
                failed = entry.failed + 1
                asked.append(Asked(left, entry.at, failed, now + wait_s(failed), ended.reason))
        self.asked = asked

    def look(self, stamps: Mapping[str, Stamp]) -> Stamps:
        """Forget files that are gone, and return those that are new or have changed: nobody has asked for them so."""
        self.done = {path: stamp for path, stamp in self.done.items() if Path(path).exists()}
        left = [
            replace(entry, files={p: s for p, s in entry.files.items() if Path(p).exists() and stamps.get(p, s) == s})
            for entry in self.asked
        ]
        self.asked = [entry for entry in left if entry.files]
        known = self.done | {path: stamp for entry in self.asked for path, stamp in entry.files.items()}
        # A file that is still being written is in no `stamps`, and keeps what is known of it.
        return {path: stamp for path, stamp in stamps.items() if known.get(path) != stamp}

    def again(self, now: float) -> list[Asked]:
        """What is to be asked for again now, as runs that are under way from here on."""
        due = [entry for entry in self.asked if entry.due and entry.due <= now]
        again = [replace(entry, at=now, due=0.0) for entry in due]
        self.asked = [entry for entry in self.asked if entry not in due] + again
        return again

    def ask(self, files: Stamps, now: float) -> Asked:
        """Ask for files for the first time."""
        entry = Asked(files, now)
        self.asked.append(entry)
        return entry


def _stamps(stored: Mapping[str, list[int]]) -> Stamps:
    return {path: (size, changed_at) for path, (size, changed_at) in stored.items()}
