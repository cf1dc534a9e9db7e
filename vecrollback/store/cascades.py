"""Letting a pair serve before it is whole: what `Store` does for `promote(by="cascade")` and while it goes on."""

from __future__ import annotations

import logging
import random
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from vecrollback.errors import (
    GateRefusedError,
    NoPairServesError,
    PairStateError,
    StoppedError,
    UsageError,
    VecrollbackError,
)
from vecrollback.records import (
    LIVE,
    Cascade,
    CascadeTrial,
    CatchUp,
    Effort,
    GateOutcome,
    GateVerdict,
    MoveRequest,
    Pair,
    Progress,
    ProgressCallback,
    Switched,
)

if TYPE_CHECKING:
    from vecrollback.catalog import Catalog
    from vecrollback.store.parts import Parts
    from vecrollback.switching.freezes import Freezes
    from vecrollback.switching.notifications import Notifications

_log = logging.getLogger(__name__)

GATE = "cascade"
_QUERIES_A_TURN = 5
_JOBS = ("reembed", "catch-up")


class CascadeMethods:
    """The methods of `Store` about pairs that serve before they are whole."""

    if TYPE_CHECKING:  # what `Store` has

        @property
        def _parts(self) -> Parts: ...
        @property
        def _catalog(self) -> Catalog: ...
        @property
        def freezes(self) -> Freezes: ...
        @property
        def notices(self) -> Notifications: ...
        def pair(self, pair: Pair | str) -> Pair: ...
        def _gated(self, record: Pair, request: MoveRequest, *, head: int) -> Switched: ...
        def _with_warning(self, switched: Switched, trouble: str = "") -> Switched: ...
        def bridge(self, a: Pair | str, b: Pair | str, *, seed: int | None = None) -> object: ...
        def rollback(self, to: Pair | str | None = None, *, reason: str, catch_up: bool = True) -> Switched: ...

    def cascades(self) -> list[Cascade]:
        """List the pairs that serve, or served, before they were whole.

        Returns:
            What is known of each, the newest first. `covered` of the corpus's documents have vectors of their own.

        Example:
            >>> store.cascades()
            []
        """
        return self._catalog.cascades.all()

    def _promote_by_cascade(
        self, pair: Pair, request: MoveRequest, budget: tuple[int, int], progress: ProgressCallback | None
    ) -> Switched:
        """Let a pair serve beside the one that is live, which names candidates for what it lacks."""
        live = self._catalog.aliases.get(LIVE)
        if live is None:
            raise NoPairServesError(
                "no pair is live yet, which could name candidates", hint=f"`vecrollback reembed ... --name {pair.name}`"
            )
        if min(budget) < 1:
            raise UsageError("a budget of less than one text embeds nothing", hint="--per-query 50 --per-second 100")
        self._parts.switch.gate(replace(pair, snapshot=pair.snapshot or 1), request)  # what state it is in, and why
        if not self._parts.builder.is_whole(self.pair(live.pair)):
            raise PairStateError(
                f"pair {live.pair!r}, which serves, is not whole itself: it cannot name candidates for another one",
                hint=f"`vecrollback catch-up {live.pair}` first, or `vecrollback rollback`",
            )
        for job in self._catalog.jobs.all(unfinished=True):
            if job.pair == pair.name and job.kind in _JOBS:
                self._catalog.jobs.cancel(job.id)  # what it has embedded is here already; the rest goes on beside
        head = self._catalog.ledger.state().head
        pair = self._parts.builder.begin_to_serve(pair, self.pair(live.pair))
        cascade = Cascade(pair.name, live.pair, *budget)
        trial, trouble = self._tried(cascade, progress)
        self._refuse_worse(pair, trial, trouble, request, live.epoch)
        self._catalog.cascades.begin(replace(cascade, trial=replace(trial, accepted=trial.verdict == "fail")))
        pair = self.pair(pair)
        self._catalog.cascades.count(pair.name, covered=self._parts.builder.covered(pair.name))
        switched = self._gated(pair, _with_trial(request, trial, trouble), head=head)
        return self._with_warning(switched, self._learn_bridge_back(pair, live.pair))

    def _tried(self, cascade: Cascade, progress: ProgressCallback | None) -> tuple[CascadeTrial, str]:
        """The trial, and why there is none where the model of one of the two does not answer."""
        seed = random.randrange(1 << 31)
        try:
            watch = partial(_tell, progress)
            return self._parts.cascade_trials.run(cascade, seed=seed, watch=watch), ""
        except StoppedError:
            raise
        except (VecrollbackError, OSError, ImportError) as error:
            # The pair before may be without a model: then nothing can be compared, and a person may decide.
            return CascadeTrial(seed), str(error)

    def _registered(self, pair: Pair | str, embedder: str) -> Pair:
        """The pair of that name and model, which is made if there is none. Nothing is embedded."""
        from vecrollback.reembedding.builder import BuildRequest

        return self._parts.builder.begin(BuildRequest(embedder, name=pair if isinstance(pair, str) else pair.name))

    def _grows(self, pair: Pair) -> bool:
        """Whether it serves, or did, and is not known to be whole."""
        cascade = self._catalog.cascades.find(pair.name)
        return cascade is not None and cascade.ended_at is None and pair.state in ("live", "standby")

    def _refuse_worse(self, pair: Pair, trial: CascadeTrial, trouble: str, request: MoveRequest, epoch: int) -> None:
        """Raise GateRefusedError for a pair that was not shown to be better, unless a reason overrides that."""
        outcome = _outcome(trial, trouble)
        if outcome.outcome == "pass" or (request.override and request.reason):
            return
        from vecrollback.quality.evaluation.query_sets import LEAST_QUERIES

        verdict = GateVerdict(pair.name, pair.snapshot, (outcome,), "", epoch)
        self._catalog.gatekeeping.refused(verdict, request.actor)
        more = f"; {LEAST_QUERIES} golden queries with answers can let it serve"
        raise GateRefusedError(
            f"pair {pair.name!r} does not serve by cascade: {outcome.sentence}",
            hint="build it whole (what the trial has embedded is kept), or --override with a --reason"
            + ("" if trouble or trial.kind == "golden" else more),
        )

    def _learn_bridge_back(self, pair: Pair, source: str) -> str:
        """Learn the way into the old space, for the day on which the old pair's model does not answer."""
        from vecrollback.pairs.bridges import LEAST_TEXTS

        if self._catalog.ledger.state().documents < LEAST_TEXTS:
            return ""
        try:
            self.bridge(pair, source)
        except Exception as error:  # whatever it is: the move stands, and a caller must not take it for failed
            return f"there is no bridge from {pair.name} to {source}: {error}"
        return ""

    def _fill(self, pair: Pair, job: str, progress: ProgressCallback | None, effort: Effort) -> CatchUp:
        """Make a pair whole that serves already, and look between two turns whether it still may serve."""
        done = self._parts.builder.fill(pair, job, progress, effort=effort, between=lambda: self._look_again(pair.name))
        live = self._catalog.aliases.get(LIVE)
        cascade = self._catalog.cascades.find(pair.name)
        if cascade is not None and live is not None and live.pair == pair.name:
            self._learn_ways(pair.name, cascade.source)
        return done

    def _learn_ways(self, pair: str, source: str) -> None:
        """Both bridges, as every promote learns them: only now has the new pair enough to learn from."""
        for a, b in ((pair, source), (source, pair)):
            try:
                self.bridge(a, b)
            except (VecrollbackError, OSError, ImportError):  # it is whole and serves; `bridges` shows which there are
                continue

    def _look_again(self, name: str) -> None:
        """Ask a few more queries of both; go back where the cascade is shown to be worse."""
        cascade = self._catalog.cascades.find(name)
        live = self._catalog.aliases.get(LIVE)
        if cascade is None or cascade.ended_at or live is None or live.pair != name:
            return
        try:
            trial = self._parts.cascade_trials.go_on(cascade, _QUERIES_A_TURN)
        except (VecrollbackError, OSError, ImportError) as error:
            # The model of the pair before is gone, as a rule: that is no reason not to build the one after it.
            _log.warning("%s is not compared with %s: %s", name, cascade.source, error)
            return
        if trial != cascade.trial:
            self._catalog.cascades.judge(name, trial)
        if trial.verdict == "fail" and not trial.accepted:
            self._end_worse(cascade, trial, first=cascade.trial.verdict != "fail")

    def _end_worse(self, cascade: Cascade, trial: CascadeTrial, *, first: bool) -> None:
        """Go back to the pair before; where that cannot be now, the next look tries again. Raises StoppedError."""
        why = f"by cascade {cascade.pair} answers worse than {cascade.source}: {_outcome(trial).sentence}"
        obstacle = self.freezes.warning()
        if not obstacle:
            try:
                self.rollback(cascade.source, reason=why, catch_up=False)
            except VecrollbackError as error:
                obstacle = str(error)
        if obstacle:
            _log.warning("%s; no rollback: %s", why, obstacle)
            if first:
                self.notices.tell("alert", f"{why}; no rollback: {obstacle}")
                self.notices.send_soon()
            return
        self._catalog.cascades.end(cascade.pair, why)
        raise StoppedError(
            why, hint=f"`vecrollback reembed ... --name {cascade.pair}` builds it whole; then promote it"
        )


def _tell(progress: ProgressCallback | None, asked: int, most: int) -> None:
    if progress is not None:
        progress(Progress("", "trying it with queries", asked, most, 0, 0, 0, 0.0))


def _outcome(trial: CascadeTrial, trouble: str = "") -> GateOutcome:
    """What it shows. `trouble`: why it could not be made."""
    facts = trial.payload
    if trouble:
        return GateOutcome(GATE, "unknown", f"it cannot be compared with the pair before: {trouble}")
    if not trial.new:
        return GateOutcome(GATE, "unknown", "there is no query to try it with")
    sentence = (
        f"nDCG@10 {facts['ndcg@10']:.3f} against {facts['old']:.3f} of the pair before, {facts['queries']} "
        f"{facts['kind']} queries, error at most 0.05"
    )
    if trial.kind == "generated" and trial.verdict == "unknown":
        sentence += "; generated ones can show that it is worse, and not that it is better"
    return GateOutcome(GATE, trial.verdict, sentence)


def _with_trial(request: MoveRequest, trial: CascadeTrial, trouble: str) -> MoveRequest:
    """The request; what did not pass becomes part of its reason, and so of the history."""
    outcome = _outcome(trial, trouble)
    said = "" if outcome.outcome == "pass" else f" (override of {GATE}: {outcome.outcome})"
    return replace(request, reason=f"{request.reason}{said}")
