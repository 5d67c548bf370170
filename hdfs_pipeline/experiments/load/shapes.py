"""What an experiment on load is asked to do: so many producers, consumers and partitions, at a rate, for a while."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from hdfs_pipeline.errors import DataError, UsageError
from hdfs_pipeline.settings import PROJECT

WARM_S: Final = 10.0
"""Seconds that producers run before anything is measured: compiling, the first assignment."""
AROUND_S: Final = 45.0
"""About so many seconds an experiment takes beside warming up and measuring: starts, draining, ends."""
SAMPLE: Final = PROJECT / "data" / "sample" / "hdfs_v1" / "HDFS.log.gz"
"""The log file that is sent over and over, unless another is named."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")
_MOST: Final = 64  # processes of a kind


@dataclass(frozen=True)
class Payload:
    """What is sent: its topic, and the arguments of `hdfs-pipeline produce` at a rate, or as fast as it goes."""

    topic: str
    paced: tuple[str, ...]
    flat_out: tuple[str, ...]


LOGS: Final = "blocks"
"""The payload that is a log file."""
PAYLOADS: Final[Mapping[str, Payload]] = {
    LOGS: Payload("raw_logs", ("raw", "{sample}", "--loop", "--fresh", "--rate", "{rate}"),
                      ("raw", "{sample}", "--loop", "--fresh")),
    "web": Payload("web_logs", ("web", "--anomalies", "all", "--seed", "{seed}", "--rate", "{rate}"),
                   ("web", "--seed", "{seed}", "--rate", "20000", "--training", "1000000000")),
    "app": Payload("app_logs", ("app", "--anomalies", "all", "--seed", "{seed}", "--rate", "{rate}"),
                   ("app", "--seed", "{seed}", "--rate", "20000", "--training", "1000000000")),
}  # fmt: skip


@dataclass(frozen=True)
class Load:
    """One experiment. `rate` is in records a second of each producer, 0 as fast as it goes; `duration_s` is measured.

    Raises: UsageError for what cannot be run.
    """

    name: str
    producers: int = 1
    consumers: int = 1
    partitions: int = 3
    duration_s: float = 30.0
    rate: float = 0.0
    payload: str = LOGS
    detector: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(f"{self.name!r} is no name of an experiment: use small letters, digits and -, 61 at most")
        if self.payload not in PAYLOADS:
            raise UsageError(f"no payload is called {self.payload!r}: choose from {', '.join(PAYLOADS)}")
        for what in ("producers", "consumers", "partitions"):
            most = _MOST if what != "partitions" else 1000
            if not 1 <= getattr(self, what) <= most:
                raise UsageError(f"{self.name}: {what} is {getattr(self, what)}; it can be 1 to {most}")
        if self.duration_s < 1 or self.rate < 0:
            raise UsageError(f"{self.name}: measure for a second at least, at a rate that is not negative")

    @property
    def about_s(self) -> float:
        """About how many seconds it takes in all."""
        return WARM_S + self.duration_s + AROUND_S

    @property
    def told(self) -> str:
        """The shape in few words."""
        rate = f"{self.rate:,.0f}/s each" if self.rate else "flat out"
        return f"{self.producers}P/{self.consumers}C/{self.partitions} partitions, {self.payload}, {rate}"

    def to_json(self) -> dict[str, Any]:
        """Its fields."""
        return asdict(self)


_GRID: Final = {
    "baseline": (1, 1, 3),
    "producers-2": (2, 1, 3),
    "producers-3": (3, 1, 3),
    "consumers-2": (1, 2, 6),
    "consumers-3": (1, 3, 6),
    "balanced-2": (2, 2, 3),
    "balanced-3": (3, 3, 6),
    "balanced-4": (4, 4, 9),
    "partitions-50": (1, 1, 50),
}
_MORE: Final = {
    "consumers-4": (1, 4, 12),
    "partitions-12": (2, 2, 12),
    "partitions-100": (1, 1, 100),
    "stress": (4, 4, 50),
}
SUITES: Final[Mapping[str, tuple[Load, ...]]] = {
    "standard": tuple(Load(name, *shape) for name, shape in _GRID.items()),
    "extended": tuple(Load(name, *shape) for name, shape in (_GRID | _MORE).items()),
}
"""The suites that are there; one of one's own is a YAML file."""


def suite_named(name: str, duration_s: float | None = None) -> tuple[Load, ...]:
    """The loads of a suite: `standard`, `extended`, or those of a YAML file, a list of mappings of `Load`'s fields.

    Raises: UsageError for a name that is neither; DataError for a file that cannot be used.
    """
    loads = SUITES.get(name) or _of_file(Path(name))
    return loads if duration_s is None else tuple(replace(load, duration_s=duration_s) for load in loads)


def _of_file(path: Path) -> tuple[Load, ...]:
    import yaml

    if not path.is_file():
        raise UsageError(f"no suite is called {path}: choose from {', '.join(SUITES)}, or name a YAML file")
    try:
        rows = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path}: a suite is a list of experiments, each with a name")
    loads = tuple(_load(path, row) for row in rows)
    if len({load.name for load in loads}) < len(loads):
        raise DataError(f"{path}: two experiments have the same name")
    return loads


def _load(path: Path, row: dict[str, Any]) -> Load:
    kinds = {each.name: each.type for each in fields(Load)}
    if unknown := [name for name in row if name not in kinds]:
        raise DataError(f"{path}: {unknown[0]} says nothing of an experiment; known are {', '.join(kinds)}")
    if "name" not in row:
        raise DataError(f"{path}: an experiment has no name")
    try:
        return Load(**{name: _typed(kinds[name], value) for name, value in row.items()})
    except (TypeError, ValueError):
        raise DataError(f"{path}: {row.get('name')}: a value has the wrong type") from None
    except UsageError as error:
        raise DataError(f"{path}: {error}") from None


def _typed(kind: Any, value: Any) -> Any:
    if kind is str:
        return str(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(value)
    return int(value) if kind is int else float(value)


def about_s(loads: Sequence[Load], trials: int, cooldown_s: float) -> float:
    """About how many seconds a suite takes."""
    return trials * sum(load.about_s + cooldown_s for load in loads) - cooldown_s
