"""Embedders of pairs, loaded once per process and proven by their probes before they serve or write."""

from __future__ import annotations

import contextlib
import io
import logging
import socket
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vecrollback.catalog import Catalog, now
from vecrollback.embedders import Embedder, open_embedder, traits_of
from vecrollback.embedders.base import fingerprint_of
from vecrollback.embedders.hub import earlier_commits
from vecrollback.embedders.pieces import embed_documents
from vecrollback.embedders.probes import PROBES, compare_probes, embed_probes, floor_for, verify_probes
from vecrollback.embedders.riding_probes import PROOF_SECONDS, BatchProbes, QueryProbes
from vecrollback.errors import EmbedderChangedError, VecrollbackError
from vecrollback.pairs.givers import Gift, gift_by_contract, gift_of
from vecrollback.pairs.kept_models import KeptModels, files_of
from vecrollback.pairs.late_model import LateModel, QueryModel
from vecrollback.records import KeptModel, ModelAnswer, Pair
from vecrollback.records.arrays import FloatArray
from vecrollback.storage.artifacts import Artifacts
from vecrollback.storage.forks import FollowsForks, follow_forks, inherit
from vecrollback.storage.trust import is_trusted

_log = logging.getLogger(__name__)

_START_SECONDS = 60.0
"""How old a proof by another process of this host may be for one that starts: a whole one is about a hundred texts."""

_PROVEN_BY = 4
"""Probes of one proof, where one call answers them: short ones, about ten tokens each, so it costs less than the first
text that follows."""

_REST_SECONDS = 60.0
"""How long a model stays that a job has asked for: it asks again in its next step, and a worker in its next round."""


class PairEmbedders(FollowsForks):
    """Hands out a pair's embedder. The first time it compares the model's behaviour with the pair's probes.

    `of` is for whoever lets probes ride along (`batch_probes`, `query_probes`), `proven` for whoever relies on single
    vectors: checks, audits, comparisons. A model stays as long as anybody needs it: see `let_go_unused`.
    """

    def __init__(self, catalog: Catalog, artifacts: Artifacts, kept: KeptModels, root: Path | None = None) -> None:
        self._catalog, self._root = catalog, root
        self._artifacts = artifacts
        self.kept = kept
        self._leases: dict[tuple[str, str], object] = {}
        self._used: dict[tuple[str, str], float] = {}
        self._queries: weakref.WeakKeyDictionary[QueryProbes, Embedder] = weakref.WeakKeyDictionary()
        self._forgotten: weakref.WeakValueDictionary[tuple[str, str], Embedder] = weakref.WeakValueDictionary()
        self._stamps: dict[tuple[str, str], object] = {}
        self._embedders: dict[tuple[str, str], Embedder] = {}
        self._proof_times: dict[tuple[str, str, str], float] = {}
        self._riding: dict[tuple[str, str, str], BatchProbes] = {}
        # Reentrant: `of` holds it while `_loadable` and `open` take it again.
        self._lock = threading.RLock()
        follow_forks(self)

    def forked(self) -> None:
        """A model's locks, threads and connections are the parent's: each is loaded again when it is next used."""
        inherit(self._embedders, self._riding, self._leases)
        self._embedders, self._proof_times, self._riding, self._leases, self._used = {}, {}, {}, {}, {}
        self._queries, self._forgotten = weakref.WeakKeyDictionary(), weakref.WeakValueDictionary()
        self._lock = threading.RLock()

    def open(self, spec: str) -> Embedder:
        """An embedder by its string, not yet compared with anything. Raises UntrustedError."""
        self.let_go_unused()
        embedder = self._opened(spec)
        with self._lock:
            self._used[(spec, embedder.fingerprint)] = time.monotonic()
        return embedder

    def _opened(self, spec: str) -> Embedder:
        embedder = open_embedder(spec, store=self._root, stored=not (self._root and is_trusted(self._root)))
        with self._lock:
            key = spec, embedder.fingerprint
            return self._known(*key) or self._embedders.setdefault(key, embedder)

    def current(self, spec: str) -> Embedder:
        """The embedder that a string names now, for a new pair.

        The weights of a model behind a service cannot be seen. Where a pair of this very string exists whose probes the
        service no longer gives, the model was exchanged: the embedder returned is of the next generation, which shares
        no vector with the one before.
        """
        embedder = self.open(spec)
        while following := getattr(embedder, "next_generation", None):
            pairs = [pair for pair in self._catalog.pairs.all() if pair.fingerprint == embedder.fingerprint]
            pairs_with_probes = [pair for pair in pairs if pair.probes]
            if not pairs_with_probes or self._still_makes(embedder, pairs_with_probes[-1]):
                break
            embedder = self.open(following())
        return embedder

    def _still_makes(self, embedder: Embedder, pair: Pair) -> bool:
        try:
            recorded = self.probes(pair)
            return compare_probes(recorded, embed_probes(embedder, recorded), pair.probe_floor).agrees
        except EmbedderChangedError:  # its own requests carry the pair's probes, and showed the change
            return False

    def of(self, pair: Pair) -> Embedder:
        """The embedder that made the pair's vectors. Raises EmbedderChangedError when it is another one by now."""
        with self._lock:
            embedder = self._proven_once(pair)
            self._used[(pair.embedder, pair.fingerprint)] = time.monotonic()
            return embedder

    def _proven_once(self, pair: Pair) -> Embedder:
        with self._lock:
            embedder = self._loadable(pair)
            key = _key(pair)
            if pair.probes and key not in self._proof_times:
                if (age := self._proof_age(pair, embedder)) is None:
                    self._prove_whole(pair, embedder)
                self._proof_times[key] = time.monotonic() - (age or 0.0)
                self._carry(pair, embedder)
            return embedder

    def _proof_age(self, pair: Pair, embedder: Embedder) -> float | None:
        """How many seconds ago another process of this host proved a model behind a service; None when it is long ago.

        Then the whole proof need not be sent again: queries and batches carry probes of their own from here on.
        """
        answer = self._catalog.models.answer(pair.name) if traits_of(embedder).remote else None
        if answer is None or (answer.verdict, answer.host) != ("pass", socket.gethostname()):
            return None
        return answer.age if 0 <= answer.age < _START_SECONDS else None

    def _prove_whole(self, pair: Pair, embedder: Embedder) -> None:
        start = time.monotonic()
        verify_probes(embedder, load_probes(self._artifacts, pair.probes), pair.probe_floor)
        if traits_of(embedder).remote:
            answer = ModelAnswer(
                pair.name, "pass", "it answers", now(), round(time.monotonic() - start, 4), socket.gethostname()
            )
            with contextlib.suppress(VecrollbackError):  # what the next process is spared is not worth this one
                self._catalog.models.note(answer)

    def proven(self, pair: Pair, *, now: bool = False) -> Embedder:
        """The pair's embedder, proven within the last seconds, or right now, by a few of its probes.

        Raises EmbedderChangedError.
        """
        embedder, key = self.of(pair), _key(pair)
        probes = self.batch_probes(pair)
        if probes and (now or probes.doubt or time.monotonic() - self._proof_times[key] > PROOF_SECONDS):
            times = max(_PROVEN_BY, probes.draws_in_doubt)
            numbers = [number for _ in range(times) for number in probes.draw(1)]
            if numbers:
                probes.examine(numbers, embed_documents(embedder, [PROBES[number] for number in numbers]))
            self._proof_times[key] = time.monotonic()
        return embedder

    def batch_probes(self, pair: Pair) -> BatchProbes | None:
        """What rides with every batch of the pair; None while its probes are not recorded."""
        if not pair.probes:
            return None
        key = _key(pair)
        if (probes := self._riding.get(key)) is None:
            probes = BatchProbes(self._proven_once(pair), self.probes(pair), pair.probe_floor)
            self._riding[key] = probes
        return probes

    def query_probes(self, pair: Pair) -> QueryProbes:
        """The pair's embedder for queries, proven while it serves.

        Raises as `of` does; EmbeddingError within the limits of a query while its service does not answer.
        """
        recorded = self.probes(pair) if pair.probes else None
        with self._lock:
            embedder, key = self._loadable(pair), _key(pair)
            queries = QueryProbes(embedder, recorded, pair.probe_floor)
            self._queries[queries] = embedder  # for as long as anybody asks it, see `let_go_unused`
        # The proof is a job, with the patience of one, and somebody may be waiting here: first, does it answer at all?
        if pair.probes and key not in self._proof_times and self._proof_age(pair, embedder) is None:
            queries.reach()
        if pair.probes:
            self._proven_once(pair)
            queries.proven_at(self._proof_times[key])
        return queries

    def keep(self, pair: Pair) -> KeptModel | None:
        """Keep the files of the pair's model, which are taken from wherever they are sound; None when it has none."""
        embedder, _lease = self.open_anew(pair)
        return self.kept.keep(pair, embedder) if self.kept.wanted(embedder, keep=True) else None

    def query_model(self, pair: Pair) -> QueryModel:
        """The same; of a model that is gone one that every query tries to open again."""
        try:
            return self.query_probes(pair)
        except (VecrollbackError, ImportError, OSError) as error:
            return LateModel(lambda: self.query_probes(pair), error)

    def prove(self, pair: Pair) -> float:
        """Embed the pair's probes now, whatever was seen before; returns the worst cosine. Raises as `of` does."""
        probes = load_probes(self._artifacts, pair.probes)
        return verify_probes(self._loadable(pair, used=True), probes, pair.probe_floor).worst_cosine

    def require_source(self, pair: Pair) -> Embedder:
        """The pair's embedder, which a process that starts now could open, too. Reads the files where they changed.

        Raises EmbedderChangedError, or what opening raises.
        """
        embedder, key = self._loadable(pair, used=True), (pair.embedder, pair.fingerprint)
        if _stamps(embedder) != self._stamps.get(key):
            with self._lock:
                embedder = self._open_checked(pair)
        return embedder

    def _loadable(self, pair: Pair, *, used: bool = False) -> Embedder:
        with self._lock:
            key = pair.embedder, pair.fingerprint
            embedder = self._known(*key) or self._open_checked(pair)
            if used:
                self._used[key] = time.monotonic()
            return embedder

    def _known(self, spec: str, fingerprint: str) -> Embedder | None:
        """The embedder that is open under this string: also one that was forgotten while a job went on with it."""
        key = spec, fingerprint
        if key not in self._embedders and (embedder := self._forgotten.get(key)) is not None:
            self._embedders[key] = embedder
        return self._embedders.get(key)

    def trust(self, pair: Pair, embedder: Embedder) -> None:
        """Note that the pair's probes were recorded from this very embedder a moment ago."""
        self._embedders[(pair.embedder, pair.fingerprint)] = embedder
        self._used[(pair.embedder, pair.fingerprint)] = time.monotonic()
        self._proof_times[_key(pair)] = time.monotonic()
        self._carry(pair, embedder)

    def _carry(self, pair: Pair, embedder: Embedder) -> None:
        """Let every request of an embedder that sends several for one batch carry a proof of its own."""
        if carry := getattr(embedder, "carry", None):
            carry(self.batch_probes(pair))

    def probes(self, pair: Pair) -> FloatArray:
        """The probe vectors recorded with a pair."""
        return load_probes(self._artifacts, pair.probes)

    def gift(self, giver: Pair, taker: Pair) -> Gift | None:
        """What of the vectors of one pair's documents another pair can take without embedding; None: nothing."""
        if giver.fingerprint in self._catalog.equivalences.of(taker.fingerprint):
            return Gift(taker.dimension)
        if not (giver.probes and taker.probes):
            return None
        if gift_by_contract(giver.contract, taker.contract, giver.dimension, taker.dimension) is None:
            return None
        return gift_of(giver, taker, self.probes(giver), self.probes(taker))

    def equate(self, a: str, b: str, *, actor: str) -> float:
        """Declare two embedders, each a pair's name or a string, to be one model; returns the worst probe's cosine.

        A pair named with a string is opened from that string from now on. Raises EmbedderChangedError unless the
        probes agree to the lower floor of the two.
        """
        (one, probes, floor), (other, more, other_floor) = self._probe_facts(a), self._probe_facts(b)
        both = np.where(more.any(axis=1, keepdims=True), probes, np.float32(0))  # texts that both of them take
        comparison = compare_probes(both, more, min(floor, other_floor))
        if not comparison.agrees:
            raise EmbedderChangedError(
                f"{a!r} and {b!r} are different models: cosine {comparison.worst_cosine:.6f} on probe "
                f"{comparison.worst_index}, {comparison.worst_text[:60]!r}",
                hint="build a pair of its own for it: `vecrollback reembed`",
            )
        self._catalog.equivalences.declare(one, other, cosine=comparison.worst_cosine, actor=actor)
        for name, spec in ((a, b), (b, a)):
            if self._catalog.pairs.find(name) and not self._catalog.pairs.find(spec):
                self._catalog.pairs.set_embedder(name, spec)
        return comparison.worst_cosine

    def _probe_facts(self, name: str) -> tuple[str, FloatArray, float]:
        """Fingerprint, probe vectors and floor of a pair or of an embedder string."""
        if pair := self._catalog.pairs.find(name):
            return pair.fingerprint, self.probes(pair), pair.probe_floor
        embedder = self.open(name)
        return embedder.fingerprint, embed_probes(embedder), floor_for(embedder)

    def _open_checked(self, pair: Pair) -> Embedder:
        self.let_go_unused()
        embedder, lease = self.open_anew(pair)
        self._embedders[(pair.embedder, pair.fingerprint)] = embedder
        self._leases[(pair.embedder, pair.fingerprint)] = lease
        self._stamps[(pair.embedder, pair.fingerprint)] = _stamps(embedder)
        return embedder

    def open_anew(self, pair: Pair) -> tuple[Embedder, object]:
        """Open the embedder of a pair from its files, as a process that starts now would; and what to hold meanwhile.

        The kept model goes first where it is on this machine: nobody writes into it. The place that the pair names is
        next, then what has to be fetched. Raises EmbedderChangedError, or what opening the place of the pair raises.
        """
        kept = self.kept.find(pair)
        near = kept is not None and self.kept.near(kept)
        trouble: VecrollbackError | OSError | None = None
        for from_store in [near] if kept is None else [near, not near]:
            try:
                if not from_store:
                    return self._named(pair), None
                assert kept is not None
                spec, lease = self.kept.place(pair, kept)
                return self._same(pair, self._opened(spec)), lease
            except (VecrollbackError, OSError) as error:
                # What is wrong with the place that the pair names is what people can mend.
                trouble = error if trouble is None or not from_store else trouble
        assert trouble is not None
        raise trouble

    def _named(self, pair: Pair) -> Embedder:
        """The embedder that the pair's own string opens, which has to be the one that made the pair."""
        embedder = self._opened(pair.embedder)
        try:
            return self._same(pair, embedder)
        except EmbedderChangedError:
            # Recorded by a version that did not pin hub names: the commit that made the pair may still be cached.
            for spec in earlier_commits(pair.embedder):
                with contextlib.suppress(VecrollbackError):
                    return self._same(pair, self._opened(spec))
            raise

    def _same(self, pair: Pair, embedder: Embedder) -> Embedder:
        same = self._catalog.equivalences.of(pair.fingerprint)
        if embedder.fingerprint not in same and not self._differs_in_words_alone(pair, embedder):
            raise EmbedderChangedError(
                f"pair {pair.name!r} was made by embedder {pair.fingerprint}, but {pair.embedder!r} now is "
                f"{embedder.fingerprint}: its files or arguments changed",
                hint=f"put the old model back, or, if it is the same model elsewhere, run "
                f"`vecrollback embedder equate {pair.name} {pair.embedder!r}`",
            )
        return embedder

    def _differs_in_words_alone(self, pair: Pair, embedder: Embedder) -> bool:
        """Whether it is the pair's own function from an edited source file, which gives every probe as before.

        A comment, or another function in the same file, makes no other model.
        """
        as_before = {**embedder.contract, "source": pair.contract.get("source")}
        if not pair.probes or fingerprint_of(as_before) != pair.fingerprint:
            return False
        recorded = self.probes(pair)
        if not np.allclose(embed_probes(embedder, recorded), recorded, rtol=1e-4, atol=1e-5):
            return False
        _log.warning(
            "the source file of %s was edited; it gives every probe of pair %s as before, so it is the same model. "
            "`vecrollback embedder equate %s %s` notes that, and spares each start the comparison",
            *(pair.embedder, pair.name, pair.name, pair.embedder),
        )
        return True

    def let_go_unused(self) -> None:
        """Close and forget the models that nobody needs any more: no open pair, no query in flight, no job.

        The next use opens a model again. One that a job goes on with is forgotten alone: it goes with the job, and
        serves whoever asks for its pair before. One behind a service stays: it holds no weights here, and what it
        counts, counts for the whole process.
        """
        # Whoever loads a model holds the lock for seconds, and queries may wait for this: next time is soon enough.
        if not self._lock.acquire(blocking=False):
            return
        try:
            boxes = self._unused()
            for box in boxes:
                self._forget(box[0])
        finally:
            self._lock.release()
        for box in boxes:
            if _references(box) == _NO_OTHERS:
                try:
                    box[0].close()
                except Exception as error:  # a user's own class may raise anything, and nobody waits for this
                    _log.warning("%s could not be closed: %s", box[0].spec, error)

    def _unused(self) -> list[list[Embedder]]:
        """Each in a list of its own, which alone refers to it once it is forgotten."""
        recent = time.monotonic() - _REST_SECONDS
        needed = {id(one) for one in list(self._queries.values())}
        needed |= {id(one) for key, one in self._embedders.items() if self._used.get(key, recent) > recent}
        unused = {id(one): one for one in self._embedders.values() if id(one) not in needed}
        return [[one] for one in unused.values() if not traits_of(one).metered]

    def _forget(self, embedder: Embedder) -> None:
        keys = [key for key, one in self._embedders.items() if one is embedder]
        for key in keys:
            del self._embedders[key]
            self._stamps.pop(key, None)
            self._used.pop(key, None)
            lease = self._leases.pop(key, None)
            with contextlib.suppress(TypeError):  # a class of the user's own may allow no weak references
                self._forgotten[key] = embedder
                if lease is not None:
                    weakref.finalize(embedder, _let_go, lease).atexit = False
        self._proof_times = {key: at for key, at in self._proof_times.items() if key[:2] not in keys}
        self._riding = {key: probes for key, probes in self._riding.items() if key[:2] not in keys}

    def close(self) -> None:
        with self._lock:
            for embedder in set(self._embedders.values()):
                embedder.close()
            self._embedders.clear()
            self._used.clear()
            self._leases.clear()
            self._stamps.clear()
            self._proof_times.clear()
            self._riding.clear()


def _references(box: Sequence[object]) -> int:
    """How often what is in a box is referred to, the box itself included."""
    return sys.getrefcount(box[0])


_NO_OTHERS = _references([object()])


def _let_go(_lease: object) -> None:
    """What was held for an embedder is held no longer than it lives."""


def _key(pair: Pair) -> tuple[str, str, str]:
    """Pairs that one proof covers."""
    return pair.embedder, pair.fingerprint, pair.probes


def _stamps(embedder: Embedder) -> list[tuple[str, int, int]] | None:
    """Path, size and time of change of each of an embedder's files; None when one is gone."""
    try:
        return [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files_of(embedder).values()]
    except OSError:
        return None


def load_probes(artifacts: Artifacts, name: str) -> FloatArray:
    """Recorded probe vectors, verified."""
    vectors: FloatArray = np.load(io.BytesIO(artifacts.read_bytes(name)), allow_pickle=False)
    return vectors


def put_probes(artifacts: Artifacts, vectors: FloatArray) -> str:
    """Keep probe vectors as an artefact; returns its name."""

    def write(path: Path) -> None:
        with path.open("wb") as stream:
            np.save(stream, vectors, allow_pickle=False)

    return artifacts.put(".npy", write)
