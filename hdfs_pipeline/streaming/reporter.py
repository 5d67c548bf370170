"""Reports of a worker to Dagster: materializations of its domain's external asset, while something comes."""

import logging
import threading
import time
from typing import Any, Final, Self

import httpx

from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.streaming.metrics import COUNTS, Metrics

_log = logging.getLogger(__name__)
_TIMEOUT_S: Final = 5.0


def stream_asset(domain: Domain) -> str:
    """The asset that stands for a domain's stream workers."""
    return f"{domain.item.noun.replace(' ', '_')}_stream"


class Reporter:
    """A thread that reports and logs the figures of each `every_s` seconds, while its `with` block runs.

    Of spans in which nothing happens the first is told, so that a plot goes down to 0, and the others are not.
    Dagster's web server need not be there: the log says once that it is not, and once that it is again.
    """

    def __init__(self, settings: Settings, metrics: Metrics, asset: str, every_s: float) -> None:
        self._url = f"{settings.dagster_address}/report_asset_materialization/{asset}"
        self._metrics, self._every_s = metrics, every_s
        self._ended = threading.Event()
        self._answers: bool | None = None
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(_TIMEOUT_S + 1)

    def _run(self) -> None:
        before, idle = time.monotonic(), False
        with httpx.Client(timeout=_TIMEOUT_S) as client:
            while True:
                last = self._ended.wait(self._every_s)
                now = time.monotonic()
                figures = self._metrics.recent.take(now - before)
                before, was_idle = now, idle
                idle = not any(figures[name] for name in COUNTS)
                if not (idle and was_idle):
                    _log.info(" ".join(f"{name}={value}" for name, value in figures.items()))
                    self._post(client, figures)
                if last:
                    return

    def _post(self, client: httpx.Client, figures: dict[str, Any]) -> None:
        try:
            body = {
                "metadata": {"stage": self._metrics.stage, **figures},
                "description": "a stream worker since its last report",
            }
            client.post(self._url, json=body).raise_for_status()
            answers = True
        except httpx.HTTPError as error:
            answers = False
            if self._answers is not False:
                _log.info("Dagster does not take reports (%s): going on without", error)
        if answers and self._answers is False:
            _log.info("Dagster takes reports again")
        self._answers = answers
