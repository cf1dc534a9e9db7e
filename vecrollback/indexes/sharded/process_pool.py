"""Shards opened in processes of their own: each process maps its share of the index, none the whole of it.

A process that dies is started again and the question repeated; one that stays away is an error, never a part of an
answer. Every question names the artefact it is about, so no answer can come from another snapshot.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vecrollback import errors
from vecrollback.arrays import FloatArray, Positions
from vecrollback.indexes import Neighbours
from vecrollback.indexes.sharded.index import ShardMasks
from vecrollback.indexes.sharded.shard_client import Call, ShardProcess
from vecrollback.indexes.sharded.wire import Message
from vecrollback.records import Json, Metric

_TRIES = 5
_ROUNDS = 4
_BLOCK = 8_192


@dataclass(frozen=True, slots=True)
class Source:
    """Where a shard is. The path names it to its process: an artefact's ends with its digest."""

    spec: str
    path: Path
    metric: Metric

    def ask(self, verb: str, **facts: Json) -> dict[str, Json]:
        """A question about this shard."""
        return {"do": verb, "shard": str(self.path.absolute()), **facts}

    def opening(self) -> dict[str, Json]:
        """What makes a process open it."""
        return self.ask("open", spec=self.spec, metric=self.metric)


class ProcessShards:
    """Shard i is served by process i, or of `most` processes by number i modulo `most`."""

    def __init__(self, sources: Sequence[Source], most: int | None = None) -> None:
        self._sources = list(sources)
        self._numbers = [i % (most or len(sources)) for i in range(len(sources))]
        self._processes = _processes.taken(self._numbers)
        # Also for one that nobody closes.
        self._give_back = weakref.finalize(self, _processes.given_back, self._numbers)
        self.sizes: list[int] = []
        self.dimension = 0
        try:
            for shard, source in enumerate(self._sources):
                opened = self._ask(shard, Message(source.opening()), None).said
                self.sizes.append(opened["size"])
                self.dimension = opened["dimension"]
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> list[int]:
        """Process ids, one for each process that runs."""
        return [pid for number in sorted(set(self._numbers)) if (pid := self._processes[number].pid) is not None]

    def search(
        self, chosen: Sequence[int], queries: FloatArray, k: int, masks: ShardMasks | None
    ) -> Sequence[Neighbours]:
        questions = [self._question(shard, queries, k, masks) for shard in chosen]
        calls = [self._call(shard, question) for shard, question in zip(chosen, questions, strict=True)]
        answers: list[Neighbours] = []
        try:
            for shard, question, call in zip(chosen, questions, calls, strict=True):
                scores, positions = self._answer(shard, question, call, masks).arrays
                answers.append(Neighbours(np.asarray(scores, np.float32), np.asarray(positions, np.int64)))
        finally:
            for call in calls[len(answers) :]:
                if call is not None:
                    call.drop()
        return answers

    def reconstruct(self, shard: int, positions: Positions) -> FloatArray:
        held = [np.empty((0, self.dimension), dtype=np.float32)]
        for first in range(0, len(positions), _BLOCK):
            question = Message(self._sources[shard].ask("reconstruct"), (positions[first : first + _BLOCK],))
            reply = self._ask(shard, question, None)
            held.append(np.asarray(reply.arrays[0], dtype=np.float32))
        return np.concatenate(held)

    def close(self) -> None:
        """Let the processes forget these shards; the last one to close ends them."""
        for shard, source in enumerate(self._sources):
            self._processes[self._numbers[shard]].tell(source.ask("close"))
        self._give_back()
        self._sources = []

    def _question(self, shard: int, queries: FloatArray, k: int, masks: ShardMasks | None) -> Message:
        if not self._sources:
            raise errors.UsageError("this index is closed", hint="open the snapshot again")
        mask = masks.number if masks and masks.parts[shard] is not None else None
        return Message(self._sources[shard].ask("search", k=k, mask=mask), (queries,))

    def _call(self, shard: int, question: Message) -> Call | None:
        try:
            return self._processes[self._numbers[shard]].call(question)
        except OSError:
            return None

    def _answer(self, shard: int, question: Message, call: Call | None, masks: ShardMasks | None) -> Message:
        """The answer to a call, or to the same question again."""
        if call is not None:
            try:
                reply = call.answer()
            except (EOFError, OSError):
                return self._ask(shard, question, masks)
            if "needs" not in reply.said:
                return _checked(reply)
        return self._ask(shard, question, masks)

    def _ask(self, shard: int, question: Message, masks: ShardMasks | None) -> Message:
        """Ask until there is an answer, telling what the process lacks. Raises ShardLostError."""
        process, trouble = self._processes[self._numbers[shard]], ""
        for _ in range(_TRIES):
            try:
                for _ in range(_ROUNDS):
                    reply = _checked(process.ask(question))
                    if (need := reply.said.get("needs")) is None:
                        return reply
                    _checked(process.ask(self._told(shard, need, masks)))
                trouble = "it forgets what it is told"
            except (EOFError, OSError) as error:
                trouble = str(error) or type(error).__name__
        raise errors.ShardLostError(
            f"shard {shard} of {len(self._sources)} gives no answer: {trouble}",
            hint="its process was started again and again: is memory short? `vecrollback check` reads the shard's file",
        )

    def _told(self, shard: int, need: str, masks: ShardMasks | None) -> Message:
        source = self._sources[shard]
        if need == "open" or masks is None:
            return Message(source.opening())
        allowed = masks.parts[shard]
        assert allowed is not None
        facts = source.ask("mask", number=masks.number, size=len(allowed))
        return Message(facts, (np.packbits(allowed, bitorder="little"),))


def _checked(reply: Message) -> Message:
    """The reply, unless it is an error: then that is raised."""
    if (kind := reply.said.get("error")) is None:
        return reply
    known: Mapping[str, type[errors.VecrollbackError]] = {
        one.__name__: one for one in (errors.CorruptArtifactError, errors.IndexSpecError, errors.UsageError)
    }
    raise known.get(kind, errors.FailedError)(reply.said["message"], hint=reply.said["hint"])


class _Processes:
    """The processes of this process, shared by all indexes it has open, and ended with the last of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._used: dict[int, int] = {}
        self._processes: dict[int, ShardProcess] = {}

    def taken(self, numbers: Sequence[int]) -> Mapping[int, ShardProcess]:
        with self._lock:
            if self._pid != os.getpid():  # after a fork the parent's are not ours to talk to
                self._pid, self._used, self._processes = os.getpid(), {}, {}
                atexit.register(self._end)
            for number in set(numbers):
                self._used[number] = self._used.get(number, 0) + 1
                self._processes.setdefault(number, ShardProcess())
            return {number: self._processes[number] for number in set(numbers)}

    def given_back(self, numbers: Sequence[int]) -> None:
        with self._lock:
            for number in set(numbers) if self._pid == os.getpid() else ():
                self._used[number] -= 1
                if not self._used[number]:
                    self._processes.pop(number).stop()

    def _end(self) -> None:
        if self._pid == os.getpid():
            for process in list(self._processes.values()):
                process.stop()


_processes = _Processes()
