"""What this machine needs so that a store can serve and roll back on it: a line for each, with the cure."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from vecrollback.catalog import WORKER_LOCK
from vecrollback.errors import in_words
from vecrollback.pairs.model_answers import ask_model
from vecrollback.records import LineState, Pair, SituationLine
from vecrollback.storage.machine import available_memory
from vecrollback.store.automation.operated_store import OperatedStore

_CLOCK_SECONDS = 5.0
_OVERHEAD = 1.5
"""Of an open pair over its plain vectors: ids, masks, an index with links."""
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "glusterfs", "lustre", "ceph"})
_PASSING = frozenset({"tmpfs", "ramfs"})


def examine_installation(store: OperatedStore) -> tuple[SituationLine, ...]:
    """Look at this machine. Asks the models, which loads them; changes nothing but what is noted of their answers.

    Args:
        store: The store that is to run here.

    Returns:
        `models` for each pair that serves or stands by, `memory`, `worker`, `clock`, `file system` and `storage`. What
        cannot be found out is `unknown`.
    """
    pairs = [pair for pair in store.pairs() if pair.state in ("live", "standby")]
    lines = [_line(f"model of {pair.name}", lambda pair=pair: _model(store, pair)) for pair in pairs]  # type: ignore[misc]
    parts: Mapping[str, Callable[[], SituationLine]] = {
        "memory": lambda: _memory(store, pairs),
        "worker": lambda: _worker(store),
        "clock": lambda: _clock(store),
        "file system": lambda: _file_system(store.root),
    }
    lines += [_line(name, look) for name, look in parts.items()]
    return (*lines, store.situation().line("storage"))


def _line(name: str, look: Callable[[], SituationLine]) -> SituationLine:
    try:
        return look()
    except Exception as error:  # whatever one look meets, the others are told
        return SituationLine(name, "unknown", in_words(error))


def _model(store: OperatedStore, pair: Pair) -> SituationLine:
    catalog, resources = store.resources.catalog, store.resources
    name = f"model of {pair.name}"
    answer, _ = ask_model(catalog, resources.embedders, pair)
    if answer.verdict != "pass":
        state: LineState = "unknown" if answer.verdict == "unknown" else "alert"
        return SituationLine(name, state, answer.said, f"vecrollback embedder ask {pair.name}")
    kept = catalog.models.all_kept().get(pair.name)
    if kept is not None:
        resources.artifacts.expect(kept.artifact)
    where = f"the store keeps its {kept.bytes / 2**20:,.0f} MiB" if kept else "nothing of it is kept in the store"
    return SituationLine(name, "ok", f"it answers in {answer.seconds * 1000:,.0f} ms; {where}")


def _memory(store: OperatedStore, pairs: list[Pair]) -> SituationLine:
    """A searcher holds the live pair and the standby open, so that a rollback loads nothing."""
    kept = store.resources.catalog.models.all_kept()
    snapshots = {one.ref: one for one in store.snapshots()}
    needed = 0.0
    for pair in pairs:
        chunks = snapshots[pair.ref].chunks if pair.ref in snapshots else 0
        needed += _OVERHEAD * chunks * pair.dimension * 4 + (kept[pair.name].bytes if pair.name in kept else 0)
    count = "1 pair takes" if len(pairs) == 1 else f"{len(pairs)} pairs take"
    available = available_memory()
    if available is None:
        return SituationLine("memory", "unknown", f"{count} about {needed / 2**30:,.2f} GiB")
    text = f"{count} about {needed / 2**30:,.2f} GiB; {available / 2**30:,.1f} GiB are available"
    if needed > available:
        return SituationLine("memory", "alert", text, "vecrollback plan EMBEDDER --index IVF4096,SQ8")
    return SituationLine("memory", "ok" if needed < 0.8 * available else "note", text)


def _worker(store: OperatedStore) -> SituationLine:
    if store.resources.catalog.is_locked(WORKER_LOCK):
        return SituationLine("worker", "ok", "a worker runs")
    text = "no worker runs: nothing keeps the pairs up to date and asks their models"
    return SituationLine("worker", "note", text, "vecrollback worker")


def _clock(store: OperatedStore) -> SituationLine:
    """The clock of this machine against the catalog's, and against the newest move."""
    catalog = store.resources.catalog
    offset = time.time() - catalog.clock()
    newest = next(iter(store.history(limit=1)), None)
    ahead = _seconds_until(newest.at) if newest else 0.0
    if abs(offset) > _CLOCK_SECONDS:
        text = f"this machine's clock is {abs(offset):,.1f} s {'ahead of' if offset > 0 else 'behind'} the catalog's"
        return SituationLine("clock", "alert", text, "timedatectl set-ntp true")
    if ahead > _CLOCK_SECONDS:
        text = f"the newest move is {ahead:,.1f} s in the future of this machine's clock"
        return SituationLine("clock", "alert", text, "timedatectl set-ntp true")
    return SituationLine("clock", "ok", f"within {abs(offset):.1f} s of the catalog's")


def _seconds_until(at: str) -> float:
    return dt.datetime.fromisoformat(at).timestamp() - time.time()


def _file_system(root: Path) -> SituationLine:
    kind, place = _mount(root.resolve())
    text = f"{root} lies on {kind} ({place})"
    if kind in _NETWORK:
        cure = "put the catalog into PostgreSQL (--catalog) or the store on a local disk"
        return SituationLine("file system", "alert", f"{text}: SQLite's locks do not hold there; {cure}")
    if kind in _PASSING:
        return SituationLine("file system", "note", f"{text}: it is gone after a restart")
    return SituationLine("file system", "ok", text)


def _mount(path: Path) -> tuple[str, str]:
    """Kind of the file system that holds a path, and where it is mounted: the longest mount point that is above it."""
    best = ("unknown", "/")
    for place, kind in _mounts():
        if path.is_relative_to(place) and len(place) >= len(best[1]):
            best = (kind, place)
    return best


def _mounts() -> Iterator[tuple[str, str]]:
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, place, kind, *_ = line.split()
        yield place.replace("\\040", " "), kind
