"""Vectors that came over a bridge while the pair's own model was away.

They are neither the pair's own nor foreign: each says by its provenance which bridge it came over. A check counts them
apart and warns; once the model is back they are embedded again. They are listed in the pair's report before the first
of them is written, so that a job which dies leaves none that nobody looks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vecrollback.catalog import now
from vecrollback.quality.check.findings import LAWS, SHOWN, Notes
from vecrollback.records import Finding, Pair, Report

BRIDGED_VECTOR = "bridged_vector"
BRIDGED_MESSAGE = (
    "documents whose vectors came over a bridge, because the pair's own model was away; a repair embeds them again"
)


def with_bridged(before: Report | None, pair: Pair, ids: Sequence[str], head: int) -> Report:
    """The pair's newest report with these documents among those that came over a bridge.

    Args:
        before: The newest report, if there is one. Its verdict stands: this is a warning.
        pair: The pair.
        ids: Of the documents.
        head: Of the log.

    Returns:
        The report; `unknown` where the pair was never checked.
    """
    every = list(dict.fromkeys([*(before.ids(BRIDGED_VECTOR) if before else ()), *ids]))
    finding = Finding(LAWS[BRIDGED_VECTOR], BRIDGED_VECTOR, len(every), tuple(every[:SHOWN]), BRIDGED_MESSAGE, "warn")
    if before is None:
        return Report(pair.name, pair.snapshot, "quick", "unknown", (finding,), None, pair.watermark, head, now())
    others = tuple(one for one in before.findings if one.kind != BRIDGED_VECTOR)
    return replace(before, findings=(*others, finding))


def keep_bridged(notes: Notes, before: Report | None) -> None:
    """Let them stay listed where the rows were not read."""
    notes.findings += [one for one in (before.findings if before else ()) if one.kind == BRIDGED_VECTOR]
