"""What every catalog promises of operations: incidents, freezes, approvals, notices, drills, the memory of a policy."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from vecrollback.catalog import Catalog
from vecrollback.catalog import schema as tables
from vecrollback.errors import UnknownNameError
from vecrollback.records import LATENCIES, AliasTarget, AnswerCount, Drill, Freeze, Incident, Phase, Sample, WatchCall
from vecrollback.testing.catalog_records import a_move, a_report, a_snapshot, an_approval, an_incident


class CatalogOperations:
    """A part of `CatalogConformance`, whose fixtures it uses."""

    def test_one_move_has_one_incident_and_it_comes_back_as_it_went_in(self, catalog: Catalog) -> None:
        opened = catalog.incidents.open(an_incident()).incident
        assert opened == replace(an_incident(), number=opened.number)
        assert catalog.incidents.open(replace(an_incident(), reason="another")).incident == opened
        assert catalog.incidents.of_move("live", 3) == opened
        assert catalog.incidents.of_move("candidate", 3) is None
        closed = catalog.incidents.change(opened.number, lambda one: replace(one, state="closed", verdict="pass"))
        assert catalog.incidents.get(opened.number) == closed
        assert catalog.incidents.all(state="open") == []
        assert catalog.incidents.all(state="closed") == [closed]
        with pytest.raises(UnknownNameError, match="9"):
            catalog.incidents.get(9)

    def test_the_incident_before_by_which_the_same_pair_was_left(self, catalog: Catalog) -> None:
        def opened(epoch: int, pair: str, alias: str = "live") -> Incident:
            one = replace(an_incident(), alias=alias, epoch=epoch, blast=replace(an_incident().blast, pair=pair))
            return catalog.incidents.open(one).incident

        opened(4, "v1", alias="candidate")
        incidents = [opened(epoch, pair) for epoch, pair in ((2, "v1"), (3, "v10"), (5, "v1"), (7, "v2"), (9, "v1"))]
        assert [catalog.incidents.epoch_before(one) for one in incidents] == [0, 0, 2, 0, 5]

    def test_incident_whose_stored_body_says_readers_is_read_and_rewritten(self, catalog: Catalog) -> None:
        opened = catalog.incidents.open(an_incident()).incident
        with catalog._database.engine.begin() as connection:
            body = dict(connection.execute(sa.select(tables.incident.c.body)).scalar_one())
            blast = dict(body.pop("blast"))
            old = {"readers": body.pop("searchers"), "blast": blast | {"readers": blast.pop("searchers")}}
            connection.execute(tables.incident.update().values(body=body | old))
        assert catalog.incidents.get(opened.number) == opened
        assert catalog.incidents.change(opened.number, lambda one: replace(one, lag=5)) == replace(opened, lag=5)
        assert catalog.incidents.all() == [replace(opened, lag=5)]

    def test_answers_are_summed_over_searchers_and_epochs(self, catalog: Catalog) -> None:
        catalog.served.note("r1", "live", [(2, 5, 10.0, 20.0), (3, 1, 21.0, 22.0)])
        catalog.served.note("r1", "live", [(2, 7, 10.0, 25.0)])  # a count so far, not an addition
        catalog.served.note("r2", "live", [(2, 4, 9.0, 30.0)])
        catalog.served.note("r3", "candidate", [(2, 100, 1.0, 2.0)])
        assert catalog.served.between("live", 2, 2) == (11, 2, 9.0, 30.0)
        assert catalog.served.between("live", 1, 3) == (12, 2, 9.0, 30.0)
        assert catalog.served.between("live", 7, 9) == (0, 0, None, None)
        catalog.served.forget(before=23.0)
        assert catalog.served.between("live", 1, 3).answers == 11

    def test_traffic_is_given_while_a_watch_asks_for_it_and_not_kept_longer(self, catalog: Catalog) -> None:
        traffic, now = catalog.traffic, time.time()
        assert traffic.called("live") is None
        call = WatchCall("here/one", keep=60.0, a_second=20)
        traffic.call("live", call, seconds=60.0)
        assert (traffic.called("live"), traffic.called("candidate")) == (call, None)
        samples = [(n, Sample(now - 10 + n, 3, f"häfen {n}", None if n == 2 else 0.5)) for n in range(3)]
        counts = [(0, AnswerCount(now - 5, 3, 7, 1, (7,) + (0,) * (LATENCIES - 1)))]
        traffic.give("s1", "live", "there/two", samples, counts)
        traffic.give("s2", "live", "here/one", [(0, Sample(now, 3, "of the watch itself", 0.1))], [])
        traffic.give("s3", "candidate", "there/two", [(0, Sample(now, 3, "of another alias", 0.1))], [])
        found = traffic.samples("live", 60.0, without="here/one")
        assert [(one.query, one.epoch, one.best) for one in found] == [
            ("häfen 0", 3, 0.5),
            ("häfen 1", 3, 0.5),
            ("häfen 2", 3, None),
        ]
        assert found[0].at == pytest.approx(now - 10, abs=5.0)
        [(origin, count)] = traffic.counts("live", 60.0, without="here/one")
        assert (origin, count.answers, count.errors, sum(count.latency)) == ("there/two", 7, 1, 7)
        assert traffic.counts("live", 60.0, without="there/two") == []
        traffic.give("s1", "live", "there/two", [(0, Sample(now, 4, "over its oldest row", 0.5))], [])
        found = traffic.samples("live", 60.0, without="here/one")
        assert [one.query for one in found] == ["häfen 1", "häfen 2", "over its oldest row"]
        traffic.call("live", replace(call, keep=-1.0), seconds=0.0)  # all of it is old now, and the call is over
        assert traffic.called("live") is None
        assert traffic.samples("live", 60.0, without="") == []
        assert [one.query for one in traffic.samples("candidate", 60.0, without="")] == ["of another alias"]
        traffic.leave("s3")
        assert traffic.samples("candidate", 60.0, without="") == []

    def test_traffic_that_nobody_took_is_deleted_in_the_end(self, catalog: Catalog) -> None:
        now = time.time()
        for name, at in (("s1", now - 86_400), ("s2", now)):
            catalog.traffic.give(name, "live", f"there/{name}", [(0, Sample(at, 3, name, 0.5))], [])
        catalog.traffic.forget_old()
        assert [one.query for one in catalog.traffic.samples("live", 1e9, without="")] == ["s2"]

    def test_freeze_holds_until_its_end(self, catalog: Catalog) -> None:
        assert catalog.freezes.of("live") is None
        catalog.freezes.put(Freeze("live", "why", "anna", "2025-01-01", "2025-01-02"))
        assert catalog.freezes.of("live") is None  # its end is long past
        later = Freeze("live", "why", "ben", "2025-01-01")
        catalog.freezes.put(later)
        assert catalog.freezes.of("live") == later
        assert catalog.freezes.lift("live")
        assert not catalog.freezes.lift("live")

    def test_request_for_the_same_move_is_the_same_request(self, catalog: Catalog) -> None:
        asked = catalog.approvals.ask(an_approval())
        assert catalog.approvals.ask(an_approval()) == asked
        other = catalog.approvals.ask(replace(an_approval(), epoch=4))
        assert other.number != asked.number
        said = {"actor": "anna", "decision": "approve", "reason": "", "at": "2025-01-01"}
        done = catalog.approvals.change(asked.number, lambda one: replace(one, state="done", decisions=(said,)))
        assert catalog.approvals.get(asked.number) == done
        assert done.approved_by == ("anna",)
        assert catalog.approvals.all(state="waiting") == [other]
        assert catalog.approvals.ask(an_approval()).number not in (asked.number, other.number)
        forced = catalog.approvals.ask(replace(an_approval(), override=True))
        assert catalog.approvals.get(forced.number).override
        assert catalog.approvals.ask(replace(an_approval(), override=True)) == forced
        assert catalog.approvals.ask(replace(an_approval(), planned=True)).number != forced.number

    def test_notice_waits_in_line_until_it_was_sent(self, catalog: Catalog) -> None:
        catalog.notices.add(["hook", "mail"], {"event": "alert", "text": "größer"}, due=10.0)
        catalog.notices.add([], {"event": "alert"}, due=10.0)
        assert catalog.notices.due(9.0) == []
        first, second = catalog.notices.due(10.0)
        assert (first.channel, second.channel, first.body["text"]) == ("hook", "mail", "größer")
        catalog.notices.tried(first.number, "waiting", due=50.0, error="away")
        catalog.notices.tried(second.number, "sent", due=10.0)
        assert catalog.notices.due(49.0) == []
        [again] = catalog.notices.due(50.0)
        assert (again.attempts, again.error) == (1, "away")
        assert [one.number for one in catalog.notices.all(state="sent")] == [second.number]

    def test_a_channel_with_many_notices_does_not_fill_the_line(self, catalog: Catalog) -> None:
        for number in range(5):
            catalog.notices.add(["dead"], {"number": number}, due=10.0)
        catalog.notices.add(["pager"], {"number": 9}, due=10.0)
        due = [(one.channel, one.body["number"]) for one in catalog.notices.due(10.0, limit=2)]
        assert due == [("dead", 0), ("pager", 9), ("dead", 1)]

    def test_tag_that_somebody_has_set_is_not_taken_for_an_incident(self, live_catalog: Catalog) -> None:
        live_catalog.pairs.set_tag("incident-1", a_snapshot())
        opened, trouble = live_catalog.incidents.open(replace(an_incident(), source="one@2", target="one@1"))
        assert (opened.number, opened.archived, trouble) == (1, "incident-1-2", "")
        assert live_catalog.pairs.tags() == {"incident-1": ("one", 1), "incident-1-2": ("one", 2)}

    def test_drill_comes_back_as_it_went_in(self, catalog: Catalog) -> None:
        drill = Drill(
            0, "", 2, "two@1", "one@1", "pass", (Phase("switch", 0.5, True, "x", 60.0),), "", "a", "2025", 1.5
        )
        kept = catalog.drills.add(drill)
        assert catalog.drills.all() == [replace(drill, number=kept.number)]
        catalog.drills.add(replace(drill, chaos="disk-full"))
        assert [one.chaos for one in catalog.drills.all(limit=1)] == ["disk-full"]

    def test_first_baseline_of_an_epoch_stands(self, catalog: Catalog) -> None:
        assert catalog.watching.baseline("live", 2) is None
        catalog.watching.keep_baseline("live", 2, "one", {"scores": [0.5]})
        catalog.watching.keep_baseline("live", 2, "one", {"scores": [0.9]})
        catalog.watching.keep_baseline("live", 5, "one", {"scores": [0.7]})
        assert catalog.watching.baseline("live", 2) == {"scores": [0.5]}
        assert catalog.watching.baseline_of("live", "one", before=6) == {"scores": [0.7]}
        assert catalog.watching.baseline_of("live", "one", before=5) == {"scores": [0.5]}
        assert catalog.watching.baseline_of("live", "one", before=2) is None
        assert catalog.watching.baseline_of("live", "two", before=9) is None

    def test_pushed_values_and_the_memory_of_a_policy_are_kept(self, catalog: Catalog) -> None:
        at = time.time()
        catalog.watching.push([("clicks", 0.5, at - 10), ("clicks", 0.25, at), ("other", 1.0, at)])
        assert catalog.watching.pushed("clicks", at - 20) == [0.5, 0.25]
        assert catalog.watching.pushed("clicks", at - 5) == [0.25]
        catalog.watching.push([("clicks", 9.0, at - 40 * 86400)])
        assert catalog.watching.pushed("clicks", 0) == [0.5, 0.25]
        memory = {"lag": {"epoch": 2, "recent": [[at, "failure", 9.0, 1, "> 5", ""]], "firing": True, "ordered": {}}}
        catalog.watching.remember("live", memory)
        catalog.watching.remember("live", memory)
        assert catalog.watching.memory("live") == memory
        [standing] = catalog.watching.standing("live")
        assert (standing["metric"], standing["phase"], standing["value"]) == ("lag", "failure", 9.0)

    def test_copy_is_a_store_of_its_own_with_everything_in_it(self, live_catalog: Catalog, tmp_path: Path) -> None:
        live_catalog.aliases.move(a_move())
        live_catalog.reports.add(a_report())
        live_catalog.notices.add(["hook"], {"event": "alert"}, due=0.0)
        live_catalog.copy_to(tmp_path / "copy")
        copy = Catalog(tmp_path / "copy")
        assert (copy.pairs.all(), copy.aliases.history()) == (
            live_catalog.pairs.all(),
            live_catalog.aliases.history(),
        )
        assert copy.reports.newest("one") == live_catalog.reports.newest("one")
        assert copy.notices.all() == []  # it would be sent twice
        assert copy.store_id != live_catalog.store_id
        copy.aliases.move(a_move(expected=1))
        assert live_catalog.aliases.get("live") == AliasTarget("one", 1, 1)
        copy.close()
