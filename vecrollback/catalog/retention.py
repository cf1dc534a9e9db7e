"""How long records of work stay: jobs, reports of checks, and the audit. What moved is never among them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import sqlalchemy as sa

from vecrollback.catalog.database import Database
from vecrollback.catalog.schema import audit, job, report, runner
from vecrollback.records import RetentionRules


class RecordRetention:
    """Rows that are to be forgotten. The history of moves, incidents and drills stay for good."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, keep: RetentionRules) -> Mapping[str, int]:
        """How many rows would go now, by kind of record."""
        with self._database.read() as connection:
            return {name: _count(connection, *which) for name, which in _expendable(keep).items()}

    def forget(self, keep: RetentionRules) -> Mapping[str, int]:
        """Forget them; returns how many went, by kind of record."""
        if not any(self.count(keep).values()):
            return dict.fromkeys(_expendable(keep), 0)
        with self._database.write() as connection:
            gone = {
                name: connection.execute(table.delete().where(condition)).rowcount
                for name, (table, condition) in _expendable(keep).items()
            }
            connection.execute(runner.delete().where(runner.c.job.not_in(sa.select(job.c.id))))
        return gone


def _count(connection: sa.Connection, table: sa.Table, condition: sa.ColumnElement[bool]) -> int:
    return int(connection.scalar(sa.select(sa.func.count()).select_from(table).where(condition)) or 0)


def _expendable(keep: RetentionRules) -> dict[str, tuple[sa.Table, sa.ColumnElement[bool]]]:
    """Kind of record -> its table, and which rows may go."""
    since = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=keep.audit)
    # A job that is not done is resumed by the next one of its kind; the newest report of a pair decides on its fitness.
    place = sa.func.row_number().over(partition_by=(job.c.kind, job.c.pair), order_by=job.c.updated_at.desc())
    jobs = sa.select(job.c.id, place.label("place")).where(job.c.state == "done").subquery()
    place = sa.func.row_number().over(partition_by=report.c.pair, order_by=report.c.number.desc())
    reports = sa.select(report.c.number, place.label("place")).subquery()
    return {
        "jobs": (job, job.c.id.in_(sa.select(jobs.c.id).where(jobs.c.place > keep.jobs))),
        "reports": (report, report.c.number.in_(sa.select(reports.c.number).where(reports.c.place > keep.reports))),
        "audit": (audit, audit.c.at < since.isoformat(timespec="microseconds")),
    }
