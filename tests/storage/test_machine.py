"""Work beside queries takes what they leave of the processor, and does not stand still where that is nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vecrollback.storage import machine
from vecrollback.storage.machine import Starvation, available_memory, resident_memory

_TRY = """
import os, threading
from vecrollback.storage.machine import yield_unless_starved
before = os.sched_getscheduler(0), os.nice(0)
yield_unless_starved()
classes = []
thread = threading.Thread(target=lambda: classes.append(os.sched_getscheduler(0)))
thread.start()
thread.join()
print(before == (os.SCHED_OTHER, 0), os.sched_getscheduler(0) == os.SCHED_IDLE, classes == [os.SCHED_IDLE], os.nice(0))
"""
_WITHOUT_THE_RIGHT = """
import os
if os.getuid() == 0:
    os.setgid(65534), os.setuid(65534)
"""


def _tried(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(os.getuid() != 0, reason="needs the right to leave the idle class again")
def test_a_process_and_its_threads_enter_the_idle_class() -> None:
    assert _tried(_TRY) == "True True True 0"


@pytest.mark.skipif(os.getuid() != 0, reason="takes the right away from itself")
def test_a_process_that_could_not_come_back_from_the_idle_class_is_nice_instead() -> None:
    # what it needs is imported first: the other user may not read this checkout
    imports = "import vecrollback.storage.machine, threading\n"
    assert _tried(imports + _WITHOUT_THE_RIGHT + _TRY) == "True False False 5"


@pytest.mark.parametrize(
    ("ran", "waited", "starved"), [(3.0, 0.5, False), (0.5, 3.0, False), (0.1, 3.0, True), (0.1, 1.5, False)]
)
def test_work_stands_still_when_it_wanted_to_run_for_two_seconds_and_got_next_to_nothing(
    ran: float, waited: float, *, starved: bool
) -> None:
    starvation = Starvation()
    assert not starvation.looks_so(10.0, 50.0), "what was before says nothing about now"
    assert starvation.looks_so(10.0 + ran, 50.0 + waited) is starved


def test_work_that_rests_does_not_stand_still() -> None:
    starvation = Starvation()
    assert not any(starvation.looks_so(10.0, 50.0) for _ in range(100))


def test_memory_that_is_available_is_some_of_what_there_is() -> None:
    available, resident = available_memory(), resident_memory()
    assert available is not None
    assert resident is not None
    assert 0 < available < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < resident < available


def test_a_system_that_says_nothing_of_its_memory_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_PROC", tmp_path)
    assert (available_memory(), resident_memory()) == (None, None)
