"""Proof that a model made some rows: it makes the same vectors of their texts again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vecrollback.connectors import Record
from vecrollback.embedders import Embedder
from vecrollback.errors import FingerprintMismatchError
from vecrollback.guard.places import DrawnRows, GuardedPlace
from vecrollback.guard.stores import Drift
from vecrollback.quality.doctor.layouts import LAYOUTS, fill, recognise
from vecrollback.quality.doctor.rows import NESTED, TEXT_NAMES, id_of
from vecrollback.records.arrays import cosines

_SHOWN = 5
_TEXTS = tuple(dict.fromkeys((*TEXT_NAMES, *(name for layout in LAYOUTS for name in layout.texts))))


def prove(
    place: GuardedPlace, rows: DrawnRows, model: Embedder, floor: float, template: str | None, drift: Drift
) -> bool:
    """Embed drawn rows again.

    Args:
        place: Where they are.
        rows: The rows.
        model: What is to have made them.
        floor: The least cosine of a vector and the same text's.
        template: What is embedded of a row, where that is more than its text.
        drift: Called with the error when rows are not the model's; it raises it, or warns.

    Returns:
        Whether that shows what made the rows of the place: it has none, or some could be compared.
    """
    texts = [embedded_text(record, template) for record in rows.records]
    # A row of another size needs no text to be foreign.
    fitting = [len(vector) == model.dimension for vector in rows.vectors]
    known = [n for n, text in enumerate(texts) if fitting[n] and text is not None and text.strip()]
    drawn = sorted([*known, *(n for n, fits in enumerate(fitting) if not fits)])
    if not drawn:
        return not rows.records and place.count() == 0
    near = dict.fromkeys(drawn, 0.0)
    if known:
        own = model.embed_documents([str(texts[n]) for n in known])
        with np.errstate(all="ignore"):
            compared = np.nan_to_num(cosines(np.stack([rows.vectors[n] for n in known]), own), nan=0.0)
        near |= dict(zip(known, compared.tolist(), strict=True))
    foreign = {n: cosine for n, cosine in near.items() if cosine < floor - 1e-6}
    if foreign:
        drift(_foreign_rows(place, model, rows, foreign, len(drawn)))
    return True


def _foreign_rows(
    place: GuardedPlace, model: Embedder, rows: DrawnRows, near: Mapping[int, float], drawn: int
) -> FingerprintMismatchError:
    """What is said of rows that the model did not make; `near`: the cosine of each, by its number."""
    sizes = sorted({len(rows.vectors[n]) for n in near} - {model.dimension})
    lengths = f", or they have {' or '.join(map(str, sizes))} numbers and not {model.dimension}" if sizes else ""
    wrong = [id_of(rows.records[n], _id_field(rows.records[n]), n) for n in near]
    return FingerprintMismatchError(
        f"{place.name}: {len(wrong)} of {drawn} rows drawn are not what {model.spec} makes of their texts "
        f"(cosine {min(near.values()):.4f} to {max(near.values()):.4f}{lengths}): {', '.join(wrong[:_SHOWN])}",
        hint="vecrollback doctor finds all of them; if more than the text is embedded, say so with template=",
    )


def embedded_text(record: Record, template: str | None) -> str | None:
    """The text of which a row's vector was made; None where the row does not say it."""
    if template is not None:
        return fill(template, record)
    text = next((record[name] for name in _TEXTS if isinstance(record.get(name), str)), None)
    layout = recognise([record])
    return layout.embedded(record, text) if layout else text


def record_to_come(id_: str, text: str | None, metadata: Mapping[str, Any]) -> Record:
    """A row before it is written, for a template.

    Text and metadata stand under every usual name: a template is written for the rows of the place, and each store
    calls them otherwise there.
    """
    inner = dict(metadata)
    texts = {} if text is None else dict.fromkeys(_TEXTS, text)
    return {"id": id_, **dict.fromkeys(NESTED, inner), **texts}


def _id_field(record: Record) -> str | None:
    return next((name for name in ("id", "langchain_id", "rowid") if name in record), None)
