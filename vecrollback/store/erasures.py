"""Deletes kept outside of the store: written to a file, and applied to a copy that is older than they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vecrollback.corpus.erasures import Erasure, ErasureFile, missing
from vecrollback.errors import UsageError
from vecrollback.records import ErasureExport, ErasuresApplied, shown_key

if TYPE_CHECKING:
    from vecrollback.corpus.corpus import Corpus
    from vecrollback.store.parts import Parts

_BATCH = 1_000


def export_erasures(parts: Parts, path: Path) -> ErasureExport:
    """Note every delete that the file lacks. What the file knows beyond this store stays in it."""
    file, store = ErasureFile(path), parts.catalog.store_id
    tombstones = parts.catalog.ledger.tombstones()
    noted = file.read().newest({store}) if path.exists() else {}
    lacking = [key for key, seq in tombstones.items() if key not in noted or noted[key].change < seq]
    # What a rollback of the corpus took out of the documents may come back: that is no erasure.
    returning = parts.resources.corpus.earlier.readable(lacking)
    erasures = [Erasure(store, key, tombstones[key]) for key in lacking if key not in returning]
    file.add(sorted(erasures, key=lambda erasure: erasure.change))
    return ErasureExport(str(path), len(erasures), len(missing(noted, tombstones)))


def apply_erasures(parts: Parts, path: Path, *, copy_of: str | None, dry_run: bool) -> ErasuresApplied:
    """Delete what the file knows as deleted and this store does not; note it there, so that it is done once."""
    file, store = ErasureFile(path), parts.catalog.store_id
    notes = file.read()
    stores = {store} if copy_of is None else {store, copy_of}
    if notes.erasures and not stores & notes.stores:
        raise UsageError(
            f"{path} holds no delete of store {copy_of or store}, only of {', '.join(sorted(notes.stores))}",
            hint="if this store is a copy of that one, say so with `--copy-of ID`",
        )
    corpus, keys = parts.resources.corpus, missing(notes.newest(stores), parts.catalog.ledger.tombstones())
    present = _present(corpus, keys)
    if not dry_run:
        with parts.deletes_hidden():
            for start in range(0, len(keys), _BATCH):
                # Also those that were deleted here at a smaller number: the new one tells that the file was applied.
                corpus.delete(keys[start : start + _BATCH], again=True)
        applied, noted = parts.catalog.ledger.tombstones(), file.read().newest({store})
        file.add(
            Erasure(store, key, applied[key]) for key in keys if key not in noted or noted[key].change != applied[key]
        )
    return ErasuresApplied(tuple(map(shown_key, present)), len(keys) - len(present), notes.unreadable, dry_run)


def _present(corpus: Corpus, keys: list[str]) -> list[str]:
    def read(version: int) -> list[str]:
        parts = (keys[start : start + _BATCH] for start in range(0, len(keys), _BATCH))
        return sorted(key for part in parts for key in corpus.get(part, version=version))

    return corpus.at_head(lambda state: read(state.version))
