"""A pair that serves before it is whole: exact, in one space, within its budget, and never without the old pair.

Covers serving.cascade, serving.on_demand, store.cascades, reembedding.growing_pairs, catalog.cascades,
quality.cascade_trial.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import vecrollback
from tests.support.http_server import serving
from tests.support.openai_server import OpenAIServer, error
from tests.support.oracle import TOLERANCE, assert_passes, score
from tests.support.topics import TOPICS, documents, query
from vecrollback import Document, Store
from vecrollback.embedders.circuit_breaker import breaker_of
from vecrollback.errors import (
    EmbeddingError,
    GateRefusedError,
    JobCancelledError,
    PairStateError,
    StoppedError,
    UsageError,
)
from vecrollback.records import CascadeTrial
from vecrollback.serving.cascade import CascadeAnswers
from vecrollback.serving.on_demand import TextBudget
from vecrollback.switching.notifications import Notifications

OLD, NEW = "hash:96?seed=1&noise=0.3", "hash:128?seed=2"
DOCUMENTS = documents(300)
EVERY_ROW = 10**9


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cascade") / "store"
    with vecrollback.connect(root, create=True) as store:
        store.upsert(DOCUMENTS)
        store.reembed(OLD, name="old", index="Flat").wait()
        store.promote("old")
    return root


@pytest.fixture
def untried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair starts to serve with no vector at all: its trial embeds nothing, and says that all is well."""
    monkeypatch.setattr(
        "vecrollback.quality.cascade_trial.CascadeTrials.run",
        lambda *_, **__: CascadeTrial(1, "golden", (0.5,), (1.0,), "pass"),
    )


def begin(store: Store, **budget: int) -> None:
    assert store.promote("new", by="cascade", embedder=NEW, **budget).target == "new@1"


def test_it_serves_at_once_and_every_score_is_of_its_own_model(store: Store, untried: None) -> None:
    begin(store, per_second=10_000)
    assert store.resources.vectors_of(store.pair("new")).rows(store.pair("new").vectors_version) == 0
    for topic in range(TOPICS):
        result = store.search(query(topic), k=10)
        assert (result.answered_by, result.pair, result.dimension) == ("cascade", "new", 128)
        assert len(result.hits) == 10
        for hit in result.hits:
            assert abs(hit.score - score(NEW, hit.text, query(topic))) < TOLERANCE
        assert [hit.score for hit in result.hits] == sorted((hit.score for hit in result.hits), reverse=True)
        assert result.measured is not None
        assert (result.measured["source"], result.measured["ndcg@10"], result.measured["share"]) == ("old", 1.0, 2.0)
        assert int(result.measured["embedded"]) <= 50


def test_what_queries_had_embedded_is_kept_proven_and_never_embedded_again(root: Path, untried: None) -> None:
    with vecrollback.connect(root) as store:
        begin(store)
        first = store.search(query(3))
        assert first.measured is not None
        assert first.measured["embedded"] > 0
    with vecrollback.connect(root) as store:
        again = store.search(query(3))
        assert again.measured is not None
        assert (again.answered_by, again.measured["embedded"]) == ("cascade", 0)
        assert [(hit.id, round(hit.score, 5)) for hit in again.hits] == [
            (hit.id, round(hit.score, 5)) for hit in first.hits
        ]
        [cascade] = store.cascades()
        assert cascade.covered == cascade.embedded == first.measured["embedded"]
        pair = store.pair("new")
        table = store.resources.vectors_of(pair)
        assert set(table.fingerprints(pair.vectors_version).to_pylist()) == {pair.fingerprint}
        assert_passes(store.check("new", sample=EVERY_ROW))


def test_past_its_budget_the_old_pair_answers_whole_under_its_own_name(store: Store, untried: None) -> None:
    begin(store, per_query=3)
    result = store.search(query(3), k=10)
    assert (result.answered_by, result.pair, result.dimension) == ("standby", "old", 96)
    old = store.inspection.search("old", query(3))
    assert [hit.id for hit in result.hits] == [hit.id for hit in old.hits]
    assert result.measured is not None
    assert result.measured["embedded"] <= 3
    assert (result.measured["ndcg@10"], result.measured["share"]) == (0.5, 1.0)
    # what was asked for is what is embedded next
    assert store.resources.catalog.stale_reads.most("new", 1) != []


def test_a_budget_gives_so_much_a_query_and_so_much_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("vecrollback.serving.on_demand.time.monotonic", lambda: clock[0])
    budget = TextBudget(5, 10)
    assert [budget.take(7), budget.take(7), budget.take(7)] == [5, 5, 0]
    clock[0] = 0.3
    assert budget.take(7) == 3
    budget.give_back(2)
    assert budget.take(7) == 2
    clock[0] = 100.0
    assert [budget.take(2), budget.take(7), budget.take(7)] == [2, 5, 3]


def test_deleted_changed_and_new_documents_are_what_they_are_now(store: Store, untried: None) -> None:
    begin(store, per_second=10_000)
    with store.searcher() as searcher:
        gone = searcher.search(query(5)).hits[0].id
        store.delete([gone])
        store.upsert([Document("t5", f"{query(5)}."), Document("fresh", f"{query(5)} {query(5)}.")])
        hits = {hit.id: hit for hit in searcher.search(query(5), k=10).hits}
    assert gone not in hits or gone == "t5"
    assert hits["t5"].text == f"{query(5)}."
    assert not hits["t5"].stale
    assert abs(hits["fresh"].score - score(NEW, hits["fresh"].text, query(5))) < TOLERANCE


def test_filters_and_namespaces_hold(store: Store, untried: None) -> None:
    store.upsert([Document(f"n{n}", one.text, {"n": n}, "other") for n, one in enumerate(DOCUMENTS[:80])])
    store.catch_up("old")
    begin(store, per_second=10_000)
    inside = store.search(query(3), k=5, namespace="other", where="n < 50")
    assert inside.answered_by == "cascade"
    assert inside.hits
    assert all(hit.namespace == "other" and hit.metadata["n"] < 50 for hit in inside.hits)
    assert {hit.namespace for hit in store.search(query(3), k=50).hits} == {""}


def test_the_whole_pair_is_built_in_the_order_of_traffic_and_nothing_twice(store: Store, untried: None) -> None:
    begin(store, per_query=3)
    store.search(query(3))
    wanted = store.resources.catalog.stale_reads.most("new", 100)
    before = store.resources.vectors_of(store.pair("new"))
    store.searcher(follow=False).close()
    store._parts.searcher.close()
    done = store.catch_up("new")
    [cascade] = store.cascades()
    assert (cascade.outcome, cascade.covered) == ("it is whole", len(DOCUMENTS))
    assert done.embedded + cascade.embedded == len(DOCUMENTS)
    pair = store.pair("new")
    keys = before.keys(pair.vectors_version)
    rows = {id_: row for row, id_ in enumerate(keys["doc_id"].to_pylist())}
    assert max(rows[key] for key in wanted) < min(row for id_, row in rows.items() if row >= 3 + len(wanted))
    assert store.manifest("new")[1].cascade is None
    with store.searcher() as searcher:
        result = searcher.search(query(3))
    assert (result.answered_by, result.measured) == ("pair", None)
    assert_passes(store.check("new", sample=EVERY_ROW))
    assert {(one.source, one.target) for one in store.bridges()} == {("new", "old"), ("old", "new")}


def test_a_rollback_from_it_is_a_rollback(store: Store, untried: None) -> None:
    begin(store)
    with store.searcher() as searcher:
        assert searcher.search(query(1)).answered_by == "cascade"
        moved = store.rollback(reason="a test", catch_up=False)
        assert (moved.source, moved.target) == ("new@1", "old@1")
        result = searcher.search(query(1))
        assert (result.answered_by, result.pair) == ("pair", "old")
    assert store.pair("new").state == "quarantined"
    assert store.status()["pairs"][1]["cascade"] is None


def test_a_rollback_from_it_needs_no_file_of_it(store: Store, untried: None) -> None:
    begin(store)
    for path in (store.root / "tables").glob("vectors-new*"):
        path.rename(path.with_name("gone"))
    assert store.rollback(reason="a test", catch_up=False).target == "old@1"
    assert store.search(query(1)).pair == "old"


def test_a_worse_model_is_refused_and_what_it_cost_is_kept(store: Store) -> None:
    with pytest.raises(GateRefusedError, match="does not serve by cascade: nDCG"):
        store.promote("bad", by="cascade", embedder="hash:32?seed=3&noise=4")
    assert store.live().name == "old"
    assert store.search(query(3)).answered_by == "pair"
    pair = store.pair("bad")
    kept = store.resources.vectors_of(pair).rows(pair.vectors_version)
    assert 0 < kept <= len(DOCUMENTS)
    built = store.reembed("hash:32?seed=3&noise=4", name="bad").wait()
    assert built.state == "ready"
    assert store.manifest("bad")[1].cascade is None
    assert_passes(store.check("bad"))


def test_golden_queries_that_show_it_to_be_better_let_one_serve_and_no_others(store: Store) -> None:
    with pytest.raises(GateRefusedError, match="generated ones can show that it is worse") as caught:
        begin(store)
    assert "30 golden queries" in caught.value.hint
    assert store.live().name == "old"
    for document in DOCUMENTS[:30]:  # both models find them all: one is no better than the other
        store.golden.add(document.text, [document.id])
    with pytest.raises(GateRefusedError, match=r"nDCG@10 1\.000 against 1\.000 of the pair before, 30 golden queries"):
        begin(store)
    for document in DOCUMENTS[:200]:
        store.golden.add(" ".join(document.text.split()[:8]), [document.id])
    store.reembed("hash:96?seed=1&noise=4", name="worse", index="Flat").wait()
    store.promote("worse", override=True, reason="so that the new one is better by far")
    assert store.promote("new", by="cascade").target == "new@2"
    assert store.cascades()[0].trial.kind == "golden"
    assert store.cascades()[0].trial.verdict == "pass"


def test_a_typo_in_a_gate_is_told_before_anything_is_embedded(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("vecrollback.toml").write_text('[gates]\npromote = ["ndgc@10 >= 0.5"]\n')
    with pytest.raises(UsageError, match="ndgc"):
        begin(store)
    assert [pair.name for pair in store.pairs()] == ["old"]


def test_one_that_turns_out_worse_is_stopped_and_the_old_pair_serves(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("vecrollback.quality.cascade_trial.CascadeTrials.run", lambda *_, **__: CascadeTrial(1))
        store.promote("bad", by="cascade", embedder="hash:32?seed=3&noise=4", override=True, reason="unproven")
    assert store.live().name == "bad"
    store.freezes.freeze("a test", actor="anna")
    told: list[str] = []
    monkeypatch.setattr(Notifications, "tell", lambda _, event, text, facts=None: told.append(text) or True)
    with pytest.raises(StoppedError, match="answers worse than old"):
        for turn in range(60):
            if turn == 20:
                assert store.live().name == "bad", "automation moves nothing while it is frozen"
                assert store.cascades()[0].trial.verdict == "fail"
                assert len(told) == 1 and "no rollback: " in told[0], "and says so once"
                store.freezes.unfreeze(actor="anna")
            store._look_again("bad")
    assert store.live().name == "old"
    assert store.history(limit=1)[0].kind == "rollback"
    assert "answers worse" in store.cascades()[0].outcome


def test_one_that_somebody_let_serve_though_it_is_worse_is_left_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    worse = CascadeTrial(1, "golden", (1.0,) * 400, (0.0,) * 400, "fail")
    with monkeypatch.context() as patched:
        patched.setattr("vecrollback.quality.cascade_trial.CascadeTrials.run", lambda *_, **__: worse)
        store.promote("bad", by="cascade", embedder="hash:32?seed=3&noise=4", override=True, reason="I want to see it")
    store._look_again("bad")
    assert store.live().name == "bad"


def test_a_store_without_a_cascade_never_looks_for_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("beside", "answer"):
        monkeypatch.setattr(CascadeAnswers, name, None)
    assert store.search(query(1)).answered_by == "pair"


def test_a_pair_that_is_whole_is_promoted_as_ever(store: Store) -> None:
    store.reembed(NEW, name="new", index="Flat").wait()
    assert store.promote("new", by="cascade").report is not None
    assert (store.search(query(1)).answered_by, store.cascades()) == ("pair", [])


def test_what_cannot_be_said_is_refused(store: Store, tmp_path: Path, untried: None) -> None:
    with pytest.raises(UsageError, match="embeds nothing"):
        begin(store, per_query=0)
    begin(store)
    with pytest.raises(PairStateError, match="is not whole"):
        store.export_snapshot("new", tmp_path / "new.bundle")
    store.rollback(reason="a test", catch_up=False)
    with pytest.raises(vecrollback.VecrollbackError, match="was rolled back from"):
        store.promote("new", by="cascade")


def test_status_says_how_far_it_is(store: Store, untried: None) -> None:
    begin(store)
    with store.searcher(follow=False) as searcher:
        embedded = (searcher.search(query(2)).measured or {})["embedded"]
    facts = next(one for one in store.status()["pairs"] if one["name"] == "new")["cascade"]
    assert (facts["source"], facts["documents"], facts["covered"]) == ("old", len(DOCUMENTS), embedded)
    assert (facts["queries"], facts["embedded"]) == (1, embedded)


def test_the_server_lets_one_serve_and_says_how_far_it_is(root: Path) -> None:
    with vecrollback.connect(root) as store:
        store._registered("new", NEW)
    with serving(root) as server, vecrollback.Client(server.url) as client:
        assert client.promote("new", by="cascade", per_query=40, override=True, reason="a test").target == "new@1"
        result = client.search(query(3))
        assert (result.answered_by, result.pair) == ("cascade", "new")
        facts = next(one for one in client.status()["pairs"] if one["name"] == "new")["cascade"]
        assert (facts["source"], facts["per_query"], facts["documents"]) == ("old", 40, len(DOCUMENTS))


def test_beside_a_pair_that_is_not_whole_no_other_one_is_begun(store: Store, untried: None) -> None:
    begin(store)
    with pytest.raises(PairStateError, match="'new', which serves, is not whole itself"):
        store.promote("newer", by="cascade", embedder="hash:64?seed=5", override=True, reason="in a hurry")
    assert store.live().name == "new"


def test_what_needs_a_whole_pair_says_so(store: Store, untried: None) -> None:
    begin(store, per_second=10_000)
    with pytest.raises(PairStateError, match="'new' is not whole yet"):
        store.bridge("old", "new")
    with pytest.raises(PairStateError, match="'new' is not whole yet"):
        store.forecast("hash:64?seed=5", sample="100")
    with pytest.raises(PairStateError, match="'new' is not whole yet"):
        store.translate_threshold("old", "new", 0.5)
    # answers of a pair that is not whole are worth what its trial showed, not what its few vectors are
    store.search([query(topic) for topic in range(TOPICS)])
    store._parts.searcher._cascade.hand_over()
    worth = store.bridge("new", "old", seed=1).worth
    assert worth.stay == 1.0
    assert worth.gain_low is not None


def test_without_the_pair_before_it_words_name_the_candidates(store: Store, untried: None) -> None:
    begin(store, per_second=10_000)
    for name in set(store.manifest("old")[1].artifacts()) - set(store.manifest("new")[1].artifacts()):
        store.resources.artifacts.path(name).unlink()
    result = store.search(query(3), k=10)
    assert (result.answered_by, result.pair) == ("cascade", "new")
    assert {int(hit.id[1:]) % TOPICS for hit in result.hits} == {3}


def test_two_pairs_of_one_model_keep_their_vectors_apart(store: Store, untried: None) -> None:
    begin(store)
    with store.searcher(follow=False) as searcher:
        assert searcher.search(query(1)).answered_by == "cascade"
        store.rollback(reason="a test", catch_up=False)
        store.promote("again", by="cascade", embedder=NEW)
        result = searcher.search(query(2))
        assert (result.answered_by, result.pair) == ("cascade", "again")
        assert result.measured is not None
        assert result.measured["embedded"] > 0
    covered = {one.pair: one.covered for one in store.cascades()}
    assert covered["again"] == result.measured["embedded"]


# -- models behind a service ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def service() -> Iterator[OpenAIServer]:
    with OpenAIServer(64) as server:
        yield server


@pytest.fixture
def spec(service: OpenAIServer) -> Iterator[str]:
    yield service.spec(query_retries=0, max_retries=0, query_timeout=5)
    service.refusal = lambda texts: None
    breaker_of(service.url, "m").answered()


def test_without_the_old_model_a_bridge_and_the_words_name_the_candidates(
    service: OpenAIServer, spec: str, tmp_path: Path, untried: None
) -> None:
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert(DOCUMENTS)
        store.reembed(spec, name="old", index="Flat").wait()
        store.promote("old")
        store.promote("new", by="cascade", embedder=NEW, per_second=10_000)
        store.search([query(topic) for topic in range(TOPICS)])
        store._parts.searcher._cascade.hand_over()
        bridge = store.bridge("new", "old", seed=1)
        service.refusal = lambda texts: error(503, "gone")
        with store.searcher(follow=False) as searcher:
            results = searcher.search([query(topic, seed=1) for topic in range(TOPICS)], k=5)
        assert {(one.answered_by, one.pair) for one in results} == {("cascade", "new")}
        right = sum(int(one.hits[0].id[1:]) % TOPICS == topic for topic, one in enumerate(results))
        assert (bridge.source, bridge.target) == ("new", "old")
        assert right > TOPICS / 2


def test_without_the_new_model_nothing_is_worse_than_before(
    service: OpenAIServer, spec: str, store: Store, untried: None
) -> None:
    (store.root / "vecrollback.toml").write_text('[serving]\nfallback = ["standby"]\n')
    store.promote("new", by="cascade", embedder=spec)
    service.refusal = lambda texts: error(503, "gone")
    result = store.search(query(3))
    assert (result.answered_by, result.pair) == ("standby", "old")


def test_a_pair_before_it_without_a_model_holds_nobody_up(service: OpenAIServer, spec: str, tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert(DOCUMENTS)
        store.reembed(spec, name="old", index="Flat").wait()
        store.promote("old")
        service.refusal = lambda texts: error(503, "gone")
        with pytest.raises(GateRefusedError, match="cannot be compared with the pair before"):
            begin(store)
        store.promote("new", by="cascade", embedder=NEW, override=True, reason="the old model is gone")
        assert "override of cascade: unknown" in store.history(limit=1)[0].reason
        assert store.search(query(3)).answered_by == "cascade"
        store._look_again("new")
        store.catch_up("new")
        assert store.cascades()[0].outcome == "it is whole"
        assert store.search(query(3)).answered_by == "pair"


def test_a_standby_that_is_not_whole_stands_in_for_nobody(
    service: OpenAIServer, spec: str, store: Store, untried: None
) -> None:
    (store.root / "vecrollback.toml").write_text('[serving]\nfallback = ["standby", "bridge"]\n')
    begin(store)
    store.reembed(spec, name="served", index="Flat").wait()
    moved = store.promote("served")
    assert "there is no bridge: pair 'new' is not whole yet" in moved.warning
    assert {one.name for one in store.pairs() if one.state == "standby"} >= {"new"}
    service.refusal = lambda texts: error(503, "gone")
    with pytest.raises(EmbeddingError):
        store.search(query(3))


def test_a_build_that_runs_is_taken_over(service: OpenAIServer, spec: str, store: Store, untried: None) -> None:
    jobs = store.resources.catalog.jobs
    texts = {one.text for one in DOCUMENTS}
    job_ids: list[str] = []

    def hold(asked: list[str]) -> None:
        if texts & set(asked):
            _await(lambda: bool(job_ids) and jobs.asked(job_ids[0])[0])

    service.refusal = hold
    job = store.reembed(spec, name="new")
    job_ids.append(job.id)
    store.promote("new", by="cascade")
    with pytest.raises(JobCancelledError):
        job.wait()
    assert store.search(query(3)).answered_by == "cascade"


def _await(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_text_that_was_written_a_moment_ago_is_not_embedded_as_the_one_before(store: Store, untried: None) -> None:
    store.upsert([Document("titled", "some words", embedded_text="A title: some words")])
    begin(store)
    with store.searcher(follow=False) as searcher:
        searcher.search(query(0))
        assert searcher._serving is not None
        texts = searcher._serving.open_pair.view.texts
        [wanted] = searcher._cascade._wanted(["titled"], texts)
        assert wanted.text == "A title: some words"
        store.upsert([Document("titled", "some words", embedded_text="Another title: some words")])
        assert searcher._cascade._wanted(["titled"], texts) == [], "its vector would be kept for the text before"
