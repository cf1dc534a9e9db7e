"""Which runtime a job embeds with, where it may be another than its pair's: tried on the texts that wait for it."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from vecrollback.catalog import Catalog
from vecrollback.corpus.corpus import Corpus
from vecrollback.embedders import Embedder
from vecrollback.embedders.runtimes.selection import RuntimeChoice, choose
from vecrollback.pairs.embedders import PairEmbedders
from vecrollback.records import Effort, Pair
from vecrollback.reembedding.dispatch import EmbedCounts
from vecrollback.reembedding.jobs import Reporter

_WORTH_TRYING = 2_000
"""Changes from which it pays to try runtimes."""

_TRIED_ON = 96


def choose_runtime(
    corpus: Corpus, embedders: PairEmbedders, pair: Pair, effort: Effort, report: Reporter
) -> RuntimeChoice | None:
    """The runtime for what the pair lacks; None when there is too little for one to pay."""
    state = corpus.state()
    changes = corpus.changes(pair.watermark, state.head, version=state.version)
    if effort.accelerate == "auto" and changes.num_rows < _WORTH_TRYING:
        return None
    report.phase = "choosing a runtime"
    report(EmbedCounts())
    embedder = embedders.of(pair)
    several = effort.engine != "inline" or effort.idle
    choice = choose(
        embedder,
        effort.accelerate,
        recorded=embedders.probes(pair),
        texts=_some(corpus, embedder, pair, changes.num_rows),
        threads=(1,) if several else _thread_counts(),
        keep=not several,
    )
    report.phase = "embedding"
    return choice


def _some(corpus: Corpus, embedder: Embedder, pair: Pair, count: int) -> list[str]:
    """Chunks drawn from the changes that the pair lacks."""
    state = corpus.state()
    rows = corpus.changes(pair.watermark, state.head, version=state.version)["_rowid"].to_pylist()
    sample = np.random.default_rng().permutation(min(count, len(rows)))[:_TRIED_ON].tolist()
    texts = corpus.texts([rows[place] for place in sample], version=state.version)
    return [text[start:end] for text in texts for start, end in embedder.chunk(text)][: 2 * _TRIED_ON]


def _thread_counts() -> tuple[int, ...]:
    """One, and as many as torch takes by itself."""
    import torch

    return tuple(sorted({1, torch.get_num_threads()}))


class RuntimeLog:
    """Records which batches a runtime made that is not the pair's own embedder."""

    def __init__(self, catalog: Catalog, pair: str, job: str, choice: RuntimeChoice) -> None:
        self._catalog, self._pair, self._job = catalog, pair, job
        self._choice = choice
        self._number = 0

    def __call__(self, batch: int) -> None:
        if (runtime := self._choice.runtime) is None:
            return
        if not self._number:
            facts = {**asdict(runtime), **self._choice.facts()}
            self._number = self._catalog.embedding.begin(self._pair, self._job, runtime.name, facts, after=batch - 1)
        self._catalog.embedding.reached(self._number, batch)
