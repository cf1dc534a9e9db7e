"""What a policy's evaluation keeps: baselines, pushed values, and how each metric stands."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from vecrollback.catalog.database import Database, now
from vecrollback.catalog.schema import baseline, judgement, measurement
from vecrollback.records import Json

_KEPT_SECONDS = 30 * 86400.0
_LOOKED_AT = 2_000
"""Rows that one push looks at for what is too old: twice as many as one request may hold."""


class PolicyState:
    """One baseline for each epoch of an alias; values by name and time; the evaluation's memory by metric."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- baselines ----------------------------------------------------------------------------------------------------

    def keep_baseline(self, alias: str, epoch: int, pair: str, body: Mapping[str, Json]) -> None:
        """Keep what an epoch is measured by. The first one stands: a later one could hide what crept in."""
        values = {"alias": alias, "epoch": epoch, "pair": pair, "body": dict(body), "at": now()}
        statement = self._database.insert(baseline).values(**values)
        with self._database.write() as connection:
            # Nothing on conflict: the first baseline stands.
            connection.execute(statement.on_conflict_do_nothing(index_elements=["alias", "epoch"]))

    def baseline(self, alias: str, epoch: int) -> dict[str, Json] | None:
        query = sa.select(baseline.c.body).where(baseline.c.alias == alias, baseline.c.epoch == epoch)
        with self._database.read() as connection:
            body: dict[str, Json] | None = connection.scalar(query)
        return body

    def baseline_of(self, alias: str, pair: str, *, before: int) -> dict[str, Json] | None:
        """The newest baseline of a pair from before this epoch, so that no value is compared with itself."""
        mine = sa.and_(baseline.c.alias == alias, baseline.c.pair == pair, baseline.c.epoch < before)
        query = sa.select(baseline.c.body).where(mine)
        with self._database.read() as connection:
            body: dict[str, Json] | None = connection.scalar(query.order_by(baseline.c.epoch.desc()).limit(1))
        return body

    # -- pushed values ------------------------------------------------------------------------------------------------

    def push(self, values: Sequence[tuple[str, float, float]]) -> None:
        """Keep values: (name, value, seconds since 1970). Those older than a month are dropped."""
        rows = [{"name": name, "value": value, "at": at} for name, value, at in values]
        # Not all rows: whoever pushes often has millions, and nobody else writes while they are looked through.
        first = sa.select(measurement.c.number).order_by(measurement.c.number).limit(_LOOKED_AT)
        old = measurement.c.number.in_(first) & (measurement.c.at < time.time() - _KEPT_SECONDS)
        with self._database.write() as connection:
            if rows:
                connection.execute(measurement.insert(), rows)
            connection.execute(measurement.delete().where(old))

    def pushed(self, name: str, since: float) -> list[float]:
        """Values of a name from `since` on, oldest first."""
        query = sa.select(measurement.c.value).where(measurement.c.name == name, measurement.c.at >= since)
        with self._database.read() as connection:
            return list(connection.scalars(query.order_by(measurement.c.at)))

    # -- memory -------------------------------------------------------------------------------------------------------

    def remember(self, alias: str, memory: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep how each metric stands."""
        at = time.time()
        with self._database.write() as connection:
            for metric, body in memory.items():
                values = {"epoch": body["epoch"], "body": dict(body), "at": at}
                statement = self._database.insert(judgement).values(alias=alias, metric=metric, **values)
                connection.execute(statement.on_conflict_do_update(index_elements=["alias", "metric"], set_=values))

    def standing(self, alias: str) -> list[dict[str, Any]]:
        """The last measurement of each metric. Its phase is `blind` once an alert said that it cannot be measured."""
        rows = []
        for metric, body in sorted(self.memory(alias).items()):
            at, phase, value, sample, condition, said = body["recent"][-1]
            phase = "blind" if body.get("blind_told") else phase
            values = {"at": at, "phase": phase, "value": value, "sample": sample, "condition": condition, "said": said}
            rows.append({"metric": metric, "epoch": body["epoch"], **values, "by": body.get("by", "")})
        return rows

    def memory(self, alias: str) -> dict[str, dict[str, Any]]:
        """How each metric stood when it was last kept."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(judgement).where(judgement.c.alias == alias))
            return {row.metric: row.body for row in rows}
