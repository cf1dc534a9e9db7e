"""Promote, rollback, restore: gate, compare-and-set, acknowledgements.

A rollback depends on the catalog and on the target's own files. It loads no model, opens no index and reads no
vectors, so it works while everything about the failed pair is broken, and takes as long for a million documents as
for ten.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from vecrollback.catalog import Catalog
from vecrollback.errors import (
    AliasMovedError,
    CheckRefusedError,
    CorruptArtifactError,
    NoRollbackTargetError,
    PairStateError,
    QuarantinedError,
    StorageUnavailableError,
    UnknownNameError,
    UsageError,
)
from vecrollback.pairs.manifest import Manifest, load_manifest
from vecrollback.records import (
    CANDIDATE,
    LIVE,
    Acknowledgements,
    AliasTarget,
    Move,
    MoveKind,
    MoveRequest,
    Pair,
    PairState,
    Report,
    Snapshot,
    SnapshotRef,
    Switched,
)
from vecrollback.storage.artifacts import Artifacts

_POLL_SECONDS = 0.002


class Switch:
    """Moves `live`. Each move takes model and index together, because a pair is both."""

    def __init__(self, catalog: Catalog, artifacts: Artifacts) -> None:
        self._catalog, self._artifacts = catalog, artifacts

    # -- forward ------------------------------------------------------------------------------------------------------

    def gate(self, pair: Pair, request: MoveRequest, report: Report | None = None) -> None:
        """Refuse a promote that the pair's state forbids, or its check."""
        if pair.state in ("building", "retired") or not pair.snapshot:
            raise PairStateError(
                f"pair {pair.name!r} is {pair.state} and cannot serve",
                hint=f"finish it: `vecrollback reembed {pair.embedder!r} --name {pair.name}`",
            )
        if pair.state == "quarantined" and not (request.override and request.reason):
            raise QuarantinedError(
                f"pair {pair.name!r} was rolled back from: {pair.state_reason}",
                hint="build a better one; or promote it again with --override and a --reason",
            )
        if report is not None and report.verdict != "pass" and not (request.override and request.reason):
            found = "; ".join(f.message for f in report.findings[:3]) or "nothing was certain"
            raise CheckRefusedError(
                f"the check of pair {pair.name!r} says {report.verdict}: {found}",
                hint=f"`vecrollback check {pair.name}` has it all, `vecrollback repair {pair.name}` mends it",
            )

    def promote(self, pair: Pair, report: Report, request: MoveRequest) -> Switched:
        """Move `live` forward to a pair that passed `report`. Searchers load it before the move, not at it."""
        self.gate(pair, request, report)
        if pair.state == "quarantined":
            self._catalog.pairs.set_state(pair.name, "ready", f"out of quarantine: {request.reason}")
        snapshot, _ = self._verified(pair.ref)
        live = self._catalog.aliases.get(LIVE)
        if request.gated and request.gated.live != (live.pair if live else ""):  # it was measured against another one
            raise AliasMovedError(LIVE, expected=request.gated.epoch, found=live.epoch if live else 0)
        if live and live.ref == pair.ref:
            raise PairStateError(f"pair {pair.ref} is live already", hint="nothing to do")
        self._warm(snapshot, request)
        states: dict[str, tuple[PairState, str]] = {}
        for other in self._catalog.pairs.all():
            if other.state == "standby":
                states[other.name] = ("ready", "")
        if live:
            states[live.pair] = ("standby", f"live until {pair.name} was promoted")
        return self._move("promote", live, snapshot, states | {pair.name: ("live", "")}, request)

    def _warm(self, snapshot: Snapshot, request: MoveRequest) -> None:
        """Point `candidate` at the snapshot and wait until every live searcher holds it open."""
        candidate = self._catalog.aliases.get(CANDIDATE)
        if candidate is None or candidate.ref != snapshot.ref:
            epoch = candidate.epoch if candidate else 0
            reason = ": ".join(filter(None, ("to be promoted", request.reason)))
            load = MoveRequest(reason, request.actor, expected_epoch=epoch, alias=CANDIDATE, target=_ref(snapshot))
            self._catalog.aliases.move(load)
        deadline = time.monotonic() + request.warm_seconds
        while time.monotonic() < deadline:
            if all(snapshot.ref in searcher.warm for searcher in self._catalog.searchers.alive(LIVE)):
                return
            time.sleep(_POLL_SECONDS)
        cold = [f"{r.host}:{r.pid}" for r in self._catalog.searchers.alive(LIVE) if snapshot.ref not in r.warm]
        if cold and not request.override:
            raise PairStateError(
                f"{len(cold)} searcher(s) did not load {snapshot.ref} in {request.warm_seconds:.0f} s: "
                f"{', '.join(cold)}",
                hint="see their logs (is the model on that host?), or promote with --override",
            )

    # -- back ---------------------------------------------------------------------------------------------------------

    def rollback(self, to: str | None, request: MoveRequest) -> Switched:
        """Move `live` back to a pair it served before; the pair it leaves is quarantined.

        Without `to`: the pair that served last, passed its last check, is not quarantined and has its files.
        Raises AliasMovedError, and NoRollbackTargetError, which says for each pair why not.
        """
        live = self._live()
        _require_epoch(request, live.epoch)
        target = self.target(to, override=request.override)
        states: dict[str, tuple[PairState, str]] = {
            live.pair: ("quarantined", request.reason),
            target.pair: ("live", ""),
        }
        return self._move("rollback", live, target, states, request)

    def target(self, to: str | None = None, *, override: bool = False) -> Snapshot:
        """The snapshot a rollback would go to now. Reads the catalog and looks at files; changes nothing."""
        live = self._live()
        served = self._served_before(live.pair)
        if to is not None:
            pair = self._catalog.pairs.get(to)
            if to not in served and not override:
                raise NoRollbackTargetError(
                    f"pair {to!r} never served {LIVE!r}", hint=f"go forward to it: `vecrollback promote {to}`"
                )
            served = [pair.name]
        reasons = {}
        for name in served:
            reasons[name] = self.unfit(name, override=override and to is not None)
            if not reasons[name]:
                return self._catalog.pairs.find_snapshot(self._catalog.pairs.get(name).ref)
        why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise NoRollbackTargetError(
            f"no pair is fit to roll back to. {why or f'No other pair ever served {LIVE!r}'}",
            hint="mend one (`vecrollback check PAIR`, `vecrollback repair PAIR`), name one with --to and --override, "
            "or `vecrollback restore PAIR@N`",
        )

    def restore(self, ref: str, request: MoveRequest) -> Switched:
        """Move `live` to one exact snapshot, with the vectors it had when it was taken.

        Documents deleted since stay deleted; catch-up brings in what changed since, from vectors that exist.
        """
        snapshot, manifest = self._verified(ref)
        live = self._catalog.aliases.get(LIVE)
        _require_epoch(request, live.epoch if live else 0)
        states: dict[str, tuple[PairState, str]] = {snapshot.pair: ("live", "")}
        if live and live.pair != snapshot.pair:
            states[live.pair] = ("standby", f"live until {snapshot.ref} was restored")
        head = (manifest.watermark, manifest.vectors_version)
        return self._move("restore", live, snapshot, states, request, head=head)

    def _served_before(self, live: str) -> list[str]:
        """Names of pairs that served, the most recent first."""
        names = [SnapshotRef.parse(move.target).pair for move in self._catalog.aliases.history(LIVE)]
        return [name for name in dict.fromkeys(names) if name != live]

    def unfit(self, name: str, *, override: bool = False) -> str:
        """Why a pair cannot be rolled back to; empty when it can."""
        pair = self._catalog.pairs.find(name)
        if pair is None or pair.state in ("building", "retired"):
            return f"it is {pair.state}" if pair else "it was pruned"
        if pair.state == "quarantined" and not override:
            return f"it is quarantined ({pair.state_reason})"
        verdict = self._catalog.reports.verdicts().get(name)
        if verdict != "pass" and not override:
            return f"its last check says {verdict}" if verdict else "it was never checked"
        try:
            self._verified(pair.ref)
        except (CorruptArtifactError, UnknownNameError) as error:
            return str(error)
        except StorageUnavailableError:
            return ""  # nothing says that its files are gone, and searchers hold it open: law 7
        return ""

    # -- rehearsing ---------------------------------------------------------------------------------------------------

    def stage(self, alias: str, request: MoveRequest) -> Snapshot:
        """Point a scratch alias where `live` points, for a rehearsal."""
        live = self._live()
        here = SnapshotRef(live.pair, live.snapshot)
        self._catalog.aliases.move(replace(request, expected_epoch=0, alias=alias, kind="set", target=here))
        return self._catalog.pairs.find_snapshot(live.ref)

    def rehearse(self, alias: str, target: Snapshot, request: MoveRequest) -> Switched:
        """Move a scratch alias as a rollback moves `live`, until its searchers follow; no pair's state changes."""
        return self._move("rollback", self._catalog.aliases.get(alias), target, {}, request, alias=alias)

    # -- both ---------------------------------------------------------------------------------------------------------

    def _live(self) -> AliasTarget:
        live = self._catalog.aliases.get(LIVE)
        if live is None:
            raise NoRollbackTargetError(f"alias {LIVE!r} points nowhere yet", hint="`vecrollback promote PAIR` first")
        return live

    def _verified(self, ref: str) -> tuple[Snapshot, Manifest]:
        """A snapshot whose manifest is sound and whose files are there."""
        snapshot = self._catalog.pairs.find_snapshot(ref)
        manifest = load_manifest(self._artifacts, snapshot.manifest)
        for name in manifest.artifacts():
            self._artifacts.expect(name)
        return snapshot, manifest

    def _move(
        self,
        kind: MoveKind,
        live: AliasTarget | None,
        target: Snapshot,
        states: Mapping[str, tuple[PairState, str]],
        request: MoveRequest,
        *,
        head: tuple[int, int] | None = None,
        alias: str = LIVE,
    ) -> Switched:
        if not request.reason and kind != "promote":
            raise UsageError(f"a {kind} needs a reason", hint="--reason 'what was wrong'; it is kept in the history")
        expected = {searcher.id for searcher in self._catalog.searchers.alive(alias)}
        started = time.perf_counter()
        epoch = live.epoch if live else 0
        move = self._catalog.aliases.move(
            replace(
                request,
                expected_epoch=epoch,
                alias=alias,
                kind=kind,
                target=_ref(target),
                states=states,
                head=head,
            )
        )
        searchers = self._await_searchers(move, expected, request.wait_seconds)
        pair = self._catalog.pairs.get(target.pair)
        return Switched(
            move=move,
            switch_ms=(time.perf_counter() - started) * 1000,
            searchers=searchers,
            lag=self._catalog.ledger.state().head - pair.watermark,
            gates=request.gated.outcomes if request.gated else (),
        )

    def _await_searchers(self, move: Move, expected: set[str], seconds: float) -> Acknowledgements:
        """Wait until every expected searcher has applied the move or left; one that hangs is named as missing."""
        deadline = time.monotonic() + seconds
        while True:
            registered = self._catalog.searchers.registered(move.alias)
            late = [r for r in registered if r.id in expected and r.epoch < move.epoch]
            if not late or time.monotonic() > deadline:
                names = tuple(f"{r.host}:{r.pid}" for r in late)
                return Acknowledgements(len(expected), len(expected) - len(late), names)
            time.sleep(_POLL_SECONDS)


def _require_epoch(request: MoveRequest, found: int) -> None:
    """Raise AliasMovedError when the request was decided on another epoch than this."""
    if request.expected_epoch not in (None, found):
        raise AliasMovedError(LIVE, expected=request.expected_epoch or 0, found=found)


def _ref(snapshot: Snapshot) -> SnapshotRef:
    return SnapshotRef(snapshot.pair, snapshot.number)
