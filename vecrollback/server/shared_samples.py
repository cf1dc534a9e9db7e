"""Sampled queries of all workers of one server: each writes a ring of its own, and whoever watches reads them all.

A watch that saw the samples of its own worker only was blind to a bad pair whenever the clients sat on another one.
The rings lie in a folder that only this user can read and that goes when the server ends.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from vecrollback.records import Sample
from vecrollback.store.automation.watch import Samples

_SLOTS, _SLOT = 2_000, 1_024
_HEADER = struct.Struct("<dqdIH")  # time, epoch, best score (NaN: no hit), checksum of all else, bytes of the query
_ROOM = _SLOT - _HEADER.size
_BYTES = _SLOTS * _SLOT
_BODY = struct.Struct("<dqd")
_NO_HIT = float("nan")


class SharedSamples(Samples):
    """The samples of this worker, kept where the others can read them; `last` gives those of all.

    A query of more than about a thousand bytes is not sampled: cut off it would be another query.
    """

    def __init__(self, folder: Path, a_second: int = 20) -> None:
        super().__init__(a_second=a_second)
        self._folder, self._next = folder, 0
        path = folder / f"samples-{os.getpid()}.ring"
        with path.open("w+b") as file:
            # Queries are the users' own words: no other account of this machine may read them.
            os.fchmod(file.fileno(), 0o600)
            file.truncate(_BYTES)
            self._memory = mmap.mmap(file.fileno(), _BYTES)

    def last(self, seconds: float) -> list[Sample]:
        """Those of the last seconds of all workers, oldest first."""
        since = time.time() - seconds
        return sorted((sample for ring in self._rings() for sample in _read(ring, since)), key=lambda sample: sample.at)

    def _keep(self, sample: Sample) -> None:
        query = sample.query.encode("utf-8", "surrogatepass")
        if len(query) > _ROOM:
            return
        best = _NO_HIT if sample.best is None else sample.best
        checksum = zlib.crc32(query, zlib.crc32(_BODY.pack(sample.at, sample.epoch, best)))
        at = self._next % _SLOTS * _SLOT
        self._next += 1
        header = _HEADER.pack(sample.at, sample.epoch, best, checksum, len(query))
        self._memory[at : at + _HEADER.size + len(query)] = header + query

    def _rings(self) -> Iterator[bytes]:
        for path in self._folder.glob("samples-*.ring"):
            content = path.read_bytes()
            if len(content) == _BYTES:  # else its worker is about to lay it out
                yield content


def _read(ring: bytes, since: float) -> Iterator[Sample]:
    """The samples of one worker's ring. One that is being written has another checksum, and is left out."""
    for at in range(0, _BYTES, _SLOT):
        when, epoch, best, checksum, size = _HEADER.unpack_from(ring, at)
        if when < since or size > _ROOM:
            continue
        query = ring[at + _HEADER.size : at + _HEADER.size + size]
        if zlib.crc32(query, zlib.crc32(_BODY.pack(when, epoch, best))) == checksum:
            yield Sample(when, epoch, query.decode("utf-8", "surrogatepass"), None if math.isnan(best) else best)
