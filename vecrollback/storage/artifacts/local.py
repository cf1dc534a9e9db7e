"""Artefacts in a directory of a local disk: written to a temporary name, synced, renamed into place."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from vecrollback.errors import CorruptArtifactError
from vecrollback.storage import LocalFileStore, fsync
from vecrollback.storage.artifacts.base import MEND, Artifacts, digest, remove, size
from vecrollback.storage.crash_points import reach


class LocalArtifacts(Artifacts):
    """The artefacts below `root`, read where they lie."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, suffix: str, write: Callable[[Path], None]) -> str:
        self.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=self.root) as folder:
            made = Path(folder) / f"artefact{suffix}"
            write(made)
            (fsync.sync_tree if made.is_dir() else fsync.sync_file)(made)
            name = digest(made) + suffix
            reach("artifact.written")
            if self.path(name).exists():
                self.restore(name, made)  # a sound copy stays; a damaged one must not stand in the way of a repair
            else:
                made.replace(self.path(name))
                fsync.sync_directory(self.root)
        reach("artifact.renamed")
        return name

    def restore(self, name: str, made: Path) -> None:
        if self.verify(name) is None:
            with contextlib.suppress(FileNotFoundError):
                os.utime(self.path(name))  # it is needed now: nothing may take it for old
                return
        self.root.mkdir(parents=True, exist_ok=True)
        (fsync.sync_tree if made.is_dir() else fsync.sync_file)(made)
        with tempfile.TemporaryDirectory(prefix=".old-", dir=self.root) as attic:
            if self.path(name).exists():  # a folder that is not empty cannot be renamed onto
                self.path(name).rename(Path(attic) / name)
            reach("bundle.artifact_set_aside")
            made.replace(self.path(name))
        fsync.sync_directory(self.root)
        reach("bundle.artifact_restored")

    def path(self, name: str) -> Path:
        return self.root / name

    def exists(self, name: str) -> bool:
        return self.path(name).exists()

    def require(self, name: str) -> Path:
        path = self.path(name)
        if not path.exists():
            raise CorruptArtifactError(f"artefact {name} is missing from {self.root}", hint=MEND)
        return path

    def keep(self, names: Iterable[str]) -> object:
        """Nothing takes them away: a prune knows from the catalog what readers hold."""
        return tuple(names)

    def verify(self, name: str) -> str | None:
        path = self.path(name)
        if not path.exists():
            return f"{name} is missing"
        found = digest(path)
        return None if name.startswith(found) else f"{name} has digest {found}"

    def size(self, name: str) -> int:
        return size(self.path(name))

    def remove(self, name: str) -> None:
        remove(self.path(name))

    def copy_to(self, folder: Path) -> None:
        LocalFileStore(self.root).copy_to(folder)

    def _workspace(self, name: str) -> Path:
        return self.root / name
