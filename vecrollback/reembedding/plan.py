"""What re-embedding would take: counted from the log, timed on a short run, priced, before anything is done."""

from __future__ import annotations

import datetime as dt
import math
import shutil
import time
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vecrollback.embedders import Embedder, traits_of
from vecrollback.embedders.base import count_cut
from vecrollback.indexes import index_bytes, resolve_spec
from vecrollback.pairs.givers import gift_by_contract
from vecrollback.pairs.resources import Resources
from vecrollback.records import LIVE, CorpusState, Pair, Plan
from vecrollback.reembedding.builder import BuildRequest, pair_name, resumable_pair

COUNTED_WHOLE = 50_000
"""Texts up to which every one is tokenised; of more, this many are drawn at random and the error is stated."""

_READ = 1_024
_TIMED, _TIMED_SLICE, _TIMED_SECONDS = 256, 16, 4.0
_ROW_BYTES = 110
"""A row of the vectors table without its vector, and its line in an index's id map; measured on 20,000 texts."""

_RATE_HOURS = 24


@dataclass(frozen=True, slots=True)
class _Counted:
    """Chunks and tokens of all texts, and chunks that are cut, from `texts` of them; `error` is relative, at 95%."""

    chunks: int
    tokens: int
    texts: int
    error: float
    cut: int = 0


@dataclass(frozen=True, slots=True)
class _KnownTexts:
    """Documents to take in; of those whose vectors exist, and about how many chunks these have."""

    documents: int
    reused: int
    chunks: int


@dataclass(frozen=True, slots=True)
class _MeasuredPace:
    """A short run: `texts` embedded, tokens per second, seconds per document."""

    texts: int
    tokens_per_second: float
    per_document: float


class Planner:
    """Counts and times; changes nothing."""

    def __init__(self, resources: Resources) -> None:
        self._root, self._catalog, self._corpus = resources.root, resources.catalog, resources.corpus
        self._embedders, self._vectors_of = resources.embedders, resources.vectors_of

    def __call__(
        self,
        spec: str,
        *,
        name: str | None = None,
        index: str = "auto",
        price: float | None = None,
        measure: bool | None = None,
        seed: int | None = None,
        keep_model: bool | None = None,
    ) -> Plan:
        """What `reembed` would take for these arguments.

        `price`: dollars per million tokens; default: the embedder's own. `measure`: time a short run; None times it
        unless the model is metered: behind a service, or paid for. Raises EmbedderSpecError, EmbeddingError, and
        PairStateError where `reembed` would.
        """
        embedder = self._embedders.open(spec)
        traits = traits_of(embedder)
        name = name or pair_name(self._catalog, spec, embedder)
        pair = resumable_pair(self._catalog, name, BuildRequest(spec, index), embedder)
        state = self._corpus.state()
        changes, known_texts = self._texts_to_embed(embedder, pair, state)
        chance = np.random.default_rng(seed)
        counts = self._count(embedder, changes, state, chance)
        if measure is None:
            measure = not traits.metered
        pace = self._time(embedder, changes, state, chance) if measure else None
        seconds = None if pace is None else counts.tokens / pace.tokens_per_second
        price = traits.price if price is None else price
        chunks = counts.chunks + known_texts.chunks
        full_spec = resolve_spec(pair.index_spec if pair else index, chunks)
        stale = self._stale(state, seconds, chance)
        model_bytes = self._model_bytes(embedder, keep_model)
        return Plan(
            pair=name,
            embedder=embedder.spec,
            fingerprint=embedder.fingerprint,
            resumes=pair is not None,
            documents=known_texts.documents,
            reused=known_texts.reused,
            texts=changes.num_rows,
            chunks=counts.chunks,
            tokens=counts.tokens,
            counted=counts.texts,
            error=counts.error,
            estimated=traits.tokens_estimated,
            measured=pace.texts if pace else 0,
            tokens_per_second=pace.tokens_per_second if pace else None,
            seconds=seconds,
            price=price,
            dollars=None if price is None else counts.tokens * price / 1e6,
            index=full_spec,
            disk=_disk(chunks, full_spec, embedder.dimension) + model_bytes,
            disk_free=shutil.disk_usage(self._root).free,
            stale_documents=stale[0] if stale else None,
            stale_seconds=stale[1] if stale else None,
            model_bytes=model_bytes,
            cut=counts.cut,
        )

    def _model_bytes(self, embedder: Embedder, keep: bool | None) -> int:
        """Bytes that keeping the model will take; pairs of one model share them."""
        kept, files = self._embedders.kept, embedder.contract.get("files")
        names = self._catalog.models.all_kept()
        have = any(one.name in names and one.contract.get("files") == files for one in self._catalog.pairs.all())
        return 0 if have or not kept.wanted(embedder, keep) else kept.size(embedder)

    def _texts_to_embed(
        self, embedder: Embedder, pair: Pair | None, state: CorpusState
    ) -> tuple[pa.Table, _KnownTexts]:
        """One change for each text without vectors, and what is known of the others."""
        changes = self._corpus.changes(pair.watermark if pair else 0, state.head, version=state.version)
        changes = changes.filter(pc.invert(changes["_deleted"]))
        keys = [
            self._vectors_of(one).keys(one.vectors_version)
            for one in self._catalog.pairs.all()
            if self._gives_texts(one, embedder)
        ]
        made_hashes = pa.chunked_array([c for one in keys for c in one["content_hash"].chunks], pa.binary(16))
        fresh = changes.filter(pc.invert(pc.is_in(changes["_content_hash"], value_set=made_hashes)))
        reuse_count = changes.num_rows - fresh.num_rows
        documents_with_vectors = sum(pc.sum(pc.less_equal(one["ordinal"], 0)).as_py() or 0 for one in keys)
        known_texts = _KnownTexts(
            changes.num_rows, reuse_count, round(reuse_count * len(made_hashes) / max(documents_with_vectors, 1))
        )
        return fresh.take(_first_of_each(fresh["_content_hash"])), known_texts

    def _gives_texts(self, pair: Pair, embedder: Embedder) -> bool:
        """Whether the embedder's pair could take whole texts from this one. Single chunks are not counted on."""
        if pair.fingerprint in self._catalog.equivalences.of(embedder.fingerprint):
            return True
        gift = gift_by_contract(pair.contract, embedder.contract, pair.dimension, embedder.dimension)
        return gift is not None and not gift.other_chunks

    def _count(self, embedder: Embedder, texts: pa.Table, state: CorpusState, chance: np.random.Generator) -> _Counted:
        whole = texts.num_rows <= COUNTED_WHOLE
        sample = np.arange(texts.num_rows) if whole else chance.choice(texts.num_rows, COUNTED_WHOLE, replace=False)
        counts, tokens, cut = np.zeros(len(sample)), np.zeros(len(sample)), 0
        for first in range(0, len(sample), _READ):
            part = sample[first : first + _READ]
            for place, text in enumerate(self._texts(texts, part, state), start=first):
                chunks = [text[start:end] for start, end in embedder.chunk(text)]
                counts[place] = len(chunks)
                tokens[place] = embedder.count_tokens(chunks) if chunks else 0
                cut += count_cut(embedder, chunks)
        if whole:
            return _Counted(int(counts.sum()), int(tokens.sum()), len(sample), 0.0, cut)
        # of a sample without replacement: the share that was read takes no part in the error
        scale, unread = texts.num_rows / len(sample), 1 - len(sample) / texts.num_rows
        deviation = float(tokens.std(ddof=1)) * math.sqrt(unread / len(sample))
        error = 1.96 * deviation / max(float(tokens.mean()), 1e-9)
        return _Counted(
            round(counts.sum() * scale), round(tokens.sum() * scale), len(sample), error, round(cut * scale)
        )

    def _time(
        self, embedder: Embedder, texts: pa.Table, state: CorpusState, chance: np.random.Generator
    ) -> _MeasuredPace | None:
        """Embed slices of like lengths, as the job does, in random order until the time is up."""
        if not texts.num_rows:
            return None
        sample = chance.choice(texts.num_rows, min(_TIMED, texts.num_rows), replace=False)
        sample_texts = self._texts(texts, sample, state)
        chunks = sorted((t[a:b] for t in sample_texts for a, b in embedder.chunk(t)), key=len)
        if not chunks:
            return None
        embedder.embed_documents(chunks[:1])  # loads the model
        slices = [chunks[i : i + _TIMED_SLICE] for i in range(0, len(chunks), _TIMED_SLICE)]
        count, tokens, start = 0, 0, time.monotonic()
        for number in chance.permutation(len(slices)).tolist():
            embedder.embed_documents(slices[number])
            count += len(slices[number])
            tokens += embedder.count_tokens(slices[number])
            if time.monotonic() - start > _TIMED_SECONDS:
                break
        seconds = max(time.monotonic() - start, 1e-9)
        return _MeasuredPace(count, tokens / seconds, seconds / count * len(chunks) / len(sample_texts))

    def _texts(self, changes: pa.Table, sample: NDArray[np.int64], state: CorpusState) -> list[str]:
        rows = changes["_rowid"].take(pa.array(sample)).to_pylist()
        return self._corpus.texts(rows, version=state.version)

    def _stale(
        self, state: CorpusState, seconds: float | None, chance: np.random.Generator
    ) -> tuple[int, float | None] | None:
        """What the live pair would have to take in after a rollback to it at the end of the job, by its own model."""
        live = self._catalog.aliases.get(LIVE)
        if live is None:
            return None
        pair = self._catalog.pairs.get(live.pair)
        documents = state.head - pair.watermark + round(self._per_second(pair, state) * (seconds or 0.0))
        if not documents:
            return 0, 0.0
        # Before anything is compared with its recorded probes: that would be calls, too.
        if traits_of(self._embedders.open(pair.embedder)).metered:
            return documents, None
        embedder = self._embedders.of(pair)
        every = self._corpus.changes(0, state.head, version=state.version)
        pace = self._time(embedder, every.filter(pc.invert(every["_deleted"])), state, chance)
        return documents, documents * pace.per_document if pace else None

    def _per_second(self, pair: Pair, state: CorpusState) -> float:
        """Changes a second over the last day, those left out that the pair's first snapshot was built from."""
        snapshots = self._catalog.pairs.snapshots(pair.name)
        first_watermark = snapshots[0].watermark if snapshots else 0
        since = (dt.datetime.now(dt.UTC) - dt.timedelta(hours=_RATE_HOURS)).isoformat(timespec="microseconds")
        recent = 0
        for batch in self._corpus.scan(state.version, columns=["_updated_at"], after=first_watermark):
            recent += pc.sum(pc.greater_equal(batch["_updated_at"], since)).as_py() or 0
        return recent / (_RATE_HOURS * 3600)


def _disk(chunks: int, index: str, dimension: int) -> int:
    """Bytes of so many vectors, once in the table and once in an index of this spec."""
    return chunks * (4 * dimension + _ROW_BYTES + index_bytes(index, dimension))


def _first_of_each(hashes: pa.ChunkedArray) -> pa.Array:
    """Places of the first occurrence of every value."""
    places = pa.table({"hash": hashes, "place": np.arange(len(hashes))})
    return places.group_by("hash").aggregate([("place", "min")])["place_min"].combine_chunks()
