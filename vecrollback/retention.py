"""Prune: plan, then delete, what no alias, tag, reader or cool-down keeps.

The catalog forgets first, files go after: a prune that dies in between leaves files that nothing names, for the next
one. A file is set aside while nobody else can change the catalog, and whoever names files in the catalog looks for them
in that same transaction: a writer that found equal bytes in place, and lost them, fails there and writes them anew.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path

from vecrollback.artifacts import Artifacts, remove, size
from vecrollback.catalog import Catalog, vectors_table
from vecrollback.errors import CorruptArtifactError, LockHeldError, PairStateError, UnknownNameError
from vecrollback.faults import reach
from vecrollback.records import Keep, Pair, Prunable, Pruned, PrunePlan, Snapshot
from vecrollback.snapshots import load_manifest

_DEFAULT = Keep()
_ASIDE = ".pruned-"
_TABLE = ".lance"
_UNFINISHED_SECONDS = 24 * 3600.0
"""How long a file that a writer has not finished may take it."""


class Retention:
    """Decides what may go, and lets it go."""

    def __init__(self, root: Path, catalog: Catalog, artifacts: Artifacts) -> None:
        self._root, self._catalog, self._artifacts = root, catalog, artifacts

    def retire(self, pair: Pair, reason: str = "") -> None:
        """Take a pair out of use: it cannot serve again, and a later prune takes it. Raises PairStateError."""
        self._catalog.pairs.retire(pair.name, reason)

    # -- plan ---------------------------------------------------------------------------------------------------------

    def plan(self, keep: Keep = _DEFAULT) -> PrunePlan:
        """What would go now. Changes nothing."""
        snapshots = self._catalog.pairs.snapshots()
        kept = self._kept(snapshots, keep)
        names = {pair.name for pair in self._catalog.pairs.all() if pair.state == "retired"}
        pairs = names - {s.pair for s in snapshots if s.ref in kept}
        going = [s for s in snapshots if s.ref not in kept]
        unknown = ""
        try:
            files = tuple(self._unnamed([s for s in snapshots if s.ref in kept], pairs, keep))
        except CorruptArtifactError as error:
            files, unknown = (), f"no file goes: what a snapshot consists of cannot be read. {error}"
        return PrunePlan(keep, tuple(sorted(pairs)), tuple(s.ref for s in going), files, kept, unknown)

    def _kept(self, snapshots: list[Snapshot], keep: Keep) -> dict[str, str]:
        """Snapshots that stay, each with the first reason found."""
        kept = self._held()
        retired = {pair.name for pair in self._catalog.pairs.all() if pair.state == "retired"}
        since = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=keep.cool_down)
        newest: dict[str, int] = {}
        for snapshot in reversed(snapshots):
            newest[snapshot.pair] = newest.get(snapshot.pair, 0) + 1
            if dt.datetime.fromisoformat(snapshot.created_at) > since:
                kept.setdefault(snapshot.ref, "made within the cool-down")
            elif snapshot.pair not in retired and newest[snapshot.pair] <= max(1, keep.snapshots):
                kept.setdefault(snapshot.ref, f"one of the newest {keep.snapshots} of {snapshot.pair}")
        for move in self._catalog.aliases.history():
            if dt.datetime.fromisoformat(move.at) <= since:
                break
            for ref in (move.source, move.target):
                kept.setdefault(ref or "", f"alias {move.alias!r} moved from or to it within the cool-down")
        known = {snapshot.ref for snapshot in snapshots}
        return {ref: why for ref, why in kept.items() if ref in known}

    def _held(self) -> dict[str, str]:
        """Snapshots in use right now. The one that a pair would serve from is, unless the pair is retired."""
        aliases = self._catalog.aliases.all()
        held = {f"{pair}@{number}": f"alias {name!r}" for name, (pair, number, _) in aliases.items()}
        for name, (pair, number) in self._catalog.pairs.tags().items():
            held.setdefault(f"{pair}@{number}", f"tag {name!r}")
        for alias in aliases:
            for reader in self._catalog.readers.registered(alias):
                for ref in reader.warm:
                    held.setdefault(ref, f"reader {reader.host}:{reader.pid} holds it open")
        for found in self._catalog.pairs.all():
            if found.state != "retired":
                held.setdefault(found.ref, f"what {found.name} serves from")
        return held

    def _unnamed(self, staying: list[Snapshot], gone: set[str], keep: Keep) -> Iterator[Prunable]:
        """Files that no staying snapshot or pair names, untouched for the cool-down. Raises CorruptArtifactError."""
        named = self._named(staying, gone)
        for path in self._candidates():
            unfinished = path.name.startswith(".") and not path.name.startswith(_ASIDE)
            least = max(keep.cool_down, _UNFINISHED_SECONDS) if unfinished else keep.cool_down
            with contextlib.suppress(FileNotFoundError):  # writers come and go
                if path not in named and _age(path) > least:
                    yield Prunable(path.relative_to(self._root).as_posix(), size(path))

    def _named(self, staying: list[Snapshot], gone: set[str]) -> set[Path]:
        named: set[str] = set()
        for snapshot in staying:
            named |= {snapshot.manifest, *load_manifest(self._artifacts, snapshot.manifest).artifacts()}
        pairs = [pair for pair in self._catalog.pairs.all() if pair.name not in gone]
        tables = {self._root / "tables" / f"{vectors_table(pair.name)}{_TABLE}" for pair in pairs}
        return {self._artifacts.path(name) for name in named | {pair.probes for pair in pairs}} | tables

    def _candidates(self) -> Iterator[Path]:
        """Every artefact, what unfinished writes and prunes left beside them, and every table of vectors."""
        if self._artifacts.root.is_dir():
            yield from sorted(self._artifacts.root.iterdir())
        yield from sorted((self._root / "tables").glob(f"*{vectors_table('*')}{_TABLE}"))

    # -- apply --------------------------------------------------------------------------------------------------------

    def apply(self, plan: PrunePlan) -> Pruned:
        """Delete what the plan names and what still nothing uses. Raises LockHeldError while another prune runs."""
        spared: dict[str, str] = {}
        with self._catalog.lock("prune", timeout=0):
            pairs = tuple(name for name in plan.pairs if self._pair_forgotten(name, spared))
            snapshots = tuple(
                ref for ref in plan.snapshots if ref.rpartition("@")[0] in pairs or self._forgotten(ref, spared)
            )
            with self._catalog.alone():  # see above
                named = self._named(self._catalog.pairs.snapshots(), set())
                files = tuple(file for file in plan.files if self._set_aside(file, named, plan.keep, spared))
            reach("prune.set_aside")
            for file in files:
                remove(self._aside(file))
                reach("prune.file_removed")
        return Pruned(pairs, snapshots, files, spared)

    def _forgotten(self, ref: str, spared: dict[str, str]) -> bool:
        try:
            if why := self._held().get(ref):
                raise PairStateError(f"it is held by: {why}")
            self._catalog.pairs.delete_snapshot(self._catalog.pairs.find_snapshot(ref))
        except (PairStateError, UnknownNameError) as error:
            spared[ref] = error.message
            return False
        reach("prune.snapshot_forgotten")
        return True

    def _pair_forgotten(self, name: str, spared: dict[str, str]) -> bool:
        try:
            with self._catalog.lock(f"pair-{name}", timeout=0):
                self._catalog.pairs.forget(name)
        except (PairStateError, UnknownNameError, LockHeldError) as error:
            spared[name] = error.message
            return False
        reach("prune.pair_forgotten")
        return True

    def _set_aside(self, file: Prunable, named: set[Path], keep: Keep, spared: dict[str, str]) -> bool:
        path = self._root / file.path
        if path in named or not path.exists():
            spared[file.path] = "something names it again" if path in named else "it is gone already"
            return False
        path.rename(self._aside(file))
        if _age(self._aside(file)) < keep.cool_down:
            self._aside(file).rename(path)
            spared[file.path] = "a writer has just found it in place"
            return False
        return True

    def _aside(self, file: Prunable) -> Path:
        path: Path = self._root / file.path
        return path.with_name(_ASIDE + path.name.removeprefix(_ASIDE))


def _age(path: Path) -> float:
    """Seconds since it was written, or found in place by a writer."""
    return time.time() - path.stat().st_mtime
