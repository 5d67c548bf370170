"""The span of time that a page shows: as somebody asks for it, as its fields and links say it, and as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, ClassVar, Final, Literal
from urllib.parse import urlencode

from pydantic import Field

from hdfs_pipeline.errors import UsageError
from hdfs_pipeline.scoring.patterns import Span
from hdfs_pipeline.scoring.severity import SEVERITIES
from hdfs_pipeline.serving.shapes.base import Shape
from hdfs_pipeline.verdicts.marked import Mark
from hdfs_pipeline.verdicts.status import parse_since

PER_PAGE: Final = 50
SPANS: Final = ("1h", "6h", "24h", "7d")
_HOURS: Final = 24.0  # that are shown without a word
_PLAIN: Final = {"show": "all", "page": 1}


@dataclass(frozen=True)
class Window:
    """A window of time, and its edges as fields of a form show them."""

    start: datetime
    end: datetime

    @classmethod
    def of(cls, begin: str, end: str, latest: datetime, hours: float) -> "Window":
        """What somebody asks for, by default the last hours until `latest`; spans are counted back from there.

        Raises: UsageError for what is no time, and where it ends before it begins.
        """
        until = parse_since(end, latest).time if end else latest
        start = parse_since(begin, latest).time if begin else until - timedelta(hours=hours)
        if not start < until:
            raise UsageError(f"the window ends ({end or until}) before it begins ({begin or start})")
        return cls(start, until)

    @property
    def fields(self) -> dict[str, str]:
        """`from` and `to` for forms and addresses."""
        return {"from": moment_text(self.start), "to": moment_text(self.end)}

    def span(self, kind: str) -> dict[str, Any]:
        """It as a shaded span of a picture."""
        return {"from": self.start.timestamp(), "to": self.end.timestamp(), "kind": kind}


class AskedSpan(Shape):
    """What the address of a page with a list says: the window, and which page of the list; pages add whose it is."""

    path: ClassVar[str]
    begin: str = Field("", alias="from", max_length=40)
    end: str = Field("", alias="to", max_length=40)
    show: Literal["all", "anomalous"] = "all"
    number: int = Field(1, alias="page", ge=1, le=20_000)

    @property
    def offset(self) -> int:
        """How many rows of the list lie before the page."""
        return (self.number - 1) * PER_PAGE

    def window(self, known: Span) -> Window:
        """The window that is asked for, counted back from the end of what is known. Raises: UsageError."""
        return Window.of(self.begin, self.end, known[1], _HOURS)

    def shown(self, known: Span) -> Span | None:
        """The part of the window in which anything is known; None where there is none."""
        window = self.window(known)
        begin, end = max(window.start, known[0]), min(window.end, known[1])
        return (begin, end) if begin < end else None

    def address(self, **changes: Any) -> str:
        """The address of the page with something else in it; of the list's first page unless another is named."""
        values = self.model_dump(by_alias=True) | {"page": 1} | changes
        kept = {name: value for name, value in values.items() if value and value != _PLAIN.get(name)}
        return f"{self.path}?{urlencode(kept, doseq=True)}" if kept else self.path

    def form(self, known: Span) -> dict[str, Any]:
        """What the fields hold, and the addresses of the same question with something else in it."""
        return {
            "asked": self,
            "window": self.window(known).fields,
            "known": Window(*known).fields,
            "spans": [(span, self.address(**{"from": span, "to": ""})) for span in SPANS],
            "chosen_span": "" if self.end else self.begin or "24h",
            "follows": not self.end,
            "address_of": self.address,
        }

    def pages(self, total: int) -> dict[str, Any]:
        """How many pages the list has, and the addresses of those beside this one."""
        last = max(-(-total // PER_PAGE), 1)
        return {
            "total": total,
            "last": last,
            "newer": self.address(page=self.number - 1) if self.number > 1 else "",
            "older": self.address(page=self.number + 1) if self.number < last else "",
        }


def moment_text(time: datetime) -> str:
    """A time as a field of a form holds it, UTC."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"


def shaded(marks: Sequence[Mark], touching: timedelta) -> list[dict[str, Any]]:
    """Anomalies as shaded spans of a picture, one for those that follow within `touching`, by the gravest of them."""
    found: list[dict[str, Any]] = []
    for severity, alike in groupby(sorted(marks, key=lambda mark: SEVERITIES.index(mark.severity)), _severity):
        last: dict[str, Any] | None = None
        for mark in sorted(alike, key=lambda mark: mark.begin):
            begin, end = mark.begin.timestamp(), max(mark.end, mark.begin).timestamp()
            if last is not None and begin <= last["to"] + touching.total_seconds():
                last["to"] = max(last["to"], end)
            else:
                last = {"from": begin, "to": end, "kind": severity}
                found.append(last)
    return found


def _severity(mark: Mark) -> str:
    return mark.severity
