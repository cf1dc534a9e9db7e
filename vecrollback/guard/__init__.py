"""A guard for collections that a team keeps itself, without a store: no other model than theirs reads or writes them.

    from vecrollback.guard import guard

    collection = guard(client.get_collection("docs"), "sentence-transformers/all-MiniLM-L6-v2")
    store = guard(Chroma("docs", embeddings, persist_directory="./db"))

The first call proves by a sample of the rows that the model made them, and leaves a stamp beside the collection: the
model's contract, and its vectors of fixed texts. Every later call compares the model at hand with the stamp, and a
sample of the rows with the model. Vectors of the same size from another model raise no error anywhere; here they do.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal, TypeVar

import numpy as np

from vecrollback.embedders import Embedder
from vecrollback.embedders.probes import floor_for
from vecrollback.embedders.stamp import Stamp
from vecrollback.errors import EmbedderChangedError, RefusedError, UsageError
from vecrollback.guard.models import model_of
from vecrollback.guard.places import DrawnRows, GuardedPlace, open_place
from vecrollback.guard.proof import prove
from vecrollback.guard.stores import FrameworkStore, framework_of, need_collection

__all__ = ["DriftWarning", "guard", "stamp_of", "unstamp"]

Collection = TypeVar("Collection")

_SAMPLE = 32
"""Rows embedded again: with 10% of foreign ones among all, 97 of 100 such samples hold one."""


class DriftWarning(UserWarning):
    """A guarded collection is read or written with another model, and the guard was told to warn."""


def guard(
    collection: Collection,
    embedder: Any = None,
    *,
    drift: Literal["refuse", "warn"] = "refuse",
    sample: int = _SAMPLE,
    template: str | None = None,
    at: Any = None,
    unproven: bool = False,
    seed: int | None = None,
) -> Collection:
    """Refuse, or warn about, a model that did not make the vectors of a collection.

    Args:
        collection: A Chroma collection, `(QdrantClient, name)`, `(connection or engine of PostgreSQL, table)`, a
            LanceDB table, `(sqlite3 connection, table)`, a folder with a FAISS index, a place like
            `chroma:PATH#collection`; `(QdrantClient, name, vector)`, `(LanceDB table, column)` where one of several
            vectors of a row is meant; or a vector store of LangChain or LlamaIndex, or a document store of Haystack.
        embedder: What the application embeds with: an embedder string, an Embedder, or its own embedding object. None
            for a store of LangChain, or a Chroma collection, that has one itself.
        drift: What happens when another model is met: "refuse" raises, "warn" gives a `DriftWarning`.
        sample: How many rows to embed again.
        template: What is embedded of a row, where that is more than its text: `{title}\\n\\n{text}`.
        at: Where the rows are if not in the store itself: a collection as above, or `FILE.json` for the stamp alone.
        unproven: Stamp it although no row has a text that could prove the model.
        seed: Draw the same rows again, where the place lets others draw.

    Returns:
        The collection that was given. Of the store of a framework each write and query is compared from now on.

    Raises:
        EmbedderChangedError: The model is not the one of the stamp.
        FingerprintMismatchError: Rows are there that the model did not make.
        UsageError: There is no such collection, or nothing embeds, or nothing can prove the first stamp.

    Example:
        >>> from tempfile import mkdtemp
        >>> folder = mkdtemp()
        >>> _ = guard(folder, "hash:64?seed=1")
        >>> guard(folder, "hash:64?seed=2")
        Traceback (most recent call last):
        ...
        vecrollback.errors.EmbedderChangedError: ...
    """
    store = framework_of(collection)
    place = _place_of(collection, store, at)
    own = store.embedding if store else getattr(collection, "_embedding_function", None)
    model = _model_for(place, own if embedder is None else embedder)
    verdict, stamp = _Verdict(drift), _read_stamp(place)
    if stamp is not None:
        _compare(place, stamp, model, verdict)
        if store and own is not None and embedder is not None:
            _compare(place, stamp, model_of(own), verdict)
    rows = _sampled(place, store, sample, seed)
    proven = prove(place, rows, model, stamp.floor if stamp else floor_for(model), template, verdict.give)
    if stamp is None and not verdict.drifted:
        stamp = _first_stamp(place, model, proven=proven or unproven)
    if store is not None and stamp is not None:
        store.watch(stamp, model, verdict.give, template)
    return collection


def _sampled(place: GuardedPlace, store: FrameworkStore | None, size: int, seed: int | None) -> DrawnRows:
    chance = np.random.default_rng(seed)
    rows = store.sample(size, chance) if store else None
    return place.sample(size, chance) if rows is None else rows


def stamp_of(collection: Any, *, at: Any = None) -> Stamp | None:
    """The stamp beside a collection, which is given as to `guard`; None when it has none.

    Raises:
        CorruptArtifactError: It cannot be read.
    """
    return _read_stamp(_place_of(collection, framework_of(collection), at))


def unstamp(collection: Any, *, at: Any = None) -> None:
    """Take the stamp away, after all rows were embedded again with another model. The next `guard` makes a new one."""
    _place_of(collection, framework_of(collection), at).write(None)


def _place_of(collection: Any, store: FrameworkStore | None, at: Any) -> GuardedPlace:
    if at is not None:
        return open_place(at)
    return open_place(need_collection(collection, store.collection) if store else collection)


def _model_for(place: GuardedPlace, embedder: Any) -> Embedder:
    if embedder is None:
        raise UsageError(
            f"nothing says what embeds for {place.name}", hint="give the embedder: guard(collection, embedder)"
        )
    return model_of(embedder)


def _read_stamp(place: GuardedPlace) -> Stamp | None:
    text = place.read()
    return None if text is None else Stamp.parse(text)


def _first_stamp(place: GuardedPlace, model: Embedder, *, proven: bool) -> Stamp:
    if not proven:
        raise UsageError(
            f"{place.name} has rows, none with a text that could show what made their vectors",
            hint="name what is embedded with template=, or stamp it unproven: guard(..., unproven=True)",
        )
    stamp = Stamp.of(model)
    place.write(stamp.as_text())
    return stamp


class _Verdict:
    """What is done about drift; `drifted`: whether any was met and only warned about."""

    def __init__(self, drift: str) -> None:
        if drift not in ("refuse", "warn"):
            raise UsageError(f"{drift!r} is not a way to meet drift", hint="refuse or warn")
        self._warns, self.drifted = drift == "warn", False

    def give(self, error: RefusedError) -> None:
        self.drifted = True
        if not self._warns:
            raise error
        warnings.warn(f"{error}; {error.hint}", DriftWarning, stacklevel=4)


def _compare(place: GuardedPlace, stamp: Stamp, model: Embedder, verdict: _Verdict) -> None:
    compared = stamp.compare(model)
    if not compared.agrees:
        verdict.give(
            EmbedderChangedError(
                f"{model.spec} is not the model of {place.name}, which was stamped with {stamp.spec} at {stamp.at}: "
                f"cosine {compared.worst_cosine:.4f} for a probe. Likely cause: {compared.cause}",
                hint="embed with the model of the stamp; after every row was embedded again: vecrollback.guard.unstamp",
            )
        )
