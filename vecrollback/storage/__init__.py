"""Where the files of a store lie: a directory on a local disk, or a prefix in a bucket of object storage."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from vecrollback.errors import UsageError
from vecrollback.storage.base import FileEntry, FileStore
from vecrollback.storage.local import LocalFileStore
from vecrollback.storage.s3_address import is_address, parse_address

__all__ = ["FileEntry", "FileStore", "LocalFileStore", "file_store_at"]


def file_store_at(place: str | Path | FileStore) -> FileStore:
    """The file store that a store's URI or path names. Raises UsageError, MissingDependencyError."""
    if isinstance(place, Path):
        return LocalFileStore(place)
    if not isinstance(place, str):
        return place
    if is_address(place):
        from vecrollback.storage.s3 import S3FileStore  # a switch on a disk does not wait for it

        return S3FileStore(parse_address(place))
    parts = urlsplit(place)
    if parts.scheme == "file":
        return LocalFileStore(Path(unquote(parts.path)))
    if len(parts.scheme) > 1:
        raise UsageError(
            f"a store cannot be at {place!r}", hint="a directory, file:///a/directory or s3://BUCKET/PREFIX"
        )
    return LocalFileStore(Path(place).expanduser())
