"""How `live` came to be where it is, from the history."""

from __future__ import annotations

import datetime as dt

from vecrollback.automation.guard.evaluation import Situation
from vecrollback.store.store import Store

_LIVE = "live"


def situation(store: Store) -> Situation | None:
    """None while nothing is live."""
    moves = [move for move in store.history(alias=_LIVE) if move.kind != "advance"]
    if not moves:
        return None
    last, pair = moves[0], _pair(moves[0].target)
    left = {_pair(move.source) for move in moves if move.kind == "rollback" and move.source}
    held = store.authority.frozen()
    return Situation(
        epoch=last.epoch,
        pair=pair,
        moved_at=dt.datetime.fromisoformat(last.at).timestamp(),
        kind=last.kind,
        overridden=last.kind == "promote" and pair in left,
        frozen=held.reason if held else "",
    )


def _pair(ref: str) -> str:
    return ref.rpartition("@")[0]
