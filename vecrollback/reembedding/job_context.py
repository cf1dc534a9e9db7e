"""Where a job embeds: its engine, its pace, the backend it chose, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import numpy as np

from vecrollback.catalog import Catalog
from vecrollback.corpus.corpus import Corpus
from vecrollback.embedders import Embedder
from vecrollback.embedders.runtimes.selection import RuntimeChoice, choose
from vecrollback.pairs.embedders import PairEmbedders
from vecrollback.pairs.vectors import Vectors
from vecrollback.records import Effort, Pair, ProgressCallback
from vecrollback.reembedding import EmbedCounts, Refresher
from vecrollback.reembedding.engines import EmbedderRecipe, Engine, check_setting, open_engine
from vecrollback.reembedding.jobs import Reporter
from vecrollback.reembedding.throttle import Throttle

PLAIN = Effort()
_WORTH_TRYING = 2_000
"""Changes from which it pays to try backends."""

_TRIED_ON = 96

Sources = Callable[[Pair], list[tuple[Vectors, int]]]


@dataclass(frozen=True, slots=True)
class JobContext:
    """What one job works with, from its first document to its last."""

    catalog: Catalog
    corpus: Corpus
    embedders: PairEmbedders
    job: str
    report: Reporter
    engine: Engine
    pacer: Throttle
    choice: RuntimeChoice | None

    def refresher(self, pair: Pair, vectors: Vectors, others: Sources) -> Refresher:
        """What brings a pair's vectors up to date here."""
        return Refresher(
            self.catalog,
            self.corpus,
            vectors,
            self.embedders.of(pair),
            pair,
            others=lambda: others(pair),
            on_batch=self.report,
            on_made=_Provenance(self.catalog, pair.name, self.job, self.choice),
            engine=self.engine,
            gate=self.pacer,
            job=self.job,
        )


@contextmanager
def workplace(
    catalog: Catalog,
    corpus: Corpus,
    embedders: PairEmbedders,
    pair: Pair,
    job: str,
    progress: ProgressCallback | None,
    effort: Effort,
) -> Iterator[JobContext]:
    """Set up what a job needs; its workers are let go at the end. Raises UsageError, EmbedderChangedError."""
    check_setting(effort.engine)
    report = Reporter(catalog, job, progress)
    pacer = Throttle(effort, report.look)
    embedder = embedders.of(pair)
    choice = _chosen(corpus, embedders, pair, effort, report)
    same = catalog.equivalences.of(pair.fingerprint)
    recipe = EmbedderRecipe(embedder.spec, same, effort.idle, choice.backend if choice else None)
    engine = open_engine(effort.engine, recipe, embedder)
    try:
        yield JobContext(catalog, corpus, embedders, job, report, engine, pacer, choice)
    finally:
        engine.close()


def _chosen(
    corpus: Corpus, embedders: PairEmbedders, pair: Pair, effort: Effort, report: Reporter
) -> RuntimeChoice | None:
    """The backend for what the pair lacks; None when nothing was asked for, or there is too little for it to pay."""
    if effort.accelerate == "off":
        return None
    state = corpus.state()
    lacking = corpus.changes(pair.watermark, state.head, version=state.version)
    if effort.accelerate == "auto" and lacking.num_rows < _WORTH_TRYING:
        return None
    report.phase = "choosing a backend"
    report(EmbedCounts())
    embedder = embedders.of(pair)
    several = effort.engine != "inline" or effort.idle
    choice = choose(
        embedder,
        effort.accelerate,
        recorded=embedders.probes(pair),
        texts=_some(corpus, embedder, pair, lacking.num_rows),
        threads=(1,) if several else _thread_counts(),
        keep=not several,
    )
    report.phase = "embedding"
    return choice


def _some(corpus: Corpus, embedder: Embedder, pair: Pair, count: int) -> list[str]:
    """Chunks drawn from the changes that the pair lacks."""
    state = corpus.state()
    rows = corpus.changes(pair.watermark, state.head, version=state.version)["_rowid"].to_pylist()
    chosen = np.random.default_rng().permutation(min(count, len(rows)))[:_TRIED_ON].tolist()
    texts = corpus.texts([rows[place] for place in chosen], version=state.version)
    return [text[start:end] for text in texts for start, end in embedder.chunk(text)][: 2 * _TRIED_ON]


def _thread_counts() -> tuple[int, ...]:
    """One, and as many as torch takes by itself."""
    import torch

    return tuple(sorted({1, torch.get_num_threads()}))


class _Provenance:
    """Records which batches a backend made that is not the pair's own embedder."""

    def __init__(self, catalog: Catalog, pair: str, job: str, choice: RuntimeChoice | None) -> None:
        self._catalog, self._pair, self._job = catalog, pair, job
        self._choice = choice
        self._number = 0

    def __call__(self, batch: int) -> None:
        backend = self._choice.backend if self._choice else None
        if self._choice is None or backend is None:
            return
        if not self._number:
            facts = {**asdict(backend), **self._choice.facts()}
            self._number = self._catalog.embedding.begin(self._pair, self._job, backend.name, facts, after=batch - 1)
        self._catalog.embedding.reached(self._number, batch)
