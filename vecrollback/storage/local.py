"""A directory on a local disk: what was written is synced, because nothing else makes it durable.

Lance and FAISS write without syncing. What they wrote survives a power loss from here on, before a catalog row may
name it: sync the file, rename it into place, sync the directory. `reach` marks the points between two such steps at
which a crash test may end the process.

A store belongs to the user of a service. One `sudo vecrollback compact` would leave files in it that this user may not
write, or not even read. So whatever root makes there is given to the owner of the folder it lies in: when it is
synced, and when the store is closed, for what libraries made by themselves.

Only what lies in that folder under one name alone is given away, and no link is followed: else the owner of a folder
could have root give them a file of somewhere else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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

    def blocks(self, name: str) -> Iterator[bytes]:
        with (self.root / name).open("rb") as stream:
            while block := stream.read(_BLOCK):
                yield block

    def write(self, name: str, path: Path) -> None:
        with written(self.root / name, shared=True) as temporary:
            shutil.copyfile(path, temporary)

    def create(self, name: str, data: bytes) -> bool:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary_name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(temporary_name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
            temporary.chmod(_mode_in(path.parent))
            sync_file(temporary)
            # A link fails when the name exists; a rename would silently replace what another process decided.
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
            sync_directory(path.parent)
        return True

    def digest(self, name: str) -> str:
        return sha256_file(self.root / name)

    def stamp(self, name: str) -> str:
        status = (self.root / name).stat()
        return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}"

    def entries(self, folder: str = "") -> Iterator[FileEntry]:
        return _files_below(self.root / folder, "")

    def names(self, folder: str) -> list[str]:
        with contextlib.suppress(FileNotFoundError), os.scandir(self.root / folder) as entries:
            return [entry.name for entry in entries]
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
        sync_files(paths)
        # Data before names: a name that survives a power loss must lead to bytes that did.
        for folder in sorted({path.parent for path in paths}):
            sync_directory(folder)
        if new_folders:
            sync_directory(self.root)

    def settle_all(self) -> None:
        sync_tree(self.root)

    def require_reachable(self) -> None:
        """Nothing to ask: a local disk can always be reached."""


def _link(source: str, target: str) -> None:
    try:
        Path(target).hardlink_to(source)
    except OSError:  # another file system
        shutil.copy2(source, target)


def _files_below(folder: str | Path, inside: str) -> Iterator[FileEntry]:
    """The files below a folder, in the order of their names. A table that is written often has hundreds of them."""
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files_below(entry.path, f"{inside}{entry.name}/")
        elif entry.is_file():
            with contextlib.suppress(FileNotFoundError):  # writers come and go
                status = entry.stat()
                yield FileEntry(inside + entry.name, status.st_size, status.st_mtime)


_BLOCK = 1 << 20


def sync_file(path: Path) -> None:
    """Flush one file's data and size to the disk. What root has made is its folder's owner's from here on."""
    give_to_owner(path)
    _flush(path)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Flush a directory's entries, so that names created in it survive."""
    sync_file(path)


def sync_tree(root: Path) -> None:
    """Flush every file and directory under `root`, and `root`'s own name."""
    # From the leaves up, so that a directory is synced after everything in it.
    for directory, _, names in os.walk(root, topdown=False):
        sync_files(Path(directory) / name for name in names)
        sync_directory(Path(directory))
    _flush(root.parent)


def sync_files(paths: Iterable[Path]) -> None:
    for path in paths:
        sync_file(path)


@contextmanager
def written(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on a clean exit it is synced and renamed to `path`.

    It is for its owner alone (0600), as an export should be; `shared`: for whoever may use the folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        if shared:
            temporary.chmod(_mode_in(path.parent))
        # In this order: a rename that is on disk before the bytes leaves an empty file after a power loss.
        sync_file(temporary)
        temporary.replace(path)
        sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _mode_in(folder: Path) -> int:
    """Mode of a file that whoever may use its folder may use as well."""
    return folder.stat().st_mode & 0o666


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


_armed: str | None = None


_passes_left = 0


def arm(setting: str | None) -> None:
    """Arm `name` or `name:n` (the n-th time, from 1); None disarms."""
    global _armed, _passes_left
    name, _, count = (setting or "").partition(":")
    _armed, _passes_left = name or None, int(count or 1)


def reach(name: str) -> None:
    """Pass the fault point `name`, as every multi-step write does. In production this is one comparison with None.

    With `VECROLLBACK_FAULT=name[:n]` in the environment the process sends itself SIGKILL when it reaches that point
    for the n-th time. A real kill is the only honest crash: no `finally`, no `atexit`, no flush.
    """
    global _passes_left
    if _armed is None or _armed != name:
        return
    _passes_left -= 1
    if _passes_left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


arm(os.environ.get("VECROLLBACK_FAULT"))


def give_to_owner(path: Path) -> None:
    """Give a file or folder that root owns to the owner of the folder it lies in. Does nothing for other users."""
    if os.geteuid() == 0:
        with contextlib.suppress(OSError), _opened(path.parent) as folder:
            _give(path.name, folder)


def give_tree_to_owner(root: Path) -> None:
    """The same for everything below a folder that somebody else than root owns."""
    if os.geteuid() != 0:
        return
    with contextlib.suppress(OSError):
        if root.stat().st_uid == 0:
            return
        for _, folders, names, folder in os.fwalk(root):  # it follows no links either
            for name in [*folders, *names]:
                with contextlib.suppress(OSError):
                    _give(name, folder)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _give(name: str, folder: int) -> None:
    owner = os.fstat(folder)
    if owner.st_uid == 0:
        return
    entry = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        status = os.fstat(entry)
        single = stat.S_ISDIR(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_nlink == 1)
        if status.st_uid == 0 and single:
            os.fchown(entry, owner.st_uid, owner.st_gid)
    finally:
        os.close(entry)
