"""Which kinds of data a home has that have pages of their own: links to these show where there is something to see."""

import threading
from contextlib import suppress
from typing import Final

from hdfs_pipeline.errors import PipelineError
from hdfs_pipeline.serving.cache import State
from hdfs_pipeline.store.store import Store

WEB: Final = "web"
APPLOGS: Final = "applogs"
EXPERIMENTS: Final = "experiments"
_THERE: Final = {
    WEB: "EXISTS (FROM requests) OR EXISTS (FROM request_windows)",
    APPLOGS: "EXISTS (FROM app_logs)",
    EXPERIMENTS: "EXISTS (FROM experiments)",
}
"""SQL that says whether there is anything of a section."""
_PATIENCE_S: Final = 1.0


class Sections:
    """The sections of a home, as the latest look at its store found them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._state: State | None = None
        self.present: frozenset[str] = frozenset()

    def look(self, state: State) -> None:
        """Look again if the store has another `state` than at the last look. From a thread that may wait."""
        with self._lock:
            if state == self._state:
                return
            self._state = state
            if not self._store.path.is_file():
                self.present = frozenset()
                return
            # Somebody may write meanwhile: the next page looks again, and this one has the links that it had.
            with suppress(PipelineError), self._store.read(_PATIENCE_S) as con:
                row = con.execute(f"SELECT {', '.join(_THERE.values())}").fetchall()[0]
                self.present = frozenset(name for name, there in zip(_THERE, row, strict=True) if there)
                return
            self._state = None
