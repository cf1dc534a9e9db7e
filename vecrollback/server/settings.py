"""What a server allows, and where it listens."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Limits of one server process, and whom it answers.

    `anonymous`: everybody may do everything as long as no token was ever made; only for servers that nobody else can
    reach. `hosts`: the names it goes by in the Host header, empty for any. `policy`: a file to watch by
    instead of the store's own `[policy]`.
    """

    anonymous: bool = False
    hosts: tuple[str, ...] = ()
    max_body: int = 8 << 20
    max_k: int = 1_000
    max_query: int = 8_192
    max_batch: int = 128
    max_documents: int = 1_000
    max_waiting: int = 512
    max_streams: int = 32
    threads: int = 4
    drain_seconds: int = 30
    tracing: bool = False
    log_reads: bool = False
    policy: str | None = None

    @classmethod
    def loopback(cls) -> ServerSettings:
        """For a server on this machine only; the names keep pages on the web from reaching it through DNS."""
        return cls(anonymous=True, hosts=("localhost", "127.0.0.1", "[::1]"))


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to listen. Port 0: any free one."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
