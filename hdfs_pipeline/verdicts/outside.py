"""Verdicts on items that are not the home's, and of which nothing is kept: the judge of each domain stays loaded."""

import threading

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.contract import Judge
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store


class Judges:
    """The judges of a home, made when they are first asked for."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self._judges: dict[str, Judge] = {}
        self._lock = threading.Lock()

    def of(self, name: str) -> tuple[str, Judge]:
        """A domain by its name ('' for the first of all), and its judge.

        Raises: UsageError for an unknown domain, DataError for one that judges only what the home holds; else as
        `Domain.judge`.
        """
        domain = domain_named(name or None)
        with self._lock:
            if domain.name not in self._judges:
                self._judges[domain.name] = domain.judge(self._store, self._settings)
            return domain.name, self._judges[domain.name]
