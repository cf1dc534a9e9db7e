"""Frozen values that travel between the modules. No open tables, no models, no connections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Json = Any
"""A value that `json.dumps` takes."""

PairState = Literal["building", "ready", "live", "standby", "retired", "quarantined"]
Metric = Literal["cosine", "dot", "l2"]
Verdict = Literal["pass", "fail", "unknown"]
JobState = Literal["running", "done", "failed", "cancelled"]
Role = Literal["reader", "writer", "operator", "admin"]
MoveKind = Literal["promote", "rollback", "restore", "advance", "set"]


class Span(NamedTuple):
    """A passage of a text: characters `start` to `end`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Document:
    """What users put in. `metadata` is a JSON object; its scalar values can be filtered on."""

    id: str
    text: str
    metadata: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CorpusState:
    """The head of the log: its last acknowledged seq, the Lance version that holds it, live documents."""

    head: int
    version: int
    documents: int


@dataclass(frozen=True, slots=True)
class Pair:
    """One embedder and its own index.

    `snapshot` is the number of the snapshot that is served (0: none yet); `watermark` and `vectors_version` say how
    far the pair reflects the log, snapshot and later rows together.
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

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.snapshot}"


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
        return f"{self.pair}@{self.number}"


@dataclass(frozen=True, slots=True)
class Pointer:
    """What one query needs to know, read in one statement: where `alias` points and how far everything is."""

    alias: str
    epoch: int
    pair: str
    snapshot: int
    watermark: int
    vectors_version: int
    head: int
    corpus_version: int


@dataclass(frozen=True, slots=True)
class Move:
    """One entry of the history: a pointer moved. `hash` covers the entry and `previous_hash`."""

    number: int
    alias: str
    epoch: int
    kind: MoveKind
    source: str | None
    target: str
    reason: str
    actor: str
    at: str
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class Reader:
    """A serving process: what it follows, the last epoch it applied, which pairs it holds open."""

    id: str
    alias: str
    host: str
    pid: int
    epoch: int
    warm: tuple[str, ...]
    heartbeat: float


@dataclass(frozen=True, slots=True)
class Token:
    """Somebody who may use the HTTP API, as far as their role goes. The secret itself is kept nowhere."""

    name: str
    role: Role
    created_at: str
    created_by: str
    revoked_at: str | None = None


@dataclass(frozen=True, slots=True)
class Audited:
    """Something that was changed over HTTP, or about tokens: who, when, what (`documents.delete`), of what."""

    number: int
    at: str
    actor: str
    action: str
    subject: str


@dataclass(frozen=True, slots=True)
class Hit:
    """One document that answers a query. `score`: higher is nearer. `chunk`: ordinal of its best passage.

    `stale` means the document changed after this vector was made; `text` is then today's text at the same place.
    """

    id: str
    score: float
    text: str
    metadata: Mapping[str, Json]
    chunk: int
    stale: bool


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to one query and which pair, snapshot and epoch gave it. Never two of them.

    `current` is False when the catalog could not be asked: the answer then comes from what the reader last knew.
    """

    pair: str
    snapshot: int
    epoch: int
    watermark: int
    settings: Mapping[str, Json]
    hits: list[Hit]
    current: bool = True


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a job stands. `total` may grow while writers keep writing."""

    job: str
    phase: str
    documents: int
    total: int
    chunks: int
    tokens: int
    embedded: int
    elapsed: float

    @property
    def chunks_per_second(self) -> float:
        return self.chunks / self.elapsed if self.elapsed > 0 else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds left at the pace so far; None before there is one."""
        if not self.documents or not self.elapsed:
            return None
        return (self.total - self.documents) * self.elapsed / self.documents


ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A long piece of work, as the catalog knows it."""

    id: str
    kind: str
    pair: str
    state: JobState
    cancel: bool
    progress: Mapping[str, Json]
    error: str
    started_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class CatchUp:
    """What a catch-up did. `reused` vectors were already there for the same content."""

    pair: str
    watermark: int
    lag: int
    documents: int
    embedded: int
    reused: int
    chunks: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line of an ingested file that is no document."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ingested:
    """What `ingest` did with a file. Everything up to `seq` is durable."""

    seq: int
    read: int
    changed: int
    unchanged: int
    deleted: int
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True, slots=True)
class Exported:
    """A bundle that was written. `documents`: those whose text is in it; `chunks`: the snapshot's vectors."""

    path: str
    bytes: int
    sha256: str
    snapshot: str
    documents: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Acknowledgements:
    """Readers that follow the alias, and those that answered from the new epoch in time."""

    expected: int
    acknowledged: int
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Switched:
    """A promote, rollback or restore that happened.

    `switch_ms`: from the decision to the last reader's acknowledgement. `lag`: changes the target had yet to take in
    at the switch; `caught_up` and `report` tell what was done about it, `trouble` what could not be done after the
    switch, which stands all the same.
    """

    alias: str
    source: str | None
    target: str
    epoch: int
    switch_ms: float
    readers: Acknowledgements
    lag: int
    caught_up: CatchUp | None = None
    report: Report | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of defect: the law it breaks, how many, the first ids, and a sentence for the operator."""

    law: str
    kind: str
    count: int
    ids: tuple[str, ...]
    message: str
    severity: Literal["fail", "unknown", "warn"] = "fail"


@dataclass(frozen=True, slots=True)
class Certificate:
    """At `confidence`, at most `bound` of the vectors were not made by the pair's embedder.

    `sampled` were re-embedded, `foreign` of them differed, out of `population`.
    """

    sampled: int
    foreign: int
    population: int
    bound: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a check."""

    pair: str
    snapshot: int
    level: str
    verdict: Verdict
    findings: tuple[Finding, ...]
    certificate: Certificate | None
    watermark: int
    head: int
    at: str
    examined: Mapping[str, Json] = field(default_factory=dict)

    def ids(self, *kinds: str) -> list[str]:
        """Document ids of the findings of these kinds, each once, in order."""
        return list(dict.fromkeys(i for f in self.findings if f.kind in kinds for i in f.ids))


@dataclass(frozen=True, slots=True)
class Placed:
    """A document's rank in each of two answers; None where it is not among the first k."""

    id: str
    a: int | None
    b: int | None


@dataclass(frozen=True, slots=True)
class Compared:
    """One query on two pairs, and where each document stands in both answers, the best ranks first."""

    query: str
    a: Result
    b: Result
    places: tuple[Placed, ...]

    @property
    def overlap(self) -> float:
        """Share of the longer answer that both have."""
        longer = max(len(self.a.hits), len(self.b.hits))
        both = sum(place.a is not None and place.b is not None for place in self.places)
        return both / longer if longer else 1.0
