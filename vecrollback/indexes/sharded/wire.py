"""What is said to a shard's process and what it answers: JSON, then the bytes of arrays. Nothing is pickled."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vecrollback.records import Json

MOST_BYTES = 1 << 30
_HEAD = struct.Struct("<I")
_KINDS = ("float32", "int64", "uint8")

Array = NDArray[Any]


class Message(NamedTuple):
    """`said` tells what it is; `arrays` are what it is about."""

    said: Mapping[str, Json]
    arrays: tuple[Array, ...] = ()


def send(connection: Connection, message: Message) -> None:
    """Send a message as one frame. Raises OSError when nobody takes it in time."""
    shapes = [[array.dtype.name, list(array.shape)] for array in message.arrays]
    head = json.dumps({**message.said, "arrays": shapes}).encode()
    parts = [_HEAD.pack(len(head)), head, *(np.ascontiguousarray(array).tobytes() for array in message.arrays)]
    connection.send_bytes(b"".join(parts))


def receive(connection: Connection) -> Message:
    """The next message. Raises EOFError when the other side is gone, OSError when it is late or talks nonsense."""
    data = connection.recv_bytes(MOST_BYTES)
    try:
        (length,) = _HEAD.unpack_from(data)
        said = json.loads(data[_HEAD.size : _HEAD.size + length])
        arrays, offset = [], _HEAD.size + length
        for kind, shape in said.pop("arrays"):
            if kind not in _KINDS:
                raise ValueError(f"an array of {kind}")
            array = np.frombuffer(data, kind, int(np.prod(shape)), offset).reshape(shape)
            offset += array.nbytes
            arrays.append(array)
    except (ValueError, TypeError, KeyError, struct.error) as error:
        raise OSError(f"no message: {error}") from error
    return Message(said, tuple(arrays))


def connected(end: socket.socket, seconds: float) -> Connection:
    """A connection over a connected socket on which no single read or write takes longer than `seconds`."""
    if seconds:
        limit = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    return Connection(end.detach())
