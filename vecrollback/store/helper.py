"""The helper: a process beside one that answers queries, which does for it what takes long.

A check embeds hundreds of texts, a promote reads every byte of the way back. In the process that answers, all of that
stands before queries: at the model, at the interpreter's lock, at the processor. The helper opens the same store, loads
the models it needs once more, and runs only where queries leave a processor free (`vecrollback.storage.machine`). It
is started when it is first needed and ends when it was not needed for a while.

What it does is a method of its own `Store`, called by name with arguments that can be pickled. Whoever calls waits as
if the method ran here: its result comes back, or its error, and its progress is reported meanwhile.
"""

from __future__ import annotations

import inspect
import itertools
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial, wraps
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from vecrollback.errors import EmbedderSpecError, MissingDependencyError, VecrollbackError
from vecrollback.records import LIVE, Pair, Progress, ProgressCallback, Report
from vecrollback.storage.forks import FollowsForks, follow_forks
from vecrollback.storage.machine import available_memory, resident_memory
from vecrollback.storage.spans import span

if TYPE_CHECKING:
    from vecrollback.catalog import Catalog
    from vecrollback.pairs.resources import Resources
    from vecrollback.storage.config import Settings

_log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

IDLE_SECONDS = 600.0
"""A helper ends when it had nothing to do for so long: it holds a model in memory."""

_MANY_CHANGES = 20_000
"""From so many changes in the log on, reading them takes long, however light the model is."""

_FEW_CHANGES = 16
"""They are embedded in pieces, beside queries, before a helper would have started."""

_SUBJECTS = ("pair", "report", "a", "b")
"""How methods of the store call what they are about."""

_ONLY_THERE = (EmbedderSpecError, MissingDependencyError)
"""What a helper may say that is not true of the process it helps: an embedder that only exists in that one, say."""


@dataclass(frozen=True, slots=True)
class Call:
    """A method for the helper to call. `reports`: whether somebody wants to hear its progress."""

    number: int
    method: str
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    reports: bool


@dataclass(frozen=True, slots=True)
class GoAhead:
    """What its caller says to its progress: go on, or stop."""

    number: int
    stop: bool


@dataclass(frozen=True, slots=True)
class CallProgress:
    """How far it is."""

    number: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class CallEnd:
    """What it returned, or raised."""

    number: int
    result: Any = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class LogLine:
    """Something that is to stand in the log of the process that it helps."""

    logger: str
    level: int
    message: str


_Answers = SimpleQueue[CallProgress | CallEnd | None]


class HelperLostError(Exception):
    """The helper is gone, or could not begin: what it was to do is to be done here."""


class Helper(FollowsForks):
    """The helper of one open store. Safe to use from many threads: what several ask for is done side by side.

    `environment`: names the store and its settings, see `Resources.environment`.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._begin()
        follow_forks(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._callers: dict[int, tuple[Connection, _Answers]] = {}
        self._numbers = itertools.count()

    def forked(self) -> None:
        """The helper is the parent's; this process starts its own."""
        self._begin()

    @property
    def pid(self) -> int | None:
        """Its process id while there is one."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def call(self, method: str, *arguments: Any, progress: ProgressCallback | None = None, **options: Any) -> Any:
        """What the method of the helper's store returns; raises what it raises, and HelperLostError.

        An exception that `progress` raises ends the work at its next report, and is raised here.
        """
        answers: _Answers = SimpleQueue()
        number = next(self._numbers)
        self._send(Call(number, method, arguments, options, progress is not None), answers)
        stop: Exception | None = None
        try:
            while not isinstance(answer := answers.get(), CallEnd):
                if answer is None:
                    raise HelperLostError("the helper is gone")
                try:
                    if progress is not None:
                        progress(answer.progress)
                except Exception as error:
                    stop = error
                self._go_ahead(GoAhead(number, stop is not None))
        finally:
            self._callers.pop(number, None)
        if answer.error is not None:
            raise stop or answer.error
        return answer.result

    def _send(self, call: Call, answers: _Answers) -> None:
        with self._lock:
            for _ in range(2):  # one that has just ended, because nobody needed it, is started again
                try:
                    connection = self._connection or self._start()
                    self._callers[call.number] = connection, answers
                    connection.send(call)
                    return
                except OSError:
                    self._connection = None
                except Exception as error:  # something in it cannot be pickled, and each such thing says it its own way
                    self._callers.pop(call.number, None)
                    raise HelperLostError(f"{call.method} cannot be sent to the helper: {error}") from error
            raise HelperLostError("the helper cannot be started")

    def _go_ahead(self, message: GoAhead) -> None:
        with self._lock, suppress(OSError):
            if self._connection is not None:
                self._connection.send(message)

    def _start(self) -> Connection:
        ours, theirs = Pipe()
        paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        # One thread: several that run only now and then wait for each other.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **self._environment, "PYTHONPATH": paths}
        command = [sys.executable, "-m", "vecrollback.store", "help", str(theirs.fileno())]
        try:
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL
            )
        finally:
            theirs.close()
        self._connection = ours
        threading.Thread(target=self._listen, args=(ours, self._process), daemon=True).start()
        return ours

    def _listen(self, connection: Connection, process: subprocess.Popen[bytes]) -> None:
        """Hand what the helper says to who waits for it; when it is gone, tell all of them."""
        with suppress(EOFError, OSError):
            while True:
                answer: CallProgress | CallEnd | LogLine = connection.recv()
                if isinstance(answer, LogLine):
                    logging.getLogger(answer.logger).log(answer.level, "%s", answer.message)
                elif (caller := self._callers.get(answer.number)) is not None:
                    caller[1].put(answer)
        process.wait()
        with self._lock:
            if self._connection is connection:
                self._connection = None
            for place, answers in list(self._callers.values()):
                if place is connection:
                    answers.put(None)

    def close(self) -> None:
        """End it. What it was about to do is lost as with any process that ends: what is done stays done."""
        with self._lock:
            process, self._connection = self._process, None
        if process is not None:
            process.kill()
            process.wait()


class Helped(Protocol):
    """What a helper is needed for: the parts of an open store."""

    @property
    def settings(self) -> Settings: ...
    @property
    def resources(self) -> Resources: ...
    @property
    def helper(self) -> Helper: ...


def do_aside(
    parts: Helped, here: Callable[P, T], method: str, subjects: Sequence[object], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Have the helper do something, if it takes long and there may be one; else do it here.

    Args:
        parts: Of the store.
        here: What does it in this process.
        method: What does it in the helper, by its way from its store.
        subjects: The pairs whose models it asks, or names or reports of them; None for the live one.
        args: Of both.
        kwargs: Of both.
    """
    if parts.settings.helper != "never" and _takes_long(parts.resources, method, subjects):
        try:
            with span(method.rpartition(".")[2].lstrip("_"), aside=True) as note:
                result: T = parts.helper.call(method, *args, **kwargs)  # type: ignore[arg-type]
                if isinstance(result, Report):
                    note(pair=result.pair, verdict=result.verdict)
            return result
        except HelperLostError as error:
            _log.warning("%s is done in this process: %s", method, error)
        except _ONLY_THERE as error:
            _log.info("%s is done in this process: the helper says %s", method, error)
    return here(*args, **kwargs)


def load_aside(parts: Helped, find: Callable[[], str]) -> None:
    """Have the helper load the model of the pair that `find` names, if a check of it would be done there.

    Returns at once. To start and to load take most of the time of a first proof after a rollback. What goes wrong here
    goes wrong again, and is told, when the work itself comes.
    """

    def load() -> None:
        with suppress(HelperLostError, VecrollbackError, OSError):
            if parts.settings.helper != "never" and _takes_long(parts.resources, "check", [pair := find()]):
                parts.helper.call("ask_model", pair)

    threading.Thread(target=load, name="vecrollback-load", daemon=True).start()


def aside(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """Have a method of the store done by its helper, where it takes long and there may be one."""
    parameters = list(inspect.signature(method).parameters)[1:]

    @wraps(method)
    def do(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        given = {**dict(zip(parameters, args, strict=False)), **kwargs}
        subjects = [given[name] for name in _SUBJECTS if given.get(name) is not None] or [None]
        here = partial(method, self)
        if given.get("level") == "quick":
            return here(*args, **kwargs)
        return do_aside(self._parts, here, method.__name__, subjects, *args, **kwargs)

    do.is_done_aside = True  # type: ignore[attr-defined]
    return do


def _takes_long(resources: Resources, method: str, subjects: Sequence[object]) -> bool:
    """Whether work on pairs would keep queries of this process waiting, and a helper could do it instead."""
    from vecrollback.embedders.pieces import QUERIES_FIRST

    if not QUERIES_FIRST.serving:
        return False
    catalog = resources.catalog
    head = catalog.ledger.state().head
    try:
        pairs = _pairs_asked(catalog, method, subjects)
    except (VecrollbackError, OSError):
        return False  # whatever it is, the work itself says it better
    if not pairs or (method == "catch_up" and head - pairs[0].watermark <= _FEW_CHANGES):
        return False
    slow_model = method != "snapshot" and any(_is_slow(resources, pair.embedder) for pair in pairs)
    return (head > _MANY_CHANGES or slow_model) and _has_room()


def _pairs_asked(catalog: Catalog, method: str, subjects: Sequence[object]) -> list[Pair]:
    if method == "drill":  # it goes the way back and asks both models
        return [pair for pair in catalog.pairs.all() if pair.state in ("live", "standby")]
    named = (catalog.pairs.serving(LIVE) if one is None else catalog.pairs.get(_name_of(one)) for one in subjects)
    return [pair for pair in named if pair is not None]


def _is_slow(resources: Resources, embedder: str) -> bool:
    """Whether to embed keeps this process busy. A model that cannot be opened does not."""
    from vecrollback.embedders import traits_of

    try:
        traits = traits_of(resources.embedders.open(embedder))
    except (VecrollbackError, OSError, ImportError):
        return False
    return not (traits.light or traits.remote)


def _name_of(subject: object) -> str:
    if isinstance(subject, Report):
        return subject.pair
    return subject.name if isinstance(subject, Pair) else str(subject)


def _has_room() -> bool:
    """Whether a second copy of what this process has loaded fits into memory, as far as anybody can tell."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return False
    loaded, available = resident_memory(), available_memory()
    return loaded is not None and available is not None and loaded < available


def picklable(error: Exception) -> Exception:
    """An error as it can travel: one of ours, or what is known of it."""
    return (
        error if isinstance(error, VecrollbackError | OSError) else VecrollbackError(f"{type(error).__name__}: {error}")
    )
