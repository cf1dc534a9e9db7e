"""Queries made from the corpus, where nobody has written golden ones: part of a document, which is the right answer.

They are easier than what people ask, because their words stand in the document. They tell two models apart all the
same, and whoever reports a number says which kind of query it is from.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vecrollback.corpus.corpus import Corpus
from vecrollback.records import CorpusState, Document, GoldenQuery

_WORDS = (3, 12)
"""A query has so many words at least and at most; what people type is as short."""
_TRIES = 4
_SENTENCE = re.compile(r"(?<=[.!?;:])\s+|\n+")


def generate_queries(corpus: Corpus, count: int, *, seed: int | None = None) -> list[GoldenQuery]:
    """Make queries from documents drawn at random; fewer than `count` where the corpus has not as many that do.

    Args:
        corpus: The log.
        count: How many are wanted.
        seed: Of the draw; None draws anew.

    Returns:
        Queries tagged `generated`, each with the key of the one document that it is from.
    """
    random = np.random.default_rng(seed)
    keys = live_keys(corpus)
    drawn = keys.take(pa.array(random.permutation(len(keys))[: _TRIES * count])).to_pylist()
    documents = corpus.at_head(lambda state: corpus.get(drawn, version=state.version))
    queries: list[GoldenQuery] = []
    for key in drawn:
        if (document := documents.get(key)) and (text := _part_of(document, random)):
            queries.append(GoldenQuery(f"generated-{len(queries) + 1}", text, {key: 1}, ("generated",)))
        if len(queries) == count:
            break
    return queries


def live_keys(corpus: Corpus) -> pa.Array:
    """Keys of the documents of all namespaces, as an array of strings."""

    def read(state: CorpusState) -> pa.Array:
        batches = corpus.scan(state.version, columns=["id", "_deleted"])
        parts = [batch["id"].filter(pc.invert(batch["_deleted"])) for batch in batches]
        return pa.chunked_array(parts, pa.string()).combine_chunks()

    return corpus.at_head(read)


def _part_of(document: Document, random: np.random.Generator) -> str:
    """Some words of one sentence of a document; "" where no sentence has enough of them."""
    sentences = [words for one in _SENTENCE.split(document.text) if len(words := one.split()) >= _WORDS[0]]
    if not sentences:
        return ""
    words = sentences[int(random.integers(len(sentences)))]
    count = min(len(words), int(random.integers(_WORDS[0], _WORDS[1] + 1)))
    first = int(random.integers(len(words) - count + 1))
    return _without_marks(words[first : first + count])


def _without_marks(words: Sequence[str]) -> str:
    return " ".join(word for one in words if (word := one.strip(".,;:!?()[]\"'")))
