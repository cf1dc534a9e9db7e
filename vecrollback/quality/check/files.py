"""Bytes: artefacts, table files and the catalog are unchanged since they were acknowledged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from vecrollback.catalog import Catalog
from vecrollback.catalog.aliases import SCRATCH, broken_links
from vecrollback.catalog.tenures import from_moves
from vecrollback.errors import CorruptArtifactError
from vecrollback.pairs.manifest import Manifest
from vecrollback.quality.check.findings import Notes
from vecrollback.records import Bridge, KeptModel, Move, Pair, Tenure
from vecrollback.storage.artifacts import Artifacts
from vecrollback.storage.base import DigestedTable

_FACTS = ("fingerprint", "contract", "dimension", "metric", "probes")


def examine_artifacts(notes: Notes, artifacts: Artifacts, manifest: Manifest, *, deep: bool) -> None:
    """Every artefact of the snapshot is there; with `deep` its bytes have their digest."""
    for name in manifest.artifacts():
        present = f"{name} is missing" if not artifacts.exists(name) else None
        if wrong := artifacts.verify(name) if deep else present:
            notes.add("artifact_corrupt", f"artefact {wrong}", [name])
    notes.examined["artifacts"] = len(manifest.artifacts())


def examine_kept_model(notes: Notes, artifacts: Artifacts, kept: KeptModel | None, *, deep: bool) -> None:
    """The model that the store keeps for the pair is there; with `deep` its bytes have their digest.

    A warning: the original may still serve, and the check of the vectors asks whichever model opens.
    """
    if kept is None:
        return
    wrong = None if artifacts.exists(kept.artifact) else f"{kept.artifact} is missing"
    if wrong := wrong or (artifacts.verify(kept.artifact) if deep else None):
        notes.add(
            "kept_model_corrupt",
            f"the kept model {wrong}; keep it anew: `vecrollback embedder keep {kept.pair}`",
            [kept.artifact],
            severity="warn",
        )
    notes.examined["kept model bytes"] = kept.bytes


def examine_bridges(notes: Notes, artifacts: Artifacts, bridges: Sequence[Bridge], *, deep: bool) -> None:
    """The bridges that lead to the pair are there; with `deep` their bytes have their digest.

    A warning: nothing needs them while the pair's own model answers, and they can be learned anew.
    """
    for one in bridges:
        wrong = None if artifacts.exists(one.artifact) else f"{one.artifact} is missing"
        if wrong := wrong or (artifacts.verify(one.artifact) if deep else None):
            cure = f"learn it anew: `vecrollback bridge {one.source} {one.target}`"
            notes.add("bridge_corrupt", f"the bridge {wrong}; {cure}", [one.artifact], severity="warn")


def examine_table(
    notes: Notes,
    table: DigestedTable,
    version: int,
    digests: dict[str, str],
    *,
    deep: bool,
    about: Literal["pair", "log"] = "pair",
) -> None:
    """Every file of this version of a table was acknowledged and has its digest."""
    name, manifest = table.name, table.manifest(version)
    # The manifest first and always: what is damaged must not be opened, over some of it Lance ends the process.
    if manifest in digests and (wrong := _wrong(table, manifest, digests[manifest])):
        notes.add("file_corrupt", f"table {name}: {manifest} {wrong}", [manifest], about=about)
        return
    try:
        files = table.files(table.at(version))
    except CorruptArtifactError as error:
        notes.add("file_corrupt", str(error), [name], about=about)
        return
    if unknown := sorted(files - digests.keys()):
        notes.add("not_examined", f"table {name}: files without a digest", unknown, severity="unknown", about=about)
    # one look for all of them: on object storage each one takes a request
    there = files if deep else table.names()
    for path in sorted(files & digests.keys()):
        wrong = "" if path in there else "is missing"
        if wrong := wrong or (_wrong(table, path, digests[path]) if deep else ""):
            notes.add("file_corrupt", f"table {name}: {path} {wrong}", [path], about=about)
    notes.examined[f"files of {name}"] = len(files)


def _wrong(table: DigestedTable, path: str, digest: str) -> str:
    try:
        actual = table.digest(path)
    except FileNotFoundError:
        return "is missing"
    return f"has digest {actual[:12]}, recorded is {digest[:12]}" if actual != digest else ""


def examine_catalog(notes: Notes, catalog: Catalog, pair: Pair, manifest: Manifest) -> None:
    """The history is an unbroken chain that ends where the aliases point; pair and manifest agree."""
    if trouble := catalog.integrity():
        notes.add("catalog_corrupt", f"the catalog's database is damaged: {trouble}", [trouble], about="log")
    if setback := catalog.setback():
        notes.add("catalog_older", f"{setback}; `vecrollback reconcile` mends it", ["setback"], about="log")
    _examine_history(notes, catalog)
    differing = [f for f in _FACTS if getattr(pair, f) != getattr(manifest, f)]
    differing += [f"pair {f}" for f in ("watermark", "vectors_version") if getattr(pair, f) < getattr(manifest, f)]
    snapshot = catalog.pairs.find_snapshot(pair.ref)
    differing += [f for f in ("watermark", "vectors_version") if getattr(snapshot, f) != getattr(manifest, f)]
    differing += ["chunks"] * (snapshot.chunks != manifest.chunks)
    differing += ["recall"] * (snapshot.recall != manifest.index.recall)
    notes.add("catalog_differs", f"the catalog and the manifest of {pair.ref} disagree", differing)


def _examine_history(notes: Notes, catalog: Catalog) -> None:
    moves = catalog.aliases.history()[::-1]
    last = {move.alias: (move.target, move.epoch) for move in moves}
    broken = [str(number) for number in broken_links(moves)]
    notes.add("history_broken", "entries of the history were changed or removed", broken, about="log")
    now = {name: (target.ref, target.epoch) for name, target in catalog.aliases.all().items()}
    differing = [name for name in now if last.get(name) != now[name]]
    notes.add("alias_differs", "aliases point elsewhere than their history says", differing, about="log")
    if not broken and not differing:
        _examine_tenures(notes, catalog, moves)
    lost = [name for name in last if name not in now and not name.startswith(SCRATCH)]
    notes.add("alias_differs", "aliases of the history are gone", lost, about="log")
    notes.examined["history entries"] = len(moves)


def _examine_tenures(notes: Notes, catalog: Catalog, moves: Sequence[Move]) -> None:
    """The table of tenures, which a rollback reads, agrees with the history that it is made from."""
    wrong = []
    for alias, rows in catalog.aliases.tenures().items():
        tenures = from_moves((move.epoch, move.target, move.at) for move in moves if move.alias == alias)
        # rows that end early are made anew from the history by the next move, and until then not used
        if _reach(rows) == _reach(tenures) and rows != tenures:
            wrong.append(alias)
    notes.add("alias_differs", "which pair served when is not what the history says", wrong, about="log")


def _reach(tenures: Mapping[str, Tenure]) -> int:
    return max((one.last_epoch for one in tenures.values()), default=0)
