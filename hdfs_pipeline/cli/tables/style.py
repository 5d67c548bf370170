"""The one style of every table: it fits the terminal's width, and cuts no name and no number short."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

_GAP = 2  # characters between two columns
_LEAST, _WORD = 16, 26  # characters that a column of text gets, and its longest word, before a table is divided
_TIGHT = 8  # characters that it gets at least where a table cannot be divided any further


@dataclass(frozen=True)
class Column:
    """A column by its heading: `text` is wrapped at words, a `name` or a `number` stays on its line."""

    heading: str
    kind: Literal["text", "name", "number"] = "text"


def name(heading: str) -> Column:
    """A column of ids and other names, which are not broken."""
    return Column(heading, "name")


def number(heading: str) -> Column:
    """A column of figures, to the right."""
    return Column(heading, "number")


def facts(values: Mapping[str, Sequence[str]]) -> Table:
    """Facts by name, each with one value or more, below each other; values are markup, and are wrapped at words."""
    table = Table.grid(padding=(0, 3, 0, 0))
    for fact, texts in values.items():
        for at, text in enumerate(texts):
            table.add_row("" if at else f"[bold]{fact}[/]", text)
    return table


@dataclass
class Listing:
    """A table with its title above and its caption below; cells are rich's markup, and hold text from outside escaped.

    Where the columns do not fit side by side, the table is divided: each part repeats the first `keys` columns.
    """

    title: str
    columns: Sequence[Column]
    caption: str = ""
    keys: int = 1
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def add_row(self, *cells: str) -> None:
        """Add a row with a cell for each column."""
        self.rows.append(cells)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[RenderableType]:
        """The title, the parts of the table, and the caption."""
        if self.title:
            yield Text.from_markup(self.title, style="italic")
        texts = [self._texts(at, console) for at in range(len(self.columns))]
        widths = [max(map(cell_len, lines), default=0) for lines in texts]
        words = [max((cell_len(word) for line in lines for word in line.split()), default=0) for lines in texts]
        least = [
            min(width, max(_LEAST, min(word, _WORD))) if column.kind == "text" else width
            for column, width, word in zip(self.columns, widths, words, strict=True)
        ]
        for part in self._parts(least, options.max_width):
            yield self._table(part, widths, least, options.max_width)
            yield ""
        if self.caption:
            yield Text.from_markup(self.caption, style="dim")

    def _texts(self, at: int, console: Console) -> list[str]:
        """The lines of a column as they are shown; of its heading the words, for it may take several lines."""
        cells = (console.render_str(row[at]).plain.split("\n") for row in self.rows)
        return [*self.columns[at].heading.split(), *(line for lines in cells for line in lines)]

    def _parts(self, least: Sequence[int], available: int) -> list[list[int]]:
        """Which columns stand side by side, so that each has its least width."""
        keys = list(range(self.keys))
        parts = [list(keys)]
        for at in range(self.keys, len(self.columns)):
            row = [*parts[-1], at]
            if len(parts[-1]) > len(keys) and sum(least[each] + _GAP for each in row) - _GAP > available:
                parts.append([*keys, at])
            else:
                parts[-1].append(at)
        return parts

    def _table(self, part: Sequence[int], widths: Sequence[int], least: Sequence[int], available: int) -> Table:
        # A part of one column may still be too wide: then text gets less than its least, and at last names are folded,
        # as anything is better than a cut.
        texts = [at for at in part if self.columns[at].kind == "text"]
        room = available - _GAP * (len(part) - 1) - sum(widths[at] for at in part if at not in texts)
        fits = room >= _TIGHT * len(texts)
        if fits and texts:
            least = [
                min(size, max(_TIGHT, room // len(texts))) if at in texts else size for at, size in enumerate(least)
            ]
        given: dict[int, int | None] = dict.fromkeys(part)
        if fits:
            given |= self._given(part, widths, least, available)
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
        for at in part:
            column = self.columns[at]
            table.add_column(
                "\n".join(textwrap.wrap(column.heading, max(widths[at], 1), break_on_hyphens=False)),
                justify="right" if column.kind == "number" else "left",
                width=given[at],
                no_wrap=fits and column.kind != "text",
                overflow="fold",
            )
        for row in self.rows:
            table.add_row(*(row[at] for at in part))
        return table

    @staticmethod
    def _given(part: Sequence[int], widths: Sequence[int], least: Sequence[int], available: int) -> dict[int, int]:
        """Characters for each column: its least, and an equal share of what is left, as far as it needs one."""
        given = {at: least[at] for at in part}
        spare = available - sum(given.values()) - _GAP * (len(part) - 1)
        waiting = sorted(part, key=lambda at: widths[at] - least[at])
        for place, at in enumerate(waiting):
            share = min(widths[at] - least[at], spare // (len(waiting) - place))
            given[at] += share
            spare -= share
        return given
