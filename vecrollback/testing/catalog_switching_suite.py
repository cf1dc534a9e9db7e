"""What every catalog promises of a switch: what it decides on is of one moment, and who served when is as in the
history, whoever wrote that.
"""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial

import pytest
import sqlalchemy as sa

from vecrollback.catalog import Catalog, chained_hash
from vecrollback.catalog import schema as tables
from vecrollback.catalog.tenures import from_moves
from vecrollback.errors import (
    AliasMovedError,
    HeadMovedError,
    PairStateError,
    QuarantinedError,
    UnknownNameError,
)
from vecrollback.records import LIVE, AliasTarget, Move, PairFacts, SearcherRecord, SnapshotRef, Tenure
from vecrollback.testing.catalog_records import a_move, a_pair, a_report, a_snapshot, an_incident

_NAMES = ("one", "two", "three", "four")


def _served_by_history(catalog: Catalog) -> dict[str, Tenure]:
    return from_moves((move.epoch, move.target, move.at) for move in catalog.aliases.history(LIVE)[::-1])


def _move_as_an_older_version_does(catalog: Catalog, pair: str) -> None:
    """A move that knows nothing of tenures."""
    last = catalog.aliases.history(limit=1)[0]
    values = {name: getattr(last, name) for name in last.__slots__}
    values |= {"number": last.number + 1, "epoch": last.epoch + 1, "source": last.target, "target": f"{pair}@1"}
    values |= {"kind": "set", "previous_hash": last.hash}
    with catalog._database.write() as connection:
        connection.execute(tables.history.insert().values(**values | {"hash": chained_hash(values)}))
        connection.execute(tables.alias.update().values(pair=pair, snapshot=1, epoch=last.epoch + 1))


class CatalogSwitching:
    """A part of `CatalogConformance`, whose fixtures it uses."""

    @pytest.fixture
    def several(self, catalog: Catalog) -> Catalog:
        """With four pairs that have a snapshot each; nothing is live."""
        for name in _NAMES:
            catalog.pairs.add(replace(a_pair(name)), {})
            catalog.pairs.add_snapshot(a_snapshot(name))
        return catalog

    def serve(self, catalog: Catalog, *names: str) -> list[Move]:
        epoch = catalog.switch_state().epoch
        return [catalog.aliases.move(a_move(name, epoch + n)) for n, name in enumerate(names)]

    def test_state_of_a_store_in_which_nothing_serves(self, several: Catalog) -> None:
        state = several.switch_state(pair="none", ref="none", until=lambda _: False)
        assert (state.target, state.epoch, state.live, state.before, state.snapshot) == (None, 0, None, (), None)
        assert state.named == PairFacts("none", None, None, None, None)

    def test_state_holds_all_that_a_switch_decides_on(self, several: Catalog) -> None:
        moves = self.serve(several, "one", "two")
        for verdict in ("fail", "pass"):
            several.reports.add(a_report(verdict))
        several.pairs.set_state("three", "standby")
        several.pairs.set_tag("kept", a_snapshot("four"))
        several.searchers.announce(SearcherRecord("far", LIVE, "elsewhere", 1, 1, ("two@1",), 0.0))
        state = several.switch_state(pair="four", ref="kept", until=lambda _: False, standbys=True)
        assert state.aliases == several.aliases.all()
        assert state.head == several.ledger.state().head
        assert state.live == PairFacts(
            "two", several.pairs.get("two"), a_snapshot("two"), None, Tenure(2, 2, moves[1].at)
        )
        one = PairFacts("one", several.pairs.get("one"), a_snapshot("one"), "pass", Tenure(1, 1, moves[0].at))
        assert state.before == (one,)
        assert state.named == PairFacts("four", several.pairs.get("four"), a_snapshot("four"), None, None)
        assert (state.snapshot, state.standbys) == (a_snapshot("four"), ("three",))
        assert [one.id for one in state.searchers] == ["far"]

    def test_pairs_that_served_are_read_newest_first_down_to_the_first_that_is_wanted(self, several: Catalog) -> None:
        self.serve(several, "one", "two", "three", "two", "four")
        asked: list[str] = []

        def wanted(facts: PairFacts) -> bool:
            asked.append(facts.name)
            return facts.name == "three"

        assert [facts.name for facts in several.switch_state(until=wanted).before] == ["two", "three"]
        assert asked == ["two", "three"]
        every = several.switch_state(until=lambda _: False).before
        assert [facts.name for facts in every] == ["two", "three", "one"]
        assert several.switch_state().before == ()

    def test_pair_that_served_and_was_pruned_is_told_without_a_record(self, several: Catalog) -> None:
        self.serve(several, "one", "two")
        several.pairs.retire("one", "old")
        several.pairs.forget("one")
        [one] = several.switch_state(until=lambda _: False).before
        assert (one.name, one.pair, one.snapshot, one.tenure is not None) == ("one", None, None, True)

    def test_who_served_when_is_what_the_history_says_after_any_moves(self, several: Catalog) -> None:
        chance = random.Random(7)
        self.serve(several, "one")
        for _ in range(30):
            if chance.random() < 0.3:
                _move_as_an_older_version_does(several, chance.choice(_NAMES))
            else:
                self.serve(several, chance.choice(_NAMES))
                assert several.aliases.tenures()[LIVE] == _served_by_history(several)
            state = several.switch_state(until=lambda _: False)
            facts = [facts for facts in (state.live, *state.before) if facts]
            assert {one.name: one.tenure for one in facts} == _served_by_history(several)
            ends = [one.tenure.last_epoch for one in facts if one.tenure]
            assert ends == sorted(ends, reverse=True)

    def test_new_snapshots_and_candidates_do_not_end_who_serves(self, several: Catalog) -> None:
        [first] = self.serve(several, "one")
        several.aliases.move(replace(a_move("two"), alias="candidate"))
        several.pairs.add_snapshot(a_snapshot("one", 2))
        assert several.aliases.tenures()[LIVE] == {"one": Tenure(1, 2, first.at)}

    def test_evidence_of_a_move_is_of_its_own_time_however_late_it_is_asked_for(self, several: Catalog) -> None:
        moves = self.serve(several, "one", "two", "two", "one", "two", "three", "two")
        several.reports.add(a_report("fail"))
        left_two, left_one = moves[3], moves[4]
        assert several.incidents.evidence(left_two) == (Tenure(2, 3, moves[1].at), None)
        tenure, report = several.incidents.evidence(left_one)
        assert tenure == Tenure(4, 4, moves[3].at)
        assert report == a_report("fail")
        assert several.incidents.evidence(moves[6])[0] == Tenure(6, 6, moves[5].at)

    def test_moves_that_left_a_pair_and_have_no_incident_are_found(self, several: Catalog) -> None:
        self.serve(several, "one")
        back = [several.aliases.move(replace(a_move(name, n), kind="rollback")) for n, name in ((1, "two"), (2, "one"))]
        assert several.incidents.without(LIVE, ("rollback",), "") == back
        assert several.incidents.without(LIVE, ("restore",), "") == []
        assert several.incidents.without(LIVE, ("rollback",), "3000-01-01") == []
        several.incidents.open(replace(an_incident(), epoch=2))
        assert several.incidents.without(LIVE, ("rollback",), "") == [back[1]]
        assert several.incidents.of_move(LIVE, 2) is not None
        assert several.incidents.of_move(LIVE, 3) is None

    def test_incident_keeps_the_snapshot_that_was_left(self, several: Catalog) -> None:
        opened, trouble = several.incidents.open(an_incident())
        assert (several.pairs.tags(), trouble) == ({opened.archived: ("two", 1)}, "")
        gone = replace(an_incident(), epoch=4, source="two@9")
        kept, trouble = several.incidents.open(gone)
        assert kept == replace(gone, number=kept.number)
        assert "two@9" in trouble

    def test_incident_is_kept_though_tags_cannot_be_written(self, several: Catalog) -> None:
        with several._database.write() as connection:
            tables.tag.drop(connection)
        opened, trouble = several.incidents.open(an_incident())
        assert several.incidents.get(opened.number) == replace(an_incident(), number=opened.number)
        assert "tag" in trouble

    def test_incident_that_a_watcher_opened_is_completed_once(self, several: Catalog) -> None:
        several.incidents.open(replace(an_incident(), switch_ms=None, lag=None))
        for number in (7, 8):
            complete = partial(replace, switch_ms=1.0, lag=number)
            opened, _ = several.incidents.open(an_incident(), complete)
        assert (opened.switch_ms, opened.lag) == (1.0, 7)
        assert several.incidents.get(opened.number) == opened

    def test_new_snapshot_of_the_same_pair_overtakes_no_decision_and_a_move_does(self, several: Catalog) -> None:
        self.serve(several, "one", "two")
        several.pairs.add_snapshot(a_snapshot("two", 2))
        assert several.aliases.get(LIVE) == AliasTarget("two", 2, 3)
        assert not several.aliases.switched_since(LIVE, 2)
        assert several.aliases.switched_since(LIVE, 1)
        assert several.aliases.switched_since(LIVE, 4), "an epoch that never was"
        back = several.aliases.move(replace(a_move("one", expected=2), kind="rollback"))
        assert (back.epoch, back.source) == (4, "two@2")
        several.pairs.add_snapshot(a_snapshot("one", 2))
        for old in (2, 3):
            with pytest.raises(AliasMovedError):
                several.aliases.move(a_move("three", expected=old))
        assert several.aliases.get(LIVE) == AliasTarget("one", 2, 5)

    def test_move_is_refused_when_a_pair_is_not_in_the_state_that_it_requires(self, several: Catalog) -> None:
        several.pairs.set_state("two", "quarantined", "bad")
        wanted = replace(a_move("two"), requires={"two": "ready"})
        with pytest.raises(QuarantinedError, match="rolled back from meanwhile: bad"):
            several.aliases.move(wanted)
        with pytest.raises(PairStateError, match="was standby when this was decided, and is ready now"):
            several.aliases.move(replace(a_move("one"), requires={"one": "standby"}))
        assert several.aliases.history() == []
        with pytest.raises(QuarantinedError):
            several.pairs.set_state("two", "ready", expected="live")
        several.pairs.set_state("two", "ready", expected="quarantined")
        assert several.aliases.move(wanted).target == "two@1"

    def test_snapshot_of_vectors_that_a_restore_has_left_does_not_serve(self, several: Catalog) -> None:
        self.serve(several, "one")
        several.pairs.advance("one", watermark=5, vectors_version=4, expected=1)
        late = replace(a_snapshot("one", 2), watermark=5, vectors_version=4)
        several.aliases.move(replace(a_move("one", expected=1), kind="restore", head=(0, 1)))
        with pytest.raises(HeadMovedError):
            several.pairs.add_snapshot(late)
        assert several.aliases.get(LIVE) == AliasTarget("one", 1, 2)
        assert [one.ref for one in several.pairs.snapshots("one")] == ["one@1"]

    def test_name_is_taken_by_the_pair_that_had_it_and_not_by_one_that_looks_alike(self, several: Catalog) -> None:
        several.pairs.add(a_pair("e5-small"), {})
        several.pairs.add_snapshot(a_snapshot("e5-small"))
        self.serve(several, "e5-small", "one")
        several.pairs.add(a_pair("e5_small"), {})
        several.pairs.retire("e5-small", "old")
        several.pairs.forget("e5-small")
        with pytest.raises(PairStateError, match="'e5-small' served before"):
            several.pairs.add(a_pair("e5-small"), {})

    def test_tag_keeps_only_what_is_there(self, several: Catalog) -> None:
        with pytest.raises(UnknownNameError, match="one@2 was deleted meanwhile"):
            several.pairs.set_tag("kept", a_snapshot("one", 2))
        assert several.pairs.tags() == {}

    def test_request_that_does_not_say_where_to_is_refused(self, several: Catalog) -> None:
        for wrong in (replace(a_move(), target=None), replace(a_move(), expected_epoch=None)):
            with pytest.raises(ValueError, match="its target and the epoch"):
                several.aliases.move(wrong)
        assert several.aliases.history() == []

    def test_snapshot_is_found_by_its_name_its_pair_and_a_tag(self, several: Catalog) -> None:
        several.pairs.set_tag("first", a_snapshot("one"))
        for ref, found in (("one@1", "one@1"), ("one", "one@1"), ("first", "one@1"), ("two", "two@1")):
            assert str(SnapshotRef.parse(several.pairs.find_snapshot(ref).ref)) == found
        with several._database.read() as connection:
            assert connection.scalar(sa.select(sa.func.count()).select_from(tables.snapshot)) == len(_NAMES)
