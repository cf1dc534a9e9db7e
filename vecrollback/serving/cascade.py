"""A pair that answers before it is whole: others name candidates, its own vectors of them decide.

What the pair has vectors of it searches as ever. For the rest, the index of the pair that served before it, asked with
that pair's own model, and the words of the query name candidates; those are embedded by the new model while the query
waits, within a budget. Every score that is compared is of the new model's vectors: the old pair's scores only say in
which order candidates are worth looking at. Where the budget ends before the first ones are embedded, the old pair
answers the query whole, under its own name.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vecrollback.corpus.documents import content_hash
from vecrollback.corpus.text_cache import TextCache
from vecrollback.errors import EmbedderChangedError, VecrollbackError
from vecrollback.indexes import exact_search
from vecrollback.pairs.bridges import Bridges
from vecrollback.pairs.resources import Resources
from vecrollback.pairs.vectors import ChunkVectors
from vecrollback.records import (
    WHOLE_TEXT,
    AnsweredBy,
    Bridge,
    Cascade,
    Hit,
    Json,
    Pair,
    SearchOptions,
    document_key,
    key_parts,
)
from vecrollback.records.arrays import FloatArray
from vecrollback.serving.hybrid import KeywordAnswers
from vecrollback.serving.masks import Filter
from vecrollback.serving.on_demand import Keep, OnDemand, TextBudget, WantedText
from vecrollback.serving.open_pairs import OpenPair, OpenPairs, Position
from vecrollback.serving.open_snapshot import OpenSnapshot
from vecrollback.serving.patient_model import TROUBLE
from vecrollback.serving.view import PairView

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CascadeAnswer:
    """The hits of one query, and whose they are. `embedded`: texts that it had embedded."""

    hits: list[Hit]
    open_pair: OpenPair
    answered_by: AnsweredBy
    embedded: int
    candidates: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CascadeSides:
    """What a pair that is not whole answers from, at one position. Immutable, as the pair's view is.

    `old`: the pair before, where it can be opened. `bridge`: into its space, for when its own model does not answer.
    """

    new: OpenPair
    old: OpenPair | None
    bridge: Bridge | None
    record: Cascade
    own: frozenset[str]

    def measured(self, by: AnsweredBy) -> dict[str, Json]:
        """What is known of such answers: of the cascade's own, or of those of the pair before it."""
        if by == "bridge" and self.bridge is not None:
            return {"source": self.bridge.source, **self.bridge.worth.payload}
        trial = {"source": self.record.source, **self.record.trial.payload}
        return trial if by == "cascade" else trial | {"ndcg@10": trial["old"], "share": trial["old"] and 1.0}


class CascadeAnswers:
    """Answers from pairs that are not whole. Safe to use from many threads."""

    def __init__(
        self,
        resources: Resources,
        open_pairs: OpenPairs,
        words: KeywordAnswers,
        keep: Keep | None = None,
        *,
        soon: bool = True,
    ) -> None:
        self._catalog, self._corpus, self._embedders = resources.catalog, resources.corpus, resources.embedders
        self._open_pairs, self._words, self._keep, self._soon = open_pairs, words, keep, soon
        self._bridges = Bridges(resources)
        self._on_demand: dict[tuple[str, str, int, int], OnDemand] = {}
        self._lock = threading.Lock()
        self._base: tuple[OpenSnapshot | None, frozenset[str]] = None, frozenset()

    def beside(self, new: OpenPair, head: int) -> CascadeSides | None:
        """What helps this pair at this head of the log; None for one that is whole.

        Without the pair before it, where that was pruned, the words of a query still name candidates.
        """
        part = new.view.snapshot.manifest.cascade
        if part is None:
            return None
        source = self._catalog.pairs.find(part.source)
        record = self._catalog.cascades.find(new.pair.name) or Cascade(new.pair.name, part.source)
        return self.sides(new, self._opened(source, head) if source and source.snapshot else None, record)

    def sides(self, new: OpenPair, old: OpenPair | None, record: Cascade) -> CascadeSides:
        """The same of pairs that are open already."""
        bridges = [one for one in self._catalog.bridges.into(record.source) if one.source == new.pair.name]
        return CascadeSides(new, old, bridges[0] if bridges else None, record, self._own(new.view))

    def answer(
        self,
        sides: CascadeSides,
        queries: FloatArray,
        options: SearchOptions,
        only: Filter | None,
        texts: Sequence[str] | None,
    ) -> list[CascadeAnswer]:
        """Answer queries.

        Args:
            sides: What to answer from.
            queries: Vectors by the new pair's model, shape (n, dimension).
            options: How many documents, and of which.
            only: The same as a filter of both views; None for the documents of all namespaces.
            texts: The queries themselves; None where only their vectors are known.

        Returns:
            An answer for each.
        """
        depth = max(options.k, sides.record.per_query)
        theirs, by = self._by_old(sides, queries, depth, only, texts)
        own = sides.new.view.search(queries, options.k, only, include_vectors=options.include_vectors)
        answers = []
        allowed = only.matching(sides.new.view.texts) if only is not None and only.matching is not None else None
        namespace = None if only is None else only.namespace
        for n, hits in enumerate(own):
            by_vectors = [document_key(one.id, one.namespace) for one in theirs[n]]
            if allowed is not None:  # as they are in the texts that are shown: the other view may have later ones
                named = pa.array(by_vectors, pa.string())
                by_vectors = named.filter(pc.is_in(named, value_set=allowed)).to_pylist()
            words: list[str] = []
            if texts is not None:
                words = self._words.candidates(texts[n], depth, namespace=namespace, allowed=allowed)
            order = _in_turns(by_vectors, words)[:depth]
            answers.append(self._ranked(sides, queries[n : n + 1], options, hits, order, theirs[n], by))
        return answers

    def _ranked(
        self,
        sides: CascadeSides,
        query: FloatArray,
        options: SearchOptions,
        own: list[Hit],
        order: list[str],
        theirs: list[Hit],
        by: AnsweredBy,
    ) -> CascadeAnswer:
        view, embedded, why = sides.new.view, 0, ""
        missing = self._wanted([key for key in order if key not in sides.own], view.texts)
        made: dict[str, ChunkVectors] = {}
        refused: set[str] = set()
        try:
            on_demand = self._of(sides)
            embedded = on_demand.make(missing) if missing else 0
            on_demand.answered(1)
            made, refused = on_demand.find(missing), on_demand.refused
        except TROUBLE as error:
            why = f"the model of {sides.new.pair.name} does not embed: {error}"
        # Those that the log does not hold at this head, by words of a moment later, are no answer of either pair.
        without = {one.key for one in missing} - made.keys() - refused
        if theirs and sides.old is not None and not without.isdisjoint(order[: options.k]):
            self._note_wanted(sides.new.pair, [one.key for one in missing if one.key not in made])
            hits = theirs[: options.k]
            reason = why or "the budget for embedding is spent"
            return CascadeAnswer(hits, sides.old, by, embedded, len(order), reason)
        ranked = _hits(query, made, view, options, sides.new.pair)
        best = sorted([*own, *ranked], key=lambda hit: -hit.score)[: options.k]
        return CascadeAnswer(best, sides.new, "cascade", embedded, len(order))

    # -- candidates ---------------------------------------------------------------------------------------------------

    def _by_old(
        self, sides: CascadeSides, queries: FloatArray, depth: int, only: Filter | None, texts: Sequence[str] | None
    ) -> tuple[list[list[Hit]], AnsweredBy]:
        """What the pair before answers: by its own model, else by a bridge, else nothing."""
        old = sides.old
        if old is None:
            return [[] for _ in queries], "standby"
        try:
            if texts is not None:
                return old.view.search(old.queries.embed(list(texts)), depth, only), "standby"
        except TROUBLE as error:
            _log.debug("%s names no candidates by its own model: %s", old.pair.name, error)
        try:
            if sides.bridge is not None:
                mapped = self._bridges.open(sides.bridge).apply(queries)
                return old.view.search(mapped, depth, only), "bridge"
        except TROUBLE as error:
            _log.warning("%s names no candidates over a bridge: %s", old.pair.name, error)
        return [[] for _ in queries], "standby"

    def _opened(self, source: Pair, head: int) -> OpenPair | None:
        position = Position(source.ref, source.vectors_version, source.watermark, head)
        try:
            return self._open_pairs.at(position)
        except (VecrollbackError, OSError) as error:
            _log.warning("%s names no candidates: %s", source.ref, error)
            return None

    def _own(self, view: PairView) -> frozenset[str]:
        """Documents that the pair has rows of."""
        snapshot, known = self._base
        if snapshot is not view.snapshot:
            known = frozenset(view.snapshot.ids.to_pylist())
            self._base = view.snapshot, known
        return known | view.delta.supersedes

    def _wanted(self, keys: Sequence[str], texts: TextCache) -> list[WantedText]:
        """The texts of these documents as they are now; those that the log does not hold are left out."""
        if not keys:
            return []
        rows = texts.base.rows_of(pa.array(keys, pa.string())).tolist()
        wanted, elsewhere = dict[str, WantedText](), list[str]()
        for key, row in zip(keys, rows, strict=True):
            change = texts.changed.get(key)
            if change.deleted if change is not None else row < 0:
                continue
            digest = change.content_hash if change is not None else texts.base.hashes[row].tobytes()
            text, _, other = texts.lookup(key, row)
            wanted[key] = WantedText(key, text, digest)
            if other:
                elsewhere.append(key)
        if elsewhere:  # the model gets another text than the one that is shown
            there = self._corpus.at_head(lambda state: self._corpus.get(elsewhere, version=state.version))
            for key in elsewhere:
                document = there.get(key)
                # One that was written a moment ago has vectors of another text than the one that is shown.
                if document is None or content_hash(document.text_for_model) != wanted[key].content_hash:
                    del wanted[key]
                else:
                    wanted[key] = replace(wanted[key], text=document.text_for_model)
        return list(wanted.values())

    # -- vectors made for queries -------------------------------------------------------------------------------------

    def _of(self, sides: CascadeSides) -> OnDemand:
        record, pair = sides.record, sides.new.pair
        key = pair.name, pair.fingerprint, record.per_query, record.per_second
        with self._lock:  # of two for one pair, one would be forgotten with what it made
            if key in self._on_demand:
                return self._on_demand[key]
            probes = self._embedders.batch_probes(pair)
            if probes is None:
                raise EmbedderChangedError(f"pair {pair.name!r} has no probes: what its model makes is not proven")
            budget = TextBudget(record.per_query, record.per_second)
            on_demand = OnDemand(pair.name, self._embedders.of(pair), probes, budget, self._keep, soon=self._soon)
            # The one before stays beside it: queries in flight go on with the pair that they began with.
            ended = [self._on_demand.pop(one) for one in list(self._on_demand)[:-1]]
            self._on_demand[key] = on_demand
        self._end(ended)
        return on_demand

    def _note_wanted(self, pair: Pair, keys: Sequence[str]) -> None:
        """Tell whoever builds the pair what queries asked for and did not get."""
        if keys:
            try:
                self._catalog.stale_reads.note(pair.name, dict.fromkeys(keys, 1))
            except VecrollbackError as error:
                _log.debug("what queries asked for is not noted: %s", error)

    def tidy(self) -> None:
        """Let go of what was made for pairs that are not open any more, once it is written."""
        names = self._open_pairs.names
        with self._lock:
            ended = [self._on_demand.pop(key) for key in list(self._on_demand) if key[0] not in names]
            snapshot = self._base[0]
            if snapshot is not None and snapshot.ref not in self._open_pairs.refs:
                self._base = None, frozenset()
        self._end(ended)

    def _end(self, ended: Sequence[OnDemand]) -> None:
        for one in ended:  # on a thread: no query waits until what is left was written
            threading.Thread(target=one.close, name="vecrollback-cascade-end", daemon=True).start()

    def hand_over(self) -> None:
        """Have everything written that was made for queries so far."""
        for one in list(self._on_demand.values()):
            one.hand_over()

    def close(self) -> None:
        for one in self._on_demand.values():
            one.close()
        self._on_demand = {}


def _in_turns(*lists: Sequence[str]) -> list[str]:
    """Keys from each list in turn, each once: ranks need no common scale."""
    turns = chain.from_iterable(zip_longest(*lists))
    return list(dict.fromkeys(key for key in turns if key is not None))


def _hits(
    query: FloatArray, made: dict[str, ChunkVectors], view: PairView, options: SearchOptions, pair: Pair
) -> list[Hit]:
    """Documents by their best chunks, whose vectors were made for this query or one before it; best first."""
    keys = [key for key, one in made.items() if len(one.vectors)]
    if not keys:
        return []
    vectors = np.concatenate([made[key].vectors for key in keys])
    owner = np.repeat(np.arange(len(keys)), [len(made[key].vectors) for key in keys])
    first = np.concatenate([[0], np.cumsum([len(made[key].vectors) for key in keys])])
    scores, places = exact_search(vectors, query, len(vectors), pair.metric)
    rows = view.texts.base.rows_of(pa.array(keys, pa.string())).tolist()
    hits: dict[str, Hit] = {}
    for score, place in zip(scores[0].tolist(), places[0].tolist(), strict=True):
        number = int(owner[place])
        key, ordinal = keys[number], place - int(first[number])
        if key in hits:
            continue
        if len(hits) == options.k:
            break
        text, metadata, other_text = view.texts.lookup(key, rows[number])
        start, end = made[key].spans[ordinal].tolist()
        namespace, id_ = key_parts(key)
        shown, chunk = (text, WHOLE_TEXT) if other_text else (text[start:end], ordinal)
        vector = tuple(vectors[place].tolist()) if options.include_vectors else None
        hits[key] = Hit(id_, score, shown, metadata, chunk, stale=False, namespace=namespace, vector=vector)
    return list(hits.values())
