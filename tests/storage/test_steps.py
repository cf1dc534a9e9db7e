"""Whoever shows progress can ask what is being done, in whichever thread."""

from __future__ import annotations

import threading

import pytest

from vecrollback.storage.steps import current_step, step


def test_the_newest_step_under_way_is_told() -> None:
    with step("checking"):
        with step("reading the log"):
            assert current_step() == "reading the log"
        assert current_step() == "checking"
    assert current_step() == ""


def test_steps_of_threads_end_in_any_order() -> None:
    begun, end = threading.Event(), threading.Event()

    def work() -> None:
        with step("on a thread"):
            begun.set()
            assert end.wait(60)

    thread = threading.Thread(target=work)
    with step("here"):
        thread.start()
        assert begun.wait(60)
        assert current_step() == "on a thread"
    assert current_step() == "on a thread"
    end.set()
    thread.join()
    assert current_step() == ""


def test_a_step_that_fails_is_over() -> None:
    with pytest.raises(ValueError, match="no"), step("failing"):
        raise ValueError("no")
    assert current_step() == ""
