"""Long work and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from vecrollback.records.documents import Json

JobState = Literal["running", "done", "failed", "cancelled", "lost"]
"""`lost`: its process is gone, and nobody wrote down how it ended. All but `done` can be resumed."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a job stands. `total` may grow while writers keep writing; `given_up` cannot be embedded.

    `share_of_ceiling`: how much of what the workers' processors or accelerators can multiply reached the model; None
    where nobody can tell, as behind a service.
    """

    job: str
    phase: str
    documents: int
    total: int
    chunks: int
    tokens: int
    embedded: int
    elapsed: float
    given_up: int = 0
    share_of_ceiling: float | None = None

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.elapsed if self.elapsed > 0 else 0.0


ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A long piece of work, as the catalog knows it, and the process that ran it last."""

    id: str
    kind: str
    pair: str
    state: JobState
    cancel: bool
    progress: Mapping[str, Json]
    error: str
    started_at: str
    updated_at: str
    host: str = ""
    pid: int = 0
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A person's word that a document, as it is at `seq`, may stay without a vector of a pair."""

    pair: str
    document: str
    seq: int
    reason: str
    actor: str
    at: str


@dataclass(frozen=True, slots=True)
class UnembeddedDocument:
    """A document, as it was at `seq`, that a pair has no vector of because its model cannot embed it.

    `reason`: the model's own. `acceptance`: who said that it may stay so; None: nobody.
    """

    pair: str
    document: str
    seq: int
    job: str
    reason: str
    at: str = ""
    acceptance: Acceptance | None = None


@dataclass(frozen=True, slots=True)
class RuntimeBatches:
    """What embedded the batches `first` to `last` of a pair's vectors: a runtime of the pair's model, and its facts."""

    number: int
    pair: str
    job: str
    runtime: str
    body: Mapping[str, Json]
    first: int
    last: int
    at: str


@dataclass(frozen=True, slots=True)
class Effort:
    """Where a job works, and how hard. What it makes is the same whatever stands here.

    `engine`: "inline" (in this process), "local:N" (N processes) or "dask://HOST:PORT". `accelerate`: "off", "auto" or
    the name of a runtime. `idle`: in the scheduling class that runs when nothing else wants to. `max_load`: wait while
    others keep more cores busy than this. `window`: hours of the day to work in, "22:00-06:00", local time.
    """

    engine: str = "inline"
    accelerate: str = "off"
    idle: bool = False
    max_load: float | None = None
    window: str | None = None


CaughtUpBy = Literal["bridge"]
"""What embeds in place of a pair's own model."""


@dataclass(frozen=True, slots=True)
class CatchUp:
    """What a catch-up did. `reused` vectors were already there for the same content.

    `bridged`: documents whose vectors came over a bridge; 0 where the pair's own model made them.
    """

    pair: str
    watermark: int
    lag: int
    documents: int
    embedded: int
    reused: int
    chunks: int
    seconds: float
    bridged: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What re-embedding would take, before anything is done. Sizes in bytes, times in seconds, money in dollars.

    `documents`: live changes to take in. `reused`: those of them that have vectors already, by content hash.
    `texts`, `chunks`, `tokens`: what is left to embed; identical texts count once. `counted`: texts that were read to
    know this, all of them unless there are very many. `error`: relative half-width of a 95% interval of `tokens`.
    `estimated`: the model hides its tokenizer, so the tokens are an estimate. `seconds`: of embedding, at the
    `tokens_per_second` of a short run over `measured` texts; None when there was no such run. `stale_documents`,
    `stale_seconds`: what a rollback to the pair that is live now would have to bring up to date if nobody caught it up
    meanwhile, and how long that would take. `model_bytes`: of the model's files, where the store will keep them beside
    the pair; a part of `disk`, unless they can be linked. `cut`: chunks that are longer than what the model reads of a
    text, as far as the embedder knows: it makes a vector of their beginning.
    """

    pair: str
    embedder: str
    fingerprint: str
    resumes: bool
    documents: int
    reused: int
    texts: int
    chunks: int
    tokens: int
    counted: int
    error: float
    estimated: bool
    measured: int
    tokens_per_second: float | None
    seconds: float | None
    price: float | None
    dollars: float | None
    index: str
    disk: int
    disk_free: int
    stale_documents: int | None
    stale_seconds: float | None
    model_bytes: int = 0
    cut: int = 0
