"""Pairs, their snapshots, and the pointer that moves between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vecrollback.errors import UsageError
from vecrollback.records.documents import Json

PairState = Literal["building", "ready", "live", "standby", "retired", "quarantined"]
Metric = Literal["cosine", "dot", "l2"]

_ROUNDED_COSINE = 0.9999
"""What rounding leaves of a vector in half precision is nearer to it; another model's is not."""

RECALL_FLOOR = 0.95
"""Recall against exact search that a new index must reach, unless a build asks for another."""

LIFTED = "out of quarantine: "
"""How the reason of a pair begins that a promote is taking out of quarantine, until it serves."""

LIVE = "live"
"""The alias that queries follow."""
CANDIDATE = "candidate"
"""The alias of what is to be promoted: serving processes load what it points to before `live` moves there."""


@dataclass(frozen=True, slots=True)
class SnapshotRef:
    """The name of one snapshot: `PAIR@N`, which is also what `str` gives."""

    pair: str
    number: int

    @classmethod
    def parse(cls, text: str) -> SnapshotRef:
        """Read `PAIR@N`. A pair's name holds no `@`, so the last one parts the two.

        Raises:
            UsageError: The text has another form.
        """
        pair, _, number = text.rpartition("@")
        # `isdigit` alone takes digits of other scripts too, and `int` takes blanks and signs
        if not pair or not (number.isascii() and number.isdigit() and len(number) < 19):
            raise UsageError(f"{text!r} is not a valid snapshot; use PAIR@N", hint="`vecrollback snapshot list`")
        return cls(pair, int(number))

    def __str__(self) -> str:
        return f"{self.pair}@{self.number}"


@dataclass(frozen=True, slots=True)
class AliasTarget:
    """Where an alias points. `epoch`: the number of its moves so far."""

    pair: str
    snapshot: int
    epoch: int

    @property
    def ref(self) -> str:
        return str(SnapshotRef(self.pair, self.snapshot))


@dataclass(frozen=True, slots=True)
class Pair:
    """One embedder and its own index.

    `snapshot` is the number of the snapshot that is served (0: none yet); `watermark` and `vectors_version` say how
    far the pair reflects the log, snapshot and later rows together. `backend`: the database that holds its vectors, as
    `KIND:ADDRESS#NAME` without secrets; empty where they lie in the store's own files.
    """

    name: str
    state: PairState
    embedder: str
    fingerprint: str
    contract: Mapping[str, Json]
    dimension: int
    metric: Metric
    index_spec: str
    settings: Mapping[str, Json]
    snapshot: int
    watermark: int
    vectors_version: int
    probes: str
    probe_floor: float
    created_at: str
    state_reason: str = ""
    backend: str = ""

    @property
    def ref(self) -> str:
        return str(SnapshotRef(self.name, self.snapshot))

    @property
    def quarantined(self) -> bool:
        """Whether it was rolled back from, and has not served since."""
        return self.state == "quarantined" or (self.state == "ready" and self.state_reason.startswith(LIFTED))


@dataclass(frozen=True, slots=True)
class LivePair(Pair):
    """The pair that serves, and with which move of the pointer it came. `epoch`: the number of that move.

    A program that searches by a client of its own asks for it with each query: its embedder makes the vector, `place`
    says where to search with it.
    """

    epoch: int = 0

    @property
    def place(self) -> str:
        """The database and the collection that hold its vectors, as `KIND:ADDRESS#NAME`; "" for the store's files."""
        return self.backend


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An immutable version of a pair, as the catalog knows it; the manifest holds the rest."""

    pair: str
    number: int
    manifest: str
    watermark: int
    vectors_version: int
    created_at: str
    recall: float | None
    chunks: int

    @property
    def ref(self) -> str:
        return str(SnapshotRef(self.pair, self.number))


@dataclass(frozen=True, slots=True)
class Parity:
    """How the vectors in another place compare with a pair's own.

    Attributes:
        rows: Chunks that both have.
        identical: Those of them whose every number is the same.
        least_cosine: The least cosine of the two vectors of a chunk, 1.0 where all are identical.
        missing: Chunks that only the pair has.
        extra: Chunks that only the other place has.
    """

    rows: int
    identical: int
    least_cosine: float
    missing: int
    extra: int

    @property
    def verdict(self) -> Literal["pass", "fail"]:
        """`pass` where every chunk is in both, with the same vector but for what the storage rounds."""
        whole = not self.missing and not self.extra
        return "pass" if whole and self.least_cosine >= _ROUNDED_COSINE else "fail"


@dataclass(frozen=True, slots=True)
class PairExport:
    """A pair that was written to another place.

    Attributes:
        place: Where it is.
        pair: The pair that was written.
        made: The pair of this store that it is there; "" for a file.
        embedded: Texts that had to be embedded for it, because a vector of theirs did not exist.
        parity: How every vector there compares with the one here.
    """

    place: str
    pair: str
    made: str
    embedded: int
    parity: Parity


@dataclass(frozen=True, slots=True)
class ExportResult:
    """A bundle that was written. `documents`: those whose text is in it; `chunks`: the snapshot's vectors."""

    path: str
    bytes: int
    sha256: str
    snapshot: str
    documents: int
    chunks: int
