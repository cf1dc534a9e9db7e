"""The processes of shards: `python -m vecrollback.indexes.sharded build ORDER` and `... answer DESCRIPTOR`.

Both are started by a parent that holds their standard input, and end when it does, however it ends.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from vecrollback.indexes.sharded.build_process import build
from vecrollback.indexes.sharded.shard_process import answer


def main() -> None:
    """Do one of the two."""
    role, argument = sys.argv[1:3]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if role == "build":
        sys.exit(build(Path(argument)))
    answer(int(argument))


def _end_with_parent() -> None:
    while os.read(0, 1):  # not sys.stdin, whose lock a thread that waits would hold at the end
        pass
    os._exit(2)


if __name__ == "__main__":
    main()
