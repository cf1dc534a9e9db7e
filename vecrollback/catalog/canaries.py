"""Pairs that are tried on real traffic. The row of the one that runs is part of every query's pointer read.

Tables and columns keep the names of the format that brought them: `rollout`, `alias.trial`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from vecrollback.catalog.aliases import apply_move, end_canary, require_states
from vecrollback.catalog.database import Database, now
from vecrollback.catalog.schema import alias as alias_table
from vecrollback.catalog.schema import canary, observation
from vecrollback.errors import PairStateError
from vecrollback.records import CanaryRun, MoveRequest, Observation, SnapshotRef


class CanaryTable:
    """At most one runs for an alias. Every change of it wakes the searchers, as a move does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, new: CanaryRun, load: MoveRequest) -> CanaryRun:
        """Begin a canary and have the searchers load its pair, in one transaction; its number and times are set here.

        Args:
            new: Whom it tries, and how.
            load: The move of `candidate` to that pair's snapshot, and what it requires of the pair's state.

        Returns:
            What runs now.

        Raises:
            PairStateError: Another one runs, its alias points to another pair than `new.baseline`, or the pair is not
                in the state that was decided on.
            QuarantinedError: The pair was rolled back from meanwhile.
            AliasMovedError: Somebody has moved `candidate` meanwhile.
        """
        with self._database.write(wakes=True) as connection:
            if (other := _running_canary(connection, new.alias)) is not None:
                raise PairStateError(
                    f"canary {other.number} of {other.pair!r} runs already",
                    hint="`vecrollback canary stop` ends it, `vecrollback canary advance` goes on with it",
                )
            target = connection.execute(sa.select(alias_table).where(alias_table.c.name == new.alias)).one_or_none()
            if target is None or target.pair != new.baseline:
                raise PairStateError(
                    f"{new.alias} is {target.pair if target else 'nothing'} now, not {new.baseline} as it was to be "
                    "tried against",
                    hint="`vecrollback status`, then decide again",
                )
            require_states(connection, load.requires)
            candidate = connection.execute(sa.select(alias_table).where(alias_table.c.name == load.alias)).one_or_none()
            if load.target is not None and (candidate is None or _points(candidate) != load.target):
                apply_move(connection, load)
            row = asdict(new) | {"since": time.time(), "started_at": now(), "policy": dict(new.policy)}
            row.pop("number")
            entry = connection.execute(canary.insert().values(**row).returning(canary)).one()
            connection.execute(alias_table.update().where(alias_table.c.name == new.alias).values(trial=entry.number))
        return CanaryRun(**entry._mapping)

    def step(self, number: int, *, expected: int, step: int, share: float) -> CanaryRun:
        """Go from step `expected` to another one. Raises PairStateError when it ended, or is at another step."""
        with self._database.write(wakes=True) as connection:
            # Compare-and-set in one statement: of two processes that advance it, one finds another step.
            condition = sa.and_(canary.c.number == number, canary.c.step == expected, canary.c.ended_at.is_(None))
            update = canary.update().where(condition).values(step=step, share=share, since=time.time())
            row = connection.execute(update.returning(canary)).one_or_none()
        if row is None:
            raise PairStateError(
                f"canary {number} is not at step {expected} any more", hint="look at `vecrollback canary status`"
            )
        return CanaryRun(**row._mapping)

    def end(self, alias: str, *, reason: str, actor: str) -> CanaryRun | None:
        """End the canary that runs: every query is answered by the alias's own pair again. None when none ran."""
        with self._database.write(wakes=True) as connection:
            run = _running_canary(connection, alias)
            if run is not None:
                end_canary(connection, alias, reason=reason, actor=actor)
        return run

    def running(self, alias: str) -> CanaryRun | None:
        with self._database.read() as connection:
            return _running_canary(connection, alias)

    def all(self, *, limit: int | None = None) -> list[CanaryRun]:
        """Canaries, newest first."""
        query = sa.select(canary).order_by(canary.c.number.desc()).limit(limit)
        with self._database.read() as connection:
            return [CanaryRun(**row._mapping) for row in connection.execute(query)]

    # -- what was seen ------------------------------------------------------------------------------------------------

    def observe(self, number: int, step: int, observations: Mapping[str, Observation]) -> None:
        """Add to what was seen at a step."""
        with self._database.write() as connection:
            totals = _observations(connection, number, step)
            for measure, more in observations.items():
                row = asdict(totals.get(measure, Observation()) + more)
                statement = self._database.insert(observation).values(rollout=number, step=step, measure=measure, **row)
                keys = ["rollout", "step", "measure"]
                connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=row))

    def observed(self, number: int, step: int) -> dict[str, Observation]:
        """Measure -> what was seen of it at a step."""
        with self._database.read() as connection:
            return _observations(connection, number, step)


def _points(row: sa.Row[Any]) -> SnapshotRef:
    return SnapshotRef(row.pair, row.snapshot)


def _running_canary(connection: sa.Connection, alias: str) -> CanaryRun | None:
    query = sa.select(canary).where(canary.c.alias == alias, canary.c.ended_at.is_(None))
    row = connection.execute(query).one_or_none()
    return CanaryRun(**row._mapping) if row else None


def _observations(connection: sa.Connection, number: int, step: int) -> dict[str, Observation]:
    query = sa.select(observation).where(observation.c.rollout == number, observation.c.step == step)
    observations = {}
    for row in connection.execute(query):
        values = {name: value for name, value in row._mapping.items() if name not in ("rollout", "step", "measure")}
        observations[row.measure] = Observation(**values)
    return observations
