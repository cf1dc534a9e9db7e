"""The log as it may be read: every file compared with its digest first, and what is left where one is damaged.

Over a changed byte Lance answers with altered text, or asks for so much memory that the process ends. So a damaged file
is opened by nobody but a process of its own (`vecrollback.corpus.rescue`); readers get the other files, and of that one
the rows that are what was written. Nothing of it reaches a file that others trust.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vecrollback.catalog import CORPUS, Catalog
from vecrollback.corpus.rescue import Rescued, rescue
from vecrollback.errors import CorruptArtifactError
from vecrollback.records import shown_key
from vecrollback.storage.forks import FollowsForks, follow_forks, inherit
from vecrollback.storage.lance_table import LanceTable
from vecrollback.storage.reading import MEND_TABLE
from vecrollback.storage.sound_files import SoundFiles

_RESCUED_ROWS = 1 << 62
"""Row numbers of rescued rows begin here; Lance's own are far below."""


class PartOfLog:
    """Some fragments of a version and the rows that were rescued from others, read like a dataset of Lance.

    `problem`: what cannot be read, in words; "" when nothing is missing.
    """

    def __init__(
        self, dataset: Any, fragments: Sequence[Any], rescued: Rescued | None = None, damage: str = ""
    ) -> None:
        self._dataset, self._fragments, self._rescued = dataset, list(fragments), rescued
        self.schema, self.version = dataset.schema, dataset.version
        self.problem = _problem(rescued, damage) if rescued is not None and rescued.lost else ""
        self.hint = _hint(rescued)

    @property
    def ends_writers(self) -> bool:
        """Whether a write, which reads the keys of all documents, would end its process."""
        return self._rescued is not None and not self._rescued.can_be_written_beside

    def may_lack(self, ids: Set[str]) -> bool:
        """Whether one of these documents may be among those that cannot be read."""
        rescued = self._rescued
        if rescued is None or not rescued.lost:
            return False
        return len(rescued.ids) < rescued.lost or not ids.isdisjoint(rescued.ids)

    def scanner(self, *, offset: int | None = None, limit: int | None = None, **options: Any) -> _Scan:
        """As Lance's; the rescued rows come last."""
        rescued = self._rescued.rows if self._rescued else None
        if offset is None and limit is None:
            first: Any = self._dataset.scanner(fragments=self._fragments, **options)
            return _Scan(first, rescued.scanner(**options) if rescued is not None else None)
        begin, end = offset or 0, (offset or 0) + (limit or 0)
        there = sum(fragment.count_rows() for fragment in self._fragments)
        within = {"offset": min(begin, there), "limit": max(0, min(end, there) - begin)}
        after = {"offset": max(0, begin - there), "limit": max(0, end - max(begin, there))}
        first = self._dataset.scanner(fragments=self._fragments, **within, **options)
        return _Scan(first, rescued.scanner(**after, **options) if rescued is not None else None)

    def to_table(self, **options: Any) -> pa.Table:
        """As Lance's."""
        return self.scanner(**options).to_table()

    def count_rows(self, filter: str | None = None) -> int:
        """As Lance's."""
        return int(self.scanner(columns=["id"], filter=filter).to_table().num_rows)

    def _take_rows(self, numbers: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """As Lance's: rows by `_rowid`, in the order asked for."""
        own = [number for number in numbers if number < _RESCUED_ROWS]
        rescued = [number - _RESCUED_ROWS for number in numbers if number >= _RESCUED_ROWS]
        parts = [self._dataset._take_rows(own, columns=list(columns))] if own else []
        if rescued and self._rescued is not None:
            parts.append(self._rescued.rows._take_rows(rescued, columns=list(columns)))
        place = {number: n for n, number in enumerate([*own, *(one + _RESCUED_ROWS for one in rescued)])}
        return pa.concat_tables(parts).take(pa.array([place[number] for number in numbers], pa.int64()))


class _Scan:
    """Two scans, one after the other."""

    def __init__(self, own: Any, rescued: Any) -> None:
        self._own, self._rescued = own, rescued

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        yield from self._own.to_batches()
        if self._rescued is not None:
            for batch in self._rescued.to_batches():
                yield _renumbered(batch)

    def to_table(self) -> pa.Table:
        own = self._own.to_table()
        if self._rescued is None:
            return own
        rescued = [_renumbered(batch) for batch in self._rescued.to_table().to_batches()]
        return pa.concat_tables([own, pa.Table.from_batches(rescued, own.schema)])


def _renumbered(rows: pa.RecordBatch) -> pa.RecordBatch:
    place = rows.schema.get_field_index("_rowid")
    if place < 0:
        return rows
    numbers = pc.add(rows["_rowid"], pa.scalar(_RESCUED_ROWS, pa.uint64()))
    return rows.set_column(place, rows.schema.field(place), numbers)


class SoundLog(FollowsForks):
    """Versions of the log for readers. `memory`: see `SoundFiles`."""

    def __init__(self, table: LanceTable, catalog: Catalog, memory: Path | None = None) -> None:
        self._table, self._catalog = table, catalog
        self._files = SoundFiles(table.file_store, memory)
        self._lock = threading.RLock()
        self._rescued: tuple[frozenset[str], Rescued] | None = None
        follow_forks(self)

    def forked(self) -> None:
        inherit(self._rescued)
        self._rescued = None
        self._lock = threading.RLock()

    def at(self, version: int, *, known: Set[str] = frozenset(), anew: bool = False) -> Any:
        """A version as a dataset of Lance where its files are sound, else as a `PartOfLog`.

        `known`: files whose rows the caller has; they are not read. `anew`: compare also what was compared before.
        Raises CorruptArtifactError for a damaged manifest: nothing of it can be trusted.
        """
        manifest = self._table.manifest(version)
        if damage := self._files.damage([manifest], self._digests, anew=anew):
            if not self._table.file_store.exists(manifest):
                return self._table.at(version)  # which says why
            raise CorruptArtifactError(f"{manifest} of table {self._table.name} is {damage[manifest]}", hint=MEND_TABLE)
        dataset = self._table.at(version)
        named = {one: self._table.named_by([one.metadata]) for one in dataset.get_fragments()}
        wanted = {one: names for one, names in named.items() if not names <= known}
        damage = self._files.damage({name for names in wanted.values() for name in names}, self._digests, anew=anew)
        if not damage:
            return PartOfLog(dataset, list(wanted)) if known else dataset
        sound = [one for one, names in wanted.items() if names.isdisjoint(damage)]
        damaged = {one: names for one, names in wanted.items() if not names.isdisjoint(damage)}
        words = "; ".join(f"{name} of table {self._table.name} is {fact}" for name, fact in sorted(damage.items()))
        return PartOfLog(dataset, sound, self._rescue(dataset, damaged, set(damage)), words)

    def whole(self, version: int) -> Any:
        """The same. Raises CorruptArtifactError when a row cannot be read."""
        log = self.at(version)
        if problem := problem_of(log):
            raise CorruptArtifactError(problem, hint=log.hint)
        return log

    def require_writable(self, version: int) -> None:
        """Raises CorruptArtifactError where a write, which reads the keys of all documents, would end the process."""
        log = self.at(version)
        if isinstance(log, PartOfLog) and log.ends_writers:
            raise CorruptArtifactError(log.problem, hint=MEND_TABLE)

    def _digests(self, names: Sequence[str]) -> dict[str, str]:
        return self._catalog.files.of(CORPUS, names)

    def _rescue(self, dataset: Any, damaged: dict[Any, set[str]], files: set[str]) -> Rescued:
        key = frozenset(name for names in damaged.values() for name in names)
        with self._lock:
            if self._rescued is None or self._rescued[0] != key:
                # Without its list of deleted rows a fragment shows what was replaced: all of it is lost.
                readable = [one for one in damaged if one.deletion_file() not in files]
                rescued = rescue(self._table, dataset, readable, self._catalog.ledger.tombstones())
                hidden = sum(int(one.metadata.num_rows) for one in damaged if one not in readable)
                self._rescued = key, replace(rescued, lost=rescued.lost + hidden)
            return self._rescued[1]


def problem_of(log: Any) -> str:
    """What of a version cannot be read, in words; "" when nothing is missing."""
    return log.problem if isinstance(log, PartOfLog) else ""


def _problem(rescued: Rescued, damage: str) -> str:
    names = [shown_key(one) for one in rescued.ids]
    those = f" ({', '.join(names)}{', ...' if rescued.lost > len(names) else ''})" if names else ""
    count = "1 document" if rescued.lost == 1 else f"{rescued.lost:,} documents"
    return f"{damage}: {count} cannot be read{those}"


def _hint(rescued: Rescued | None) -> str:
    if rescued is not None and rescued.lost and len(rescued.ids) == rescued.lost:
        return f"write or delete these documents anew, or {MEND_TABLE}"
    return MEND_TABLE
