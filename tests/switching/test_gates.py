"""A promote that its gates stop, one after the other; the way back first, broken in every way.

Covers switching.gates.evidence, switching.gates.judge, switching.gates.way_back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vecrollback
from vecrollback import Document, Store
from vecrollback.errors import AliasMovedError, GateRefusedError, UnknownNameError, UsageError
from vecrollback.records import GateOutcome, MoveRequest

GOOD, BAD = "hash:256?seed=1", "hash:8?seed=2"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """v1 is live; good is as good, bad is not; ten golden queries."""
    root = tmp_path_factory.mktemp("template")
    with vecrollback.connect(root, create=True, actor="tester") as store:
        store.upsert(Document(f"d{i}", f"crate {i} holds apples of row {i % 7}, word{i * i % 53}") for i in range(60))
        store.reembed(GOOD, name="v1").wait()
        store.promote("v1", reason="first")
        store.reembed("hash:256?seed=3", name="good").wait()
        store.reembed(BAD, name="bad").wait()
        for i in range(10):
            store.golden.add(f"crate {i} word{i * i % 53}", [f"d{i}"], tags=["hot"] if i < 2 else [])
    return root


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `vecrollback.toml` is read from; and who acts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VECROLLBACK_ACTOR", "tester")


def gates(*texts: str) -> None:
    lines = [f'  "{text}",' for text in texts]
    Path("vecrollback.toml").write_text("\n".join(["# gates", "[gates]", "promote = [", *lines, "]", ""]))


def wait_until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def refused(store: Store, pair: str = "bad") -> dict[str, GateOutcome]:
    """The outcomes of a promote that is refused and moves nothing."""
    before = store.history()
    with pytest.raises(GateRefusedError) as caught:
        store.promote(pair, reason="try")
    assert store.history() == before
    assert store.live().name == "v1"
    kept = store.resources.catalog.gatekeeping.newest(pair)
    assert kept is not None and not kept.passed
    for one in kept.outcomes:
        assert f"{one.outcome:<8} {one.gate}: {one.sentence}" in str(caught.value)
    return {one.gate: one for one in kept.outcomes}


# -- gates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gate", "outcome"),
    [
        ("ndcg@10 >= 0.98 * live", "fail"),
        ("recall@5 >= live", "fail"),
        ("mrr@10 on hot >= 90%", "fail"),
        ("overlap@10 >= 0.9", "fail"),
        ("rbo@10 >= 0.9", "fail"),
        ("latency p99 <= 0.001 * live", "fail"),
        ("latency p50 <= 0.000001 ms", "fail"),
        ("recall@10 of the index > 1", "fail"),
        ("purity certificate <= 0.000001% at 95%", "pass"),  # sixty of sixty were re-embedded
        ("ndcg@10 on nowhere >= 0.1", "unknown"),
    ],
)
def test_each_gate_stops_a_promote_with_what_it_measured(gate: str, outcome: str, store: Store) -> None:
    gates("lag = 0", gate)
    if outcome == "pass":
        assert {one.gate: one.outcome for one in store.promote("bad", reason="try").gates}[gate] == "pass"
        return
    found = refused(store)
    assert [found[name].outcome for name in ("way back", "lag = 0", gate)] == ["pass", "pass", outcome]
    assert (found[gate].measured is None) == (outcome == "unknown")


def test_a_pair_that_is_as_good_passes_and_the_verdict_stays_with_the_move(store: Store) -> None:
    gates("ndcg@10 >= 0.98 * live", "recall@10 of the index >= 0.95", "purity certificate <= 5% at 99%", "lag = 0")
    done = store.promote("good", reason="as good")
    assert [one.outcome for one in done.gates] == ["pass"] * 5
    kept = store.resources.catalog.gatekeeping.newest("good")
    assert kept is not None and kept.passed
    assert (kept.pair, kept.outcomes) == ("good", done.gates)


def test_the_check_of_a_promote_examines_as_much_as_the_certificate_asks_for(store: Store) -> None:
    gates("purity certificate <= 5% at 99%")
    done = store.promote("good", reason="as good")
    assert done.report is not None and done.report.certificate is not None
    assert done.report.certificate.confidence == 0.99
    assert done.report.certificate.bound <= 0.05


def test_an_override_passes_and_is_in_the_history(store: Store) -> None:
    gates("ndcg@10 >= 0.98 * live", "ndcg@10 on nowhere >= 0.1")
    with pytest.raises(GateRefusedError):
        store.promote("bad", override=True)  # without a reason it is none
    done = store.promote("bad", reason="we must", override=True)
    assert [one.outcome for one in done.gates] == ["pass", "fail", "unknown"]
    said = "we must (override of ndcg@10 >= 0.98 * live: fail; ndcg@10 on nowhere >= 0.1: unknown)"
    assert store.history(alias="live")[0].reason == said


def test_a_lag_gate_counts_what_was_written_meanwhile(store: Store) -> None:
    gates("lag = 0")
    store.upsert([Document("new", "text")])
    assert {one.gate: one.outcome for one in store.gates.look("good").outcomes}["lag = 0"] == "fail"
    assert store.promote("good", reason="catches up first").lag == 0


def test_looking_moves_nothing_and_says_what_a_check_would_have_to_tell(store: Store) -> None:
    gates("ndcg@10 >= 0.98 * live", "recall@10 of the index >= 0.95", "purity certificate <= 5% at 99%")
    before = store.history(), store.pairs()
    found = store.gates.look("good")
    assert [one.outcome for one in found.outcomes] == ["pass", "pass", "unknown", "unknown"]
    store.check("good")
    found = store.gates.look("good")
    assert [one.outcome for one in found.outcomes] == ["pass", "pass", "pass", "unknown"]
    assert "--confidence 0.99" in found.outcomes[3].sentence
    store.check("good", bound=0.05, confidence=0.99)
    assert store.gates.look("good").passed
    assert (store.history(), store.pairs()) == before
    with pytest.raises(UnknownNameError):
        store.gates.look("nothing")


def test_a_certificate_of_an_older_state_says_nothing(store: Store) -> None:
    gates("recall@10 of the index >= 0.95")
    store.check("good")
    store.upsert([Document("new", "text")])
    store.catch_up("good")
    assert "another state" in store.gates.look("good").outcomes[1].sentence


def test_the_first_promote_has_nothing_to_be_worse_than(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    gates("ndcg@10 >= 0.98 * live", "overlap@10 >= 0.5", "latency p99 <= 2 * live", "recall@10 of the index >= 0.5")
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document(f"d{i}", f"crate {i}") for i in range(9)])
        store.golden.add("crate 3", ["d3"])
        store.reembed(GOOD, name="v1").wait()
        done = store.promote("v1", reason="first")
        assert [one.outcome for one in done.gates] == ["pass"] * 5
        assert "no pair is live yet" in done.gates[1].sentence


def test_a_typo_names_its_line_and_nothing_is_caught_up_or_moved(store: Store) -> None:
    gates("lag = 0", "ndgc@10 >= 0.5")
    store.upsert([Document("new", "text")])
    with pytest.raises(UsageError, match=r"vecrollback\.toml:5: gate 'ndgc@10 >= 0.5', column 1: .*'ndcg'"):
        store.promote("good", reason="try")
    assert store.lag("good") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gates = 1", "must be a table"),
        ("[gates]\npromotes = []", "no key 'promotes'"),
        ("[gates]\npromote = 'lag = 0'", "list of strings"),
        ("[gate]\npromote = []", "unknown key 'gate'"),
        ("[gates", "not valid TOML"),
    ],
)
def test_a_file_that_means_nothing_is_refused(text: str, said: str, root: Path) -> None:
    Path("vecrollback.toml").write_text(text)
    with pytest.raises(UsageError, match=said), vecrollback.connect(root) as store:
        store.promote("good", reason="try")


def test_the_stores_own_file_counts_where_the_working_directory_has_none(store: Store, root: Path) -> None:
    (root / "vecrollback.toml").write_text('[gates]\npromote = ["ndcg@10 >= 0.98 * live"]\n')
    assert refused(store)["ndcg@10 >= 0.98 * live"].outcome == "fail"
    gates("lag = 0")
    assert store.promote("bad", reason="the working directory's file wins").target == "bad@1"


def test_a_gate_on_lag_passes_while_somebody_writes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    gates("lag = 0")
    written, stop, judged = [0], threading.Event(), store.gates.passed

    def judge_after_another_write(*arguments: Any, **options: Any) -> Any:
        before = written[0]
        wait_until(lambda: written[0] > before)
        return judged(*arguments, **options)

    monkeypatch.setattr(store.gates, "passed", judge_after_another_write)

    def write() -> None:
        while not stop.is_set():
            store.upsert([Document(f"new{written[0]}", f"crate {written[0]} of pears")])
            written[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait_until(lambda: written[0] > 2)
        done = store.promote("good", reason="as good")
    finally:
        stop.set()
        writer.join()
    [lag] = [outcome for outcome in done.gates if outcome.gate == "lag = 0"]
    assert (lag.outcome, lag.measured) == ("pass", 0)
    assert "came since" in lag.sentence


def test_what_is_written_during_the_check_and_the_gates_is_taken_in_before_the_move(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates("lag = 0")
    judged = store.gates.passed

    def judge_while_somebody_writes(*arguments: Any, **options: Any) -> Any:
        request = judged(*arguments, **options)
        store.upsert([Document("late", "a crate of late pears")])
        return request

    monkeypatch.setattr(store.gates, "passed", judge_while_somebody_writes)
    before = store.pair("good").snapshot
    done = store.promote("good", reason="as good")
    assert done.lag == 0
    assert store.pair("good").watermark == store.status()["corpus"]["head"]
    assert (done.target, store.pair("good").snapshot) == (f"good@{before}", before)
    assert "late" in {hit.id for hit in store.search("late pears", k=5).hits}


def test_a_gate_on_lag_fails_for_what_the_catch_up_was_to_take_in(store: Store) -> None:
    gates("lag = 0")
    head = store.status()["corpus"]["head"]
    store.upsert([Document("later", "crate of pears")])
    with pytest.raises(GateRefusedError, match="1 changes behind the log as it stood"):
        store.gates.passed(store.pair("good"), MoveRequest("try", "tester"), head=head + 1)
    assert store.gates.passed(store.pair("good"), MoveRequest("try", "tester"), head=head).gated
    [_, looked] = store.gates.look("good").outcomes
    assert looked.outcome == "fail"
    assert looked.sentence.startswith("1 changes behind the log; a promote catches up")


def test_a_promote_measured_against_another_live_pair_is_refused(store: Store) -> None:
    order = store.gates.passed(store.pair("bad"), MoveRequest("late", "somebody"))
    store.promote("good", reason="meanwhile")
    report = store.check("bad")
    with pytest.raises(AliasMovedError):
        store._parts.switch.promote(store.pair("bad"), report, order)
    assert store.live().name == "good"


# -- the way back -----------------------------------------------------------------------------------------------------


def index_of(store: Store, name: str) -> Path:
    manifest = store.manifest(name)[1]
    return store.resources.artifacts.path(manifest.index.artifact)


def vectors_of(store: Store, name: str) -> Path:
    return next((store.root / "tables" / f"vectors-{name}.lance" / "data").iterdir())


@pytest.mark.parametrize("which", [index_of, vectors_of])
@pytest.mark.parametrize("how", ["gone", "cut", "flipped"])
def test_a_damaged_file_of_the_way_back_blocks(which: Callable[[Store, str], Path], how: str, store: Store) -> None:
    path = which(store, "v1")
    content = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-8] if how == "cut" else content[:-1] + bytes([content[-1] ^ 1]))
    found = refused(store, "good")["way back"]
    assert found.outcome == "fail"
    assert path.name in found.sentence
    assert store.promote("good", reason="no other way", override=True).target == "good@1"


def test_a_way_back_whose_manifest_or_probes_are_gone_blocks(store: Store) -> None:
    snapshot, manifest = store.manifest("v1")
    store.resources.artifacts.path(manifest.probes).unlink()
    assert refused(store, "good")["way back"].outcome == "fail"
    store.resources.artifacts.path(snapshot.manifest).unlink()
    assert refused(store, "good")["way back"].outcome == "fail"


def test_a_way_back_whose_model_cannot_be_loaded_is_unknown_and_blocks(store: Store) -> None:
    store.resources.catalog.pairs.set_embedder("v1", "/models/that/are/gone")
    found = refused(store, "good")["way back"]
    assert found.outcome == "unknown"
    assert "cannot be loaded" in found.sentence
    assert store.promote("good", reason="it is lost anyway", override=True).target == "good@1"


def test_a_way_back_whose_model_is_another_one_by_now_blocks(store: Store) -> None:
    store.resources.catalog.pairs.set_embedder("v1", "hash:256?seed=9")
    assert refused(store, "good")["way back"].outcome == "fail"


def test_a_live_pair_that_failed_its_last_check_is_no_way_back(store: Store) -> None:
    path = index_of(store, "v1")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert store.check("v1").verdict == "fail"
    path.write_bytes(content)
    assert "last check says fail" in refused(store, "good")["way back"].sentence
    assert store.check("v1").verdict == "pass"
    assert store.promote("good", reason="mended").target == "good@1"


def test_a_searcher_that_does_not_hold_the_way_back_warm_blocks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError("no memory left for it")

    def announced(warm: bool) -> bool:
        return [bool(searcher.warm) for searcher in store.resources.catalog.searchers.alive("live")] == [warm]

    with store.searcher() as searcher:
        searcher.search("crate 1")
        wait_until(lambda: announced(True))
        found = store.gates.judge("good").outcomes[0]
        assert (found.outcome, "1 of 1 searchers hold it warm" in found.sentence) == ("pass", True)
        monkeypatch.setattr(searcher.open_pairs, "_open", fails)
        searcher.open_pairs.keep_only(())
        wait_until(lambda: announced(False))
        found = store.gates.judge("good", wait_seconds=0.0).outcomes[0]
        assert (found.outcome, "do not hold it warm" in found.sentence) == ("fail", True)


def test_going_back_works_after_every_promote_that_passed(store: Store) -> None:
    store.promote("good", reason="as good")
    switched = store.rollback(reason="worse after all")
    assert (switched.target, switched.trouble) == ("v1@1", "")


def test_gates_measure_what_a_hybrid_search_answers_where_they_are_told_to(store: Store) -> None:
    gates("ndcg@10 >= 0.98 * live")
    by_vectors = refused(store)["ndcg@10 >= 0.98 * live"].measured
    path = Path("vecrollback.toml")
    path.write_text(path.read_text() + 'mode = "hybrid"\n')
    verdict = store.gates.look("bad")
    measured = {one.gate: one.measured for one in verdict.outcomes}["ndcg@10 >= 0.98 * live"]
    expected = store.quality.compare("v1", "bad", mode="hybrid").differences[0].b
    assert measured == pytest.approx(expected)
    assert by_vectors is not None and expected > by_vectors
    path.write_text(path.read_text().replace("hybrid", "fuzzy"))
    with pytest.raises(UsageError, match="`mode` is 'fuzzy'"):
        store.gates.look("bad")
