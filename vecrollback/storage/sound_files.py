"""Which files of a table are what was acknowledged: each is read once, and again when it was replaced or changed.

Lance trusts what it opens: over a changed byte it answers with altered values, or asks for so much memory that the
process ends. So whatever is read for answers is compared with its digest first. What was compared is remembered by
size, time and number of the file, also for the next process. What a disk changes without a trace in these is found by a
check, by a compaction, and by whoever writes the file of texts: they read everything again.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vecrollback.storage.base import FileStore
from vecrollback.storage.forks import FollowsForks, follow_forks

AskDigests = Callable[[Sequence[str]], Mapping[str, str]]
"""Names of files -> SHA-256 of those that are known."""


def no_digests(_: Sequence[str]) -> Mapping[str, str]:
    """Of a table that no catalog names: nothing is known of its files."""
    return {}


@dataclass(frozen=True, slots=True)
class _Compared:
    """A file as it was when it was compared. `problem`: "" where it is what was acknowledged."""

    stamp: str
    problem: str


class SoundFiles(FollowsForks):
    """The files of one table, compared with the digests that the catalog has.

    `memory`: a file that keeps what was compared. It may be missing, damaged or not writable.
    """

    def __init__(self, file_store: FileStore, memory: Path | None = None) -> None:
        self._file_store, self._memory = file_store, memory
        self._lock = threading.RLock()
        self._compared: dict[str, _Compared] | None = None
        follow_forks(self)

    def damage(self, names: Iterable[str], digests: AskDigests, *, anew: bool = False) -> dict[str, str]:
        """What is wrong, by name, with those of these files that are not what was acknowledged.

        `digests` is asked for those of the files that must be compared. A file without a digest passes: a check says
        that it could not be examined. `anew`: read them all, whatever is remembered.
        """
        with self._lock:
            compared = self._remembered()
            stamps = {name: self._stamp(name) for name in names}
            due = [n for n, stamp in stamps.items() if anew or n not in compared or compared[n].stamp != stamp]
            recorded = digests(due) if due else {}
            for name in due:
                compared[name] = _Compared(stamps[name], self._problem(name, recorded.get(name)))
            if due:
                self._write(stamps)
            return {name: compared[name].problem for name in stamps if compared[name].problem}

    def forked(self) -> None:
        """In a forked child: another lock, because a thread of the parent may have held this one."""
        self._lock = threading.RLock()

    def _stamp(self, name: str) -> str:
        try:
            return self._file_store.stamp(name)
        except FileNotFoundError:
            return "missing"

    def _problem(self, name: str, digest: str | None) -> str:
        try:
            if digest is None:
                return "" if self._file_store.exists(name) else "missing"
            return "" if self._file_store.digest(name) == digest else "changed after it was written"
        except FileNotFoundError:
            return "missing"

    def _remembered(self) -> dict[str, _Compared]:
        if self._compared is None:
            self._compared = {}
            with suppress(OSError, ValueError, TypeError, AttributeError, KeyError):
                if self._memory is not None:
                    stored = json.loads(self._memory.read_text(encoding="utf-8"))[self._file_store.uri]
                    self._compared = {str(name): _Compared(str(stamp), "") for name, stamp in stored.items()}
        return self._compared

    def _write(self, names: Iterable[str]) -> None:
        """Keep for the next process which of these are sound."""
        compared = self._remembered()
        sound = {name: compared[name].stamp for name in names if not compared[name].problem}
        if self._memory is not None:
            with suppress(OSError):  # whoever may only read the store compares again
                self._memory.parent.mkdir(parents=True, exist_ok=True)
                fresh = self._memory.with_name(f".{self._memory.name}.{os.getpid()}.{threading.get_ident()}")
                fresh.write_text(json.dumps({self._file_store.uri: sound}), encoding="utf-8")
                fresh.replace(self._memory)
