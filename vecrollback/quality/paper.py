"""What reports on paper share: when they were made and by which command, what comes next, scales, and a phone's width.

One HTML file each, which is handed round: no script, no font, nothing from outside.
"""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib.metadata import version

from vecrollback.storage.effective_config import masked

PHONE_STYLE = """
.scroll { overflow-x: auto; } .scroll th, .scroll td { overflow-wrap: normal; } .wide { min-width: 16rem; }
.next { border-left: .4rem solid; padding: .2rem 1rem .2rem 2.4rem; } .next li { margin: .2rem 0; }
svg .scale { stroke-dasharray: 2 4; }
@media (max-width: 30rem) { body { margin: 1rem auto; padding: 0 .6rem; } svg text { font-size: 20px; }
  th, td { padding-right: .5rem; } }
"""
"""A page's own style comes before it. Tables wider than a phone are moved sideways; the page itself never is."""


def origin(command: Sequence[str]) -> str:
    """Says when a report was made, and how it is made again. Passwords in addresses are left out."""
    at = dt.datetime.now(dt.UTC)
    time = f'<time datetime="{at:%Y-%m-%dT%H:%MZ}">{at:%Y-%m-%d %H:%M} UTC</time>'
    made = f"{time} by vecrollback {escape(version('vecrollback'))}"
    if not command:
        return f"<p class='quiet note'>Made {made}.</p>"
    said = escape(shlex.join([command[0], *(masked("", word) for word in command[1:])]))
    return f"<p class='quiet note'>Made {made}: <code>{said}</code></p>"


def next_steps_section(steps: Iterable[str]) -> str:
    """What to do now, one paragraph for each step; `code` between backticks."""
    items = "".join(f"<li>{_with_code(step)}</li>" for step in steps)
    return f"<h2>What to do next</h2><ol class='next'>{items}</ol>"


def _with_code(step: str) -> str:
    parts = escape(step).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))


def ticks(low: float, high: float, count: int = 4) -> Iterator[float]:
    """Values from low to high, equally far apart, for a scale."""
    for number in range(count + 1):
        yield low + (high - low) * number / count
