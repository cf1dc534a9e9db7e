"""A directory on a local disk: what was written is synced, because nothing else makes it durable."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vecrollback.storage import fsync
from vecrollback.storage.base import FileEntry


@dataclass(frozen=True, slots=True)
class LocalFileStore:
    """The files below `root`."""

    root: Path

    @property
    def uri(self) -> str:
        return str(self.root)

    @property
    def options(self) -> dict[str, str] | None:
        return None

    def inside(self, path: str) -> LocalFileStore:
        return LocalFileStore(self.root / path)

    def exists(self, name: str) -> bool:
        return (self.root / name).exists()

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def create(self, name: str, data: bytes) -> bool:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, made = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(made)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
            temporary.chmod(0o644)
            fsync.sync_file(temporary)
            path.hardlink_to(temporary)  # fails when it is there, as a rename would not
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
            fsync.sync_directory(path.parent)
        return True

    def digest(self, name: str) -> str:
        return fsync.sha256_file(self.root / name)

    def entries(self, folder: str = "") -> Iterator[FileEntry]:
        top = self.root / folder
        for path in sorted(top.rglob("*")):
            with contextlib.suppress(FileNotFoundError):  # writers come and go
                if path.is_file():
                    found = path.stat()
                    yield FileEntry(path.relative_to(top).as_posix(), found.st_size, found.st_mtime)

    def names(self, folder: str) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return [path.name for path in (self.root / folder).iterdir()]
        return []

    def move(self, name: str, to: str) -> None:
        (self.root / name).rename(self.root / to)

    def remove(self, name: str) -> None:
        path = self.root / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def copy_to(self, folder: Path) -> None:
        shutil.copytree(self.root, folder, copy_function=_link, dirs_exist_ok=True)

    def receive(self, folder: Path, attic: Path) -> None:
        if self.root.exists():
            self.root.rename(attic)
        folder.rename(self.root)
        self.settle_all()

    def settle(self, names: Iterable[str], *, new_folders: bool = False) -> None:
        paths = [self.root / name for name in names]
        fsync.sync_files(paths)
        for folder in sorted({path.parent for path in paths}):
            fsync.sync_directory(folder)
        if new_folders:
            fsync.sync_directory(self.root)

    def settle_all(self) -> None:
        fsync.sync_tree(self.root)

    def require_reachable(self) -> None:
        """A disk is always at hand."""


def _link(source: str, target: str) -> None:
    try:
        Path(target).hardlink_to(source)
    except OSError:  # another file system
        shutil.copy2(source, target)
