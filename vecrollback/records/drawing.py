"""Which callers a canary serves."""

from __future__ import annotations

import hashlib

from vecrollback.records import Canary

_RANGE = float(2**64)


def drawn(canary: Canary, key: str) -> bool:
    """Whether the caller with this key is among the canary's share.

    The same in every process and for the whole trial; who is in at a small share stays in at a larger one, and another
    trial, with another salt, draws others.
    """
    digest = hashlib.blake2b(f"{canary.salt}\0{key}".encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / _RANGE * 100 < canary.share
