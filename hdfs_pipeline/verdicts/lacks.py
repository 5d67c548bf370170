"""What the watcher itself lacks: data, verdicts, models. A home that tells of no incident may only hear nothing."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from hdfs_pipeline.domains import option_of
from hdfs_pipeline.domains.champions import serving_detector
from hdfs_pipeline.domains.contract import Domain, Heard
from hdfs_pipeline.scoring.models import champion_version
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Connection, Store

UNSCORED: Final = "unscored"
"""The kind of lack that leaves open whether something is wrong."""
_OLD_MODEL: Final = timedelta(days=30)
_GONE_S: Final = 30 * 86400.0  # of silence, after which a server that nobody asks was taken away
_LISTED: Final = 3  # servers, or reasons, that are named
_LETTERS: Final = "hdfs-pipeline export dead_letters --format csv --table dead_letters"
_REASONS: Final = "SELECT reason, count(*) FROM dead_letters WHERE seen_at >= ? GROUP BY reason ORDER BY 2 DESC, 1"
_READ: Final = "SELECT coalesce(epoch(max(ingested_at)), 0) FROM sources WHERE source_id > 0"
_GAPS: Final = """SELECT topic, sum(to_offset - from_offset)::BIGINT FROM stream_gaps WHERE seen_at >= ?
    GROUP BY topic ORDER BY topic"""

_GROUPED_S: Final = 60.0  # in which a trouble becomes an incident where something groups
_UNGROUPED: Final = """SELECT count(*) FROM anomalies a WHERE domain = $domain AND list_contains($episodes, detector)
    AND status <> 'withdrawn' AND last_time >= $since AND first_time < to_timestamp($now - $grouped)
    AND NOT EXISTS (FROM incidents i WHERE i.domain = a.domain AND i.kind = a.kind
        AND a.first_time BETWEEN i.started_at AND i.ended_at)"""


class Lack(NamedTuple):
    """Something that the watcher lacks, in a sentence, and the command that helps, '' where none does."""

    kind: str
    text: str
    command: str = ""


def lacks_of(
    store: Store,
    settings: Settings,
    heard: Mapping[Domain, Sequence[Heard]],
    *,
    now: datetime,
    until: datetime,
    since: datetime,
) -> Iterator[Lack]:
    """What the watcher lacks at the time `now`, the gravest first.

    `heard` says from whom each domain has data; `until` is when the latest record was written; records that could not
    be used are told from `since` on.
    """
    with store.read() as con:
        for domain in heard:
            yield from _ungrouped(con, settings, domain, now, since)
        yield from _silent([each for own in heard.values() for each in own], until, settings.silence_s)
        yield from _unread(con, settings)
        yield from _lost(con, since)
        for domain, own in heard.items():
            if own:
                yield from _unscored(con, store, settings, domain, now)
                yield from _model(con, store, settings, domain, until)
            elif any(heard.get(each) for each in heard if each.name == domain.follows):
                yield from _history(store, settings, domain)


def _silent(heard: Sequence[Heard], until: datetime, after_s: float) -> Iterator[Lack]:
    """Servers of which nothing came for so long, although others send, or although they are asked.

    A server that is not asked, and of which nothing came for 30 days, is taken to be gone.
    """
    latest = max([until.timestamp(), *(each.asked for each in heard)])
    silences = ((latest - each.time, each) for each in heard)
    silent = sorted((silence, each) for silence, each in silences if after_s < silence <= _GONE_S or each.note)
    for seconds, each in silent[:_LISTED]:
        how_long = f"for {duration(seconds)}" if each.time else "so far"
        yield Lack("silence", f"no data from {each.server} {how_long}: {each.note or 'others send'}")
    if len(silent) > _LISTED:
        yield Lack("silence", f"no data from {_number(len(silent) - _LISTED, 'further server')} for longer than that")


def duration(seconds: float) -> str:
    """A length of time, for people: 45 s, 20 min, 3 h, 8 days."""
    for size, unit in ((2 * 86400, "days"), (2 * 3600, "h"), (120, "min")):
        if seconds >= size:
            return f"{seconds / {'days': 86400, 'h': 3600, 'min': 60}[unit]:,.0f} {unit}"
    return f"{seconds:,.0f} s"


def _ungrouped(con: Connection, settings: Settings, domain: Domain, now: datetime, since: datetime) -> Iterator[Lack]:
    """Troubles that polls tell of and that are in no incident, since nothing brings incidents up to date."""
    grouping = domain.grouping(settings)
    if grouping is None or not grouping.episodes:
        return
    about = {"domain": domain.name, "episodes": list(grouping.episodes), "since": since}
    about |= {"now": now.timestamp(), "grouped": _GROUPED_S}
    count = con.execute(_UNGROUPED, about).fetchall()[0][0]
    if count:
        text = f"{_number(count, 'trouble')} of polls in no incident: nothing brings incidents up to date"
        yield Lack("ungrouped", text, "hdfs-pipeline incidents follow")


def _unread(con: Connection, settings: Settings) -> Iterator[Lack]:
    """Files for the home that came after its last reading."""
    folder = settings.incoming
    latest = con.execute("SELECT coalesce(epoch(max(ingested_at)), 0) FROM sources WHERE source_id > 0").fetchall()[0][
        0
    ]
    waiting = [
        path
        for path in (folder.rglob("*") if folder.is_dir() else ())
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
        and path.stat().st_mtime > latest
    ]
    if waiting:
        yield Lack(
            "unread", f"{_number(len(waiting), 'file')} in {folder} not read yet", f"hdfs-pipeline ingest {folder}"
        )


def _number(count: int, noun: str, plural: str = "") -> str:
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def _lost(con: Connection, since: datetime) -> Iterator[Lack]:
    """Records that could not be used, and messages that could not be read."""
    reasons = con.execute(_REASONS, [since]).fetchall()
    if reasons:
        named = ", ".join(f"{reason} ({count:,})" for reason, count in reasons[:_LISTED])
        more = f" and {len(reasons) - _LISTED:,} more reasons" if len(reasons) > _LISTED else ""
        total = sum(count for _, count in reasons)
        yield Lack("dead letters", f"{_number(total, 'dead letter')}: {named}{more}", _LETTERS)
    for topic, count in con.execute(_GAPS, [since]).fetchall():
        yield Lack("gap", f"{_number(count, 'message')} of topic {topic} could not be read")


def _unscored(con: Connection, store: Store, settings: Settings, domain: Domain, now: datetime) -> Iterator[Lack]:
    """Items without a verdict, where nobody is about to give them one."""
    serving = serving_detector(settings, domain)
    version = champion_version(settings, domain.name, serving)
    scored = con.execute("SELECT max(scored_at) FROM scores WHERE domain = ?", [domain.name]).fetchall()[0][0]
    if version is None and serving not in domain.untrained:
        return
    if scored is not None and (now - scored).total_seconds() <= settings.silence_s:
        return  # where verdicts are brought up to date all the time some items always wait
    waiting = domain.waiting(store, serving, version or 0)
    if waiting:
        text = f"{_number(waiting, domain.item.noun, domain.item.plural)} without a verdict yet"
        yield Lack(UNSCORED, text, f"hdfs-pipeline score{option_of(domain.name)}")


def _history(store: Store, settings: Settings, domain: Domain) -> Iterator[Lack]:
    """What a domain that follows another still needs before it can learn."""
    serving = serving_detector(settings, domain)
    taught = [name for name in domain.voices(settings, serving) if name not in domain.untrained]
    if any(champion_version(settings, domain.name, name) is not None for name in taught):
        return
    if lacking := domain.lacks_to_learn(store, settings):
        text = f"{domain.item.plural} are judged by {serving} alone: {' and '.join(taught)} {lacking}"
        yield Lack("untrained", text)


def _model(con: Connection, store: Store, settings: Settings, domain: Domain, until: datetime) -> Iterator[Lack]:
    """A model that is missing, or that knows only what was long ago."""
    serving, item = serving_detector(settings, domain), domain.item
    taught = [name for name in domain.voices(settings, serving) if name not in domain.untrained]
    known = (serving, *taught) if serving in domain.untrained else (serving,)
    versions = {name: champion_version(settings, domain.name, name) for name in known}
    learned = next((name for name in known if versions[name] is not None), None)
    if learned is None:
        lacking = domain.lacks_to_learn(store, settings)
        if serving in domain.untrained:
            text = f"{item.plural} are judged by {serving} alone: nothing was learned from this cluster yet"
            command = domain.trained_by.format("standard")
        else:
            text = f"{domain.name}: no model judges {item.plural} yet"
            command = domain.trained_by.format(serving)
        yield Lack("untrained", f"{text}; a model {lacking}", "") if lacking else Lack("untrained", text, command)
        return
    trained = con.execute(
        "SELECT created_at FROM models WHERE domain = ? AND detector = ? AND version = ?",
        [domain.name, learned, versions[learned]],
    ).fetchall()
    if trained and until - trained[0][0] > _OLD_MODEL:
        age = duration((until - trained[0][0]).total_seconds())
        text = f"{learned} learned from {item.plural} {age} before the latest record"
        yield Lack("old model", text, f"hdfs-pipeline drift{option_of(domain.name)}")
