"""The tables of the store, declared once: name, key, comment, and each column's type and comment."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

SCHEMA_VERSION = 3


@dataclass(frozen=True)
class Column:
    """One column: its DuckDB type and what it holds."""

    type: str
    comment: str


@dataclass(frozen=True)
class Table:
    """One table. `key` names a row; it is enforced (PRIMARY KEY) only if `indexed`, which big tables cannot afford."""

    name: str
    comment: str
    columns: dict[str, Column]
    key: tuple[str, ...] = ()
    indexed: bool = False

    def ddl(self, database: str) -> Iterator[str]:
        """The statements that make this table, with its comments, in the attached `database`."""
        lines = [f'"{name}" {column.type}' for name, column in self.columns.items()]
        key = ", ".join(f'"{name}"' for name in self.key)
        yield f'CREATE TABLE {database}."{self.name}" ({", ".join(lines + [f"PRIMARY KEY ({key})"] * self.indexed)})'
        note = f" Key, not enforced: {', '.join(self.key)}." if self.key and not self.indexed else ""
        yield f'COMMENT ON TABLE {database}."{self.name}" IS {quoted(self.comment + note)}'
        for name, column in self.columns.items():
            yield f'COMMENT ON COLUMN {database}."{self.name}"."{name}" IS {quoted(column.comment)}'


def quoted(text: str) -> str:
    """A SQL string of `text`."""
    return "'" + text.replace("'", "''") + "'"


# name (key), `indexed` where the key is a PRIMARY KEY: comment; then the columns: name, type, comment.
_SCHEMA = """
meta (key) indexed: Facts about the store itself.
    key    VARCHAR  Name of the fact.
    value  VARCHAR  Its value, as text.
sources (source_id) indexed: One row per log file or stream that was read.
    source_id    INTEGER      Number of the source: files from 1 up, streams from -1 down.
    path         VARCHAR      Where it was read from.
    sha256       VARCHAR      SHA-256 of its content, hexadecimal; '' for a stream.
    bytes        BIGINT       Bytes read, after decompression.
    host         VARCHAR      Host that wrote it.
    daemon       VARCHAR      HDFS daemon that wrote it.
    layout       VARCHAR      Line layout that was recognised.
    lines        BIGINT       Lines read.
    records      BIGINT       Log records found; a record can span lines.
    ingested_at  TIMESTAMPTZ  When it was read, UTC.
raw_logs (source_id, position): Every log record as it was written.
    source_id  INTEGER      Source, as in `sources`.
    position   BIGINT       Line number of the record's first line in its source, from 1; of a stream, its offset.
    time       TIMESTAMPTZ  Time stamp of the record, UTC.
    origin     VARCHAR      What stands between the time stamp and the message: level, logger, what else there is.
    message    VARCHAR      Rest of the first line.
    more       VARCHAR      Its continuation lines with their line breaks; '' if there are none.
    block_ids  BIGINT[]     Distinct HDFS block ids that it names.
    alarm      BOOLEAN      Level WARN, ERROR or FATAL, or the text speaks of an exception or corruption.
parsed_events (source_id, position): One row per record that could be parsed.
    source_id  INTEGER      Source, as in `sources`.
    position   BIGINT       Line number of the record's first line in its source, from 1; of a stream, its offset.
    time       TIMESTAMPTZ  Time stamp of the record, UTC.
    level      VARCHAR      Log level.
    logger     VARCHAR      Class that logged it.
    event_id   VARCHAR      Template that it matches, as in `event_templates`.
    block_ids  BIGINT[]     Distinct HDFS block ids that it names.
    alarm      BOOLEAN      Level WARN, ERROR or FATAL, or the text speaks of an exception or corruption.
dead_letters (): Records that could not be parsed, and why.
    source_id  INTEGER      Source, as in `sources`.
    source     VARCHAR      Path of the source.
    position   BIGINT       Line number of the record's first line in its source, from 1; of a stream, its offset.
    reason     VARCHAR      Why it could not be parsed.
    text       VARCHAR      Excerpt of the record.
    seen_at    TIMESTAMPTZ  When it was met, UTC.
event_templates (catalogue, event_id) indexed: The event templates of each catalogue.
    catalogue  VARCHAR  Name of the template catalogue.
    event_id   VARCHAR  Id of the template in its catalogue, such as E5.
    name       VARCHAR  Short name of the event.
    template   VARCHAR  Message text with <*> for the parts that vary.
    seen       BIGINT   Records that matched it.
    status     VARCHAR  'in use' or 'proposed'.
    example    VARCHAR  One message that matched it.
labels (block_id): What is known about blocks from outside.
    block_id  BIGINT   HDFS block id, without `blk_`; may be negative.
    label     VARCHAR  'normal', 'anomaly' or 'ambiguous'.
    kind      VARCHAR  Kind of anomaly, where it is known.
feedback (block_id): What people said of blocks: the newest verdict on each.
    block_id     BIGINT       HDFS block id, without `blk_`; may be negative.
    verdict      VARCHAR      'real' (an anomaly), 'false' (a false alarm) or 'expected' (nothing to learn from).
    note         VARCHAR      Why, in their words.
    given_by     VARCHAR      Who said it.
    given_at     TIMESTAMPTZ  When it was said, UTC.
    detector     VARCHAR      Detector that served then; NULL where none did.
    version      INTEGER      Version of its model.
    score        DOUBLE       What it scored the block.
    was_anomaly  BOOLEAN      Whether it called it anomalous.
event_matrix (block_id): One row per block: what the detectors see.
    block_id    BIGINT       HDFS block id, without `blk_`; may be negative.
    first_time  TIMESTAMPTZ  Time of the block's first event, UTC.
    last_time   TIMESTAMPTZ  Time of the block's last event, UTC.
    duration_s  DOUBLE       Seconds from the first event to the last.
    lines       INTEGER      Log records that name the block.
    alarms      INTEGER      Those of them that are alarms.
    counts      INTEGER[]    Events per catalogue column, in the catalogue's order.
models (detector, version) indexed: One row per trained model.
    detector    VARCHAR      Name of the detector.
    version     INTEGER      Version of the model, from 1.
    catalogue   VARCHAR      Name of the template catalogue.
    threshold   DOUBLE       Score from which a block is anomalous.
    path        VARCHAR      Folder of the model's files.
    card        JSON         Model card: data, settings, seed, libraries.
    created_at  TIMESTAMPTZ  When it was trained, UTC.
evaluations (detector, version, split) indexed: Measured quality of each model on each split.
    detector    VARCHAR      Name of the detector.
    version     INTEGER      Version of the model, from 1.
    split       VARCHAR      Name of the split that it was tested on.
    metrics     JSON         Metrics with their intervals.
    created_at  TIMESTAMPTZ  When it was measured, UTC.
scores (block_id, detector): Each detector's latest score of each block.
    block_id    BIGINT       HDFS block id, without `blk_`; may be negative.
    detector    VARCHAR      Name of the detector.
    version     INTEGER      Version of the model, from 1.
    score       DOUBLE       The detector's score; higher is more anomalous.
    threshold   DOUBLE       Score from which a block is anomalous.
    is_anomaly  BOOLEAN      Whether the score reaches the threshold.
    scored_at   TIMESTAMPTZ  When it was scored, UTC.
anomalies (block_id, detector): The anomalous blocks, with the reason in words.
    block_id     BIGINT       HDFS block id, without `blk_`; may be negative.
    detector     VARCHAR      Name of the detector.
    version      INTEGER      Version of the model, from 1.
    score        DOUBLE       The detector's score; higher is more anomalous.
    threshold    DOUBLE       Score from which a block is anomalous.
    reason       VARCHAR      Why, in one sentence.
    explanation  JSON         What the score is made of.
    first_time   TIMESTAMPTZ  Time of the block's first event, UTC.
    last_time    TIMESTAMPTZ  Time of the block's last event, UTC.
    lines        INTEGER      Log records that name the block.
backtests (trial, day): What a model or a threshold would have flagged, by day, beside what was flagged.
    trial           VARCHAR      What was tried: detector, version and threshold in one name.
    day             DATE         UTC day of the blocks' first events.
    detector        VARCHAR      Name of the detector that was tried.
    version         INTEGER      Version of its model.
    threshold       DOUBLE       Score from which a block counts as flagged.
    against         VARCHAR      Detector whose rows of `scores` it was held against: the one that served.
    blocks          INTEGER      Blocks that began on the day.
    unscored        INTEGER      Those of them without a verdict in `scores`; no further figure counts them.
    flagged_before  INTEGER      Blocks that `scores` calls anomalous.
    flagged_after   INTEGER      Blocks that the trial calls anomalous.
    gained          INTEGER      Flagged by the trial alone.
    lost            INTEGER      Flagged by `scores` alone.
    anomalies       INTEGER      Blocks known to be anomalous, by label or feedback.
    gained_real     INTEGER      Gained blocks that are known to be anomalous.
    gained_false    INTEGER      Gained blocks that are known to be normal.
    lost_real       INTEGER      Lost blocks that are known to be anomalous.
    lost_false      INTEGER      Lost blocks that are known to be normal.
    tested_at       TIMESTAMPTZ  When it was tried, UTC.
backtest_blocks (trial, day, block_id): The blocks whose verdict a backtest would have changed.
    trial         VARCHAR  What was tried, as in `backtests`.
    day           DATE     UTC day of the block's first event.
    block_id      BIGINT   HDFS block id, without `blk_`; may be negative.
    change        VARCHAR  'gained' or 'lost'.
    known         VARCHAR  'normal' or 'anomaly' by label or feedback, where that is known.
    score         DOUBLE   Its score in the backtest.
    score_before  DOUBLE   Its score in `scores`, by the detector that served.
aggregated_events (block_id, part, first_offset): Blocks that the stream workers closed: the latest count of each.
    block_id      BIGINT                 HDFS block id, without `blk_`; may be negative.
    catalogue     VARCHAR                Name of the template catalogue.
    counts        MAP(VARCHAR, INTEGER)  Events by template id; those that did not happen are left out.
    lines         INTEGER                Log records that name the block.
    alarms        INTEGER                Those of them that are alarms.
    first_time    TIMESTAMPTZ            Time of the block's first event, UTC.
    last_time     TIMESTAMPTZ            Time of the block's last event, UTC.
    part          INTEGER                Partition of `raw_logs` that its records came from.
    first_offset  BIGINT                 Offset of its first record there; a block once forgotten starts another row.
    last_offset   BIGINT                 Offset of its last record there.
    closed_by     VARCHAR                'idle', 'quiet', 'max_events' or 'partial' (the worker's memory was full).
    closed_at     TIMESTAMPTZ            When the worker published it, UTC.
    epoch         INTEGER                Life of the topic, as in `stream_epochs`.
    position      BIGINT                 Offset of the message.
hdfs_logs (epoch, part, position): Feature rows that came ready-made.
    part       INTEGER                Partition of the topic.
    position   BIGINT                 Offset of the message.
    block_id   BIGINT                 HDFS block id, without `blk_`; may be negative.
    catalogue  VARCHAR                Name of the template catalogue.
    counts     MAP(VARCHAR, INTEGER)  Events by template id; those that did not happen are left out.
    label      VARCHAR                What the sender says of the block, if anything.
    sent_at    TIMESTAMPTZ            Time stamp of the message, UTC.
    epoch      INTEGER                Life of the topic, as in `stream_epochs`.
stream_anomalies (block_id, detector, origin, part, first_offset): Verdicts of the stream workers, the latest of each.
    block_id      BIGINT       HDFS block id, without `blk_`; may be negative.
    status        VARCHAR      'final', 'provisional' (the block was open) or 'withdrawn' (it turned out normal).
    detector      VARCHAR      Name of the detector.
    version       INTEGER      Version of the model, from 1.
    score         DOUBLE       The detector's score; higher is more anomalous.
    threshold     DOUBLE       Score from which a block is anomalous.
    reason        VARCHAR      Why, in one sentence.
    explanation   JSON         What the score is made of.
    first_time    TIMESTAMPTZ  Time of the block's first event, UTC.
    last_time     TIMESTAMPTZ  Time of the block's last event, UTC.
    lines         INTEGER      Log records that name the block.
    origin        VARCHAR      Topic that the counts came from: `aggregated_events` or `hdfs_logs`.
    part          INTEGER      Partition that the block's records (or its feature row) came from.
    first_offset  BIGINT       Offset of its first record there.
    last_offset   BIGINT       Offset of its last record there.
    closed_by     VARCHAR      Why the block was closed, as in `aggregated_events`.
    scored_at     TIMESTAMPTZ  When it was scored, UTC.
    epoch         INTEGER      Life of the topic, as in `stream_epochs`.
    position      BIGINT       Offset of the message.
stream_gaps (topic, epoch, part, from_offset): Messages that were gone before they could be read.
    topic        VARCHAR      Name of the topic.
    part         INTEGER      Partition, from 0.
    from_offset  BIGINT       First offset that is missing.
    to_offset    BIGINT       Offset after the last one that is missing.
    seen_at      TIMESTAMPTZ  When it was noticed, UTC.
    epoch        INTEGER      Life of the topic, as in `stream_epochs`.
stream_epochs (topic, epoch) indexed: The lives of each topic: one that is made anew starts again from offset 0.
    topic       VARCHAR      Name of the topic.
    epoch       INTEGER      Number of its life, from 1.
    cluster_id  VARCHAR      Id of the Kafka cluster.
    topic_id    VARCHAR      Id of the topic.
    seen_at     TIMESTAMPTZ  When it was first read, UTC.
offsets (topic, part, cluster_id, topic_id) indexed: How far each stream partition was read; moves with its rows.
    topic       VARCHAR  Name of the topic.
    part        INTEGER  Partition, from 0.
    next        BIGINT   Offset of the first message that is not in the store yet.
    cluster_id  VARCHAR  Id of the Kafka cluster.
    topic_id    VARCHAR  Id of the topic; one that was made anew has another.
namenode_metrics (namenode, polled_at): One row per poll of a NameNode: what was measured at it.
    namenode   VARCHAR               Address of the NameNode's web server, host:port.
    polled_at  TIMESTAMPTZ           When it was asked, UTC.
    role       VARCHAR               'active', 'standby', 'observer', 'starting' or 'unknown'.
    port       INTEGER               Port of the client RPC, where it is known.
    restarted  BOOLEAN               Whether this is the first poll of a new process.
    gap        BOOLEAN               Whether nothing is known about what was right before.
    moved      BOOLEAN               Whether any bean had been refreshed since the poll before.
    metrics    MAP(VARCHAR, DOUBLE)  Values by metric; what was not measured (idle, absent, not refreshed) is left out.
    top_users  JSON                  Calls by user of each operation in the last minute, largest first.
    note       VARCHAR               What was odd, in words.
namenode_raw (namenode, polled_at): The documents as they came, compressed, for `namenode_raw_days`.
    namenode   VARCHAR      Address of the NameNode's web server, host:port.
    polled_at  TIMESTAMPTZ  When it was asked, UTC.
    base       TIMESTAMPTZ  Time of the document that is this one's dictionary; NULL where it needs none.
    bytes      INTEGER      Bytes before compression.
    document   BLOB         The document, Zstandard.
namenode_collectors (namenode): How the collecting of each NameNode goes.
    namenode    VARCHAR      Address of the NameNode's web server, host:port.
    polled_at   TIMESTAMPTZ  Last poll, UTC.
    sampled_at  TIMESTAMPTZ  Last poll that gave a sample, UTC.
    role        VARCHAR      Role at that time.
    port        INTEGER      Port of the client RPC, where it is known.
    fetch_ms    DOUBLE       Milliseconds that the last answer took.
    bytes       INTEGER      Its size.
    polls       BIGINT       Polls by this collector since it started.
    failures    BIGINT       Polls in a row that gave no sample.
    error       VARCHAR      Why the last poll gave none; empty if it did.
    note        VARCHAR      What was odd at the last poll that gave one.
    collector   VARCHAR      Who polls: program and process id.
namenode_scores (namenode, detector, step_at): Each detector's score of each step, which ends a window.
    namenode    VARCHAR      Address of the NameNode's web server, host:port.
    detector    VARCHAR      Name of the detector.
    step_at     TIMESTAMPTZ  Time of the window's last step, UTC.
    version     INTEGER      Version of the model; 0 of a rule.
    score       DOUBLE       The detector's score; higher is more anomalous. NULL while no window is whole.
    threshold   DOUBLE       Score from which a step is anomalous.
    is_anomaly  BOOLEAN      Whether the score reaches the threshold.
    scored_at   TIMESTAMPTZ  When it was scored, UTC.
namenode_incidents (namenode, started_at): Anomalous steps that belong together, with what is known about them.
    namenode    VARCHAR      Address of the NameNode's web server, host:port.
    started_at  TIMESTAMPTZ  First anomalous step, UTC.
    ended_at    TIMESTAMPTZ  Last anomalous step so far, UTC.
    peak_at     TIMESTAMPTZ  Step that was furthest beyond its threshold, UTC.
    opened_at   TIMESTAMPTZ  Step at which it had lasted long enough to be an incident, UTC.
    duration_s  DOUBLE       Seconds from the first step to the last, with that one.
    status      VARCHAR      'ongoing', 'resolved', 'maintenance' or 'false' (the last two by a mark).
    severity    VARCHAR      'warning', 'major' or 'critical'.
    cause       VARCHAR      Likely cause, by rule.
    evidence    VARCHAR      What that rests on.
    detectors   JSON         Which detectors saw it: peak score, threshold, and whether each opened it.
    metrics     JSON         Metrics by contribution: actual, expected, direction, share, rate.
    users       JSON         Users by what they called beyond the baseline.
namenode_marks (namenode, from_at, to_at): What people said about stretches of time.
    namenode  VARCHAR      Address of the NameNode's web server, host:port.
    from_at   TIMESTAMPTZ  Beginning, UTC.
    to_at     TIMESTAMPTZ  End, UTC.
    kind      VARCHAR      'maintenance' or 'false' (a false alarm).
    note      VARCHAR      Why.
    made_at   TIMESTAMPTZ  When it was said, UTC.
"""


def _tables(schema: str) -> Iterator[Table]:
    for name, key, indexed, comment, columns in re.findall(
        r"^(\w+) \((.*)\)( indexed)?: (.*)((?:\n .*)+)", schema, re.MULTILINE
    ):
        parts = [re.split(" {2,}", line.strip(), maxsplit=2) for line in columns.strip().splitlines()]
        described = {column: Column(kind, text) for column, kind, text in parts}
        yield Table(name, comment, described, tuple(re.findall(r"\w+", key)), bool(indexed))


TABLES: dict[str, Table] = {table.name: table for table in _tables(_SCHEMA)}


def upgrade(there: set[str], database: str) -> Iterator[str]:
    """The statements that bring an older store, which has the tables `there`, up to date: versions only add tables.

    Except that the first version had one offset per topic and partition, whatever cluster it came from.
    """
    if "offsets" in there:
        yield f"CREATE TABLE {database}.offsets_before AS FROM {database}.offsets"
        yield f"DROP TABLE {database}.offsets"
        yield from TABLES["offsets"].ddl(database)
        yield f"INSERT INTO {database}.offsets BY NAME FROM {database}.offsets_before"
        yield f"DROP TABLE {database}.offsets_before"
    for table in TABLES.values():
        if table.name not in there:
            yield from table.ddl(database)
    yield f"UPDATE {database}.meta SET value = '{SCHEMA_VERSION}' WHERE key = 'schema_version'"
