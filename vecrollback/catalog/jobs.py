"""Jobs: long work that can be watched, paused, cancelled and resumed from another process.

With which process runs a job and whether it still lives, and with what a job leaves behind: texts that could not be
embedded, and which runtime made the vectors of the rest.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from vecrollback.catalog.database import Database, now
from vecrollback.catalog.schema import acceptance, job, making, runner, unembedded
from vecrollback.errors import UnknownNameError
from vecrollback.records import Acceptance, JobRecord, JobState, Json, RuntimeBatches, UnembeddedDocument

SILENT_SECONDS = 60.0
"""A job of another host that was silent for longer is taken for lost; it gives a sign of life every few seconds."""

_SAID = ("reason", "actor", "at")
"""What a person says who accepts that a document has no vector."""

_COLUMNS = [*job.c, *(column for column in runner.c if column.name != "job")]

_LOST = "the process {} is gone; the same command goes on where it stopped"


class Jobs:
    """Rows of jobs, and which process runs each.

    A job whose process died is reported as `lost`, because no process was left to record its end. It is resumed like
    any other that is not done.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, kind: str, pair: str) -> JobRecord:
        """The unfinished job of this kind for the pair, to be resumed, or a new one; this process runs it.

        One that another process is running stays that process's own: its end and its cancelling are not this one's.
        """
        unfinished = (job.c.kind == kind, job.c.pair == pair, job.c.state != "done")
        others = {one.id for one in self._select(*unfinished) if one.state == "running" and not _is_mine(one)}
        with self._database.write() as connection:
            query = sa.select(job.c.id).where(*unfinished, job.c.id.not_in(others))
            id_ = connection.scalar(query.order_by(job.c.started_at.desc()))
            if id_ is None:
                id_ = uuid.uuid4().hex[:12]
                row = {"id": id_, "kind": kind, "pair": pair, "started_at": now()}
                connection.execute(job.insert().values(**row, **_new_run()))
            else:
                values = _new_run() | {"progress": job.c.progress}
                connection.execute(job.update().where(job.c.id == id_).values(**values))
            mine = asdict(this_process())
            values = {"host": mine["host"], "pid": mine["pid"], "process": mine["begun"], "paused": False}
            values |= {"heartbeat": self._database.clock()}
            statement = self._database.insert(runner).values(job=id_, **values)
            connection.execute(statement.on_conflict_do_update(index_elements=["job"], set_=values))
        return self.get(id_)

    def get(self, id_: str) -> JobRecord:
        if not (records := self._select(job.c.id == id_)):
            raise UnknownNameError(f"job {id_!r} does not exist", hint="`vecrollback jobs list` names them")
        return records[0]

    def all(
        self,
        *,
        unfinished: bool = False,
        kind: str | None = None,
        pair: str | None = None,
        limit: int | None = None,
    ) -> list[JobRecord]:
        """Jobs, newest first."""
        wanted = [job.c.state != "done"] if unfinished else []
        wanted += [column == value for column, value in ((job.c.kind, kind), (job.c.pair, pair)) if value is not None]
        return self._select(*wanted, limit=limit)

    def first_done(self, kind: str, pair: str, since: str) -> str | None:
        """When the first job of this kind for the pair ended that did so at `since` or later."""
        query = sa.select(sa.func.min(job.c.updated_at)).where(
            job.c.kind == kind, job.c.pair == pair, job.c.state == "done", job.c.updated_at >= since
        )
        with self._database.read() as connection:
            at: str | None = connection.scalar(query)
        return at

    def report(self, id_: str, progress: Mapping[str, Json]) -> bool:
        """Note the progress; True when somebody asked the job to stop."""
        with self._database.write() as connection:
            values = {"progress": dict(progress), "updated_at": now()}
            connection.execute(job.update().where(job.c.id == id_).values(**values))
            return bool(connection.scalar(sa.select(job.c.cancel).where(job.c.id == id_)))

    def asked(self, id_: str) -> tuple[bool, bool]:
        """Whether somebody asked the job to stop, and whether to wait."""
        query = sa.select(job.c.cancel, runner.c.paused).outerjoin(runner, runner.c.job == job.c.id)
        with self._database.read() as connection:
            row = connection.execute(query.where(job.c.id == id_)).one_or_none()
        return (bool(row.cancel), bool(row.paused)) if row else (False, False)

    def beat(self, id_: str) -> None:
        """Give a sign of life."""
        with self._database.note() as connection:
            connection.execute(runner.update().where(runner.c.job == id_).values(heartbeat=self._database.clock()))

    def finish(self, id_: str, state: JobState, error: str = "") -> None:
        with self._database.write() as connection:
            values = {"state": state, "error": error, "updated_at": now()}
            connection.execute(job.update().where(job.c.id == id_).values(**values))

    def cancel(self, id_: str) -> None:
        """Ask a job to stop at its next batch. Idempotent; a finished job stays as it is."""
        with self._database.write() as connection:
            connection.execute(job.update().where(job.c.id == id_).values(cancel=True))

    def pause(self, id_: str, paused: bool) -> None:
        """Ask a job to wait before its next batch, or to go on. Idempotent."""
        with self._database.write() as connection:
            connection.execute(runner.update().where(runner.c.job == id_).values(paused=paused))

    def _select(self, *conditions: sa.ColumnElement[bool], limit: int | None = None) -> list[JobRecord]:
        tables = job.outerjoin(runner, runner.c.job == job.c.id)
        silent = (runner.c.heartbeat < self._database.clock() - SILENT_SECONDS).label("silent")
        query = sa.select(*_COLUMNS, silent).select_from(tables).where(*conditions)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(job.c.started_at.desc()).limit(limit)).mappings().all()
        return [_record(dict(row)) for row in rows]


def _is_mine(one: JobRecord) -> bool:
    mine = this_process()
    return (one.host, one.pid) == (mine.host, mine.pid)


def _record(row: dict[str, Any]) -> JobRecord:
    process, silent = row.pop("process"), row.pop("silent")
    row.pop("heartbeat")
    identity = ProcessIdentity(row["host"] or "", row["pid"] or 0, process or "")
    # A process of another host cannot be looked up: only its silence tells.
    is_gone = not identity.alive if identity.here else bool(silent)
    if row["state"] == "running" and (is_gone or not identity.host):
        row["state"], row["error"] = (
            "lost",
            _LOST.format(f"{identity.pid} of {identity.host}" if identity.host else "that ran it"),
        )
    return JobRecord(**(row | {"host": identity.host, "pid": identity.pid, "paused": bool(row["paused"])}))


def _new_run() -> dict[str, object]:
    return {"state": "running", "cancel": False, "progress": {}, "error": "", "updated_at": now()}


class EmbeddingTable:
    """Rows of documents that a pair's model cannot embed, and of what made the vectors that there are."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def give_up(self, new: Sequence[UnembeddedDocument]) -> None:
        """Record documents without vectors, durably, before the watermark passes them."""
        if not new:
            return
        columns = [column.name for column in unembedded.c]
        with self._database.write() as connection:
            for one in new:
                values = {name: getattr(one, name) for name in columns} | {"at": now()}
                statement = self._database.insert(unembedded).values(**values)
                keys = ["pair", "document", "seq"]
                connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=values))

    def made_good(self, pair: str, documents: Sequence[tuple[str, int]]) -> None:
        """Forget records of documents, by id and seq, that have vectors by now."""
        with self._database.write() as connection:
            for document, seq in documents:
                same = (unembedded.c.pair == pair, unembedded.c.document == document, unembedded.c.seq == seq)
                connection.execute(unembedded.delete().where(*same))

    def without(self, *, pair: str | None = None, job: str | None = None) -> list[UnembeddedDocument]:
        """Documents that were given up, of a pair or by a job, in the order of their ids."""
        mine = acceptance.c.pair == unembedded.c.pair
        same = mine & (acceptance.c.document == unembedded.c.document) & (acceptance.c.seq == unembedded.c.seq)
        accepted = [acceptance.c[name].label(f"accepted_{name}") for name in _SAID]
        query = sa.select(unembedded, *accepted).select_from(unembedded.outerjoin(acceptance, same))
        if pair is not None:
            query = query.where(unembedded.c.pair == pair)
        if job is not None:
            query = query.where(unembedded.c.job == job)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(unembedded.c.document, unembedded.c.seq)).mappings().all()
        return [_unembedded_document(dict(row)) for row in rows]

    def accept(self, new: Sequence[Acceptance]) -> None:
        """Record that these documents may stay without a vector; each counts for the document as it is at its seq."""
        with self._database.write() as connection:
            for one in new:
                values = asdict(one)
                statement = self._database.insert(acceptance).values(**values)
                keys = ["pair", "document", "seq"]
                connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=values))

    def withdraw(self, pair: str, documents: Sequence[str]) -> None:
        """Forget that these documents of a pair were accepted."""
        with self._database.write() as connection:
            for document in documents:
                connection.execute(
                    acceptance.delete().where(acceptance.c.pair == pair, acceptance.c.document == document)
                )

    def begin(self, pair: str, job: str, runtime: str, facts: dict[str, Json], *, after: int) -> int:
        """Record what embeds the batches after this one; returns the record's number."""
        values = {"pair": pair, "job": job, "backend": runtime, "body": facts, "first": after + 1, "last": after}
        with self._database.write() as connection:
            return int(connection.scalar(making.insert().values(**values, at=now()).returning(making.c.number)) or 0)

    def reached(self, number: int, last: int) -> None:
        """Record how far that went."""
        with self._database.write() as connection:
            connection.execute(making.update().where(making.c.number == number).values(last=last))

    def made(self, pair: str) -> list[RuntimeBatches]:
        """What made a pair's vectors, oldest first."""
        query = sa.select(making).where(making.c.pair == pair).order_by(making.c.number)
        with self._database.read() as connection:
            return [_runtime_batches(row) for row in connection.execute(query)]


def _unembedded_document(row: dict[str, Any]) -> UnembeddedDocument:
    said = {name: row.pop(f"accepted_{name}") for name in _SAID}
    accepted = Acceptance(row["pair"], row["document"], row["seq"], **said) if said["at"] else None
    return UnembeddedDocument(**row, acceptance=accepted)


def _runtime_batches(row: sa.Row[Any]) -> RuntimeBatches:
    # The column is called `backend` in every store; in code that word is kept for where vectors are searched.
    values = dict(row._mapping)
    return RuntimeBatches(runtime=values.pop("backend"), **values)


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process of a host. `begun` tells it from a later one of the same number; empty where that cannot be known."""

    host: str
    pid: int
    begun: str

    @property
    def here(self) -> bool:
        """Whether it is, or was, one of this host's."""
        return self.host == socket.gethostname()

    @property
    def alive(self) -> bool:
        """Whether it runs now; for a process of this host only."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return _start_of(self.pid) == self.begun


def this_process() -> ProcessIdentity:
    return ProcessIdentity(socket.gethostname(), os.getpid(), _start_of(os.getpid()))


def _start_of(pid: int) -> str:
    """When a process began: clock ticks since this boot, and which boot; a dead one's parent may not have noticed."""
    try:
        # The fields are counted after the last ")": the name before it may hold spaces and parentheses.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else f"{_boot()}/{fields[19]}"


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
