"""A bad pair, planted in a copy of the store: would this store's policy have rolled it back?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vecrollback.errors import FailedError
from vecrollback.records import Result
from vecrollback.store.automation.operated_store import OperatedStore
from vecrollback.store.automation.watch.evaluation import Decision, Evaluator
from vecrollback.store.automation.watch.metrics import MetricReader
from vecrollback.store.automation.watch.pair_answers import PairAnswers
from vecrollback.store.automation.watch.traffic import ENOUGH, SyntheticTraffic
from vecrollback.store.automation.watch.watch import LiveReader
from vecrollback.switching.policy import Policy

BAD_EMBEDDER = "hash:8?seed=7"
"""Eight numbers for every text: it answers quickly, without an error, and wrongly."""

_ROUNDS, _TEXTS, _WORDS = 30, 200, 12


@dataclass(frozen=True, slots=True)
class Firing:
    """What a policy decided about the bad pair, and how long after its promote, in seconds of the policy's own time."""

    decision: Decision
    seconds: float


def plant(store: OperatedStore) -> str:
    """Build the bad pair and let it serve; returns its name. For a copy of a store only."""
    taken = {pair.name for pair in store.pairs()}
    name = next(f"bad-{n}" for n in range(len(taken) + 1) if f"bad-{n}" not in taken)
    store.reembed(BAD_EMBEDDER, name=name).wait()
    store.promote(name, reason="a drill with a bad pair", override=True)
    return name


def texts_to_ask(store: OperatedStore) -> Sequence[str]:
    """The golden queries; where they are too few to judge by, the beginnings of documents, too."""
    golden = [query.text for query in store.golden.list()]
    if len(golden) >= ENOUGH:
        return golden
    documents = store.documents(limit=_TEXTS)
    return [*golden, *(" ".join(one.text.split()[:_WORDS]) for one in documents if one.text.strip())]


def fire(store: OperatedStore, policy: Policy, texts: Sequence[str], search: Callable[[str], Result]) -> Firing | None:
    """Let the policy measure what is live and decide, round after round; what it did first, None if nothing.

    Everything is measured for real. Only the bake time and the time between two rounds are not waited for: the policy
    is told that they are over.

    Raises:
        FailedError: There is no policy with a metric, or nothing to ask.
    """
    if not policy.rules:
        raise FailedError("no policy watches this store: nothing would have fired", hint="write [policy]")
    if not texts:
        raise FailedError("there is nothing to ask", hint="`vecrollback golden add`")
    state = LiveReader(store).read()
    assert state is not None
    traffic, answers = SyntheticTraffic(texts, search, batch=len(texts)), PairAnswers(store.resources)
    reader, evaluator = MetricReader(store, policy, traffic, answers, search), Evaluator(policy)
    at = state.moved_at + policy.bake
    try:
        for _ in range(_ROUNDS):
            at += policy.interval
            traffic.refresh()
            readings = {rule.name: reader.read(rule, state, None) for rule in evaluator.due(at)}
            decision = evaluator.step(at, state, readings)
            if decision.metrics and any(one.phase == "failure" for one in decision.metrics):
                return Firing(decision, at - state.moved_at)
    finally:
        answers.close()
    return None
