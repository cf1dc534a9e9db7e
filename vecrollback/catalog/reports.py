"""What checks found: every report, of which the newest of a pair counts."""

from __future__ import annotations

import logging
from dataclasses import asdict

import sqlalchemy as sa

from vecrollback.catalog.database import Database
from vecrollback.catalog.schema import report
from vecrollback.records import Certificate, Finding, Report, Verdict

_log = logging.getLogger(__name__)


class Reports:
    """Every report is kept; the newest one of a pair decides whether it may be rolled back to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, new: Report) -> None:
        """Keep a report. That of who may only read the catalog is kept nowhere, and a line of the log says so."""
        if not self._database.may_write:
            _log.warning("this user may only read %s: the report is not kept", self._database.place)
            return
        row = {"pair": new.pair, "snapshot": new.snapshot, "verdict": new.verdict, "body": asdict(new), "at": new.at}
        with self._database.write(witnessed=False) as connection:
            connection.execute(report.insert().values(**row))

    def newest(self, pair: str) -> Report | None:
        with self._database.read() as connection:
            return newest_report(connection, pair)

    def all(self, pair: str | None = None, *, limit: int) -> list[Report]:
        """Reports of one pair or of all, newest first."""
        query = sa.select(report.c.body).order_by(report.c.number.desc()).limit(limit)
        if pair is not None:
            query = query.where(report.c.pair == pair)
        with self._database.read() as connection:
            return [_report(body) for body in connection.scalars(query)]

    def verdicts(self) -> dict[str, Verdict]:
        """Pair -> verdict of its newest report."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(report.c.pair, report.c.verdict).order_by(report.c.number))
            # Rows come oldest first, so the newest verdict of a pair is the one that stays.
            return {row.pair: row.verdict for row in rows}


def newest_report(connection: sa.Connection, pair: str) -> Report | None:
    """The newest report of a pair, inside a transaction."""
    query = sa.select(report.c.body).where(report.c.pair == pair).order_by(report.c.number.desc()).limit(1)
    body = connection.scalar(query)
    return _report(body) if body else None


def _report(body: dict[str, object]) -> Report:
    values = dict(body)
    certificate = values.pop("certificate")
    findings = values.pop("findings")
    assert isinstance(findings, list)
    return Report(
        **values,  # type: ignore[arg-type]
        findings=tuple(Finding(**(f | {"ids": tuple(f["ids"])})) for f in findings),
        certificate=Certificate(**certificate) if isinstance(certificate, dict) else None,
    )
