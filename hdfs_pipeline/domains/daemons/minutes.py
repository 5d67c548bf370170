"""The counted minutes, as the items that they are: whose they are, and what they are about."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from hdfs_pipeline.domains.daemons.catalogue import described
from hdfs_pipeline.domains.daemons.item import FORM, take_apart
from hdfs_pipeline.domains.daemons.naming import daemon_names_sql

OF_ITEMS: Final = "minute IN (SELECT unnest($minutes::TIMESTAMPTZ[]))"
"""Of the rows of `daemon_minutes` those of the minutes of some items: see `minutes_of`."""


def told_sql(only: str = "true") -> str:
    """SELECT of the rows of `daemon_minutes` with `kind` and `entity` of the daemon that they speak of, and `own`.

    `own` says whether that is the daemon that wrote them; `key` is the id of the item, and `topic` its topic. `only`
    is a condition on rows of `daemon_minutes`: to make the ids of all takes far longer than to look for some.
    """
    known = described()
    return f"""WITH spoken AS (
            SELECT m.* EXCLUDE (node), path, node = '' AS own, {known.topic_sql()} AS topic,
                if(own, kind, {known.kind_sql()}) AS kind, if(own, entity, node) AS entity
            FROM (FROM daemon_minutes WHERE {only}) m JOIN ({daemon_names_sql()}) USING (source_id))
        SELECT *, rtrim(kind || ' ' || entity || ' ' || strftime(minute, '{FORM}') || ' ' || topic) AS key
        FROM spoken"""


def minutes_of(keys: Iterable[str]) -> list[datetime]:
    """The minutes of some items, in order: `$minutes` of `OF_ITEMS`."""
    return sorted({take_apart(key).minute for key in keys})
