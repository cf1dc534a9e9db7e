"""Promote, rollback, restore: gate, compare-and-set, acknowledgements.

A rollback depends on the catalog and on the target's own files. It loads no model, opens no index and reads no
vectors, so it works while everything about the failed pair is broken, and takes as long for a million documents as
for ten.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
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
    VecrollbackError,
)
from vecrollback.pairs.manifest import Manifest, load_manifest
from vecrollback.records import (
    CANDIDATE,
    LIFTED,
    LIVE,
    Acknowledgements,
    AliasTarget,
    ModelAnswer,
    Move,
    MoveRequest,
    Pair,
    PairFacts,
    PairState,
    Report,
    RestorePlan,
    SearcherRecord,
    Snapshot,
    SnapshotRef,
    Switched,
    SwitchState,
)
from vecrollback.storage.artifacts import Artifacts
from vecrollback.storage.spans import span
from vecrollback.storage.steps import step

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.002
_WORSE = "staying is not worse, so far as that was measured"
_UNSHOWN = "that it is better than staying was not shown"


class Switch:
    """Moves `live`. Each move takes model and index together, because a pair is both.

    Listeners are called with every move of `live` that this object has made, whoever ordered it; before them
    `native_alias`, which moves the name that a database has for what is live.
    """

    def __init__(
        self, catalog: Catalog, artifacts: Artifacts, bridges_serve: Callable[[], bool] = lambda: False
    ) -> None:
        self._catalog, self._artifacts, self._bridges_serve = catalog, artifacts, bridges_serve
        self._listeners: list[Callable[[Switched], None]] = []
        self.native_alias: Callable[[], object] = lambda: None

    # -- forward ------------------------------------------------------------------------------------------------------

    def gate(self, pair: Pair, request: MoveRequest, report: Report | None = None) -> None:
        """Refuse a promote that the pair's state forbids, or its check."""
        if pair.state == "retired" or not pair.snapshot:
            raise PairStateError(
                f"pair {pair.name!r} is {pair.state} and cannot serve",
                hint=f"finish it: `vecrollback reembed {pair.embedder!r} --name {pair.name}`",
            )
        if pair.quarantined and not (request.override and request.reason):
            raise QuarantinedError(
                f"pair {pair.name!r} was rolled back from: {pair.state_reason}",
                hint="build a better one; or promote it again with --override and a --reason",
            )
        if report is not None and report.verdict != "pass" and not (request.override and request.reason):
            problems = "; ".join(f.message for f in report.findings[:3]) or "nothing was certain"
            raise CheckRefusedError(
                f"the check of pair {pair.name!r} says {report.verdict}: {problems}",
                hint=f"`vecrollback check {pair.name}` has it all, `vecrollback repair {pair.name}` mends it",
            )

    def promote(self, pair: Pair, report: Report, request: MoveRequest) -> Switched:
        """Move `live` forward to a pair that passed its check. Searchers load it before the move, not at it.

        Args:
            pair: The pair as it was checked.
            report: Of its check.
            request: Why, by whom, with which verdict of the gates.

        Returns:
            What happened, up to the searchers' acknowledgement.

        Raises:
            PairStateError: The pair cannot serve, is live already, or some searcher could not load it.
            QuarantinedError: It was rolled back from, and nothing overrides that.
            CheckRefusedError: The report does not pass, and nothing overrides that.
            CorruptArtifactError: A file of its snapshot is missing.
            AliasMovedError: `live` moved since the gates were looked at.
        """
        state = self._catalog.switch_state(ref=pair.ref, pair=pair.name, standbys=True)
        assert state.named is not None
        now = state.named.pair or pair
        self.gate(now, request, report)  # as it is now: while the gates looked, it may have been rolled back from
        with self._lifted(now, request) if now.quarantined else contextlib.nullcontext(now.state) as found:
            return self._promote(pair, state, found, request)

    @contextlib.contextmanager
    def _lifted(self, pair: Pair, request: MoveRequest) -> Iterator[PairState]:
        """Let searchers load a quarantined pair. Should it not come to serve, it is quarantined again."""
        self._catalog.pairs.set_state(pair.name, "ready", f"{LIFTED}{request.reason}", expected=pair.state)
        try:
            yield "ready"
        except BaseException:
            # Once the move is made it is "ready" no more. Of a process that is killed the reason stays, which says all.
            with contextlib.suppress(VecrollbackError):
                self._catalog.pairs.set_state(pair.name, "quarantined", pair.state_reason, expected="ready")
            raise

    def _promote(self, pair: Pair, state: SwitchState, found: PairState, request: MoveRequest) -> Switched:
        """Have every searcher load the pair, then move, if it is still in the state in which it was found."""
        snapshot, _ = self._verified(state.snapshot, pair.ref)
        live = state.target
        if request.gated and request.gated.live != (live.pair if live else ""):  # it was measured against another one
            raise AliasMovedError(LIVE, expected=request.gated.epoch, found=state.epoch)
        if live and live.ref == pair.ref:
            raise PairStateError(f"pair {pair.ref} is live already", hint="nothing to do")
        # Loading takes seconds or minutes, so it comes before the move: law 8, forward is gradual.
        with step(f"waiting until every searcher has loaded {snapshot.ref}"):
            searchers = self._warm(snapshot, state.aliases.get(CANDIDATE), request)
        states: dict[str, tuple[PairState, str]] = dict.fromkeys(state.standbys, ("ready", ""))
        if live:
            states[live.pair] = ("standby", f"live until {pair.name} was promoted")
        states[pair.name] = ("live", "")
        move = replace(request, kind="promote", states=states, requires={pair.name: found})
        return self._move(replace(state, searchers=tuple(searchers)), snapshot, pair.watermark, move)

    def _warm(self, snapshot: Snapshot, candidate: AliasTarget | None, request: MoveRequest) -> list[SearcherRecord]:
        """Point `candidate` at the snapshot and wait until every live searcher holds it open; returns those."""
        if candidate is None or candidate.ref != snapshot.ref:
            epoch = candidate.epoch if candidate else 0
            reason = ": ".join(filter(None, ("to be promoted", request.reason)))
            load = MoveRequest(reason, request.actor, expected_epoch=epoch, alias=CANDIDATE, target=_ref(snapshot))
            self._catalog.aliases.move(load)
        deadline = time.monotonic() + request.warm_seconds
        while True:
            searchers = self._catalog.searchers.alive(LIVE)
            cold = [f"{one.host}:{one.pid}" for one in searchers if snapshot.ref not in one.warm]
            if not cold or time.monotonic() >= deadline:
                break
            time.sleep(_POLL_SECONDS)
        if cold and not request.override:
            raise PairStateError(
                f"{len(cold)} searcher(s) did not load {snapshot.ref} in {request.warm_seconds:.0f} s: "
                f"{', '.join(cold)}",
                hint="see their logs (is the model on that host?), or promote with --override",
            )
        return searchers

    # -- back ---------------------------------------------------------------------------------------------------------

    def rollback(self, to: str | None, request: MoveRequest) -> Switched:
        """Move `live` back to a pair it served before; the pair it leaves is quarantined.

        Args:
            to: Name of the pair. None takes the one that served last, passed its last check, is not quarantined and
                has its files.
            request: Why and by whom.

        Returns:
            What happened, up to the searchers' acknowledgement.

        Raises:
            AliasMovedError: Somebody has moved `live` since this was decided; nothing moved.
            NoRollbackTargetError: No pair is fit; it says for each why not.
            UnknownNameError: There is no pair `to`.
            UsageError: The request gives no reason.
        """
        state, target, facts = self._decide(to, override=request.override, expected=request.expected_epoch)
        assert state.target is not None and facts.pair is not None
        states: dict[str, tuple[PairState, str]] = {
            state.target.pair: ("quarantined", request.reason),
            target.pair: ("live", ""),
        }
        outcome = self._move(state, target, facts.pair.watermark, replace(request, kind="rollback", states=states))
        return replace(outcome, bridge=facts.bridge if facts.bridge and self._bridges_serve() else None)

    def target(self, to: str | None = None, *, override: bool = False) -> Snapshot:
        """The snapshot that a rollback would go to now. Reads the catalog and looks at files; changes nothing.

        Args:
            to: Name of the pair to go back to, instead of the last fit one.
            override: Whether a reason would pass a quarantine and a failed check of the pair `to`.

        Returns:
            The snapshot.

        Raises:
            NoRollbackTargetError: No pair is fit; it says for each why not.
            UnknownNameError: There is no pair `to`.
        """
        return self._decide(to, override=override)[1]

    def _decide(
        self, to: str | None, *, override: bool, expected: int | None = None
    ) -> tuple[SwitchState, Snapshot, PairFacts]:
        """The state that a rollback decides on, and where it goes. Pairs whose files are gone are passed over."""
        damages: dict[str, str] = {}
        forgiving = override and to is not None

        def unfit(facts: PairFacts) -> str:
            return damages.get(facts.name) or _unfit(facts, override=forgiving, bridged=self._bridges_serve)

        # A pair's files can be looked at only once the catalog has named it. Where they are gone, the next decision is
        # made on a new state; mostly the first pair is fit, and one read is all.
        while True:
            state = self._catalog.switch_state(
                pair=to, until=None if to is not None else lambda facts: not unfit(facts)
            )
            if state.target is None:
                raise NoRollbackTargetError(
                    f"alias {LIVE!r} points nowhere yet", hint="`vecrollback promote PAIR` first"
                )
            self._require_undecided(state, expected)
            choices = (self._find_named(state, override),) if to is not None else state.before
            if not choices or unfit(choices[-1]):
                raise _nowhere({facts.name: unfit(facts) for facts in choices})
            choice = choices[-1]
            damage = self._damage(choice)
            if not damage:
                assert choice.snapshot is not None
                return state, choice.snapshot, choice
            damages[choice.name] = damage

    def _find_named(self, state: SwitchState, override: bool) -> PairFacts:
        """The pair that was named for a rollback. Raises UnknownNameError, NoRollbackTargetError."""
        facts = state.named
        assert facts is not None
        if facts.pair is None:
            self._catalog.pairs.get(facts.name)  # it says which there are
        if facts == state.live:
            raise NoRollbackTargetError(f"pair {facts.name!r} is live already", hint="leave --to out, or name another")
        if facts.tenure is None and not override:
            hint = f"go forward to it: `vecrollback promote {facts.name}`"
            raise NoRollbackTargetError(f"pair {facts.name!r} never served {LIVE!r}", hint=hint)
        return facts

    def restore(self, ref: str, request: MoveRequest) -> Switched:
        """Move `live` to one exact snapshot, with the vectors it had when it was taken.

        Documents deleted since stay deleted; catch-up brings in what changed since, from vectors that exist.

        Args:
            ref: The snapshot: `PAIR@N`, `PAIR` (the one it serves from), or a tag.
            request: Why and by whom.

        Returns:
            What happened, up to the searchers' acknowledgement.

        Raises:
            AliasMovedError: Somebody has moved `live` since this was decided; nothing moved.
            UnknownNameError: There is no such snapshot.
            PairStateError: Its model did not answer when it was asked lately, and nothing overrides that.
            CorruptArtifactError: A file of it is missing, or its manifest was changed.
            UsageError: The request gives no reason.
        """
        state = self._catalog.switch_state(ref=ref)
        snapshot, manifest = self._verified(state.snapshot, ref)
        self._require_undecided(state, request.expected_epoch)
        if not request.override and (why := _silent(state.answer)):
            raise PairStateError(
                f"{snapshot.ref} could answer no query: {why}",
                hint=f"bring the model back and ask it: `vecrollback embedder ask {snapshot.pair}`; or --override",
            )
        states: dict[str, tuple[PairState, str]] = {snapshot.pair: ("live", "")}
        if state.target and state.target.pair != snapshot.pair:
            states[state.target.pair] = ("standby", f"live until {snapshot.ref} was restored")
        head = (manifest.watermark, manifest.vectors_version)
        move = replace(request, kind="restore", states=states, head=head)
        return self._move(state, snapshot, manifest.watermark, move)

    def plan_restore(self, ref: str) -> RestorePlan:
        """Tell what a restore of this snapshot would do now; moves nothing.

        Args:
            ref: The snapshot: `PAIR@N`, `PAIR` (the one it serves from), or a tag.

        Returns:
            What would serve, how old it is, and what stands in the way.

        Raises:
            UnknownNameError: There is no such snapshot.
        """
        state = self._catalog.switch_state(ref=ref)
        snapshot = state.snapshot or self._catalog.pairs.find_snapshot(ref)
        try:
            self._verified(snapshot, ref)
            silence = _silent(state.answer)
            obstacle = f"{snapshot.ref} could answer no query: {silence}" if silence else ""
        except (CorruptArtifactError, StorageUnavailableError) as error:
            obstacle = str(error)
        return RestorePlan(
            target=snapshot.ref,
            live=state.target.ref if state.target else None,
            epoch=state.epoch,
            taken_at=snapshot.created_at,
            watermark=snapshot.watermark,
            lag=state.head - snapshot.watermark,
            searchers=len(state.searchers),
            obstacle=obstacle,
        )

    def unfit(self, name: str) -> str:
        """Why a pair cannot be rolled back to, its model aside: whoever asks this proves the model now.

        Args:
            name: Of the pair.

        Returns:
            A sentence that begins with "it"; empty when it can.
        """
        facts = self._catalog.switch_state(pair=name).named
        assert facts is not None
        return _unfit(replace(facts, answer=None)) or self._damage(facts)

    def _damage(self, facts: PairFacts) -> str:
        """What is wrong with the files that a pair would serve from."""
        assert facts.pair is not None
        try:
            self._verified(facts.snapshot, facts.pair.ref)
        except (CorruptArtifactError, UnknownNameError) as error:
            return str(error)
        except StorageUnavailableError:
            return ""  # nothing says that its files are gone, and searchers hold it open: law 7
        return ""

    # -- rehearsing ---------------------------------------------------------------------------------------------------

    def stage(self, alias: str, request: MoveRequest) -> Snapshot:
        """Point a scratch alias where `live` points, for a rehearsal.

        Args:
            alias: A name that begins with `catalog.aliases.SCRATCH`. Drop it afterwards.
            request: Why and by whom.

        Returns:
            The snapshot that it points to.

        Raises:
            NoRollbackTargetError: `live` points nowhere yet.
        """
        live = self._catalog.switch_state().live
        if live is None or live.snapshot is None:
            raise NoRollbackTargetError(f"alias {LIVE!r} points nowhere yet", hint="`vecrollback promote PAIR` first")
        here = replace(request, expected_epoch=0, alias=alias, kind="set", target=_ref(live.snapshot))
        self._catalog.aliases.move(here)
        return live.snapshot

    def rehearse(self, alias: str, target: Snapshot, request: MoveRequest) -> Switched:
        """Move a scratch alias as a rollback moves `live`, until its searchers follow; no pair's state changes.

        Args:
            alias: The scratch alias.
            target: Where a rollback would go.
            request: Why and by whom.

        Returns:
            What happened.
        """
        state = self._catalog.switch_state(alias, pair=target.pair)
        assert state.named is not None
        watermark = state.named.pair.watermark if state.named.pair else target.watermark
        return self._move(state, target, watermark, replace(request, kind="rollback"))

    # -- both ---------------------------------------------------------------------------------------------------------

    def _verified(self, snapshot: Snapshot | None, ref: str) -> tuple[Snapshot, Manifest]:
        """A snapshot whose manifest is sound and whose files are there. Raises UnknownNameError for None."""
        if snapshot is None:
            snapshot = self._catalog.pairs.find_snapshot(ref)  # it says what there is
        manifest = load_manifest(self._artifacts, snapshot.manifest)
        for name in manifest.artifacts():
            self._artifacts.expect(name)
        return snapshot, manifest

    def _require_undecided(self, state: SwitchState, expected: int | None) -> None:
        """Raise AliasMovedError where somebody has moved the alias since epoch `expected`."""
        if expected not in (None, state.epoch) and self._catalog.aliases.switched_since(state.alias, expected or 0):
            raise AliasMovedError(state.alias, expected=expected or 0, found=state.epoch)

    def _move(self, state: SwitchState, target: Snapshot, watermark: int, request: MoveRequest) -> Switched:
        """Make the move that was decided on `state`. `watermark`: of the target's pair, once it is made."""
        if not request.reason and request.kind != "promote":
            raise UsageError(
                f"a {request.kind} needs a reason", hint="--reason 'what was wrong'; it is kept in the history"
            )
        with span("switch", kind=request.kind, alias=state.alias, target=target.ref) as note:
            outcome = self._make(state, target, watermark, request)
            note(epoch=outcome.epoch, searchers=outcome.searchers.expected, missing=len(outcome.searchers.missing))
        if outcome.alias == LIVE:
            if state.in_database:
                self.native_alias()
            self._tell(outcome)
        return outcome

    def _make(self, state: SwitchState, target: Snapshot, watermark: int, request: MoveRequest) -> Switched:
        """One compare-and-set, then the wait for the searchers that ran at the decision."""
        start = time.perf_counter()
        move = self._catalog.aliases.move(
            replace(request, expected_epoch=state.epoch, alias=state.alias, target=_ref(target))
        )
        # Only those that ran at the decision: a searcher that starts later begins with the new pointer.
        searchers = self._await_searchers(move, {one.id for one in state.searchers}, request.wait_seconds)
        return Switched(
            move=move,
            switch_ms=(time.perf_counter() - start) * 1000,
            searchers=searchers,
            lag=state.head - watermark,
            gates=request.gated.outcomes if request.gated else (),
        )

    def _tell(self, outcome: Switched) -> None:
        """Call who listens. The move stands, so what one raises is logged and never looks like a failed move."""
        for listener in self._listeners:
            try:
                listener(outcome)
            except Exception as error:
                _log.warning("the move to epoch %d: a listener failed: %s", outcome.epoch, error)

    def listen(self, call: Callable[[Switched], None]) -> None:
        """Have a function called with every move of `live` that this object has made, whoever ordered it."""
        self._listeners.append(call)

    def _await_searchers(self, move: Move, ids: set[str], seconds: float) -> Acknowledgements:
        """Wait until every expected searcher has applied the move or left; one that hangs is named as missing."""
        deadline = time.monotonic() + seconds
        while ids:
            searchers = self._catalog.searchers.registered(move.alias)
            # One that has left, or whose process on this host is gone, is not waited for: it answers nobody any more.
            late = [one for one in searchers if one.id in ids and one.epoch < move.epoch]
            if not late or time.monotonic() > deadline:
                names = tuple(f"{one.host}:{one.pid}" for one in late)
                return Acknowledgements(len(ids), len(ids) - len(late), names)
            time.sleep(_POLL_SECONDS)
        return Acknowledgements(0, 0)


def _unfit(facts: PairFacts, *, override: bool = False, bridged: Callable[[], bool] = lambda: False) -> str:
    """Why the catalog says that a pair cannot be rolled back to; empty when it does not.

    `bridged`: whether queries may come over a bridge, where the pair's own model is gone.
    """
    pair = facts.pair
    if pair is None or pair.state in ("building", "retired"):
        return f"it is {pair.state}" if pair else "it was pruned"
    if pair.quarantined and not override:
        return f"it is quarantined ({pair.state_reason})"
    if facts.verdict != "pass" and not override:
        return f"its last check says {facts.verdict}" if facts.verdict else "it was never checked"
    silent = _silent(facts.answer)
    if override or not silent:
        return ""
    if facts.bridge is None or not bridged():
        return silent
    why = _WORSE if facts.bridge.verdict == "stay" else _UNSHOWN
    return "" if facts.bridge.verdict == "bridge" else f"{silent}; {facts.bridge.sentence}: {why}"


def _silent(answer: ModelAnswer | None) -> str:
    """Why a pair could answer nothing now, by what its model did when somebody asked lately; empty when it did."""
    if answer is None or answer.standing != "fail":
        return ""
    return f"its model did not answer {answer.age:.0f} s ago, asked by {answer.host}: {answer.said}"


def _nowhere(unfit: Mapping[str, str]) -> NoRollbackTargetError:
    why = "; ".join(f"{name}: {reason}" for name, reason in unfit.items())
    return NoRollbackTargetError(
        f"no pair is fit to roll back to. {why or f'No other pair ever served {LIVE!r}'}",
        hint="mend one (`vecrollback check PAIR`, `vecrollback repair PAIR`), name one with --to and --override, "
        "or `vecrollback restore PAIR@N`",
    )


def _ref(snapshot: Snapshot) -> SnapshotRef:
    return SnapshotRef(snapshot.pair, snapshot.number)
