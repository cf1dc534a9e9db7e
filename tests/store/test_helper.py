"""What takes long is done by a process beside the one that answers queries, as if it were done here.

Covers store.helper_process, store.long_work.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import vecrollback
from tests.support.operations import words
from tests.support.waiting import wait_for
from vecrollback import Document, Store, VecrollbackError
from vecrollback.embedders.pieces import QUERIES_FIRST
from vecrollback.errors import StoppedError, UnknownNameError
from vecrollback.records import Progress
from vecrollback.serving.searcher import Searcher
from vecrollback.store.helper import Helper, HelperLostError, _takes_long

MODEL, LIGHT = "tests.support.one_at_a_time:embed", "hash:32?seed=3"
DOCUMENTS = 60


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("helped") / "store"
    with vecrollback.connect(root, create=True) as store:
        store.upsert([Document(f"d{n}", words(n)) for n in range(DOCUMENTS)])
        store.promote(store.reembed(MODEL, name="one", index="Flat").wait(), reason="first")
        store.reembed(LIGHT, name="light", index="Flat").wait()
        store.golden.add(words(1), ["d1"])
    # Copied while nobody has it open: a process that reads the file of a SQLite database it has open loses its locks.
    shutil.copytree(root, root.with_name("spare"))
    return root


@pytest.fixture(scope="module")
def served(root: Path) -> Iterator[Store]:
    """A store that a searcher of this process follows; its helper is started once for all tests of this module."""
    with vecrollback.connect(root) as store, store.searcher():
        yield store


def _helper(store: Store) -> Helper:
    return store._parts.helper


def test_these_methods_are_done_by_the_helper() -> None:
    wrapped = {name for name in dir(Store) if getattr(getattr(Store, name), "is_done_aside", False)}
    assert wrapped == {"audit", "bridge", "catch_up", "check", "drill", "repair", "snapshot", "translate_threshold"}


@pytest.mark.usefixtures("plain_processes")
def test_a_check_beside_queries_is_done_by_the_helper(served: Store) -> None:
    assert served.check("one").verdict == "pass"
    pid = _helper(served).pid
    assert pid not in (None, os.getpid())
    assert served.check(served.pair("one"), "full", sample=5).verdict == "pass"
    assert _helper(served).pid == pid, "it was started once"
    assert served.audit("one", seed=1).findings == ()


def test_a_job_of_the_helper_is_a_job_like_any_other(served: Store) -> None:
    served.upsert([Document(f"more{n}", words(500 + n)) for n in range(20)])
    phases: list[Progress] = []
    assert served.catch_up("one", progress=phases.append).embedded == 20
    [job] = served.jobs(kind="catch-up", limit=1)
    assert (job.state, job.pid) == ("done", _helper(served).pid)
    assert phases[-1].documents == 20


def test_a_progress_that_raises_ends_the_work_of_the_helper(served: Store) -> None:
    served.upsert([Document(f"late{n}", words(900 + n)) for n in range(20)])

    def stop(_: Progress) -> None:
        raise StoppedError("enough", hint="go on later")

    with pytest.raises(StoppedError, match="enough"):
        served.catch_up("one", progress=stop)
    [job] = served.jobs(kind="catch-up", limit=1)
    assert job.state == "cancelled"
    served.catch_up("one")
    assert served.lag("one") == 0


def test_gates_golden_queries_and_probe_queries_are_asked_by_the_helper(
    served: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real = Helper.call

    def noted(self: Helper, method: str, *arguments: object, **options: object) -> object:
        calls.append(method)
        return real(self, method, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Helper, "call", noted)
    assert served.gates.look("one").outcomes[0].gate == "way back"
    assert served.quality.rankings(["one"], served.golden.list(), 1) == [[["d1"]]]
    assert served._parts.ask_probe_queries("one").overlap == 1.0
    assert calls == ["gates.judge", "quality.rankings", "_parts.ask_probe_queries"]
    calls.clear()
    served.gates.look("light")  # its model is light; the live pair, which gates compare it with, has another
    assert len(served.quality.rankings(["light", "one"], served.golden.list(), 1)) == 2
    assert calls == ["gates.judge", "quality.rankings"]


def test_an_error_of_the_helper_is_the_error_of_the_caller(served: Store) -> None:
    with pytest.raises(UnknownNameError, match="nobody"):
        served.check("nobody")
    with pytest.raises(UnknownNameError, match="nobody"):
        _helper(served).call("pair", "nobody")
    with pytest.raises(VecrollbackError, match=r"AttributeError: .*no_such_method"):
        _helper(served).call("no_such_method")
    with pytest.raises(VecrollbackError, match="pickle"):
        _helper(served).call("searcher")  # a result that cannot travel


def test_before_a_rollback_the_helper_loads_the_model_it_goes_to(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root.with_name("spare"), tmp_path / "store")
    with vecrollback.connect(tmp_path / "store") as store:
        store.promote("light", reason="a test", override=True)
        with store.searcher():
            store.expect_rollback()
            wait_for("the model", lambda: _helper(store).pid and store.resources.catalog.models.answer("one"))
            pid = _helper(store).pid
            assert store.check("one").verdict == "pass"
            assert _helper(store).pid == pid


def test_what_cannot_be_sent_is_done_here(served: Store) -> None:
    with pytest.raises(HelperLostError):
        _helper(served).call("check", threading.Lock())


def test_what_a_lost_helper_was_asked_is_done_here_and_the_next_has_another(served: Store) -> None:
    served.check("one", sample=1)
    lost = _helper(served).pid
    assert lost is not None
    served.upsert([Document(f"again{n}", words(1_300 + n)) for n in range(20)])

    def kill(_: Progress) -> None:
        os.kill(lost, signal.SIGKILL)

    served.catch_up("one", progress=kill)
    assert served.lag("one") == 0
    assert served.check("one", sample=1).verdict == "pass"
    assert _helper(served).pid not in (None, lost)


def test_light_models_quick_checks_and_a_few_changes_need_no_helper(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a helper was asked")

    with vecrollback.connect(root) as store:
        monkeypatch.setattr(Helper, "call", refuse)
        monkeypatch.setattr(QUERIES_FIRST, "_searchers", 0)
        assert store.check("one").verdict == "pass", "nobody is asked by this process"
        with store.searcher():
            assert store.check("light").verdict == "pass"
            assert store.check("one", "quick").verdict == "pass"
            assert store.check("one", level="quick").verdict == "pass"
            store.upsert([Document("one more", words(3_000))])
            assert store.catch_up("one").embedded == 1
    monkeypatch.setenv("VECROLLBACK_HELPER", "never")
    with vecrollback.connect(root) as store, store.searcher():
        assert store.check("one").verdict == "pass"


def test_a_drill_asks_the_models_of_both_pairs(root: Path, tmp_path: Path) -> None:
    spare = shutil.copytree(root.with_name("spare"), tmp_path / "store")
    with vecrollback.connect(spare) as store, store.searcher():
        store.promote("light", reason="a light one")
        assert (store.live().name, store.rollback_target().pair) == ("light", "one")
        assert _takes_long(store.resources, "drill", [None])
        assert not _takes_long(store.resources, "check", [None])


def test_a_helper_ends_with_the_process_that_it_helps(root: Path) -> None:
    code = (
        "import sys, time, vecrollback\n"
        "store = vecrollback.connect(sys.argv[1])\n"
        "with store.searcher():\n"
        "    assert store.check('one').verdict == 'pass'\n"
        "    print(store._parts.helper.pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        helper = int(process.stdout.readline())
        process.kill()
    wait_for("the end of the helper", lambda: not _runs(helper))


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_searcher_answers_while_the_helper_works(served: Store) -> None:
    answers: list[str] = []
    with served.searcher() as searcher:
        thread = threading.Thread(target=_ask, args=(searcher, answers))
        thread.start()
        assert served.check("one").verdict == "pass"
        thread.join()
    assert answers == ["one"] * 20


def _ask(searcher: Searcher, answers: list[str]) -> None:
    answers += [searcher.search(words(n), k=1).pair for n in range(20)]
