"""What a searcher gives to a watch in another process: nothing while none asks, and then some of its queries.

Covers serving.traffic_log.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vecrollback import Store
from vecrollback.errors import EmbeddingError, UsageError
from vecrollback.records import LIVE, AnswerCount, Result, Sample, SearchOptions, WatchCall
from vecrollback.serving.searcher import Searcher

CALL = WatchCall("elsewhere/watch", keep=60.0, a_second=20)


@pytest.fixture
def searcher(store: Store) -> Iterator[Searcher]:
    """One whose heartbeat never comes in between: only the test sends."""
    with store.searcher(follow=False) as searcher:
        yield searcher


def given(store: Store) -> tuple[list[Sample], list[AnswerCount]]:
    traffic = store.resources.catalog.traffic
    return traffic.samples(LIVE, 60.0, without=""), [one for _, one in traffic.counts(LIVE, 60.0, without="")]


def test_nothing_is_kept_while_no_watch_asks(store: Store, searcher: Searcher) -> None:
    searcher.search("apples")
    searcher.traffic.send()
    store.resources.catalog.traffic.call(LIVE, CALL, 60.0)
    searcher.traffic.send()
    assert given(store) == ([], [])


def test_some_queries_and_the_count_of_all_are_given_while_one_asks(store: Store, searcher: Searcher) -> None:
    store.resources.catalog.traffic.call(LIVE, CALL, 60.0)
    searcher.traffic.send()
    assert searcher.traffic.wanted
    for n in range(50):
        searcher.search(f"apples {n}")
    searcher.search(["pears", "plums", "x" * 2_000, "a \0 b", "\ud800"][:4])
    searcher.traffic.send()
    samples, [count] = given(store)
    assert {one.query for one in samples} <= {f"apples {n}" for n in range(50)} | {"pears", "plums"}
    assert 20 <= len(samples) <= 52
    assert {one.epoch for one in samples} == {store.live().epoch}
    assert (count.answers, count.errors, sum(count.latency)) == (54, 0, 51)
    searcher.traffic.close()
    assert given(store) == ([], [])


def test_errors_are_counted_but_for_wrong_questions(store: Store, searcher: Searcher) -> None:
    store.resources.catalog.traffic.call(LIVE, CALL, 60.0)
    searcher.traffic.send()

    def fail(error: Exception) -> list[Result]:
        raise error

    for error in (EmbeddingError("the service is gone"), OSError("no route"), UsageError("k is 0")):
        with pytest.raises(type(error)):
            searcher.traffic.note(["apples"], lambda error=error: fail(error))  # type: ignore[misc]
    searcher.traffic.send()
    samples, [count] = given(store)
    assert (samples, count.answers, count.errors) == ([], 0, 2)


def test_the_server_that_watches_is_not_told_what_it_sees(store: Store, searcher: Searcher) -> None:
    searcher.traffic.origin = CALL.origin
    store.resources.catalog.traffic.call(LIVE, CALL, 60.0)
    searcher.traffic.send()
    searcher.search("apples")
    searcher.traffic.send()
    assert (searcher.traffic.wanted, given(store)) == (False, ([], []))


def test_a_caller_that_counts_by_itself_is_not_counted_twice(store: Store, searcher: Searcher) -> None:
    store.resources.catalog.traffic.call(LIVE, CALL, 60.0)
    searcher.traffic.send()
    results = searcher.answer(["apples"], SearchOptions(), counted=False)
    searcher.traffic.answered(["apples"], results, 0.002)
    searcher.traffic.failed()
    searcher.traffic.send()
    [sample], [count] = given(store)
    assert sample.best == results[0].hits[0].score
    assert (count.answers, count.errors) == (1, 1)
