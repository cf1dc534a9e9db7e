"""Artefacts on object storage: put once, read from a copy on this machine's disk.

A directory is stored as one object, a plain tar that holds its files in the order of their names: it is there whole or
not at all.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from vecrollback.errors import CorruptArtifactError
from vecrollback.storage import FileEntry
from vecrollback.storage.artifacts.base import MEND, Artifacts, changed, digest, digest_of_folder
from vecrollback.storage.artifacts.cache import Cache
from vecrollback.storage.artifacts.soundness import Soundness
from vecrollback.storage.local import reach
from vecrollback.storage.s3 import S3FileStore, write_blocks

_FOLDER = ".tar"
_FRESH_SECONDS = 600.0
"""Younger objects need not be written again to show that somebody needs them."""


class S3Artifacts(Artifacts):
    """The artefacts below a prefix. `scratch`: a folder of this machine, for what is being made.

    `memory`: see `Soundness`, of the copies in the cache.
    """

    def __init__(self, file_store: S3FileStore, cache: Cache, scratch: Path, memory: Path | None = None) -> None:
        self._file_store, self._cache, self._scratch = file_store, cache, scratch
        self._soundness = Soundness(memory, digest)

    def put(self, suffix: str, write: Callable[[Path], None]) -> str:
        with self._cache.room() as folder:
            path = folder / f"artefact{suffix}"
            write(path)
            name = digest(path) + suffix
            reach("artifact.written")
            self._store(name, path)
            self._cache.take(name, path)  # who made it is about to open it
        reach("artifact.renamed")
        return name

    def restore(self, name: str, path: Path) -> None:
        self._store(name, path)
        reach("bundle.artifact_restored")

    def exists(self, name: str) -> bool:
        return self._head(name) is not None

    def near(self, name: str) -> bool:
        return self._cache.holds(name) is not None

    def require(self, name: str) -> Path:
        return self._cache.get(name, lambda path: self._fetch(name, path))

    def require_sound(self, name: str) -> Path:
        """A damaged copy is dropped and fetched again, which compares it."""
        try:
            if self._soundness.is_sound(name, path := self.require(name)):
                return path
        except FileNotFoundError:  # it was taken away just now
            return self.require(name)
        self._cache.drop(name)
        return self.require(name)

    def keep(self, names: Iterable[str]) -> object:
        return self._cache.keep(names)

    def read_bytes(self, name: str) -> bytes:
        try:
            return super().read_bytes(name)
        except (CorruptArtifactError, FileNotFoundError):  # the copy was taken away just now, or is damaged
            self._cache.drop(name)
            return super().read_bytes(name)

    def verify(self, name: str) -> str | None:
        """Compare what lies in the storage, and this machine's copy. A damaged copy is dropped and reported."""
        sha256 = self._digest(name)
        if sha256 is None:
            return f"{name} is missing"
        if not name.startswith(sha256):
            return f"{name} has digest {sha256}"
        copy = self._cache.holds(name)
        if copy is not None and not name.startswith(digest(copy)):
            self._cache.drop(name)
            return f"{name} was damaged in this machine's cache {self._cache.root}; what has it open must open it again"
        return None

    def size(self, name: str) -> int:
        entry = self._head(name)
        if entry is None:
            raise FileNotFoundError(name)
        return entry.bytes

    def remove(self, name: str) -> None:
        self._file_store.remove_all([name, name + _FOLDER])
        self._cache.drop(name)
        self._soundness.forget(name)

    def copy_to(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for entry in self._file_store.entries():
            name = entry.name.removesuffix(_FOLDER)
            self._fetch(name, folder / name)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _workspace(self, name: str) -> Path:
        return self._scratch / name

    def _head(self, name: str) -> FileEntry | None:
        return self._file_store.head(name) or self._file_store.head(name + _FOLDER)

    def _store(self, name: str, path: Path) -> None:
        """Put it where nothing is, over a damaged one, or over an old one, which a prune could otherwise take."""
        with self._cache.room() as folder:
            key, file = name, path
            if path.is_dir():
                key, file = name + _FOLDER, folder / "packed.tar"
                _pack(path, file)
            if self._file_store.create_from(key, file):
                return
            there = self._file_store.head(key)
            if there is None or time.time() - there.modified > _FRESH_SECONDS or self._digest(name) != digest(path):
                self._file_store.write(key, file)

    def _fetch(self, name: str, path: Path) -> None:
        """Write the bytes of an artefact to a local path, and verify them there. Raises CorruptArtifactError."""
        if self._file_store.head(name) is not None:
            self._download(name, path, name)
        else:
            tar = path.with_name(path.name + _FOLDER)
            self._download(name + _FOLDER, tar, name)
            _unpack(tar, path, name)
            tar.unlink()
        if not name.startswith(digest(path)):
            raise changed(name)

    def _download(self, key: str, path: Path, name: str) -> None:
        try:
            write_blocks(path, self._file_store.blocks(key))
        except FileNotFoundError:
            raise CorruptArtifactError(f"artefact {name} is missing", hint=MEND) from None

    def _digest(self, name: str) -> str | None:
        """The digest of what the storage holds, read as a stream; None when it holds nothing of this name."""
        try:
            return self._file_store.digest(name)
        except FileNotFoundError:
            pass
        try:
            stream = io.BufferedReader(_Stream(self._file_store.blocks(name + _FOLDER)), 1 << 20)
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                return digest_of_folder((member.name, _sha256(tar.extractfile(member))) for member in tar)
        except FileNotFoundError:
            return None
        except tarfile.TarError:
            return "none: it is not a folder any more"


def _pack(folder: Path, file: Path) -> None:
    """One file of a folder's files, the same bytes each time."""
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            member.size = path.stat().st_size
            with path.open("rb") as stream:
                tar.addfile(member, stream)


def _unpack(file: Path, folder: Path, name: str) -> None:
    folder.mkdir()
    try:
        with tarfile.open(file) as tar:
            # `data` refuses links, devices and paths that lead out of the folder.
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise changed(name) from error


def _sha256(stream: IO[bytes] | None) -> str:
    sha256 = hashlib.sha256()
    while stream is not None and (block := stream.read(1 << 20)):
        sha256.update(block)
    return sha256.hexdigest()


class _Stream(io.RawIOBase):
    """Blocks as a file that is read once, from front to back."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._block = blocks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._block:
            self._block = memoryview(next(self._blocks, b""))
        count = min(len(buffer), len(self._block))
        buffer[:count], self._block = self._block[:count], self._block[count:]
        return count
