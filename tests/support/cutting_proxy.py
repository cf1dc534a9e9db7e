"""Between a client and a PostgreSQL server, on a socket of its own: cuts the line at the next COMMIT, when told to."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from pathlib import Path
from typing import Literal

_NAME = ".s.PGSQL.5432"

Cut = Literal["before", "after"]


class CuttingProxy:
    """Listens in `folder` and talks to the server in `behind`.

    `cut`: "before" the server hears of the next COMMIT, or "after" it committed and before the client hears of it.
    """

    def __init__(self, folder: Path, behind: Path) -> None:
        self.cut: Cut | None = None
        self._behind = str(behind / _NAME)
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / _NAME))
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listening.accept()[0]
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._behind)
                threading.Thread(target=self._pass_on, args=(client, server), daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with client, server, contextlib.suppress(OSError):
            while True:
                for source in select.select([client, server], [], [])[0]:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    if source is client and self.cut and b"COMMIT\0" in data:
                        cut, self.cut = self.cut, None
                        if cut == "after":
                            server.sendall(data)
                            server.recv(1 << 16)
                        return
                    (server if source is client else client).sendall(data)

    def close(self) -> None:
        self._listening.close()
