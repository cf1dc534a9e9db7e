"""The background worker: keeps what serves, and what would serve after a rollback, at the head of the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from vecrollback.catalog import WORKER_LOCK
from vecrollback.errors import EmbedderChangedError, StoppedError, VecrollbackError
from vecrollback.pairs.model_answers import ask_model
from vecrollback.pairs.native_clients import NativeClients
from vecrollback.quality.check.bridged import BRIDGED_VECTOR
from vecrollback.quality.check.doubt import IN_DOUBT
from vecrollback.records import ANSWER_SECONDS, CatchUp, Effort, ModelAnswer, Pair, ProgressCallback
from vecrollback.serving.fallback_settings import serves
from vecrollback.store.automation.drills import overdue
from vecrollback.store.automation.operated_store import OperatedStore
from vecrollback.switching.policy import load_policy

_log = logging.getLogger(__name__)
_KEPT_UP = ("live", "standby")
_TIDY_SECONDS = 60.0
_NAP_SECONDS = 0.2
_SILENT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class WorkerRound:
    """What a worker did. `caught_up`: catch-ups that took something in; `documents`: changes in them."""

    rounds: int = 0
    caught_up: int = 0
    documents: int = 0
    embedded: int = 0
    failures: int = 0


def kept_up(store: OperatedStore) -> list[str]:
    """Names of the pairs that are to be at the head: the live one first."""
    pairs = [pair for pair in store.pairs() if pair.state in _KEPT_UP]
    return [pair.name for pair in sorted(pairs, key=lambda pair: _KEPT_UP.index(pair.state))]


class Worker:
    """Catches up pairs that lag, and keeps tables and records small.

    `stopping` is asked between two rounds; a `progress` that raises StoppedError ends a catch-up after its batch. A
    failure (a model's service that is down, say) is logged and tried again in the next round. Every `ask_every` seconds
    the models of these pairs are asked whether they answer, so that it is known before a rollback needs them; 0: never.
    """

    def __init__(
        self,
        store: OperatedStore,
        *,
        effort: Effort | None = None,
        progress: ProgressCallback | None = None,
        stopping: Callable[[], bool] = lambda: False,
        ask_every: float = ANSWER_SECONDS / 3,
    ) -> None:
        self._store, self._effort, self._progress, self._stopping = store, effort, progress, stopping
        self._tidy_at = 0.0
        self._round = WorkerRound()
        self._overdue = ""
        self._change_messages: dict[str, str] = {}
        self._ask_every = ask_every

    def run(self, interval: float) -> WorkerRound:
        """Work until `stopping`, with `interval` seconds between two rounds."""
        _log.info("worker of %s started", self._store.uri)
        # Any number of workers may run: they share the lock, and whoever asks whether one runs finds it taken.
        with self._store.resources.catalog.lock(WORKER_LOCK, shared=True):
            while not self._stopping():
                self.run_once()
                self._rest(interval)
        _log.info("worker stopped after %d rounds", self._round.rounds)
        return self._round

    def run_once(self) -> WorkerRound:
        """One round over the pairs."""
        self._round = replace(self._round, rounds=self._round.rounds + 1)
        try:
            for name in kept_up(self._store):
                self._attempt(name)
                self._re_examine(name)
                self._make_own(name)
            NativeClients(self._store.resources.catalog).follow()
            self._ask_models()
            self._tidy()
            self._look_after()
        except (VecrollbackError, OSError) as error:
            self._log_failure("round", error)
        return self._round

    def _attempt(self, pair: str) -> None:
        if self._stopping() or not self._store.lag(pair):
            return
        try:
            catch_up = self._store.catch_up(pair, effort=self._effort, progress=self._progress)
        except StoppedError as error:
            _log.info("catch-up of %s: %s", pair, error)
        except (VecrollbackError, OSError) as error:
            self._log_failure(f"catch-up of {pair}", error)
            if isinstance(error, EmbedderChangedError):
                self._tell_changed(pair, error)
            self._attempt_by_bridge(pair)
        else:
            self._change_messages.pop(pair, None)
            self._count(catch_up)

    def _attempt_by_bridge(self, pair: str) -> None:
        """Write what changed over a bridge, where queries may come over one and the pair's own model is away."""
        if self._stopping() or not serves(self._store.root, "bridge"):
            return
        try:
            catch_up = self._store.catch_up(pair, by="bridge", effort=self._effort, progress=self._progress)
        except (VecrollbackError, OSError) as error:  # also where the model does answer: another thing was wrong
            _log.info("catch-up of %s by bridge: %s", pair, error)
        else:
            self._count(catch_up)

    def _count(self, catch_up: CatchUp) -> None:
        self._round = replace(
            self._round,
            caught_up=self._round.caught_up + 1,
            documents=self._round.documents + catch_up.documents,
            embedded=self._round.embedded + catch_up.embedded,
        )
        _log.info(
            "catch-up of %s: %d changes, %d texts embedded, %d reused, %d by bridge, %.1f s, %d left",
            catch_up.pair,
            catch_up.documents,
            catch_up.embedded,
            catch_up.reused,
            catch_up.bridged,
            catch_up.seconds,
            catch_up.lag,
        )

    def _make_own(self, pair: str) -> None:
        """Embed again what came over a bridge, once the pair's own model is back."""
        report = self._store.report(pair)
        if self._stopping() or report is None or not report.ids(BRIDGED_VECTOR):
            return
        answer = self._store.resources.catalog.models.answer(pair)
        if answer is not None and answer.verdict == "fail":  # it is asked again soon
            return
        try:
            self._store.resources.embedders.proven(self._store.pair(pair), now=True)
            if (report := self._store.check(pair)).ids(BRIDGED_VECTOR):
                after = self._store.repair(report)
                _log.info("vectors of %s that came over a bridge are its own again: %s", pair, after.verdict)
        except (VecrollbackError, OSError) as error:
            _log.warning("vectors of %s that came over a bridge stay: %s", pair, error)

    def _re_examine(self, pair: str) -> None:
        """Check the vectors that a change of the model left in doubt, and write anew those that it made.

        Once its own model is back: until then nobody can say what a vector should be.
        """
        report = self._store.report(pair)
        if self._stopping() or report is None or not report.ids(IN_DOUBT):
            return
        try:
            self._store.resources.embedders.proven(self._store.pair(pair), now=True)
            report = self._store.check(pair)
            _log.info("vectors in doubt of %s: %s", pair, report.verdict)
            if report.ids("foreign_vector"):
                self._store.repair(report)
        except (VecrollbackError, OSError) as error:
            _log.warning("vectors in doubt of %s stay in doubt: %s", pair, error)

    def _tell_changed(self, pair: str, error: EmbedderChangedError) -> None:
        """Tell people, once until it is mended, that a model is no longer the pair's own. Nothing it made is kept."""
        if pair not in self._change_messages:
            self._store.notices.tell("model", f"{pair}: {error.message}", {"pair": pair, "hint": error.hint})
        self._change_messages[pair] = error.message

    def _ask_models(self) -> None:
        """Ask the models of the pairs, unless somebody did lately, and tell people when one falls silent or is back."""
        catalog = self._store.resources.catalog
        for name in kept_up(self._store) if self._ask_every else ():
            last = catalog.models.answer(name)
            # One that was silent is asked again soon: until it answers, no rollback goes there.
            wait = self._ask_every if last is None or last.verdict == "pass" else min(self._ask_every, _SILENT_SECONDS)
            if self._stopping() or (last is not None and last.age < wait):
                continue
            pair = self._store.pair(name)
            answer, before = ask_model(catalog, self._store.resources.embedders, pair)
            self._tell_answer(pair, answer, before)

    def _tell_answer(self, pair: Pair, answer: ModelAnswer, before: ModelAnswer | None) -> None:
        silent, was_silent = answer.verdict == "fail", before is not None and before.verdict == "fail"
        facts = {"pair": pair.name, "state": pair.state, "verdict": answer.verdict}
        if silent and not was_silent:
            use = "queries fail" if pair.state == "live" else "no rollback goes there until it does"
            _log.error("the model of %s does not answer: %s", pair.name, answer.said)
            if pair.name not in self._change_messages:  # told a moment ago, by the catch-up that met another model
                text = f"{pair.name} ({pair.state}): its model does not answer, {use}: {answer.said}"
                self._store.notices.tell("model", text, facts)
        elif was_silent and answer.verdict == "pass":
            _log.info("the model of %s answers again", pair.name)
            self._store.notices.tell("model", f"{pair.name} ({pair.state}): its model answers again", facts)

    def _tidy(self) -> None:
        """Keep tables and records small. Costs a look where there is nothing to do."""
        if time.monotonic() >= self._tidy_at and not self._stopping():
            self._store.retention.tidy()
            self._tidy_at = time.monotonic() + _TIDY_SECONDS

    def _look_after(self) -> None:
        """Complete open incidents, and tell people what is due."""
        if not self._stopping():
            self._store.incidents.settle_all(ask=True)
            self._rehearse()
            self._store.notices.send_soon()

    def _rehearse(self) -> None:
        """Run the drill that the policy wants after a promote; tell once that another one is overdue."""
        policy = load_policy(self._store.root)
        due = overdue(self._store, policy) if policy else ""
        if policy is None or due in ("", self._overdue):
            return
        if policy.drills.after_promote and due.endswith("was promoted"):
            drill = self._store.drill(actor="worker")
            _log.info("drill %d after a promote: %s", drill.number, drill.verdict)
            return
        self._overdue = due
        self._store.notices.tell("drill", f"a drill is overdue: {due}")

    def _log_failure(self, what: str, error: Exception) -> None:
        self._round = replace(self._round, failures=self._round.failures + 1)
        _log.error("%s failed: %s", what, error)

    def _rest(self, seconds: float) -> None:
        # Not an Event: setting one from a signal handler can deadlock with the wait it interrupts.
        until = time.monotonic() + seconds
        while not self._stopping() and (seconds_left := until - time.monotonic()) > 0:
            time.sleep(min(seconds_left, _NAP_SECONDS))
