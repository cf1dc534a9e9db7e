"""A watch of its own process, for stores that no server of ours answers for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vecrollback.errors import StoppedError, UsageError
from vecrollback.records import Json, Progress
from vecrollback.store.automation.operated_store import OperatedStore
from vecrollback.store.automation.watch.evaluation import Decision
from vecrollback.store.automation.watch.traffic import PooledTraffic, SyntheticTraffic
from vecrollback.store.automation.watch.watch import Watch
from vecrollback.switching.policy import load_policy


@dataclass(frozen=True, slots=True)
class WatchRound:
    """What a watch came to. `metrics`: how each stood at the end."""

    rounds: int
    decisions: tuple[Mapping[str, str], ...]
    metrics: Mapping[str, str]


def watch_store(
    store: OperatedStore,
    policy: str | None,
    queries: Sequence[str],
    *,
    rounds: int | None = None,
    stopping: Callable[[], bool] = lambda: False,
    on_reading: Callable[[Mapping[str, Json]], None] | None = None,
    on_decision: Callable[[Decision], None] = lambda _: None,
    on_waiting: Callable[[], None] = lambda: None,
) -> WatchRound:
    """Watch `live`, asking it these queries, until `stopping` or for so many rounds. Waits while another watch leads.

    Raises UsageError without a policy or queries; LockHeldError while another one leads and `rounds` are counted.
    """
    active_policy = load_policy(store.root, policy)
    if active_policy is None:
        raise UsageError("this store has no policy", hint="--policy FILE, or [policy] in vecrollback.toml")

    def progress(_: Progress) -> None:
        if stopping():
            raise StoppedError(
                "the watch was stopped", hint="what is left: `vecrollback catch-up`, `vecrollback check`"
            )

    decisions: list[Decision] = []

    def note(decision: Decision) -> None:
        decisions.append(decision)
        on_decision(decision)

    with store.searcher() as searcher:
        own = SyntheticTraffic(queries, searcher.search)
        traffic = PooledTraffic(own, store, active_policy, searcher.traffic.origin)
        watch = Watch(
            store,
            active_policy,
            traffic,
            search=lambda query: searcher.search(query, k=1),
            stopping=stopping,
            rounds=rounds,
            progress=progress,
            on_reading=on_reading,
            on_decision=note,
            on_waiting=on_waiting,
        )
        watch.run()
    return WatchRound(watch.rounds, tuple({"kind": d.kind, "reason": d.reason} for d in decisions), watch.phases())
