"""How applications lay out a row, and what of it they embed: often more than the text that is kept.

A layout says where id and text stand, and rebuilds the text that was embedded. It is recognised by fields that only its
application writes; the bare text is taken where none is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any

from vecrollback.connectors.base import Record
from vecrollback.errors import UsageError
from vecrollback.quality.doctor.rows import flat, value_of

_NODE = "_node_content"


@dataclass(frozen=True, slots=True)
class Layout:
    """One application's rows.

    Attributes:
        name: What `--layout` calls it.
        signs: Fields of which a row has all, here or in nested ones, when this application wrote it.
        texts: Where the text may stand, the likeliest first.
        ids: Where the id may stand.
        by: The field that tells collections in one table apart; "" where each has a table of its own.
        embedded: From a row and its text to the text that was embedded.
        bare: From a row and the text in its text field to the row's own text.
        keys: Fields by which the database tells rows apart, where the application has ids of its own; no metadata.
    """

    name: str
    signs: tuple[str, ...]
    texts: tuple[str, ...]
    ids: tuple[str, ...] = ("id",)
    by: str = ""
    embedded: Callable[[Record, str | None], str | None] = lambda _record, text: text
    bare: Callable[[Record, str | None], str | None] = lambda _record, text: text
    keys: tuple[str, ...] = ()


def node_text(record: Record, text: str | None) -> str | None:
    """What LlamaIndex embeds of a node: its metadata, but for keys that are left out, above its text."""
    node, body = node_of(record), node_body(record, text)
    return body if node is None or body is None else _of_node(node, body)


def node_body(record: Record, text: str | None) -> str | None:
    """A node's own text: in the node, or beside it in the row."""
    node = node_of(record) or {}
    resource = node.get("text_resource")
    body: str | None = node.get("text") or (resource.get("text") if isinstance(resource, Mapping) else "") or text
    return body


def _of_node(node: Mapping[str, Any], body: str) -> str:
    left_out = node.get("excluded_embed_metadata_keys") or ()
    template = node.get("metadata_template") or "{key}: {value}"
    separator = node.get("metadata_separator") or node.get("metadata_seperator") or "\n"
    metadata = {key: value for key, value in (node.get("metadata") or {}).items() if key not in left_out}
    above = separator.join(filled(template, {"key": key, "value": str(metadata[key])}) for key in metadata).strip()
    whole = node.get("text_template") or "{metadata_str}\n\n{content}"
    return filled(whole, {"metadata_str": above, "content": body}).strip() if above else body


def node_of(record: Record) -> Mapping[str, Any] | None:
    """The node that LlamaIndex keeps as JSON in a row or in its metadata."""
    text = flat(record).get(_NODE)
    try:
        node = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return None
    return node if isinstance(node, Mapping) else None


LAYOUTS = (
    # In PostgreSQL: rows are numbered, and the node's id stands beside the number.
    Layout("llama-index", (_NODE, "metadata_", "node_id"), ("text",), ("node_id",), "", node_text, node_body, ("id",)),
    Layout(
        "llama-index", (_NODE,), ("text", "document", "content"), ("id", "node_id", "id_"), "", node_text, node_body
    ),
    Layout("open-webui", ("vmetadata", "collection_name"), ("text",), by="collection_name"),
    # Of langchain-community: `uuid` is the row's, `custom_id` what its `delete` takes.
    Layout(
        "langchain",
        ("cmetadata", "collection_id", "custom_id"),
        ("document",),
        ("custom_id",),
        "collection_id",
        keys=("uuid",),
    ),
    Layout("langchain", ("cmetadata", "collection_id"), ("document",), by="collection_id"),
    Layout("langchain", ("langchain_id",), ("content",), ("langchain_id",)),
    Layout("flowise", ("pageContent",), ("pageContent",)),
    Layout("dify", ("doc_hash", "dataset_id"), ("page_content", "text")),
    # In Qdrant, which takes no words as ids, and in Elasticsearch, where the document has its id once more.
    Layout("haystack", ("content", "meta", "payload.id"), ("content",), ("payload.id",), keys=("id",)),
    Layout("haystack", ("content", "meta", "_source.id"), ("content",), ("_source.id",), keys=("id",)),
    Layout("haystack", ("content", "meta", "blob_data"), ("content",)),
    Layout("langchain", ("page_content", "metadata"), ("page_content",)),
    Layout("haystack", ("content", "meta"), ("content",)),
    Layout("txtai", ("indexid", "tags", "entry"), ("text",)),
)
"""Those with the most telling signs first."""

NAMES = tuple(dict.fromkeys(layout.name for layout in LAYOUTS))


def recognise(records: Sequence[Record], name: str | None = None) -> Layout | None:
    """The layout of these rows.

    Args:
        records: A few rows, with all their fields.
        name: What the user says; None to recognise it.

    Returns:
        The layout whose signs most of the rows have; with `name` that one, whatever the rows have.

    Raises:
        UsageError: No layout has this name.

    Example:
        >>> row = {"id": "a", "document": "text", "cmetadata": {}, "collection_id": "c"}
        >>> recognise([row]).name, recognise([{"id": "a", "text": "text"}])
        ('langchain', None)
    """
    if name is not None and name not in NAMES:
        raise UsageError(f"{name!r} is not a layout", hint=f"one of {', '.join(NAMES)}")
    rows = [flat(record) for record in records]
    choices = [layout for layout in LAYOUTS if name in (None, layout.name)]
    best = max(choices, key=lambda layout: sum(_signed(row, layout) for row in rows))
    if name is None and sum(_signed(row, best) for row in rows) * 2 <= len(rows):
        return None
    return best


def _signed(row: Mapping[str, Any], layout: Layout) -> bool:
    return all(sign in row for sign in layout.signs)


def fill(template: str, record: Record) -> str | None:
    """A text from a row's fields: `{title}` and `{metadata.author}` stand for them; None when one is missing.

    Raises:
        UsageError: The template is not valid.

    Example:
        >>> fill("{title}: {metadata.body}", {"title": "T", "metadata": {"body": "B"}})
        'T: B'
    """
    values: dict[str, str] = {}
    for name in fields_of(template):
        value = value_of(record, name)
        value = flat(record).get(name) if value is None else value
        if value is None:
            return None
        values[name] = str(value)
    return filled(template, values)


def fields_of(template: str) -> list[str]:
    """The fields that a template names. Raises UsageError when it is not valid."""
    try:
        names = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise UsageError(f"{template!r} is not a valid template: {error}", hint="'{title}\\n\\n{body}'") from error
    if not all(names) or not names:
        raise UsageError(f"{template!r} names no field, or one without a name", hint="'{title}\\n\\n{body}'")
    return names


def filled(template: str, values: Mapping[str, str]) -> str:
    """A template with its values; never an attribute or an item of one, which `str.format` would look up."""
    parts: list[str] = []
    for literal, name, _, _ in Formatter().parse(template):
        parts += [literal, "" if name is None else values.get(name, "")]
    return "".join(parts)
