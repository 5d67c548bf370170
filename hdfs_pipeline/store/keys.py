"""Keys of rows that several rooms must compute alike."""

import hashlib
import json


def incident_id(domain: str, entity: str, group: str, started_at: float) -> str:
    """The id of an incident: 16 hexadecimal digits, the same whenever it is computed anew.

    `group` is the kind that its anomalies have in common, '' if they were not grouped by kind. `started_at` is the time
    of the first one in seconds since 1970, rounded to microseconds: a table keeps no more.
    """
    parts = json.dumps([domain, entity, group, round(started_at * 1e6)])
    return hashlib.sha256(parts.encode()).hexdigest()[:16]
