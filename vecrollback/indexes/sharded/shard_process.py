"""What a process of shards does.

It opens what it is told to, read-only, and answers one question at a time on each connection. It keeps nothing that
cannot be told again: after a restart it says what it lacks, and is told.
"""

from __future__ import annotations

import socket
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

import numpy as np

from vecrollback.arrays import Mask
from vecrollback.errors import VecrollbackError
from vecrollback.indexes import VectorIndex, open_index
from vecrollback.indexes.sharded.index import MOST_MASKS
from vecrollback.indexes.sharded.wire import Array, Message, connected, receive, send
from vecrollback.records import Json


class Desk:
    """Opened shards by path, and of each the last masks that were told, by number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._indexes: dict[str, VectorIndex] = {}
        self._masks: dict[str, OrderedDict[int, Mask]] = {}

    def answer(self, message: Message) -> Message:
        """The answer to one question; `needs` names what has to be told first."""
        verbs = {
            "open": self._open,
            "mask": self._mask,
            "search": self._search,
            "reconstruct": self._reconstruct,
            "close": self._close,
        }
        try:
            return verbs[message.said["do"]](message.said, message.arrays)
        except VecrollbackError as error:
            kind = type(error).__name__
            return Message({"error": kind, "message": error.message, "hint": error.hint})
        except Exception as error:
            return Message({"error": "FailedError", "message": f"a shard failed: {error!r}", "hint": ""})

    def _open(self, said: Mapping[str, Json], _: Sequence[Array]) -> Message:
        name = said["shard"]
        with self._lock:
            index = self._indexes.get(name)
        if index is None:
            index = open_index(said["spec"], Path(name), said["metric"])
            with self._lock:
                index = self._indexes.setdefault(name, index)
        return Message({"size": index.size, "dimension": index.dimension})

    def _mask(self, said: Mapping[str, Json], arrays: Sequence[Array]) -> Message:
        allowed = np.unpackbits(arrays[0], count=said["size"], bitorder="little").view(np.bool_)
        allowed.flags.writeable = False  # the index keeps what it prepared for this very mask
        with self._lock:
            masks = self._masks.setdefault(said["shard"], OrderedDict())
            masks[said["number"]] = allowed
            while len(masks) > MOST_MASKS:
                masks.popitem(last=False)
        return Message({})

    def _search(self, said: Mapping[str, Json], arrays: Sequence[Array]) -> Message:
        name, number, allowed = said["shard"], said["mask"], None
        with self._lock:
            index = self._indexes.get(name)
            if index is None:
                return Message({"needs": "open"})
            if number is not None:
                masks = self._masks.get(name, OrderedDict())
                if (allowed := masks.get(number)) is None:
                    return Message({"needs": "mask"})
                masks.move_to_end(number)
        return Message({}, tuple(index.search(arrays[0], said["k"], allowed)))

    def _reconstruct(self, said: Mapping[str, Json], arrays: Sequence[Array]) -> Message:
        with self._lock:
            index = self._indexes.get(said["shard"])
        if index is None:
            return Message({"needs": "open"})
        return Message({}, (index.reconstruct(arrays[0]),))

    def _close(self, said: Mapping[str, Json], _: Sequence[Array]) -> Message:
        """Let go of a shard. Not `close()`: a question about it may be under way on another connection."""
        name = said["shard"]
        with self._lock:
            self._indexes.pop(name, None)
            self._masks.pop(name, None)
        return Message({})


def answer(descriptor: int) -> NoReturn:
    """Answer whoever connects to the listening socket that was handed down."""
    listener, desk = socket.socket(fileno=descriptor), Desk()
    while True:
        end, _ = listener.accept()
        threading.Thread(target=_serve, args=(connected(end, 0), desk), daemon=True).start()


def _serve(connection: Connection, desk: Desk) -> None:
    try:
        while True:
            send(connection, desk.answer(receive(connection)))
    except (EOFError, OSError):
        connection.close()
