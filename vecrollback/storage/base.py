"""What the store asks of the place where its files lie."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file. `name`: its path from where it was listed; `modified`: seconds since 1970, by that storage's clock."""

    name: str
    bytes: int
    modified: float


class DigestedTable(Protocol):
    """A table whose versions consist of parts that have digests: files on a disk, batches in a database."""

    name: str

    def require(self) -> None:
        """Raise CorruptArtifactError unless the table is there."""
        ...

    def manifest(self, version: int) -> str:
        """The part that a version adds to all others; to be compared before the version is opened."""
        ...

    def at(self, version: int) -> Any:
        """A version, opened. Raises CorruptArtifactError."""
        ...

    def files(self, dataset: Any) -> set[str]:
        """Names of the parts of an opened version."""
        ...

    def names(self) -> set[str]:
        """Names of all parts there are."""
        ...

    def digest(self, name: str) -> str:
        """Hex SHA-256 of a part as it is now. Raises FileNotFoundError."""
        ...

    def sound(self, version: int, digests: Mapping[str, str]) -> bool:
        """Whether every part of a version has its recorded digest; reads them."""
        ...

    def require_sound(
        self, names: Iterable[str], digests: Mapping[str, str], *, hint: str = ..., all_known: bool = ...
    ) -> None:
        """Read these parts. Raises CorruptArtifactError naming the first that is missing or has another digest."""
        ...


class FileStore(Protocol):
    """A tree of files, by POSIX path.

    What a method of it wrote is durable when it returns. `uri` is how Lance and people name it; `options` is what Lance
    needs besides, secrets included: neither shown nor kept. Raises FileNotFoundError, and StorageUnavailableError when
    nothing can be said about a file now.
    """

    @property
    def uri(self) -> str: ...

    @property
    def options(self) -> dict[str, str] | None: ...

    def inside(self, path: str) -> FileStore:
        """The tree below a path."""
        ...

    def exists(self, name: str) -> bool:
        """Whether there is a file, or anything below it."""
        ...

    def read(self, name: str) -> bytes: ...

    def blocks(self, name: str) -> Iterator[bytes]:
        """The bytes of a file, never all of them in memory."""
        ...

    def write(self, name: str, path: Path) -> None:
        """Put a local file, whatever is there."""
        ...

    def create(self, name: str, data: bytes) -> bool:
        """Write a file that is not there yet; False when it is. Of several processes one succeeds."""
        ...

    def digest(self, name: str) -> str:
        """Hex SHA-256 of the bytes that lie there now."""
        ...

    def stamp(self, name: str) -> str:
        """What differs once a file was replaced or changed; on object storage, where nothing is, any constant."""
        ...

    def entries(self, folder: str = "") -> Iterator[FileEntry]:
        """Every file below a folder; nothing where there is none."""
        ...

    def names(self, folder: str) -> list[str]:
        """Names of what is right inside a folder."""
        ...

    def move(self, name: str, to: str) -> None:
        """Give a file another name."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, or everything below it; what is gone is fine."""
        ...

    def copy_to(self, folder: Path) -> None:
        """Lay out all files in a local folder, linked where they can be: to be read or removed, never written to."""
        ...

    def receive(self, folder: Path, attic: Path) -> None:
        """Replace this tree by the files of a local folder. What was here is deleted, or moved to `attic`."""
        ...

    def settle(self, names: Iterable[str], *, new_folders: bool = False) -> None:
        """Make files durable that somebody else wrote here. `new_folders`: the folders they are in may be new, too."""
        ...

    def settle_all(self) -> None: ...

    def require_reachable(self) -> None:
        """Raise StorageUnavailableError when files here cannot be read now."""
        ...
