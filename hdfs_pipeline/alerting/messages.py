"""What a target is told of an incident: the event, the key of the message, and the JSON of webhook and Kafka."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from hdfs_pipeline.scoring.incidents import GOING_ON, OPEN

VERSION: Final = 1
"""Version of the JSON; it rises where a reader of the older one would misread the newer one."""
OPENED, CHANGED, REOPENED, WITHDRAWN = "opened", "changed", "reopened", "withdrawn"
"""Events beside the statuses. `withdrawn`: the incident is gone, since its anomalies are, or belong to another one."""


@dataclass(frozen=True)
class News:
    """What is to be told: the event, how many messages there were on the incident with this one, and its JSON.

    `incident` is what `verdicts.incidents.incident_json` gives; of a withdrawn one only the `id`.
    """

    event: str
    number: int
    incident: Mapping[str, Any]

    @property
    def goes_on(self) -> bool:
        """Whether people should still be alarmed."""
        return self.event != WITHDRAWN and self.incident["status"] in GOING_ON

    @property
    def key(self) -> str:
        """Key of the message: 32 hexadecimal digits of a SHA-256 over all that it says."""
        said = orjson.dumps([VERSION, self.event, self.number, dict(self.incident)], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(said).hexdigest()[:32]


@dataclass(frozen=True)
class Letter:
    """A message for one target as the ledger holds it. `again` where the target has it, and is to hear it once more."""

    incident: str
    number: int
    event: str
    key: str
    body: str
    again: bool = False


def event_of(before: str, now: str) -> str:
    """What has happened to an incident whose status was told as `before` ('' where nothing was told) and is `now`."""
    if now == OPEN:
        return {"": OPENED, OPEN: CHANGED}.get(before, REOPENED)
    return CHANGED if before == now else now


def envelope(news: News, last: str, pages_url: str) -> str:
    """The JSON that the webhook and Kafka get; `last` is what they got before, '' for nothing.

    Of a withdrawn incident it holds what was known of it.
    """
    incident = dict(news.incident)
    if news.event == WITHDRAWN and last:
        incident = orjson.loads(last)["incident"]
    told = {
        "version": VERSION,
        "event": news.event,
        "number": news.number,
        "delivery": news.key,
        "link": link(pages_url, incident["id"]),
        "incident": incident,
    }
    return orjson.dumps(told).decode()


def link(pages_url: str, incident: str) -> str:
    """Address of the page of an incident; '' where there are no pages."""
    return f"{pages_url.rstrip('/')}/incidents/{incident}" if pages_url else ""
