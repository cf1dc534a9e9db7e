"""How a whole store stands at one moment: a line for each thing that a person on call asks about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from vecrollback.records.tables import html_table

LineState = Literal["ok", "note", "alert", "unknown"]
"""`ok`: as it should be. `note`: somebody should know it. `alert`: something is wrong. `unknown`: nobody could look."""

LINES = (
    "live",
    "proof",
    "model",
    "gates",
    "way back",
    "canary",
    "freeze",
    "approvals",
    "incidents",
    "policy",
    "jobs",
    "drills",
    "worker",
    "notices",
    "storage",
)
"""Names of the lines that every situation has, in their order. A server adds `queries`."""

_WORST_LAST: tuple[LineState, ...] = ("ok", "note", "unknown", "alert")
_VERDICTS: Mapping[LineState, str] = {
    "ok": "Well",
    "note": "Look at it",
    "unknown": "Not known",
    "alert": "Not well",
}


@dataclass(frozen=True, slots=True)
class SituationLine:
    """How one thing stands.

    Attributes:
        name: What it is about, one of `LINES`.
        state: `ok`, `note`, `alert` or `unknown`.
        sentence: What there is, for people.
        command: What to type next; empty where nothing is to be done.
    """

    name: str
    state: LineState
    sentence: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Situation:
    """How a store stands, told in the same words by every command, page and number.

    Attributes:
        at: When it was looked at, ISO 8601, UTC.
        lines: One for each of `LINES`, in that order.
    """

    at: str
    lines: tuple[SituationLine, ...]

    @property
    def state(self) -> LineState:
        """The worst state of all lines. Something wrong is worse than something unknown."""
        return max((line.state for line in self.lines), key=_WORST_LAST.index, default="unknown")

    @property
    def verdict(self) -> str:
        """`Well` only where every line is `ok`; else `Look at it`, `Not known` or `Not well`."""
        return _VERDICTS[self.state]

    @property
    def sentence(self) -> str:
        """The verdict, and the lines that it comes from."""
        if self.state == "ok":
            return "Well: everything is as it should be"
        reasons = "; ".join(f"{line.name}: {line.sentence}" for line in self.lines if line.state == self.state)
        return f"{self.verdict}: {reasons}"

    @property
    def open_lines(self) -> tuple[SituationLine, ...]:
        """Lines that are not `ok`, the worst first."""
        lines = [line for line in self.lines if line.state != "ok"]
        return tuple(sorted(lines, key=lambda line: -_WORST_LAST.index(line.state)))

    def _repr_html_(self) -> str:
        """The lines as a table, as notebooks show it, and the verdict."""
        rows = ((one.state, one.name, one.sentence, one.command) for one in self.lines)
        return html_table(("", "what", "how it stands", "next"), rows, f"{self.sentence}, {self.at}")

    def line(self, name: str) -> SituationLine:
        """The line of this name.

        Raises:
            KeyError: There is none.
        """
        for line in self.lines:
            if line.name == name:
                return line
        raise KeyError(name)

    def with_line(self, line: SituationLine) -> Situation:
        """The same with one more line at its end; for a process that sees more than the store does."""
        return replace(self, lines=(*self.lines, line))
