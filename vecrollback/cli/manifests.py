"""Reading what a snapshot records."""

from __future__ import annotations

from dataclasses import asdict

from vecrollback.artifacts import Artifacts
from vecrollback.errors import UnknownNameError
from vecrollback.records import Json, Snapshot
from vecrollback.snapshots import load_manifest
from vecrollback.store import Store


def manifest_of(store: Store, ref: str) -> tuple[Snapshot, dict[str, Json]]:
    """A snapshot `PAIR@N`, or a tag's, and its manifest, verified. Raises UnknownNameError, CorruptArtifactError."""
    wanted = store.tags().get(ref, ref)
    taken = next((snapshot for snapshot in store.snapshots() if snapshot.ref == wanted), None)
    if taken is None:
        raise UnknownNameError(f"no snapshot {ref!r}", hint="`vecrollback snapshot list` shows what there is")
    return taken, asdict(load_manifest(Artifacts(store.root / "artifacts"), taken.manifest))
