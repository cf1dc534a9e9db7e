"""The operation around moves: incidents, freezes and approvals, notices to people, drills.

One table each; a row is a JSON body with the columns that queries select by. Notices are an outbox: a message stays
until it was delivered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import sqlalchemy as sa

from vecrollback.catalog.answer_counts import hurry
from vecrollback.catalog.database import Database, now
from vecrollback.catalog.reports import newest_report
from vecrollback.catalog.schema import approval, drill, freeze, history, incident, notice, snapshot, tag
from vecrollback.catalog.tenures import tenure_that_ended
from vecrollback.errors import UnknownNameError, UsageError
from vecrollback.records import (
    Acknowledgements,
    Approval,
    BlastRadius,
    Drill,
    Finding,
    Freeze,
    Incident,
    Json,
    Move,
    MoveKind,
    Notice,
    NoticeState,
    Phase,
    PostCheck,
    Report,
    SnapshotRef,
    Tenure,
    Timeline,
)

# A locked table must not hold up what comes after a rollback.
_PATIENCE_MS = 2_000
_INCIDENT_COLUMNS = ("number", "state", "alias", "epoch")

_APPROVAL_COLUMNS = ("number", "kind", "state", "at")
_DRILL_COLUMNS = ("number", "chaos", "epoch", "verdict", "at")


class OpenedIncident(NamedTuple):
    """A recorded incident; and why no tag keeps the snapshot that it is about, empty when one does."""

    incident: Incident
    trouble: str


def _as_it_is(one: Incident) -> Incident:
    return one


class IncidentTable:
    """Rows of incidents. A locked table must not hold up what comes after a rollback, so writes wait little."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, new: Incident, completed: Callable[[Incident], Incident] = _as_it_is) -> OpenedIncident:
        """Keep a new incident, and the snapshot that was left by a tag, in one transaction.

        Args:
            new: The incident, without a number.
            completed: Adds what only whoever made the move knows. It is asked of an incident that somebody else has
                opened from the history a moment ago, as long as nobody has completed that.

        Returns:
            The incident with its number, the move's own when it had one already; and why there is no tag.
        """
        with self._write() as connection:
            same = sa.and_(incident.c.alias == new.alias, incident.c.epoch == new.epoch)
            row = connection.execute(sa.select(incident).where(same)).one_or_none()
            if row is None:
                values = {name: getattr(new, name) for name in _INCIDENT_COLUMNS[1:]}
                inserted = incident.insert().values(**values, body=_incident_body(new), at=new.timeline.switched or "")
                row = connection.execute(inserted.returning(incident)).one()
            before = _incident(row)
            after = completed(before) if before.switch_ms is None else before
            trouble = ""
            if not after.archived:
                after, trouble = self._archived(connection, after)
            if after != before:
                self._replace(connection, after)
        return OpenedIncident(after, trouble)

    def _archived(self, connection: sa.Connection, one: Incident) -> tuple[Incident, str]:
        """The incident with a tag that keeps the failed snapshot, which nothing prunes; or why there is none."""
        source = SnapshotRef.parse(one.source)
        values = {"pair": source.pair, "snapshot": source.number, "created_at": now()}
        there = sa.and_(snapshot.c.pair == source.pair, snapshot.c.number == source.number)
        try:
            with connection.begin_nested():  # a table of tags that is broken must not cost the incident
                if connection.scalar(sa.select(snapshot.c.number).where(there)) is None:
                    return one, f"snapshot {source} is not in the catalog any more"
                name = self._free_tag(connection, one.number, source)
                statement = self._database.insert(tag).values(name=name, **values)
                connection.execute(statement.on_conflict_do_nothing(index_elements=["name"]))
        except sa.exc.DBAPIError as error:
            return one, f"{source} is not kept by a tag: {str(error.orig).strip()}"
        return replace(one, archived=name), ""

    def _free_tag(self, connection: sa.Connection, number: int, source: SnapshotRef) -> str:
        """A tag of the incident's own: one that somebody has set on another snapshot stays where it is."""
        name, more = f"incident-{number}", 1
        while (row := connection.execute(sa.select(tag).where(tag.c.name == name)).one_or_none()) is not None:
            if SnapshotRef(row.pair, row.snapshot) == source:
                break
            more += 1
            name = f"incident-{number}-{more}"
        return name

    def evidence(self, move: Move) -> tuple[Tenure, Report | None]:
        """What the catalog knows of the pair that a move left: how long it had served, and its newest report."""
        assert move.source is not None
        with self._database.read() as connection:
            newest = newest_report(connection, SnapshotRef.parse(move.source).pair)
            return tenure_that_ended(connection, move), newest

    def without(self, alias: str, kinds: Sequence[MoveKind], since: str) -> list[Move]:
        """Moves of these kinds after `since` that left a pair and have no incident, the oldest first."""
        mine = sa.and_(incident.c.alias == history.c.alias, incident.c.epoch == history.c.epoch)
        query = sa.select(history).where(history.c.alias == alias, history.c.kind.in_(kinds), history.c.at > since)
        query = query.where(history.c.source.is_not(None), ~sa.exists().where(mine))
        with self._database.read() as connection:
            return [Move(**row._mapping) for row in connection.execute(query.order_by(history.c.number))]

    def change(self, number: int, update: Callable[[Incident], Incident]) -> Incident:
        """Replace an incident by what `changed` makes of it, in one transaction. Raises UnknownNameError."""
        with self._write() as connection:
            row = connection.execute(sa.select(incident).where(incident.c.number == number)).one_or_none()
            after = update(_incident(_require_incident(row, number)))
            self._replace(connection, after)
        return after

    def _replace(self, connection: sa.Connection, after: Incident) -> None:
        values = {"state": after.state, "body": _incident_body(after)}
        connection.execute(incident.update().where(incident.c.number == after.number).values(**values))

    def of_move(self, alias: str, epoch: int) -> Incident | None:
        """The incident of one move."""
        same = sa.and_(incident.c.alias == alias, incident.c.epoch == epoch)
        with self._database.read() as connection:
            row = connection.execute(sa.select(incident).where(same)).one_or_none()
        return _incident(row) if row else None

    def get(self, number: int) -> Incident:
        """Raises UnknownNameError."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(incident).where(incident.c.number == number)).one_or_none()
        return _incident(_require_incident(row, number))

    def epoch_before(self, one: Incident) -> int:
        """The epoch of the incident before it by which the alias left the same pair; 0 when there is none."""
        pair = incident.c.body["blast", "pair"].as_string()
        query = sa.select(incident.c.epoch).where(incident.c.alias == one.alias, incident.c.epoch < one.epoch)
        query = query.where(pair == one.blast.pair).order_by(incident.c.epoch.desc()).limit(1)
        with self._database.read() as connection:
            return int(connection.execute(query).scalar() or 0)

    def all(self, *, state: str | None = None, limit: int | None = None) -> list[Incident]:
        """Incidents, newest first."""
        query = sa.select(incident).order_by(incident.c.number.desc()).limit(limit)
        if state is not None:
            query = query.where(incident.c.state == state)
        with self._database.read() as connection:
            return [_incident(row) for row in connection.execute(query)]

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        with self._database.write() as connection:
            hurry(connection, _PATIENCE_MS)
            yield connection


def _incident_body(one: Incident) -> dict[str, Any]:
    return {name: value for name, value in asdict(one).items() if name not in _INCIDENT_COLUMNS}


def _require_incident(row: sa.Row[Any] | None, number: int) -> sa.Row[Any]:
    if row is None:
        raise UnknownNameError(f"incident {number} does not exist", hint="`vecrollback incident list` shows them")
    return row


def _incident(row: sa.Row[Any]) -> Incident:
    body: dict[str, Any] = _searchers_named(row.body)
    nested: dict[str, Any] = {
        "timeline": Timeline(**body.pop("timeline")),
        "blast": BlastRadius(**_searchers_named(body.pop("blast"))),
        "searchers": _acknowledgements(body.pop("searchers")),
        "post_check": PostCheck(**post) if (post := body.pop("post_check")) else None,
        "findings": _findings(body.pop("findings")),
        "failed_findings": _findings(body.pop("failed_findings")),
    }
    return Incident(**{name: getattr(row, name) for name in _INCIDENT_COLUMNS}, **body, **nested)


def _searchers_named(body: Mapping[str, Any]) -> dict[str, Any]:
    """A stored body under today's keys: stores of earlier versions hold incidents that say `readers`."""
    return {"searchers" if key == "readers" else key: value for key, value in body.items()}


def _acknowledgements(body: Mapping[str, Any] | None) -> Acknowledgements | None:
    return Acknowledgements(**(dict(body) | {"missing": tuple(body["missing"])})) if body else None


def _findings(body: Iterable[Mapping[str, Any]]) -> tuple[Finding, ...]:
    return tuple(Finding(**(dict(one) | {"ids": tuple(one["ids"])})) for one in body)


class FreezeTable:
    """One row for each alias that automation may not move."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, new: Freeze) -> None:
        """Freeze an alias; a later freeze replaces the one before."""
        values = asdict(new)
        statement = self._database.insert(freeze).values(**values)
        with self._database.write(witnessed=False) as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["alias"], set_=values))

    def lift(self, alias: str) -> bool:
        """Whether there was one."""
        with self._database.write() as connection:
            return bool(connection.execute(freeze.delete().where(freeze.c.alias == alias)).rowcount)

    def of(self, alias: str) -> Freeze | None:
        """The freeze that holds now."""
        holds = sa.or_(freeze.c.until.is_(None), freeze.c.until > now())
        with self._database.read() as connection:
            row = connection.execute(sa.select(freeze).where(freeze.c.alias == alias, holds)).one_or_none()
        return Freeze(**row._mapping) if row else None


class ApprovalTable:
    """Moves that somebody asked for and others have to agree to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, new: Approval) -> Approval:
        """Keep a request; the one that waits already for the same move is returned instead."""
        body = _approval_body(new)
        with self._database.write() as connection:
            requests = connection.execute(sa.select(approval).where(approval.c.state == "waiting")).all()
            for row in map(_approval, requests):
                if same_move(row, new) and row.epoch == new.epoch:
                    return row
            values = {"kind": new.kind, "state": "waiting", "body": body, "at": new.at}
            number = connection.execute(approval.insert().values(**values).returning(approval.c.number)).scalar_one()
        return self.get(number)

    def change(self, number: int, update: Callable[[Approval], Approval]) -> Approval:
        """Replace an approval by what `changed` makes of it, in one transaction. Raises UnknownNameError."""
        with self._database.write() as connection:
            row = connection.execute(sa.select(approval).where(approval.c.number == number)).one_or_none()
            after = update(_approval(_require_approval(row, number)))
            values = {"state": after.state, "body": _approval_body(after)}
            connection.execute(approval.update().where(approval.c.number == number).values(**values))
        return after

    def get(self, number: int) -> Approval:
        """Raises UnknownNameError."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(approval).where(approval.c.number == number)).one_or_none()
        return _approval(_require_approval(row, number))

    def all(self, *, state: str | None = None) -> list[Approval]:
        """ApprovalTable, newest first."""
        query = sa.select(approval).order_by(approval.c.number.desc())
        if state is not None:
            query = query.where(approval.c.state == state)
        with self._database.read() as connection:
            return [_approval(row) for row in connection.execute(query)]


def end_approval(connection: sa.Connection, number: int) -> None:
    """Close a request inside the transaction of its move. Raises UsageError when it does not wait any more.

    In a transaction of its own, a process that died in between would leave a move that nobody seems to have allowed.
    """
    waiting = sa.and_(approval.c.number == number, approval.c.state == "waiting")
    if not connection.execute(approval.update().where(waiting).values(state="done")).rowcount:
        raise UsageError(f"request {number} does not wait any more", hint="`vecrollback approvals` lists them")


def same_move(one: Approval, other: Approval) -> bool:
    """Whether two requests are for the same move, made in the same way."""
    return all(getattr(one, name) == getattr(other, name) for name in ("kind", "target", "override", "planned"))


def _approval_body(one: Approval) -> dict[str, Any]:
    return {name: value for name, value in asdict(one).items() if name not in _APPROVAL_COLUMNS}


def _require_approval(row: sa.Row[Any] | None, number: int) -> sa.Row[Any]:
    if row is None:
        raise UnknownNameError(f"approval {number} does not exist", hint="`vecrollback approvals` lists them")
    return row


def _approval(row: sa.Row[Any]) -> Approval:
    body = dict(row.body)
    decisions = tuple(body.pop("decisions"))
    return Approval(**{name: getattr(row, name) for name in _APPROVAL_COLUMNS}, **body, decisions=decisions)


class Outbox:
    """Rows of notices, one for each message and channel."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, channels: Iterable[str], body: Mapping[str, Json], *, due: float) -> None:
        """Keep a message for these channels. `due`: when to try first, in seconds since 1970."""
        common = {"body": dict(body), "state": "waiting", "attempts": 0, "due": due, "error": "", "at": now()}
        rows = [{"channel": channel, **common} for channel in channels]
        if rows:
            with self._database.write() as connection:
                connection.execute(notice.insert(), rows)

    def due(self, at: float, *, limit: int = 50) -> list[Notice]:
        """What is to be tried by now: of each channel so many, the oldest first, in turns with the other channels."""
        turn = sa.func.row_number().over(partition_by=notice.c.channel, order_by=notice.c.number).label("turn")
        due = sa.select(notice, turn).where(notice.c.state == "waiting", notice.c.due <= at).subquery()
        query = sa.select(*(due.c[column.name] for column in notice.c)).where(due.c.turn <= limit)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(due.c.turn, due.c.number))
            return [Notice(**row._mapping) for row in rows]

    def tried(self, number: int, state: NoticeState, *, due: float, error: str = "") -> None:
        """Note one attempt and what came of it."""
        values = {"state": state, "due": due, "error": error, "attempts": notice.c.attempts + 1}
        with self._database.write() as connection:
            connection.execute(notice.update().where(notice.c.number == number).values(**values))

    def all(self, *, state: str | None = None, limit: int | None = None) -> list[Notice]:
        """Notices, newest first."""
        query = sa.select(notice).order_by(notice.c.number.desc()).limit(limit)
        if state is not None:
            query = query.where(notice.c.state == state)
        with self._database.read() as connection:
            return [Notice(**row._mapping) for row in connection.execute(query)]


class Drills:
    """Rows of drills, each written once, at its end."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, new: Drill) -> Drill:
        """Keep a drill; returns it with its number."""
        values = {name: getattr(new, name) for name in _DRILL_COLUMNS[1:]}
        with self._database.write() as connection:
            inserted = drill.insert().values(**values, body=_drill_body(new)).returning(drill.c.number)
            return replace(new, number=connection.execute(inserted).scalar_one())

    def all(self, *, limit: int | None = None) -> list[Drill]:
        """Drills, newest first."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(drill).order_by(drill.c.number.desc()).limit(limit))
            return [_drill(row) for row in rows]


def _drill_body(one: Drill) -> dict[str, Any]:
    return {name: value for name, value in asdict(one).items() if name not in _DRILL_COLUMNS}


def _drill(row: sa.Row[Any]) -> Drill:
    body = dict(row.body)
    phases = tuple(Phase(**phase) for phase in body.pop("phases"))
    return Drill(**{name: getattr(row, name) for name in _DRILL_COLUMNS}, **body, phases=phases)
