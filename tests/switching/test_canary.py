"""A pair tried on real traffic: who gets it, what is seen, and that the way back is one step for everybody.

Covers serving.shadow, switching.canary.settings.
"""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import vecrollback
from tests.support.oracle import exact
from vecrollback import Document, Searcher, Store
from vecrollback.embedders.riding_probes import QueryProbes
from vecrollback.errors import PairStateError, QuarantinedError, UnknownNameError, UsageError
from vecrollback.records import CanaryRun
from vecrollback.switching.canary import CanarySettings, load_policy
from vecrollback.switching.canary.settings import from_mapping

V1, V2 = "hash:64?seed=1", "hash:64?seed=2"
KEYS = [f"caller-{n}" for n in range(400)]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template")
    with vecrollback.connect(root, create=True, actor="tester") as store:
        store.upsert(Document(f"d{i}", f"crate {i} holds apples of row {i % 7}, word{i * i % 53}") for i in range(60))
        store.reembed(V1, name="v1").wait()
        store.promote("v1", reason="first")
        store.reembed(V2, name="v2").wait()
        store.check("v2")
    return root


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `vecrollback.toml` is read from; and who acts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VECROLLBACK_ACTOR", "tester")


def policy(**values: object) -> None:
    lines = [f"{name} = {value}" for name, value in {"bake_seconds": 0, **values}.items()]
    Path("vecrollback.toml").write_text("\n".join(["[canary]", *lines, ""]))


def wait_until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def searcher(store: Store) -> Iterator[Searcher]:
    with store.searcher() as opened:
        opened.search("apples")
        yield opened


def trying(store: Store, searcher: Searcher) -> None:
    """Start the canary, and wait until the searcher has opened the candidate."""
    store.canaries.start("v2", reason="to see")
    wait_until(lambda: searcher._serving is not None and searcher._serving.candidate is not None)


def served(searcher: Searcher, keys: list[str]) -> dict[str, str]:
    return {key: searcher.search("crate 7", 5, key=key).pair for key in keys}


# -- canary -----------------------------------------------------------------------------------------------------------


def test_a_stable_share_of_the_callers_gets_the_candidate_and_keeps_it_as_the_share_grows(
    store: Store, searcher: Searcher
) -> None:
    policy(shadow=0, steps=[5, 25, 100])
    trying(store, searcher)
    before: set[str] = set()
    for share in (5, 25, 100):
        first, again = served(searcher, KEYS), served(searcher, KEYS)
        assert first == again
        chosen = {key for key, pair in first.items() if pair == "v2"}
        assert before <= chosen
        pointer = store.resources.catalog.aliases.pointer_reader("live").read()
        assert pointer is not None and pointer.canary is not None
        assert chosen == {key for key in KEYS if pointer.canary.draws(key)}
        # Each canary draws by a salt of its own. Among 20,000 callers a share of 25% is off by 0.3 (one sigma).
        drawn = sum(pointer.canary.draws(f"anybody-{n}") for n in range(20_000))
        assert abs(drawn / 20_000 * 100 - share) < 2
        before = chosen
        if share < 100:
            assert store.canaries.advance(override=True, reason="a test").canary.share in (25.0, 100.0)
    assert searcher.search("crate 7", 5).pair == "v1", "who says nothing of himself is not drawn"


def test_every_searcher_draws_the_same_callers_and_every_canary_others(store: Store, root: Path) -> None:
    policy(shadow=0, steps=[30])
    store.canaries.start("v2")
    pointers = []
    for _ in range(2):
        with vecrollback.connect(root) as other:
            pointers.append(other.resources.catalog.aliases.pointer_reader("live").read())
    assert pointers[0] == pointers[1] and pointers[0] is not None and pointers[0].canary is not None
    first = {key for key in KEYS if pointers[0].canary.draws(key)}
    store.canaries.stop(reason="again")
    store.canaries.start("v2")
    pointer = store.resources.catalog.aliases.pointer_reader("live").read()
    assert pointer is not None and pointer.canary is not None
    assert first != {key for key in KEYS if pointer.canary.draws(key)}


@pytest.mark.law
def test_what_a_canary_answered_counts_among_the_answers_of_the_pair_that_is_left_later(store: Store) -> None:
    policy(shadow=0, steps=[25, 100])
    with store.searcher() as searcher:
        searcher.search("apples")
        trying(store, searcher)
        drawn = sum(pair == "v2" for pair in served(searcher, KEYS).values())
        assert 0 < drawn < len(KEYS)
        store.promote("v2", reason="as good", override=True)
        for _ in range(3):
            assert searcher.search("apples").pair == "v2"
        store.rollback(reason="worse answers")
        served(searcher, KEYS[:5])
    [incident] = store.incidents.all()
    assert incident.blast.pair == "v2"
    assert (incident.blast.canary_answers, incident.blast.answers) == (drawn, drawn + 3)


def test_no_answer_mixes_the_candidate_with_the_live_pair(store: Store, searcher: Searcher) -> None:
    policy(shadow=0, steps=[50])
    texts = {f"d{i}": f"crate {i} holds apples of row {i % 7}, word{i * i % 53}" for i in range(60)}
    trying(store, searcher)
    seen = set()
    for key in KEYS[:40]:
        for found in searcher.search(["crate 7", "apples of row 3"], 5, key=key):
            seen.add((found.pair, found.canary))
        result = searcher.search("crate 7", 5, key=key)
        wanted = exact({"v1": V1, "v2": V2}[result.pair], texts, "crate 7")
        assert [hit.score for hit in result.hits] == pytest.approx([wanted[hit.id] for hit in result.hits], abs=1e-5)
        assert result.epoch == 1
    assert seen == {("v1", False), ("v2", True)}


def test_stop_is_one_move_for_every_searcher_from_the_next_query_on(
    store: Store, root: Path, searcher: Searcher
) -> None:
    policy(shadow=0, steps=[100])
    trying(store, searcher)
    assert set(served(searcher, KEYS[:20]).values()) == {"v2"}
    with vecrollback.connect(root, actor="somebody else") as other:
        ended = other.canaries.stop(reason="answers are off")
    assert set(served(searcher, KEYS[:20]).values()) == {"v1"}
    assert (ended.ended_by, ended.end_reason, ended.pair) == ("somebody else", "answers are off", "v2")
    with pytest.raises(UnknownNameError):
        store.canaries.stop(reason="twice")
    with pytest.raises(UnknownNameError):
        store.canaries.status()


def _promote(store: Store) -> None:
    store.promote("v2", reason="it is good")


def _rollback_of_live(store: Store) -> None:
    store.reembed("hash:64?seed=3", name="v3").wait()
    store.promote("v3", reason="meanwhile")
    policy(shadow=0, steps=[100])
    store.canaries.start("v2")
    store.rollback(reason="worse", catch_up=False)


@pytest.mark.parametrize("move", [_promote, _rollback_of_live])
def test_any_move_of_live_ends_the_canary_in_the_same_commit(move: Callable[[Store], None], store: Store) -> None:
    policy(shadow=0, steps=[100])
    store.canaries.start("v2")
    move(store)
    assert store.resources.catalog.canaries.running("live") is None
    newest = store.canaries.history()[0]
    assert newest.ended_at is not None and newest.end_reason.split()[0] in ("promote", "rollback")
    pointer = store.resources.catalog.aliases.pointer_reader("live").read()
    assert pointer is not None and pointer.canary is None


def test_a_promote_of_another_pair_ends_the_canary(store: Store) -> None:
    policy(shadow=0, steps=[100])
    store.canaries.start("v2")
    store.reembed("hash:64?seed=3", name="v3").wait()
    store.promote("v3", reason="the other one")
    assert store.canaries.history()[0].end_reason == "set of v3"


def test_a_new_snapshot_of_either_pair_goes_on_with_the_canary(store: Store, searcher: Searcher) -> None:
    policy(shadow=0, steps=[50])
    trying(store, searcher)
    for name in ("v1", "v2"):
        store.snapshot(name, rebuild=True)
    assert store.canaries.status().canary.pair == "v2"
    wait_until(lambda: set(served(searcher, KEYS[:40]).values()) == {"v1", "v2"})
    snapshots = {searcher.search("crate 7", key=key).snapshot for key in KEYS[:40]}
    assert snapshots == {2}


@pytest.mark.law
def test_deletes_win_in_a_candidate_too(store: Store, searcher: Searcher) -> None:
    policy(shadow=0, steps=[100])
    trying(store, searcher)
    gone = searcher.search("crate 7", 1, key="somebody").hits[0].id
    store.delete([gone])
    found = searcher.search("crate 7", 60, key="somebody")
    assert found.canary and gone not in {hit.id for hit in found.hits}


def test_a_candidate_that_breaks_fails_no_query_and_is_counted(store: Store, searcher: Searcher) -> None:
    policy(shadow=0, steps=[100], max_failures=0.2)
    trying(store, searcher)
    held = searcher._serving
    assert held is not None and held.candidate is not None

    class Broken:
        def embed_queries(self, _: object) -> None:
            raise RuntimeError("the model's process is gone")

    broken = held.candidate._replace(open_pair=_with(held.candidate.open_pair, Broken()))
    searcher._serving = held._replace(candidate=broken)
    assert set(served(searcher, KEYS[:60]).values()) == {"v1"}
    wait_until(lambda: store.canaries.status().observed.get("failed", CanaryRun) is not CanaryRun)
    wait_until(lambda: store.canaries.status().observed["failed"].count == 60)
    assert store.canaries.status().standing == "worse"


def _with(held: object, embedder: object) -> object:
    from dataclasses import replace

    return replace(held, queries=QueryProbes(embedder, None, 0.0))  # type: ignore[type-var, arg-type]


def test_a_searcher_that_has_not_opened_the_candidate_answers_from_the_live_pair(
    store: Store, searcher: Searcher
) -> None:
    policy(shadow=0, steps=[100])
    searcher.open_pairs.warm = lambda _: None  # type: ignore[method-assign,assignment]
    store.canaries.start("v2")
    assert set(served(searcher, KEYS[:10]).values()) == {"v1"}


def test_a_one_off_search_with_a_key_is_drawn_too(store: Store) -> None:
    policy(shadow=0, steps=[100])
    store.canaries.start("v2")
    assert store.search("crate 7", key="somebody").pair == "v2"
    assert store.search("crate 7").pair == "v1"


# -- shadow -----------------------------------------------------------------------------------------------------------


def test_a_shadow_is_asked_beside_and_only_counted(store: Store, searcher: Searcher) -> None:
    policy(shadow=100, steps=[10])
    trying(store, searcher)
    for number in range(20):
        found = searcher.search(f"crate {number}", 5, key="somebody")
        assert (found.pair, found.canary) == ("v1", False)
        time.sleep(0.005)
    wait_until(lambda: "overlap" in store.canaries.status().observed)
    searcher.close()
    status = store.canaries.status()
    overlap = status.observed["overlap"]
    assert 1 <= overlap.count <= 20
    assert 0 <= overlap.lowest <= overlap.mean <= overlap.highest <= 1
    assert {"live_ms", "candidate_ms", "live_score", "candidate_score", "failed"} <= set(status.observed)


def test_a_shadow_holds_no_candidate_open_that_is_one_no_more(store: Store, searcher: Searcher) -> None:
    policy(shadow=100, steps=[10])
    trying(store, searcher)
    assert searcher._serving is not None and searcher._serving.candidate is not None
    model = weakref.ref(searcher._serving.candidate.open_pair.queries)
    searcher.search("crate 1", 5, key="somebody")
    wait_until(lambda: "overlap" in store.canaries.status().observed)
    store.promote(store.reembed("hash:32?seed=3", name="v3").wait(), override=True, reason="another one")
    wait_until(lambda: searcher.search("crate 1").pair == "v3")
    wait_until(lambda: gc.collect() >= 0 and model() is None)


def test_a_shadow_that_hangs_and_then_fails_holds_up_nothing(store: Store, searcher: Searcher) -> None:
    policy(shadow=100)
    trying(store, searcher)
    held, released = searcher._serving, threading.Event()
    assert held is not None and held.candidate is not None

    class Stuck:
        def embed_queries(self, _: object) -> None:
            released.wait(60)
            raise RuntimeError("and then it fails")

    searcher._serving = held._replace(
        candidate=held.candidate._replace(open_pair=_with(held.candidate.open_pair, Stuck()))
    )  # type: ignore[arg-type]
    for number in range(200):
        assert searcher.search(f"crate {number}", 3).pair == "v1"
    assert not released.is_set(), "every query was answered while the candidate hung"
    assert searcher._shadow._waiting.qsize() <= 32
    released.set()
    wait_until(lambda: store.canaries.status().observed.get("failed") is not None)


@pytest.mark.parametrize(("embedder", "standing"), [(V1, "better"), (V2, "worse")])
def test_a_shadow_tells_the_same_model_from_another(
    embedder: str, standing: str, store: Store, searcher: Searcher
) -> None:
    policy(shadow=100, min_overlap=0.5, max_failures=0.2)
    store.reembed(embedder, name="tried", index="HNSW32,Flat").wait()
    store.check("tried")
    store.canaries.start("tried")
    stood: list[str] = []

    def told() -> bool:
        for number in range(20):
            searcher.search(f"crate {number} word{number}", 10)
            time.sleep(0.002)
        stood.append(store.canaries.status().standing)
        return stood[-1] != "undecided"

    wait_until(told, 60)
    assert stood[-1] == standing


# -- steps ------------------------------------------------------------------------------------------------------------


def test_a_canary_goes_on_only_after_its_time_and_a_good_test(store: Store) -> None:
    policy(shadow=10, steps=[1, 5], bake_seconds=3600)
    status = store.canaries.start("v2")
    assert (status.canary.step, status.canary.share, status.next_share) == (0, 0.0, 1.0)
    with pytest.raises(PairStateError, match="of 3600 s"):
        store.canaries.advance()
    store.canaries.stop(reason="too slow")
    policy(shadow=10, steps=[1, 5], max_failures=0.1)
    store.canaries.start("v2")
    with pytest.raises(PairStateError, match="overlap lies between"):
        store.canaries.advance()
    assert store.canaries.advance(override=True, reason="a test").canary.share == 1.0
    assert store.canaries.advance(override=True, reason="a test").canary.share == 5.0
    with pytest.raises(PairStateError, match="last step"):
        store.canaries.advance(override=True, reason="a test")


def test_an_override_of_a_canary_needs_a_reason(store: Store) -> None:
    policy(steps=[5])
    store.canaries.start("v2")
    with pytest.raises(UsageError, match="needs a reason"):
        store.canaries.advance(override=True)
    assert store.canaries.status().canary.step == 0 or store.canaries.status().next_share == 5.0


def test_two_who_advance_at_once_go_one_step(store: Store) -> None:
    policy(shadow=10, steps=[1, 5, 25])
    number = store.canaries.start("v2").canary.number
    store.resources.catalog.canaries.step(number, expected=0, step=1, share=1.0)
    with pytest.raises(PairStateError, match="not at step 0"):
        store.resources.catalog.canaries.step(number, expected=0, step=1, share=1.0)


def test_outcomes_count_for_whoever_answered(store: Store) -> None:
    policy(shadow=0, steps=[40], max_failures=1, margin=0.02)
    assert store.canaries.outcomes([("nobody", 1.0)]) == 0
    running = store.canaries.start("v2").canary
    pointer = store.resources.catalog.aliases.pointer_reader("live").read()
    assert pointer is not None and pointer.canary is not None
    chosen = {key: pointer.canary.draws(key) for key in KEYS}
    for _ in range(5):
        assert store.canaries.outcomes((key, 0.0 if chosen[key] else 1.0) for key in KEYS) == len(KEYS)
    seen = store.canaries.status().observed
    assert seen["canary_outcome"].count == 5 * sum(chosen.values())
    assert (seen["canary_outcome"].mean, seen["live_outcome"].mean) == (0.0, 1.0)
    assert store.canaries.status().standing == "worse"
    assert store.canaries.status().canary.number == running.number
    with pytest.raises(UsageError):
        store.canaries.outcomes([("somebody", 2.0)])


@pytest.mark.parametrize("wrong", ["v1", "unbuilt", "unchecked", "quarantined", "nothing"])
def test_what_could_not_serve_is_not_tried(wrong: str, store: Store) -> None:
    policy()
    kinds: dict[str, type[Exception]] = {"quarantined": QuarantinedError, "nothing": UnknownNameError}
    if wrong == "unchecked":
        store.reembed("hash:64?seed=4", name=wrong).wait()
    elif wrong == "quarantined":
        store.reembed("hash:64?seed=4", name=wrong).wait()
        store.resources.catalog.pairs.set_state(wrong, "quarantined", "bad")
    elif wrong == "unbuilt":
        store._parts.builder.begin(_request(wrong))
    with pytest.raises(kinds.get(wrong, PairStateError)):
        store.canaries.start(wrong)
    assert store.resources.catalog.canaries.running("live") is None


def _request(name: str) -> object:
    from vecrollback.reembedding.builder import BuildRequest

    return BuildRequest("hash:64?seed=5", "auto", name, None, 0.95)


def test_one_canary_at_a_time(store: Store) -> None:
    policy()
    store.reembed("hash:64?seed=3", name="v3").wait()
    store.check("v3")
    store.canaries.start("v2")
    for other in ("v2", "v3"):
        with pytest.raises(PairStateError, match="'v2' is tried already"):
            store.canaries.start(other)
    assert store.canaries.status().canary.pair == "v2"


def test_of_two_people_who_start_a_canary_at_once_the_second_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy()
    store.reembed("hash:64?seed=3", name="v3").wait()
    store.check("v3")
    canaries, admit = store.canaries, store.canaries._admit

    def interrupted(*arguments: object) -> object:
        admitted = admit(*arguments)  # type: ignore[arg-type]
        monkeypatch.setattr(canaries, "_admit", admit)
        canaries.start("v3", actor="ben")
        return admitted

    monkeypatch.setattr(canaries, "_admit", interrupted)
    with pytest.raises(PairStateError, match="'v3' runs already"):
        canaries.start("v2", actor="anna")
    [only] = canaries.history()
    assert (only.pair, only.started_by, only.ended_at) == ("v3", "ben", None)


def test_who_started_and_advanced_is_on_record(store: Store) -> None:
    policy(steps=[5])
    store.canaries.start("v2", actor="anna")
    store.canaries.advance(override=True, reason="too few callers at night", actor="ben")
    newest = store.resources.catalog.audits.all(limit=2)
    assert [(one.actor, one.action, one.subject) for one in newest] == [
        ("ben", "canary.advance", "v2 to 5% (override): too few callers at night"),
        ("anna", "canary.start", "v2"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stpes = [1]", "no key 'stpes'"),
        ("steps = [5, 1]", "growing percentages"),
        ("steps = [0]", "growing percentages"),
        ("steps = 5", "growing percentages"),
        ("shadow = 101", "percentage"),
        ("shadow = true", "percentage"),
        ("alpha = 0", "between 0 and 0.5"),
        ("keep_texts = 5", "no key"),
        ("min_overlap = 'half'", "a share"),
    ],
)
def test_a_policy_that_means_nothing_names_its_line(text: str, said: str, root: Path) -> None:
    Path("vecrollback.toml").write_text(f"[canary]\nbake_seconds = 1\n{text}\n")
    with pytest.raises(UsageError, match=said) as refused:
        load_policy(root)
    assert "vecrollback.toml:3: " in str(refused.value)


def test_without_a_policy_the_defaults_hold(root: Path) -> None:
    assert load_policy(root) == CanarySettings()


def test_a_canary_that_an_earlier_version_began_is_read_without_the_keys_that_are_gone() -> None:
    kept = {"shadow": 50.0, "steps": [5, 10], "keep_texts": 7}
    assert from_mapping(kept) == CanarySettings(shadow=50.0, steps=(5, 10))


def test_the_earlier_name_of_the_section_is_refused_with_the_cure(root: Path) -> None:
    Path("vecrollback.toml").write_text("[rollout]\nshadow = 50\n")
    with pytest.raises(UsageError, match=r"the table \[rollout\] is called \[canary\] now") as refused:
        load_policy(root)
    assert refused.value.hint == "write [canary] instead"
