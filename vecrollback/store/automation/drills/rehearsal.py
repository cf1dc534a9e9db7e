"""The plain drill: everything a rollback does, on a scratch alias of the store itself."""

from __future__ import annotations

import time
import uuid

from vecrollback.catalog.aliases import SCRATCH
from vecrollback.errors import FailedError
from vecrollback.pairs.model_answers import ask_model
from vecrollback.pairs.rehearsals import room
from vecrollback.records import MoveRequest, Snapshot
from vecrollback.store.automation.drills.searchers import await_answer, await_warm, reading
from vecrollback.store.automation.drills.stopwatch import Stopwatch
from vecrollback.store.automation.operated_store import OperatedStore, StoreOpener
from vecrollback.switching.policy.model import Objectives
from vecrollback.switching.switch import Switch

_SEARCHERS = 2


def rehearse(
    store: OperatedStore, opener: StoreOpener, watch: Stopwatch, objectives: Objectives, actor: str
) -> tuple[str, str]:
    """Run every step; returns what was live and where the rollback went. Raises what a step raises."""
    alias = f"{SCRATCH}{uuid.uuid4().hex[:8]}"
    request, catalog = MoveRequest("a drill", actor), store.resources.catalog
    switch = Switch(catalog, store.resources.artifacts)
    try:
        with watch.phase("decide"):
            target = store.rollback_target()
        with watch.phase("model") as step:
            answer, _ = ask_model(catalog, store.resources.embedders, store.pair(target.pair))
            if answer.verdict == "fail":
                raise FailedError(f"{target.pair} could answer no query: {answer.said}")
            step.say(answer.said)
        source = switch.stage(alias, request)
        with reading(store, opener, alias, _SEARCHERS) as searchers:
            with watch.phase("searchers ready") as step:
                await_warm(store, alias, searchers, source.ref, target.ref)
                step.say(f"{len(searchers)} processes")
            with watch.phase("switch", objectives.switch) as step:
                order_time = time.time()
                outcome = switch.rehearse(alias, target, request)
                silent = outcome.searchers.missing
                step.say(
                    f"last of {outcome.searchers.expected} searchers after {outcome.switch_ms:.1f} ms", ok=not silent
                )
            with watch.phase("first right answer", objectives.switch) as step:
                step.seconds = await_answer(searchers, target.pair, order_time) - order_time
                step.say("of the slower searcher")
    finally:
        # Also after a failure: an alias keeps its snapshot from being pruned.
        catalog.aliases.drop(alias)
    _prove(store, watch, target.pair)
    parts = ("decide", "switch", "first right answer", "catch-up", "check")
    watch.total("whole", objectives.whole, "all of a rollback", *parts)
    _bundle(store, opener, watch, target)
    return source.ref, target.ref


def _prove(store: OperatedStore, watch: Stopwatch, pair: str) -> None:
    with watch.phase("catch-up") as step:
        catch_up = store.catch_up(pair, advance=False)
        step.say(f"{catch_up.documents} changes, {catch_up.embedded} texts embedded")
    with watch.phase("check") as step:
        report = store.check(pair)
        step.say(f"the check says {report.verdict}", ok=report.verdict == "pass")


def _bundle(store: OperatedStore, opener: StoreOpener, watch: Stopwatch, target: Snapshot) -> None:
    """Restore the target from a bundle into a store that has nothing, and check it there."""
    with room(store.resources) as folder:
        path = folder / "target.bundle"
        with watch.phase("bundle") as step:
            export = store.export_snapshot(target.ref, path)
            step.say(f"{export.bytes:,} bytes, {export.documents:,} documents")
        with (
            watch.phase("restore elsewhere") as step,
            opener.connect(folder / "store", catalog="", create=True) as other,
        ):
            other.import_snapshot(path)
            report = other.check(target.pair)
            step.say(f"the check there says {report.verdict}", ok=report.verdict == "pass")
