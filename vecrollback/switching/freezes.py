"""Freezes: people say for how long automation may move nothing. People themselves still can."""

from __future__ import annotations

import datetime as dt

from vecrollback.catalog import Catalog, as_kept, now
from vecrollback.errors import UsageError
from vecrollback.records import LIVE, Freeze


class Freezes:
    """The freezes of one store. Each is on record before it counts."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def freeze(self, reason: str, *, actor: str, until: dt.datetime | None = None) -> Freeze:
        """Let automation move nothing until then, or until somebody lifts it. People still can."""
        if not reason.strip():
            raise UsageError("a freeze needs a reason", hint="--reason 'release day'")
        if until is not None and until.tzinfo is None:
            raise UsageError(f"{until} has no time zone", hint="dt.datetime(..., tzinfo=dt.UTC)")
        try:
            end = None if until is None else as_kept(until)
        except ValueError as error:
            raise UsageError(f"{until} is not a valid time: {error}", hint="name a time to come, or none") from None
        if until is not None and end is not None and end <= now():
            raise UsageError(f"{until.isoformat()} is over already", hint="name a time to come, or none")
        new = Freeze(LIVE, reason, actor, now(), end)
        self._catalog.audits.add(actor, "freeze", f"{LIVE} ({reason})")
        self._catalog.freezes.put(new)
        return new

    def unfreeze(self, *, actor: str) -> bool:
        """Let automation act again; whether it was frozen."""
        self._catalog.audits.add(actor, "unfreeze", LIVE)
        return self._catalog.freezes.lift(LIVE)

    def current(self) -> Freeze | None:
        """The freeze that holds now."""
        return self._catalog.freezes.of(LIVE)

    def warning(self) -> str:
        """What a person who moves `live` should know; empty when nothing. Raises nothing."""
        try:
            freeze = self.current()
        except Exception as error:  # a broken table of freezes must not keep anybody from a rollback
            return f"whether the store is frozen is not known ({error})"
        return f"{LIVE!r} is frozen by {freeze.actor}: {freeze.reason}" if freeze else ""
