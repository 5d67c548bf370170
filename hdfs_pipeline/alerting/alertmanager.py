"""Alertmanager: one alert for each incident that goes on, by its API v2.

Labels are an alert's identity there: where an incident's severity or entity changes, the alert with the old labels is
ended as the new one begins. An alert lives as long as its `endsAt`, so those that go on are posted again and again
with a later one. Those that have ended are posted for a while too: an Alertmanager that is started anew has forgotten
them, and would not tell its receivers of the end.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from hdfs_pipeline.alerting.messages import Letter, News, link
from hdfs_pipeline.alerting.post import Poster
from hdfs_pipeline.settings import Settings

ALERT: Final = "HdfsIncident"
"""The label `alertname`."""
HELD_S: Final = 300.0
"""Seconds for which an alert is held without being posted again."""
_PATH: Final = "/api/v2/alerts"
_LABELS: Final = ("domain", "kind", "entity", "severity")

Alert = dict[str, Any]


class Alertmanager:
    """The Alertmanager at `alertmanager_url`."""

    name = "alertmanager"
    batch = 100
    forgets = True

    def __init__(self, settings: Settings) -> None:
        self._pages_url = settings.pages_url
        url = settings.alertmanager_url.rstrip("/").removesuffix(_PATH) + _PATH
        self._poster = Poster(url, settings.notify_timeout_s, settings.secrets)

    def place(self) -> str:
        """Its name."""
        return self.name

    def body(self, news: News, last: str) -> str:
        """The incident's alert, and the ends of its alerts with other labels; '' where none was or is to be there.

        An alert without `endsAt` goes on.
        """
        now = datetime.now(UTC)
        before: list[Alert] = [each for each in (orjson.loads(last) if last else []) if "endsAt" not in each]
        own = alert_of(news.incident, self._pages_url, now) if news.goes_on else None
        over = [each for each in before if own is None or each["labels"] != own["labels"]]
        end = now if own is not None else _end(news.incident, now)
        ended = [{**each, "endsAt": _text(max(end, datetime.fromisoformat(each["startsAt"])))} for each in over]
        alerts = [*ended, own] if own else ended
        return orjson.dumps(alerts).decode() if alerts else ""

    def send(self, letters: Sequence[Letter]) -> list[str]:
        """Post alerts; where they are refused together, each incident's on their own. See `Target.send`."""
        refusal = self._post(letters)
        if refusal and len(letters) > 1:
            return [self._post([letter]) for letter in letters]
        return [refusal] * len(letters)

    def _post(self, letters: Sequence[Letter]) -> str:
        until = _text(datetime.now(UTC) + timedelta(seconds=HELD_S))
        alerts = [{"endsAt": until, **alert} for letter in letters for alert in orjson.loads(letter.body)]
        return self._poster.post(orjson.dumps(alerts), {})

    def close(self) -> None:
        """Close its connections."""
        self._poster.close()


def alert_of(incident: Mapping[str, Any], pages_url: str, now: datetime) -> Alert:
    """The alert of an incident as `incident_json` gives it, without `endsAt`."""
    about = f"{incident['kind']}: {incident['entity']}" if incident["entity"] else incident["kind"]
    kinds = ", ".join(f"{kind}: {items:,}" for kind, items in incident["kinds"].items())
    annotations = {
        "summary": incident["title"] or about,
        "evidence": incident["evidence"],
        "next_steps": "\n".join(incident["next_steps"]),
        "items": f"{incident['items']:,}",
        "kinds": kinds,
        "status": incident["status"],
        "related": ", ".join(incident["related"]),
    }
    labels = {"alertname": ALERT, "incident": incident["id"], **{name: incident[name] for name in _LABELS}}
    alert: Alert = {
        "labels": _filled(labels),
        "annotations": _filled(annotations),
        "startsAt": _text(min(datetime.fromisoformat(incident["started_at"]), now)),
    }
    page = link(pages_url, incident["id"])
    return alert | ({"generatorURL": page} if page else {})


def _filled(texts: Mapping[str, str | None]) -> dict[str, str]:
    """Alertmanager takes an empty label for one that is not there."""
    return {name: text for name, text in texts.items() if text}


def _end(incident: Mapping[str, Any], now: datetime) -> datetime:
    ended = incident.get("ended_at")
    return min(datetime.fromisoformat(ended), now) if ended else now


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds")
