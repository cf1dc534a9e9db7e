"""A folder of texts: each .md and .txt file is a document, its path the id."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from vecrollback.corpus.documents import MAX_TEXT_BYTES
from vecrollback.corpus.formats.lines import unreadable
from vecrollback.corpus.formats.rows import Raw
from vecrollback.errors import BadDocumentError
from vecrollback.records import Json

_SUFFIXES = (".md", ".txt")


def read_folder(root: Path) -> Iterator[Raw]:
    """Yield the texts below the folder, sorted by path; hidden files and folders are left out.

    A symbolic link that leads out of the folder is reported, not followed: a shared folder must not be able to pull
    in files that its owner never meant to index. Linked folders are left out altogether; inside, they would repeat.
    """
    number = 0
    try:
        for number, path in enumerate(_texts(root), start=1):
            yield number, _read_text(path, root)
    except OSError as error:
        raise unreadable(Path(error.filename or root), error) from error
    if not number:
        raise BadDocumentError(
            "no .md or .txt file in this folder", hint="name a file of documents instead", source=str(root)
        )


def _texts(folder: Path) -> Iterator[Path]:
    # Sorted, so that the same folder always gives the same order and the same line numbers in messages.
    with os.scandir(folder) as entries:
        visible = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in visible:
        if entry.is_dir(follow_symlinks=False):
            yield from _texts(Path(entry.path))
        elif entry.name.lower().endswith(_SUFFIXES) and not Path(entry.path).is_dir():
            yield Path(entry.path)


def _read_text(path: Path, root: Path) -> dict[str, Json] | str:
    name = path.relative_to(root).as_posix()
    try:
        if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
            return f"{name!r}: a symbolic link out of the folder, not followed"
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return f"{name!r}: not a regular file"
        if status.st_size > MAX_TEXT_BYTES:
            return f"{name!r}: larger than {MAX_TEXT_BYTES} bytes"
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return f"{name!r}: not UTF-8 at byte {error.start}"
    except (OSError, RuntimeError) as error:  # RuntimeError: a circle of links, before Python 3.13
        return f"{name!r}: cannot be read: {getattr(error, 'strerror', None) or error}"
    return {"id": name, "text": text, "path": name}
