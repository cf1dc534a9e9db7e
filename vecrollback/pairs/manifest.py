"""What a snapshot is made of: its manifest, which names every file by digest. A switch reads it without NumPy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from vecrollback.errors import CorruptArtifactError
from vecrollback.records import Json
from vecrollback.storage.artifacts import Artifacts
from vecrollback.storage.artifacts.base import MEND

MANIFEST_FORMAT = 3
"""Of a snapshot of a pair that is not whole yet: a program from before would take it for a whole one."""
SHARDED_FORMAT = 2
WHOLE_FORMAT = 1
"""Format of a manifest whose index is not sharded: programs from before shards still read it."""

MANIFEST_FACTS: dict[str, type] = {
    "pair": str,
    "number": int,
    "embedder": str,
    "fingerprint": str,
    "contract": dict,
    "settings": dict,
    "dimension": int,
    "metric": str,
    "watermark": int,
    "vectors_version": int,
    "rows": int,
    "vector_files": dict,
    "probes": str,
    "created_at": str,
}
"""What a manifest says at least, and of which kind; `float` also takes a whole number."""
INDEX_FACTS: dict[str, type] = {
    "spec": str,
    "artifact": str,
    "ids": str,
    "rows": int,
    "chunks": int,
    "recall_floor": float,
    "decode_error": float,
}


@dataclass(frozen=True, slots=True)
class ShardPart:
    """One shard of an index: its artefact, and how many chunks are in it, in the order of the id map."""

    artifact: str
    chunks: int


@dataclass(frozen=True, slots=True)
class IndexPart:
    """The index of a snapshot: its spec, artefact and id map, and the rows of the vectors table it was built over.

    `rows`: the table's row count then; later rows are searched exactly. `recall`: at 10, against exact search, measured
    when it was built. `decode_error`: largest 1 - cosine (for "l2": relative distance) between a vector and what the
    index holds of it, over all of them. `shards`: of an index in several parts; `artifact` is empty then.
    """

    spec: str
    artifact: str
    ids: str
    rows: int
    chunks: int
    recall: float | None
    recall_floor: float
    decode_error: float
    shards: tuple[ShardPart, ...] = ()

    @property
    def artifacts(self) -> tuple[str, ...]:
        """Names of the artefacts it is made of, each once: equal shards are stored once."""
        return tuple(dict.fromkeys(shard.artifact for shard in self.shards)) or (self.artifact,)

    @classmethod
    def decoded(cls, body: Mapping[str, Json]) -> IndexPart:
        """Read a manifest's JSON. Raises TypeError when its keys are not those of an index."""
        return cls(**{**body, "shards": tuple(ShardPart(**shard) for shard in body.get("shards", ()))})


@dataclass(frozen=True, slots=True)
class CascadePart:
    """Of a pair that serves before it is whole: the pair that names candidates for what it lacks.

    `until`: it is whole once its watermark is there.
    """

    source: str
    until: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything a snapshot is. `vector_files`: path in the vectors table -> SHA-256."""

    format: int
    pair: str
    number: int
    embedder: str
    fingerprint: str
    contract: Mapping[str, Json]
    dimension: int
    metric: str
    settings: Mapping[str, Json]
    watermark: int
    vectors_version: int
    rows: int
    vector_files: Mapping[str, str]
    index: IndexPart
    probes: str
    created_at: str
    cascade: CascadePart | None = None

    @property
    def chunks(self) -> int:
        """Chunks it holds: those of the index and the rows after it, superseded ones included."""
        return self.index.chunks + self.rows - self.index.rows

    def artifacts(self) -> tuple[str, ...]:
        """Names of the artefacts the snapshot cannot do without."""
        return (*self.index.artifacts, self.index.ids, self.probes)

    def encoded(self) -> dict[str, Json]:
        """As JSON. What a snapshot does not have is left out: its digest is its name, and older programs read it."""
        body = asdict(self)
        if not self.index.shards:
            del body["index"]["shards"]
        if self.cascade is None:
            del body["cascade"]
        return body

    @classmethod
    def decoded(cls, body: Mapping[str, Json]) -> Manifest:
        """Read a manifest's JSON. Raises TypeError when its keys are not those of a manifest."""
        cascade = body.get("cascade")
        if cascade is not None and (type(cascade["source"]) is not str or type(cascade["until"]) is not int):
            raise TypeError("it says 'cascade' in a way that no manifest does")
        parts = {"index": IndexPart.decoded(body["index"]), "cascade": CascadePart(**cascade) if cascade else None}
        return cls(**{**body, **parts})


def load_manifest(artifacts: Artifacts, name: str) -> Manifest:
    """Read and verify a manifest. Raises CorruptArtifactError."""
    try:
        body: dict[str, Any] = json.loads(artifacts.read_bytes(name))
        if type(body["format"]) is int and body["format"] > MANIFEST_FORMAT:
            number = str(body["format"])[:20]
            raise CorruptArtifactError(
                f"manifest {name} has format {number}; this vecrollback knows up to {MANIFEST_FORMAT}",
                hint="pip install --upgrade vecrollback",
            )
        for facts, part in ((MANIFEST_FACTS, body), (INDEX_FACTS, body["index"])):
            if wrong := [fact for fact, kind in facts.items() if not is_exactly(part[fact], kind)]:
                raise TypeError(f"it says {wrong[0]!r} in a way that no manifest does")
        return Manifest.decoded(body)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        # Its digest was right: somebody else than this program wrote it.
        reason = f"{type(error).__name__}: {error}"[:200]
        raise CorruptArtifactError(f"{name} is not a manifest ({reason})", hint=MEND) from error


def is_exactly(value: object, kind: type) -> bool:
    """Whether a value of JSON is of a kind. By the exact type: `isinstance` would take `true` for an integer."""
    return type(value) in (int, float) if kind is float else type(value) is kind
