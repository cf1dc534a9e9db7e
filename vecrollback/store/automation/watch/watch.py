"""The watch itself: one of all processes measures, decides and acts; the others stand ready to take over."""

from __future__ import annotations

import datetime as dt
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from vecrollback.errors import AliasMovedError, LockHeldError, VecrollbackError
from vecrollback.records import LIVE, SWITCHES, Json, ProgressCallback, Result, SnapshotRef
from vecrollback.store.automation.operated_store import OperatedStore
from vecrollback.store.automation.watch.evaluation import Decision, Evaluator, LiveState
from vecrollback.store.automation.watch.metrics import MetricReader
from vecrollback.store.automation.watch.pair_answers import PairAnswers
from vecrollback.store.automation.watch.traffic import Traffic
from vecrollback.switching.policy import Policy

_log = logging.getLogger(__name__)
T = TypeVar("T")
_LOCK = "guard"  # what every version of the program calls it
_NAP_SECONDS = 0.2
ACTOR = "policy"

_LATENCY_SECONDS = 600.0
_ANSWERS = 20


class Watch:
    """Watches `live` of a store by a policy. `stopping` is asked between two rounds, of which there are at most
    `rounds`; `search` asks what is live; `on_decision` is called with every decision, `on_waiting` when another
    process is found to watch.

    `on_reading` is called with every reading, as `vecrollback policy replay` reads it. A rollback is ordered on the
    epoch that was judged: when a person has moved `live` meanwhile, it is not made.
    """

    def __init__(
        self,
        store: OperatedStore,
        policy: Policy,
        traffic: Traffic,
        *,
        search: Callable[[str], Result] | None = None,
        stopping: Callable[[], bool] = lambda: False,
        progress: ProgressCallback | None = None,
        rounds: int | None = None,
        on_reading: Callable[[Mapping[str, Json]], None] | None = None,
        on_decision: Callable[[Decision], None] = lambda _: None,
        on_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._policy, self._traffic = store, policy, traffic
        self._asked_to_stop, self._progress = stopping, progress
        self._on_reading, self._on_decision, self._on_waiting = on_reading, on_decision, on_waiting
        self._most, self.rounds = rounds, 0
        self._evaluator = Evaluator(policy)
        store.notices.use(policy)
        self._answers = PairAnswers(store.resources)
        self._collector = MetricReader(store, policy, traffic, self._answers, search or store.search)
        self._live = LiveReader(store)
        self._failed_at: int | None = None
        self._broken = False
        self._expected_in: int | None = None
        self._waiting = False

    def run(self) -> None:
        """Watch until `stopping`. While another process does, wait for its end.

        Raises LockHeldError where a number of rounds was asked for: whoever counts them waits for nobody.
        """
        while not self._stopping():
            try:
                with self._store.resources.catalog.lock(_LOCK, timeout=0.0):
                    self._lead()
            except LockHeldError as error:
                if self._most is not None:
                    self._answers.close()
                    raise LockHeldError(
                        _LOCK,
                        0.0,
                        said=f"{leader(self._store)} watches this store already; nothing was measured here",
                        hint="leave --rounds out to wait for its end; `GET /v1/policy` tells what it measures",
                    ) from error
                if not self._waiting:
                    self._waiting = True
                    self._on_waiting()
            except Exception as error:
                # A watch outlives whatever is wrong with one round, or nobody would be told of the next one.
                _log.error("watching failed: %s", error)
                if not self._broken:
                    said = f"the watch of {LIVE} fails in every round, and nothing is measured: {error}"
                    self._broken = self._store.notices.tell("alert", said)
            self._rest(self._policy.interval)
        self._answers.close()

    def _lead(self) -> None:
        self._waiting = False
        self._evaluator = Evaluator(self._policy)
        # Go on from the memory of the watch before this one: a restart must not forget failures that it measured.
        self._evaluator.resume(self._store.measurements.memory(LIVE))
        _log.info("watching %s by %s", LIVE, self._policy.origin or "the built-in policy")
        while not self._stopping():
            self.tick()
            self._broken = False
            # From one measurement to the next, so that asking two models makes no interval longer.
            interval = self._policy.interval
            self._rest(min(interval, max(interval / 4, self._evaluator.due_in(time.time()))))

    def _stopping(self) -> bool:
        return self._asked_to_stop() or (self._most is not None and self.rounds >= self._most)

    def tick(self) -> Decision:
        """One round: measure what is due, decide, act."""
        self.rounds += 1
        now = self._live.read()
        if now is None:
            return Decision("none")
        at = time.time()
        self._traffic.refresh()
        baseline = self._baseline(now)
        due = self._evaluator.due(at)
        readings = {rule.name: self._collector.read(rule, now, baseline) for rule in due}
        if self._on_reading is not None:
            for name, one in readings.items():
                self._on_reading({"at": at, "metric": name, "value": one.value, "sample": one.sample, "p": one.p})
        decision = self._evaluator.step(at, now, readings)
        if self._expected_in != now.epoch and self._evaluator.suspects(now):
            self._expected_in = now.epoch
            self._undisturbed("getting ready for a rollback", self._store.expect_rollback)
        self._act(decision, now)
        if readings:  # after the act: a process that dies in between leaves it to be decided again, not undone
            memory = {
                name: {**body, "by": f"{socket.gethostname()}:{os.getpid()}"}
                for name, body in self._evaluator.kept().items()
            }
            self._store.measurements.remember(LIVE, memory)
        self._undisturbed("comparing latency", lambda: self._note_latency(now))
        self._store.notices.send_soon()
        return decision

    def phases(self) -> dict[str, Any]:
        """How each metric stands."""
        return dict(self._evaluator.phases())

    def _baseline(self, now: LiveState) -> dict[str, Any] | None:
        baseline = self._store.measurements.baseline(LIVE, now.epoch)
        if baseline is None:
            # It asks models, and the one that serves may be broken: metrics that need no baseline are to see that.
            baseline = self._undisturbed("measuring a baseline", lambda: self._collector.baseline(now))
            if baseline is not None:
                self._store.measurements.keep_baseline(LIVE, now.epoch, now.pair, baseline)
        return baseline

    def _undisturbed(self, what: str, call: Callable[[], T]) -> T | None:
        """Do what a round can do without; None where it fails."""
        try:
            return call()
        except Exception as error:
            _log.warning("%s failed: %s", what, error)
            return None

    # -- acting -------------------------------------------------------------------------------------------------------

    def _act(self, decision: Decision, now: LiveState) -> None:
        if decision.kind == "none":
            return
        _log.warning("%s: %s", decision.kind, decision.reason)
        self._on_decision(decision)
        if decision.kind == "alert":
            self._store.notices.tell("alert", f"{now.pair}: {decision.reason}", _facts(decision))
        elif decision.kind == "approve":
            asked = self._store.approvals.ask(
                "rollback", None, reason=decision.reason, actor=ACTOR, trigger=self._trigger(decision)
            )
            said = f"rollback from {now.pair} waits: {decision.reason}. `vecrollback approve {asked.number}`"
            self._store.notices.tell("approval", said, _facts(decision))
        else:
            self._roll_back(decision, now)

    def _roll_back(self, decision: Decision, now: LiveState) -> None:
        live = self._store.status()["alias"][LIVE]
        if live["pair"] != now.pair:
            return  # somebody was faster
        try:
            self._store.rollback(
                reason=decision.reason,
                expected_epoch=live["epoch"],
                actor=ACTOR,
                trigger=self._trigger(decision),
                progress=self._progress,
            )
        except AliasMovedError as error:
            _log.info("somebody moved %s meanwhile: %s", LIVE, error)
        except VecrollbackError as error:
            self._evaluator.retry()
            if self._failed_at != now.epoch:
                self._store.notices.tell(
                    "alert", f"rollback from {now.pair} is not possible: {error}", _facts(decision)
                )
            self._failed_at = now.epoch
            _log.error("rollback from %s is not possible: %s", now.pair, error)

    def _trigger(self, decision: Decision) -> dict[str, Json]:
        first_sign = decision.detected
        at = None if first_sign is None else dt.datetime.fromtimestamp(first_sign, dt.UTC)
        return {
            "policy": self._policy.origin,
            "detected": at.isoformat(timespec="microseconds") if at else None,
            "metrics": _facts(decision)["metrics"],
        }

    def _note_latency(self, now: LiveState) -> None:
        """Say of the last incident whether queries take as long again as they did before."""
        if now.kind != "rollback":
            return
        baseline = self._store.measurements.baseline_of(LIVE, now.pair, before=now.epoch)
        volume = self._traffic.volume(_LATENCY_SECONDS, now.epoch)
        if baseline is None or baseline.get("latency") is None or volume.p99 is None or volume.answers < _ANSWERS:
            return
        for one in self._store.incidents.all(state="open", limit=1):
            if one.epoch == now.epoch and one.post_check and one.post_check.latency_ms is None:
                self._store.incidents.latency(one.number, volume.p99 * 1000, before_ms=baseline["latency"] * 1000)

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopping() and (seconds_left := until - time.monotonic()) > 0:
            time.sleep(min(seconds_left, _NAP_SECONDS))


def leader(store: OperatedStore) -> str:
    """Who measured last, `HOST:PID`: of several watches of one store the one that leads."""
    newest = max(store.measurements.standing(LIVE), key=lambda one: one["at"], default=None)
    return str(newest["by"] or "another process") if newest else "another process"


def _facts(decision: Decision) -> dict[str, Json]:
    return {
        "reason": decision.reason,
        "metrics": [
            {
                "metric": one.metric,
                "value": one.value,
                "condition": one.condition,
                "sample": one.sample,
                "at": one.at,
            }
            for one in decision.metrics
        ],
    }


class LiveReader:
    """How `live` came to be where it is, round after round. The history is looked through after a move alone."""

    def __init__(self, store: OperatedStore) -> None:
        self._store, self._moves = store, store.resources.catalog.aliases
        self._newest = ""  # by its hash: a number may come again after a restored catalog
        self._state: LiveState | None = None

    def read(self) -> LiveState | None:
        """The state at this moment; None while nothing is live."""
        newest = self._moves.newest_move(LIVE)
        moved = newest.hash if newest else ""
        if moved != self._newest:
            self._newest, self._state = moved, self._since_last_switch()
        if self._state is None:
            return None
        freeze = self._store.freezes.current()
        return replace(self._state, frozen=freeze.reason if freeze else "")

    def _since_last_switch(self) -> LiveState | None:
        last = self._moves.newest_move(LIVE, kinds=SWITCHES)
        if last is None:
            return None
        pair = SnapshotRef.parse(last.target).pair
        return LiveState(
            epoch=last.epoch,
            pair=pair,
            # A clock that went back since then would hold a rollback up until it has caught up.
            moved_at=min(time.time(), dt.datetime.fromisoformat(last.at).timestamp()),
            kind=last.kind,
            overridden=last.kind == "promote" and self._moves.was_rolled_back_from(LIVE, pair),
        )
