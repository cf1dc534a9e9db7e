"""A folder of texts: each file of a known kind is a document, its path the id. Or one such file by itself."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from vecrollback.corpus.documents import MAX_TEXT_BYTES
from vecrollback.corpus.formats.lines import unreadable
from vecrollback.corpus.formats.pages import PAGES, NoTextError
from vecrollback.corpus.formats.rows import Raw, ReadOptions
from vecrollback.errors import BadDocumentError, MissingDependencyError
from vecrollback.records import Json

LINKED_FOLDERS = "linked folders"

_STORE = ("store.json", "tables")
"""What lies in the folder of a store, which may stand among the documents that it is made of."""


def read_folder(root: Path, options: ReadOptions) -> Iterator[Raw]:
    """Yield the texts below the folder, sorted by path; what is left out is counted.

    A symbolic link that leads out of the folder is reported, not followed: a shared folder must not be able to pull
    in files that its owner never meant to index. Linked folders are left out altogether; inside, they would repeat.
    """
    number = 0
    try:
        for path in walk(root, options):
            if path.suffix.lower() not in PAGES:
                leave_out(path, root, options)
                continue
            page = _read_text(path, root, options)
            if page is not None:
                number += 1
                yield number, page
    except OSError as error:
        raise unreadable(Path(error.filename or root), error) from error
    if not number and not options.unreadable:
        raise BadDocumentError(
            f"no {', '.join(PAGES)} file in this folder", hint="name a file of documents instead", source=str(root)
        )


def read_page(source: Path, options: ReadOptions) -> Iterator[Raw]:
    """Yield the one document of a file, whose name is the id. Raises MissingDependencyError."""
    page = _read_text(source, source.parent, options)
    if page is None:
        PAGES[source.suffix.lower()](b"", "")
    yield 1, page or "cannot be read"


def walk(root: Path, options: ReadOptions) -> Iterator[Path]:
    """The files below a folder, sorted by path, so that messages have the same numbers each time; hidden ones not."""
    return _walk(root, root, options)


def _walk(folder: Path, root: Path, options: ReadOptions) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = Path(entry.path)
            if entry.name.startswith("."):
                options.pass_over(path, root, "hidden")
            elif all((path / name).exists() for name in _STORE):
                options.pass_over(path, root, "vecrollback stores")
            elif entry.is_dir(follow_symlinks=False):
                yield from _walk(path, root, options)
            elif path.is_dir():
                options.pass_over(path, root, LINKED_FOLDERS)
            else:
                yield path


def leave_out(path: Path, root: Path, options: ReadOptions, *, holds_rows: bool = False) -> None:
    """Leave out a file of another kind."""
    options.pass_over(path, root, path.suffix.lower() or "without a suffix", holds_rows=holds_rows)


def _read_text(path: Path, root: Path, options: ReadOptions) -> dict[str, Json] | str | None:
    """The fields of a document, the reason why there are none, or None where a package is missing."""
    name, suffix = path.relative_to(root).as_posix(), path.suffix.lower()
    data = _read_bytes(path, root)
    if isinstance(data, str):
        return f"{name!r}: {data}"
    try:
        return {"id": name, **PAGES[suffix](data, options.encoding), "path": name}
    except MissingDependencyError as error:
        options.unreadable[f"{suffix} ({error.hint})"] += 1
        return None
    except NoTextError as error:
        reason = str(error)
    except UnicodeDecodeError as error:
        reason = f"not {_ENCODINGS.get(error.encoding, error.encoding)} at byte {error.start}"
    except Exception as error:  # the extractors meet files of every kind of damage, and raise whatever comes
        reason = f"not a readable {suffix} file: {type(error).__name__}: {error}"
    return f"{name!r}: {reason}"


def _read_bytes(path: Path, root: Path) -> bytes | str:
    """What is in a file, or why it is not read."""
    try:
        if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
            return "a symbolic link out of the folder, not followed"
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return "not a regular file"
        if status.st_size > MAX_TEXT_BYTES:
            return f"larger than {MAX_TEXT_BYTES} bytes"
        return path.read_bytes()
    except (OSError, RuntimeError) as error:  # RuntimeError: a circle of links, before Python 3.13
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"


_ENCODINGS = {"utf-8": "UTF-8", "utf-16": "UTF-16"}
