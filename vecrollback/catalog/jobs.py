"""Jobs: long work that can be watched, cancelled and resumed from another process."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

import sqlalchemy as sa

from vecrollback.catalog.database import Database, now
from vecrollback.catalog.schema import job
from vecrollback.errors import UnknownNameError
from vecrollback.records import JobRecord, JobState, Json


class Jobs:
    """Rows of jobs. Whether one is really running is told by its pair's lock, not by its row."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, kind: str, pair: str) -> JobRecord:
        """The unfinished job of this kind for the pair, to be resumed, or a new one."""
        with self._database.write() as connection:
            query = sa.select(job.c.id).where(job.c.kind == kind, job.c.pair == pair, job.c.state != "done")
            found = connection.scalar(query.order_by(job.c.started_at.desc()))
            if found is None:
                found = uuid.uuid4().hex[:12]
                row = {"id": found, "kind": kind, "pair": pair, "started_at": now()}
                connection.execute(job.insert().values(**row, **_fresh()))
            else:
                values = _fresh() | {"progress": job.c.progress}
                connection.execute(job.update().where(job.c.id == found).values(**values))
        return self.get(found)

    def get(self, id_: str) -> JobRecord:
        with self._database.read() as connection:
            row = connection.execute(sa.select(job).where(job.c.id == id_)).one_or_none()
        if row is None:
            raise UnknownNameError(f"no job {id_!r}", hint="`vecrollback status` lists the jobs")
        return JobRecord(**row._mapping)

    def all(self, *, unfinished: bool = False) -> list[JobRecord]:
        """Jobs, newest first."""
        query = sa.select(job).order_by(job.c.started_at.desc())
        if unfinished:
            query = query.where(job.c.state != "done")
        with self._database.read() as connection:
            return [JobRecord(**row._mapping) for row in connection.execute(query)]

    def report(self, id_: str, progress: Mapping[str, Json]) -> bool:
        """Note the progress; True when somebody asked the job to stop."""
        with self._database.write() as connection:
            values = {"progress": dict(progress), "updated_at": now()}
            connection.execute(job.update().where(job.c.id == id_).values(**values))
            return bool(connection.scalar(sa.select(job.c.cancel).where(job.c.id == id_)))

    def finish(self, id_: str, state: JobState, error: str = "") -> None:
        with self._database.write() as connection:
            values = {"state": state, "error": error, "updated_at": now()}
            connection.execute(job.update().where(job.c.id == id_).values(**values))

    def cancel(self, id_: str) -> None:
        """Ask a job to stop at its next batch. Idempotent; a finished job stays as it is."""
        with self._database.write() as connection:
            connection.execute(job.update().where(job.c.id == id_).values(cancel=True))


def _fresh() -> dict[str, object]:
    return {"state": "running", "cancel": False, "progress": {}, "error": "", "updated_at": now()}
