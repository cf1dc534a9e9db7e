"""Where immutable files live: named by the SHA-256 of their bytes, written once, synced, renamed into place."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from vecrollback import durable
from vecrollback.errors import CorruptArtifactError
from vecrollback.faults import reach


class Artifacts:
    """A local directory of artefacts. A name is `<sha256><suffix>`; equal bytes are stored once.

    An artefact may be a directory (a Lance index): its digest is that of the list of its files and their digests.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, suffix: str, write: Callable[[Path], None]) -> str:
        """Store what `write` makes at the path it is given, a file or a directory; returns the name."""
        self.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=self.root) as folder:
            made = Path(folder) / f"artefact{suffix}"
            write(made)
            (durable.sync_tree if made.is_dir() else durable.sync_file)(made)
            name = digest(made) + suffix
            reach("artifact.written")
            if self.path(name).exists():
                self.restore(name, made)  # a sound copy stays; a damaged one must not stand in the way of a repair
            else:
                made.replace(self.path(name))
                durable.sync_directory(self.root)
        reach("artifact.renamed")
        return name

    def put_bytes(self, suffix: str, data: bytes) -> str:
        def write(path: Path) -> None:
            path.write_bytes(data)

        return self.put(suffix, write)

    def put_json(self, value: object) -> str:
        return self.put_bytes(".json", json.dumps(value, sort_keys=True, indent=1).encode())

    def restore(self, name: str, made: Path) -> None:
        """Move `made`, whose digest is `name`'s, into place unless a sound copy is there; a damaged one is replaced.

        Whoever has the damaged one open keeps the bytes it had.
        """
        if self.verify(name) is None:
            with contextlib.suppress(FileNotFoundError):
                os.utime(self.path(name))  # it is needed now: nothing may take it for old
                return
        self.root.mkdir(parents=True, exist_ok=True)
        (durable.sync_tree if made.is_dir() else durable.sync_file)(made)
        with tempfile.TemporaryDirectory(prefix=".old-", dir=self.root) as attic:
            if self.path(name).exists():  # a folder that is not empty cannot be renamed onto
                self.path(name).rename(Path(attic) / name)
            reach("bundle.artifact_set_aside")
            made.replace(self.path(name))
        durable.sync_directory(self.root)
        reach("bundle.artifact_restored")

    def path(self, name: str) -> Path:
        return self.root / name

    def require(self, name: str) -> Path:
        """The path of an artefact that must be there. Raises CorruptArtifactError when it is not."""
        path = self.path(name)
        if not path.exists():
            raise CorruptArtifactError(
                f"artefact {name} is missing from {self.root}",
                hint="`vecrollback snapshot import` a bundle of the pair, or re-embed it",
            )
        return path

    def verify(self, name: str) -> str | None:
        """None when the artefact's bytes are those it was stored with, else what is wrong."""
        path = self.path(name)
        if not path.exists():
            return f"{name} is missing"
        found = digest(path)
        return None if name.startswith(found) else f"{name} has digest {found}"

    def read_bytes(self, name: str) -> bytes:
        """The bytes of a small artefact, verified. Raises CorruptArtifactError."""
        data = self.require(name).read_bytes()
        if not name.startswith(hashlib.sha256(data).hexdigest()):
            raise CorruptArtifactError(
                f"artefact {name} was changed after it was written",
                hint="`vecrollback snapshot import` a bundle of the pair, or re-embed it",
            )
        return data

    def size(self, name: str) -> int:
        """Bytes an artefact takes."""
        return size(self.path(name))

    def remove(self, name: str) -> None:
        remove(self.path(name))


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
        return durable.sha256_file(path)
    files = sorted(p for p in path.rglob("*") if p.is_file())
    listing = [(p.relative_to(path).as_posix(), durable.sha256_file(p)) for p in files]
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()
