"""Documents taken from an index that is kept elsewhere, and taken again when that has changed.

A row of the log says what its document was adopted from, until somebody writes the document here. So a second look
at the source tells what the source has changed from what was changed here: the first is taken, the second stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vecrollback.corpus.columns import Stored, sources_of
from vecrollback.corpus.corpus import Corpus
from vecrollback.corpus.documents import document_digest
from vecrollback.records import Document


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What became of some rows of a source.

    `new`: documents that were not there. `changed`: replaced, because the source has changed them. `unchanged`: as they
    were. `left`: written or deleted here since, so they stay as they are here.
    """

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    left: int = 0

    def __add__(self, other: TakenIn) -> TakenIn:
        return TakenIn(
            self.new + other.new,
            self.changed + other.changed,
            self.unchanged + other.unchanged,
            self.left + other.left,
        )


def take_in(corpus: Corpus, documents: Sequence[Document], source: str) -> TakenIn:
    """Write the documents that nobody has written or deleted here. Durable when it returns.

    Ids must be unique in one call. What the source had lost before, and has again, comes back.
    """
    taken = TakenIn()

    def choose(dataset: Any, stored: Stored) -> list[Document]:
        nonlocal taken
        sources = sources_of(dataset, list(stored))
        differing = [d for d in documents if stored.get(d.key) != (document_digest(d), False)]
        chosen = [d for d in differing if d.key not in stored or sources.get(d.key) == source]
        new = sum(1 for d in chosen if stored.get(d.key, (b"", True))[1])
        taken = TakenIn(new, len(chosen) - new, len(documents) - len(differing), len(differing) - len(chosen))
        return chosen

    corpus.write(documents, choose, source=source)
    return taken
