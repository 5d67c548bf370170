"""Domain: all that a generic room may know of one kind of data, and where it asks for it.

Training, scoring, explanation, feedback, evaluation, drift, backtest, retraining, streaming, sinks, Dagster and the
command line take a `Domain` and name none. What is particular to a domain lies in its folder, under the same file names
in each; `domains.DOMAINS` has a row for it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from hdfs_pipeline.detectors import DETECTORS, detector_row
from hdfs_pipeline.detectors import Row as DetectorRow
from hdfs_pipeline.domains.course import Course
from hdfs_pipeline.errors import DataError, UsageError
from hdfs_pipeline.scoring.contracts import Detector
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.explain import Explanation, Vocabulary
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.incidents import Grouping, Incident
from hdfs_pipeline.scoring.knowledge import Knowledge
from hdfs_pipeline.scoring.patterns import Pattern, Span
from hdfs_pipeline.scoring.severity import Kind
from hdfs_pipeline.scoring.thresholds import Threshold
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sinks.topics import TopicSink
from hdfs_pipeline.sources.files import LogFile
from hdfs_pipeline.sources.wire import DeadLetter
from hdfs_pipeline.store.store import Store

ENTITY: Final = "server"
"""Stands for the entities of anomalies among their traits."""
Key = Any
"""What names an item in a matrix: an int64 or a text, the same kind throughout a domain."""


@dataclass(frozen=True)
class Item:
    """The thing that gets a verdict: what it is called, and how its id is read and shown.

    `column` is what its id is called where a person meets it. `parse` takes what a person writes and raises DataError
    for what is no id; `show` gives the text that tables hold. `alike` is what two items with the same row of the main
    family have in common. Things are `counted` where their number says how large an incident is; that of minutes does
    not.
    """

    noun: str
    plural: str
    column: str
    example: str
    parse: Callable[[str], Key]
    show: Callable[[Key], str]
    alike: str = "the same values"
    counted: bool = True

    def shown(self, text: str) -> str:
        """The id that a person or a message writes, as tables hold it. Raises: DataError for what is no id."""
        return self.show(self.parse(text))


@dataclass(frozen=True)
class Selection:
    """Which items of a home: of those named, or of all, those that began in a span of time [from, to), or at any time.

    With `entity` only those that belong to it. Where items follow each other without end, as the windows of a series
    do, all of them are those that a training learns from.
    """

    items: Sequence[Key] | None = None
    began: tuple[datetime, datetime] | None = None
    entity: str = ""


EVERYTHING = Selection()


@dataclass(frozen=True)
class Read:
    """What reading files came to.

    `source` gives the columns their meaning; `coverage` is the share of records that it knows, 0 to 1; `notes` are for
    people; `skipped` are files whose content was read before; `unread` says which files and folders could not be read,
    and why; `left_out` are the files (path and reason) that a scan of a folder did not take; `forms` counts how the
    lines were written.
    """

    files: int
    lines: int
    records: int
    dead_letters: int
    items: int
    source: str
    coverage: float
    labels: int | None = None
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    forms: dict[str, int] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Facts:
    """What is known of one item beside its features. `records` counts the raw records that name it."""

    first_time: datetime
    last_time: datetime
    records: int
    label: str | None = None


class Place(NamedTuple):
    """Host of a record, or host:port of the server that it speaks of, its file, and when it was written.

    What is not known is ''. `until` is the time of the last record that tells, where an anomaly's times are those
    of the records that tell and not of the item.
    """

    host: str
    path: str
    time: datetime
    until: datetime | None = None


class Heard(NamedTuple):
    """A server, or a topic, that data come from.

    `time` is that of its latest record, Unix seconds; `asked` is when it was last asked for one, where it is asked;
    `note` says why that gave none, '' if it did.
    """

    server: str
    time: float
    asked: float = 0.0
    note: str = ""


class Collector(NamedTuple):
    """A server that is polled: what it is, its role or state, when it was asked last and when it answered last, UTC.

    `error` says why the last poll gave nothing, `note` what was odd; '' for nothing.
    """

    server: str
    kind: str
    role: str
    polled_at: datetime | None
    answered_at: datetime | None
    error: str
    note: str


class Retention(NamedTuple):
    """Rows of a table that are kept for `days`, as a setting says, and how many of them the next pruning takes."""

    table: str
    setting: str
    days: float
    rows: int


class Again(NamedTuple):
    """A record of a file that was read once more: its row for `table`, or the `reason` why it is none, with its text.

    `note` is for people; `counter` names what numbers the changes of the table (its column `revision`), '' for none.
    """

    table: str
    row: pa.Table
    reason: str = ""
    text: str = ""
    note: str = ""
    counter: str = ""


@dataclass(frozen=True)
class Sought:
    """Which raw records are searched for: those that meet every condition that is given.

    `expressions` are of RE2, over a record's `line` without its time stamp; `item` the id of an item that they name;
    `levels` their log levels; `host` that of the host, the daemon or the server that wrote them; `logger` a part of
    the logger's name, in whichever case.
    """

    expressions: Sequence[str] = ()
    item: str = ""
    levels: Sequence[str] = ()
    host: str = ""
    logger: str = ""


MARKS: Final = "\x01\x02"
"""What stands before and after a match in a record that was found."""


class RecordId(NamedTuple):
    """What names a raw record, and its place in the order of records: time, number of the source, place in it."""

    time: datetime
    source_id: int
    position: int


class Told(NamedTuple):
    """What a raw record is to a domain: its template with the name of that, '' where it matches none, and its items."""

    template: str = ""
    name: str = ""
    items: tuple[str, ...] = ()


@dataclass(frozen=True)
class Topic:
    """A Kafka topic of a domain.

    `sink` puts its messages into the store, None where none are kept; `asset` is that sink's name in Dagster. Topics
    with `from_stage` are written by stream workers, the others from outside. Of a topic with `latest_by_key` the
    brokers may keep only each key's latest message once a day has passed.
    """

    name: str
    about: str
    sink: TopicSink | None = None
    asset: str = ""
    from_stage: bool = False
    latest_by_key: bool = False


@dataclass(frozen=True)
class Batch:
    """Messages of confluent_kafka in the order of each partition; `partition` (n,) int32 and `offset` (n,) int64."""

    messages: list[Any]
    partition: np.ndarray
    offset: np.ndarray


class Outbox(Protocol):
    """Where a stage puts what it sends."""

    def send(
        self, topic: str, key: bytes, value: bytes, partition: int, heard: Callable[[int], None] | None = None
    ) -> None:
        """Queue a message; `heard` is called with its offset once the brokers have it."""


class Figures(Protocol):
    """What a stage counts, for its metrics."""

    def dead(self, messages: int) -> None:
        """Messages went to `dead_letters`."""

    def unkeyed(self, records: int) -> None:
        """Records could not be grouped, because their messages had no key of theirs."""

    def closed(self, reasons: list[str | None]) -> None:
        """Items were published."""

    def verdict(self, status: str) -> None:
        """A verdict was published."""

    def acknowledged(self, parts: Sequence[float]) -> None:
        """The brokers have a verdict, after so many seconds in each of `course.PARTS`."""

    def odd_clocks(self, leads: Mapping[str, float]) -> None:
        """Hosts whose clocks cannot be right, each with the seconds by which it is ahead."""

    def refused(self, why: str) -> None:
        """A model is to serve that cannot; "" where none is."""

    def held(self, still_open: int, remembered: int) -> None:
        """Items in memory: those that are open, and all."""


class Stage(Protocol):
    """What a stream worker does with the messages of `topic`."""

    topic: str
    group: str

    def begin(self, places: dict[int, str | None], life: str) -> None:
        """Take over partitions of this life of the topic, each with the note that was committed with its offset."""

    def handle(self, batch: Batch, course: Course) -> None:
        """Work on messages, and note in `course` what was done when."""

    def tick(self, caught_up: np.ndarray) -> bool:
        """Once a second; `caught_up` are the partitions (bool) read to their end. Whether to begin anew.

        If so, `floors` and `note` go on saying from where until `begin` is called.
        """

    def floors(self, positions: np.ndarray) -> np.ndarray:
        """Offset per partition from which a successor must read."""

    def note(self, partition: int, floor: int) -> str:
        """What to commit beside the offset."""

    def forget(self, partitions: list[int]) -> None:
        """Give partitions up."""


class Outgoing(NamedTuple):
    """A record that is sent as a message for each of `keys`; of which None stands for a message without a key.

    `time` is when it was written, in microseconds.
    """

    time: int
    value: bytes
    keys: Sequence[bytes | None]
    headers: list[tuple[str, bytes]]


class Replay(Protocol):
    """Log files as records, in rounds: each with items of its own and later times."""

    def records(self) -> Iterator[list[Outgoing]]:
        """The records of the present round, a few hundred at a time: those of several files by time."""

    def next_round(self) -> None:
        """Begin another round."""

    def problems(self) -> list[str]:
        """What could not be read, for people."""


class Shipping(Protocol):
    """What shippers send to `source`, put together to records for `target`.

    A successor begins at `position`, so that none of what waits is lost.
    """

    source: str
    target: str

    def assigned(self, partition: int, offset: int, until: int) -> None:
        """Begin a partition at `offset`. Below `until` what cannot be used was reported once."""

    def revoked(self, partition: int) -> None:
        """Forget a partition: whoever gets it reads what waits of it again."""

    def partitions(self) -> list[int]:
        """The partitions that are assigned."""

    def position(self, partition: int) -> tuple[int, int]:
        """The offset to begin at after a restart, and below which messages were worked on (`until`)."""

    def skip(self, partition: int, offset: int) -> bool:
        """Go on at `offset`, since what stands before it cannot be read. Whether that is to be told: once."""

    def take(self, message: Any) -> list[DeadLetter]:
        """Take a message of confluent_kafka; what of it cannot be used."""

    def whole(self) -> tuple[list[Outgoing], list[DeadLetter]]:
        """The records to which nothing more will come, once each, and those that cannot be used."""


@dataclass(frozen=True)
class Opinion:
    """What one detector says of n items: their `scores` (n,) float64, and by row why some reach the `threshold`."""

    detector: str
    version: int
    threshold: float
    scores: np.ndarray
    told: Mapping[int, Explanation]


@dataclass(frozen=True)
class Judgement:
    """Verdicts on items that are not the home's, `items` by their names. `source` is what their columns come from.

    The opinion of the serving detector comes first. `unread` says of lines, by their index, why they are no records.
    """

    items: Sequence[str]
    source: str
    opinions: Sequence[Opinion]
    unread: Mapping[int, str] = field(default_factory=dict)


class Judge(Protocol):
    """Judges items that are not the home's as a stream worker would, and keeps nothing. Threads may share one.

    It stays loaded, and takes up a new champion within a second.
    """

    def lines(self, lines: Sequence[bytes]) -> Judgement:
        """Judge the items that raw lines name; each line is a record, its continuation lines included."""

    def counts(self, items: Sequence[str], columns: Sequence[str], counts: np.ndarray, source: str = "") -> Judgement:
        """Judge items by `counts` (n, k) int of each of `columns`, which are events of `source`, or `alarms`.

        Raises: UsageError for a column that is none or an unknown source; DataError for one that the model cannot read.
        """


@dataclass(frozen=True)
class Player:
    """A command of `hdfs-pipeline` that plays recorded data as if it happened now.

    It starts after the processes that it `needs`; one that `streams` sends to Kafka, once that answers.
    """

    name: str
    arguments: tuple[str, ...]
    needs: tuple[str, ...] = ()
    streams: bool = False


@dataclass(frozen=True)
class Playback:
    """What `up` plays of a domain; `about` is for people.

    `settings` are environment variables for the players, `learning` those for Dagster.
    """

    about: str
    players: tuple[Player, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    learning: Mapping[str, str] = field(default_factory=dict)


class Domain(ABC):
    """One kind of data. Methods that not every domain has raise DataError that says so.

    `families` are the matrices that its items have, by name; the first is the one that items are told apart by.
    `unknown` is the column of that family which counts what no template matched, "" where there is none.
    """

    name: ClassVar[str]
    item: ClassVar[Item]
    default_detector: ClassVar[str]
    """The detector that serves where neither the settings nor a choice name one."""
    families: ClassVar[tuple[str, ...]]
    unknown: ClassVar[str] = ""
    untrained: ClassVar[frozenset[str]] = frozenset()
    """Detectors that serve without a training, as version 0."""
    day_one: ClassVar[str] = ""
    """The one of these that serves before anything was trained; '' where nothing does."""
    trained_by: ClassVar[str] = "hdfs-pipeline train --detector {}"
    """The command that trains a detector."""
    filled_by: ClassVar[str] = ""
    """The command that brings a home its first data of this kind; '' where none does."""
    unbound: ClassVar[frozenset[str]] = frozenset()
    """Families whose columns are the same whatever was read; those of all others come from a source."""
    countable: ClassVar[frozenset[str]] = frozenset()
    """Families whose rows tell how often each event happened, which is what rules are judged on."""
    labelled: ClassVar[str] = ""
    """SQL of the items that have a label from outside: columns `item` and `label`; '' where none can have one."""
    topics: ClassVar[tuple[Topic, ...]] = ()
    ways: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Topics at which a stream worker may begin, each with those where it may end."""
    records_topic: ClassVar[str] = ""
    """The topic of raw records, into which log files are sent."""
    follows: ClassVar[str] = ""
    """The domain whose records its items are made of, by `derive`; '' for one that reads records of its own."""
    searchable: ClassVar[bool] = False
    """Whether it keeps raw records that `search` finds."""
    made_up: ClassVar[bool] = False
    """Whether its playback is made up, not recorded: then `up` plays it only where the domain is named."""
    sample: ClassVar[Path | None] = None
    """A folder of a checkout with files to read and `labels.csv`, to try the domain with."""
    examples: ClassVar[tuple[str, ...]] = ()
    """A few lines that take its reader through every compiled loop; () where nothing is compiled."""

    @property
    def detectors(self) -> tuple[str, ...]:
        """The detectors that read a family of this domain, in the order of `DETECTORS`."""
        return tuple(name for name, row in DETECTORS.items() if row.cls.features in self.families)

    def row(self, detector: str) -> DetectorRow:
        """What is known beforehand of a detector of this domain. Raises: DataError for any other."""
        row = detector_row(detector)
        if row.cls.features not in self.families:
            raise UsageError(f"{detector} reads no features of {self.name}; there are {', '.join(self.detectors)}")
        return row

    def make(self, settings: Settings, detector: str) -> Detector:
        """A detector as this domain uses it, untrained, with the home's seed. Raises: DataError as `row` does."""
        row = self.row(detector)
        return row.cls(seed=settings.seed, **row.params(settings), **self.params(settings, detector))

    def champion(self, settings: Settings) -> str:
        """The detector that is to serve, or `best`, by the settings."""
        return self.default_detector

    def voices(self, settings: Settings, serving: str) -> tuple[str, ...]:
        """The detectors whose verdicts become anomalies, the serving one first; by default it alone."""
        return (serving,)

    def params(self, settings: Settings, detector: str) -> dict[str, Any]:
        """How a detector is made in this domain, over what its row says."""
        return {}

    def threshold(self, settings: Settings, detector: str) -> Threshold:
        """How a detector's threshold is fixed in this domain; by default as its row says."""
        return self.row(detector).threshold(settings)

    def prepare(self, store: Store, settings: Settings) -> int:
        """Learn what the items of a training are made of, such as templates of messages that none matched so far.

        How much was learned.
        """
        return 0

    def taught(self, data: Dataset, settings: Settings) -> Dataset:
        """What a training learns of items; by default of all. Raises: DataError where they are too few."""
        return data

    def remembered(self, data: Dataset, detector: Detector, seconds: float) -> dict[str, Any]:
        """What the card of a detector is to remember as `facts`, which learned `data` in so many seconds."""
        return {}

    def latest(self, store: Store) -> dict[str, float]:
        """Of each entity whose items are scored as they come the time of the latest one, in Unix seconds."""
        return {}

    @abstractmethod
    def read(
        self,
        store: Store,
        settings: Settings,
        paths: Sequence[str],
        labels: Path | pa.Table | None = None,
        on_step: Callable[[str, int | None, int | None], None] = lambda *_: None,
        *,
        propose: bool = True,
    ) -> Read:
        """Read files, and labels where given, up to the features of their items.

        `on_step` hears what is done, and how much of how many. With `propose` the domain also proposes what it would
        learn from messages that it does not know yet. Raises: DataError where there is nothing to read.
        """

    def derive(self, store: Store, settings: Settings) -> int:
        """Make what is made of what came since the last time; how many items changed.

        That is the items themselves of a domain that `follows` another, or what they rest on, such as first templates.
        """
        return 0

    def labels(self, path: Path | str) -> tuple[np.ndarray, pa.Table]:
        """Labels of a CSV file: the keys, and what `read` takes. Raises: DataError naming the line that is wrong."""
        raise DataError(f"there are no labels of {self.item.plural}")

    def apart(self, settings: Settings, folder: Path, source: str = "") -> Settings:
        """Settings of a home in `folder` that reads as this one does, with the columns of `source` if one is given."""
        return settings.model_copy(update={"home": folder})

    @abstractmethod
    def features(
        self, store: Store, settings: Settings, families: Iterable[str] = (), where: Selection = EVERYTHING
    ) -> Dataset:
        """Items of the home in the order of their keys, with the matrices of `families` beside those that cost nothing.

        Steps of a series have those beside them on which their scores rest as their `context`. What people said of
        items lies over their labels. Raises: DataError where nothing was read yet.
        """

    @abstractmethod
    def vocabulary(self, settings: Settings, source: str) -> Vocabulary:
        """What columns and codes that come from `source` are called.

        Of a source that has gone from the home the columns keep their own names, and codes are unknown.
        """

    def knowledge(self, settings: Settings, source: str) -> Knowledge | None:
        """What is known beforehand of items whose main family's columns come from `source`; None where nothing is."""
        return None

    @abstractmethod
    def facts(self, store: Store, keys: Sequence[Key] | None = None) -> dict[Key, Facts]:
        """What is known of items by key, of all by default; of those that the home does not have, nothing."""

    @abstractmethod
    def evidence(
        self, store: Store, settings: Settings, key: Key, limit: int, telling: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """The first raw records of an item in the order of time: of each at least its `time` and `line`.

        Where records can be told apart by columns, those behind `telling` have `telling` true, and are among
        the returned ones before any other.
        """

    def places(self, store: Store, telling: Mapping[Key, Sequence[str]]) -> dict[Key, Place]:
        """Where each item's first record behind the columns `telling` was written, or else its very first record."""
        return {}

    def recorded(self, store: Store) -> Span | None:
        """The times of the first and the last raw record; None where there is none, or the domain keeps none."""
        return None

    def search(
        self,
        store: Store,
        settings: Settings,
        sought: Sought,
        span: Span,
        limit: int,
        *,
        before: RecordId | None = None,
        among: pa.Table | None = None,
    ) -> pa.Table:
        """The latest raw records of a span [from, to) that are sought, at most `limit`, the latest first.

        With `before` only those that come before that record in the order of `RecordId`, with `among` only those of
        this table of `source_id` and `position`. The columns are those two and `time`, `host`, `daemon`, `level`,
        `logger`, `line` (as it was written, with `MARKS` around each match), and what `told` wants.
        Raises: UsageError for what is no id of an item.
        """
        raise DataError(f"{self.name} keeps no raw records")

    def told(self, store: Store, settings: Settings, records: pa.Table) -> list[Told]:
        """What each of these records, found by `search` of this domain or the one that it follows, is to it."""
        return [Told()] * len(records)

    def matching(self, store: Store, settings: Settings, template: str, span: Span) -> pa.Table:
        """The `source_id` and `position` of the records of a span [from, to) that match a template.

        Raises: UsageError for a template that the domain does not know.
        """
        raise UsageError(f"{self.name} has no templates of raw records")

    def patterns(self, store: Store, settings: Settings, span: Span, steps: int) -> list[Pattern]:
        """How often records of a span [from, to), in so many equal steps of it, matched each template, if ever."""
        return []

    def about(self, store: Store, key: Key) -> dict[str, Any]:
        """What its raw records say of an item beside its features, by names that a person reads."""
        return {}

    def nearest(self, store: Store, key: Key) -> Key | None:
        """The item of the home whose id is nearest to one that it does not have, where it can be a slip of the hand."""
        return None

    def lives_near(self, store: Store, settings: Settings, key: Key, most: int) -> FeatureMatrix | None:
        """Rows of the main family: an item's own, then those of whole items that began within a day of it.

        There are `most` of these at most, the nearest in time first. None where items have no life of steps that two
        of them could be compared by.
        """
        return None

    def heard(self, store: Store) -> list[Heard]:
        """From whom the home has data, and until when."""
        return []

    def collectors(self, store: Store) -> list[Collector]:
        """The servers that are polled, by what they are and their names; a thousand at most."""
        return []

    def retention(self, store: Store, settings: Settings, now: datetime) -> list[Retention]:
        """What is kept for some days, and how much of it a pruning takes that comes at `now`."""
        return []

    def prune(self, store: Store, settings: Settings, now: datetime) -> int:
        """Delete what `retention` says at `now`, where nobody else of the domain does; how many rows went."""
        return 0

    def read_again(self, settings: Settings, source_id: int, path: str, position: int, text: str) -> Again | None:
        """Read the record once more that a dead letter tells of: the file `path` from line `position` on.

        `text` is what the letter has of it. None where the domain keeps no lines of files. Raises: DataError where
        there is nothing left to read.
        """
        return None

    def group(self, settings: Settings, topic: str) -> str:
        """The consumer group of the workers that begin at a topic of `ways`."""
        return f"{settings.stream_group}.{topic}"

    @abstractmethod
    def days(self, store: Store) -> dict[Any, int]:
        """UTC days on which items of the home began, in order, with their number."""

    @abstractmethod
    def learnable(self, store: Store, serving: str) -> tuple[int, int, int]:
        """Numbers of items: labelled normal or anomaly; without a label; of these, called normal by `serving`."""

    def lacks_to_learn(self, store: Store, settings: Settings) -> str:
        """What a first model still lacks, such as "needs 1,000 messages, has 12"; '' for nothing."""
        return ""

    def recount(self, store: Store, settings: Settings) -> int:
        """Make what is counted of its records anew, from all of them; how many items there are then."""
        return 0

    def last_change(self, store: Store) -> int | None:
        """The number of the last change of its items, 0 before the first.

        None where changes are not counted: then all items are judged together, or, with `latest`, as they come.
        """
        return None

    def changed(self, store: Store, revision: int) -> list[Key]:
        """The items that changed after `revision`, and maybe some that are no more."""
        return []

    def waiting(self, store: Store, detector: str, version: int) -> int:
        """Items without a score by this version of a detector, or that have changed since it scored them."""
        return 0

    def grouping(self, settings: Settings) -> Grouping | None:
        """How its anomalies become incidents; None where they are not grouped."""
        return None

    def suspects(self, store: Store, settings: Settings, rules: Mapping[Key, str]) -> pa.Table | None:
        """Of anomalies by item: when records tell of the trouble, and whom they blame.

        `rules` has the id of the rule that each breaks first, '' of an item that breaks none. The table has the columns
        `key`, `told_from`, `told_to`, `blamed` (lists of entities; null where the item's own entity is at fault),
        `traits` (maps of what else may be at fault) and `line` (a record that tells of it). None where there is nothing
        to ask.
        """
        return None

    def usual(self, store: Store, settings: Settings) -> dict[str, dict[str, float]]:
        """The share of each entity, and of each value of a trait, in what goes well: 0 to 1, by `ENTITY` and by trait.

        What is at fault stands out against it.
        """
        return {}

    def kinds(self, store: Store, settings: Settings) -> dict[str, Kind]:
        """What is known of each kind of anomaly, by its name."""
        return {}

    def wide_kinds(self) -> frozenset[str]:
        """Kinds that tell of all of a cluster, whichever server they are told of."""
        return frozenset()

    def incidents(self, store: Store, settings: Settings, incidents: Sequence[Incident]) -> list[Incident]:
        """The incidents with what the domain knows of them: kind, evidence, details. By default as they are."""
        return list(incidents)

    def stage(
        self,
        settings: Settings,
        begin: str,
        end: str,
        *,
        detector: str | None,
        threshold: float | None,
        outbox: Outbox,
        figures: Figures,
    ) -> Stage:
        """The stage of a worker that reads `begin` and writes up to `end`. Raises: NotTrainedError, SetupError."""
        raise DataError(f"{self.name} has no stream stage")

    def judge(self, store: Store, settings: Settings) -> Judge:
        """What judges items that are not the home's. Raises: NotTrainedError, SetupError, DataError."""
        raise DataError(f"{self.name} judges only what the home holds")

    def playback(self, settings: Settings, speed: float, free_port: Callable[[], int]) -> Playback | None:
        """What plays a sample of the domain, `speed` times as fast as it was; None where there is nothing to play."""
        return None

    def replay(
        self, settings: Settings, files: Sequence[LogFile], *, fresh: bool, speed: float | None = None
    ) -> Replay:
        """The records of log files, for `records_topic`; with `fresh` already the first round has items of its own.

        With a `speed` they are as if they were written from now on, so many times as fast as they were.
        """
        raise DataError(f"{self.name} sends no log files")

    def shipping(self, settings: Settings, max_bytes: int) -> Shipping:
        """What puts shippers' messages together, to records of at most `max_bytes`."""
        raise DataError(f"{self.name} takes nothing from shippers")
