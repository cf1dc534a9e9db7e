"""The outer form of a bundle: a plain tar that can be written in one way only.

Not compressed: vectors hardly shrink, `tar tf` lists it, and what was never compressed cannot unfold into more than its
own size. A name and a size make a header, byte for byte; a reader that accepts nothing else meets no link, no device,
no path to somewhere else and no changed bit in any header or filling.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple, NoReturn

from vecrollback.errors import BundleError

COPY_AGAIN = "copy the file once more from where it was exported, or export it again"
_RECORD = tarfile.BLOCKSIZE
_END = bytes(2 * _RECORD)
# Bounds what the list of members of a file from an unknown hand can take of memory.
_MAX_MEMBERS = 65_536
_KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.DIRTYPE: "a directory",
    tarfile.FIFOTYPE: "a pipe",
}


class TarEntry(NamedTuple):
    """A member as it lies in the file: `size` bytes from `offset`."""

    name: str
    offset: int
    size: int


class TarWriter:
    """Appends members to a seekable file, each in one pass: its header is filled in when its size is known."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def begin(self) -> int:
        """Leave room for a header; returns the offset at which the member's bytes begin."""
        self._stream.write(bytes(_RECORD))
        return self._stream.tell()

    def end(self, name: str, offset: int) -> int:
        """Close the member whose bytes were written since `begin`; returns their number."""
        end = self._stream.tell()
        self._stream.write(bytes(-end % _RECORD))
        self._stream.seek(offset - _RECORD)
        self._stream.write(_header(name, end - offset))
        self._stream.seek(0, os.SEEK_END)
        return end - offset

    def close(self) -> None:
        self._stream.write(_END)


def read_entries(stream: BinaryIO) -> list[TarEntry]:
    """Every member of a file that a `TarWriter` wrote, in order. Raises BundleError for whatever differs from that."""
    total = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    entries: dict[str, TarEntry] = {}
    for entry in _walk(stream, total):
        if entry.name in entries:
            _refuse(f"member {entry.name!r} stands in it twice")
        if len(entries) == _MAX_MEMBERS:
            _refuse(f"it has more than {_MAX_MEMBERS} members")
        entries[entry.name] = entry
    return list(entries.values())


def _walk(stream: BinaryIO, total: int) -> Iterator[TarEntry]:
    while True:
        header = stream.read(_RECORD)
        if header == _END[:_RECORD]:
            # One byte more than the second empty record has, so that anything after the end is noticed.
            if stream.read(_RECORD + 1) != _END[_RECORD:]:
                _refuse("it does not end where it should")
            return
        info = _parse(header, at=stream.tell() - len(header))
        offset = stream.tell()
        if offset + info.size > total:
            _refuse(f"it is cut off inside member {info.name!r}")
        yield TarEntry(info.name, offset, info.size)
        stream.seek(offset + info.size)
        if any(stream.read(-info.size % _RECORD)):
            _refuse(f"the filling after member {info.name!r} was changed")


def _parse(header: bytes, *, at: int) -> tarfile.TarInfo:
    if len(header) < _RECORD and at:
        _refuse(f"it is cut off at byte {at}")
    try:
        info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
    except (tarfile.TarError, ValueError) as error:
        if not at:
            raise BundleError(
                "this file is not a bundle or a backup, or its beginning is lost",
                hint="name what `vecrollback snapshot export` or `vecrollback backup create` wrote",
            ) from error
        _refuse(f"the member at byte {at} is damaged: {error}")
    if info.type in _KINDS:
        _refuse(f"member {info.name!r} is {_KINDS[info.type]}; a bundle holds files only")
    if not safe(info.name):
        _refuse(f"member {info.name!r} would be written outside of the folder it is unpacked to")
    if info.size < 0 or header != _header(info.name, info.size):
        _refuse(f"the header of member {info.name!r}, at byte {at}, was not written by vecrollback or was changed")
    return info


def safe(name: str) -> bool:
    """Whether a member's name is a plain relative path, on every system."""
    parts = name.split("/")
    plain = name.isprintable() and not set(name) & set('\\:*?"<>|')
    # Parts of dots and spaces alone: some systems drop those at the end of a name, and read ".." or nothing.
    return plain and not any(part.strip(". ") == "" for part in parts) and str(PurePosixPath(name)) == name


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    header = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")  # GNU: a size may pass 8 GiB in the same 512 bytes
    if len(header) != _RECORD:
        raise BundleError(
            f"the file name {name!r} is too long for a bundle",
            hint="an index kind whose files have names of at most 90 bytes can be exported",
        )
    return header


def _refuse(what: str) -> NoReturn:
    raise BundleError(f"this bundle is damaged: {what}", hint=COPY_AGAIN)
