"""Dagster's schedules and sensors with their last ticks, as its own web server tells them over GraphQL."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import Settings

COMMAND: Final = "hdfs-pipeline up"
"""What starts Dagster."""
LIMIT_S: Final = 1.0
"""Seconds that Dagster may take over each step of an answer."""
_TICKS: Final = 3
_ANY: Final = ("", "0.0.0.0", "::")  # noqa: S104 - to be recognised, not to be listened on
_STATE: Final = (
    f"""{{ status ticks(limit: {_TICKS}) {{ timestamp endTimestamp status skipReason runIds error {{ message }} }} }}"""
)
_QUERY: Final = f"""{{ repositoriesOrError {{ __typename
  ... on RepositoryConnection {{ nodes {{
    schedules {{ name description cronSchedule executionTimezone scheduleState {_STATE}
      futureTicks(limit: 1) {{ results {{ timestamp }} }} }}
    sensors {{ name description minIntervalSeconds sensorState {_STATE} nextTick {{ timestamp }} }}
  }} }}
  ... on PythonError {{ message }} }} }}"""


def dagster_page(settings: Settings) -> str:
    """Address of Dagster's web page, for a program on this machine."""
    host = settings.dagster_host
    host = "127.0.0.1" if host in _ANY else f"[{host}]" if ":" in host else host
    return f"http://{host}:{settings.dagster_port}"


def schedules_of(settings: Settings) -> dict[str, Any]:
    """Each schedule and sensor with its state, when it is due next, and its last ticks, the latest first.

    Times are in ISO 8601, UTC. `why` says why nothing is known, and what helps; '' where it is.
    """
    page = dagster_page(settings)
    try:
        return {"page": page, "why": ""} | _asked(page)
    except SetupError as error:
        return {"page": page, "schedules": [], "sensors": [], "why": str(error)}


def _asked(page: str) -> dict[str, Any]:
    """The schedules and sensors. Raises: SetupError where Dagster does not answer; it names what starts it."""
    try:
        with httpx.Client(timeout=LIMIT_S, trust_env=False) as client:
            answer = client.post(f"{page}/graphql", json={"query": _QUERY}).raise_for_status().json()
        found = answer["data"]["repositoriesOrError"]
        if "nodes" not in found:
            raise SetupError(f"Dagster at {page} cannot load its definitions: {found.get('message', '')[:1000]}")
        return {"schedules": [*_schedules(found["nodes"])], "sensors": [*_sensors(found["nodes"])]}
    except httpx.HTTPError as error:
        why = f"within {LIMIT_S:g} s" if isinstance(error, httpx.TimeoutException) else f"({type(error).__name__})"
        raise SetupError(f"Dagster does not answer at {page} {why}: `{COMMAND}` starts it") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SetupError(f"what answers at {page} is no Dagster: see the setting dagster_port") from None


def _schedules(repositories: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for each in sorted((each for found in repositories for each in found["schedules"]), key=lambda each: each["name"]):
        following = each["futureTicks"]["results"]
        yield _told(each, each["scheduleState"]) | {
            "when": f"{each['cronSchedule']} ({each['executionTimezone'] or 'UTC'})",
            "next_at": _time(following[0]["timestamp"] if following else None),
        }


def _sensors(repositories: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for each in sorted((each for found in repositories for each in found["sensors"]), key=lambda each: each["name"]):
        yield _told(each, each["sensorState"]) | {
            "when": f"every {each['minIntervalSeconds']} s",
            "next_at": _time((each["nextTick"] or {}).get("timestamp")),
        }


def _told(each: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    """What schedules and sensors have in common."""
    return {
        "name": each["name"],
        "about": each["description"] or "",
        "running": state["status"] == "RUNNING",
        "ticks": [
            {
                "at": _time(tick["timestamp"]),
                "status": tick["status"].lower(),
                "runs": len(tick["runIds"]),
                "text": ((tick["error"] or {}).get("message") or tick["skipReason"] or "")[:1000],
            }
            for tick in state["ticks"]
        ],
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
