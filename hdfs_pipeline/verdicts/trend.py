"""The trend of incidents: how many anomalies came in each part of its time, and what that means in a word."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from hdfs_pipeline.scoring.incidents import GOING_ON
from hdfs_pipeline.store.store import Store

STEPS: Final = 12
"""Equal parts of an incident's time."""
_MORE: Final = 1.5  # times the rate before, from which on it grows
# As in `verdicts.members`: its own anomalies where its entity is known by them, else all of its kinds and its time.
_COUNTS: Final = f"""WITH wanted AS (
        SELECT id, domain, entity, started_at AS began, ended_at AS ended,
            unnest(if(kinds = '{{}}', (SELECT list(DISTINCT kind) FROM anomalies), json_keys(kinds))) AS kind,
            greatest(epoch(ended_at) - epoch(started_at), 1e-3) AS seconds
        FROM incidents WHERE list_contains($ids, id)
    ), counted AS (
        SELECT w.id, a.item,
            least(floor((epoch(coalesce(a.told_from, a.last_time)) - epoch(w.began)) / w.seconds * {STEPS}),
                {STEPS} - 1)::INT AS step,
            a.entity = w.entity OR e.alias IS NOT NULL OR coalesce(list_contains(a.blamed, w.entity), false) AS own
        FROM anomalies a JOIN wanted w ON a.domain = w.domain AND a.kind = w.kind
            AND coalesce(a.told_from, a.last_time) BETWEEN w.began AND w.ended + INTERVAL 1 MILLISECOND
        LEFT JOIN (SELECT DISTINCT alias, entity FROM entities) e ON e.alias = a.entity AND e.entity = w.entity
        WHERE a.status <> 'withdrawn'
    )
    SELECT id, step, count(DISTINCT item) FILTER (own), count(DISTINCT item) FROM counted GROUP BY ALL"""


def with_trends(store: Store, incidents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Incidents, as `verdicts.listing` has them, each with its `trend`, by one query for all.

    A trend has `counts`, of anomalies in each of `STEPS` equal parts of its time, and `word`: growing, steady or fading
    of one that goes on, else over. It is None where the store has none of the incident's anomalies.
    """
    own: dict[str, np.ndarray] = {row["id"]: np.zeros((2, STEPS), np.int64) for row in incidents}
    if own:
        with store.read() as con:
            for identity, step, *counts in con.execute(_COUNTS, {"ids": [*own]}).fetchall():
                own[identity][:, step] = counts
    return [row | {"trend": _trend(row, own[row["id"]])} for row in incidents]


def _trend(row: Mapping[str, Any], counts: np.ndarray) -> dict[str, Any] | None:
    chosen = counts[0] if counts[0].any() else counts[1]
    if not chosen.any():
        return None
    return {"counts": chosen.tolist(), "word": _word(chosen) if row["status"] in GOING_ON else "over"}


def _word(counts: np.ndarray) -> str:
    """How the last third of its time compares with the third before."""
    before, last = counts[STEPS // 3 : 2 * STEPS // 3].sum(), counts[2 * STEPS // 3 :].sum()
    if counts.sum() < 3:
        return "steady"
    if last > _MORE * before:
        return "growing"
    return "fading" if before > _MORE * last else "steady"
