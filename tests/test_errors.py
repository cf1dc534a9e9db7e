"""Errors travel: between processes of a pool, over queues, through `copy`."""

from __future__ import annotations

import copy
import inspect
import multiprocessing
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

import vecrollback.errors
from vecrollback.errors import LockHeldError, VecrollbackError

_VALUES = {"expected": 3, "found": 4, "seconds": 1.5, "retry_after": 7, "line": 12, "watermark": 5, "seq": 9}


def _kinds(root: type[VecrollbackError] = VecrollbackError) -> Iterator[type[VecrollbackError]]:
    yield root
    for kind in root.__subclasses__():
        yield from _kinds(kind)


def _built(kind: type[VecrollbackError]) -> VecrollbackError:
    """One of this class, each argument given, each with a value of its own."""
    names = list(inspect.signature(kind).parameters)
    named = {name: _VALUES.get(name, f"the {name}") for name in names}
    parameters: Any = inspect.signature(kind).parameters
    positional = [named.pop(name) for name in names if parameters[name].kind is not inspect.Parameter.KEYWORD_ONLY]
    return kind(*positional, **named)


def _pickled(error: VecrollbackError) -> VecrollbackError:
    back = pickle.loads(pickle.dumps(error))
    assert isinstance(back, VecrollbackError)
    return back


KINDS = sorted({kind for kind in _kinds() if kind.__module__ == vecrollback.errors.__name__}, key=lambda k: k.__name__)


@pytest.mark.parametrize("travel", [_pickled, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("kind", KINDS)
def test_an_error_arrives_whole(
    kind: type[VecrollbackError], travel: Callable[[VecrollbackError], VecrollbackError]
) -> None:
    error = _built(kind)
    error.add_note("seen on host a")
    back = travel(error)
    assert type(back) is kind
    assert (str(back), back.args, back.hint) == (str(error), error.args, error.hint)
    assert vars(back) == vars(error)


def _fail() -> None:
    raise LockHeldError("corpus", 2.0)


def test_a_pool_of_processes_passes_an_error_on() -> None:
    with (
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
        pytest.raises(LockHeldError, match="'corpus' was held by somebody else for 2 s") as caught,
    ):
        pool.submit(_fail).result(timeout=60)
    assert "vecrollback status" in caught.value.hint
