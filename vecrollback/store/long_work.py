"""Parts of a store whose work keeps queries waiting: where the store has a helper, it does that.

What stands here is the part itself, in the helper's own store as in any that answers no queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from vecrollback.quality.evaluation import Quality
from vecrollback.records import GateVerdict, GoldenQuery, PostCheck, SearchMode
from vecrollback.store.helper import Helped, do_aside
from vecrollback.switching.gates import Gates
from vecrollback.switching.switch import Switch


class HelpedParts(Helped, Protocol):
    """What gates are judged with, too."""

    @property
    def quality(self) -> Quality: ...
    @property
    def switch(self) -> Switch: ...


class QualityAside(Quality):
    """Golden queries are asked aside; what is timed is timed here, where queries are answered."""

    def __init__(self, parts: Helped) -> None:
        super().__init__(parts.resources)
        self._parts = parts

    def rankings(
        self, pairs: Sequence[str], queries: Sequence[GoldenQuery], k: int, mode: SearchMode = "vector"
    ) -> list[list[list[str]]]:
        return do_aside(self._parts, super().rankings, "quality.rankings", pairs, pairs, queries, k, mode)


class GatesAside(Gates):
    """Gates ask golden queries, prove a model and read every byte of the way back."""

    def __init__(self, parts: HelpedParts) -> None:
        super().__init__(parts.resources, parts.quality, parts.switch)
        self._parts = parts

    def judge(
        self, pair: str, *, wait_seconds: float = 10.0, head: int | None = None, record: bool = True
    ) -> GateVerdict:
        here, asked = super().judge, (pair, None)  # the live pair too: its model is what the gates compare with
        how: dict[str, Any] = {"wait_seconds": wait_seconds, "head": head, "record": record}
        return do_aside(self._parts, here, "gates.judge", asked, pair, **how)


def ask_probe_queries(parts: HelpedParts, pair: str) -> PostCheck:
    """Whether a pair answers its probe queries as it did when its snapshot was taken, and its golden ones how well."""

    def here(name: str) -> PostCheck:
        from vecrollback.switching.incidents.post_check import post_check

        return replace(post_check(parts.resources, name), quality=parts.quality.golden_value(name))

    return do_aside(parts, here, "_parts.ask_probe_queries", [pair], pair)
