"""Time travel of the documents: what it would take, and the step itself.

The log goes forward: going back writes changes that make the documents what they were, all in one commit. So every pair
takes it in like any other change, every process follows, and a later rollback can undo this one. Vectors that any pair
of a model has for a text are used again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from vecrollback.catalog import as_kept
from vecrollback.errors import UsageError, VecrollbackError
from vecrollback.pairs.resources import Resources
from vecrollback.records import CatchUp, CorpusPlan, CorpusRollback, Pair, ProgressCallback
from vecrollback.records.times import read_time

_SERVE = ("live", "standby")

CatchUpCall = Callable[[Pair, ProgressCallback | None], CatchUp]
"""Brings a pair to the head of the log."""


class TimeTravel:
    """Plans a rollback of one store's documents, and makes it."""

    def __init__(self, resources: Resources, actor: str, catch_up: CatchUpCall) -> None:
        self._resources, self._catalog, self._corpus = resources, resources.catalog, resources.corpus
        self._actor, self._catch_up = actor, catch_up

    def plan(self, to: int | str, *, keep_new: bool = False) -> CorpusPlan:
        """Tell what `rollback` would change now. Changes nothing.

        Args:
            to: As for `rollback`.
            keep_new: As for `rollback`.

        Returns:
            Which documents would get back what they were, which would go out of every answer, which stay deleted for
            good, and how many texts each pair that serves or stands by would have to embed.

        Raises:
            UsageError: The point is after the head of the log, or behind what is kept of it.

        Example:
            >>> plan = store.time_travel.plan(2)
            >>> plan.changes, plan.embed["v1"]
            (0, 0)
        """
        return self._priced(self._corpus.plan_rollback(self._seq(to), keep_new=keep_new))

    def rollback(
        self,
        to: int | str,
        *,
        reason: str,
        keep_new: bool = False,
        catch_up: bool = True,
        progress: ProgressCallback | None = None,
        actor: str | None = None,
    ) -> CorpusRollback:
        """Make the documents what they were at an earlier point of the log. Which pair serves does not change.

        The log goes forward: changes are written, all of them or none, that bring back what the documents were. Texts
        and deletions count from the next query on, vectors after the catch-up, which uses those again that exist. What
        was deleted since by somebody stays deleted for good. Another rollback can undo this one.

        Args:
            to: The number of a change, or a time: ISO 8601, UTC unless it says otherwise, or how
                long ago, as 2h.
            reason: Why. It is kept in the audit.
            keep_new: Leave the documents alone that are new since; otherwise they go out of every answer.
            catch_up: Bring the live and the standby pairs up to date with it.
            progress: Called after every batch of a catch-up.
            actor: Who does it. Default: the store's actor.

        Returns:
            What was changed, and what the catch-ups did. What went wrong in them is told in `trouble`; the documents
            stay as they were taken back.

        Raises:
            UsageError: The point is after the head of the log, or behind what is kept of it; or the reason is empty.

        Example:
            >>> store.time_travel.rollback(2, reason="a faulty import").plan.changes
            0
        """
        if not reason.strip():
            raise UsageError("a rollback of the documents needs a reason", hint="--reason TEXT; the audit keeps it")
        seq = self._seq(to)
        self._corpus.plan_rollback(seq, keep_new=keep_new)  # a point that cannot be reached is not noted as reached
        # Noted before it is made: a crash in between leaves an entry too many, never a change without one.
        self._catalog.audits.add(actor or self._actor, "corpus.rollback", f"to change {seq}: {reason}")
        plan = self._corpus.take_back(seq, keep_new=keep_new)
        done = CorpusRollback(self._priced(plan), plan.head + plan.changes)
        for pair in self._kept_up() if catch_up else ():
            try:
                done = replace(done, caught_up=(*done.caught_up, self._catch_up(pair, progress)))
            except (VecrollbackError, OSError) as error:
                done = replace(done, trouble="; ".join(filter(None, (done.trouble, f"{pair.name}: {error}"))))
        return done

    def _kept_up(self) -> list[Pair]:
        """The pairs that serve or stand by, the live one first."""
        pairs = [pair for pair in self._catalog.pairs.all() if pair.state in _SERVE and pair.snapshot]
        return sorted(pairs, key=lambda pair: _SERVE.index(pair.state))

    def _seq(self, to: int | str) -> int:
        """The change that a number or a time stands for. Raises UsageError."""
        if isinstance(to, int) or to.strip().isdecimal():
            return int(to)
        try:
            at = read_time(to)
        except UsageError:
            raise UsageError(
                f"{to!r} is not a valid point of the log; use the number of a change or a time",
                hint="`--corpus 4711`, `--corpus 2026-01-31T12:00` (UTC), or how long ago: `--corpus 2h`",
            ) from None
        return self._corpus.seq_at(as_kept(at))

    def _priced(self, plan: CorpusPlan) -> CorpusPlan:
        """With how many texts each pair that is kept up to date has no vector of."""
        return replace(plan, embed={pair.name: self._without_vectors(pair, plan) for pair in self._kept_up()})

    def _without_vectors(self, pair: Pair, plan: CorpusPlan) -> int:
        missing = pa.array(sorted(set(plan.hashes)), pa.binary(16))
        same = self._catalog.equivalences.of(pair.fingerprint)
        alike = [one for one in self._catalog.pairs.all() if one.fingerprint in same and one.name != pair.name]
        for one in (pair, *alike):
            if not len(missing):
                break
            hashes = self._resources.vectors_of(one).keys(one.vectors_version)["content_hash"]
            missing = missing.filter(pc.invert(pc.is_in(missing, value_set=hashes)))
        return len(missing)
