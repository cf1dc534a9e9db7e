"""Vectors that are all alike away from the model: rather another text than another model.

An application that embeds a title above a text, or a prompt before it, and keeps the text alone leaves vectors that no
re-embedding of the text can reach. Each lies near its own, which those of another model do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vecrollback.embedders import Embedder
from vecrollback.errors import EmbeddingError
from vecrollback.quality.doctor import rows as meaning
from vecrollback.quality.doctor.source import ForeignIndex
from vecrollback.quality.purity import AuditResult
from vecrollback.records.arrays import Numbers, cosines

_LEAST = 8
_ALL = 0.95
"""Share of the rows compared that must be away from the model."""

_NEAR = 0.6
"""Median cosine from which another text is likelier than another model: unrelated models lie near 0, a metadata header
moves a vector to 0.95, a long one to 0.7."""

_TRIED, _PROVEN = 3, 16
_MOST_FIELDS = 5
_LONGEST = 500
_TITLES = ("title", "headline", "heading", "name", "subject", "section", "file_name", "filename", "source", "summary")
_JOINS = ("{{{0}}}\n\n{{{1}}}", "{{{0}}}\n{{{1}}}", "{{{0}}}: {{{1}}}", "{{{0}}} {{{1}}}", "{{{0}}}. {{{1}}}")
_PROMPTS = (
    "passage: ",
    "search_document: ",
    "title: none | text: ",
    "document: ",
    "Represent this document for retrieval: ",
    "Document: ",
    "text: ",
)


@dataclass(frozen=True, slots=True)
class OtherText:
    """Why the vectors look foreign. `fact`: in words. `template`: what the model makes them of, "" when not found.

    `tried`: rows by which that was proven.
    """

    fact: str
    template: str = ""
    tried: int = 0


def other_text(source: ForeignIndex, embedder: Embedder, audit: AuditResult) -> OtherText | None:
    """What explains that all vectors lie alike away from the model; None where they do not.

    Embeds three texts for each of up to about 40 templates, and 16 of the one that fits.
    """
    if len(audit.rows) < max(_LEAST, _ALL * audit.examined) or source.text_field is None:
        return None
    near = np.array(audit.cosines)
    if np.median(near) < _NEAR:
        return None
    fact = (
        f"all rows are alike away from the model (cosine {near.min():.4f} to {near.max():.4f}): another text, prompt "
        "or normalisation"
    )
    rows = np.sort(np.array(audit.rows[:_PROVEN], np.int64))
    for template in _templates(source, rows):
        tried = source.try_template(template, None)
        if _fits(tried, embedder, rows[:_TRIED], audit.floor) and _fits(tried, embedder, rows, audit.floor):
            return OtherText(fact, template, len(rows))
    return OtherText(fact)


def _templates(source: ForeignIndex, rows: Numbers) -> Iterator[str]:
    """Prompts before the text, then fields of the rows above it, titles first."""
    text = source.text_field
    yield from (f"{prompt}{{{text}}}" for prompt in _PROMPTS)
    records = source.connector.take(rows, None, vectors=False).records
    fields = [{**meaning.flat(record)} for record in records]
    shared = [
        name
        for name in (fields[0] if fields else {})
        if name not in (text, source.id_field)
        and all(isinstance(one.get(name), str) and len(one[name]) <= _LONGEST for one in fields)
    ]
    ranked = sorted(shared, key=lambda name: _TITLES.index(name) if name in _TITLES else len(_TITLES))
    for name in ranked[:_MOST_FIELDS]:
        yield from (join.format(name, text) for join in _JOINS)
        yield f"{name}: {{{name}}}\n\n{{{text}}}"


def _fits(source: ForeignIndex, embedder: Embedder, rows: Numbers, floor: float) -> bool:
    texts = source.texts(rows)
    if any(text is None for text in texts):
        return False
    try:
        own = embedder.embed_documents([str(text) for text in texts])
    except EmbeddingError:
        return False  # too long with what stands above it
    keep = source.keep()
    with np.errstate(all="ignore"):
        near = cosines(source.vectors(rows), own if keep is None else keep(own))
    return bool((np.nan_to_num(near, nan=0.0) >= floor - 1e-6).all())
