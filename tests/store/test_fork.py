"""`os.fork` with an open store: the child works or is refused by name, and the parent goes on as before.

Covers storage.forks.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import vecrollback
from tests.support.fork import Child, in_child
from tests.support.postgres import available
from tests.support.two_pairs import build
from vecrollback import Document, Store
from vecrollback.errors import ForkedError, LockHeldError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore:lance is not fork-safe", "ignore:.*multi-threaded.*fork")
QUERY = "harbour lantern"
_PRELOADED = """
import vecrollback
from tests.support.fork import Child
from vecrollback import Document

store = vecrollback.connect()
searcher = store.searcher(follow=False)

def work(number):
    store.upsert([Document(f"child{number}", "written by a child")])
    return len(searcher.search("harbour lantern", 5).hits), len(store.search("harbour lantern", 5).hits)

for child in [Child(lambda number=number: work(number)) for number in range(3)]:
    assert child.result(60) == (5, 5)
assert store.live().name == "one"
assert len(store.search("harbour lantern", 5).hits) == 5
"""

_PROCESSES = """
import multiprocessing, sys
import vecrollback
from vecrollback.errors import ForkedError

def ask(question):
    # of a parent that was forked: the store that it opened; else one of this process
    store = OPENED[0] if OPENED else vecrollback.connect()
    try:
        return [hit.id for hit in store.search(question, 5).hits]
    except ForkedError as error:
        return f"refused: {error.hint}"

OPENED = []

if __name__ == "__main__":
    method, used = sys.argv[1], sys.argv[2] == "used"
    store = vecrollback.connect()
    if method == "fork":
        OPENED.append(store)
    if used:
        store.search("harbour lantern", 5)
    questions = ["harbour lantern", "lantern 7"] * 3
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:  # of a script that died in a child nothing would come: hence the limit
        answers = pool.map_async(ask, questions, chunksize=1).get(60)
    expected = [[hit.id for hit in store.search(one, 5).hits] for one in questions]
    if method == "fork" and used:
        assert all(answer.startswith("refused: use the store after the fork") for answer in answers), answers
    else:
        assert answers == expected and all(expected), (answers, expected)
    print("all answered")
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("template") / "store")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        with vecrollback.connect(request.getfixturevalue("root")) as store:
            yield store
        return
    if not available():
        pytest.skip("no PostgreSQL server is installed")
    url = request.getfixturevalue("postgres").url()
    with vecrollback.connect(tmp_path / "store", catalog=url, create=True) as store:
        store.upsert([Document(f"d{n}", f"{QUERY} {n}") for n in range(30)])
        for name, spec in (("two", "hash:32?seed=2"), ("one", "hash:32")):
            store.reembed(spec, name=name, index="Flat").wait()
            store.promote(name)
        yield store


def _ids(store: Store) -> list[str]:
    return [hit.id for hit in store.search(QUERY, 5).hits]


def _refused(work: Callable[[], object]) -> ForkedError:
    started = time.monotonic()
    with pytest.raises(ForkedError, match="forked from one that used them") as caught:
        in_child(work)
    assert time.monotonic() - started < 10
    return caught.value


def test_a_child_of_a_process_that_used_the_tables_is_refused_by_name(store: Store) -> None:
    expected = _ids(store)
    with store.searcher() as searcher:
        searcher.search(QUERY, 5)
        works: list[Callable[[], object]] = [
            lambda: store.search(QUERY),
            lambda: searcher.search(QUERY),
            lambda: store.upsert([Document("child", "written by the child")]),
            lambda: store.delete(["d1"]),
            lambda: store.get(["d1"]),
        ]
        for work in works:
            assert "connect" in _refused(work).hint
        assert [hit.id for hit in searcher.search(QUERY, 5).hits] == expected
    assert _ids(store) == expected
    assert store.upsert([Document("parent", "written by the parent")]).head == 31
    assert set(store.get(["child", "parent", "d1"])) == {"parent", "d1"}


def test_the_catalog_works_in_every_child(store: Store) -> None:
    with store.searcher() as searcher:
        assert searcher.search(QUERY).pair == "one"
        for _ in range(5):
            assert in_child(lambda: (store.live().name, store.lag("one"), len(store.pairs()))) == ("one", 0, 2)
        assert in_child(lambda: store.rollback(reason="by the child", catch_up=False).target).startswith("two@")
        assert searcher.search(QUERY).pair == "two"
    assert [move.reason for move in store.history(limit=1)] == ["by the child"]


def test_a_store_that_was_only_opened_before_the_fork_works_in_each_child(store: Store) -> None:
    """As under gunicorn with --preload; in a process of its own, which never used a table."""
    if store.uri.startswith("s3:"):
        pytest.skip("the child opens the store by its directory; this one is on object storage")
    environment = {**os.environ, **store.resources.environment}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _PRELOADED],
        check=False,
        env=environment,
        timeout=90,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert set(store.get(["child0", "child1", "child2"])) == {"child0", "child1", "child2"}
    assert _ids(store)


@pytest.mark.parametrize("used", ["opened", "used"])
@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_a_pool_of_processes_answers_or_is_refused_by_name(method: str, used: str, tmp_path: Path) -> None:
    """`multiprocessing` as its users write it: every question comes back, whatever the parent had done before."""
    root, script = build(tmp_path / "store"), tmp_path / "program.py"
    script.write_text(_PROCESSES)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), method, used],
        check=False,
        env={**os.environ, "VECROLLBACK_STORE": str(root), "PYTHONPATH": str(Path(__file__).parents[2])},
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "all answered\n"), done.stderr


def test_a_child_does_not_hold_the_locks_of_its_parent(store: Store) -> None:
    catalog = store.resources.catalog
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with catalog.lock("corpus"):
            held.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)

    def take() -> None:
        with catalog.lock("corpus", timeout=0.2):
            pass

    try:
        with pytest.raises(LockHeldError):
            in_child(take)
        sleeper = Child(lambda: time.sleep(60))
    finally:
        done.set()
        thread.join()
    take()  # though the child lives
    with pytest.raises(TimeoutError):
        sleeper.result(0.1)


def test_a_fork_in_the_middle_of_a_transaction_is_told(store: Store) -> None:
    catalog = store.resources.catalog
    with catalog.alone(), pytest.raises(ForkedError, match="forked in the middle of a transaction") as caught:
        in_child(store.pairs)
    assert "forkserver" in caught.value.hint
    assert len(_ids(store)) == 5


def test_a_job_of_the_parent_is_not_waited_for(store: Store) -> None:
    started, go = threading.Event(), threading.Event()

    def work(_: object) -> str:
        started.set()
        go.wait(60)
        return "done"

    job = store.start_job("check", "one", work)
    assert started.wait(10)
    with pytest.raises(UsageError, match="runs in the process that started it"):
        in_child(lambda: job.wait(10))
    go.set()
    assert job.wait(30) == "done"
    assert in_child(lambda: job.wait(10)) == "done"
