"""A pair tried on real traffic: forward step by step, back at once."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from vecrollback.catalog import Catalog
from vecrollback.errors import PairStateError, QuarantinedError, UnknownNameError, UsageError
from vecrollback.records import CANDIDATE, LIVE, Canary, CanaryRun, CanaryStatus, MoveRequest, Pair, SnapshotRef
from vecrollback.serving.shadow import ShadowObservations
from vecrollback.switching.canary.judge import CANARY_OUTCOME, LIVE_OUTCOME, judge
from vecrollback.switching.canary.settings import CanarySettings, from_mapping, load_policy
from vecrollback.switching.switch import Switch

__all__ = ["Canaries", "CanarySettings", "load_policy"]


class Canaries:
    """Starts, watches and ends the canary. Every searcher follows a change with its next query."""

    def __init__(self, root: Path, catalog: Catalog, switch: Switch, actor: str) -> None:
        self._root, self._catalog, self._switch, self._actor = root, catalog, switch, actor

    def start(self, pair: str, *, reason: str = "", override: bool = False, actor: str | None = None) -> CanaryStatus:
        """Start the canary: in shadow if the policy asks for that, else with the first step's share of the callers.

        Raises PairStateError while another one is tried, and for a pair that could not serve, is live, or was not
        checked as it is, unless `override`; QuarantinedError.
        """
        record, policy = self._catalog.pairs.get(pair), load_policy(self._root)
        request = MoveRequest(reason, actor or self._actor, override)
        baseline = self._admit(record, request)
        if not policy.shadow and not policy.steps:
            raise UsageError("the policy gives a canary no traffic", hint="[canary] needs `shadow` or `steps`")
        self._catalog.audits.add(request.actor, "canary.start", pair)
        step = 0 if policy.shadow else 1
        canary = CanaryRun(
            number=0,
            alias=LIVE,
            pair=pair,
            baseline=baseline,
            step=step,
            share=policy.steps[0] if step else 0.0,
            shadow=policy.shadow,
            salt=secrets.token_hex(8),
            policy={**asdict(policy), "steps": list(policy.steps)},
            since=0.0,
            started_at="",
            started_by=request.actor,
        )
        self._catalog.canaries.start(canary, self._loading(record, request))
        return self.status()

    def plan(self, pair: str) -> str:
        """Why `start` would be refused now; empty when it would not be. Changes nothing. Raises UnknownNameError."""
        record, policy = self._catalog.pairs.get(pair), load_policy(self._root)
        try:
            self._admit(record, MoveRequest("", self._actor))
        except (PairStateError, QuarantinedError) as error:
            return error.message
        return "" if policy.shadow or policy.steps else "the policy gives a canary no traffic"

    def _admit(self, pair: Pair, request: MoveRequest) -> str:
        """Check that this pair may be a canary, and return the live pair that it is compared with."""
        self._switch.gate(pair, request)
        live = self._catalog.aliases.get(LIVE)
        if live is None or live.pair == pair.name:
            raise PairStateError(
                f"pair {pair.name!r} is live already" if live else "nothing is live to try it against",
                hint="try another one" if live else f"`vecrollback promote {pair.name}`",
            )
        if not request.override and (why := self._switch.unfit(pair.name)):
            raise PairStateError(
                f"pair {pair.name!r} cannot be tried: {why}", hint=f"`vecrollback check {pair.name}`, or --override"
            )
        if (running := self._catalog.canaries.running(LIVE)) is not None:  # and making another candidate would end it
            raise PairStateError(
                f"pair {running.pair!r} is tried already", hint="`vecrollback canary stop`, then start this one"
            )
        return live.pair

    def advance(
        self,
        *,
        override: bool = False,
        reason: str = "",
        expected_step: int | None = None,
        actor: str | None = None,
    ) -> CanaryStatus:
        """Give the candidate the next step's share of the callers; `expected_step`: unless it is at another step now.

        Raises PairStateError before the bake time is over, while the test has not said "better", and at the last step;
        `override` passes the first two and needs a reason, which the audit log keeps; UsageError without.
        """
        if override and not reason.strip():
            raise UsageError("an override needs a reason", hint="--reason 'why it may go on all the same'")
        now = self.status()
        if expected_step not in (None, now.canary.step):
            raise PairStateError(
                f"the canary is at step {now.canary.step}, not at {expected_step}", hint="look again, then decide"
            )
        if now.next_share is None:
            raise PairStateError(
                f"pair {now.canary.pair!r} has the last step's share", hint=f"`vecrollback promote {now.canary.pair}`"
            )
        if not override and (why := _unready(now)):
            raise PairStateError(
                f"pair {now.canary.pair!r} stays where it is: {why}", hint="wait, or --override with a --reason"
            )
        at, subject = now.canary.step, f"{now.canary.pair} to {now.next_share:g}%" + " (override)" * override
        self._catalog.audits.add(actor or self._actor, "canary.advance", f"{subject}: {reason}" if reason else subject)
        # `expected` makes a second person who advances at the same moment fail, instead of skipping a step.
        self._catalog.canaries.step(now.canary.number, expected=at, step=at + 1, share=now.next_share)
        return self.status()

    def stop(self, *, reason: str, actor: str | None = None) -> CanaryRun:
        """Back at once and for everybody: one commit, after which no query is answered by the candidate."""
        if not reason:
            raise UsageError("to stop needs a reason", hint="--reason 'what was wrong'; it is kept with the canary")
        canary = self._catalog.canaries.end(LIVE, reason=reason, actor=actor or self._actor)
        if canary is None:
            raise _nothing_runs()
        return next(one for one in self._catalog.canaries.all() if one.number == canary.number)

    def status(self) -> CanaryStatus:
        """The canary that runs, and what was seen at its present step. Raises UnknownNameError when none does."""
        running = self._catalog.canaries.running(LIVE)
        if running is None:
            raise _nothing_runs()
        policy = from_mapping(running.policy)
        observations = self._catalog.canaries.observed(running.number, running.step)
        later_shares = policy.steps[running.step :]
        return CanaryStatus(
            canary=running,
            observed=observations,
            judgements=judge(observations, policy),
            baked=max(0.0, time.time() - running.since),
            bake_seconds=policy.bake_seconds,
            next_share=later_shares[0] if later_shares else None,
        )

    def history(self, *, limit: int | None = None) -> list[CanaryRun]:
        """Canaries, newest first."""
        return self._catalog.canaries.all(limit=limit)

    def outcomes(self, pushed: Iterable[tuple[str, float]]) -> int:
        """Count how useful answers were: (key of the caller, value from 0 for useless to 1). Returns how many counted.

        Callers in the canary's share count for it, all others for the live pair. Nothing is counted while no canary
        serves callers.
        """
        running, observations, count = self._catalog.canaries.running(LIVE), ShadowObservations(), 0
        if running is None or not running.share:
            return 0
        canary = _as_canary(running)
        for key, value in pushed:
            if not 0 <= value <= 1:
                raise UsageError(f"the outcome {value!r} of {key!r} is not between 0 and 1")
            # The same draw as in the searcher, by key and salt: nobody has to report which pair answered.
            measure = CANARY_OUTCOME if canary.draws(key) else LIVE_OUTCOME
            observations.note((running.number, running.step), **{measure: value})
            count += 1
        for (number, step), measures in observations.take().items():
            self._catalog.canaries.observe(number, step, measures)
        return count

    def _loading(self, record: Pair, request: MoveRequest) -> MoveRequest:
        """The move of `candidate` by which the searchers load the pair before a caller needs it."""
        candidate = self._catalog.aliases.get(CANDIDATE)
        return MoveRequest(
            ": ".join(filter(None, ("to be tried", request.reason))),
            request.actor,
            expected_epoch=candidate.epoch if candidate else 0,
            alias=CANDIDATE,
            target=SnapshotRef(record.name, record.snapshot),
            requires={record.name: record.state},
        )


def _unready(now: CanaryStatus) -> str:
    """Why a canary must not go on yet; empty when it may."""
    if now.baked < now.bake_seconds:
        return f"it is at this step for {now.baked:.0f} s of {now.bake_seconds:.0f} s"
    if now.standing != "better":
        return "; ".join(one.sentence for one in now.judgements if one.standing != "better")
    return ""


def _as_canary(running: CanaryRun) -> Canary:
    own = (running.number, running.step, running.share, running.shadow, running.salt)
    return Canary(*own, pair=running.pair, snapshot=0, watermark=0, vectors_version=0)


def _nothing_runs() -> UnknownNameError:
    return UnknownNameError("no pair is tried now", hint="`vecrollback canary start PAIR`")
