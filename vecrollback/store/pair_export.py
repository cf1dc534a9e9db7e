"""A pair written to another place, and compared there with what it is here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from vecrollback.errors import EmbedderChangedError, PairStateError, UsageError
from vecrollback.pairs.copies import PairRows, parity_with_file, parity_with_pair, write_parquet
from vecrollback.pairs.resources import Resources
from vecrollback.records import CatchUp, Json, Pair, PairExport, ProgressCallback
from vecrollback.reembedding.jobs import Job

_FILE = "parquet:"


class PairBuilding(Protocol):
    """What of a store an export needs."""

    @property
    def resources(self) -> Resources: ...
    def pair(self, pair: Pair | str) -> Pair: ...
    def catch_up(self, pair: Pair | str, *, progress: ProgressCallback | None = None) -> CatchUp: ...
    def reembed(
        self,
        embedder: str,
        *,
        name: str | None = None,
        settings: Mapping[str, Json] | None = None,
        progress: ProgressCallback | None = None,
        backend: str = "",
    ) -> Job[Pair]: ...


def export_pair(
    store: PairBuilding, pair: Pair, place: str, *, name: str | None, progress: ProgressCallback | None
) -> PairExport:
    """See `Store.export_pair`."""
    if pair.state in ("building", "retired"):
        raise PairStateError(f"pair {pair.name!r} is {pair.state}", hint="export a pair that is ready or serves")
    store.catch_up(pair, progress=progress)
    rows = PairRows.of(store.resources, store.pair(pair.name))
    if place.startswith(_FILE) or place.endswith(".parquet"):
        if name is not None:
            raise UsageError("a file has no pair that could have a name", hint="leave out the name")
        path = Path(place.removeprefix(_FILE)).expanduser()
        write_parquet(rows, path)
        return PairExport(f"{_FILE}{path}", pair.name, "", 0, parity_with_file(rows, path))
    rows.require_sound()
    return _into_database(store, rows, place, name or f"{pair.name}-{place.partition(':')[0]}", progress)


def _into_database(
    store: PairBuilding, rows: PairRows, place: str, name: str, progress: ProgressCallback | None
) -> PairExport:
    pair = rows.pair
    job = store.reembed(pair.embedder, name=name, settings=pair.settings, backend=place, progress=progress)
    made = job.wait()
    if made.fingerprint != pair.fingerprint:
        raise EmbedderChangedError(
            f"{pair.embedder} is not the model any more that made {pair.name!r}: {made.name!r} is another pair",
            hint=f"`vecrollback retire {made.name}`; a bundle moves a pair whose model is gone: `snapshot export`",
        )
    embedded = int(job.status().progress.get("embedded") or 0)
    parity = parity_with_pair(rows, PairRows.of(store.resources, store.pair(made.name)))
    return PairExport(made.backend, pair.name, made.name, embedded, parity)


def payload(export: PairExport) -> dict[str, object]:
    """What `pair export --json` prints."""
    return {**asdict(export), "parity": {**asdict(export.parity), "verdict": export.parity.verdict}}
