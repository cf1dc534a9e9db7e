"""Faults that a drill causes on purpose, each in a copy of the store, and the result it demands."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from vecrollback.catalog import Catalog, vectors_table
from vecrollback.errors import FailedError
from vecrollback.pairs.manifest import load_manifest
from vecrollback.pairs.vectors import Vectors, schema
from vecrollback.records import LIVE, SnapshotRef, Switched
from vecrollback.storage import LocalFileStore
from vecrollback.storage.artifacts import LocalArtifacts
from vecrollback.store.automation.drills.bad_pair import BAD_EMBEDDER, fire, plant, texts_to_ask
from vecrollback.store.automation.drills.searchers import DrillSearcher, await_answer, await_asking, await_warm, reading
from vecrollback.store.automation.drills.stopwatch import Stopwatch
from vecrollback.store.automation.operated_store import OperatedStore, StoreOpener
from vecrollback.switching.policy import Policy
from vecrollback.switching.policy.model import Objectives

_SEARCHERS = 2
_HUNG_SECONDS = 1.0
_SLOW_SECONDS, _HELD_SECONDS, _FREE_SECONDS = 3.0, 0.4, 0.05
_FOREIGN_SHARE = 0.2


@dataclass
class Scene:
    """A copy of the store that is being broken: what is live in it, where a rollback goes."""

    store: OperatedStore
    opener: StoreOpener
    source: str
    target: str
    watch: Stopwatch
    policy: Policy

    @property
    def objectives(self) -> Objectives:
        return self.policy.objectives

    @property
    def source_pair(self) -> str:
        return SnapshotRef.parse(self.source).pair

    @property
    def target_pair(self) -> str:
        return SnapshotRef.parse(self.target).pair

    def roll_back(self, *, wait: float = 10.0, back: bool = False) -> Switched:
        """The real thing, up to its searchers; and the objective it has to meet.

        `back`: to what was live before the drill, which was left for a pair that is planted.
        """
        target = self.source if back else self.target
        with self.watch.phase("switch", self.objectives.switch) as step:
            outcome = self.store.rollback(reason="a drill", catch_up=False, wait=wait)
            step.say(
                f"to {outcome.target} in {outcome.switch_ms:.1f} ms, {outcome.searchers.acknowledged} searchers follow"
            )
        if outcome.target != target:
            raise FailedError(f"it went to {outcome.target}, not to {target}")
        return outcome

    def answered(self, searchers: list[DrillSearcher], since: float) -> None:
        with self.watch.phase("first right answer", self.objectives.switch) as step:
            step.seconds = await_answer(searchers, self.target_pair, since) - since
            step.say("of the slowest searcher")

    def check(self, verdict: str) -> None:
        """Catch up and check; the check has to say this."""
        with self.watch.phase("check") as step:
            self.store.catch_up(self.target_pair, advance=False)
            report = self.store.check(self.target_pair)
            step.say(f"the check says {report.verdict}", ok=report.verdict == verdict)


def files_gone(scene: Scene) -> str:
    """Every file of the failed pair vanishes while it serves."""
    with reading(scene.store, scene.opener, LIVE, _SEARCHERS) as searchers:
        await_warm(scene.store, LIVE, searchers, scene.source, scene.target)
        with scene.watch.phase("files gone") as step:
            step.say(f"{_remove_files(scene)} files and folders of {scene.source} removed")
        order_time = time.time()
        scene.roll_back()
        scene.answered(searchers, order_time)
    scene.check("pass")
    return "the rollback needed nothing of the failed pair"


def model_unloadable(scene: Scene) -> str:
    """The failed pair's model is not there, so searchers that start can answer nothing."""
    catalog = Catalog(scene.store.root)
    catalog.pairs.set_embedder(scene.source_pair, str(scene.store.root / "no-such-model"))
    catalog.close()
    broken_store = scene.opener.connect(scene.store.root, catalog="")
    with broken_store as fresh, reading(fresh, scene.opener, LIVE, _SEARCHERS) as searchers:
        scene.store = fresh
        fresh.notices.use(Policy())
        with scene.watch.phase("searchers without a model") as step:
            await_asking(searchers)
            step.say(f"{sum(bool(searcher.answered(scene.source_pair)) for searcher in searchers)} of them answer")
        order_time = time.time()
        scene.roll_back(wait=60.0)
        scene.answered(searchers, order_time)
        scene.check("pass")
    return "searchers that could not answer do after the rollback"


def catalog_slow(scene: Scene) -> str:
    """Another process holds the catalog's write lock most of the time."""
    with reading(scene.store, scene.opener, LIVE, _SEARCHERS) as searchers:
        await_warm(scene.store, LIVE, searchers, scene.source, scene.target)
        order_time = time.time()
        with _hogging(scene.store.root / "catalog.db"):
            scene.roll_back()
        scene.answered(searchers, order_time)
    scene.check("pass")
    return "the rollback waited its turn and met its objective"


def searcher_hung(scene: Scene) -> str:
    """A searcher stands still over the switch; it must be named, and right once it goes on."""
    with reading(scene.store, scene.opener, LIVE, _SEARCHERS) as searchers:
        await_warm(scene.store, LIVE, searchers, scene.source, scene.target)
        hung, *others = searchers
        os.kill(hung.pid, signal.SIGSTOP)
        try:
            order_time = time.time()
            outcome = scene.roll_back(wait=_HUNG_SECONDS)
            scene.answered(others, order_time)
        finally:
            os.kill(hung.pid, signal.SIGCONT)
        with scene.watch.phase("the hung searcher") as step:
            names = [name for name in outcome.searchers.missing if name.endswith(f":{hung.pid}")]
            later = await_answer([hung], scene.target_pair, order_time)
            alone = len(names) == 1 == len(outcome.searchers.missing)
            step.say(f"named as missing; right {later - order_time:.2f} s after the order", ok=alone)
    scene.check("pass")
    return "the searcher that hung was named, and the switch did not wait for it"


def foreign_vectors(scene: Scene) -> str:
    """Vectors of another model lie in the pair to go back to, under its own fingerprint: the check has to find them."""
    with scene.watch.phase("foreign vectors") as step:
        step.say(f"{_poison(scene)} documents of {scene.target} have vectors of another model")
    with reading(scene.store, scene.opener, LIVE, _SEARCHERS) as searchers:
        await_warm(scene.store, LIVE, searchers, scene.source, scene.target)
        order_time = time.time()
        scene.roll_back()
        scene.answered(searchers, order_time)
    scene.check("fail")
    return "the rollback stood, and the check after it found the foreign vectors"


def disk_full(scene: Scene) -> str:
    """Nothing can be written: the rollback has to be refused whole, and to succeed once there is room."""
    before = scene.store.live().name
    with scene.watch.phase("refused whole") as step:
        command = [*scene.opener.program, "roll-back-on-a-full-disk"]
        environment = {**os.environ, **scene.store.resources.environment}
        process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        message = process.stdout.strip() or process.stderr.strip()[-200:]
        whole = scene.store.live().name == before and scene.store.pair(before).state == "live"
        step.say(message, ok=process.returncode == 0 and whole)
    with reading(scene.store, scene.opener, LIVE, _SEARCHERS) as searchers:
        await_warm(scene.store, LIVE, searchers, scene.source, scene.target)
        order_time = time.time()
        scene.roll_back()
        scene.answered(searchers, order_time)
    scene.check("pass")
    return "refused whole while nothing could be written, done once there was room"


def bad_pair(scene: Scene) -> str:
    """A pair of a bad model is promoted: the store's own policy has to decide against it, by what it measures."""
    with scene.watch.phase("bad pair live") as step:
        name = plant(scene.store)
        step.say(f"{name} ({BAD_EMBEDDER}) serves in the copy")
    texts = texts_to_ask(scene.store)
    with scene.store.searcher() as searcher, scene.watch.phase("policy") as step:
        firing = fire(scene.store, scene.policy, texts, searcher.search)
        if firing is None:
            step.say(f"{len(texts)} queries asked again and again, and the policy saw nothing", ok=False)
            return "this policy would not have noticed the bad pair"
        kind = firing.decision.kind
        step.say(
            f"{kind} {firing.seconds:.0f} s after the promote, bake time included: {firing.decision.reason}",
            ok=kind in ("rollback", "approve"),
        )
    if kind == "alert":
        return "this policy would only have told people"
    if kind == "approve":
        return f"this policy would have asked for a rollback after {firing.seconds:.0f} s"
    scene.roll_back(back=True)
    return f"this policy would have rolled back after {firing.seconds:.0f} s"


CHAOS: Mapping[str, Callable[[Scene], str]] = {
    "bad-pair": bad_pair,
    "files-gone": files_gone,
    "model-unloadable": model_unloadable,
    "catalog-slow": catalog_slow,
    "searcher-hung": searcher_hung,
    "foreign-vectors": foreign_vectors,
    "disk-full": disk_full,
}


def _remove_files(scene: Scene) -> int:
    """What only the failed pair needs; the copy's links go, the store's own files stay."""
    root, artifacts = scene.store.root, LocalArtifacts(scene.store.root / "artifacts")
    names_by_owner: dict[bool, set[str]] = {True: set(), False: set()}
    for one in scene.store.snapshots():
        names = {one.manifest, *load_manifest(artifacts, one.manifest).artifacts()}
        names_by_owner[one.pair == scene.source_pair] |= names
    names_of_source = names_by_owner[True] - names_by_owner[False]
    for name in names_of_source:
        path = artifacts.path(name)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(root / "tables" / f"{vectors_table(scene.source_pair)}.lance")
    return len(names_of_source) + 1


def _poison(scene: Scene) -> int:
    """Write vectors that the pair's model did not make, as its own: a batch with a lying fingerprint."""
    pair = scene.store.pair(scene.target_pair)
    catalog = Catalog(scene.store.root)
    vectors = Vectors(LocalFileStore(scene.store.root / "tables" / f"{vectors_table(pair.name)}.lance"), pair.dimension)
    keys = vectors.keys(pair.vectors_version)
    chance = np.random.default_rng(0)
    ids = sorted(set(keys["doc_id"].to_pylist()))
    victims = set(chance.choice(ids, max(1, int(_FOREIGN_SHARE * len(ids))), replace=False).tolist())
    rows = keys.filter(pa.compute.is_in(keys["doc_id"], pa.array(sorted(victims))))
    rows = rows.filter(pa.compute.greater_equal(rows["ordinal"], 0))
    noise = chance.standard_normal((rows.num_rows, pair.dimension)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    table = rows.set_column(rows.schema.get_field_index("batch"), "batch", pa.array(np.asarray(rows["batch"]) + 1))
    table = table.append_column("fingerprint", pa.array([pair.fingerprint] * rows.num_rows))
    table = table.append_column("vector", pa.FixedSizeListArray.from_arrays(pa.array(noise.ravel()), pair.dimension))
    commit = vectors.append(table.cast(schema(pair.dimension)), known=pair.vectors_version)
    catalog.pairs.advance(
        pair.name,
        watermark=pair.watermark,
        vectors_version=commit.version,
        expected=pair.vectors_version,
        files=commit.files,
    )
    catalog.close()
    return len(victims)


@contextmanager
def _hogging(path: Path) -> Iterator[None]:
    """Hold SQLite's write lock again and again."""
    stop, holding = threading.Event(), threading.Event()

    def hog() -> None:
        connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        until = time.monotonic() + _SLOW_SECONDS
        while not stop.is_set() and time.monotonic() < until:
            connection.execute("BEGIN IMMEDIATE")
            holding.set()
            time.sleep(_HELD_SECONDS)
            connection.execute("ROLLBACK")
            time.sleep(_FREE_SECONDS)
        connection.close()

    thread = threading.Thread(target=hog, daemon=True)
    thread.start()
    holding.wait()
    try:
        yield
    finally:
        stop.set()
        thread.join()
