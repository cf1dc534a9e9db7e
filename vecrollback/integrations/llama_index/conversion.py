"""Between LlamaIndex's nodes and the store's documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llama_index.core.schema import BaseNode, ImageNode, IndexNode, MetadataMode, Node, TextNode

from vecrollback.integrations.backend import origin_facts
from vecrollback.records import Document, Hit, Json, Result

REF = "ref_doc_id"
"""The metadata key for the id of the document that a node was cut from."""
FACTS = "vecrollback"
_CONTENT, _KIND = "_node_content", "_node_type"  # no filter reads a key that begins with `_`
_KINDS: dict[str, type[BaseNode]] = {kind.class_name(): kind for kind in (TextNode, IndexNode, ImageNode, Node)}


def to_store(node: BaseNode) -> Document:
    """A node as the store keeps it.

    The model gets what LlamaIndex gives to one: the node's text with those keys of its metadata that are not excluded,
    in its template. It is kept as the embedded text, so it can be embedded again, by any pair, at any time. The node
    itself is in the metadata, and comes back whole.
    """
    text, for_model = node.get_content(), node.get_content(metadata_mode=MetadataMode.EMBED)
    content = node.model_dump(mode="json", exclude={"embedding"})
    content.pop("text", None)  # it is the document's own
    metadata: dict[str, Json] = {**content["metadata"], _KIND: node.class_name()}
    if node.ref_doc_id:
        metadata[REF] = node.ref_doc_id
    metadata[_CONTENT] = json.dumps(content, ensure_ascii=False)
    return Document(node.node_id, text, metadata, embedded_text=None if for_model == text else for_model)


def from_store(document: Document) -> BaseNode:
    """The node that was stored, whole; a node of the text alone, where something else wrote the document."""
    return _restored(document.id, document.text, document.metadata)


def from_hit(hit: Hit, result: Result) -> BaseNode:
    """What was found. `metadata["vecrollback"]` says which pair found it; no prompt and no model sees that key."""
    return _restored(hit.id, hit.text, hit.metadata, origin_facts(hit, result))


def _restored(id_: str, text: str, metadata: Mapping[str, Json], facts: Mapping[str, Json] | None = None) -> BaseNode:
    content = metadata.get(_CONTENT)
    kind: type[BaseNode] = TextNode
    if isinstance(content, str):
        kind = _KINDS.get(metadata.get(_KIND, ""), TextNode)
        values: dict[str, Any] = json.loads(content)
        if kind is not Node:
            values["text"] = text
    else:
        values = {"id_": id_, "text": text, "metadata": dict(metadata)}
    if facts is not None:  # before the node is made: it validates itself anew with every assignment
        values["metadata"] = {**values["metadata"], FACTS: facts}
        for hidden in ("excluded_embed_metadata_keys", "excluded_llm_metadata_keys"):
            values[hidden] = [*values.get(hidden, ()), FACTS]
    return kind.model_validate(values)
