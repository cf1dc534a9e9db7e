"""Searching: a searcher follows an alias, reads the pointer for every query, and answers from exactly one pair."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
import uuid
from dataclasses import replace
from functools import partial

import numpy as np

from vecrollback.embedders.pieces import QUERIES_FIRST
from vecrollback.errors import (
    BadQueryError,
    CatalogUnavailableError,
    NoPairServesError,
    UnknownNameError,
    UsageError,
    VecrollbackError,
)
from vecrollback.pairs.resources import Resources
from vecrollback.records import (
    CANDIDATE,
    LIVE,
    Hit,
    PairVectors,
    Pointer,
    Result,
    SearcherRecord,
    SearchOptions,
    document_key,
)
from vecrollback.records.arrays import FloatArray
from vecrollback.serving.answer_counts import AnswerReport
from vecrollback.serving.answering import Serving, embed_queries, empty_result, results_of, valid_queries
from vecrollback.serving.cascade import CascadeAnswers, CascadeSides
from vecrollback.serving.fallback import Fallback, FallbackVectors
from vecrollback.serving.hybrid import KeywordAnswers
from vecrollback.serving.on_demand import Keep
from vecrollback.serving.open_pairs import OpenPairs, Position, near
from vecrollback.serving.pair_vectors import require_vectors_of
from vecrollback.serving.questions import Questions
from vecrollback.serving.reranking.ordering import reranked
from vecrollback.serving.shadow import Shadow, ShadowTask
from vecrollback.serving.time_watch import TimeWatch
from vecrollback.serving.traffic_log import TrafficLog
from vecrollback.serving.view import restriction
from vecrollback.storage.forks import FollowsForks, follow_forks
from vecrollback.storage.spans import span

_log = logging.getLogger(__name__)
_HEARTBEAT_SECONDS = 1.0


class Searcher(Questions, FollowsForks):
    """Answers queries from the pair an alias points to. Safe to use from many threads; close it or use `with`.

    A query reads the pointer once and keeps that pair to its end. The pairs that may come next (standby, candidate)
    are open as well, so a move loads nothing. While the catalog, or the storage of the files, cannot be read, answers
    come from the last state that could be read, and say so. `follow=False` leaves out the background threads, the
    registration as a searcher and the warm pairs: for one-off queries.
    """

    def __init__(
        self, resources: Resources, *, alias: str = LIVE, follow: bool = True, keep: Keep | None = None
    ) -> None:
        self._catalog, self._corpus = resources.catalog, resources.corpus
        self._open_pairs, self.alias, catalog = OpenPairs(resources), alias, resources.catalog
        self._resources, self._keep = resources, keep
        self._pointers = catalog.aliases.pointer_reader(alias)
        self._candidates = catalog.aliases.pointer_reader(CANDIDATE)
        self._shadow, self._follows, self._closed = Shadow(catalog), follow, False
        self._time = TimeWatch(resources)
        self._begin()
        if follow:
            QUERIES_FIRST.enter()
        self._start()
        follow_forks(self)

    def _begin(self) -> None:
        """A searcher that has answered nothing yet, and has no threads."""
        self._id = uuid.uuid4().hex
        self._report = AnswerReport(self._catalog, self._id, self.alias)
        self.traffic = TrafficLog(self._catalog, self._id, self.alias)
        self._fallback = Fallback(self._resources, self._open_pairs)
        self._keywords = KeywordAnswers(self._resources, self._open_pairs)
        self._cascade = CascadeAnswers(
            self._resources, self._open_pairs, self._keywords, self._keep, soon=self._follows
        )
        self._lock = threading.RLock()
        self._serving: Serving | None = None
        self._stop, self._warm_soon = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []
        self._idle = self._follows

    def _start(self) -> None:
        with self._lock:
            if self._idle and not self._closed:
                self._idle = False
                for loop in (self._follow, self._keep_warm):
                    self._threads.append(threading.Thread(target=loop, name=f"vecrollback-{self.alias}", daemon=True))
                    self._threads[-1].start()

    def forked(self) -> None:
        """Another process is another searcher: it follows by itself from its first query on."""
        self._begin()

    @property
    def current(self) -> bool:
        """Whether catalog and files could be read the last time they were asked."""
        return self._serving is None or self._serving.current

    @property
    def reason(self) -> str:
        """Why answers come from what was last known; "" while they are current."""
        return self._serving.reason if self._serving else ""

    @property
    def trouble(self) -> str:
        """Which files of the pair cannot be read, where answers are not current for that; else ""."""
        return self._serving.open_pair.trouble if self._serving else ""

    @property
    def doubt(self) -> str:
        """Why the model that embeds queries cannot be the one that made the pair; "" while it is proven."""
        return self._serving.open_pair.queries.doubt if self._serving else ""

    @property
    def pointer(self) -> Pointer | None:
        """What answers come from at this moment; None before the first reading."""
        return self._serving.pointer if self._serving else None

    @property
    def open_pairs(self) -> OpenPairs:
        """The open pairs: the one that answers, and those that may come next."""
        return self._open_pairs

    def draws(self, key: str) -> bool:
        """Whether a canary answers the caller with this key at this moment."""
        try:
            pointer = self._pointers.read()
        except CatalogUnavailableError:
            pointer = self.pointer
        return pointer is not None and pointer.canary is not None and pointer.canary.draws(key)

    def answer(
        self,
        texts: list[str],
        options: SearchOptions,
        *,
        key: str | None = None,
        canary: bool = False,
        counted: bool = True,
    ) -> list[Result]:
        """A result for each query, see `Store.search`. `canary`: `draws` was true for every caller of this batch.

        `counted`: False where the caller notes the traffic by itself, in `traffic`.
        """
        texts = valid_queries(texts)
        by_vectors = partial(self._by_vectors, texts, key=key, canary=canary)

        def ask(options: SearchOptions) -> list[Result]:
            return (
                by_vectors(options) if options.mode == "vector" else self._keywords.answer(texts, options, by_vectors)
            )

        def ordered() -> list[Result]:
            return ask(options) if options.reranker is None else reranked(texts, options, self._resources.root, ask)

        return self.traffic.note(texts, ordered) if counted else ordered()

    def _by_vectors(self, texts: list[str], options: SearchOptions, *, key: str | None, canary: bool) -> list[Result]:
        try:
            return self._answer_or_canary(self._now(), texts, options, key, canary) if texts else []
        except NoPairServesError as error:
            return [empty_result(error) for _ in texts]

    def answer_vectors(self, vectors: PairVectors, options: SearchOptions) -> list[Result]:
        """A result for each vector of a query. Raises FingerprintMismatchError, UsageError."""
        try:
            serving = self._now()
        except NoPairServesError as error:
            return [empty_result(error) for _ in np.atleast_2d(vectors.vectors)]
        queries = require_vectors_of(serving.open_pair.pair, vectors, self._catalog.equivalences)
        if serving.sides is not None:
            return self._answer_beside(serving, serving.sides, None, queries, options)
        return self._answer(serving, queries, options)

    def _answer_or_canary(
        self, serving: Serving, texts: list[str], options: SearchOptions, key: str | None, canary: bool
    ) -> list[Result]:
        """Answers of the canary for callers in its share, else of the live pair, which the shadow may then compare."""
        candidate, running = serving.candidate, serving.pointer.canary
        if candidate is None or running is None:
            return self._answer_live(serving, texts, options)
        start = time.perf_counter()
        if canary or (key is not None and running.draws(key)):
            try:
                results = self._answer(candidate, embed_queries(candidate, texts), options, canary=True)
                self._shadow.answered(running, (time.perf_counter() - start) / len(texts))
                self._report.canary(running.pair, serving.pointer.epoch, len(texts))
                return results
            except BadQueryError as error:
                # Its own fault if the live pair's model takes the query, else the caller's.
                results = self._answer_live(serving, texts, options)
                self._shadow.failed(running, error)
                return results
            except UsageError:
                raise
            except Exception as error:  # whatever is wrong with it: the caller gets an answer, and the canary a failure
                self._shadow.failed(running, error)
        results = self._answer_live(serving, texts, options)
        if results[0].answered_by != "pair":
            return results  # nothing to compare a canary with

        # Asked later, on the shadow's thread: a caller never waits for a pair whose answers are only compared.
        def again() -> list[list[Hit]]:
            results_again = self._answer(candidate, embed_queries(candidate, texts), options, canary=True)
            return [result.hits for result in results_again]

        seconds = time.perf_counter() - start
        self._shadow.offer(ShadowTask(running, texts, [result.hits for result in results], seconds, again))
        return results

    def _answer_live(self, serving: Serving, texts: list[str], options: SearchOptions) -> list[Result]:
        """Answers of the pair that serves; of what `[serving] fallback` names, while its model does not answer."""
        try:
            with span("embed", pair=serving.open_pair.pair.name, texts=len(texts)), QUERIES_FIRST.query():
                queries = self._fallback.embed(serving.open_pair, texts)
        except UsageError:
            raise
        except (VecrollbackError, OSError, ImportError) as error:
            if not self._fallback.settings.order:
                raise
            instead = self._fallback.vectors(serving.open_pair, texts, serving.pointer.head, error)
            if instead is None:
                measured = self._fallback.worth_of_words(serving.open_pair)
                return [replace(one, measured=measured) for one in self._keywords.by_words(texts, options)]
            snapshot = instead.open_pair.view.snapshot.manifest
            pointer = replace(serving.pointer, pair=snapshot.pair, snapshot=snapshot.number)
            taking_over = serving._replace(pointer=pointer, open_pair=instead.open_pair)
            return self._answer(taking_over, instead.vectors, options, instead=instead)
        if serving.sides is not None:
            return self._answer_beside(serving, serving.sides, texts, queries, options)
        return self._answer(serving, queries, options)

    def _answer_beside(
        self,
        serving: Serving,
        sides: CascadeSides,
        texts: list[str] | None,
        queries: FloatArray,
        options: SearchOptions,
    ) -> list[Result]:
        """Answers of a pair that is not whole, or of the one before it, each whole in one space."""
        only = restriction(options, self._corpus, head=serving.pointer.head, version=serving.pointer.corpus_version)
        results: list[Result] = []
        for answer in self._cascade.answer(sides, queries, options, only, texts):
            manifest = answer.open_pair.view.snapshot.manifest
            pointer = replace(serving.pointer, pair=manifest.pair, snapshot=manifest.number)
            whose = serving._replace(pointer=pointer, open_pair=answer.open_pair)
            measured = {
                **sides.measured(answer.answered_by),
                "embedded": answer.embedded,
                "candidates": answer.candidates,
            }
            origin = FallbackVectors(answer.open_pair, queries, answer.answered_by, measured)
            results += results_of(whose, [answer.hits], options, instead=origin)
        self._report.answers.add(serving.pointer.epoch, len(results))
        own = (hit for one in results if one.answered_by == "cascade" for hit in one.hits)
        if self._follows and (stale := [document_key(hit.id, hit.namespace) for hit in own if hit.stale]):
            self._report.stale.add(serving.pointer.pair, stale)
        return results

    def _answer(
        self,
        serving: Serving,
        queries: FloatArray,
        options: SearchOptions,
        *,
        canary: bool = False,
        instead: FallbackVectors | None = None,
    ) -> list[Result]:
        pointer, view = serving.pointer, serving.open_pair.view
        with span("search", pair=pointer.pair, epoch=pointer.epoch, queries=len(queries), k=options.k):
            # Filter and vectors: one state of the log.
            only = restriction(options, self._corpus, head=pointer.head, version=pointer.corpus_version)
            hits = view.search(queries, options.k, only, include_vectors=options.include_vectors)
        if not canary:
            self._report.answers.add(pointer.epoch, len(hits))
        if self._follows and (stale := [document_key(h.id, h.namespace) for one in hits for h in one if h.stale]):
            self._report.stale.add(pointer.pair, stale)
        return results_of(serving, hits, options, canary=canary, instead=instead)

    def _now(self) -> Serving:
        """The pointer as it is now, and what serves it."""
        if self._idle:
            self._start()
        try:
            pointer = self._pointers.read()
            serving = self._serving  # read once: another thread may replace it between two looks
            # The reader returns the same object while nothing moved, so this comparison is all that most queries pay.
            if serving is not None and serving.pointer is pointer and serving.current:
                return serving
            serving = self._apply()
            self._pointers.wake()  # to acknowledge it
            return serving
        except CatalogUnavailableError:
            if self._serving is None:
                raise
            return self._last_known("the catalog cannot be read")

    def _apply(self) -> Serving:
        """Serve what the pointer says now."""
        with self._lock:
            # Read again inside the lock: a thread that waited here must not put back the pointer it came with.
            pointer = self._pointers.read()
            if pointer is None:
                hint = "build one and let it serve: `vecrollback reembed MODEL --name v1 --promote`"
                if self.alias == LIVE:
                    raise NoPairServesError("no pair is live yet", hint=hint)
                raise UnknownNameError(f"alias {self.alias!r} points to no pair yet", hint=hint)
            before = self._serving
            if before is not None and (why := self._time.step_back(before.pointer, pointer)):
                return self._last_known(why, outlives=pointer)
            if before is not None and before.outlives is pointer and self._time.setback() is not None:
                return before
            if before is None or before.pointer is not pointer or not before.current:
                self._serving = self._at(pointer, mended=before is not None and before.outlives is not None)
                if before is not None and not self._follows:
                    self._keep_two(before, self._serving)
            assert self._serving is not None
            return self._serving

    def _at(self, pointer: Pointer, *, mended: bool) -> Serving:
        """What a pointer says, opened."""
        if mended:
            self._open_pairs.forget()  # they may hold texts of a time that is no more
        position = Position(
            f"{pointer.pair}@{pointer.snapshot}", pointer.vectors_version, pointer.watermark, pointer.head
        )
        open_pair = self._open_pairs.at(position)
        if (setback := self._time.setback()) is not None:
            # Seen by others, or before this process began: nothing says where it should point, but what is deleted is.
            hidden = self._time.without_deleted(open_pair, pointer.head)
            return Serving(pointer, hidden, current=False, reason=str(setback), outlives=pointer)
        reason = open_pair.trouble or ("" if open_pair.current else "the storage cannot be reached")
        # What is whole answers alone, and pays for nothing here.
        half = open_pair.view.snapshot.manifest.cascade is not None
        sides = self._cascade.beside(open_pair, pointer.head) if half else None
        return Serving(pointer, open_pair, open_pair.current, reason, candidate=self._candidate(pointer), sides=sides)

    def _candidate(self, pointer: Pointer) -> Serving | None:
        """What the canary answers from; None without one, and until it is open: no query waits for it."""
        canary = pointer.canary
        if canary is None or (self._follows and canary.ref not in self._open_pairs.refs):
            return None
        try:
            open_pair = self._open_pairs.at(
                Position(canary.ref, canary.vectors_version, canary.watermark, pointer.head)
            )
        except (VecrollbackError, OSError) as error:
            self._shadow.failed(canary, error)
            return None
        return Serving(replace(pointer, pair=canary.pair, snapshot=canary.snapshot), open_pair)

    def _last_known(self, why: str, *, outlives: Pointer | None = None) -> Serving:
        with self._lock:
            if self._serving is None:
                raise CatalogUnavailableError("the catalog cannot be read, and nothing was read from it before")
            if self._serving.current or self._serving.outlives is not outlives:
                _log.warning("%s: answering from %s", why, self._serving.pointer)
                self._serving = self._serving._replace(current=False, reason=why, outlives=outlives)
            return self._serving

    # -- following the alias ------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Apply moves while no query comes, acknowledge them, and give signs of life."""
        last_state: tuple[int, tuple[str, ...]] | None = None
        beat = 0.0
        while not self._stop.is_set():
            try:
                pointer = self._pointers.read()
                serving = self._serving
                if pointer is not None and (serving is None or serving.pointer is not pointer or not serving.current):
                    serving = self._apply()
                elif serving and self._time.setback(look=True) is not None:
                    self._serving = serving = self._at(serving.pointer, mended=False)
                state = (serving.pointer.epoch if serving else 0, self._open_pairs.refs)
                due = time.monotonic() - beat > _HEARTBEAT_SECONDS
                if state != last_state or due:
                    self._announce(*state)
                    last_state = state
                if due:  # not at a move: whoever moved the alias waits for the announcement alone
                    beat = time.monotonic()
                    self._report.write()
                    self.traffic.send()
                if self._pointers.wait(_HEARTBEAT_SECONDS):
                    self._warm_soon.set()
            except CatalogUnavailableError:
                with contextlib.suppress(CatalogUnavailableError):
                    self._last_known("the catalog cannot be read")  # readiness tells, also while no query comes
                self._stop.wait(_HEARTBEAT_SECONDS)
            except Exception as error:
                # A follower outlives whatever is wrong; queries raise the same error to their callers.
                _log.warning("following alias %r: %s", self.alias, error)
                self._stop.wait(_HEARTBEAT_SECONDS)

    def _announce(self, epoch: int, warm: tuple[str, ...]) -> None:
        row = SearcherRecord(self._id, self.alias, socket.gethostname(), os.getpid(), epoch, warm, time.time())
        self._catalog.searchers.announce(row)

    def _keep_warm(self) -> None:
        """Hold open what the alias may move to next. On a thread of its own: loading a model takes seconds."""
        candidate: Pointer | None = None
        due = 0.0
        while not self._stop.is_set():
            try:
                pointer = self._candidates.read()
                if pointer is not candidate or time.monotonic() > due:
                    candidate, due = pointer, time.monotonic() + _HEARTBEAT_SECONDS
                    self._warm()
                    self._pointers.wake()  # what is held open is to be announced
                self._warm_soon.wait(_HEARTBEAT_SECONDS)
                self._warm_soon.clear()
            except Exception as error:
                _log.warning("keeping pairs warm for %r: %s", self.alias, error)
                self._stop.wait(_HEARTBEAT_SECONDS)

    def _warm(self) -> None:
        self._open_pairs.warm(near(self._catalog, self.alias))
        # Read again: what was demoted while the others loaded is what a rollback would go to now. And read before the
        # lock, for which the first query after a move waits.
        nearby = {position.ref for position in near(self._catalog, self.alias)}
        with self._lock:
            pointer = self._serving.pointer if self._serving else None
            self._open_pairs.keep_only(nearby | ({f"{pointer.pair}@{pointer.snapshot}"} if pointer else set()))
            if self._serving and self._serving.pointer.canary and not self._serving.candidate:
                self._serving = self._serving._replace(candidate=self._candidate(self._serving.pointer))
            serving = self._serving
        if serving is not None:
            self._fallback.prepare(serving.open_pair)
        self._let_go_of_models()

    def _keep_two(self, before: Serving, now: Serving) -> None:
        """Hold open what serves, and what served before it: of one that does not follow, no thread looks after that."""
        if before.open_pair.view.snapshot is now.open_pair.view.snapshot:
            return
        beside = [one.old for one in (before.sides, now.sides) if one is not None and one.old is not None]
        beside += [one.open_pair for one in (before, now, now.candidate) if one is not None]
        self._open_pairs.keep_only({one.view.snapshot.ref for one in beside})
        self._let_go_of_models()

    def _let_go_of_models(self) -> None:
        self._fallback.tidy()
        self._cascade.tidy()
        self._resources.embedders.let_go_unused()

    def close(self) -> None:
        """Leave the catalog and let go of the files. Queries in flight end first where they are."""
        if self._follows and not self._stop.is_set():
            QUERIES_FIRST.leave()
        self._closed = True
        self._stop.set()
        self._pointers.wake()
        self._warm_soon.set()
        # The threads end before the counts are written and the searcher leaves, else they would announce it again.
        for thread in self._threads:
            thread.join()
        self._shadow.close()
        self._cascade.close()
        self._fallback.close()
        self._keywords.close()
        if self._threads:
            self._report.write()
            with contextlib.suppress(CatalogUnavailableError):
                self.traffic.close()
                self._catalog.searchers.leave(self._id)
        with self._lock:
            self._serving = None
            self._open_pairs.keep_only(())
        self._pointers.close()
        self._candidates.close()

    def __enter__(self) -> Searcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
