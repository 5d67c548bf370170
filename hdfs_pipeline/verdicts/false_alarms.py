"""The word that an incident was a false alarm: on the incident, and on each of its anomalies, to be learned from."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from hdfs_pipeline.domains import DOMAINS, domain_named
from hdfs_pipeline.errors import PipelineError
from hdfs_pipeline.store.store import Store, dicts, publish_into
from hdfs_pipeline.verdicts.feedback import SAME, with_times
from hdfs_pipeline.verdicts.incidents import incident_json
from hdfs_pipeline.verdicts.members import members_of
from hdfs_pipeline.verdicts.words import say_within, the_incident


def call_false(store: Store, text: str, *, note: str = "", by: str = "", now: datetime | None = None) -> dict[str, Any]:
    """Suppress the incident whose id begins with `text`, and keep the word `false` on each of its anomalies.

    Returns what `words.say` does, and in `items` how many anomalies got the word. Raises: NotFoundError where no
    incident or several have such an id.
    """
    given_at = now or datetime.now(UTC)
    with store.write() as con:
        identity = the_incident(con, text)[0]
        (row,) = dicts(con, "FROM incidents WHERE id = ?", [identity])
        words = [
            {"domain": row["domain"], "item": member["item"], "entity": "", "from_at": None, "to_at": None}
            | {"verdict": "false", "note": note, "given_by": by, "given_at": given_at, "kind": ""}
            | {name: member[name] for name in ("detector", "version", "score")}
            | {"was_anomaly": True}
            for member in members_of(con, incident_json(row))
            if _can_be_told(row["domain"], member["item"])
        ]
        if words:
            publish_into(con, "feedback", with_times(pa.Table.from_pylist(words)), replace=SAME)
        said = say_within(con, identity, "suppress", f"false alarm{': ' * bool(note)}{note}", by, given_at)
    return said | {"items": len(words)}


def _can_be_told(domain: str, item: str) -> bool:
    """Whether people's words on an anomaly can be kept: it is an item of its domain."""
    with suppress(PipelineError):
        return domain in DOMAINS and domain_named(domain).item.shown(item) == item
    return False
