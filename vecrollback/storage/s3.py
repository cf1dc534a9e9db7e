"""A prefix in a bucket that speaks S3: an acknowledged put is durable, and a create is one request with a condition.

Two clients: a patient one for what may take long, and a hasty one for what others wait for.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vecrollback.errors import MissingDependencyError, StorageUnavailableError
from vecrollback.storage.base import FileEntry
from vecrollback.storage.s3_address import S3Address

# Each part is a request of its own, with the whole time limit for itself.
_PART = 16 << 20
_CREATED_WHOLE = 16 << 20
"""Up to this size a file is put in one request; a larger one in parts, each of which is tried again alone."""

_REMOVED_AT_ONCE = 1_000


class S3FileStore:
    """The objects whose keys begin with an address's prefix."""

    def __init__(self, address: S3Address, *, clients: tuple[Any, Any] | None = None) -> None:
        self.address = address
        self._patient, self._hasty = clients or (_client(address), _client(address, hasty=True))

    @property
    def uri(self) -> str:
        return self.address.uri

    @property
    def options(self) -> dict[str, str] | None:
        """For Lance, which speaks to the storage by itself."""
        where = {"aws_region": self.address.region, "aws_endpoint": self.address.endpoint}
        http = {"allow_http": "true"} if self.address.insecure else {}
        # Without these, a request to a storage that does not answer is tried for three minutes.
        patience = {"client_max_retries": "3", "client_retry_timeout": "20", "connect_timeout": "5s"}
        return {name: value for name, value in where.items() if value} | http | patience | dict(self.address.keys)

    def inside(self, path: str) -> S3FileStore:
        address = self.address
        below = S3Address(address.bucket, f"{address.prefix}/{path}", address.region, address.endpoint, address.keys)
        return S3FileStore(below, clients=(self._patient, self._hasty))

    # -- looking ------------------------------------------------------------------------------------------------------

    def exists(self, name: str) -> bool:
        return self.head(name) is not None or next(self.entries(name), None) is not None

    def head(self, name: str) -> FileEntry | None:
        """One object, None when there is none. Answered soon, or not at all."""
        try:
            with self._errors_translated():
                return _entry(self._hasty.head(self._key(name)), name)
        except FileNotFoundError:
            return None

    def entries(self, folder: str = "") -> Iterator[FileEntry]:
        top = self._key(folder) + "/"
        with self._errors_translated():
            for batch in self._patient.list(prefix=top):
                for meta in batch:
                    yield _entry(meta, meta["path"].removeprefix(top))

    def names(self, folder: str) -> list[str]:
        return sorted({entry.name.partition("/")[0] for entry in self.entries(folder)})

    def require_reachable(self) -> None:
        self.head("store.json")

    # -- reading ------------------------------------------------------------------------------------------------------

    def read(self, name: str) -> bytes:
        with self._errors_translated():
            return bytes(self._hasty.get(self._key(name)).bytes())

    def blocks(self, name: str) -> Iterator[bytes]:
        """The bytes of an object, never all of them in memory.

        A large one is asked for in parts: the time limit of a request is for all that comes back.
        """
        key = self._key(name)
        with self._errors_translated():
            size = int(self._patient.head(key)["size"])
            for first in range(0, size, _PART):
                yield bytes(self._patient.get_range(key, start=first, end=min(size, first + _PART)))

    def digest(self, name: str) -> str:
        sha256 = hashlib.sha256()
        for block in self.blocks(name):
            sha256.update(block)
        return sha256.hexdigest()

    def stamp(self, name: str) -> str:
        return name  # no request: whatever has a digest is written once under its name

    # -- writing ------------------------------------------------------------------------------------------------------

    def create(self, name: str, data: bytes) -> bool:
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._errors_translated():
            try:
                self._patient.put(self._key(name), data, mode="create")
            except (AlreadyExistsError, PreconditionError):
                return False
        return True

    def create_from(self, name: str, path: Path) -> bool:
        """Write a local file to where nothing is yet; False when something is.

        A large one goes in parts. Their end knows no condition, so it is looked for first: of two processes that write
        one name at once both succeed. That is harmless for names that are digests.
        """
        if path.stat().st_size <= _CREATED_WHOLE:
            return self.create(name, path.read_bytes())
        if self.head(name) is not None:
            return False
        self.write(name, path)
        return True

    def write(self, name: str, path: Path) -> None:
        """Put a local file, whatever is there."""
        large = path.stat().st_size > _CREATED_WHOLE
        with self._errors_translated(), path.open("rb") as stream:
            self._patient.put(self._key(name), stream, use_multipart=large, chunk_size=_PART)

    def move(self, name: str, to: str) -> None:
        with self._errors_translated():
            # S3 cannot rename. The copy is there before the old name goes, so a kill in between loses nothing.
            self._patient.copy(self._key(name), self._key(to))
        self.remove_all([name])

    def remove(self, name: str) -> None:
        below = [entry.name for entry in self.entries(name)]
        self.remove_all([name, *(f"{name}/{entry}" for entry in below)] if name else below)

    def remove_all(self, names: Iterable[str], *, hasty: bool = False) -> None:
        """Remove objects by name, many with one request."""
        client, keys = self._hasty if hasty else self._patient, [self._key(name) for name in names]
        for first in range(0, len(keys), _REMOVED_AT_ONCE):
            with self._errors_translated():
                client.delete(keys[first : first + _REMOVED_AT_ONCE])

    def copy_to(self, folder: Path) -> None:
        for entry in self.entries():
            path = folder / entry.name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_blocks(path, self.blocks(entry.name))

    def receive(self, folder: Path, attic: Path) -> None:  # noqa: ARG002
        """Take the place of this tree by a local folder's files, those last without which Lance sees no table."""
        self.remove("")
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        # False sorts before True: the data is in place before the version files that make a table of it.
        for path in sorted(files, key=lambda path: path.parent.name == "_versions"):
            self.write(path.relative_to(folder).as_posix(), path)

    def settle(self, names: Iterable[str], *, new_folders: bool = False) -> None:
        """An acknowledged put is durable."""

    def settle_all(self) -> None:
        """An acknowledged put is durable."""

    # -- inside -------------------------------------------------------------------------------------------------------

    def _key(self, name: str) -> str:
        return f"{self.address.prefix}/{name}" if name else self.address.prefix

    @contextmanager
    def _errors_translated(self) -> Iterator[None]:
        from obstore.exceptions import BaseError, NotFoundError

        try:
            yield
        except (FileNotFoundError, NotFoundError) as error:
            raise FileNotFoundError(str(error).splitlines()[0]) from error
        except BaseError as error:
            raise StorageUnavailableError(
                f"the object storage at {self.address.shown} cannot be used: {_first_line(error)}",
                hint="is it up and reachable from here, do the keys open it? What serves goes on from what it holds",
            ) from error


def _client(address: S3Address, *, hasty: bool = False) -> Any:
    try:
        from obstore.store import S3Store
    except ImportError as error:
        raise MissingDependencyError("obstore", "s3") from error
    config: dict[str, Any] = dict(address.keys)
    if address.endpoint:
        config["aws_endpoint"] = address.endpoint
    retries = {
        "max_retries": 1 if hasty else 3,
        "retry_timeout": dt.timedelta(seconds=3 if hasty else 20),
        "backoff": {
            "init_backoff": dt.timedelta(milliseconds=100),
            "max_backoff": dt.timedelta(seconds=1 if hasty else 5),
            "base": 2.0,
        },
    }
    timeouts: dict[str, Any] = {
        "connect_timeout": dt.timedelta(seconds=2 if hasty else 5),
        "timeout": dt.timedelta(seconds=3 if hasty else 120),
        "allow_http": address.insecure,
    }
    return S3Store(
        address.bucket,
        config=config,
        region=address.region or "us-east-1",
        client_options=timeouts,
        retry_config=retries,
    )


def _entry(meta: Any, name: str) -> FileEntry:
    return FileEntry(name, int(meta["size"]), meta["last_modified"].timestamp())


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]


def write_blocks(path: Path, blocks: Iterable[bytes]) -> None:
    """Write a local file as its bytes arrive."""
    with path.open("wb") as sink:
        for block in blocks:
            sink.write(block)
