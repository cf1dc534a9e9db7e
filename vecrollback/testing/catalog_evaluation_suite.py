"""What every catalog promises of golden queries, gates and canaries."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vecrollback.catalog import Catalog
from vecrollback.errors import AliasMovedError, PairStateError, QuarantinedError, UnknownNameError
from vecrollback.records import (
    CANDIDATE,
    AliasTarget,
    Canary,
    CanaryRun,
    GateOutcome,
    GateVerdict,
    GoldenQuery,
    MoveRequest,
    Observation,
    PairState,
    SnapshotRef,
)
from vecrollback.testing.catalog_records import a_move, a_pair, a_snapshot


def a_query(id_: str = "q", at: str = "2025-01-01") -> GoldenQuery:
    return GoldenQuery(id_, "wörds ☂", {"doc ☂": 2, "b": 0}, ("incident-1", "hot"), at, "somebody")


def a_canary(pair: str = "two") -> CanaryRun:
    policy = {"steps": [1, 5], "shadow": 10.0}
    return CanaryRun(0, "live", pair, "one", 0, 0.0, 10.0, "salt", policy, 0.0, "", "somebody")


def a_load(pair: str = "two", expected: int = 0, state: PairState = "ready") -> MoveRequest:
    target = SnapshotRef(pair, 1)
    requires: dict[str, PairState] = {pair: state}
    return MoveRequest(
        "to be tried", "somebody", expected_epoch=expected, alias=CANDIDATE, target=target, requires=requires
    )


class CatalogEvaluation:
    """A part of `CatalogConformance`, whose fixtures it uses: tests get pair `one`, which is live, and pair `two`."""

    @pytest.fixture
    def two_pairs(self, live_catalog: Catalog) -> Catalog:
        live_catalog.pairs.add(a_pair("two"), {})
        live_catalog.pairs.add_snapshot(a_snapshot("two"))
        live_catalog.aliases.move(a_move())
        return live_catalog

    # -- golden queries -----------------------------------------------------------------------------------------------

    def test_golden_query_comes_back_as_it_went_in_and_keeps_its_birth(self, catalog: Catalog) -> None:
        catalog.golden.put([a_query("b", "2025-01-02"), a_query("a")])
        assert catalog.golden.all() == [a_query("a"), a_query("b", "2025-01-02")]
        catalog.golden.put([replace(a_query("a", "2026"), text="other", expected={}, tags=())])
        [changed] = [query for query in catalog.golden.all() if query.id == "a"]
        assert changed == replace(a_query("a"), text="other", expected={}, tags=())

    def test_golden_query_is_found_by_its_whole_tag_and_removed_with_all_or_none(self, catalog: Catalog) -> None:
        catalog.golden.put([a_query("a"), replace(a_query("b"), tags=("incident-11",))])
        assert [query.id for query in catalog.golden.all("incident-1")] == ["a"]
        with pytest.raises(UnknownNameError, match="'c'"):
            catalog.golden.remove(["a", "c"])
        catalog.golden.remove(["a"])
        assert [query.id for query in catalog.golden.all()] == ["b"]

    # -- gates --------------------------------------------------------------------------------------------------------

    def test_verdict_of_a_promote_is_in_the_moves_own_transaction(self, two_pairs: Catalog) -> None:
        passed = GateVerdict("two", 1, (GateOutcome("lag = 0", "pass", "0 behind", 0.0, 0.0),))
        failed = replace(passed, outcomes=(GateOutcome("ndcg@10 >= 0.5", "unknown", "nobody knows"),))
        two_pairs.gatekeeping.refused(failed, "somebody")
        newest = two_pairs.gatekeeping.newest("two")
        assert (newest, newest and newest.passed) == (failed, False)
        two_pairs.aliases.move(replace(a_move("two", expected=1), gated=passed))
        assert two_pairs.gatekeeping.newest("two") == passed
        assert two_pairs.gatekeeping.newest("one") is None
        with pytest.raises(UnknownNameError):
            two_pairs.aliases.move(replace(a_move("two", expected=2, snapshot=9), gated=failed))
        assert two_pairs.gatekeeping.newest("two") == passed

    # -- canaries -----------------------------------------------------------------------------------------------------

    def test_pointer_carries_the_canary_that_runs_and_nothing_else(self, two_pairs: Catalog) -> None:
        reader = two_pairs.aliases.pointer_reader("live")
        before = reader.read()
        assert before is not None and before.canary is None
        canary = two_pairs.canaries.start(a_canary(), a_load())
        pointer = reader.read()
        assert pointer is not None
        assert pointer.canary == Canary(canary.number, 0, 0.0, 10.0, "salt", "two", 1, 0, 1)
        two_pairs.canaries.step(canary.number, expected=0, step=1, share=1.5)
        two_pairs.pairs.advance("two", watermark=5, vectors_version=2, expected=1)
        pointer = reader.read()
        assert pointer is not None and pointer.canary is not None
        assert (pointer.canary.step, pointer.canary.share, pointer.canary.watermark) == (1, 1.5, 5)
        assert reader.read() is pointer
        two_pairs.canaries.end("live", reason="enough", actor="somebody")
        pointer = reader.read()
        assert pointer == before
        reader.close()

    def test_one_canary_runs_at_a_time_and_a_step_states_what_it_expects(self, two_pairs: Catalog) -> None:
        canary = two_pairs.canaries.start(a_canary(), a_load())
        with pytest.raises(PairStateError, match="runs already"):
            two_pairs.canaries.start(a_canary(), a_load())
        with pytest.raises(PairStateError, match="step 3"):
            two_pairs.canaries.step(canary.number, expected=3, step=4, share=5.0)
        assert two_pairs.canaries.running("live") == canary
        assert two_pairs.canaries.end("live", reason="bad", actor="anna") == canary
        assert two_pairs.canaries.end("live", reason="twice", actor="anna") is None
        [ended] = two_pairs.canaries.all()
        assert (ended.ended_by, ended.end_reason, ended.policy) == ("anna", "bad", {"steps": [1, 5], "shadow": 10.0})
        with pytest.raises(PairStateError):
            two_pairs.canaries.step(canary.number, expected=0, step=1, share=1.0)
        assert two_pairs.canaries.start(a_canary(), a_load()).number > canary.number

    def test_canary_ends_with_a_move_of_its_alias_but_not_with_a_new_snapshot(self, two_pairs: Catalog) -> None:
        two_pairs.canaries.start(a_canary(), a_load())
        two_pairs.pairs.add_snapshot(a_snapshot("one", 3))
        two_pairs.aliases.move(replace(a_move("two", expected=1), alias="candidate"))
        two_pairs.pairs.add_snapshot(a_snapshot("two", 2))
        assert two_pairs.canaries.running("live") is not None
        two_pairs.aliases.move(a_move("two", expected=2, snapshot=2))
        assert two_pairs.canaries.running("live") is None
        assert two_pairs.canaries.all()[0].end_reason == "promote of two"

    def test_canary_ends_when_the_candidate_becomes_another_pair(self, two_pairs: Catalog) -> None:
        two_pairs.canaries.start(a_canary(), a_load())
        two_pairs.aliases.move(replace(a_move("one", expected=1), alias="candidate"))
        assert two_pairs.canaries.running("live") is None

    def test_canary_and_the_candidate_that_searchers_load_begin_together_or_neither(self, two_pairs: Catalog) -> None:
        two_pairs.canaries.start(a_canary(), a_load())
        assert two_pairs.aliases.get(CANDIDATE) == AliasTarget("two", 1, 1)
        with pytest.raises(PairStateError, match="runs already"):
            two_pairs.canaries.start(a_canary("one"), a_load("one", expected=1))
        assert two_pairs.canaries.running("live") is not None, "the one that was first goes on"
        two_pairs.canaries.end("live", reason="bad", actor="anna")
        two_pairs.canaries.start(a_canary(), a_load(expected=7))  # `candidate` is there already: nothing has to move
        two_pairs.canaries.end("live", reason="bad", actor="anna")
        with pytest.raises(AliasMovedError):
            two_pairs.canaries.start(replace(a_canary("one"), baseline="one"), a_load("one", expected=7))
        two_pairs.pairs.set_state("two", "quarantined", "it answers nonsense")
        with pytest.raises(QuarantinedError, match="rolled back from meanwhile: it answers nonsense"):
            two_pairs.canaries.start(a_canary(), a_load(expected=1))
        with pytest.raises(PairStateError, match="live is one now, not three"):
            two_pairs.canaries.start(replace(a_canary(), baseline="three"), a_load(expected=1, state="quarantined"))
        assert two_pairs.canaries.running("live") is None
        assert two_pairs.aliases.get(CANDIDATE) == AliasTarget("two", 1, 1)

    def test_observations_add_up(self, two_pairs: Catalog) -> None:
        canary = two_pairs.canaries.start(a_canary(), a_load())
        one = Observation(2, 1.0, 0.5, 0.25, 0.75, {"2": 1, "7": 1})
        for _ in range(3):
            two_pairs.canaries.observe(canary.number, 0, {"overlap": one, "failed": Observation(1)})
        two_pairs.canaries.observe(canary.number, 1, {"overlap": one})
        seen = two_pairs.canaries.observed(canary.number, 0)
        assert seen["overlap"] == Observation(6, 3.0, 1.5, 0.25, 0.75, {"2": 3, "7": 3})
        assert seen["failed"].count == 3
        assert two_pairs.canaries.observed(canary.number, 1) == {"overlap": one}
