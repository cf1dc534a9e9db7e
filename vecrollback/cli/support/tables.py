"""Tables that a narrow terminal can show: what is too wide for its row follows below it, whole.

An id, a time or a command is copied from the screen into the next command, so none is ever broken over two lines. To a
file or a pipe each row is one line, however long, for `grep` and `awk`.
"""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.text import Text

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_GAP = 2
_STYLES = {
    "green": {"ok", "pass", "live", "ready", "done", "closed"},
    "yellow": {"note", "unknown", "warn", "standby", "building", "running", "paused", "cancelled", "waiting", "open"},
    "red": {"alert", "fail", "failed", "quarantined", "error", "expired"},
}
_STYLE_OF = {word: style for style, words in _STYLES.items() for word in words}
_UNITS = (("min", 60, 3600), ("h", 3600, 86_400))


class Rows:
    """A table without frames.

    Args:
        columns: Their names.
        rows: Cells, one for each column; None shows as a dash.
        right: Names of the columns that hold numbers.
        header: Whether the names are shown.
    """

    def __init__(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[object]],
        *,
        right: Sequence[str] = (),
        header: bool = True,
    ) -> None:
        self._columns, self._right, self._header = columns, right, header
        self._rows = [["-" if cell is None else clean(str(cell)) for cell in row] for row in rows]

    def __str__(self) -> str:
        return "\n".join("".join(text for text, _ in line).rstrip() for line in self._lines(None))

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> Iterator[Text]:
        from rich.text import Text

        for line in self._lines(options.max_width):
            shown = Text(no_wrap=True, overflow="ignore")
            for text, style in line:
                shown.append(text, style)
            shown.rstrip()
            yield shown

    def _lines(self, width: int | None) -> Iterator[list[tuple[str, str]]]:
        """The lines as pieces, each with its style; None: however wide a row is, it is one line."""
        from rich.cells import cell_len

        heads = self._columns if self._header else [""] * len(self._columns)
        widths = [max(map(cell_len, column)) for column in zip(heads, *self._rows, strict=True)]
        shown = list(range(len(widths)))
        # The first column names the row, so it stays.
        while width is not None and len(shown) > 1 and sum(widths[i] + _GAP for i in shown) - _GAP > width:
            shown.remove(max(shown[1:], key=lambda i: widths[i]))
        below = [i for i in range(len(widths)) if i not in shown]

        def line(cells: Sequence[str], *, bold: bool = False) -> Iterator[tuple[str, str]]:
            for i in shown:
                space = " " * (widths[i] - cell_len(cells[i]))
                left, after = (space, "") if self._columns[i] in self._right else ("", space)
                yield left, ""
                yield cells[i], "bold" if bold else _STYLE_OF.get(cells[i], "")
                yield after + " " * _GAP, ""

        if self._header:
            yield list(line(self._columns, bold=True))
        for row in self._rows:
            yield list(line(row))
            yield from ([(f"    {self._columns[i]} {row[i]}".replace("     ", "    ", 1), "")] for i in below if row[i])


Part: TypeAlias = str | Rows
"""What a command prints is made of: a line, or a table. `str` gives the text of both."""


def clean(text: str, limit: int | None = None) -> str:
    """A text on one line, safe for a terminal: no control characters, at most `limit` characters."""
    flat = " ".join(_CONTROL.sub(" ", text).split())
    return flat if limit is None or len(flat) <= limit else flat[: limit - 1] + "…"


def when(at: str | None) -> str | None:
    """A time in UTC for people: how long ago on a terminal, if that is less than a day; else the moment itself."""
    if not at:
        return at
    moment = dt.datetime.fromisoformat(at)
    seconds = (dt.datetime.now(dt.UTC) - moment).total_seconds()
    if sys.stdout.isatty() and 0 <= seconds < _UNITS[-1][2]:
        if seconds < _UNITS[0][1]:
            return f"{seconds:.0f} s ago"
        name, size, _ = next(unit for unit in _UNITS if seconds < unit[2])
        return f"{seconds // size:.0f} {name} ago"
    return f"{at[:19]}Z"
