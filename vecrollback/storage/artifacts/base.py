"""What the store asks of the place where its immutable files are, and such a place on a local disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vecrollback.errors import CorruptArtifactError
from vecrollback.storage import LocalFileStore
from vecrollback.storage.artifacts.soundness import Soundness
from vecrollback.storage.local import reach, sha256_file, sync_directory, sync_file, sync_tree
from vecrollback.storage.reading import readable

MEND = "`vecrollback snapshot import` a bundle of the pair, or re-embed it"


class Artifacts(ABC):
    """Immutable files. A name is `<sha256><suffix>`; equal bytes are stored once.

    An artefact may be a directory (a Lance index): its digest is that of the list of its files and their digests.
    """

    @abstractmethod
    def put(self, suffix: str, write: Callable[[Path], None]) -> str:
        """Store what `write` makes at the path it is given, a file or a directory; returns the name."""

    @abstractmethod
    def restore(self, name: str, path: Path) -> None:
        """Store what is at `path`, whose digest is `name`'s, unless a sound copy is there; a damaged one is replaced.

        `path` may be gone afterwards. Whoever has the damaged one open keeps the bytes it had.
        """

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether it is stored. Says nothing about its bytes."""

    @abstractmethod
    def near(self, name: str) -> bool:
        """Whether it can be read on this machine without being fetched."""

    @abstractmethod
    def require(self, name: str) -> Path:
        """Where to read an artefact, on this machine. Raises CorruptArtifactError when it is not stored."""

    @abstractmethod
    def require_sound(self, name: str) -> Path:
        """The same, for what is mapped: its bytes are compared first, unless they were, and are the same file since.

        Raises CorruptArtifactError.
        """

    @abstractmethod
    def keep(self, names: Iterable[str]) -> object:
        """Keep the paths of these artefacts for as long as the returned object lives: hold it while one is open."""

    @abstractmethod
    def verify(self, name: str) -> str | None:
        """None when the artefact's bytes are those it was stored with, else what is wrong."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Bytes an artefact takes."""

    @abstractmethod
    def remove(self, name: str) -> None: ...

    @abstractmethod
    def copy_to(self, folder: Path) -> None:
        """Lay out all artefacts in a local folder, as a store on this disk has them."""

    @abstractmethod
    def _workspace(self, name: str) -> Path:
        """Where an empty folder of this name may be made, so that what is made in it is moved here at no cost."""

    def unfinished(self, name: str) -> Path:
        """A folder for work that another process may go on with when this one dies. The caller holds a lock."""
        folder = self._workspace(name)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def workspace(self, name: str) -> Iterator[Path]:
        """An empty folder for what no catalog row names yet. The caller holds a lock: one at a time has it."""
        folder = self._workspace(name)
        shutil.rmtree(folder, ignore_errors=True)  # of a process that died
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def expect(self, name: str) -> None:
        """Raise CorruptArtifactError unless it is stored."""
        if not self.exists(name):
            raise CorruptArtifactError(f"artefact {name} is missing", hint=MEND)

    def put_bytes(self, suffix: str, data: bytes) -> str:
        def write(path: Path) -> None:
            path.write_bytes(data)

        return self.put(suffix, write)

    def put_json(self, value: object) -> str:
        return self.put_bytes(".json", json.dumps(value, sort_keys=True, indent=1).encode())

    def read_bytes(self, name: str) -> bytes:
        """The bytes of a small artefact, verified. Raises CorruptArtifactError."""
        data = self.require(name).read_bytes()
        if not name.startswith(hashlib.sha256(data).hexdigest()):
            raise changed(name)
        return data


def changed(name: str) -> CorruptArtifactError:
    return CorruptArtifactError(f"artefact {name} was changed after it was written", hint=MEND)


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a directory."""
    return sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) if path.is_dir() else path.stat().st_size


def remove(path: Path) -> None:
    """Delete a file or a directory; one that is gone is fine."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def digest(path: Path) -> str:
    """Hex SHA-256 of a file, or of a directory's sorted list of files and digests."""
    if not path.is_dir():
        return sha256_file(path)
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return digest_of_folder((p.relative_to(path).as_posix(), sha256_file(p)) for p in files)


def digest_of_folder(files: Iterable[tuple[str, str]]) -> str:
    """Hex SHA-256 of a directory's files, given as (path, digest) in the order of their paths."""
    return hashlib.sha256(json.dumps(list(files)).encode()).hexdigest()


class LocalArtifacts(Artifacts):
    """The artefacts below `root`: written to a temporary name, synced, renamed into place, and read where they lie.

    `memory`: see `Soundness`.
    """

    def __init__(self, root: Path, memory: Path | None = None) -> None:
        self.root = root
        self._soundness = Soundness(memory, digest)

    def put(self, suffix: str, write: Callable[[Path], None]) -> str:
        self.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=self.root) as folder:
            path = Path(folder) / f"artefact{suffix}"
            write(path)
            (sync_tree if path.is_dir() else sync_file)(path)
            name = digest(path) + suffix
            reach("artifact.written")
            if self.path(name).exists():
                self.restore(name, path)  # a sound copy stays; a damaged one must not stand in the way of a repair
            else:
                path.replace(self.path(name))
                sync_directory(self.root)
        reach("artifact.renamed")
        return name

    def restore(self, name: str, path: Path) -> None:
        if self.verify(name) is None:
            with contextlib.suppress(FileNotFoundError):
                # Somebody needs it now: a prune must see that it is young.
                os.utime(self.path(name))
                return
        self.root.mkdir(parents=True, exist_ok=True)
        (sync_tree if path.is_dir() else sync_file)(path)
        with tempfile.TemporaryDirectory(prefix=".old-", dir=self.root) as attic:
            if self.path(name).exists():  # a folder that is not empty cannot be renamed onto
                self.path(name).rename(Path(attic) / name)
            reach("bundle.artifact_set_aside")
            path.replace(self.path(name))
        sync_directory(self.root)
        reach("bundle.artifact_restored")

    def path(self, name: str) -> Path:
        return self.root / name

    def exists(self, name: str) -> bool:
        return self.path(name).exists()

    def near(self, name: str) -> bool:
        return self.exists(name)

    def require(self, name: str) -> Path:
        path = self.path(name)
        if not path.exists():
            raise CorruptArtifactError(f"artefact {name} is missing from {self.root}", hint=MEND)
        return path

    def require_sound(self, name: str) -> Path:
        path = self.require(name)
        with readable(f"artefact {name}", hint=MEND):
            if not self._soundness.is_sound(name, path):
                raise changed(name)
        return path

    def keep(self, names: Iterable[str]) -> object:
        """Nothing to do: a prune knows from the catalog what searchers hold."""
        return tuple(names)

    def verify(self, name: str) -> str | None:
        path = self.path(name)
        if not path.exists():
            return f"{name} is missing"
        actual = digest(path)
        return None if name.startswith(actual) else f"{name} has digest {actual}"

    def size(self, name: str) -> int:
        return size(self.path(name))

    def remove(self, name: str) -> None:
        remove(self.path(name))
        self._soundness.forget(name)

    def copy_to(self, folder: Path) -> None:
        LocalFileStore(self.root).copy_to(folder)

    def _workspace(self, name: str) -> Path:
        return self.root / name
