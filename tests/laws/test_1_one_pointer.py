"""Law 1. A query reads the alias once and answers from that pair: no answer ever mixes two."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import vecrollback
from tests.support.oracle import EVERYTHING, QUERIES, TOLERANCE, assert_answers, exact
from tests.support.traffic import start_traffic, stop_traffic
from tests.support.two_pairs import SPECS, TEXTS
from vecrollback import Store

FLIPS = 20


def test_a_pair_that_became_live_stays_open_in_a_searcher_that_has_yet_to_notice(root: Path) -> None:
    with vecrollback.connect(root) as store, vecrollback.connect(root) as other:
        target = store.rollback_target().ref
        with store.searcher(follow=False) as searcher:
            searcher.search(QUERIES[0])
            searcher._warm()
            held = searcher.open_pairs.find(target)
            assert held
            other.rollback(reason="worse", catch_up=False)
            searcher._warm()  # as once a second, and before any query or the follower
            kept = searcher.open_pairs.find(target)
            assert kept and kept.queries is held.queries
            assert searcher.search(QUERIES[0]).pair == target.rpartition("@")[0]
            serving = searcher.open_pairs.find(target)
            assert serving and serving.view.snapshot is held.view.snapshot


def test_one_pointer_no_answer_mixes_two_pairs_and_none_fails_while_live_flips(root: Path) -> None:
    wanted = {(name, query): exact(spec, TEXTS, query) for name, spec in SPECS.items() for query in QUERIES}
    followers = [start_traffic(root, "query", "follow"), start_traffic(root, "query", "store")]
    flipper = start_traffic(root, "flip")
    ends = time.monotonic() + 200  # only if something hangs

    def flipping() -> bool:
        return flipper[1].read_text(encoding="utf-8").count("\n") < FLIPS and time.monotonic() < ends

    def ask(store: Store) -> list[tuple[float, int, str]]:
        seen = []
        with store.searcher() as searcher:
            while flipping():
                for query in QUERIES:
                    begun = time.monotonic()
                    result = searcher.search(query, k=EVERYTHING)
                    assert_answers(result, SPECS[result.pair], TEXTS, query)
                    seen.append((begun, result.epoch, result.pair))
                time.sleep(0.02)
        return seen

    with vecrollback.connect(root) as store, ThreadPoolExecutor(3) as pool:
        answers = [answer for part in pool.map(ask, [store] * 3) for answer in part]
        moves, *asked = stop_traffic(flipper, *followers)
        targets = {move.epoch: move.target.partition("@")[0] for move in store.history(alias="live")}
    for results in asked:
        assert {result["pair"] for result in results} == {"one", "two"}
        for result in results:
            exactly = wanted[result["pair"], result["query"]]
            assert result["scores"].keys() == exactly.keys()
            assert max(abs(score - exactly[id_]) for id_, score in result["scores"].items()) < TOLERANCE
            answers.append((result["begun"], result["epoch"], result["pair"]))
    assert len(moves) >= FLIPS
    for begun, epoch, pair in answers:
        assert targets[epoch] == pair
        acknowledged = max((move["epoch"] for move in moves if move["at"] < begun), default=0)
        assert epoch >= acknowledged, "a query that began after an acknowledged move was answered by the pair before"
