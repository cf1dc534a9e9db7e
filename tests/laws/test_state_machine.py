"""A store against a plain dict, through any sequence of operations, crashes among them.

Covers corpus.corpus, corpus.log_reader, reembedding.builder, store.store, store.jobs.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import vecrollback
from tests.support.oracle import EVERYTHING, ONE, QUERIES, TOLERANCE, TWO, assert_passes, score
from vecrollback import Document, Store
from vecrollback.errors import NoRollbackTargetError, PairStateError, QuarantinedError
from vecrollback.records import RetentionRules

IDS = [f"d{n}" for n in range(7)]
TEXTS = [
    "boats leave the harbour at dawn",
    "a quiet lake below the mountain",
    "bread and butter for the long journey over the quiet mountain",
    "harbour boats",
    "the baker sells bread by the harbour and the fishermen buy it before the boats leave",
    "  \n",
    "",
]
KINDS = ["boat", "lake"]
PAIRS = {
    "one": (ONE, "Flat"),
    "two": (TWO + "&chunk=tokens:4:1", "HNSW16,Flat"),
    "again": (ONE, "HNSW16,Flat"),
}


class Killed(BaseException):
    """Stands for a process that ends here."""


@dataclass
class View:
    """What one pair has vectors of: id -> (seq, text)."""

    rows: dict[str, tuple[int, str]] = field(default_factory=dict)
    watermark: int = 0
    state: str = "ready"
    snapshot: int = 1
    checked: bool = False


@dataclass
class Log:
    """What was acknowledged."""

    head: int = 0
    live: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    deleted: dict[str, int] = field(default_factory=dict)

    def upsert(self, changes: dict[str, tuple[str, str]]) -> None:
        for id_, (text, kind) in changes.items():
            if self.live.get(id_, (0, None, None))[1:] != (text, kind):
                self.head += 1
                self.live[id_] = (self.head, text, kind)

    def delete(self, ids: list[str]) -> None:
        for id_ in ids:
            if id_ in self.live or id_ not in self.deleted:
                self.head += 1
                self.live.pop(id_, None)
                self.deleted[id_] = self.head


class StoreMachine(RuleBasedStateMachine):
    """`pending`: the log with a write that is on disk and was never acknowledged; the next writer finishes it."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="vecrollback-machine-"))
        self.log = Log()
        self.pending: Log | None = None
        self.views: dict[str, View] = {}
        self.snapshots: dict[str, View] = {}
        self.live: str | None = None
        self.served: list[str] = []
        self.store = vecrollback.connect(self.root, create=True)
        self.reader = vecrollback.connect(self.root)

    def teardown(self) -> None:
        try:
            self._check_all()
        finally:
            self.store.close()
            self.reader.close()
            shutil.rmtree(self.root)

    # -- documents ----------------------------------------------------------------------------------------------------

    @initialize(first=st.dictionaries(st.sampled_from(IDS), st.tuples(st.sampled_from(TEXTS), st.sampled_from(KINDS))))
    def begin(self, first: dict[str, tuple[str, str]]) -> None:
        self.upsert(first)

    @rule(
        changes=st.dictionaries(
            st.sampled_from(IDS), st.tuples(st.sampled_from(TEXTS), st.sampled_from(KINDS)), max_size=4
        )
    )
    def upsert(self, changes: dict[str, tuple[str, str]]) -> None:
        self._finish_pending()
        self.log.upsert(changes)
        assert self.store.upsert(_documents(changes)).head == self.log.head

    @rule(ids=st.lists(st.sampled_from([*IDS, "never there"]), max_size=3, unique=True))
    def delete(self, ids: list[str]) -> None:
        self._finish_pending()
        self.log.delete(ids)
        assert self.store.delete(ids).head == self.log.head

    @rule(purge=st.booleans())
    def compact(self, purge: bool) -> None:
        self._finish_pending()
        self.store.compact(purge=purge)

    # -- pairs --------------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(list(PAIRS)))
    def reembed(self, name: str) -> None:
        embedder, index = PAIRS[name]
        pair = self.store.reembed(embedder, name=name, index=index).wait()
        if name not in self.views:
            self.views[name] = View()
            self._caught_up(name)
            self.snapshots[f"{name}@1"] = copy.deepcopy(self.views[name])
        assert pair.name == name
        assert pair.state == self.views[name].state

    @precondition(lambda self: self.views)
    @rule(data=st.data())
    def catch_up(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.views)))
        done = self.store.catch_up(name)
        self._caught_up(name)
        assert (done.lag, done.watermark) == (0, self.log.head)

    @precondition(lambda self: self.views)
    @rule(data=st.data(), rebuild=st.booleans())
    def snapshot(self, data: st.DataObject, rebuild: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.views)))
        number = 1 + max(int(ref.rpartition("@")[2]) for ref in self.snapshots if ref.startswith(f"{name}@"))
        taken = self.store.snapshot(name, rebuild=rebuild)
        assert taken.ref == f"{name}@{number}"
        self.views[name].snapshot = number
        self.snapshots[taken.ref] = copy.deepcopy(self.views[name])

    # -- switching ----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.views)
    @rule(data=st.data(), override=st.booleans())
    def promote(self, data: st.DataObject, override: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.views)))
        view = self.views[name]
        if view.state == "quarantined" and not override:
            with pytest.raises(QuarantinedError):
                self.store.promote(name)
            return
        self._caught_up(name)
        if self.live == name:
            with pytest.raises(PairStateError, match="live already"):
                self.store.promote(name)
            view.checked = True
            return
        switched = self.store.promote(name, override=override, reason="a test")
        assert switched.target == f"{name}@{view.snapshot}"
        for other in self.views.values():
            other.state = "ready" if other.state == "standby" else other.state
        if self.live:
            self.views[self.live].state = "standby"
        view.checked = True
        self._serve(name)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), catch_up=st.booleans(), named=st.booleans())
    def rollback(self, data: st.DataObject, catch_up: bool, named: bool) -> None:
        before = [n for n in dict.fromkeys(reversed(self.served)) if n != self.live]
        to = data.draw(st.sampled_from(before)) if named and before else None
        fit = [n for n in ([to] if to else before) if self._fit(n)]
        if not fit:
            with pytest.raises(NoRollbackTargetError):
                self.store.rollback(to, reason="a test", catch_up=catch_up)
            return
        switched = self.store.rollback(to, reason="a test", catch_up=catch_up)
        assert switched.target == f"{fit[0]}@{self.views[fit[0]].snapshot}"
        assert self.live
        self.views[self.live].state = "quarantined"
        self._serve(fit[0])
        self._after_move(switched, fit[0], catch_up)

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data(), catch_up=st.booleans())
    def restore(self, data: st.DataObject, catch_up: bool) -> None:
        ref = data.draw(st.sampled_from(sorted(self.snapshots)))
        name = ref.partition("@")[0]
        switched = self.store.restore(ref, reason="a test", catch_up=catch_up)
        assert switched.target == ref
        if self.live and self.live != name:
            self.views[self.live].state = "standby"
        checked = self.views[name].checked
        self.views[name] = replace(copy.deepcopy(self.snapshots[ref]), checked=checked)
        self._serve(name)
        self._after_move(switched, name, catch_up)

    @precondition(lambda self: self.snapshots)
    @rule(keep=st.integers(1, 2))
    def prune(self, keep: int) -> None:
        plan = self.store.retention.plan(RetentionRules(keep, cool_down=0))
        assert not set(plan.snapshots) & {f"{name}@{view.snapshot}" for name, view in self.views.items()}
        done = self.store.retention.apply(plan)
        assert (done.spared, done.snapshots, plan.unknown) == ({}, plan.snapshots, "")
        for ref in done.snapshots:
            del self.snapshots[ref]

    # -- crashes ------------------------------------------------------------------------------------------------------

    @rule()
    def crash_and_reopen(self) -> None:
        self.store = vecrollback.connect(self.root)

    @rule(
        changes=st.dictionaries(st.sampled_from(IDS), st.tuples(st.sampled_from(TEXTS), st.sampled_from(KINDS))),
        deleting=st.booleans(),
    )
    def die_before_acknowledging(self, changes: dict[str, tuple[str, str]], deleting: bool) -> None:
        """The commit is on disk and above the acknowledged version: the next writer must finish or undo it."""
        self._finish_pending(writer=True)
        after = copy.deepcopy(self.log)
        with _dying("vecrollback.catalog.corpus_log.CorpusLog.commit"):
            if deleting:
                after.delete(list(changes))
                self.store.delete(list(changes))
            else:
                after.upsert(changes)
                self.store.upsert(_documents(changes))
        if after.head > self.log.head:
            self.pending = after
        self.crash_and_reopen()

    @precondition(lambda self: self.views)
    @rule(data=st.data())
    def die_before_a_batch_is_acknowledged(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.views)))
        with _dying("vecrollback.catalog.pairs.Pairs.advance"):
            self.store.catch_up(name)
        self.crash_and_reopen()

    @rule()
    def lose_power_over_a_manifest(self) -> None:
        """The name of the next version survives, its bytes do not."""
        for versions in self.root.glob("tables/*/_versions"):
            newest = min(int(file.stem) for file in versions.glob("*.manifest"))
            (versions / f"{newest - 1:020d}.manifest").write_bytes(b"\0" * 64)
            for hint in versions.glob("*hint*"):
                hint.write_bytes(b"\0" * 16)
        self.crash_and_reopen()

    # -- what must hold -----------------------------------------------------------------------------------------------

    @invariant()
    def every_answer_is_the_models(self) -> None:
        if self.live is None:
            return
        for query in QUERIES:
            self._compare(self.reader, query)
        self._compare(self.store, QUERIES[0], kind=KINDS[0])

    @invariant()
    def the_pointer_and_the_log_are_the_models(self) -> None:
        status = self.reader.status()
        assert status["corpus"] == {"head": self.log.head, "documents": len(self.log.live)}
        assert {p["name"]: (p["state"], p["watermark"], p["snapshot"]) for p in status["pairs"]} == {
            name: (view.state, view.watermark, view.snapshot) for name, view in self.views.items()
        }
        if self.live:
            alias = status["alias"]["live"]
            assert (alias["pair"], alias["snapshot"]) == (self.live, self.views[self.live].snapshot)
            moves = self.reader.history(alias="live")
            assert [move.epoch for move in moves] == list(range(alias["epoch"], 0, -1))

    @rule()
    def check_everything_in_a_new_process(self) -> None:
        self._check_all()

    def _check_all(self) -> None:
        with vecrollback.connect(self.root) as fresh:
            for name in self.views:
                assert_passes(fresh.check(name))
                self.views[name].checked = True
            if self.live:
                for query in QUERIES:
                    self._compare(fresh, query)

    def _compare(self, store: Store, query: str, kind: str | None = None) -> None:
        assert self.live
        spec, view = PAIRS[self.live][0], self.views[self.live]
        shown = {
            id_: text
            for id_, (seq, text) in view.rows.items()
            if id_ in self.log.live and text.strip() and seq > self.log.deleted.get(id_, 0)
        }
        if kind is not None:
            shown = {id_: text for id_, text in shown.items() if self.log.live[id_][2] == kind}
        try:
            result = store.search(query, k=EVERYTHING, where=kind and f"kind = '{kind}'")
        except vecrollback.VecrollbackError:
            assert kind
            assert not self.log.live  # no document ever had that key
            return
        assert (result.pair, result.snapshot) == (self.live, view.snapshot)
        assert result.watermark == view.watermark
        assert {hit.id for hit in result.hits} == set(shown)
        assert len(result.hits) == len(shown)
        for hit in result.hits:
            assert abs(hit.score - score(spec, shown[hit.id], query)) < TOLERANCE
            assert hit.stale == (shown[hit.id] != self.log.live[hit.id][1])
            assert hit.metadata == {"kind": self.log.live[hit.id][2]}
            today = self.log.live[hit.id][1]
            assert hit.text == today if hit.stale else hit.text in today

    # -- the model's own steps ----------------------------------------------------------------------------------------

    def _finish_pending(self, *, writer: bool = False) -> None:
        """The next writer adopts what a dead one committed."""
        if self.pending:
            if writer:
                self.store.upsert([Document("adopter", "")])
                self.store.delete(["adopter"])
                self.pending.upsert({"adopter": ("", "")})
                self.pending.delete(["adopter"])
            self.log, self.pending = self.pending, None

    def _caught_up(self, name: str) -> None:
        view = self.views[name]
        view.rows = {id_: (seq, text) for id_, (seq, text, _) in self.log.live.items()}
        view.watermark = self.log.head

    def _serve(self, name: str) -> None:
        self.views[name].state = "live"
        self.live = name
        self.served.append(name)

    def _after_move(self, switched: Any, name: str, catch_up: bool) -> None:
        assert not switched.trouble
        if catch_up:
            self._caught_up(name)
            self.views[name].checked = True
            assert_passes(switched.report)

    def _fit(self, name: str) -> bool:
        return self.views[name].checked and self.views[name].state != "quarantined"


def _documents(changes: dict[str, tuple[str, str]]) -> list[Document]:
    return [Document(id_, text, {"kind": kind}) for id_, (text, kind) in changes.items()]


@contextmanager
def _dying(place: str) -> Iterator[None]:
    """Let the process "end" where it would call `place`; what it wrote before stays."""
    with mock.patch(place, side_effect=Killed), suppress(Killed):
        yield


_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def test_store_equals_a_dict_through_any_history() -> None:
    profile = settings(
        max_examples=12,
        stateful_step_count=25,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],  # shrinking takes minutes; the slow run does it
        suppress_health_check=_QUIET,
    )
    run_state_machine_as_test(StoreMachine, settings=profile)  # type: ignore[no-untyped-call]


@pytest.mark.slow
def test_store_equals_a_dict_through_many_histories() -> None:
    profile = settings(max_examples=800, stateful_step_count=60, deadline=None, suppress_health_check=_QUIET)
    run_state_machine_as_test(StoreMachine, settings=profile)  # type: ignore[no-untyped-call]
