"""Specs of indexes in several parts: `shards:4(HNSW32,Flat)` is four indexes `HNSW32,Flat`, searched as one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from vecrollback.errors import IndexSpecError

MOST_SHARDS = 1024
_SPEC = re.compile(r"shards:(?P<count>[1-9]\d*)\((?P<inner>.+)\)")


@dataclass(frozen=True, slots=True)
class ShardSpec:
    """How many shards, and what each one is; `count` 1 with the plain spec when it is not sharded at all."""

    count: int
    spec: str

    @classmethod
    def of(cls, spec: str) -> Self:
        """Read a spec, of a sharded index or of a plain one. Raises IndexSpecError."""
        if not spec.startswith("shards:"):
            return cls(1, spec)
        match = _SPEC.fullmatch(spec)
        if match is None or int(match["count"]) > MOST_SHARDS or match["inner"].startswith("shards:"):
            raise IndexSpecError(
                f"{spec!r} is no sharded index",
                hint=f"write shards:N(SPEC) with N from 1 to {MOST_SHARDS}, as in shards:4(HNSW32,SQ8)",
            )
        return cls(int(match["count"]), match["inner"])

    @property
    def sharded(self) -> bool:
        return self.count > 1

    def around(self, inner: str) -> str:
        """The spec of an index of as many shards, each of them `inner`."""
        return f"shards:{self.count}({inner})" if self.sharded else inner
