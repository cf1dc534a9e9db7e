"""What a row's vector was made of: of a row that is there, and of one that an application is about to write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vecrollback.connectors import Record
from vecrollback.quality.doctor.layouts import LAYOUTS, fill, recognise
from vecrollback.quality.doctor.rows import NESTED, TEXT_NAMES

_TEXTS = tuple(dict.fromkeys((*TEXT_NAMES, *(name for layout in LAYOUTS for name in layout.texts))))


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
