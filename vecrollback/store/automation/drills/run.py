"""Running a drill, recording it, telling people when it failed or is overdue."""

from __future__ import annotations

import datetime as dt

from vecrollback.catalog import now
from vecrollback.errors import RefusedError, UsageError, in_words
from vecrollback.pairs.rehearsals import rehearsing, room
from vecrollback.records import LIVE, SWITCHES, Drill, SnapshotRef
from vecrollback.store.automation.drills.chaos import CHAOS, Scene
from vecrollback.store.automation.drills.rehearsal import rehearse
from vecrollback.store.automation.drills.stopwatch import Stopwatch
from vecrollback.store.automation.operated_store import OperatedStore, StoreOpener
from vecrollback.switching.policy import Policy, load_policy


def run_drill(
    store: OperatedStore,
    opener: StoreOpener,
    chaos: str = "",
    *,
    policy: Policy | None = None,
    actor: str | None = None,
) -> Drill:
    """Rehearse the whole rollback, or one in which `chaos` is broken on purpose, and record how it went.

    The verdict is `pass` when every step did what it had to within its objective, `unknown` when there is nothing to
    rehearse yet. Raises UsageError for a kind of chaos that there is not.
    """
    if chaos and chaos not in CHAOS:
        raise UsageError(f"{chaos!r} is not a valid kind of chaos", hint=f"use one of {', '.join(CHAOS)}")
    policy = policy or load_policy(store.root) or Policy()
    who, watch, at = actor or store.actor, Stopwatch(), now()
    live = store.status()["alias"].get(LIVE)
    source = str(SnapshotRef(live["pair"], live["snapshot"])) if live else ""
    target, sentence, verdict = "", "", "unknown"
    try:
        with rehearsing(store.resources):
            if chaos:
                source, target, sentence = _with_chaos(store, opener, chaos, watch, policy)
            else:
                source, target = rehearse(store, opener, watch, policy.objectives, who)
        verdict = "pass" if all(phase.ok for phase in watch.phases) else "fail"
    except Exception as error:
        # Whatever went wrong is what the drill was for; without anything live there was nothing to rehearse.
        sentence = in_words(error)
        verdict = "fail" if live and not (isinstance(error, RefusedError) and not watch.phases) else "unknown"
    drill = Drill(
        number=0,
        chaos=chaos,
        epoch=live["epoch"] if live else 0,
        source=source,
        target=target,
        verdict=verdict,  # type: ignore[arg-type]
        phases=tuple(watch.phases),
        said=sentence,
        actor=who,
        at=at,
        seconds=watch.seconds,
    )
    record = store.resources.catalog.drills.add(drill)
    if record.verdict != "pass":
        store.notices.tell(
            "drill", f"drill {record.number} says {record.verdict}: {_worst(record)}", {"drill": record.number}
        )
        store.notices.send_soon()
    return record


def overdue(store: OperatedStore, policy: Policy) -> str:
    """Why a drill is to be run now; empty when none is."""
    live = store.status()["alias"].get(LIVE)
    last = store.resources.catalog.aliases.newest_move(LIVE, kinds=SWITCHES)
    if live is None or last is None or last.source is None:
        return ""  # nothing ever served before: there is no way back to rehearse
    plain = [one for one in store.drills(limit=200) if not one.chaos]
    if policy.drills.after_promote and last.kind == "promote" and not any(one.epoch >= last.epoch for one in plain):
        return f"{last.target} was promoted"
    since = (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=policy.drills.every)).isoformat()
    if not any(one.at > since for one in plain):
        return f"the last one was {plain[0].at[:10] if plain else 'never'}"
    return ""


def _with_chaos(
    store: OperatedStore, opener: StoreOpener, chaos: str, watch: Stopwatch, policy: Policy
) -> tuple[str, str, str]:
    with room(store.resources) as folder:
        with watch.phase("copy"):
            store.resources.copy_to(folder)
        with opener.connect(folder, catalog="", actor=store.actor) as copy:
            copy.notices.use(Policy())  # nobody shall be told that a copy was rolled back
            live, target = copy.live(), copy.rollback_target()
            scene = Scene(copy, opener, live.ref, target.ref, watch, policy)
            return live.ref, target.ref, CHAOS[chaos](scene)


def _worst(drill: Drill) -> str:
    return drill.said or "; ".join(f"{one.name}: {one.said or 'too slow'}" for one in drill.phases if not one.ok)
