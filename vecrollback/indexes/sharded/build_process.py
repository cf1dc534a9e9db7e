"""Building one shard, in this process or in one of its own.

`python -m vecrollback.indexes.sharded.build_process ORDER` is started by a parent that holds its standard input, and
ends when that does, however it ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np

from vecrollback.errors import VecrollbackError
from vecrollback.indexes import build_index
from vecrollback.records import Metric
from vecrollback.storage.artifacts import remove


@dataclass(frozen=True, slots=True)
class BuildOrder:
    """The index `spec` of rows `start` to `stop` of the file `vectors`, to be written to `made`.

    `trained`: what the shards of one index share, None when that is nothing.
    """

    spec: str
    metric: Metric
    vectors: Path
    start: int
    stop: int
    trained: Path | None
    made: Path

    def encoded(self) -> str:
        return json.dumps(asdict(self), default=str)

    @classmethod
    def decoded(cls, text: str) -> Self:
        body = json.loads(text)
        paths = {name: Path(body[name]) for name in ("vectors", "made")}
        return cls(**body | paths | {"trained": Path(body["trained"]) if body["trained"] else None})


def carry_out(order: BuildOrder) -> None:
    """Build a shard where the order says, in place of what a killed builder left there."""
    remove(order.made)
    vectors = np.load(order.vectors, mmap_mode="r", allow_pickle=False)[order.start : order.stop]
    build_index(order.spec, vectors, order.metric, order.made, trained=order.trained)


def build(order: Path) -> int:
    """Carry out the order in a file. Of an error its kind, message and hint go to standard output, as JSON."""
    try:
        carry_out(BuildOrder.decoded(order.read_text(encoding="utf-8")))
    except VecrollbackError as error:
        print(json.dumps({"kind": type(error).__name__, "message": error.message, "hint": error.hint}))
        return 1
    return 0


def main() -> None:
    """Carry out the order named on the command line."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(build(Path(sys.argv[1])))


def _end_with_parent() -> None:
    while os.read(0, 1):  # not sys.stdin, whose lock a waiting thread would hold at the end
        pass
    os._exit(2)


if __name__ == "__main__":
    main()
